/*
 * The inside of the CUDA engine, shared by engine_cuda.c (open, submit, collect), resources.c (memory,
 * streams, plans) and capture.c (the whole cascade as one CUDA graph).
 *
 * A batch goes through three streams joined by events, so that copies and kernels overlap between slots:
 *
 *     upload    pixels and requests of slot k to the device
 *     compute   [uploaded k]  the captured graph: begin, then per pass: select, while any { network, head }
 *     download  [computed k]  one copy of the slot's results
 *
 * A pass is a stage at one precision, over batches of a fixed size (short ones are padded), so that a
 * picture's score does not depend on its company. Which pictures a pass looks at is decided and looped over
 * on the device.
 */
#ifndef EYESORE_KERNELS_CUDA_ENGINE_CUDA_H
#define EYESORE_KERNELS_CUDA_ENGINE_CUDA_H

#include "kernels/cuda/device_program.h"
#include "kernels/engine.h"

#include <pthread.h>

#define CUDA_SLOTS 4 /* one filling, one uploading, one computing, one being read */
#define CUDA_MAX_PASSES (CASCADE_MAX_STAGES * STAGE_MAX_VARIANTS)

struct cuda_pass {
    int stage, variant;
    struct device_program program;
};

struct cuda_slot {
    /* Pinned host memory. */
    uint8_t *pixels;
    struct batch_control *control;
    struct batch_slot *table; /* the slot's device addresses, as the kernels want them */
    unsigned char *results;
    /* Device memory. */
    uint8_t *device_pixels;
    struct batch_control *device_control;
    unsigned char *device_results;
    cudaEvent_t uploaded, computed, done;
    int n; /* pictures submitted */
};

struct cuda_engine {
    struct engine base;
    struct engine_instance instance; /* there is one */
    bool instance_is_open;
    struct stage stages[CASCADE_MAX_STAGES]; /* copies of the cascade's rules, without weights and graphs */
    int n_stages, size;
    enum map_policy maps;
    struct plan_store store;
    struct cuda_pass passes[CUDA_MAX_PASSES];
    int n_passes;
    /* resources.c */
    cudaStream_t upload, compute, download, body; /* body: what the while nodes' graphs are captured on */
    cudnnHandle_t handle;
    struct cuda_slot slots[CUDA_SLOTS];
    struct stage_results results[CASCADE_MAX_STAGES];
    size_t results_bytes;
    struct batch_slot *slot_table; /* device: the slot in hand */
    struct pass_list *list;        /* device */
    int *state;                    /* device, [batch] */
    struct program_memory memory;
    cudaGraphExec_t graph;
    pthread_mutex_t lock; /* of submitting, and of rebuilding after running out of memory */
    int n_halvings;
    bool dead; /* a fault of the device: nothing more is asked of it */
};

/* Streams, events, slots: everything whose size does not depend on the passes' batches. */
enum status resources_open(struct cuda_engine *e);

/* Arena, plans, workspace, graph, at the passes' batches in force. STATUS_MEMORY: try resources_halve. */
enum status resources_prepare(struct cuda_engine *e);

/* Give back what resources_prepare made. Waits for the device unless it is dead. */
void resources_release(struct cuda_engine *e);

/* Out of memory: halve the passes' batches until everything fits. STATUS_PLACE where one picture does not. */
enum status resources_halve(struct cuda_engine *e);

void resources_close(struct cuda_engine *e);

/* Capture the cascade. OUT out: the graph. */
enum status capture_cascade(struct cuda_engine *e, cudaGraphExec_t *out);

#endif
