#include "kernels/cuda/pack.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 256

/* The block: measured first, then filled. */
struct block {
    unsigned char *bytes;
    size_t used, capacity;
    bool measuring; /* first time round: only count */
    const unsigned char *device;
};

/* Room for n bytes. OUT host: where to write, or NULL while measuring; device: where it will be. */
static void take(struct block *b, size_t n, unsigned char **host, const void **device)
{
    *host = b->measuring ? NULL : b->bytes + b->used;
    *device = b->measuring ? NULL : b->device + b->used;
    b->used += (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Round to nearest even. An overflow is left for check_range to see. */
static uint16_t to_half(float value)
{
    __extension__ _Float16 half = (_Float16)value;
    uint16_t bits;
    memcpy(&bits, &half, sizeof(bits));
    return bits;
}

static uint16_t to_bf16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

static uint16_t to_element(enum element element, float value)
{
    return element == ELEMENT_BF16 ? to_bf16(value) : to_half(value);
}

#define F16_LARGEST 65504.0f

static enum status check_range(const struct graph *g, const struct tensor *t, enum element element)
{
    enum status rc = STATUS_OK;

    for (int64_t i = 0; element == ELEMENT_F16 && i < t->n_elements; i++)
        if (fabsf(t->own[i]) > F16_LARGEST)
            FAIL(STATUS_INPUT,
                 "%s: tensor %s has, with its batch norm folded in, the value %g, which float16 cannot "
                 "hold: use --precision bf16",
                 g->arch, t->name, (double)t->own[i]);
out:
    return rc;
}

/* [k, c, r, s] -> [k, r, s, padded c], zeros where padded. */
static void pack_conv(struct block *b, const struct tensor *w, int padded_c, enum element element,
                      const void **device)
{
    int64_t k = w->dim[0], c = w->dim[1], window = w->n_elements / (k * c);
    unsigned char *host;

    take(b, (size_t)(k * window * padded_c) * sizeof(uint16_t), &host, device);
    if (host == NULL)
        return;
    uint16_t *to = (uint16_t *)(void *)host;
    memset(to, 0, (size_t)(k * window * padded_c) * sizeof(uint16_t));
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < c; j++)
            for (int64_t p = 0; p < window; p++)
                to[(i * window + p) * padded_c + j] = to_element(element, w->own[(i * c + j) * window + p]);
}

/* [c, 1, 3, 3] -> [3 * 3, c] */
static void pack_depthwise(struct block *b, const struct tensor *w, enum element element, const void **device)
{
    int64_t c = w->dim[0], window = w->n_elements / c;
    unsigned char *host;

    take(b, (size_t)w->n_elements * sizeof(uint16_t), &host, device);
    if (host == NULL)
        return;
    uint16_t *to = (uint16_t *)(void *)host;
    for (int64_t i = 0; i < c; i++)
        for (int64_t p = 0; p < window; p++)
            to[p * c + i] = to_element(element, w->own[i * window + p]);
}

static const float *pack_floats(struct block *b, const struct tensor *t)
{
    unsigned char *host;
    const void *device;

    if (t == NULL)
        return NULL;
    take(b, (size_t)t->n_elements * sizeof(float), &host, &device);
    if (host != NULL)
        memcpy(host, t->own, (size_t)t->n_elements * sizeof(float));
    return device;
}

static const uint8_t *pack_watched(struct block *b, const struct class_set *set)
{
    unsigned char *host;
    const void *device;

    take(b, (size_t)set->n_classes, &host, &device);
    if (host != NULL) {
        memset(host, 0, (size_t)set->n_classes);
        for (int i = 0; i < set->n_watched; i++)
            host[set->watched[i]] = 1;
    }
    return device;
}

static void pack_step(struct block *b, const struct stage *stage, struct device_program *p, int index)
{
    const struct device_step *step = &p->steps.items[index];
    const struct op *op = &p->steps.graph.ops[step->op];
    struct step_parameters *to = &p->parameters[index];

    if (step->kind == STEP_CONV)
        pack_conv(b, op->param[CONV_WEIGHT], step->in.shape.c, p->element, &to->weight);
    else if (step->kind == STEP_DEPTHWISE)
        pack_depthwise(b, op->param[CONV_WEIGHT], p->element, &to->weight);
    if (step->kind == STEP_CONV || step->kind == STEP_DEPTHWISE)
        to->bias = pack_floats(b, op->param[CONV_BIAS]);
    for (int k = CBAM_FC1_WEIGHT; step->kind == STEP_CBAM && k <= CBAM_CONV_BIAS; k++)
        to->cbam[k] = pack_floats(b, op->param[k]);
    if (step->kind == STEP_HEAD) {
        to->head_weight = pack_floats(b, op->param[HEAD_WEIGHT]);
        to->head_bias = pack_floats(b, op->param[HEAD_BIAS]);
        to->watched = pack_watched(b, &stage->classes);
    }
    if (step->prologue != GRAPH_NONE) {
        const struct op *scale = &p->steps.graph.ops[step->prologue];
        to->prologue.scale = pack_floats(b, scale->param[SCALE_SCALE]);
        to->prologue.shift = pack_floats(b, scale->param[SCALE_SHIFT]);
        to->prologue.activation = (enum kernel_activation)scale->activation;
    }
}

static void drop_values(struct graph *g)
{
    for (int i = 0; i < g->n_own; i++) {
        free(g->own[i]->own);
        g->own[i]->own = NULL;
        g->own[i]->data = NULL;
    }
}

enum status pack_parameters(const struct stage *stage, struct device_program *p)
{
    enum status rc = STATUS_OK;
    const struct graph *g = &p->steps.graph;
    struct block b = {.measuring = true};

    for (int i = 0; i < p->steps.n; i++) {
        const struct device_step *step = &p->steps.items[i];
        if (step->kind == STEP_CONV || step->kind == STEP_DEPTHWISE)
            TRY(check_range(g, g->ops[step->op].param[CONV_WEIGHT], p->element));
        pack_step(&b, stage, p, i);
    }
    b.capacity = b.used;
    b.bytes = calloc(1, b.capacity);
    if (b.bytes == NULL)
        FAIL(STATUS_MEMORY, "no memory for the parameters of %s (%zu MiB)", g->arch, b.capacity >> 20);
    TRY_CUDA(cudaMalloc(&p->parameter_memory, b.capacity));
    p->parameter_bytes = b.capacity;
    b.device = p->parameter_memory;
    b.measuring = false;
    b.used = 0;
    for (int i = 0; i < p->steps.n; i++)
        pack_step(&b, stage, p, i);
    TRY_CUDA(cudaMemcpy(p->parameter_memory, b.bytes, b.capacity, cudaMemcpyHostToDevice));
    TRY_CUDA(cudaDeviceSynchronize()); /* staged is not arrived, and other streams will read it */
    drop_values(&p->steps.graph);
out:
    free(b.bytes);
    return rc;
}
