#include "kernels/cuda/steps.h"

#include "kernels/lower.h"

#include <stdlib.h>

static int padded_channels(int c)
{
    return (c + CUDA_CHANNEL_ALIGN - 1) / CUDA_CHANNEL_ALIGN * CUDA_CHANNEL_ALIGN;
}

static struct operand operand_of(const struct graph *g, int index)
{
    if (index == GRAPH_NONE)
        return (struct operand){.buffer = GRAPH_NONE};
    const struct op *op = &g->ops[index];
    struct operand o = {op->buffer, op->first_channel, op->shape,
                        padded_channels(g->buffers[op->buffer].shape.c)};
    if (op->kind == OP_INPUT)
        o.shape.c = o.pitch = CUDA_INPUT_CHANNELS;
    return o;
}

/*
 * lower_inference writes a sum over its residual, which saves a core's cache. cuDNN does not promise that an
 * output may lie over an input, and a GPU has the memory: such a sum gets a buffer of its own.
 */
static enum status separate_sums(struct graph *g)
{
    enum status rc = STATUS_OK;

    for (int i = 0; i < g->n_ops; i++) {
        struct op *op = &g->ops[i];
        if (op->kind != OP_CONV || op->input[1] == GRAPH_NONE || op->buffer != g->ops[op->input[1]].buffer)
            continue;
        struct buffer *grown = realloc(g->buffers, (size_t)(g->n_buffers + 1) * sizeof(*grown));
        if (grown == NULL)
            FAIL(STATUS_MEMORY, "no memory");
        g->buffers = grown;
        g->buffers[g->n_buffers] = (struct buffer){.shape = op->shape};
        op->buffer = g->n_buffers++;
        op->first_channel = 0;
    }
out:
    return rc;
}

/* An OP_SCALE is computed by whoever reads it, from its own input: nothing is stored, nothing is placed. */
static enum status absorb_scales(struct graph *g, int *prologue)
{
    enum status rc = STATUS_OK;

    for (int i = 0; i < g->n_ops; i++) {
        struct op *op = &g->ops[i];
        prologue[i] = GRAPH_NONE;
        if (op->kind == OP_SCALE)
            g->buffers[op->buffer].shape = (struct shape){0, 0, 0};
        if (op->input[0] == GRAPH_NONE || g->ops[op->input[0]].kind != OP_SCALE)
            continue;
        if ((op->kind != OP_CONV || op->groups != 1) && op->kind != OP_AVG_POOL && op->kind != OP_HEAD)
            FAIL(STATUS_INPUT,
                 "%s: %s stands behind a batch norm, where the cuda engine has no kernel for it", g->arch,
                 op->name);
        prologue[i] = op->input[0];
        op->input[0] = g->ops[op->input[0]].input[0];
    }
out:
    return rc;
}

static enum status choose_kind(const struct graph *g, const struct op *op, enum device_step_kind *kind)
{
    enum status rc = STATUS_OK;

    switch (op->kind) {
    case OP_INPUT:
        *kind = STEP_INPUT;
        break;
    case OP_CONV:
        *kind = op->groups == 1 ? STEP_CONV : STEP_DEPTHWISE;
        break;
    case OP_MAX_POOL:
    case OP_AVG_POOL:
        *kind = STEP_POOL;
        break;
    case OP_CBAM:
        *kind = STEP_CBAM;
        break;
    case OP_HEAD:
        *kind = STEP_HEAD;
        break;
    default:
        FAIL(STATUS_INTERNAL, "%s: op %s was not lowered", g->arch, op->name);
    }
    if (*kind == STEP_DEPTHWISE && (op->kernel != 3 || op->pad != 1 || op->input[1] != GRAPH_NONE))
        FAIL(STATUS_INPUT, "%s: %s is a depthwise convolution that is not 3x3 with padding 1", g->arch,
             op->name);
    if (op->kind != OP_HEAD && op->kind != OP_INPUT && op->shape.c % CUDA_CHANNEL_ALIGN != 0)
        FAIL(STATUS_INPUT,
             "%s: %s makes %d channels; the cuda engine needs a multiple of %d: use --engine cpu, or pad "
             "the weights",
             g->arch, op->name, op->shape.c, CUDA_CHANNEL_ALIGN);
out:
    return rc;
}

static enum status make_items(struct device_steps *s, const int *prologue)
{
    enum status rc = STATUS_OK;
    const struct graph *g = &s->graph;

    s->items = calloc((size_t)g->n_ops, sizeof(*s->items));
    if (s->items == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    for (int i = 0; i < g->n_ops; i++) {
        const struct op *op = &g->ops[i];
        if (op->kind == OP_CONCAT || op->kind == OP_SCALE)
            continue;
        struct device_step *step = &s->items[s->n];
        TRY(choose_kind(g, op, &step->kind));
        step->op = i;
        step->in = operand_of(g, op->input[0]);
        step->residual = operand_of(g, op->input[1]);
        step->out = operand_of(g, i);
        step->prologue = prologue[i];
        s->n++;
    }
out:
    return rc;
}

enum status steps_make(const struct graph *plain, struct device_steps *out)
{
    enum status rc = STATUS_OK;
    struct device_steps s = {0};
    int *prologue = NULL;

    TRY(lower_inference(plain, CUDA_CHANNEL_ALIGN, &s.graph));
    prologue = calloc((size_t)s.graph.n_ops, sizeof(*prologue));
    if (prologue == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    TRY(separate_sums(&s.graph));
    TRY(absorb_scales(&s.graph, prologue));
    TRY(lower_plan_memory(&s.graph, CUDA_CHANNEL_ALIGN));
    TRY(make_items(&s, prologue));
    *out = s;
    s = (struct device_steps){0};
out:
    free(prologue);
    steps_close(&s);
    return rc;
}

void steps_close(struct device_steps *steps)
{
    if (steps == NULL)
        return;
    free(steps->items);
    graph_free(&steps->graph);
    *steps = (struct device_steps){0};
}
