/*
 * The two inner loops of a resize, and nothing else: they are what is tuned and compiled for several CPUs.
 * Samples are 4 bytes; sums are 32-bit, as in Pillow, so their order does not matter.
 */
#ifndef EYESORE_IO_PASSES_H
#define EYESORE_IO_PASSES_H

#include "io/axis.h"

#define PASS_PADDING 4

/* Rows of `bytes` bytes each; the wanted ones start at slot `first` and wrap after slot n-1. */
struct pass_ring {
    const uint8_t *rows;
    size_t bytes;
    int n, first;
};

/*
 * source points at sample axis->begin, and PASS_PADDING bytes can be read behind its last one (they count for
 * nothing). Writes outputs [valid_begin, valid_end) of out, 4 bytes each.
 */
void pass_across(const struct axis *axis, const uint8_t *source, uint8_t *out);

/* out[j] = sum over k < count of weights[k] * row k [j], for each byte j of a row. */
void pass_down(const struct pass_ring *ring, const int32_t *weights, int count, uint8_t *out);

#endif
