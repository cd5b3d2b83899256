/* What the head must make of a feature map, by the CPU engine's own rules: score.h, cascade.h, gradcam.h. */
#ifndef EYESORE_TESTS_KERNEL_HEAD_H
#define EYESORE_TESTS_KERNEL_HEAD_H

#include "kernels/cascade.h"
#include "kernels/cuda/launch.h"
#include "tests/cuda/sim/kernel_support.h"

/* A stage's head, on both sides. */
struct head_rules {
    struct stage stage; /* name, threshold, classes, variants */
    int c, n_places;
    float *weight, *bias; /* [n_classes, c], [n_classes] */
    float *scale, *shift; /* of the prologue [c], or NULL */
    enum kernel_activation activation;
    enum kernel_maps maps;
};

struct head_expected {
    struct row_result row;
    int state;
    float *logits,
        *map; /* [n_classes]; [n_places], where row.flags has RESULT_MAP; head_expected_free frees */
};

/* Random weights. classes, kind: as in class_set_parse. One variant, until the caller says otherwise. */
struct head_rules head_rules_make(int c, int n_places, int n_classes, const char *classes, const char *kind,
                                  float threshold, uint64_t seed);
void head_rules_free(struct head_rules *rules);

/* IN features: [n_places, c], before the prologue. */
struct head_expected head_expect(const struct head_rules *rules, int variant, bool exhaustive,
                                 const float *features);
void head_expected_free(struct head_expected *expected);

/* Everything but in, stage, slot, list, state, results; the parameters copied to the device. */
struct head_args head_args_make(const struct head_rules *rules, int variant, enum element element);

/* Bytes of the results of one stage of `batch` pictures, each array from a multiple of 8 bytes on. */
struct stage_results head_lay_out(const struct head_rules *rules, int batch, size_t *bytes);

/* IN results: a slot's, on the host. */
void head_assert_row(const struct head_rules *rules, const unsigned char *results, struct stage_results at,
                     int row, const struct head_expected *expected);

#endif
