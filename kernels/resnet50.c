/*
 * ResNet with bottlenecks (He, Zhang, Ren, Sun: "Deep Residual Learning for Image Recognition", CVPR 2016,
 * arXiv:1512.03385), the stride in the 3x3 as torchvision and timm have it ("v1.5"), and their tensor names.
 * ResNet50: stem 64, stages of 3, 4, 6 and 3 blocks. CBAM sits behind bn3, before the add.
 */
#include "kernels/networks.h"

#include <stdio.h>
#include <string.h>

void resnet50_geometry(struct geometry *out)
{
    static const int layers[4] = {3, 4, 6, 3};
    out->stem = 64;
    out->width = 64;
    out->block_out = 256;
    memcpy(out->layers, layers, sizeof(layers));
}

enum status resnet50_measure(const struct weights *weights, struct geometry *out)
{
    enum status rc = STATUS_OK;
    int n = 0;

    out->stem = network_tensor_dim(weights, 0, "conv1.weight");
    out->width = network_tensor_dim(weights, 0, "layer1.0.conv1.weight");
    out->n_classes = network_tensor_dim(weights, 0, "fc.weight");
    for (int s = 0; s < 4; s++) {
        while (network_tensor_dim(weights, 0, "layer%d.%d.conv1.weight", s + 1, out->layers[s]) > 0)
            out->layers[s]++;
        n += out->layers[s];
    }
    out->block_out = network_tensor_dim(weights, 0, "layer1.0.conv3.weight");
    if (out->block_out == 0)
        FAIL(STATUS_INPUT,
             "weights %s: a ResNet without bottlenecks (layer1.0.conv3.weight): is this a ResNet18/34?",
             weights->path);
    if (out->n_classes < 1)
        FAIL(STATUS_INPUT, "weights %s: fc.weight is missing: was the network saved without its head?",
             weights->path);
    /* "Wide" (Zagoruyko, Komodakis 2016): the 3x3 is wider than a quarter of the block. */
    snprintf(out->name, sizeof(out->name), "%sresnet%d", 4 * out->width == out->block_out ? "" : "wide_",
             (3 * n + 2) % 100000);
out:
    return rc;
}

static enum status conv_norm(const struct network_builder *b, const char *prefix, const char *conv,
                             const char *norm, int *value, int k, int kernel, int stride)
{
    char conv_name[TENSOR_NAME_SIZE], norm_name[TENSOR_NAME_SIZE];

    snprintf(conv_name, sizeof(conv_name), "%s.%s", prefix, conv);
    snprintf(norm_name, sizeof(norm_name), "%s.%s", prefix, norm);
    return network_conv_norm(b, conv_name, norm_name, value, k, kernel, stride, 1);
}

static enum status bottleneck(const struct network_builder *b, int stage, int block, int *value)
{
    enum status rc = STATUS_OK;
    int width = b->geometry->width << (stage - 1), k = b->geometry->block_out << (stage - 1);
    int stride = stage > 1 && block == 0 ? 2 : 1;
    int shortcut = *value, branch = shortcut;
    char prefix[64];

    snprintf(prefix, sizeof(prefix), "layer%d.%d", stage, block);
    if (block == 0)
        TRY(conv_norm(b, prefix, "downsample.0", "downsample.1", &shortcut, k, 1, stride));
    TRY(conv_norm(b, prefix, "conv1", "bn1", &branch, width, 1, 1));
    TRY(graph_activation(b->graph, OP_RELU, &branch));
    TRY(conv_norm(b, prefix, "conv2", "bn2", &branch, width, 3, stride));
    TRY(graph_activation(b->graph, OP_RELU, &branch));
    TRY(conv_norm(b, prefix, "conv3", "bn3", &branch, k, 1, 1));
    TRY(cbam_append(b->graph, b->weights, b->geometry->attention, prefix, &branch));
    TRY(graph_join(b->graph, OP_ADD, prefix, branch, shortcut, value));
    TRY(graph_activation(b->graph, OP_RELU, value));
out:
    return rc;
}

enum status resnet50_build(const struct geometry *geometry, struct weights *weights, struct graph *graph,
                           int value)
{
    enum status rc = STATUS_OK;
    struct network_builder b = {geometry, weights, graph};

    TRY(network_conv_norm(&b, "conv1", "bn1", &value, geometry->stem, 7, 2, 1));
    TRY(graph_activation(graph, OP_RELU, &value));
    TRY(graph_pool(graph, OP_MAX_POOL, "maxpool", &value, 3, 2, 1));
    for (int stage = 1; stage <= 4; stage++)
        for (int block = 0; block < geometry->layers[stage - 1]; block++)
            TRY(bottleneck(&b, stage, block, &value));
    TRY(graph_head(graph, weights, "fc", geometry->n_classes, &value));
out:
    return rc;
}
