/*
 * MobileNetV2 (Sandler, Howard, Zhu, Zhmoginov, Chen: "MobileNetV2: Inverted Residuals and Linear
 * Bottlenecks", CVPR 2018, arXiv:1801.04381), tensor names as in torchvision or as in timm. CBAM sits behind
 * each projection's batch norm, before the add.
 */
#include "kernels/networks.h"

#include <stdio.h>

#define N_ROWS 7

/* Table 2 of the paper: expansion, channels, repeats, stride of the first. */
static const int paper[N_ROWS][4] = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                                     {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};

void mobilenet_v2_geometry(struct geometry *out)
{
    int c = 32;

    out->stem = c;
    for (int r = 0; r < N_ROWS; r++) {
        for (int i = 0; i < paper[r][2]; i++) {
            int n = out->n_residuals++;
            out->expanded[n] = paper[r][0] * c;
            out->projected[n] = c = paper[r][1];
            out->stride[n] = i == 0 ? paper[r][3] : 1;
        }
    }
    out->last = 1280;
}

#define NAME_SIZE 80

/* The names of an inverted residual's members. */
struct residual_names {
    char block[NAME_SIZE];                            /* where CBAM is, */
    char inside[NAME_SIZE];                           /* or here, as a member of the sequence */
    char expand[NAME_SIZE], expand_norm[NAME_SIZE];   /* 1x1; none in the first block */
    char spatial[NAME_SIZE], spatial_norm[NAME_SIZE]; /* depthwise 3x3 */
    char project[NAME_SIZE], project_norm[NAME_SIZE]; /* 1x1 */
};

static void name_as_torchvision(int n, bool expands, struct residual_names *names)
{
    int part = expands ? 1 : 0;

    snprintf(names->block, NAME_SIZE, "features.%d", n + 1);
    snprintf(names->inside, NAME_SIZE, "features.%d.conv", n + 1);
    snprintf(names->expand, NAME_SIZE, "features.%d.conv.0.0", n + 1);
    snprintf(names->expand_norm, NAME_SIZE, "features.%d.conv.0.1", n + 1);
    snprintf(names->spatial, NAME_SIZE, "features.%d.conv.%d.0", n + 1, part);
    snprintf(names->spatial_norm, NAME_SIZE, "features.%d.conv.%d.1", n + 1, part);
    snprintf(names->project, NAME_SIZE, "features.%d.conv.%d", n + 1, part + 1);
    snprintf(names->project_norm, NAME_SIZE, "features.%d.conv.%d", n + 1, part + 2);
}

/* Row and repeat of the paper's table; a block without expansion calls its projection conv_pw. */
static void name_as_timm(int n, bool expands, struct residual_names *names)
{
    int row = 0;

    while (n >= paper[row][2])
        n -= paper[row++][2];
    snprintf(names->block, NAME_SIZE, "blocks.%d.%d", row, n);
    snprintf(names->inside, NAME_SIZE, "blocks.%d.%d", row, n);
    snprintf(names->expand, NAME_SIZE, "%s.conv_pw", names->inside);
    snprintf(names->expand_norm, NAME_SIZE, "%s.bn1", names->inside);
    snprintf(names->spatial, NAME_SIZE, "%s.conv_dw", names->inside);
    snprintf(names->spatial_norm, NAME_SIZE, "%s.%s", names->inside, expands ? "bn2" : "bn1");
    snprintf(names->project, NAME_SIZE, "%s.%s", names->inside, expands ? "conv_pwl" : "conv_pw");
    snprintf(names->project_norm, NAME_SIZE, "%s.%s", names->inside, expands ? "bn3" : "bn2");
}

static void name_residual(const struct geometry *g, int n, struct residual_names *names)
{
    bool expands = n > 0; /* the paper's first row has expansion 1 */

    if (g->timm_spelling)
        name_as_timm(n, expands, names);
    else
        name_as_torchvision(n, expands, names);
}

struct outer_names {
    const char *stem, *stem_norm, *last, *last_norm, *head;
};

