/*
 * IEEE 754 binary16 (half precision), as heat maps are stored. In plain integer code, so that the bytes are
 * the same on every machine and at every optimisation level.
 */
#ifndef EYESORE_RESULTS_HALF_H
#define EYESORE_RESULTS_HALF_H

#include <stdbool.h>
#include <stdint.h>

#define HALF_MAX 65504.0f
#define HALF_NAN 0x7e00u

/* Round to nearest, ties to even. From 65520 up the answer is infinity, as IEEE 754 says; who stores halves
 * asks half_is_finite. A NaN stays one (quiet, the upper bits of its payload kept). */
uint16_t half_from_float(float value);

/* Exact. */
float half_to_float(uint16_t half);

static inline bool half_is_finite(uint16_t half)
{
    return (half & 0x7c00u) != 0x7c00u;
}

#endif
