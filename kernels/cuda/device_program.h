/*
 * A stage at one precision, made ready for this GPU: steps with their parameters in device memory and a
 * chosen plan for each convolution. Internal to kernels/cuda.
 */
#ifndef EYESORE_KERNELS_CUDA_DEVICE_PROGRAM_H
#define EYESORE_KERNELS_CUDA_DEVICE_PROGRAM_H

#include "kernels/cascade.h"
#include "kernels/cuda/conv_graph.h"
#include "kernels/cuda/plan_store.h"

/* Device addresses of a step's parameters: offsets into program.parameters while they are packed. */
struct step_parameters {
    const void *weight; /* STEP_CONV [k, kernel, kernel, c], STEP_DEPTHWISE [3 * 3, c]; element */
    const float *bias;  /* [k] or NULL */
    struct prologue prologue;
    const float *cbam[OP_MAX_PARAMS]; /* in the order of graph.h's CBAM_ */
    const float *head_weight, *head_bias;
    const uint8_t *watched; /* [n_classes] */
};

struct device_program {
    struct device_steps steps;
    enum element element;
    int batch;                          /* pictures of a pass */
    struct step_parameters *parameters; /* [steps.n] */
    void *parameter_memory;             /* device; owned */
    size_t parameter_bytes;
    struct conv_plan *plans; /* [steps.n]; those of STEP_CONV are set */
    size_t arena_bytes;      /* for a batch */
    size_t scratch_bytes;    /* CBAM's: pooled, gate, maps */
    size_t workspace_bytes;  /* the largest plan's */
};

/* Memory that passes share, one after the other. Device. */
struct program_memory {
    unsigned char *arena;
    unsigned char *scratch;
    void *workspace;
};

/*
 * Lower the stage and upload its parameters, rounded to the precision; no plans yet.
 * STATUS_INPUT where a weight does not fit into float16. STATUS_MEMORY where the device is full.
 */
enum status device_program_load(const struct stage *stage, enum precision precision,
                                struct device_program *out);
void device_program_close(struct device_program *program);

/* Set the batch and the sizes that follow from it; drops the plans of another batch. */
void device_program_set_batch(struct device_program *program, int batch);

/*
 * A plan for every convolution at the batch in force: the store's, else the fastest of the candidates on this
 * device (in_haste: the heuristic's first that runs, without a race), which the store then keeps. `at`:
 * memory to time them in; its workspace is not used.
 */
enum status device_program_choose_plans(struct device_program *program, cudnnHandle_t handle,
                                        cudaStream_t stream, struct plan_store *store, bool in_haste,
                                        const struct program_memory *at);

/* What a pass needs beyond its network. */
struct program_pass {
    const struct batch_slot *slot; /* device */
    const struct pass_list *list;  /* device */
    int *state;                    /* device */
    struct stage_results results;
    int stage, variant;
    const struct stage *rules;
    enum kernel_maps maps;
    int size;
};

/* Enqueue step `index` alone, its inputs being in place. */
enum status device_program_enqueue_step(const struct device_program *program, int index,
                                        const struct program_memory *memory, const struct program_pass *pass,
                                        cudnnHandle_t handle, cudaStream_t stream);

/* The addresses of a convolution's call. */
struct conv_pointers device_program_conv_pointers(const struct device_program *program, int index,
                                                  const struct program_memory *memory);

/* Where a value lives. */
struct device_map device_program_map(const struct device_program *program, const struct operand *operand,
                                     const struct program_memory *memory);

#endif
