/*
 * The seam between the pipeline (job/) and what runs the networks (kernels/cpu, kernels/cuda).
 *
 * An engine opens a whole cascade, so that a GPU need not ask the host who goes on to the next stage. It owns
 * the input slots that decoders fill. Side by side run as many instances as the pipeline wants, up to
 * max_instances. Several threads share an instance: they fill a slot together, submit one at a time, and each
 * collects the slot that it submitted while others submit or collect other slots. The pipeline knows nothing
 * else.
 *
 *     engine_open ... for each instance: instance_open ... { slot; fill; submit; collect } ... close
 */
#ifndef EYESORE_KERNELS_ENGINE_H
#define EYESORE_KERNELS_ENGINE_H

#include "kernels/cascade.h"

enum map_policy { MAPS_NONE, MAPS_PASSED, MAPS_ALL };

/* What is asked of one picture. */
struct engine_request {
    uint32_t stages; /* bit s: stage s may run */
    bool exhaustive; /* run on behind a stage that rejects (--all-stages, --probe) */
};

/* What became of one picture. */
struct engine_result {
    float score[CASCADE_MAX_STAGES]; /* NaN: not run */
    const float
        *map[CASCADE_MAX_STAGES]; /* [map_height, map_width], ReLU'd; NULL: not made. The engine's memory,
                                     valid until the instance's next submit into the same slot */
    const float *logits[CASCADE_MAX_STAGES]; /* [n_classes]; NULL: not run. Valid as long as map */
    bool numeric_error;                      /* a score or map is not finite */
};

struct engine_options {
    enum map_policy maps;     /* MAPS_PASSED: only of stages that passed the picture */
    int n_instances;          /* how many the pipeline will open */
    bool all_stages;          /* every stage will see every picture */
    uint64_t null_gmac_per_s; /* the null engine's own: how fast an instance pretends to be; 0: no waiting */
    /* The cuda engine's own. */
    int batch;               /* pictures at once; engine_cuda_fit_batch */
    int later_batch;         /* in stages behind the first; 0: batch / ENGINE_LATER_SHARE */
    const char *plan_folder; /* of this run: its chosen cuDNN plans; NULL: not kept */
    const char *plan_cache;  /* of all runs; NULL: none */
};

/*
 * Stages behind the first see few pictures, but compute whole batches: theirs are smaller. By how much, where
 * it was not measured.
 */
#define ENGINE_LATER_SHARE 8

/* What happened to an engine, for the records. */
struct engine_notes {
    int n_halvings; /* times that memory ran out and the batch was halved: scores may differ by rounding */
    bool device_failed; /* it computes no more; the log says why */
};

struct engine_instance {
    int n_slots;
    /* Pixels of a slot: uint8 [batch, size, size, 3], RGB. Filled by the pipeline between collect and submit.
     */
    uint8_t *(*slot)(struct engine_instance *instance, int slot);
    /* Start on the first n pictures of a slot. IN requests: [n], copied. */
    enum status (*submit)(struct engine_instance *instance, int slot, int n,
                          const struct engine_request *requests);
    /* Wait for a slot. OUT results: [n]. */
    enum status (*collect)(struct engine_instance *instance, int slot, struct engine_result *results);
    void (*close)(struct engine_instance *instance);
};

struct engine {
    const char *name;  /* "cpu", "cuda", "null" */
    int batch;         /* pictures a slot holds: how many the engine wants at once */
    int max_instances; /* that may run side by side */
    char device[96];   /* for people: "AVX-512 BF16 (oneDNN 2.6.3)" */
    enum status (*instance_open)(struct engine *engine, struct engine_instance **out);
    void (*read_notes)(struct engine *engine,
                       struct engine_notes *out); /* NULL: nothing ever happens to it */
    void (*close)(struct engine *engine);
};

/* oneDNN. The stages' weights are packed here; their files may be closed afterwards. Not collective. */
enum status engine_cpu_open(const struct cascade *cascade, const struct engine_options *options,
                            struct engine **out);

/*
 * Computes nothing: scores and maps are hashes of crop and stage, the same on any machine, and the time of a
 * stage is its multiply-adds at options->null_gmac_per_s. To plan a sweep, and to test what is around the
 * engines. Not collective.
 */
enum status engine_null_open(const struct cascade *cascade, const struct engine_options *options,
                             struct engine **out);

/*
 * cuDNN and own kernels, on the device that device_choose (kernels/cuda/device.h) has chosen; float16 or bf16
 * stages. One instance, shared by all workers. Chooses cuDNN plans by timing where plan_folder and plan_cache
 * have none. A fault of the device is STATUS_PLACE, then and from then on; running out of memory halves the
 * batch (see engine_notes); at opening also engine->batch, the size of the slots. Not collective. Built
 * without CUDA: STATUS_USAGE, saying so.
 */
enum status engine_cuda_open(const struct cascade *cascade, const struct engine_options *options,
                             struct engine **out);

/* The largest power of two up to 256 that fits into the device's free memory. */
enum status engine_cuda_fit_batch(const struct cascade *cascade, const struct engine_options *options,
                                  int *batch);

/* Does this CPU run bf16 at more than f32's speed? What --precision auto asks. */
bool engine_cpu_has_bf16(void);

#endif
