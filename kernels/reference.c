#include "kernels/reference.h"

#include "kernels/cpu/ops.h"
#include "kernels/lower.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t places(struct shape s)
{
    return (size_t)s.h * (size_t)s.w;
}

static size_t elements(struct shape s)
{
    return (size_t)s.c * places(s);
}

/* The window at every place as a column: [c * kernel * kernel, places of out]. */
static void gather_windows(const struct op *op, struct shape in, const float *x, float *columns)
{
    size_t n = places(op->shape);

    for (int k = 0; k < in.c * op->kernel * op->kernel; k++) {
        int c = k / (op->kernel * op->kernel), dy = k / op->kernel % op->kernel, dx = k % op->kernel;
        float *row = columns + (size_t)k * n;
        for (int y = 0; y < op->shape.h; y++) {
            int from_y = y * op->stride + dy - op->pad;
            for (int to_x = 0; to_x < op->shape.w; to_x++) {
                int from_x = to_x * op->stride + dx - op->pad;
                bool inside = from_y >= 0 && from_y < in.h && from_x >= 0 && from_x < in.w;
                *row++ = inside
                             ? x[((size_t)c * (size_t)in.h + (size_t)from_y) * (size_t)in.w + (size_t)from_x]
                             : 0;
            }
        }
    }
}

static void depthwise(const struct op *op, struct shape in, const float *x, const float *weight, float *value)
{
    struct op one = *op;
    struct shape plane = {1, in.h, in.w};

    /* A channel at a time, its windows summed in the order of the kernel. */
    for (int c = 0; c < in.c; c++) {
        const float *w = weight + (size_t)c * (size_t)(op->kernel * op->kernel);
        float *to = value + (size_t)c * places(op->shape);
        const float *from = x + (size_t)c * places(plane);
        for (int p = 0; p < one.shape.h * one.shape.w; p++) {
            int y = p / one.shape.w * op->stride - op->pad, left = p % one.shape.w * op->stride - op->pad;
            float sum = 0;
            for (int k = 0; k < op->kernel * op->kernel; k++) {
                int at_y = y + k / op->kernel, at_x = left + k % op->kernel;
                if (at_y >= 0 && at_y < in.h && at_x >= 0 && at_x < in.w)
                    sum += w[k] * from[at_y * in.w + at_x];
            }
            to[p] = sum;
        }
    }
}

static enum status convolve(const struct op *op, struct shape in, const float *x, const float *weight,
                            float *value)
{
    enum status rc = STATUS_OK;
    size_t depth = (size_t)in.c * (size_t)op->kernel * (size_t)op->kernel, n = places(op->shape);
    float *columns = NULL;

    if (op->groups > 1) {
        depthwise(op, in, x, weight, value);
        goto out;
    }
    if (op->kernel > 1 || op->stride > 1) {
        columns = malloc(depth * n * sizeof(float));
        if (columns == NULL)
            FAIL(STATUS_MEMORY, "no memory");
        gather_windows(op, in, x, columns);
    }
    ops_choose()->multiply(weight, columns == NULL ? x : columns, (size_t)op->shape.c, depth, n, value);
out:
    free(columns);
    return rc;
}

static void batch_norm(const struct op *op, const float *const *param, const float *x, float *value)
{
    for (int c = 0; c < op->shape.c; c++) {
        float scale = param[BN_WEIGHT][c] / sqrtf(param[BN_VAR][c] + (float)BATCH_NORM_EPS);
        for (size_t p = (size_t)c * places(op->shape); p < ((size_t)c + 1) * places(op->shape); p++)
            value[p] = (x[p] - param[BN_MEAN][c]) * scale + param[BN_BIAS][c];
    }
}

static void pool(const struct op *op, struct shape in, const float *x, float *value)
{
    for (int c = 0; c < in.c; c++) {
        const float *from = x + (size_t)c * places(in);
        for (int p = 0; p < op->shape.h * op->shape.w; p++) {
            int y = p / op->shape.w * op->stride - op->pad, left = p % op->shape.w * op->stride - op->pad;
            float max = -INFINITY, sum = 0;
            for (int k = 0; k < op->kernel * op->kernel; k++) {
                int at_y = y + k / op->kernel, at_x = left + k % op->kernel;
                if (at_y < 0 || at_y >= in.h || at_x < 0 || at_x >= in.w)
                    continue;
                float v = from[at_y * in.w + at_x];
                max = v > max ? v : max;
                sum += v;
            }
            value[(size_t)c * places(op->shape) + (size_t)p] =
                op->kind == OP_MAX_POOL ? max : sum / (float)(op->kernel * op->kernel);
        }
    }
}

static float sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

