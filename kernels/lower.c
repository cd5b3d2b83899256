#include "kernels/lower.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The pass over the plain list; indices are of plain ops unless they say lowered. */
struct pass {
    const struct graph *plain;
    struct graph *lowered;
    int *n_uses;   /* [n_ops] */
    int *reader;   /* [n_ops] the last op that reads the value: the only one where n_uses is 1 */
    int *made_by;  /* [n_ops] lowered op that makes this value, or GRAPH_NONE so far */
    int *joined;   /* [n_ops] the outermost concatenation the value ends up in, or GRAPH_NONE */
    int *first;    /* [n_ops] its first channel there */
    int *block;    /* [n_ops] buffer of an outermost concatenation, or GRAPH_NONE so far */
    bool *covered; /* [n_ops] already part of a lowered op */
    int align;
};

static enum status pass_open(struct pass *p, const struct graph *plain, struct graph *lowered, int align)
{
    enum status rc = STATUS_OK;
    size_t n = (size_t)plain->n_ops;

    *p = (struct pass){.plain = plain, .lowered = lowered, .align = align};
    p->n_uses = calloc(6 * n, sizeof(int));
    p->covered = calloc(n, sizeof(bool));
    if (p->n_uses == NULL || p->covered == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    p->reader = p->n_uses + n;
    p->made_by = p->reader + n;
    p->joined = p->made_by + n;
    p->first = p->joined + n;
    p->block = p->first + n;
    graph_count_uses(plain, p->n_uses);
    for (int i = 0; i < plain->n_ops; i++) {
        p->reader[i] = p->made_by[i] = p->joined[i] = p->block[i] = GRAPH_NONE;
        for (int j = 0; j < 2; j++)
            if (plain->ops[i].input[j] != GRAPH_NONE)
                p->reader[plain->ops[i].input[j]] = i;
    }
    /* Backwards, so that an outer concatenation is seen before the inner ones it extends. */
    for (int i = plain->n_ops - 1; i >= 0; i--) {
        const struct op *op = &plain->ops[i];
        if (op->kind == OP_CBAM) { /* gates in place, so its input is made where it is to stay */
            p->joined[op->input[0]] = p->joined[i];
            p->first[op->input[0]] = p->first[i];
        }
        if (op->kind != OP_CONCAT)
            continue;
        if (p->joined[i] == GRAPH_NONE)
            p->joined[i] = i;
        p->joined[op->input[0]] = p->joined[op->input[1]] = p->joined[i];
        p->first[op->input[1]] = plain->ops[op->input[0]].shape.c;
    }
out:
    return rc;
}

static void pass_close(struct pass *p)
{
    free(p->n_uses);
    free(p->covered);
}

static enum status own_tensor(struct graph *g, const char *name, const int64_t *dims, int n_dims,
                              struct tensor **out)
{
    enum status rc = STATUS_OK;

    if (g->n_own == g->own_capacity) {
        int capacity = g->own_capacity == 0 ? 512 : 2 * g->own_capacity;
        struct tensor **grown = realloc(g->own, (size_t)capacity * sizeof(*grown));
        if (grown == NULL)
            FAIL(STATUS_MEMORY, "no memory");
        g->own = grown;
        g->own_capacity = capacity;
    }
    struct tensor *t = tensor_new(name, dims, n_dims);
    if (t == NULL)
        FAIL(STATUS_MEMORY, "no memory for tensor %s", name);
    g->own[g->n_own++] = *out = t;
out:
    return rc;
}

/* OUT out: left as it is where there is none to copy. */
static enum status own_copy(struct graph *g, const struct tensor *from, struct tensor **out)
{
    enum status rc = STATUS_OK;
    if (from == NULL)
        goto out;
    TRY(own_tensor(g, from->name, from->dim, from->n_dims, out));
    tensor_to_f32(from, (*out)->own);
out:
    return rc;
}

/* A batch norm as y = scale * x + shift. OUT: own tensors [c]. */
static enum status own_scale_shift(struct graph *g, struct tensor *const *bn, struct tensor **scale,
                                   struct tensor **shift)
{
    enum status rc = STATUS_OK;
    struct tensor *weight, *bias, *mean, *var;

