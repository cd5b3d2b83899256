/*
 * Untrained weights that behave like trained ones: for demos, tests and benches, until trained ones exist.
 * Files made so say that they are untrained, and every output made with them repeats it.
 */
#ifndef EYESORE_KERNELS_WEIGHTS_INIT_H
#define EYESORE_KERNELS_WEIGHTS_INIT_H

#include "kernels/networks.h"

/*
 * Make weights for a geometry and write them to `path`. Convolutions are He-initialised; batch-norm
 * statistics come from a run over generated pictures; the head looks along the directions in which the
 * pictures' features differ most, scaled to a standard deviation of 2 in each logit. The same seed gives the
 * same file.
 */
enum status weights_init(const struct geometry *geometry, uint64_t seed, const char *path);

/*
 * A generated picture: shaded ground, discs, bars and noise. OUT pixels: uint8 [size, size, 3].
 */
void weights_init_picture(uint64_t seed, int size, uint8_t *pixels);

#endif
