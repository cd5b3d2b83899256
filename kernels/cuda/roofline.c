#include "kernels/cuda/roofline.h"

#include "kernels/cascade.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ELEMENT_BYTES 2.0 /* float16, bfloat16 */
#define FLOAT_BYTES 4.0
#define ROW_RESULT_BYTES 8.0 /* struct row_result of launch.h */
#define MAX_ROWS_PER_STEP 4  /* a CBAM's */

static const struct device_peaks devices[] = {
    {"h100", "H100 SXM 80 GB", 989.4e12, 66.9e12, 3.35e12, 50e6},
    {"a100", "A100 SXM 80 GB", 312e12, 19.5e12, 2.039e12, 40e6},
    {"b200", "B200 SXM 180 GB", 2250e12, 80e12, 8e12, 126e6},
};

const struct device_peaks *roofline_peaks(const char *name)
{
    for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++)
        if (strcmp(devices[i].name, name) == 0)
            return &devices[i];
    return NULL;
}

const char *roofline_kind_name(enum roofline_kind kind)
{
    static const char *const names[] = {
        [ROOFLINE_INPUT] = "input",
        [ROOFLINE_CONV] = "conv",
        [ROOFLINE_DEPTHWISE] = "depthwise",
        [ROOFLINE_POOL] = "pool",
        [ROOFLINE_CBAM_SQUEEZE] = "cbam squeeze",
        [ROOFLINE_CBAM_EXCITE] = "cbam excite",
        [ROOFLINE_CBAM_SPATIAL] = "cbam spatial",
        [ROOFLINE_CBAM_APPLY] = "cbam apply",
        [ROOFLINE_HEAD] = "head",
    };
    return names[kind];
}

double roofline_bytes(const struct roofline_row *row)
{
    return row->read_bytes + row->written_bytes + row->weight_bytes;
}

static double places(struct shape s)
{
    return (double)s.h * s.w;
}

static double count(struct shape s)
{
    return s.c * places(s);
}

static double elements(const struct tensor *t)
{
    return t == NULL ? 0 : (double)t->n_elements;
}

/* What the counting of one step needs; rows are of one picture until `finish` makes them a batch's. */
struct counter {
    const struct graph *graph;
    const struct device_step *step;
    const struct op *op;
    double cached_share; /* of x, found in the cache by a CBAM's spatial and apply */
};

static void add_prologue(const struct counter *c, struct roofline_row *row)
{
    if (c->step->prologue == GRAPH_NONE)
        return;
    row->other_flops += 3 * count(c->step->in.shape); /* scale, shift, ReLU */
    row->weight_bytes += 2 * FLOAT_BYTES * c->step->in.shape.c;
}

/* A 1x1 with a stride passes over the places between its windows; larger windows overlap. */
static double places_read(const struct counter *c)
{
    return c->op->kernel < c->op->stride ? places(c->step->out.shape) * c->op->kernel * c->op->kernel
                                         : places(c->step->in.shape);
}

static void count_input(const struct counter *c, struct roofline_row *row)
{
    row->kind = ROOFLINE_INPUT;
    row->other_flops = 2 * 3 * places(c->step->out.shape);
    row->read_bytes = 3 * places(c->step->out.shape);
    row->written_bytes = ELEMENT_BYTES * count(c->step->out.shape);
}

static void count_conv(const struct counter *c, struct roofline_row *row)
{
    const struct device_step *s = c->step;
    double window = (double)c->op->kernel * c->op->kernel, c_in = c->graph->ops[c->op->input[0]].shape.c;

    bool depthwise = s->kind == STEP_DEPTHWISE;

    row->kind = depthwise ? ROOFLINE_DEPTHWISE : ROOFLINE_CONV;
    row->flops = 2 * count(s->out.shape) * window * c_in / c->op->groups;
    row->other_flops = 2 * count(s->out.shape); /* bias, activation */
    row->read_bytes = ELEMENT_BYTES * s->in.shape.c * places_read(c);
    if (s->residual.buffer != GRAPH_NONE) {
        row->other_flops += count(s->out.shape);
        row->read_bytes += ELEMENT_BYTES * count(s->residual.shape);
    }
    row->written_bytes = ELEMENT_BYTES * count(s->out.shape);
    /* The stem's weights are padded as its input is. */
    row->weight_bytes = ELEMENT_BYTES * s->out.shape.c * window * (depthwise ? 1 : s->in.shape.c) +
                        FLOAT_BYTES * elements(c->op->param[CONV_BIAS]);
    add_prologue(c, row);
}

