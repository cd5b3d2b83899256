#include "kernels/cpu/program.h"

#include "kernels/lower.h"

#include <stdlib.h>
#include <string.h>

static size_t element_bytes(enum precision precision)
{
    return precision == PRECISION_BF16 ? 2 : 4;
}

static bool is_primitive(enum op_kind kind)
{
    return kind == OP_CONV || kind == OP_MAX_POOL || kind == OP_AVG_POOL;
}

static struct primitive_spec specify(const struct program *p, const struct op *op)
{
    const struct op *from = &p->graph.ops[op->input[0]];

    return (struct primitive_spec){
        .kind = op->kind,
        .precision = p->precision,
        .in = from->shape,
        .out = op->shape,
        .kernel = op->kernel,
        .stride = op->stride,
        .pad = op->pad,
        .groups = op->groups,
        .bias = op->kind == OP_CONV && op->param[CONV_BIAS] != NULL,
        .residual = op->input[1] != GRAPH_NONE,
        .activation = op->activation,
        .planar_input = from->kind == OP_INPUT,
        .block = p->ops->block,
    };
}

/* Packed by now; the plain copy is not needed any more. */
static void drop_values(struct tensor *tensor)
{
    if (tensor == NULL)
        return;
    free(tensor->own);
    tensor->own = NULL;
    tensor->data = NULL;
}

static enum status prepare_primitive(struct program *p, const struct op *op, dnnl_engine_t engine,
                                     struct step *step)
{
    enum status rc = STATUS_OK;
    struct primitive_spec spec = specify(p, op);
    struct tensor *weight = op->kind == OP_CONV ? op->param[CONV_WEIGHT] : NULL;
    struct tensor *bias = op->kind == OP_CONV ? op->param[CONV_BIAS] : NULL;

    TRY(primitive_open(engine, &spec, op->name, weight == NULL ? NULL : weight->own,
                       bias == NULL ? NULL : bias->own, &step->primitive));
    drop_values(weight);
    drop_values(bias);
    if (step->primitive.scratch_bytes > p->scratch_bytes)
        p->scratch_bytes = step->primitive.scratch_bytes;
out:
    return rc;
}

static enum status prepare_scale(const struct program *p, const struct op *op, struct step *step)
{
    enum status rc = STATUS_OK;
    size_t c = (size_t)op->shape.c, block = (size_t)p->ops->block;

    step->scale = calloc((c + block - 1) / block * block, sizeof(float));
    step->shift = calloc((c + block - 1) / block * block, sizeof(float));
    if (step->scale == NULL || step->shift == NULL)
        FAIL(STATUS_MEMORY, "no memory for %s", op->name);
    memcpy(step->scale, op->param[SCALE_SCALE]->own, c * sizeof(float));
    memcpy(step->shift, op->param[SCALE_SHIFT]->own, c * sizeof(float));
out:
    return rc;
}

static const float *values_of(const struct tensor *tensor)
{
    return tensor == NULL ? NULL : tensor->own;
}

static void prepare_cbam(struct program *p, const struct op *op, struct step *step)
{
    step->cbam = (struct ops_cbam){
        .fc1 = values_of(op->param[CBAM_FC1_WEIGHT]),
        .fc1_bias = values_of(op->param[CBAM_FC1_BIAS]),
        .fc2 = values_of(op->param[CBAM_FC2_WEIGHT]),
        .fc2_bias = values_of(op->param[CBAM_FC2_BIAS]),
        .conv = values_of(op->param[CBAM_CONV]),
        .conv_bias = op->param[CBAM_CONV_BIAS]->own[0],
        .reduced = (int)op->param[CBAM_FC1_WEIGHT]->dim[0],
        .kernel = op->kernel,
        .activation = op->activation,
    };
    size_t floats = ops_cbam_scratch(op->shape, &step->cbam);
    if (floats > p->scratch_floats)
        p->scratch_floats = floats;
}

static enum status prepare_step(struct program *p, int i, dnnl_engine_t engine)
{
    enum status rc = STATUS_OK;
    const struct op *op = &p->graph.ops[i];

    if (is_primitive(op->kind))
        TRY(prepare_primitive(p, op, engine, &p->steps[i]));
    else if (op->kind == OP_SCALE)
        TRY(prepare_scale(p, op, &p->steps[i]));
    else if (op->kind == OP_CBAM)
        prepare_cbam(p, op, &p->steps[i]);
out:
    return rc;
}

enum status program_open(const struct stage *stage, enum precision precision, dnnl_engine_t engine,
                         struct program *out)
{
    enum status rc = STATUS_OK;
    struct program p = {.precision = precision, .ops = ops_choose()};

