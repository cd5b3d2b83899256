#include "kernels/weights_init.h"

#include "kernels/reference.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_PICTURES 16
#define SIZE 224
#define LOGIT_DEVIATION 2.0
#define MAP_SUM 8.0 /* of a heat map before its ReLU, on average */
/*
 * Gains of batch norms, by trial: with them bf16 changes scores by less than 0.02, as with trained networks;
 * at 1 the random deep sums drown the pictures' differences.
 */
#define BRANCH_GAIN 0.2f        /* the last of a residual branch */
#define LINEAR_BRANCH_GAIN 0.1f /* MobileNetV2's, where no ReLU follows the add */
#define OWN_SHARE 0.7           /* of a class's direction beside what is common to all */
#define GROWTH_GAIN 0.3f        /* channels a dense block has added */

/* SplitMix64 (Steele, Lea, Flood 2014): a sequence per seed, the same everywhere. */
static uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Uniform in [low, high). */
static float random_between(uint64_t *state, float low, float high)
{
    return low + (high - low) * (float)(random_next(state) >> 40) * 0x1p-24f;
}

/* Zero mean and this deviation; uniform, so that no library function decides the bits. */
static void fill(uint64_t *state, struct tensor *t, double deviation)
{
    float limit = (float)(deviation * 1.7320508075688772);
    for (int64_t i = 0; t != NULL && i < t->n_elements; i++)
        t->own[i] = random_between(state, -limit, limit);
}

static void fill_between(uint64_t *state, struct tensor *t, float low, float high)
{
    for (int64_t i = 0; t != NULL && i < t->n_elements; i++)
        t->own[i] = random_between(state, low, high);
}

static void init_cbam(uint64_t *state, const struct op *op)
{
    fill(state, op->param[CBAM_FC1_WEIGHT], 0.5 / sqrt((double)op->param[CBAM_FC1_WEIGHT]->dim[1]));
    fill(state, op->param[CBAM_FC1_BIAS], 0.1);
    fill(state, op->param[CBAM_FC2_WEIGHT], 0.5 / sqrt((double)op->param[CBAM_FC2_WEIGHT]->dim[1]));
    fill(state, op->param[CBAM_FC2_BIAS], 0.1);
    fill(state, op->param[CBAM_CONV], 0.03);
    /* Not 1, 0, 0, 1: parity tests must see a batch norm that is left out. */
    fill_between(state, op->param[CBAM_BN_WEIGHT], 0.4f, 0.6f);
    fill_between(state, op->param[CBAM_BN_BIAS], -0.1f, 0.1f);
    fill_between(state, op->param[CBAM_BN_MEAN], -0.1f, 0.1f);
    fill_between(state, op->param[CBAM_BN_VAR], 0.8f, 1.2f);
}

/*
 * The gain of a batch norm that is the last of a residual branch, whose value, perhaps through CBAM, is one
 * term of an add; else 1.
 */
static float branch_gain(const struct graph *g, int index)
{
    int value = index;

    for (int i = index + 1; i + 1 < g->n_ops; i++) {
        const struct op *op = &g->ops[i];
        if (op->kind == OP_CBAM && op->input[0] == value)
            value = i;
        else if (op->kind == OP_ADD && op->input[0] == value)
            return g->ops[i + 1].kind == OP_RELU ? BRANCH_GAIN : LINEAR_BRANCH_GAIN;
    }
    return 1;
}

/* Channels a concatenation started from: those of its dense block's input. */
static int first_channels(const struct graph *g, int value)
{
    while (g->ops[value].kind == OP_CONCAT)
        value = g->ops[value].input[0];
    return g->ops[value].shape.c;
}

static void init_batch_norm(uint64_t *state, const struct graph *g, int index)
{
    const struct op *op = &g->ops[index];
    float *gamma = op->param[BN_WEIGHT]->own;
    float gain = branch_gain(g, index);

    fill_between(state, op->param[BN_WEIGHT], 0.8f, 1.2f);
    fill(state, op->param[BN_BIAS], 0.1);
    if (index + 1 < g->n_ops && g->ops[index + 1].kind == OP_RELU6) /* away from the kink */
        for (int c = 0; c < op->shape.c; c++)
            op->param[BN_BIAS]->own[c] += 0.5f;
    for (int c = 0; c < op->shape.c; c++)
        gamma[c] *= c >= first_channels(g, op->input[0]) ? GROWTH_GAIN : gain;
}

/* Cut to what bf16 holds: untrained weights of few inputs have no averaging that hides their rounding. */
static float keep_bf16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    bits &= 0xffff0000u;
    memcpy(&value, &bits, sizeof(bits));
    return value;
}

