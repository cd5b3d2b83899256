/*
 * One convolution as a cuDNN operation graph, and the plans cuDNN has for it.
 *
 * [scale * x + shift, activation ->] convolution -> + bias [-> + residual] [-> activation] -> y, as one fused
 * kernel: only x, w, y, the vectors and the residual touch memory. Reference: NVIDIA cuDNN backend API,
 * runtime fusion engines.
 */
#ifndef EYESORE_KERNELS_CUDA_CONV_GRAPH_H
#define EYESORE_KERNELS_CUDA_CONV_GRAPH_H

#include "kernels/cuda/check.h"
#include "kernels/cuda/conv_spec.h"

/* What plans are made for: a device in hand, or (tests without one) a described one. The other is NULL. */
struct conv_target {
    cudnnHandle_t handle;
    cudnnBackendDescriptor_t properties; /* CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR */
};

struct conv_graph;

/* IN spec: checked (conv_spec_make). OUT: conv_graph_close. */
enum status conv_graph_open(const struct conv_spec *spec, const struct conv_target *target,
                            struct conv_graph **out);
void conv_graph_close(struct conv_graph *graph);

/* The finalised operation graph, owned by `graph`: for conv_plan.c. */
cudnnBackendDescriptor_t conv_graph_whole(const struct conv_graph *graph);

struct conv_plan {
    cudnnBackendDescriptor_t descriptor; /* owned */
    int64_t engine;                      /* cuDNN's number of it */
    bool tensor_core;
    size_t workspace_bytes;
};

/*
 * The heuristics' plans, best guess first, of engines that give the same bits every time: those that say
 * "nondeterministic" of themselves are left out, and so is what does not finalise for this target.
 * OUT plans: [*n_plans <= limit], each to be closed. STATUS_INPUT, saying so, where there is none.
 */
enum status conv_graph_plans(const struct conv_graph *graph, const struct conv_target *target, int limit,
                             struct conv_plan *plans, int *n_plans);
void conv_plan_close(struct conv_plan *plan);

/* A plan as JSON text, from which the same version of cuDNN makes the same plan in a millisecond. OUT json:
 * the caller frees. */
enum status conv_plan_save(const struct conv_plan *plan, char **json);

/* STATUS_MISMATCH, quietly, where cuDNN does not take it: of another version or device, or damaged. */
enum status conv_plan_load(const char *json, const struct conv_target *target, struct conv_plan *out);

/* Device memory of a call. Unused ones are NULL. */
struct conv_pointers {
    void *x, *y;
    const void *w;                     /* [k, kernel, kernel, c] */
    const float *bias, *scale, *shift; /* [k], [c], [c] */
    const void *residual;
    void *workspace; /* plan->workspace_bytes */
};

/* Enqueue on the handle's stream. */
enum status conv_plan_execute(const struct conv_plan *plan, const struct conv_pointers *at,
                              cudnnHandle_t handle);

#endif