/* The shared two-layer perceptron on one pooled vector, added to `sum`. */
static void perceptron(const struct op *op, const float *const *param, const float *pooled, float *sum)
{
    int r = (int)op->param[CBAM_FC1_WEIGHT]->dim[0], c = op->shape.c;

    for (int j = 0; j < r; j++) {
        float hidden = param[CBAM_FC1_BIAS] == NULL ? 0 : param[CBAM_FC1_BIAS][j];
        for (int i = 0; i < c; i++)
            hidden += param[CBAM_FC1_WEIGHT][j * c + i] * pooled[i];
        for (int i = 0; hidden > 0 && i < c; i++)
            sum[i] += param[CBAM_FC2_WEIGHT][i * r + j] * hidden;
    }
    for (int i = 0; param[CBAM_FC2_BIAS] != NULL && i < c; i++)
        sum[i] += param[CBAM_FC2_BIAS][i];
}

/* Means, then maxima: of each channel over the places. OUT pooled: [2, c]. */
static void pool_channels(struct shape s, const float *x, float *pooled)
{
    for (int c = 0; c < s.c; c++) {
        double sum = 0;
        float max = -INFINITY;
        for (size_t p = 0; p < places(s); p++) {
            float v = x[(size_t)c * places(s) + p];
            sum += v;
            max = v > max ? v : max;
        }
        pooled[c] = (float)(sum / (double)places(s));
        pooled[s.c + c] = max;
    }
}

static void pool_places(struct shape s, const float *x, bool max_first, float *pooled)
{
    for (size_t p = 0; p < places(s); p++) {
        float sum = 0, max = -INFINITY;
        for (int c = 0; c < s.c; c++) {
            float v = x[(size_t)c * places(s) + p];
            sum += v;
            max = v > max ? v : max;
        }
        pooled[p] = max_first ? max : sum / (float)s.c;
        pooled[places(s) + p] = max_first ? sum / (float)s.c : max;
    }
}

static enum status cbam(const struct op *op, const float *const *param, const float *x, float *value)
{
    enum status rc = STATUS_OK;
    struct shape s = op->shape, two = {2, s.h, s.w};
    struct op conv = *op;
    float *pooled = calloc(3 * (size_t)s.c + 3 * places(s), sizeof(float));

