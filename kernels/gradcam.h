/*
 * Grad-CAM (Selvaraju et al., ICCV 2017, arXiv:1610.02391) in closed form. Behind a global average pool and a
 * linear head the gradient of a logit z = b + sum_k w_k mean(A_k) with respect to the feature map A is
 * w_k / (h * w) at every place, so no backward pass is needed:
 *
 *     map = ReLU(raw),  raw[y, x] = sum_k w_k / (h * w) * A[k, y, x],  and raw sums to z - b.
 *
 * Maps stay at their native size and are not normalised: their strength means something.
 */
#ifndef EYESORE_KERNELS_GRADCAM_H
#define EYESORE_KERNELS_GRADCAM_H

#include <stddef.h>

/*
 * The direction w: the head's rows weighed by `shares` (see score.h), divided by h * w.
 * IN head_weight: [n_classes, c], shares: [n_classes]. OUT direction: [c].
 */
void gradcam_direction(const float *head_weight, const float *shares, int n_classes, int c, int n_places,
                       float *direction);

/*
 * IN features: blocks of `block` channels, [ceil(c / block)][n_places][block], channels beyond c are zero; a
 * plain [c][n_places] map has block 1. OUT raw: [n_places], before the ReLU.
 */
void gradcam_raw(const float *features, const float *direction, int c, int block, int n_places, float *raw);

/* ReLU in place. A NaN stays one. */
void gradcam_rectify(float *map, int n_places);

#endif