    assert(bn[BN_WEIGHT] != NULL && bn[BN_BIAS] != NULL && bn[BN_MEAN] != NULL && bn[BN_VAR] != NULL);
    TRY(own_copy(g, bn[BN_WEIGHT], &weight));
    TRY(own_copy(g, bn[BN_BIAS], &bias));
    TRY(own_copy(g, bn[BN_MEAN], &mean));
    TRY(own_copy(g, bn[BN_VAR], &var));
    for (int64_t i = 0; i < weight->n_elements; i++) {
        double s = weight->own[i] / sqrt(var->own[i] + BATCH_NORM_EPS);
        bias->own[i] = (float)(bias->own[i] - mean->own[i] * s);
        weight->own[i] = (float)s;
    }
    *scale = weight;
    *shift = bias;
out:
    return rc;
}

/* Fold y = bn(conv(x)): the scale into the weights, the shift into a bias. */
static enum status fold_batch_norm(struct graph *g, struct op *conv, struct tensor *const *bn)
{
    enum status rc = STATUS_OK;
    struct tensor *scale, *shift;

    TRY(own_scale_shift(g, bn, &scale, &shift));
    struct tensor *weight = conv->param[CONV_WEIGHT];
    int64_t row = weight->n_elements / weight->dim[0];
    for (int64_t i = 0; i < weight->n_elements; i++)
        weight->own[i] *= scale->own[i / row];
    conv->param[CONV_BIAS] = shift; /* no bias of its own: the published convolutions have none */
out:
    return rc;
}

/* The only reader of `value` if it is of this kind, else GRAPH_NONE. */
static int sole_reader(const struct pass *p, int value, enum op_kind kind)
{
    int reader = p->reader[value];
    return p->n_uses[value] == 1 && p->plain->ops[reader].kind == kind ? reader : GRAPH_NONE;
}

static int cover(struct pass *p, int op)
{
    p->covered[op] = true;
    return op;
}

/* Take a residual add and an activation behind `value` into the lowered op; returns the value it then makes.
 */
static int absorb_epilogue(struct pass *p, int value, bool may_add, struct op *op)
{
    int add = may_add ? sole_reader(p, value, OP_ADD) : GRAPH_NONE;
    if (add != GRAPH_NONE) {
        const struct op *join = &p->plain->ops[add];
        int other = join->input[0] == value ? join->input[1] : join->input[0];
        /* The sum is written over the other term: it must be made already, and read by nobody else later. */
        if (p->made_by[other] != GRAPH_NONE && p->reader[other] == add) {
            op->input[1] = p->made_by[other];
            value = cover(p, add);
        }
    }
    int relu = sole_reader(p, value, OP_RELU), relu6 = sole_reader(p, value, OP_RELU6);
    if (relu != GRAPH_NONE) {
        op->activation = ACTIVATION_RELU;
        value = cover(p, relu);
    } else if (relu6 != GRAPH_NONE) {
        op->activation = ACTIVATION_RELU6;
        value = cover(p, relu6);
    }
    return value;
}

static enum status add_buffer(struct graph *g, struct shape shape, int *out)
{
    enum status rc = STATUS_OK;
    struct buffer *grown = realloc(g->buffers, (size_t)(g->n_buffers + 1) * sizeof(*grown));

    if (grown == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    g->buffers = grown;
    g->buffers[g->n_buffers] = (struct buffer){.shape = shape};
    *out = g->n_buffers++;
out:
    return rc;
}

/*
 * Where the lowered op writes: into its slice of a dense block; over its residual, which nobody reads after
 * an add; for CBAM and scale-in-place over its input; else into a buffer of its own.
 */
static enum status place(struct pass *p, struct op *op, int value)
{
    enum status rc = STATUS_OK;
    struct graph *g = p->lowered;
    int outer = p->joined[value];

    if (outer != GRAPH_NONE) {
        if (p->block[outer] == GRAPH_NONE)
            TRY(add_buffer(g, p->plain->ops[outer].shape, &p->block[outer]));
        op->buffer = p->block[outer];
        op->first_channel = p->first[value];
        if (op->first_channel % p->align != 0)
            FAIL(STATUS_INPUT,
                 "%s: %s starts at channel %d of its dense block, which is no multiple of %d: a growth rate "
                 "that is "
                 "one is needed here",
                 g->arch, op->name, op->first_channel, p->align);
        goto out;
    }
    int over = op->kind == OP_CBAM ? op->input[0] : op->kind == OP_CONV ? op->input[1] : GRAPH_NONE;
    if (over != GRAPH_NONE) {
        op->buffer = g->ops[over].buffer;
        op->first_channel = g->ops[over].first_channel;
    } else {
        TRY(add_buffer(g, op->shape, &op->buffer));
    }
out:
    return rc;
}

static enum status emit(struct pass *p, struct op *op, int value)
{
    enum status rc = STATUS_OK;
    TRY(place(p, op, value));
    TRY(graph_append(p->lowered, op, &p->made_by[value]));
out:
    return rc;
}

static struct op start_from(const struct pass *p, int i)
{
    struct op op = p->plain->ops[i];
    op.input[0] = op.input[0] == GRAPH_NONE ? GRAPH_NONE : p->made_by[op.input[0]];
    op.input[1] = GRAPH_NONE;
    return op;
}

static enum status lower_conv(struct pass *p, int i)
{
    enum status rc = STATUS_OK;
    struct graph *g = p->lowered;
    struct op op = start_from(p, i);
    int value = i;
    int bn = sole_reader(p, i, OP_BATCH_NORM), pool = sole_reader(p, i, OP_AVG_POOL);