static void count_pool(const struct counter *c, struct roofline_row *row)
{
    row->kind = ROOFLINE_POOL;
    row->other_flops = count(c->step->out.shape) * c->op->kernel * c->op->kernel;
    row->read_bytes = ELEMENT_BYTES * c->step->in.shape.c * places_read(c);
    row->written_bytes = ELEMENT_BYTES * count(c->step->out.shape);
    add_prologue(c, row);
}

/* rows: [4]. */
static void count_cbam(const struct counter *c, struct roofline_row *rows)
{
    struct roofline_row *squeeze = &rows[0], *excite = &rows[1], *spatial = &rows[2], *apply = &rows[3];
    double n = count(c->step->out.shape), n_places = places(c->step->out.shape),
           n_channels = c->step->out.shape.c;
    double x_bytes = ELEMENT_BYTES * n, cold_bytes = x_bytes * (1 - c->cached_share);
    double pooled_bytes = FLOAT_BYTES * 2 * n_channels, gate_bytes = FLOAT_BYTES * n_channels;
    double maps_bytes = FLOAT_BYTES * 2 * n_places, conv = elements(c->op->param[CBAM_CONV]);
    double mlp = elements(c->op->param[CBAM_FC1_WEIGHT]) + elements(c->op->param[CBAM_FC2_WEIGHT]);

    squeeze->kind = ROOFLINE_CBAM_SQUEEZE;
    squeeze->other_flops = 2 * n; /* sum, maximum */
    squeeze->read_bytes = x_bytes;
    squeeze->written_bytes = pooled_bytes;

    excite->kind = ROOFLINE_CBAM_EXCITE;
    excite->other_flops = 2 * 2 * mlp; /* for the means and for the maxima */
    excite->read_bytes = pooled_bytes;
    excite->written_bytes = gate_bytes;
    excite->weight_bytes =
        FLOAT_BYTES * (mlp + elements(c->op->param[CBAM_FC1_BIAS]) + elements(c->op->param[CBAM_FC2_BIAS]));

    spatial->kind = ROOFLINE_CBAM_SPATIAL;
    spatial->other_flops = 3 * n; /* gate, sum, maximum */
    spatial->read_bytes = cold_bytes + gate_bytes;
    spatial->written_bytes = maps_bytes;

    apply->kind = ROOFLINE_CBAM_APPLY;
    apply->other_flops = 3 * n + 2 * conv * n_places; /* two gates, activation */
    apply->read_bytes = cold_bytes + gate_bytes + maps_bytes;
    if (c->step->residual.buffer != GRAPH_NONE) {
        apply->other_flops += n;
        apply->read_bytes += ELEMENT_BYTES * n;
    }
    apply->written_bytes = x_bytes;
    apply->weight_bytes = FLOAT_BYTES * (conv + elements(c->op->param[CBAM_CONV_BIAS]));
}

static void count_head(const struct counter *c, struct roofline_row *row)
{
    double n = count(c->step->in.shape), n_classes = c->step->out.shape.c;

    row->kind = ROOFLINE_HEAD;
    row->flops = 2 * n_classes * c->step->in.shape.c;
    row->other_flops = n + 2 * n; /* averages; the map of one class */
    row->read_bytes = ELEMENT_BYTES * n;
    row->written_bytes = FLOAT_BYTES * (n_classes + places(c->step->in.shape)) + ROW_RESULT_BYTES;
    row->weight_bytes = FLOAT_BYTES * n_classes * (c->step->in.shape.c + 1);
    add_prologue(c, row);
}

/* OUT rows: [MAX_ROWS_PER_STEP], of one picture. Returns how many. */
static int count_step(const struct counter *c, struct roofline_row *rows)
{
    switch (c->step->kind) {
    case STEP_INPUT:
        count_input(c, rows);
        return 1;
    case STEP_CONV:
    case STEP_DEPTHWISE:
        count_conv(c, rows);
        return 1;
    case STEP_POOL:
        count_pool(c, rows);
        return 1;
    case STEP_CBAM:
        count_cbam(c, rows);
        return MAX_ROWS_PER_STEP;
    case STEP_HEAD:
        count_head(c, rows);
        return 1;
    }
    return 0;
}

