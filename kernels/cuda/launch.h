/*
 * The own kernels of the CUDA engine: one launcher each, in the .cu file of the same name, callable from C.
 * Every launcher enqueues on `stream`, checks the launch and returns what CUDA says of it; nothing waits.
 *
 * Values are channels-last with 16-byte aligned slices: data, pitch * sizeof(element) and c are multiples of
 * 8 elements (the input's 4 excepted). Arithmetic is float32; stored values are rounded to the element type.
 * Sums go in a fixed order, without atomics: the same input gives the same bits, whatever else is in the
 * batch.
 */
#ifndef EYESORE_KERNELS_CUDA_LAUNCH_H
#define EYESORE_KERNELS_CUDA_LAUNCH_H

#include <cuda_runtime_api.h>
#include <stddef.h>
#include <stdint.h>

#define CUDA_MAX_BATCH 1024

#ifdef __cplusplus
extern "C" {
#endif

enum element { ELEMENT_F16, ELEMENT_BF16 }; /* fp8 and int8 would stand here, with a scale beside each map */

enum kernel_activation { KERNEL_NONE, KERNEL_RELU, KERNEL_RELU6 }; /* as enum activation of graph.h */

/* A value in device memory: [n, h, w, pitch], of which c channels from `data` on. A NaN passes every kernel.
 */
struct device_map {
    void *data;
    int n, h, w, c, pitch;
};

/* scale * x + shift per channel, then the activation; computed while reading. scale NULL: x as it is. */
struct prologue {
    const float *scale, *shift; /* device, [c] */
    enum kernel_activation activation;
};

/* ---- passes.cu: which pictures of a batch a pass of the cascade looks at. All of it stays on the device. */

struct row_request {
    uint32_t stages;     /* bit s: stage s may run */
    uint32_t exhaustive; /* run on behind a stage that rejects */
};

/* What the host says of a batch; device memory, copied from the slot's pinned memory. */
struct batch_control {
    int n; /* pictures */
    struct row_request rows[CUDA_MAX_BATCH];
};

/* Where the batch in hand lies: copied to one place before each launch, so that one captured graph serves
 * every slot. */
struct batch_slot {
    const uint8_t *pixels; /* [batch, size, size, 3] RGB */
    const struct batch_control *control;
    unsigned char *results; /* see struct stage_results */
};

/* What becomes of a picture between stages. */
enum row_state { ROW_OFF, ROW_WANTED, ROW_AGAIN /* the next variant of the same stage should look */ };

/* The pictures that a pass looks at, in ascending order; [first, first + the pass's batch) are in hand. */
struct pass_list {
    int count, first;
    int row[CUDA_MAX_BATCH];
};

enum { RESULT_RAN = 1, RESULT_MAP = 2, RESULT_NUMERIC_ERROR = 4 };

struct row_result {
    float score;    /* NaN: not run */
    uint32_t flags; /* RESULT_ */
};

/* Byte offsets in a slot's results of one stage's rows, each array in the order of the batch's pictures. */
struct stage_results {
    size_t rows;   /* struct row_result [batch] */
    size_t logits; /* float [batch, n_classes] */
    size_t maps;   /* float [batch, places] */
};

/* Start of a batch: state[i] = ROW_WANTED for i < n, ROW_OFF beyond; the rows of every stage "not run". */
cudaError_t begin_launch(const struct batch_slot *slot, int *state, const struct stage_results *stages,
                         int n_stages, int batch, cudaStream_t stream);

/*
 * Start of a pass (stage, variant): list the rows that are ROW_WANTED and asked for by their request (variant
 * 0), or ROW_AGAIN (later variants; see head). Sets list->first = 0 and, where `loop` is not 0, the condition
 * of the graph's while node: is there any?
 */
cudaError_t select_launch(const struct batch_slot *slot, const int *state, int stage, int variant, int batch,
                          struct pass_list *list, cudaGraphConditionalHandle loop, cudaStream_t stream);

/* End of a pass over `pass_batch` pictures: list->first += pass_batch; go on while there are more. */
cudaError_t advance_launch(struct pass_list *list, int pass_batch, cudaGraphConditionalHandle loop,
                           cudaStream_t stream);

/* ---- input.cu: the crops in hand, normalised. Rows beyond the list's end are zero. */
struct input_args {
    const struct batch_slot *slot; /* device */
    const struct pass_list *list;  /* device */
    struct device_map out;         /* [pass batch, size, size, 4], pitch 4; channel 3 is zero */
    float scale[3], shift[3];      /* value = level * scale + shift */
    enum element element;
};
cudaError_t input_launch(const struct input_args *args, cudaStream_t stream);

/* ---- pool.cu: square window; max: padding never wins; average: no padding. Into a slice. */
struct pool_args {
    struct device_map in, out;
    struct prologue prologue; /* of average pools only */
    int kernel, stride, pad;
    int is_max;
    enum element element;
};
cudaError_t pool_launch(const struct pool_args *args, cudaStream_t stream);

/* ---- depthwise.cu: 3x3, stride 1 or 2, padding 1. */
struct depthwise_args {
    struct device_map in, out;
    const void *weight; /* element [3 * 3, c] */
    const float *bias;  /* [c] */
    int stride;
    enum kernel_activation activation;
    enum element element;
};
cudaError_t depthwise_launch(const struct depthwise_args *args, cudaStream_t stream);

/*
 * ---- cbam.cu: four launches, in this order, on one stream. x is read three times and written once.
 *   squeeze  pooled = mean and max of x over the places
 *   excite   gate   = sigmoid(fc2(relu(fc1(mean))) + fc2(relu(fc1(max))))
 *   spatial  maps   = mean and max of x * gate over the channels; pictures last to first, for the L2 cache
 *   apply    x      = act(x * gate * sigmoid(conv(maps)) [+ residual]), in place
 */
struct cbam_args {
    struct device_map x;
    struct device_map residual;    /* data NULL: none */
    const float *fc1, *fc1_bias;   /* [reduced, c]; [reduced] or NULL */
    const float *fc2, *fc2_bias;   /* [c, reduced]; [c] or NULL */
    const float *conv, *conv_bias; /* [2, kernel, kernel] mean before max; [1] */
    int reduced, kernel;           /* reduced <= 4096; kernel 3 or 7 */
    float *pooled;                 /* scratch [n, 2, c] */
    float *gate;                   /* scratch [n, c] */
    float *maps;                   /* scratch [n, 2, h * w] */
    enum kernel_activation activation;
    enum element element;
};
cudaError_t cbam_squeeze_launch(const struct cbam_args *args, cudaStream_t stream);
cudaError_t cbam_excite_launch(const struct cbam_args *args, cudaStream_t stream);
cudaError_t cbam_spatial_launch(const struct cbam_args *args, cudaStream_t stream);
cudaError_t cbam_apply_launch(const struct cbam_args *args, cudaStream_t stream);

/*
 * ---- head.cu: for each picture in hand, from one read of the last feature map: averages, logits, score
 * (score.h's formulas, in double), the cascade's decision (cascade_answer of cascade.h), Grad-CAM map
 * (gradcam.h: ReLU'd, float32). A watched set of several classes needs its finished logits for the map: a
 * second read. Rows beyond the list's end are not touched.
 */
enum kernel_head { KERNEL_SOFTMAX, KERNEL_SIGMOID };                        /* as enum head_kind */
enum kernel_maps { KERNEL_MAPS_NONE, KERNEL_MAPS_PASSED, KERNEL_MAPS_ALL }; /* as enum map_policy */

#define HEAD_MAX_PLACES 1024
#define HEAD_MAX_CHANNELS 5120

struct head_args {
    struct device_map in;
    struct prologue prologue;
    const float *weight, *bias; /* [n_classes, c], [n_classes] */
    const uint8_t *watched;     /* [n_classes] 1: in the class set */
    int n_classes, n_watched;
    int only_class; /* the watched class where n_watched is 1 */
    enum kernel_head kind;
    enum kernel_maps maps;
    float threshold;
    double threshold_margin; /* score_margin_of(threshold) */
    double band;             /* closer than this to it: ROW_AGAIN; 0 for the last variant */
    int stage, is_last_variant;
    const struct batch_slot *slot; /* device */
    const struct pass_list *list;  /* device */
    int *state;                    /* device, [batch]: OUT for the rows in hand */
    struct stage_results results;
    enum element element;
};
cudaError_t head_launch(const struct head_args *args, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