static void init_conv(uint64_t *state, const struct op *op)
{
    struct tensor *weight = op->param[CONV_WEIGHT];

    /* He et al. 2015: variance 2 / fan-in. */
    fill(state, weight, sqrt(2.0 * (double)weight->dim[0] / (double)weight->n_elements));
    for (int64_t i = 0; i < weight->n_elements; i++) {
        weight->own[i] = keep_bf16(weight->own[i]);
        if (op->groups > 1) /* a depthwise smoothing: random signs mostly make noise */
            weight->own[i] = fabsf(weight->own[i]);
    }
}

static void init_ops(uint64_t *state, const struct graph *g)
{
    for (int i = 0; i < g->n_ops; i++) {
        if (g->ops[i].kind == OP_CONV)
            init_conv(state, &g->ops[i]);
        else if (g->ops[i].kind == OP_BATCH_NORM)
            init_batch_norm(state, g, i);
        else if (g->ops[i].kind == OP_CBAM)
            init_cbam(state, &g->ops[i]);
    }
}

struct disc {
    float x, y, radius, color[3];
};

void weights_init_picture(uint64_t seed, int size, uint8_t *pixels)
{
    uint64_t state = seed;
    struct disc discs[12];
    float ground[3], slope[3], noise = random_between(&state, 0, 60),
                               stripe = random_between(&state, 0.02f, 0.5f);
    float stripes = random_between(&state, 0, 50);
    int n_discs = (int)(random_next(&state) % 12);

    for (int c = 0; c < 3; c++) {
        ground[c] = random_between(&state, 20, 255);
        slope[c] = random_between(&state, -120, 120);
    }
    if (seed % 2 == 0) { /* cut out on white, as in a catalogue */
        noise = stripes = 0;
        for (int c = 0; c < 3; c++)
            ground[c] = 255, slope[c] = 0;
    }
    for (int i = 0; i < n_discs; i++) {
        discs[i].x = random_between(&state, 0, (float)size);
        discs[i].y = random_between(&state, 0, (float)size);
        discs[i].radius = random_between(&state, 4, (float)size / 3);
        for (int c = 0; c < 3; c++)
            discs[i].color[c] = random_between(&state, 0, 255);
    }
    for (int p = 0; p < size * size; p++) {
        float x = (float)(p % size), y = (float)(p / size);
        const float *color = NULL;
        for (int i = 0; i < n_discs; i++) {
            float dx = x - discs[i].x, dy = y - discs[i].y;
            color = dx * dx + dy * dy < discs[i].radius * discs[i].radius ? discs[i].color : color;
        }
        float wave = fmodf((x + y) * stripe, 2) < 1 ? stripes : -stripes;
        float grain = random_between(&state, -noise, noise);
        for (int c = 0; c < 3; c++) {
            float v =
                (color != NULL ? color[c] : ground[c] + slope[c] * (y / (float)size - 0.5f)) + wave + grain;
            pixels[3 * p + c] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
        }
    }
}

static void make_inputs(uint64_t seed, float *input)
{
    /* ImageNet's statistics, as in torchvision. */
    static const float mean[3] = {0.485f, 0.456f, 0.406f}, std[3] = {0.229f, 0.224f, 0.225f};
    size_t n = (size_t)SIZE * SIZE;

#pragma omp parallel for
    for (int i = 0; i < N_PICTURES; i++) {
        uint8_t *pixels = malloc(3 * n);
        if (pixels == NULL)
            continue; /* this picture stays grey */
        weights_init_picture(seed + (uint64_t)i, SIZE, pixels);
        for (size_t k = 0; k < 3 * n; k++)
            input[(size_t)i * 3 * n + k % 3 * n + k / 3] =
                ((float)pixels[k] / 255.0f - mean[k % 3]) / std[k % 3];
        free(pixels);
    }
}

/* Pooled features, centred: x [N_PICTURES, c], mean [c]. */
static void center_features(const struct op *features, const float *values, double *x, double *mean)
{
    int c = features->shape.c, n_places = features->shape.h * features->shape.w;

    memset(mean, 0, (size_t)c * sizeof(*mean));
    for (int i = 0; i < N_PICTURES * c; i++) {
        x[i] = 0;
        for (int p = 0; p < n_places; p++)
            x[i] += values[(size_t)i * (size_t)n_places + (size_t)p] / n_places;
        mean[i % c] += x[i] / N_PICTURES;
    }
    for (int i = 0; i < N_PICTURES * c; i++)
        x[i] -= mean[i % c];
}

