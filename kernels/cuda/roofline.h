/*
 * What a network costs on a GPU at best: for each kernel of the CUDA engine the arithmetic it does, the bytes
 * it moves to and from the device's memory, and the time below which no kernel can do that at the device's
 * peaks. Pure: needs neither a GPU nor the toolkit nor weights (a declared network will do).
 *
 * Traffic is what the kernels of launch.h and the cuDNN graphs ask for, each value once per kernel that reads
 * or writes it, as if nothing of it were left in the L2 cache by the kernel before:
 *
 *   input      the uint8 crop read, 4 channels written
 *   conv       its input once (a 1x1 with a stride: the places it uses), its residual once, its output once;
 *              weights, bias and prologue once per batch
 *   depthwise, pool  input once, output once
 *   cbam       four kernels: squeeze, excite, spatial, apply. x is read three times and written once, the
 * residual read once; the float32 vectors between them (means, maxima, gates) written once, read by each head
 * features once; weights once per batch; logits, score and map written
 *
 * Floors take memory and arithmetic of one kernel to overlap perfectly and those of two not at all; launches,
 * ramps and tails cost nothing. So they are bounds, not predictions.
 */
#ifndef EYESORE_KERNELS_CUDA_ROOFLINE_H
#define EYESORE_KERNELS_CUDA_ROOFLINE_H

#include "kernels/cuda/steps.h"

/* Peaks of one device, per second; bench/ROOFLINE.md has their sources. */
struct device_peaks {
    const char *name;    /* "h100" */
    const char *product; /* "H100 SXM 80 GB" */
    double tensor_flops; /* float16 or bfloat16 on tensor cores, dense */
    double vector_flops; /* float32, without tensor cores */
    double bandwidth;    /* bytes of device memory */
    double l2_bytes;
};

/* "h100", "a100", "b200"; NULL for other names. */
const struct device_peaks *roofline_peaks(const char *name);

enum roofline_kind {
    ROOFLINE_INPUT,
    ROOFLINE_CONV,
    ROOFLINE_DEPTHWISE,
    ROOFLINE_POOL,
    ROOFLINE_CBAM_SQUEEZE,
    ROOFLINE_CBAM_EXCITE,
    ROOFLINE_CBAM_SPATIAL,
    ROOFLINE_CBAM_APPLY,
    ROOFLINE_HEAD,
};

/* One kernel; all numbers are of a whole batch. */
struct roofline_row {
    enum roofline_kind kind;
    int step;           /* in device_steps.items */
    double flops;       /* 2 x the multiply-adds of convolutions and head, as graph_count_macs has them */
    double other_flops; /* the rest: prologue, epilogue, pools, gates, averages */
    double read_bytes, written_bytes; /* activations and what is between kernels */
    double weight_bytes;              /* read */
    double floor_s;
    bool memory_bound; /* what the floor comes from */
};

struct roofline {
    struct roofline_row *rows; /* [n] in the order of execution */
    int n;
    struct roofline_row total; /* sums over the rows; kind and step mean nothing */
};

/*
 * The kernels of `steps` on a batch, stored values being of 2 bytes (float16, bfloat16).
 * IN cached_bytes: how much of x a CBAM's spatial (which walks the batch backwards, from where squeeze ended)
 * and apply find in the L2 cache; 0 counts on nothing. OUT: roofline_free. STATUS_MEMORY.
 */
enum status roofline_make(const struct device_steps *steps, int batch, double cached_bytes,
                          const struct device_peaks *peaks, struct roofline *out);
void roofline_free(struct roofline *roofline);

double roofline_bytes(const struct roofline_row *row);

/* "input", "conv", ..., "cbam squeeze". */
const char *roofline_kind_name(enum roofline_kind kind);

/*
 * The least at layer granularity, in bytes of a batch: each convolution of the plain list reads its input
 * whole, once, and writes its output once (the stem's input: 3 channels of float16), weights once per batch;
 * a CBAM adds one read of its block's output for pooling and one read and one write for gating. Everything
 * else (batch norms, activations, sums, concatenations, pools, the head) costs nothing.
 */
double roofline_least_bytes(const struct graph *plain, int batch);

/*
 * The plain list with a kernel for each layer, in bytes of a batch: every op reads its inputs and writes its
 * output, concatenations copy, a CBAM is eight passes over x (two pools, two gatings, two poolings over the
 * channels).
 */
double roofline_layered_bytes(const struct graph *plain, int batch);

/*
 * Expected seconds for a picture of a cascade in its cheapest order (cascade_order). IN seconds, pass_rate:
 * [n], per stage. OUT order: [n].
 */
double roofline_cascade_seconds(const double *seconds, const double *pass_rate, int n, int *order);

#endif
