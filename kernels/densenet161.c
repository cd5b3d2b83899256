/*
 * DenseNet (Huang, Liu, van der Maaten, Weinberger: "Densely Connected Convolutional Networks", CVPR 2017,
 * arXiv:1608.06993), the variant with bottlenecks and compression (BC), tensor names as in torchvision and
 * timm. DenseNet161: stem 96, growth 48, blocks of 6, 12, 36 and 24 layers.
 */
#include "kernels/networks.h"

#include <stdio.h>
#include <string.h>

#define DENSELAYER "features.denseblock%d.denselayer%d"

void densenet161_geometry(struct geometry *out)
{
    static const int layers[4] = {6, 12, 36, 24};
    out->stem = 96;
    out->growth = 48;
    out->bottleneck = 4 * out->growth;
    memcpy(out->layers, layers, sizeof(layers));
}

static int count_layers(const struct weights *weights, int block, bool old_spelling)
{
    int n = 0;
    while (network_tensor_dim(weights, 0, DENSELAYER "%s", block + 1, n + 1,
                              old_spelling ? ".conv.1.weight" : ".conv1.weight") > 0)
        n++;
    return n;
}

enum status densenet161_measure(const struct weights *weights, struct geometry *out)
{
    enum status rc = STATUS_OK;
    static const int published[4] = {6, 12, 36, 24};

    out->stem = network_tensor_dim(weights, 0, "features.conv0.weight");
    out->old_spelling = network_tensor_dim(weights, 0, DENSELAYER ".conv.1.weight", 1, 1) > 0;
    out->bottleneck = network_tensor_dim(weights, 0, DENSELAYER "%s", 1, 1,
                                         out->old_spelling ? ".conv.1.weight" : ".conv1.weight");
    out->growth = network_tensor_dim(weights, 0, DENSELAYER "%s", 1, 1,
                                     out->old_spelling ? ".conv.2.weight" : ".conv2.weight");
    out->n_classes = network_tensor_dim(weights, 0, "classifier.weight");
    for (int b = 0; b < 4; b++)
        out->layers[b] = count_layers(weights, b, out->old_spelling);
    if (out->growth < 1 || out->bottleneck < 1)
        FAIL(STATUS_INPUT, "weights %s: a DenseNet without features.denseblock1.denselayer1.conv1 and conv2",
             weights->path);
    if (out->n_classes < 1)
        FAIL(STATUS_INPUT,
             "weights %s: classifier.weight is missing: was the network saved without its head?",
             weights->path);
    if (out->stem == 96 && out->growth == 48 && memcmp(out->layers, published, sizeof(published)) == 0)
        snprintf(out->name, sizeof(out->name), "densenet161");
    else if (out->growth == 32 && out->layers[0] == 6 && out->layers[1] == 12 && out->layers[2] == 24 &&
             out->layers[3] == 16)
        snprintf(out->name, sizeof(out->name), "densenet121");
    else
        snprintf(out->name, sizeof(out->name), "densenet%d-%d-%d-%d-k%d", out->layers[0] % 1000,
                 out->layers[1] % 1000, out->layers[2] % 1000, out->layers[3] % 1000, out->growth % 10000);
out:
    return rc;
}

/* norm - relu - conv: DenseNet activates before it convolves. */
static enum status pre_activated_conv(const struct network_builder *b, const char *prefix, const char *norm,
                                      const char *conv, int *value, int k, int kernel)
{
    enum status rc = STATUS_OK;
    char name[TENSOR_NAME_SIZE];

    snprintf(name, sizeof(name), "%s.%s", prefix, norm);
    TRY(graph_batch_norm(b->graph, b->weights, name, value));
    TRY(graph_activation(b->graph, OP_RELU, value));
    snprintf(name, sizeof(name), "%s.%s", prefix, conv);
    TRY(graph_conv(b->graph, b->weights, name, value, k, kernel, 1, kernel / 2, 1));
out:
    return rc;
}

static enum status dense_layer(const struct network_builder *b, int block, int layer, int *features)
{
    enum status rc = STATUS_OK;
    const struct geometry *g = b->geometry;
    char prefix[64];
    int value = *features;

    snprintf(prefix, sizeof(prefix), DENSELAYER, block, layer);
    TRY(pre_activated_conv(b, prefix, g->old_spelling ? "norm.1" : "norm1",
                           g->old_spelling ? "conv.1" : "conv1", &value, g->bottleneck, 1));
    TRY(pre_activated_conv(b, prefix, g->old_spelling ? "norm.2" : "norm2",
                           g->old_spelling ? "conv.2" : "conv2", &value, g->growth, 3));
    TRY(cbam_append(b->graph, b->weights, g->attention, prefix, &value));
    TRY(graph_join(b->graph, OP_CONCAT, prefix, *features, value, features));
out:
    return rc;
}

enum status densenet161_build(const struct geometry *geometry, struct weights *weights, struct graph *graph,
                              int value)
{
    enum status rc = STATUS_OK;
    struct network_builder b = {geometry, weights, graph};
    char prefix[64];

    TRY(network_conv_norm(&b, "features.conv0", "features.norm0", &value, geometry->stem, 7, 2, 1));
    TRY(graph_activation(graph, OP_RELU, &value));
    TRY(graph_pool(graph, OP_MAX_POOL, "features.pool0", &value, 3, 2, 1));
    for (int block = 1; block <= 4 && geometry->layers[block - 1] > 0; block++) {
        for (int layer = 1; layer <= geometry->layers[block - 1]; layer++)
            TRY(dense_layer(&b, block, layer, &value));
        if (block == 4 || geometry->layers[block] == 0)
            break;
        snprintf(prefix, sizeof(prefix), "features.transition%d", block);
        TRY(pre_activated_conv(&b, prefix, "norm", "conv", &value, graph->ops[value].shape.c / 2, 1));
        TRY(graph_pool(graph, OP_AVG_POOL, prefix, &value, 2, 2, 0));
    }
    TRY(graph_batch_norm(graph, weights, "features.norm5", &value));
    TRY(graph_activation(graph, OP_RELU, &value));
    TRY(graph_head(graph, weights, "classifier", geometry->n_classes, &value));
out:
    return rc;
}
