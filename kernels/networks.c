#include "kernels/networks.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct network {
    const char *name;
    const char *mark; /* the tensor by which the family is recognised */
    enum arch arch;
    void (*geometry)(struct geometry *out);
    enum status (*measure)(const struct weights *weights, struct geometry *out);
    enum status (*build)(const struct geometry *geometry, struct weights *weights, struct graph *graph,
                         int value);
};

static const struct network networks[] = {
    {"densenet161", "features.conv0.weight", ARCH_DENSENET, densenet161_geometry, densenet161_measure,
     densenet161_build},
    {"resnet50", "layer1.0.conv1.weight", ARCH_RESNET, resnet50_geometry, resnet50_measure, resnet50_build},
    {"mobilenet_v2", "features.0.0.weight", ARCH_MOBILENET_V2, mobilenet_v2_geometry, mobilenet_v2_measure,
     mobilenet_v2_build},
    {"mobilenet_v2", "blocks.0.0.conv_dw.weight", ARCH_MOBILENET_V2, mobilenet_v2_geometry,
     mobilenet_v2_measure, mobilenet_v2_build}, /* as timm spells it */
};
#define N_NETWORKS (sizeof(networks) / sizeof(networks[0]))

int network_tensor_dim(const struct weights *weights, int dim, const char *format, ...)
{
    char name[TENSOR_NAME_SIZE];
    va_list args;

    va_start(args, format);
    vsnprintf(name, sizeof(name), format, args);
    va_end(args);
    const struct tensor *t = weights_find(weights, name);
    return t == NULL || dim >= t->n_dims ? 0 : (int)t->dim[dim];
}

enum status network_conv_norm(const struct network_builder *b, const char *conv, const char *norm, int *value,
                              int k, int kernel, int stride, int groups)
{
    enum status rc = STATUS_OK;
    TRY(graph_conv(b->graph, b->weights, conv, value, k, kernel, stride, kernel / 2, groups));
    TRY(graph_batch_norm(b->graph, b->weights, norm, value));
out:
    return rc;
}

enum status network_geometry(const char *arch, enum cbam_layout attention, int n_classes,
                             struct geometry *out)
{
    enum status rc = STATUS_OK;

    for (size_t i = 0; i < N_NETWORKS; i++) {
        if (strcmp(arch, networks[i].name) != 0)
            continue;
        *out = (struct geometry){.arch = networks[i].arch, .attention = attention, .n_classes = n_classes};
        snprintf(out->name, sizeof(out->name), "%s", arch);
        networks[i].geometry(out);
        goto out;
    }
    FAIL(STATUS_USAGE, "architecture %s is not known: densenet161, resnet50 or mobilenet_v2", arch);
out:
    return rc;
}

enum status network_measure(const struct weights *weights, struct geometry *out)
{
    enum status rc = STATUS_OK;

    for (size_t i = 0; i < N_NETWORKS; i++) {
        if (weights_find(weights, networks[i].mark) == NULL)
            continue;
        *out = (struct geometry){.arch = networks[i].arch, .attention = cbam_detect(weights)};
        TRY(networks[i].measure(weights, out));
        goto out;
    }
    if (weights->n_tensors > 0 && strncmp(weights->tensors[0]->name, "module.", 7) == 0)
        FAIL(STATUS_INPUT, "weights %s: saved from DataParallel: strip the prefix module. from the names",
             weights->path);
    FAIL(STATUS_INPUT,
         "weights %s: neither a DenseNet (features.conv0.weight), a ResNet (layer1.0.conv1.weight) nor a "
         "MobileNetV2 (features.0.0.weight)",
         weights->path);
out:
    return rc;
}

enum status network_build(const struct geometry *geometry, struct weights *weights, int size,
                          struct graph *out)
{
    enum status rc = STATUS_OK;
    struct graph graph = {0};
    int input;

    snprintf(graph.arch, sizeof(graph.arch), "%s", geometry->name);
    snprintf(graph.attention, sizeof(graph.attention), "%s", cbam_layout_name(geometry->attention));
    TRY(graph_input(&graph, size, &input));
    const struct network *network = networks;
    while (network->arch != geometry->arch)
        network++;
    TRY(network->build(geometry, weights, &graph, input));
    if (!weights->declaring)
        TRY(weights_check_all_taken(weights, geometry->name));
    *out = graph;
    graph = (struct graph){0};
out:
    graph_free(&graph);
    return rc;
}
