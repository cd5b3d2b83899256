#include "kernels/cuda/device_program.h"

#include "kernels/cuda/pack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static enum status check_limits(const struct device_program *p)
{
    enum status rc = STATUS_OK;
    const struct graph *g = &p->steps.graph;

    for (int i = 0; i < p->steps.n; i++) {
        const struct device_step *step = &p->steps.items[i];
        int places = step->in.shape.h * step->in.shape.w;
        if (step->kind == STEP_HEAD && (step->in.shape.c > HEAD_MAX_CHANNELS || places > HEAD_MAX_PLACES))
            FAIL(STATUS_INPUT,
                 "%s: the last feature map is [%d,%d,%d]; the cuda engine's head takes up to %d channels "
                 "and %d places: use a smaller --size, or --engine cpu",
                 g->arch, step->in.shape.c, step->in.shape.h, step->in.shape.w, HEAD_MAX_CHANNELS,
                 HEAD_MAX_PLACES);
    }
out:
    return rc;
}

enum status device_program_load(const struct stage *stage, enum precision precision,
                                struct device_program *out)
{
    enum status rc = STATUS_OK;
    struct device_program p = {.element = precision == PRECISION_BF16 ? ELEMENT_BF16 : ELEMENT_F16};

    if (precision == PRECISION_F32)
        FAIL(STATUS_USAGE,
             "stage %s: the cuda engine computes in f16 or bf16, not f32: use --engine cpu for f32",
             stage->name);
    TRY(steps_make(&stage->plain, &p.steps));
    p.parameters = calloc((size_t)p.steps.n, sizeof(*p.parameters));
    p.plans = calloc((size_t)p.steps.n, sizeof(*p.plans));
    if (p.parameters == NULL || p.plans == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    TRY(check_limits(&p));
    TRY(pack_parameters(stage, &p));
    *out = p;
    p = (struct device_program){0};
out:
    device_program_close(&p);
    return rc;
}

static void drop_plans(struct device_program *p)
{
    for (int i = 0; p->plans != NULL && i < p->steps.n; i++)
        conv_plan_close(&p->plans[i]);
    p->workspace_bytes = 0;
}

void device_program_close(struct device_program *program)
{
    if (program == NULL)
        return;
    drop_plans(program);
    free(program->plans);
    free(program->parameters);
    if (program->parameter_memory != NULL)
        (void)cudaFree(program->parameter_memory);
    steps_close(&program->steps);
    *program = (struct device_program){0};
}

/* CBAM's scratch, in floats: pooled [n, 2, c], gate [n, c], maps [n, 2, places], each from a multiple of 64
 * on. */
struct cbam_scratch {
    size_t gate, maps, end;
};

static size_t round_up(size_t n)
{
    return (n + 63) / 64 * 64;
}

static struct cbam_scratch lay_out_scratch(struct shape s, int n)
{
    struct cbam_scratch at;
    size_t pictures = (size_t)n, c = (size_t)s.c;