/* From one picture to a batch, and the floor. */
static void finish(struct roofline_row *row, int step, int batch, const struct device_peaks *peaks)
{
    double arithmetic_s;

    row->step = step;
    row->flops *= batch;
    row->other_flops *= batch;
    row->read_bytes *= batch;
    row->written_bytes *= batch;
    if (row->kind == ROOFLINE_CONV)
        arithmetic_s = fmax(row->flops / peaks->tensor_flops, row->other_flops / peaks->vector_flops);
    else
        arithmetic_s = (row->flops + row->other_flops) / peaks->vector_flops;
    double memory_s = roofline_bytes(row) / peaks->bandwidth;
    row->floor_s = fmax(memory_s, arithmetic_s);
    row->memory_bound = memory_s >= arithmetic_s;
}

static void add(struct roofline_row *total, const struct roofline_row *row)
{
    total->flops += row->flops;
    total->other_flops += row->other_flops;
    total->read_bytes += row->read_bytes;
    total->written_bytes += row->written_bytes;
    total->weight_bytes += row->weight_bytes;
    total->floor_s += row->floor_s;
}

enum status roofline_make(const struct device_steps *steps, int batch, double cached_bytes,
                          const struct device_peaks *peaks, struct roofline *out)
{
    enum status rc = STATUS_OK;
    struct roofline r = {0};

    r.rows = calloc((size_t)steps->n * MAX_ROWS_PER_STEP, sizeof(*r.rows));
    if (r.rows == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    for (int i = 0; i < steps->n; i++) {
        const struct device_step *step = &steps->items[i];
        double x_bytes = ELEMENT_BYTES * batch * count(step->out.shape);
        struct counter counter = {&steps->graph, step, &steps->graph.ops[step->op],
                                  fmin(1, cached_bytes / x_bytes)};
        for (int k = count_step(&counter, &r.rows[r.n]); k > 0; k--) {
            finish(&r.rows[r.n], i, batch, peaks);
            add(&r.total, &r.rows[r.n++]);
        }
    }
    *out = r;
out:
    return rc;
}

void roofline_free(struct roofline *roofline)
{
    if (roofline == NULL)
        return;
    free(roofline->rows);
    *roofline = (struct roofline){0};
}

double roofline_least_bytes(const struct graph *plain, int batch)
{
    double values = 0, weights = 0;

    for (int i = 0; i < plain->n_ops; i++) {
        const struct op *op = &plain->ops[i];
        if (op->kind == OP_CONV) {
            values += count(plain->ops[op->input[0]].shape) + count(op->shape);
            weights += elements(op->param[CONV_WEIGHT]);
        } else if (op->kind == OP_CBAM) {
            values += 3 * count(op->shape);
        }
    }
    return ELEMENT_BYTES * (values * batch + weights);
}

double roofline_layered_bytes(const struct graph *plain, int batch)
{
    double values = 0, weights = 0;

    for (int i = 0; i < plain->n_ops; i++) {
        const struct op *op = &plain->ops[i];
        for (int k = 0; k < OP_MAX_PARAMS; k++)
            weights += elements(op->param[k]);
        if (op->kind == OP_CBAM) {
            values += 8 * count(op->shape);
            continue;
        }
        for (int k = 0; k < 2; k++)
            if (op->input[k] != GRAPH_NONE)
                values += count(plain->ops[op->input[k]].shape);
        values += count(op->shape);
        if (op->kind == OP_INPUT)
            values += count(op->shape) / ELEMENT_BYTES; /* the uint8 crop */
        if (op->kind == OP_HEAD)
            values += 2.0 * plain->ops[op->input[0]].shape.c; /* the averages, written and read */
    }
    return ELEMENT_BYTES * (values * batch + weights);
}

double roofline_cascade_seconds(const double *seconds, const double *pass_rate, int n, int *order)
{
    double expected = 0, reaching = 1;

    cascade_order(seconds, pass_rate, n, order);
    for (int i = 0; i < n; i++) {
        expected += reaching * seconds[order[i]];
        reaching *= pass_rate[order[i]];
    }
    return expected;
}