static double dot(const double *a, const double *b, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Scale v so that x v has this deviation (x is centred); a negative one turns it round. */
static void scale_to_deviation(const double *x, int c, double deviation, double *v)
{
    double squares = 0;

    for (int i = 0; i < N_PICTURES; i++)
        squares += dot(x + i * c, v, c) * dot(x + i * c, v, c) / N_PICTURES;
    for (int j = 0; j < c; j++)
        v[j] *= deviation / (sqrt(squares) + 1e-12);
}

/* v = x^T y, y [N_PICTURES]. */
static void combine(const double *x, const double *y, int c, double *v)
{
    for (int j = 0; j < c; j++) {
        v[j] = 0;
        for (int i = 0; i < N_PICTURES; i++)
            v[j] += y[i] * x[i * c + j];
    }
}

/* The logits of direction v over the pictures. OUT y: [N_PICTURES]. */
static void project(const double *x, const double *v, int c, double *y)
{
    for (int i = 0; i < N_PICTURES; i++)
        y[i] = dot(x + i * c, v, c);
}

/*
 * Most of a class's direction is common to all: a random mix of those in which the pictures differ, the
 * strong ones weighing more, since rounding noise, which has no direction, weighs least there. Deviation 1,
 * and pictures of larger features score higher. OUT v: [c], y: its logits.
 */
static void draw_common(uint64_t *state, const double *x, const double *mean, int c, double *v, double *y)
{
    for (int i = 0; i < N_PICTURES; i++)
        y[i] = (double)random_between(state, -1, 1);
    combine(x, y, c, v);
    project(x, v, c, y);
    combine(x, y, c, v);
    scale_to_deviation(x, c, dot(v, mean, c) < 0 ? -1 : 1, v);
    project(x, v, c, y);
}

/*
 * What tells the class from the others: a mix of its own, of which the common part is taken out, turned away
 * from the class before. Deviation 1. IN before, OUT y: logits of the class before, of this one.
 */
static void draw_own(uint64_t *state, const double *x, int c, const double *common, const double *common_y,
                     const double *before, double *v, double *y)
{
    for (int i = 0; i < N_PICTURES; i++)
        y[i] = (double)random_between(state, -1, 1);
    combine(x, y, c, v);
    project(x, v, c, y);
    double share = dot(y, common_y, N_PICTURES) / (dot(common_y, common_y, N_PICTURES) + 1e-12);
    for (int j = 0; j < c; j++)
        v[j] -= share * common[j];
    project(x, v, c, y);
    scale_to_deviation(x, c, dot(y, before, N_PICTURES) > 0 ? -1 : 1, v);
    project(x, v, c, y);
}

/* The heat maps' sums become MAP_SUM on average, so that there is something to see. */
static void finish_direction(const double *x, const double *mean, int c, double *v)
{
    scale_to_deviation(x, c, LOGIT_DEVIATION, v);
    double along = dot(v, mean, c), length = dot(mean, mean, c) + 1e-12;
    for (int j = 0; j < c; j++)
        v[j] += mean[j] * (MAP_SUM - along) / length;
    scale_to_deviation(x, c, LOGIT_DEVIATION, v);
}

static enum status init_head(uint64_t *state, const struct graph *g, const float *values)
{
    enum status rc = STATUS_OK;
    const struct op *op = &g->ops[g->n_ops - 1], *features = &g->ops[op->input[0]];
    int c = features->shape.c;
    double *x = malloc(((size_t)N_PICTURES + 3) * (size_t)c * sizeof(double));

    if (x == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    double *mean = x + N_PICTURES * c, *common = mean + c, *v = common + c;
    double common_y[N_PICTURES], own_y[N_PICTURES], before[N_PICTURES] = {0};
    center_features(features, values, x, mean);
    draw_common(state, x, mean, c, common, common_y);
    for (int k = 0; k < op->shape.c; k++) {
        draw_own(state, x, c, common, common_y, before, v, own_y);
        memcpy(before, own_y, sizeof(before));
        for (int j = 0; j < c; j++)
            v[j] = common[j] + OWN_SHARE * v[j];
        finish_direction(x, mean, c, v);
        for (int j = 0; j < c; j++)
            op->param[HEAD_WEIGHT]->own[k * c + j] = (float)v[j];
        op->param[HEAD_BIAS]->own[k] = (float)-dot(v, mean, c);
    }
out:
    free(x);
    return rc;
}

enum status weights_init(const struct geometry *geometry, uint64_t seed, const char *path)
{
    enum status rc = STATUS_OK;
    struct weights *weights = NULL;
    struct graph graph = {0};
    struct reference_result result = {0};
    float *input = calloc((size_t)N_PICTURES * 3 * SIZE * SIZE, sizeof(float));
    uint64_t state = seed;
    char note[64];

    if (input == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    TRY(weights_declare(&weights));
    TRY(network_build(geometry, weights, SIZE, &graph));
    init_ops(&state, &graph);
    make_inputs(random_next(&state), input);
    TRY(reference_execute(&graph, input, N_PICTURES, true, &result));
    TRY(init_head(&state, &graph, result.features));
    snprintf(note, sizeof(note), "weights init, seed %llu", (unsigned long long)seed);
    TRY(weights_write(weights, path, note));
out:
    reference_free(&result);
    graph_free(&graph);
    weights_close(weights);
    free(input);
    return rc;
}
