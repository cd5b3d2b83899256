#include "kernels/cbam.h"

#include <stdio.h>
#include <string.h>

#define REDUCTION 16 /* the paper's r */
#define SPATIAL_KERNEL 7

/* How a layout spells its tensors, behind the block's prefix. */
struct spelling {
    const char *name;
    const char *mark; /* a piece of a name that only this layout has */
    const char *fc1, *fc2, *conv, *bn;
    bool bias, max_first;
};

static const struct spelling spellings[] = {
    [CBAM_NONE] = {.name = "none"},
    [CBAM_JONGCHAN] = {"jongchan", ".cbam.ChannelGate.", ".cbam.ChannelGate.mlp.1", ".cbam.ChannelGate.mlp.3",
                       ".cbam.SpatialGate.spatial.conv", ".cbam.SpatialGate.spatial.bn", true, true},
    [CBAM_TIMM] = {"timm", ".se.channel.", ".se.channel.fc1", ".se.channel.fc2", ".se.spatial.conv.conv",
                   ".se.spatial.conv.bn", false, false},
    [CBAM_LUUUYI] = {"luuuyi", ".ca.fc", ".ca.fc.0", ".ca.fc.2", ".sa.conv1", NULL, false, false},
};

/* luuuyi's older revision, before fc became a sequence. */
static const struct spelling luuuyi_older = {"luuuyi",    ".ca.fc1.", ".ca.fc1", ".ca.fc2",
                                             ".sa.conv1", NULL,       false,     false};

const char *cbam_layout_name(enum cbam_layout layout)
{
    return spellings[layout].name;
}

enum status cbam_layout_parse(const char *name, enum cbam_layout *layout)
{
    enum status rc = STATUS_OK;

    for (int i = CBAM_NONE; i <= CBAM_LUUUYI; i++) {
        if (strcmp(name, spellings[i].name) == 0) {
            *layout = (enum cbam_layout)i;
            goto out;
        }
    }
    FAIL(STATUS_USAGE, "attention %s is not known: none, jongchan, timm or luuuyi", name);
out:
    return rc;
}

enum cbam_layout cbam_detect(const struct weights *weights)
{
    for (int t = 0; t < weights->n_tensors; t++)
        for (int i = CBAM_JONGCHAN; i <= CBAM_LUUUYI; i++)
            if (strstr(weights->tensors[t]->name, spellings[i].mark) != NULL)
                return (enum cbam_layout)i;
    return CBAM_NONE;
}

struct binding {
    struct weights *weights;
    const char *prefix;
};

static enum status take(const struct binding *at, const char *part, const char *field, const int64_t *dims,
                        int n_dims, struct tensor **out)
{
    char name[2 * TENSOR_NAME_SIZE];
    snprintf(name, sizeof(name), "%s%s.%s", at->prefix, part, field);
    return weights_take(at->weights, name, dims, n_dims, out);
}

static const struct tensor *look(const struct binding *at, const char *part)
{
    char name[2 * TENSOR_NAME_SIZE];
    snprintf(name, sizeof(name), "%s%s.weight", at->prefix, part);
    return weights_find(at->weights, name);
}

bool cbam_is_at(const struct weights *weights, enum cbam_layout layout, const char *prefix)
{
    char name[2 * TENSOR_NAME_SIZE];

    if (layout == CBAM_NONE)
        return false;
    snprintf(name, sizeof(name), "%s%s.weight", prefix, spellings[layout].fc1);
    if (weights_find(weights, name) != NULL)
        return true;
    snprintf(name, sizeof(name), "%s%s.weight", prefix, luuuyi_older.fc1);
    return layout == CBAM_LUUUYI && weights_find(weights, name) != NULL;
}

static enum status take_channel_gate(const struct binding *at, const struct spelling *s, int c, struct op *op)
{
    enum status rc = STATUS_OK;
    const struct tensor *fc1 = look(at, s->fc1);
    int64_t reduced = fc1 != NULL && fc1->n_dims >= 2 ? fc1->dim[0] : (c < REDUCTION ? 1 : c / REDUCTION);
    int64_t down[] = {reduced, c, 1, 1}, up[] = {c, reduced, 1, 1};
    int n_dims = s->bias ? 2 : 4; /* linear layers, or 1x1 convolutions without a bias */

    TRY(take(at, s->fc1, "weight", down, n_dims, &op->param[CBAM_FC1_WEIGHT]));
    TRY(take(at, s->fc2, "weight", up, n_dims, &op->param[CBAM_FC2_WEIGHT]));
    if (s->bias) {
        TRY(take(at, s->fc1, "bias", down, 1, &op->param[CBAM_FC1_BIAS]));
        TRY(take(at, s->fc2, "bias", up, 1, &op->param[CBAM_FC2_BIAS]));
    }
out:
    return rc;
}

static enum status take_spatial_gate(const struct binding *at, const struct spelling *s, struct op *op)
{
    static const char *const fields[] = {"weight", "bias", "running_mean", "running_var"};
    enum status rc = STATUS_OK;
    const struct tensor *conv = look(at, s->conv);
    /* The paper's 7, or the paper's other choice, 3, where the file has it. */
    op->kernel = conv != NULL && conv->n_dims == 4 && conv->dim[2] == 3 ? 3 : SPATIAL_KERNEL;
    int64_t dims[] = {1, 2, op->kernel, op->kernel}, one[] = {1};

    op->pad = op->kernel / 2;
    TRY(take(at, s->conv, "weight", dims, 4, &op->param[CBAM_CONV]));
    for (int i = 0; s->bn != NULL && i < 4; i++)
        TRY(take(at, s->bn, fields[i], one, 1, &op->param[CBAM_BN_WEIGHT + i]));
out:
    return rc;
}

enum status cbam_append(struct graph *graph, struct weights *weights, enum cbam_layout layout,
                        const char *prefix, int *value)
{
    enum status rc = STATUS_OK;
    const struct spelling *s = &spellings[layout];
    struct binding at = {weights, prefix};
    struct op op = {
        .kind = OP_CBAM, .input = {*value, GRAPH_NONE}, .stride = 1, .groups = 1, .buffer = GRAPH_NONE};

    if (layout == CBAM_NONE)
        goto out;
    if (layout == CBAM_LUUUYI && look(&at, luuuyi_older.fc1) != NULL)
        s = &luuuyi_older;
    snprintf(op.name, sizeof(op.name), "%s.%s", prefix, "cbam");
    op.shape = graph->ops[*value].shape;
    op.cbam_max_first = s->max_first;
    TRY(take_channel_gate(&at, s, op.shape.c, &op));
    TRY(take_spatial_gate(&at, s, &op));
    TRY(graph_append(graph, &op, value));
out:
    return rc;
}
