/*
 * MobileNetV2 (Sandler, Howard, Zhu, Zhmoginov, Chen: "MobileNetV2: Inverted Residuals and Linear
 * Bottlenecks", CVPR 2018, arXiv:1801.04381), tensor names as in torchvision. CBAM sits behind each
 * projection's batch norm, before the add.
 */
#include "kernels/networks.h"

#include <stdio.h>

void mobilenet_v2_geometry(struct geometry *out)
{
    /* Table 2 of the paper: expansion, channels, repeats, stride of the first. */
    static const int rows[7][4] = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                                   {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};
    int c = 32;

    out->stem = c;
    for (int r = 0; r < 7; r++) {
        for (int i = 0; i < rows[r][2]; i++) {
            int n = out->n_residuals++;
            out->expanded[n] = rows[r][0] * c;
            out->projected[n] = c = rows[r][1];
            out->stride[n] = i == 0 ? rows[r][3] : 1;
        }
    }
    out->last = 1280;
}

/* Strides leave no trace in the tensors: they are those of the paper, by position. */
enum status mobilenet_v2_measure(const struct weights *weights, struct geometry *out)
{
    enum status rc = STATUS_OK;
    struct geometry paper = {0};

    mobilenet_v2_geometry(&paper);
    out->n_residuals = paper.n_residuals;
    out->stem = network_tensor_dim(weights, 0, "features.0.0.weight");
    for (int n = 0; n < paper.n_residuals; n++) {
        bool expands = network_tensor_dim(weights, 0, "features.%d.conv.3.weight", n + 1) > 0;
        out->stride[n] = paper.stride[n];
        out->expanded[n] = network_tensor_dim(weights, 0, "features.%d.conv.0.0.weight", n + 1);
        out->projected[n] =
            network_tensor_dim(weights, 0, "features.%d.conv.%d.weight", n + 1, expands ? 2 : 1);
        if (out->expanded[n] < 1 || out->projected[n] < 1)
            FAIL(STATUS_INPUT, "weights %s: a MobileNetV2 whose features.%d.conv is not an inverted residual",
                 weights->path, n + 1);
    }
    out->last = network_tensor_dim(weights, 0, "features.%d.0.weight", paper.n_residuals + 1);
    out->n_classes = network_tensor_dim(weights, 0, "classifier.1.weight");
    if (out->last < 1 || out->n_classes < 1)
        FAIL(STATUS_INPUT, "weights %s: features.18.0.weight or classifier.1.weight is missing",
             weights->path);
    snprintf(out->name, sizeof(out->name), "mobilenet_v2");
out:
    return rc;
}

struct builder {
    const struct geometry *geometry;
    struct weights *weights;
    struct graph *graph;
};

static enum status conv_norm(const struct builder *b, const char *conv, const char *norm, int *value, int k,
                             int kernel, int stride, int groups)
{
    enum status rc = STATUS_OK;
    TRY(graph_conv(b->graph, b->weights, conv, value, k, kernel, stride, kernel / 2, groups));
    TRY(graph_batch_norm(b->graph, b->weights, norm, value));
out:
    return rc;
}

/* Part `i` of the block's sequence `conv`: a convolution and its batch norm, activated. */
static enum status conv_norm_relu6(const struct builder *b, const char *prefix, int i, int *value, int k,
                                   int kernel, int stride, int groups)
{
    enum status rc = STATUS_OK;
    char conv[80], norm[80];

    snprintf(conv, sizeof(conv), "%s.%d.0", prefix, i);
    snprintf(norm, sizeof(norm), "%s.%d.1", prefix, i);
    TRY(conv_norm(b, conv, norm, value, k, kernel, stride, groups));
    TRY(graph_activation(b->graph, OP_RELU6, value));
out:
    return rc;
}

static enum status inverted_residual(const struct builder *b, int n, int *value)
{
    enum status rc = STATUS_OK;
    const struct geometry *g = b->geometry;
    char prefix[40], block[32], conv[80], norm[80];
    int branch = *value, part = 0, c = b->graph->ops[*value].shape.c;

    snprintf(block, sizeof(block), "features.%d", n + 1);
    snprintf(prefix, sizeof(prefix), "%s.conv", block);
    if (g->expanded[n] != c)
        TRY(conv_norm_relu6(b, prefix, part++, &branch, g->expanded[n], 1, 1, 1));
    TRY(conv_norm_relu6(b, prefix, part++, &branch, g->expanded[n], 3, g->stride[n], g->expanded[n]));
    snprintf(conv, sizeof(conv), "%s.%d", prefix, part);
    snprintf(norm, sizeof(norm), "%s.%d", prefix, part + 1);
    TRY(conv_norm(b, conv, norm, &branch, g->projected[n], 1, 1, 1));
    /* Beside the block's sequence, or, where the file has it so, as the last member of it. */
    bool inside = cbam_is_at(b->weights, g->attention, prefix);
    TRY(cbam_append(b->graph, b->weights, g->attention, inside ? prefix : block, &branch));
    if (g->stride[n] == 1 && g->projected[n] == c)
        TRY(graph_join(b->graph, OP_ADD, block, branch, *value, &branch));
    *value = branch;
out:
    return rc;
}

enum status mobilenet_v2_build(const struct geometry *geometry, struct weights *weights, struct graph *graph,
                               int value)
{
    enum status rc = STATUS_OK;
    struct builder b = {geometry, weights, graph};
    char conv[32], norm[32];

    TRY(conv_norm(&b, "features.0.0", "features.0.1", &value, geometry->stem, 3, 2, 1));
    TRY(graph_activation(graph, OP_RELU6, &value));
    for (int n = 0; n < geometry->n_residuals; n++)
        TRY(inverted_residual(&b, n, &value));
    snprintf(conv, sizeof(conv), "features.%d.0", geometry->n_residuals + 1);
    snprintf(norm, sizeof(norm), "features.%d.1", geometry->n_residuals + 1);
    TRY(conv_norm(&b, conv, norm, &value, geometry->last, 1, 1, 1));
    TRY(graph_activation(graph, OP_RELU6, &value));
    TRY(graph_head(graph, weights, "classifier.1", geometry->n_classes, &value));
out:
    return rc;
}
