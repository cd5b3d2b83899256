/*
 * What the CUDA engine runs for one network: the lowered list (lower.h) as steps, one kernel or cuDNN graph
 * each (CBAM: four kernels). Needs no GPU and no toolkit: the roofline and the plan tests read the same list.
 *
 * Values are channels-last, [n, h, w, pitch], in buffers of the graph's arena; a value is the channels
 * [first_channel, first_channel + c) of its buffer. A dense block is one buffer that every layer extends.
 *
 * DenseNet's batch norm + ReLU before an op is that op's prologue, computed as it reads, so that it is never
 * stored: the 1x1 convolutions (in their cuDNN graph), the transitions' average pools, and the head.
 */
#ifndef EYESORE_KERNELS_CUDA_STEPS_H
#define EYESORE_KERNELS_CUDA_STEPS_H

#include "kernels/graph.h"

#define CUDA_CHANNEL_ALIGN 8  /* 16 bytes of float16: what a thread reads at once */
#define CUDA_INPUT_CHANNELS 4 /* the picture's 3, padded: cuDNN's tensor-core stems want 4 or 8 */

enum device_step_kind {
    STEP_INPUT,     /* uint8 crops, gathered from the pictures that a pass looks at, to normalised values */
    STEP_CONV,      /* one cuDNN graph: [prologue,] convolution, bias [, residual] [, activation] */
    STEP_DEPTHWISE, /* own kernel: a 3x3 window for each channel, bias, activation */
    STEP_POOL,      /* own kernel: max or average, [prologue], into a slice */
    STEP_CBAM,      /* own kernels, in place: x = act(x * channel gate * spatial gate [+ residual]) */
    STEP_HEAD,      /* own kernel: [prologue,] average pool, linear, score, cascade decision, Grad-CAM */
};

/* Where a value lives. buffer GRAPH_NONE: there is none. */
struct operand {
    int buffer, first_channel;
    struct shape shape; /* of one picture; STEP_INPUT's output has c = CUDA_INPUT_CHANNELS */
    int pitch;          /* channels of the buffer: elements from a place to the next */
};

struct device_step {
    enum device_step_kind kind;
    int op; /* in graph.ops: name, window, parameters */
    struct operand in, out, residual;
    int prologue; /* the OP_SCALE computed while reading `in`, in graph.ops, or GRAPH_NONE */
};

struct device_steps {
    struct graph
        graph; /* lowered; owned. buffers[].offset counts elements of one picture: a batch multiplies */
    struct device_step *items;
    int n;
};

/* IN plain: its weights must be open. OUT: steps_close. STATUS_INPUT where a slice is no multiple of
 * CUDA_CHANNEL_ALIGN channels or an op has no kernel. */
enum status steps_make(const struct graph *plain, struct device_steps *out);
void steps_close(struct device_steps *steps);

#endif