    at.gate = round_up(pictures * 2 * c);
    at.maps = at.gate + round_up(pictures * c);
    at.end = at.maps + round_up(pictures * 2 * (size_t)s.h * (size_t)s.w);
    return at;
}

void device_program_set_batch(struct device_program *p, int batch)
{
    drop_plans(p);
    p->batch = batch;
    p->arena_bytes = p->steps.graph.arena_elements * (size_t)batch * sizeof(uint16_t);
    p->scratch_bytes = 0;
    for (int i = 0; i < p->steps.n; i++)
        if (p->steps.items[i].kind == STEP_CBAM)
            p->scratch_bytes = larger(p->scratch_bytes,
                                      lay_out_scratch(p->steps.items[i].in.shape, batch).end * sizeof(float));
}

struct device_map device_program_map(const struct device_program *p, const struct operand *o,
                                     const struct program_memory *memory)
{
    const struct buffer *buffer;

    if (o->buffer == GRAPH_NONE)
        return (struct device_map){0};
    buffer = &p->steps.graph.buffers[o->buffer];
    return (struct device_map){
        .data =
            memory->arena + (buffer->offset * (size_t)p->batch + (size_t)o->first_channel) * sizeof(uint16_t),
        .n = p->batch,
        .h = o->shape.h,
        .w = o->shape.w,
        .c = o->shape.c,
        .pitch = o->pitch,
    };
}

struct conv_pointers device_program_conv_pointers(const struct device_program *p, int index,
                                                  const struct program_memory *memory)
{
    const struct device_step *step = &p->steps.items[index];
    const struct step_parameters *with = &p->parameters[index];

    return (struct conv_pointers){
        .x = device_program_map(p, &step->in, memory).data,
        .y = device_program_map(p, &step->out, memory).data,
        .w = with->weight,
        .bias = with->bias,
        .scale = with->prologue.scale,
        .shift = with->prologue.shift,
        .residual = device_program_map(p, &step->residual, memory).data,
        .workspace = memory->workspace,
    };
}

static enum status enqueue_input(const struct device_program *p, const struct device_step *step,
                                 const struct program_memory *memory, const struct program_pass *pass,
                                 cudaStream_t stream)
{
    enum status rc = STATUS_OK;
    struct input_args args = {.slot = pass->slot,
                              .list = pass->list,
                              .out = device_program_map(p, &step->out, memory),
                              .element = p->element};

    for (int c = 0; c < 3; c++) { /* (level / 255 - mean) / std */
        args.scale[c] = 1 / (255 * pass->rules->std[c]);
        args.shift[c] = -pass->rules->mean[c] / pass->rules->std[c];
    }
    TRY_CUDA(input_launch(&args, stream));
out:
    return rc;
}

static enum status enqueue_pool(const struct device_program *p, int index,
                                const struct program_memory *memory, cudaStream_t stream)
{
    enum status rc = STATUS_OK;
    const struct device_step *step = &p->steps.items[index];
    const struct op *op = &p->steps.graph.ops[step->op];
    struct pool_args args = {
        .in = device_program_map(p, &step->in, memory),
        .out = device_program_map(p, &step->out, memory),
        .prologue = p->parameters[index].prologue,
        .kernel = op->kernel,
        .stride = op->stride,
        .pad = op->pad,
        .is_max = op->kind == OP_MAX_POOL,
        .element = p->element,
    };

    TRY_CUDA(pool_launch(&args, stream));
out:
    return rc;
}

static enum status enqueue_depthwise(const struct device_program *p, int index,
                                     const struct program_memory *memory, cudaStream_t stream)
{
    enum status rc = STATUS_OK;
    const struct device_step *step = &p->steps.items[index];
    const struct op *op = &p->steps.graph.ops[step->op];
    struct depthwise_args args = {
        .in = device_program_map(p, &step->in, memory),
        .out = device_program_map(p, &step->out, memory),
        .weight = p->parameters[index].weight,
        .bias = p->parameters[index].bias,
        .stride = op->stride,
        .activation = (enum kernel_activation)op->activation,
        .element = p->element,
    };

    TRY_CUDA(depthwise_launch(&args, stream));
out:
    return rc;
}

static enum status enqueue_cbam(const struct device_program *p, int index,
                                const struct program_memory *memory, cudaStream_t stream)
{
    enum status rc = STATUS_OK;
    const struct device_step *step = &p->steps.items[index];
    const struct op *op = &p->steps.graph.ops[step->op];
    const float *const *with = p->parameters[index].cbam;
    struct cbam_scratch at = lay_out_scratch(step->in.shape, p->batch);
    float *scratch = (float *)(void *)memory->scratch;
    struct cbam_args args = {
        .x = device_program_map(p, &step->in, memory),
        .residual = device_program_map(p, &step->residual, memory),
        .fc1 = with[CBAM_FC1_WEIGHT],
        .fc1_bias = with[CBAM_FC1_BIAS],
        .fc2 = with[CBAM_FC2_WEIGHT],
        .fc2_bias = with[CBAM_FC2_BIAS],
        .conv = with[CBAM_CONV],
        .conv_bias = with[CBAM_CONV_BIAS],
        .reduced = (int)op->param[CBAM_FC1_WEIGHT]->dim[0],
        .kernel = op->kernel,
        .pooled = scratch,
        .gate = scratch + at.gate,
        .maps = scratch + at.maps,
        .activation = (enum kernel_activation)op->activation,
        .element = p->element,
    };

    TRY_CUDA(cbam_squeeze_launch(&args, stream));
    TRY_CUDA(cbam_excite_launch(&args, stream));
    TRY_CUDA(cbam_spatial_launch(&args, stream));
    TRY_CUDA(cbam_apply_launch(&args, stream));
out:
    return rc;
}

static enum status enqueue_head(const struct device_program *p, int index,
                                const struct program_memory *memory, const struct program_pass *pass,
                                cudaStream_t stream)
{
    enum status rc = STATUS_OK;
    const struct stage *rules = pass->rules;
    const struct class_set *set = &rules->classes;
    const struct step_parameters *with = &p->parameters[index];
    struct head_args args = {
        .in = device_program_map(p, &p->steps.items[index].in, memory),
        .prologue = with->prologue,
        .weight = with->head_weight,
        .bias = with->head_bias,
        .watched = with->watched,
        .n_classes = set->n_classes,
        .n_watched = set->n_watched,
        .only_class = set->n_watched == 1 ? set->watched[0] : -1,
        .kind = (enum kernel_head)set->kind,
        .maps = pass->maps,
        .threshold = rules->threshold,
        .threshold_margin = score_margin_of(rules->threshold),
        .band = rules->variants[pass->variant].band,
        .stage = pass->stage,
        .is_last_variant = pass->variant + 1 == rules->n_variants,
        .slot = pass->slot,
        .list = pass->list,
        .state = pass->state,
        .results = pass->results,
        .element = p->element,
    };

    TRY_CUDA(head_launch(&args, stream));
out:
    return rc;
}

static enum status enqueue_conv(const struct device_program *p, int index,
                                const struct program_memory *memory, cudnnHandle_t handle)
{
    struct conv_pointers at = device_program_conv_pointers(p, index, memory);
    return conv_plan_execute(&p->plans[index], &at, handle);
}

enum status device_program_enqueue_step(const struct device_program *p, int index,
                                        const struct program_memory *memory, const struct program_pass *pass,
                                        cudnnHandle_t handle, cudaStream_t stream)
{
    switch (p->steps.items[index].kind) {
    case STEP_INPUT:
        return enqueue_input(p, &p->steps.items[index], memory, pass, stream);
    case STEP_CONV:
        return enqueue_conv(p, index, memory, handle);
    case STEP_DEPTHWISE:
        return enqueue_depthwise(p, index, memory, stream);
    case STEP_POOL:
        return enqueue_pool(p, index, memory, stream);
    case STEP_CBAM:
        return enqueue_cbam(p, index, memory, stream);
    case STEP_HEAD:
        return enqueue_head(p, index, memory, pass, stream);
    }
    return STATUS_INTERNAL;
}
