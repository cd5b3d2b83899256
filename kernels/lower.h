/*
 * One pass from the plain op list to the list an engine runs for inference:
 *
 *   - a batch norm behind a convolution is folded into its weights and bias;
 *   - a ReLU, ReLU6, residual add (+ ReLU) behind a convolution or CBAM becomes part of it;
 *   - DenseNet's batch norm + ReLU before a convolution becomes one op (OP_SCALE);
 *   - an average pool behind a 1x1 convolution changes places with it: both are linear, and the convolution
 *     then has a quarter of the work (DenseNet's transitions, 9% of DenseNet161's multiply-adds);
 *   - a concatenation costs nothing: the values are slices of one buffer;
 *   - buffers get places in one arena by liveness.
 *
 * Training will lower the plain list its own way.
 */
#ifndef EYESORE_KERNELS_LOWER_H
#define EYESORE_KERNELS_LOWER_H

#include "kernels/graph.h"

#define BATCH_NORM_EPS 1e-5 /* of all networks here, in torchvision and timm alike */

/*
 * Lower `plain`. `channel_align`: slices start at, and buffers are padded to, multiples of it (the engine's
 * channel block). Placing is for one picture; an engine with batches multiplies.
 * OUT lowered: owns its parameters (f32); graph_free. STATUS_INPUT where a slice would not be aligned, or a
 * parameter is not finite.
 */
enum status lower_inference(const struct graph *plain, int channel_align, struct graph *lowered);

/* The second half, for lowered lists: give each buffer its time of life and its place in the arena. */
enum status lower_plan_memory(struct graph *g, int channel_align);

#endif
