#include "kernels/cuda/conv_spec.h"

#include <stdio.h>
#include <string.h>

static int windows(int size, const struct op *op)
{
    return (size + 2 * op->pad - op->kernel) / op->stride + 1;
}

static enum status check_slice(const char *name, const char *what, const struct graph *g,
                               const struct operand *o)
{
    enum status rc = STATUS_OK;
    const struct shape *buffer = &g->buffers[o->buffer].shape;

    if (o->shape.h != buffer->h || o->shape.w != buffer->w || o->first_channel < 0 || o->shape.c < 1 ||
        o->first_channel + o->shape.c > o->pitch)
        FAIL(STATUS_INTERNAL, "%s: %s [%d,%d,%d] from channel %d is no slice of a buffer [%d,%d,%d]", name,
             what, o->shape.c, o->shape.h, o->shape.w, o->first_channel, buffer->c, buffer->h, buffer->w);
    if (o->pitch % CUDA_CHANNEL_ALIGN != 0 || o->pitch < buffer->c ||
        o->pitch >= buffer->c + CUDA_CHANNEL_ALIGN)
        FAIL(STATUS_INTERNAL, "%s: %s has a pitch of %d elements, its buffer %d channels", name, what,
             o->pitch, buffer->c);
    if (o->first_channel % CUDA_CHANNEL_ALIGN != 0)
        FAIL(STATUS_INTERNAL, "%s: %s starts at channel %d, which is not aligned", name, what,
             o->first_channel);
out:
    return rc;
}

static enum status check_vector(const char *name, const char *what, const struct tensor *t, int size)
{
    enum status rc = STATUS_OK;
    if (t == NULL || t->n_elements != size)
        FAIL(STATUS_INTERNAL, "%s: %s has %lld values, expected %d", name, what,
             t == NULL ? 0LL : (long long)t->n_elements, size);
out:
    return rc;
}

static enum status check_weight(const struct op *op, int c, int k)
{
    enum status rc = STATUS_OK;
    const struct tensor *w = op->param[CONV_WEIGHT];

    if (w == NULL || w->n_dims < 2 || w->dim[0] != k || w->dim[1] != c ||
        w->n_elements != (int64_t)k * c * op->kernel * op->kernel)
        FAIL(STATUS_INTERNAL, "%s: the weight does not fit [%d,%d,%d,%d]", op->name, k, c, op->kernel,
             op->kernel);
out:
    return rc;
}

/* The output's and the residual's sizes follow from the input's. */
static enum status check_sizes(const struct op *op, const struct device_step *step)
{
    enum status rc = STATUS_OK;
    const struct shape *in = &step->in.shape, *out = &step->out.shape, *r = &step->residual.shape;

    if (op->kernel < 1 || op->stride < 1 || op->pad < 0 || op->pad >= op->kernel ||
        out->h != windows(in->h, op) || out->w != windows(in->w, op))
        FAIL(STATUS_INTERNAL, "%s: a %dx%d window of stride %d, padding %d does not make %dx%d of %dx%d",
             op->name, op->kernel, op->kernel, op->stride, op->pad, out->h, out->w, in->h, in->w);
    if (step->residual.buffer != GRAPH_NONE && (r->c != out->c || r->h != out->h || r->w != out->w))
        FAIL(STATUS_INTERNAL, "%s: the residual is [%d,%d,%d], the output [%d,%d,%d]", op->name, r->c, r->h,
             r->w, out->c, out->h, out->w);
out:
    return rc;
}

static enum status check(const struct device_steps *steps, const struct device_step *step)
{
    enum status rc = STATUS_OK;
    const struct graph *g = &steps->graph;
    const struct op *op = &g->ops[step->op];
    bool is_stem = step->in.pitch == CUDA_INPUT_CHANNELS;

    TRY(check_sizes(op, step));
    TRY(check_slice(op->name, "the output", g, &step->out));
    if (!is_stem)
        TRY(check_slice(op->name, "the input", g, &step->in));
    if (step->residual.buffer != GRAPH_NONE)
        TRY(check_slice(op->name, "the residual", g, &step->residual));
    TRY(check_weight(op, is_stem ? 3 : step->in.shape.c, step->out.shape.c));
    if (op->param[CONV_BIAS] != NULL)
        TRY(check_vector(op->name, "the bias", op->param[CONV_BIAS], step->out.shape.c));
    if (step->prologue != GRAPH_NONE) {
        const struct op *scale = &g->ops[step->prologue];
        TRY(check_vector(scale->name, "the scale", scale->param[SCALE_SCALE], step->in.shape.c));
        TRY(check_vector(scale->name, "the shift", scale->param[SCALE_SHIFT], step->in.shape.c));
    }
out:
    return rc;
}

enum status conv_spec_make(const struct device_steps *steps, int index, int n, enum element element,
                           struct conv_spec *out)
{
    enum status rc = STATUS_OK;
    const struct device_step *step = &steps->items[index];
    const struct op *op = &steps->graph.ops[step->op];

    TRY(check(steps, step));
    *out = (struct conv_spec){
        .n = n,
        .c = step->in.shape.c,
        .h = step->in.shape.h,
        .w = step->in.shape.w,
        .k = step->out.shape.c,
        .out_h = step->out.shape.h,
        .out_w = step->out.shape.w,
        .in_pitch = step->in.pitch,
        .out_pitch = step->out.pitch,
        .residual_pitch = step->residual.buffer == GRAPH_NONE ? 0 : step->residual.pitch,
        .kernel = op->kernel,
        .stride = op->stride,
        .pad = op->pad,
        .element = element,
        .has_prologue = step->prologue != GRAPH_NONE,
        .prologue_activation = step->prologue == GRAPH_NONE
                                   ? KERNEL_NONE
                                   : (enum kernel_activation)steps->graph.ops[step->prologue].activation,
        .activation = (enum kernel_activation)op->activation,
        .has_bias = op->param[CONV_BIAS] != NULL,
    };
out:
    return rc;
}

void conv_spec_key(const struct conv_spec *s, char key[CONV_KEY_SIZE])
{
    static const char *const elements[] = {"f16", "bf16"};
    static const char *const activations[] = {"none", "relu", "relu6"};
    char prologue[32] = "";

    if (s->has_prologue)
        snprintf(prologue, sizeof(prologue), "-pre_%s", activations[s->prologue_activation]);
    snprintf(key, CONV_KEY_SIZE, "%s-n%d-c%d_%d-%dx%d-k%d_%d-%dx%ds%dp%d%s%s-%s", elements[s->element], s->n,
             s->c, s->in_pitch, s->h, s->w, s->k, s->out_pitch, s->kernel, s->kernel, s->stride, s->pad,
             prologue, s->has_bias ? "-bias" : "", activations[s->activation]);
    if (s->residual_pitch != 0)
        snprintf(key + strlen(key), CONV_KEY_SIZE - strlen(key), "-plus_%d", s->residual_pitch);
}