    TRY(lower_inference(&stage->plain, p.ops->block, &p.graph));
    p.steps = calloc((size_t)p.graph.n_ops, sizeof(*p.steps));
    if (p.steps == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    for (int i = 0; i < p.graph.n_ops; i++)
        TRY(prepare_step(&p, i, engine));
    for (int c = 0; c < 3; c++)
        for (int level = 0; level < 256; level++)
            p.input_table[c][level] = ((float)level / 255.0f - stage->mean[c]) / stage->std[c];
    p.arena_bytes = p.graph.arena_elements * element_bytes(precision);
    *out = p;
    p = (struct program){0};
out:
    program_close(&p);
    return rc;
}

void program_close(struct program *program)
{
    if (program == NULL)
        return;
    for (int i = 0; program->steps != NULL && i < program->graph.n_ops; i++) {
        primitive_close(&program->steps[i].primitive);
        free(program->steps[i].scale);
        free(program->steps[i].shift);
    }
    free(program->steps);
    graph_free(&program->graph);
    *program = (struct program){0};
}

struct ops_map runner_map(const struct runner *runner, int index)
{
    const struct program *p = runner->program;
    const struct op *op = &p->graph.ops[index];
    const struct buffer *buffer = &p->graph.buffers[op->buffer];
    size_t skipped = (size_t)op->first_channel * (size_t)op->shape.h * (size_t)op->shape.w;

    return (struct ops_map){
        .data = runner->arena + (buffer->offset + skipped) * element_bytes(p->precision),
        .precision = p->precision,
        .c = op->shape.c,
        .h = op->shape.h,
        .w = op->shape.w,
    };
}

enum status runner_open(const struct program *program, unsigned char *arena, unsigned char *scratch,
                        struct runner *out)
{
    enum status rc = STATUS_OK;
    struct runner r = {.program = program, .arena = arena, .scratch = (float *)(void *)scratch};

    r.calls = calloc((size_t)program->graph.n_ops, sizeof(*r.calls));
    if (r.calls == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    for (int i = 0; i < program->graph.n_ops; i++) {
        const struct op *op = &program->graph.ops[i];
        if (is_primitive(op->kind))
            TRY(call_open(&program->steps[i].primitive, runner_map(&r, op->input[0]).data,
                          runner_map(&r, i).data, scratch, &r.calls[i]));
    }
    *out = r;
    r.calls = NULL;
out:
    runner_close(&r);
    return rc;
}

void runner_close(struct runner *runner)
{
    if (runner == NULL || runner->calls == NULL)
        return;
    for (int i = 0; i < runner->program->graph.n_ops; i++)
        call_close(&runner->calls[i]);
    free(runner->calls);
    *runner = (struct runner){0};
}

enum status runner_step(const struct runner *runner, dnnl_stream_t stream, const uint8_t *pixels, int index)
{
    enum status rc = STATUS_OK;
    const struct program *p = runner->program;
    const struct op *op = &p->graph.ops[index];
    const struct step *step = &p->steps[index];
    struct ops_map to = runner_map(runner, index), from;

    switch (op->kind) {
    case OP_INPUT:
        p->ops->input(pixels, p->input_table, &to);
        break;
    case OP_CONV:
    case OP_MAX_POOL:
    case OP_AVG_POOL:
        TRY(call_execute(&runner->calls[index], stream, op->name));
        break;
    case OP_SCALE:
        from = runner_map(runner, op->input[0]);
        p->ops->scale(&from, step->scale, step->shift, op->activation, &to);
        break;
    case OP_CBAM:
        p->ops->cbam(&to, &step->cbam,
                     op->input[1] == GRAPH_NONE ? NULL : runner_map(runner, op->input[1]).data,
                     runner->scratch);
        break;
    case OP_CONCAT: /* a view */
    case OP_HEAD:   /* the engine's: it needs the class set */
        break;
    case OP_BATCH_NORM:
    case OP_RELU:
    case OP_RELU6:
    case OP_ADD:
        FAIL(STATUS_INTERNAL, "op %s was not lowered", op->name);
    }
out:
    return rc;
}

enum status runner_execute(const struct runner *runner, dnnl_stream_t stream, const uint8_t *pixels,
                           float *features, float *means)
{
    enum status rc = STATUS_OK;
    const struct graph *g = &runner->program->graph;

    for (int i = 0; i < g->n_ops; i++)
        TRY(runner_step(runner, stream, pixels, i));
    struct ops_map map = runner_map(runner, g->ops[g->n_ops - 1].input[0]);
    runner->program->ops->features(&map, features, means);
out:
    return rc;
}