    op.param[CONV_BIAS] = NULL;
    TRY(own_copy(g, p->plain->ops[i].param[CONV_WEIGHT], &op.param[CONV_WEIGHT]));
    TRY(own_copy(g, p->plain->ops[i].param[CONV_BIAS], &op.param[CONV_BIAS]));
    if (bn != GRAPH_NONE && op.param[CONV_BIAS] == NULL) {
        TRY(fold_batch_norm(g, &op, p->plain->ops[bn].param));
        value = cover(p, bn);
    } else if (pool != GRAPH_NONE && op.kernel == 1 && op.stride == 1) {
        struct op first = p->plain->ops[pool];
        first.input[0] = op.input[0];
        first.shape.c = g->ops[op.input[0]].shape.c;
        TRY(add_buffer(g, first.shape, &first.buffer));
        TRY(graph_append(g, &first, &op.input[0]));
        op.shape.h = first.shape.h;
        op.shape.w = first.shape.w;
        value = cover(p, pool);
    }
    value = absorb_epilogue(p, value, true, &op);
    TRY(emit(p, &op, value));
out:
    return rc;
}

static enum status lower_batch_norm(struct pass *p, int i)
{
    enum status rc = STATUS_OK;
    struct op op = start_from(p, i);

    op.kind = OP_SCALE;
    memset(op.param, 0, sizeof(op.param));
    TRY(own_scale_shift(p->lowered, p->plain->ops[i].param, &op.param[SCALE_SCALE], &op.param[SCALE_SHIFT]));
    TRY(emit(p, &op, absorb_epilogue(p, i, false, &op)));
out:
    return rc;
}

/* Mean before max, and the batch norm of the one spatial channel folded into the 7x7. */
static enum status lower_cbam(struct pass *p, int i)
{
    enum status rc = STATUS_OK;
    struct graph *g = p->lowered;
    const struct op *plain = &p->plain->ops[i];
    struct op op = start_from(p, i);
    struct tensor *scale = NULL, *shift = NULL;
    int64_t one[] = {1};

    if (p->n_uses[plain->input[0]] != 1)
        FAIL(STATUS_INTERNAL, "%s: the input of %s is read twice, so it cannot be gated in place", g->arch,
             op.name);
    memset(op.param, 0, sizeof(op.param));
    for (int k = CBAM_FC1_WEIGHT; k <= CBAM_CONV; k++)
        TRY(own_copy(g, plain->param[k], &op.param[k]));
    if (plain->param[CBAM_BN_WEIGHT] != NULL)
        TRY(own_scale_shift(g, &plain->param[CBAM_BN_WEIGHT], &scale, &shift));
    else
        TRY(own_tensor(g, op.name, one, 1, &shift));
    float *conv = op.param[CBAM_CONV]->own;
    int half = op.kernel * op.kernel;
    for (int k = 0; k < half; k++) {
        float mean = conv[plain->cbam_max_first ? half + k : k],
              max = conv[plain->cbam_max_first ? k : half + k];
        conv[k] = mean * (scale == NULL ? 1 : scale->own[0]);
        conv[half + k] = max * (scale == NULL ? 1 : scale->own[0]);
    }
    op.cbam_max_first = false;
    op.param[CBAM_CONV_BIAS] = shift;
    TRY(emit(p, &op, absorb_epilogue(p, i, true, &op)));
out:
    return rc;
}

static enum status lower_same(struct pass *p, int i)
{
    enum status rc = STATUS_OK;
    struct op op = start_from(p, i);