static struct outer_names name_outer(const struct geometry *g)
{
    static const struct outer_names torchvision = {"features.0.0", "features.0.1", "features.18.0",
                                                   "features.18.1", "classifier.1"};
    static const struct outer_names timm = {"conv_stem", "bn1", "conv_head", "bn2", "classifier"};
    return g->timm_spelling ? timm : torchvision;
}

/* Strides leave no trace in the tensors: they are those of the paper, by position. */
enum status mobilenet_v2_measure(const struct weights *weights, struct geometry *out)
{
    enum status rc = STATUS_OK;
    struct geometry published = {0};

    out->timm_spelling = weights_find(weights, "conv_stem.weight") != NULL;
    struct outer_names outer = name_outer(out);
    mobilenet_v2_geometry(&published);
    out->n_residuals = published.n_residuals;
    out->stem = network_tensor_dim(weights, 0, "%s.weight", outer.stem);
    for (int n = 0; n < published.n_residuals; n++) {
        struct residual_names names;
        name_residual(out, n, &names);
        out->stride[n] = published.stride[n];
        out->expanded[n] = network_tensor_dim(weights, 0, "%s.weight", names.spatial);
        out->projected[n] = network_tensor_dim(weights, 0, "%s.weight", names.project);
        if (out->expanded[n] < 1 || out->projected[n] < 1)
            FAIL(STATUS_INPUT,
                 "weights %s: tensor %s.weight is missing: is the file cut, or of another network?",
                 weights->path, out->expanded[n] < 1 ? names.spatial : names.project);
    }
    out->last = network_tensor_dim(weights, 0, "%s.weight", outer.last);
    out->n_classes = network_tensor_dim(weights, 0, "%s.weight", outer.head);
    if (out->last < 1 || out->n_classes < 1)
        FAIL(STATUS_INPUT, "weights %s: %s.weight or %s.weight is missing", weights->path, outer.last,
             outer.head);
    snprintf(out->name, sizeof(out->name), "mobilenet_v2");
out:
    return rc;
}

static enum status conv_norm_relu6(const struct network_builder *b, const char *conv, const char *norm,
                                   int *value, int k, int kernel, int stride, int groups)
{
    enum status rc = STATUS_OK;
    TRY(network_conv_norm(b, conv, norm, value, k, kernel, stride, groups));
    TRY(graph_activation(b->graph, OP_RELU6, value));
out:
    return rc;
}

static enum status inverted_residual(const struct network_builder *b, int n, int *value)
{
    enum status rc = STATUS_OK;
    const struct geometry *g = b->geometry;
    struct residual_names names;
    int branch = *value, c = b->graph->ops[*value].shape.c, wide = g->expanded[n];

    name_residual(g, n, &names);
    if (n > 0)
        TRY(conv_norm_relu6(b, names.expand, names.expand_norm, &branch, wide, 1, 1, 1));
    TRY(conv_norm_relu6(b, names.spatial, names.spatial_norm, &branch, wide, 3, g->stride[n], wide));
    TRY(network_conv_norm(b, names.project, names.project_norm, &branch, g->projected[n], 1, 1, 1));
    bool inside = cbam_is_at(b->weights, g->attention, names.inside);
    TRY(cbam_append(b->graph, b->weights, g->attention, inside ? names.inside : names.block, &branch));
    if (g->stride[n] == 1 && g->projected[n] == c)
        TRY(graph_join(b->graph, OP_ADD, names.block, branch, *value, &branch));
    *value = branch;
out:
    return rc;
}

enum status mobilenet_v2_build(const struct geometry *geometry, struct weights *weights, struct graph *graph,
                               int value)
{
    enum status rc = STATUS_OK;
    struct network_builder b = {geometry, weights, graph};
    struct outer_names names = name_outer(geometry);

    TRY(conv_norm_relu6(&b, names.stem, names.stem_norm, &value, geometry->stem, 3, 2, 1));
    for (int n = 0; n < geometry->n_residuals; n++)
        TRY(inverted_residual(&b, n, &value));
    TRY(conv_norm_relu6(&b, names.last, names.last_norm, &value, geometry->last, 1, 1, 1));
    TRY(graph_head(graph, weights, names.head, geometry->n_classes, &value));
out:
    return rc;
}
