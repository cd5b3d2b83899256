/*
 * The networks. Each file reads like its paper and appends the plain op list to a graph, taking its tensors
 * from the weights; a geometry says what the paper leaves open, measured from a file's tensors or given
 * (weights init).
 */
#ifndef EYESORE_KERNELS_NETWORKS_H
#define EYESORE_KERNELS_NETWORKS_H

#include "kernels/cbam.h"
#include "kernels/graph.h"

enum arch { ARCH_DENSENET, ARCH_RESNET, ARCH_MOBILENET_V2 };

#define NETWORK_MAX_LAYERS 64

struct geometry {
    enum arch arch;
    char name[32]; /* "densenet161", "resnet50", "mobilenet_v2", or "densenet[6,12,36,24]x32" for other
                      variants */
    enum cbam_layout attention;
    int n_classes;
    int stem;      /* channels of the first convolution */
    int layers[4]; /* layers of each dense block or stage */
    /* DenseNet */
    int growth, bottleneck; /* channels a layer adds; channels of its 1x1 */
    bool old_spelling;      /* norm.1, conv.2 (torchvision's first weights) instead of norm1, conv2 */
    /* ResNet */
    int width, block_out; /* channels of the first stage's 3x3 and of its blocks; doubled at each stage */
    /* MobileNetV2: per inverted residual */
    bool timm_spelling; /* blocks.1.0.conv_pw instead of features.2.conv.0.0 */
    int n_residuals, expanded[NETWORK_MAX_LAYERS], projected[NETWORK_MAX_LAYERS], stride[NETWORK_MAX_LAYERS];
    int last; /* channels of the last 1x1 */
};

/* The published geometry of "densenet161", "resnet50" or "mobilenet_v2"; other names: STATUS_USAGE. */
enum status network_geometry(const char *arch, enum cbam_layout attention, int n_classes,
                             struct geometry *out);

/* Recognise the network from the tensors of a file. */
enum status network_measure(const struct weights *weights, struct geometry *out);

/*
 * Write the plain op list for pictures of [3, size, size]. `weights` is a file, in which every tensor must be
 * found and none left over, or a declaration, which gets the tensors. OUT graph: graph_free. It points into
 * weights.
 */
enum status network_build(const struct geometry *geometry, struct weights *weights, int size,
                          struct graph *out);

/* One network each; called by the three above. */
void densenet161_geometry(struct geometry *out);
enum status densenet161_measure(const struct weights *weights, struct geometry *out);
enum status densenet161_build(const struct geometry *geometry, struct weights *weights, struct graph *graph,
                              int value);
void resnet50_geometry(struct geometry *out);
enum status resnet50_measure(const struct weights *weights, struct geometry *out);
enum status resnet50_build(const struct geometry *geometry, struct weights *weights, struct graph *graph,
                           int value);
void mobilenet_v2_geometry(struct geometry *out);
enum status mobilenet_v2_measure(const struct weights *weights, struct geometry *out);
enum status mobilenet_v2_build(const struct geometry *geometry, struct weights *weights, struct graph *graph,
                               int value);

/* What a network file writes with. */
struct network_builder {
    const struct geometry *geometry;
    struct weights *weights;
    struct graph *graph;
};

/* A convolution that keeps the size (pad = kernel / 2), by its stride, and its batch norm. */
enum status network_conv_norm(const struct network_builder *b, const char *conv, const char *norm, int *value,
                              int k, int kernel, int stride, int groups);

/* Size of dimension `dim` of the tensor of this printf-formatted name; 0 where there is none. */
int network_tensor_dim(const struct weights *weights, int dim, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