    for (int k = 0; k < OP_MAX_PARAMS; k++)
        TRY(own_copy(p->lowered, p->plain->ops[i].param[k], &op.param[k]));
    TRY(emit(p, &op, i));
out:
    return rc;
}

/* A concatenation is a prefix of its block's buffer, where its parts have been written: nothing is left to
 * do. */
static enum status lower_concat(struct pass *p, int i)
{
    struct op op = start_from(p, i);
    op.input[1] = p->made_by[p->plain->ops[i].input[1]];
    return emit(p, &op, i);
}

static enum status lower_op(struct pass *p, int i)
{
    switch (p->plain->ops[i].kind) {
    case OP_CONV:
        return lower_conv(p, i);
    case OP_BATCH_NORM:
        return lower_batch_norm(p, i);
    case OP_CBAM:
        return lower_cbam(p, i);
    case OP_INPUT:
    case OP_MAX_POOL:
    case OP_AVG_POOL:
    case OP_HEAD:
        return lower_same(p, i);
    case OP_CONCAT:
        return lower_concat(p, i);
    case OP_RELU:
    case OP_RELU6:
    case OP_ADD:
    case OP_SCALE:
        break;
    }
    log_error("%s: op %s stands where the inference pass does not know it", p->plain->arch,
              p->plain->ops[i].name);
    return STATUS_INTERNAL;
}

/*
 * As folded, so that a negative variance is seen too. It must be seen here: a fused ReLU makes zero of a NaN
 * on some CPUs, and the picture would get a score.
 */
static enum status check_finite(const struct graph *g)
{
    enum status rc = STATUS_OK;

    for (int i = 0; i < g->n_own; i++)
        for (int64_t k = 0; k < g->own[i]->n_elements; k++)
            if (!isfinite(g->own[i]->own[k]))
                FAIL(STATUS_INPUT,
                     "%s: tensor %s makes a value that is not finite: did the training diverge? Export "
                     "another "
                     "checkpoint",
                     g->arch, g->own[i]->name);
out:
    return rc;
}

enum status lower_inference(const struct graph *plain, int channel_align, struct graph *lowered)
{
    enum status rc = STATUS_OK;
    struct graph g = {0};
    struct pass p;

    memcpy(g.arch, plain->arch, sizeof(g.arch));
    memcpy(g.attention, plain->attention, sizeof(g.attention));
    g.n_classes = plain->n_classes;
    TRY(pass_open(&p, plain, &g, channel_align));
    for (int i = 0; i < plain->n_ops; i++)
        if (!p.covered[i])
            TRY(lower_op(&p, i));
    TRY(check_finite(&g));
    TRY(lower_plan_memory(&g, channel_align));
    *lowered = g;
    g = (struct graph){0};
out:
    pass_close(&p);
    graph_free(&g);
    return rc;
}

static void find_lifetimes(struct graph *g)
{
    for (int b = 0; b < g->n_buffers; b++)
        g->buffers[b].first_op = g->buffers[b].last_op = GRAPH_NONE;
    for (int i = 0; i < g->n_ops; i++) {
        const struct op *op = &g->ops[i];
        struct buffer *made = &g->buffers[op->buffer];
        if (made->first_op == GRAPH_NONE)
            made->first_op = i;
        made->last_op = i;
        for (int j = 0; j < 2; j++)
            if (op->input[j] != GRAPH_NONE)
                g->buffers[g->ops[op->input[j]].buffer].last_op = i;
    }
}

static bool alive_together(const struct buffer *a, const struct buffer *b)
{
    return a->first_op <= b->last_op && b->first_op <= a->last_op;
}

/* The lowest place for buffer `b` that no buffer already placed and alive at the same time occupies. */
static size_t lowest_place(const struct graph *g, const int *order, int n_placed, const struct buffer *b)
{
    size_t offset = 0;

    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < n_placed; i++) {
            const struct buffer *o = &g->buffers[order[i]];
            if (alive_together(o, b) && offset < o->offset + o->n_elements &&
                o->offset < offset + b->n_elements) {
                offset = o->offset + o->n_elements;
                moved = true;
            }
        }
    }
    return offset;
}

enum status lower_plan_memory(struct graph *g, int channel_align)
{
    enum status rc = STATUS_OK;

    assert(g->n_buffers > 0); /* the input's */
    int *order = calloc((size_t)g->n_buffers, sizeof(int));

    if (order == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    find_lifetimes(g);
    g->arena_elements = 0;
    for (int b = 0; b < g->n_buffers; b++) {
        struct shape s = g->buffers[b].shape;
        size_t c = ((size_t)s.c + (size_t)channel_align - 1) / (size_t)channel_align * (size_t)channel_align;
        /* Multiples of 64 elements: every buffer starts at a cache line in any element type. */
        g->buffers[b].n_elements = (c * (size_t)s.h * (size_t)s.w + 63) / 64 * 64;
        int at = b; /* largest first: they are the hardest to place */
        for (; at > 0 && g->buffers[order[at - 1]].n_elements < g->buffers[b].n_elements; at--)
            order[at] = order[at - 1];
        order[at] = b;
    }
    for (int i = 0; i < g->n_buffers; i++) {
        struct buffer *b = &g->buffers[order[i]];
        b->offset = lowest_place(g, order, i, b);
        if (b->offset + b->n_elements > g->arena_elements)
            g->arena_elements = b->offset + b->n_elements;
    }
out:
    free(order);
    return rc;
}
