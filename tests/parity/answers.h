/* What the CPU engine says about the crops, at one precision. */
#ifndef EYESORE_TESTS_PARITY_ANSWERS_H
#define EYESORE_TESTS_PARITY_ANSWERS_H

#include "kernels/cascade.h"
#include "tests/parity/networks.h"

#define PARITY_MAX_PLACES 64

struct answers {
    int n_places;
    float logits[PARITY_PICTURES * PARITY_CLASSES]; /* [n, k] */
    float score[PARITY_PICTURES];
    float maps[PARITY_PICTURES][PARITY_MAX_PLACES]; /* [n_places] used */
    float raw_sum[PARITY_PICTURES];                 /* of the map before its ReLU */
    float head_bias;                                /* of class 1 */
};

/*
 * Open the stage of `path` and run it over the crops, through the engine as the pipeline does; the raw maps
 * come from the engine's program, run beside it. IN crops: uint8 [n, size, size, 3].
 */
enum status answers_compute(const char *path, const uint8_t *crops, enum precision precision,
                            struct answers *out);

#endif
