/*
 * The plain op list, executed plainly: float32, [n, c, h, w], one op after the other, nothing folded or
 * fused. It is what the engines are compared with, and what `weights init` runs on. The same bits on every
 * CPU: sums go in a fixed order without fused multiply-adds (the sigmoid of CBAM is libm's).
 */
#ifndef EYESORE_KERNELS_REFERENCE_H
#define EYESORE_KERNELS_REFERENCE_H

#include "kernels/graph.h"

/*
 * Compute one op of a plain list. IN first, second: its inputs' values [n, c, h, w] (second may be NULL).
 * OUT value: [n, c, h, w] of op->shape. Pictures are spread over OpenMP threads.
 */
enum status reference_op(const struct graph *plain, int index, const float *first, const float *second, int n,
                         float *value);

struct reference_result {
    float *features; /* [n, c, h, w]: the head's input; owned */
    float *logits;   /* [n, n_classes]; owned */
};

/*
 * Run the whole list. IN input: [n, 3, size, size], normalised. `calibrate`: set each batch norm's mean and
 * variance to those of its input over these pictures, just before applying it (the tensors must be owned:
 * declared weights), and the gamma (positive) of one behind a convolution to the nearest value that makes its
 * scale a power of two, so that weights which bf16 holds exactly are still so once folded. Values are freed
 * when their last reader has run. reference_free frees the result.
 */
enum status reference_execute(const struct graph *plain, const float *input, int n, bool calibrate,
                              struct reference_result *out);
void reference_free(struct reference_result *result);

#endif
