#include "kernels/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void graph_free(struct graph *graph)
{
    if (graph == NULL)
        return;
    for (int i = 0; i < graph->n_own; i++)
        tensor_free(graph->own[i]);
    free(graph->own);
    free(graph->buffers);
    free(graph->ops);
    *graph = (struct graph){0};
}

enum status graph_append(struct graph *graph, const struct op *op, int *value)
{
    enum status rc = STATUS_OK;

    if (graph->n_ops == graph->capacity) {
        int capacity = graph->capacity == 0 ? 256 : 2 * graph->capacity;
        struct op *grown = realloc(graph->ops, (size_t)capacity * sizeof(*grown));
        if (grown == NULL)
            FAIL(STATUS_MEMORY, "no memory");
        graph->ops = grown;
        graph->capacity = capacity;
    }
    if (op->shape.c < 1 || op->shape.h < 1 || op->shape.w < 1)
        FAIL(STATUS_INPUT, "%s: nothing is left of the picture at op %s: choose a larger --size", graph->arch,
             op->name);
    graph->ops[graph->n_ops] = *op;
    *value = graph->n_ops++;
out:
    return rc;
}

static struct op op_make(enum op_kind kind, const char *name, int first, int second)
{
    struct op op = {.kind = kind, .input = {first, second}, .groups = 1, .buffer = GRAPH_NONE};
    snprintf(op.name, sizeof(op.name), "%s", name);
    return op;
}

enum status graph_input(struct graph *graph, int size, int *value)
{
    struct op op = op_make(OP_INPUT, "input", GRAPH_NONE, GRAPH_NONE);
    op.shape = (struct shape){3, size, size};
    return graph_append(graph, &op, value);
}

static int windows(int size, int kernel, int stride, int pad)
{
    int room = size + 2 * pad - kernel;
    return room < 0 ? 0 : room / stride + 1;
}

static void op_slide(struct op *op, struct shape in, int c, int kernel, int stride, int pad)
{
    op->kernel = kernel;
    op->stride = stride;
    op->pad = pad;
    op->shape = (struct shape){c, windows(in.h, kernel, stride, pad), windows(in.w, kernel, stride, pad)};
}

static enum status take(struct weights *weights, const char *name, const char *field, const int64_t *dims,
                        int n_dims, struct tensor **out)
{
    char full[TENSOR_NAME_SIZE + 32];
    snprintf(full, sizeof(full), "%s.%s", name, field);
    return weights_take(weights, full, dims, n_dims, out);
}

enum status graph_conv(struct graph *graph, struct weights *weights, const char *name, int *value, int k,
                       int kernel, int stride, int pad, int groups)
{
    enum status rc = STATUS_OK;
    struct shape in = graph->ops[*value].shape;
    struct op op = op_make(OP_CONV, name, *value, GRAPH_NONE);
    int64_t dims[] = {k, in.c / groups, kernel, kernel};

    op.groups = groups;
    op_slide(&op, in, k, kernel, stride, pad);
    TRY(take(weights, name, "weight", dims, 4, &op.param[CONV_WEIGHT]));
    TRY(graph_append(graph, &op, value));
out:
    return rc;
}

enum status graph_batch_norm(struct graph *graph, struct weights *weights, const char *name, int *value)
{
    static const char *const fields[] = {"weight", "bias", "running_mean", "running_var"};
    enum status rc = STATUS_OK;
    struct op op = op_make(OP_BATCH_NORM, name, *value, GRAPH_NONE);
    int64_t dims[] = {graph->ops[*value].shape.c};

    op.shape = graph->ops[*value].shape;
    for (int i = 0; i < 4; i++)
        TRY(take(weights, name, fields[i], dims, 1, &op.param[i]));
    TRY(graph_append(graph, &op, value));
out:
    return rc;
}

enum status graph_activation(struct graph *graph, enum op_kind kind, int *value)
{
    struct op op = op_make(kind, kind == OP_RELU ? "relu" : "relu6", *value, GRAPH_NONE);
    op.shape = graph->ops[*value].shape;
    return graph_append(graph, &op, value);
}

enum status graph_pool(struct graph *graph, enum op_kind kind, const char *name, int *value, int kernel,
                       int stride, int pad)
{
    struct shape in = graph->ops[*value].shape;
    struct op op = op_make(kind, name, *value, GRAPH_NONE);
    op_slide(&op, in, in.c, kernel, stride, pad);
    return graph_append(graph, &op, value);
}

enum status graph_join(struct graph *graph, enum op_kind kind, const char *name, int first, int second,
                       int *value)
{
    enum status rc = STATUS_OK;
    struct op op = op_make(kind, name, first, second);
    struct shape a = graph->ops[first].shape, b = graph->ops[second].shape;

    if (a.h != b.h || a.w != b.w || (kind == OP_ADD && a.c != b.c))
        FAIL(STATUS_INPUT, "%s: op %s joins [%d,%d,%d] and [%d,%d,%d]: the tensors do not make a network",
             graph->arch, name, a.c, a.h, a.w, b.c, b.h, b.w);
    op.shape = a;
    op.shape.c = kind == OP_CONCAT ? a.c + b.c : a.c;
    TRY(graph_append(graph, &op, value));
out:
    return rc;
}

enum status graph_head(struct graph *graph, struct weights *weights, const char *name, int n_classes,
                       int *value)
{
    enum status rc = STATUS_OK;
    struct op op = op_make(OP_HEAD, name, *value, GRAPH_NONE);
    int64_t dims[] = {n_classes, graph->ops[*value].shape.c};

    op.shape = (struct shape){n_classes, 1, 1};
    TRY(take(weights, name, "weight", dims, 2, &op.param[HEAD_WEIGHT]));
    TRY(take(weights, name, "bias", dims, 1, &op.param[HEAD_BIAS]));
    TRY(graph_append(graph, &op, value));
    graph->n_classes = n_classes;
out:
    return rc;
}

uint64_t graph_count_macs(const struct graph *graph)
{
    uint64_t macs = 0;

    for (int i = 0; i < graph->n_ops; i++) {
        const struct op *op = &graph->ops[i];
        if (op->kind != OP_CONV && op->kind != OP_HEAD)
            continue;
        uint64_t c = (uint64_t)graph->ops[op->input[0]].shape.c / (uint64_t)op->groups;
        uint64_t window = op->kind == OP_CONV ? (uint64_t)op->kernel * (uint64_t)op->kernel : 1;
        macs += (uint64_t)op->shape.c * (uint64_t)op->shape.h * (uint64_t)op->shape.w * c * window;
    }
    return macs;
}

void graph_count_uses(const struct graph *graph, int *n_uses)
{
    memset(n_uses, 0, (size_t)graph->n_ops * sizeof(*n_uses));
    for (int i = 0; i < graph->n_ops; i++)
        for (int j = 0; j < 2; j++)
            if (graph->ops[i].input[j] != GRAPH_NONE)
                n_uses[graph->ops[i].input[j]]++;
}
