/*
 * CBAM (Woo, Park, Lee, Kweon: "CBAM: Convolutional Block Attention Module", ECCV 2018, arXiv:1807.06521) in
 * its three published layouts, which differ in names, in the order of the pooled channels and in the batch
 * norm:
 *
 *   jongchan  Jongchan/attention-module     P.cbam.ChannelGate.mlp.{1,3}.{weight,bias},
 *                                           P.cbam.SpatialGate.spatial.{conv.weight,bn.*}; max, mean
 *   timm      huggingface/pytorch-image-models  P.se.channel.fc{1,2}.weight,
 * P.se.spatial.conv.{conv.weight,bn.*}; mean, max luuuyi    luuuyi/CBAM.PyTorch P.ca.fc.{0,2}.weight (also
 * P.ca.fc{1,2}.weight), P.sa.conv1.weight, no batch norm; mean, max
 *
 * P is the block: `layer1.0`, `features.denseblock1.denselayer1`, `features.2` (MobileNetV2's inverted
 * residual).
 */
#ifndef EYESORE_KERNELS_CBAM_H
#define EYESORE_KERNELS_CBAM_H

#include "kernels/graph.h"

enum cbam_layout { CBAM_NONE, CBAM_JONGCHAN, CBAM_TIMM, CBAM_LUUUYI };

/* "none", "jongchan", "timm", "luuuyi". */
const char *cbam_layout_name(enum cbam_layout layout);
enum status cbam_layout_parse(const char *name, enum cbam_layout *layout);

/* The layout of a file, from the first tensor that belongs to one. A network has it in every block or in
 * none. */
enum cbam_layout cbam_detect(const struct weights *weights);

/* Does the file have a module of this layout under this prefix? */
bool cbam_is_at(const struct weights *weights, enum cbam_layout layout, const char *prefix);

/* Append the module of block `prefix` behind *value. The reduced width is read from the file; declared: c/16.
 */
enum status cbam_append(struct graph *graph, struct weights *weights, enum cbam_layout layout,
                        const char *prefix, int *value);

#endif
