/*
 * The CPU engine's own kernels: what oneDNN has no primitive for, or none without a pass more. One picture,
 * one thread, f32 or bf16 activations in blocks of channels: [ceil(c / block)][n_places][block], lanes beyond
 * c zero.
 *
 * ops.c is compiled once per instruction set (CMake says which); ops_choose takes the best this CPU has.
 * Arithmetic is float32 throughout; bf16 is only how activations are stored (round to nearest even).
 */
#ifndef EYESORE_KERNELS_CPU_OPS_H
#define EYESORE_KERNELS_CPU_OPS_H

#include "kernels/cascade.h"
#include "kernels/graph.h"

struct ops_map {
    unsigned char *data; /* 64-byte aligned */
    enum precision precision;
    int c, h, w;
};

struct ops_cbam {
    const float *fc1, *fc1_bias, *fc2, *fc2_bias; /* [r, c], [r] or NULL, [c, r], [c] or NULL */
    const float *conv;                            /* [2, kernel, kernel]: mean, max */
    float conv_bias;
    int reduced, kernel;
    enum activation activation;
};

struct ops {
    const char *name; /* "avx512", "avx2", "sse2" */
    int block;        /* channels a block */
    /*
     * Normalise a picture. IN pixels: uint8 [h, w, 3]; table: [3][256], the value of each level of each
     * channel. OUT to: planar [3, h, w].
     */
    void (*input)(const uint8_t *pixels, const float (*table)[256], const struct ops_map *to);
    /* to = activation(scale * from + shift). IN scale, shift: [c rounded up to block], zero beyond c. */
    void (*scale)(const struct ops_map *from, const float *scale, const float *shift,
                  enum activation activation, const struct ops_map *to);
    /*
     * CBAM in place: map = activation(map * channel gate * spatial gate + residual). residual may be NULL.
     * scratch: ops_cbam_scratch floats.
     */
    void (*cbam)(const struct ops_map *map, const struct ops_cbam *cbam, const unsigned char *residual,
                 float *scratch);
    /* f32 copy and mean over places. OUT features: [ceil(c / block)][n_places][block], means: [c rounded up].
     */
    void (*features)(const struct ops_map *map, float *features, float *means);
    /*
     * out[k][p] = sum over c of weight[k][c] * x[c][p], in the order of c, without fused multiply-add: the
     * same bits on every instruction set. IN weight: [k, c], x: [c, n]. OUT out: [k, n].
     */
    void (*multiply)(const float *weight, const float *x, size_t k, size_t c, size_t n, float *out);
};

/* The kernels of the best instruction set this CPU has. */
const struct ops *ops_choose(void);

/* Floats of scratch for a CBAM over a map of this shape. */
size_t ops_cbam_scratch(struct shape shape, const struct ops_cbam *cbam);

extern const struct ops ops_sse2, ops_avx2, ops_avx512;

#endif
