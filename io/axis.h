/*
 * One axis of a resize with crop: which source samples make each output sample, and with what weights.
 *
 * The weights are those of Pillow's 8-bit resampling (fixed point, 22 bits; src/libImaging/Resample.c), the
 * output size that of torchvision's Resize, the crop and its padding those of torchvision's CenterCrop
 * (transforms/functional.py). Only the outputs that the crop keeps are computed.
 */
#ifndef EYESORE_IO_AXIS_H
#define EYESORE_IO_AXIS_H

#include "io/picture.h"

#define AXIS_WEIGHT_BITS 22

/* Output i of the crop (counted as stored, not as oriented) = sum over k of weight[k] * source[first + k]. */
struct axis_tap {
    int32_t first;  /* in stored samples */
    int32_t count;  /* 0: padding, the output is black */
    size_t weights; /* where its weights start in axis.weights */
};

struct axis {
    int n_out;                  /* = size */
    int begin, end;             /* the stored samples that any output needs: [begin, end) */
    int valid_begin, valid_end; /* the outputs that are not padding: [valid_begin, valid_end) */
    int max_count;              /* of the taps; at least 1 */
    struct axis_tap *taps;      /* [n_out], first never decreasing over the valid ones */
    int32_t *weights;
    size_t taps_capacity, weights_capacity;
    int32_t *pairs; /* the weights as pass_across wants them, see axis_pair_weights */
    size_t pairs_capacity;
    double *scratch; /* [scratch_capacity], one output's weights */
    size_t scratch_capacity;
};

/*
 * Sides of the picture after Resize: the shorter becomes `resize`, the longer int(resize * long / short).
 * width and height as oriented.
 */
void axis_resized_sides(int width, int height, int resize, int64_t *new_width, int64_t *new_height);

/*
 * Plan the axis. n_source samples are there; they stand for `extent` samples' width (n_source, or a fraction
 * less where a scaled decode rounded up). The whole axis becomes n_resized samples, of which the centre
 * n_out are kept. mirrored: the stored samples run against the oriented axis; outputs then do so too: output
 * i here is output n_out-1-i of the oriented picture.
 * STATUS_MEMORY, or OK. Reuses what an earlier plan allocated; axis_free when done. Zero-initialise first.
 */
enum status axis_plan(struct axis *axis, enum resample resample, int n_source, double extent,
                      int64_t n_resized, int n_out, bool mirrored);

/*
 * Lay the weights out for 4-byte samples taken two at a time: for each pair of taps w0 w0 w0 w0 w1 w1 w1 w1,
 * an odd last one with w1 = 0; those of a tap begin at pairs[4 * tap.weights]. After axis_plan.
 * STATUS_MEMORY, or OK.
 */
enum status axis_pair_weights(struct axis *axis);

void axis_free(struct axis *axis);

#endif