    if (pooled == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    float *gate = pooled + 2 * s.c, *maps = gate + s.c, *spatial = maps + 2 * places(s);
    pool_channels(s, x, pooled);
    perceptron(op, param, pooled, gate);
    perceptron(op, param, pooled + s.c, gate);
    for (size_t i = 0; i < elements(s); i++)
        value[i] = x[i] * sigmoid(gate[i / places(s)]);
    pool_places(s, value, op->cbam_max_first, maps);
    conv.shape.c = 1;
    TRY(convolve(&conv, two, maps, param[CBAM_CONV], spatial));
    if (param[CBAM_BN_WEIGHT] != NULL)
        batch_norm(&conv, param + CBAM_BN_WEIGHT, spatial, spatial);
    for (size_t i = 0; i < elements(s); i++)
        value[i] *= sigmoid(spatial[i % places(s)]);
out:
    free(pooled);
    return rc;
}

static void head(const struct op *op, struct shape in, const float *const *param, const float *x,
                 float *value)
{
    for (int k = 0; k < op->shape.c; k++) {
        double logit = param[HEAD_BIAS][k];
        for (size_t i = 0; i < elements(in); i++)
            logit += (double)param[HEAD_WEIGHT][(size_t)k * (size_t)in.c + i / places(in)] * x[i] /
                     (double)places(in);
        value[k] = (float)logit;
    }
}

static enum status one_picture(const struct graph *plain, const struct op *op, const float *const *param,
                               const float *first, const float *second, float *value)
{
    enum status rc = STATUS_OK;
    struct shape in = plain->ops[op->input[0]].shape;

    switch (op->kind) {
    case OP_CONV:
        TRY(convolve(op, in, first, param[CONV_WEIGHT], value));
        break;
    case OP_BATCH_NORM:
        batch_norm(op, param, first, value);
        break;
    case OP_RELU:
    case OP_RELU6:
        for (size_t i = 0; i < elements(in); i++)
            value[i] = first[i] < 0 ? 0 : op->kind == OP_RELU6 && first[i] > 6 ? 6 : first[i];
        break;
    case OP_MAX_POOL:
    case OP_AVG_POOL:
        pool(op, in, first, value);
        break;
    case OP_ADD:
        for (size_t i = 0; i < elements(in); i++)
            value[i] = first[i] + second[i];
        break;
    case OP_CONCAT:
        memcpy(value, first, elements(in) * sizeof(float));
        memcpy(value + elements(in), second, (elements(op->shape) - elements(in)) * sizeof(float));
        break;
    case OP_CBAM:
        TRY(cbam(op, param, first, value));
        break;
    case OP_HEAD:
        head(op, in, param, first, value);
        break;
    case OP_INPUT:
    case OP_SCALE:
        FAIL(STATUS_INTERNAL, "op %s has no place in a plain list", op->name);
    }
out:
    return rc;
}

enum status reference_op(const struct graph *plain, int index, const float *first, const float *second, int n,
                         float *value)
{
    enum status rc = STATUS_OK;
    const struct op *op = &plain->ops[index];
    size_t in = elements(plain->ops[op->input[0]].shape), out_size = elements(op->shape);
    size_t in_second = op->input[1] == GRAPH_NONE ? 0 : elements(plain->ops[op->input[1]].shape);
    float *param[OP_MAX_PARAMS] = {0};
    const float *values[OP_MAX_PARAMS];
    enum status worst = STATUS_OK;

    for (int i = 0; i < OP_MAX_PARAMS; i++) {
        if (op->param[i] != NULL) {
            param[i] = malloc((size_t)op->param[i]->n_elements * sizeof(float));
            if (param[i] == NULL)
                FAIL(STATUS_MEMORY, "no memory");
            tensor_to_f32(op->param[i], param[i]);
        }
        values[i] = param[i];
    }
#pragma omp parallel for
    for (int picture = 0; picture < n; picture++) {
        size_t i = (size_t)picture;
        enum status one = one_picture(plain, op, values, first + i * in,
                                      second == NULL ? NULL : second + i * in_second, value + i * out_size);
        if (one != STATUS_OK) {
#pragma omp critical
            worst = one;
        }
    }
    rc = worst;
out:
    for (int i = 0; i < OP_MAX_PARAMS; i++)
        free(param[i]);
    return rc;
}

/* Make gamma / sqrt(var + eps) a power of two: folded into a convolution, it only moves exponents. */
static void snap_scale(float *gamma, float var)
{
    double deviation = sqrt((double)var + BATCH_NORM_EPS);
    *gamma = (float)ldexp(deviation, (int)lround(log2(*gamma / deviation)));
}

/* Mean and (biased) variance of each channel over pictures and places, into the batch norm's own tensors. */
static void calibrate_batch_norm(const struct op *op, bool behind_conv, const float *x, int n)
{
    size_t n_places = places(op->shape), picture = elements(op->shape);

#pragma omp parallel for
    for (int c = 0; c < op->shape.c; c++) {
        double sum = 0, squares = 0, count = (double)n * (double)n_places;
        for (int i = 0; i < n; i++) {
            const float *plane = x + (size_t)i * picture + (size_t)c * n_places;
            for (size_t p = 0; p < n_places; p++) {
                sum += plane[p];
                squares += (double)plane[p] * plane[p];
            }
        }
        double variance = squares / count - (sum / count) * (sum / count);
        op->param[BN_MEAN]->own[c] = (float)(sum / count);
        op->param[BN_VAR]->own[c] =
            (float)(variance > 1e-4 ? variance : 1e-4); /* a dead channel stays dead */
        if (behind_conv)
            snap_scale(&op->param[BN_WEIGHT]->own[c], op->param[BN_VAR]->own[c]);
    }
}

static void free_if_last(const struct graph *plain, int *n_uses, float **values, int value)
{
    bool kept = value == plain->ops[plain->n_ops - 1].input[0]; /* the features are a result */
    if (value != GRAPH_NONE && --n_uses[value] == 0 && !kept) {
        free(values[value]);
        values[value] = NULL;
    }
}

enum status reference_execute(const struct graph *plain, const float *input, int n, bool calibrate,
                              struct reference_result *out)
{
    enum status rc = STATUS_OK;
    int last = plain->n_ops - 1;
    float **values = calloc((size_t)plain->n_ops, sizeof(*values));
    int *n_uses = calloc((size_t)plain->n_ops, sizeof(*n_uses));

    if (values == NULL || n_uses == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    graph_count_uses(plain, n_uses);
    for (int i = 0; i < plain->n_ops; i++) {
        const struct op *op = &plain->ops[i];
        size_t bytes = (size_t)n * elements(op->shape) * sizeof(float);
        values[i] = malloc(bytes);
        if (values[i] == NULL)
            FAIL(STATUS_MEMORY, "no memory for the value of %s (%zu MiB)", op->name, bytes >> 20);
        if (op->kind == OP_INPUT) {
            memcpy(values[i], input, bytes);
            continue;
        }
        const float *second = op->input[1] == GRAPH_NONE ? NULL : values[op->input[1]];
        if (calibrate && op->kind == OP_BATCH_NORM)
            calibrate_batch_norm(op, plain->ops[op->input[0]].kind == OP_CONV, values[op->input[0]], n);
        TRY(reference_op(plain, i, values[op->input[0]], second, n, values[i]));
        free_if_last(plain, n_uses, values, op->input[0]);
        free_if_last(plain, n_uses, values, op->input[1]);
    }
    *out = (struct reference_result){values[plain->ops[last].input[0]], values[last]};
    values[plain->ops[last].input[0]] = values[last] = NULL;
out:
    for (int i = 0; values != NULL && i < plain->n_ops; i++)
        free(values[i]);
    free(values);
    free(n_uses);
    return rc;
}

void reference_free(struct reference_result *result)
{
    if (result == NULL)
        return;
    free(result->features);
    free(result->logits);
    *result = (struct reference_result){0};
}
