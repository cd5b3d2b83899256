/*
 * The lowered list, run by the CPU engine's program step by step, beside the plain list run by the reference
 * executor: the value of every lowered op against that of the plain op it stands for. And the memory plan.
 */
#include "kernels/lower.h"
#include "kernels/reference.h"
#include "tests/unit/kernels/support.h"

#include "kernels/engine.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fixture {
    struct weights *weights;
    struct stage stage; /* its plain list is the reference's too */
    float **values;     /* [plain.n_ops] by the reference */
    uint8_t pixels[NARROW_SIZE * NARROW_SIZE * 3];
};

static const float mean[3] = {0.485f, 0.456f, 0.406f}, std_of[3] = {0.229f, 0.224f, 0.225f};

static size_t count(struct shape s)
{
    return (size_t)s.c * (size_t)s.h * (size_t)s.w;
}

static void fixture_open(struct fixture *f, enum arch arch, enum cbam_layout attention)
{
    struct geometry geometry = narrow_geometry(arch, attention, 3);
    size_t n = (size_t)NARROW_SIZE * NARROW_SIZE;

    *f = (struct fixture){0};
    narrow_build(&geometry, 17, &f->weights, &f->stage.plain);
    memcpy(f->stage.mean, mean, sizeof(mean));
    memcpy(f->stage.std, std_of, sizeof(std_of));
    support_fill_pixels(5, f->pixels, sizeof(f->pixels));
    const struct graph *g = &f->stage.plain;
    f->values = calloc((size_t)g->n_ops, sizeof(*f->values));
    assert_non_null(f->values);
    for (int i = 0; i < g->n_ops; i++) {
        const struct op *op = &g->ops[i];
        f->values[i] = calloc(count(op->shape), sizeof(float));
        assert_non_null(f->values[i]);
        if (op->kind == OP_INPUT) {
            for (size_t k = 0; k < 3 * n; k++)
                f->values[i][k % 3 * n + k / 3] =
                    ((float)f->pixels[k] / 255.0f - mean[k % 3]) / std_of[k % 3];
            continue;
        }
        const float *second = op->input[1] == GRAPH_NONE ? NULL : f->values[op->input[1]];
        assert_int_equal(reference_op(g, i, f->values[op->input[0]], second, 1, f->values[i]), STATUS_OK);
    }
}

static void fixture_close(struct fixture *f)
{
    for (int i = 0; i < f->stage.plain.n_ops; i++)
        free(f->values[i]);
    free(f->values);
    graph_free(&f->stage.plain);
    weights_close(f->weights);
}

static int find_op(const struct graph *g, enum op_kind kind, const char *name)
{
    for (int i = 0; i < g->n_ops; i++)
        if (g->ops[i].kind == kind && strcmp(g->ops[i].name, name) == 0)
            return i;
    return GRAPH_NONE;
}

/* The op of this kind that reads the value, or GRAPH_NONE. */
static int reader_of(const struct graph *g, int value, enum op_kind kind)
{
    for (int i = value + 1; i < g->n_ops; i++)
        if (g->ops[i].kind == kind && (g->ops[i].input[0] == value || g->ops[i].input[1] == value))
            return i;
    return GRAPH_NONE;
}

/* The plain op whose value the lowered op makes, told from the lowered op's own fields and the plain list. */
static int plain_of(const struct graph *plain, const struct op *op)
{
    enum op_kind kind = op->kind == OP_SCALE ? OP_BATCH_NORM : op->kind;
    int value = find_op(plain, kind, op->name);

    assert_int_not_equal(value, GRAPH_NONE);
    if (kind == OP_CONV) {
        int bn = reader_of(plain, value, OP_BATCH_NORM), pool = reader_of(plain, value, OP_AVG_POOL);
        bool folded = bn != GRAPH_NONE && op->param[CONV_BIAS] != NULL;
        value = folded ? bn : pool != GRAPH_NONE ? pool : value;
    }
    if (kind != OP_CONCAT && op->input[1] != GRAPH_NONE)
        value = reader_of(plain, value, OP_ADD);
    if (op->activation != ACTIVATION_NONE)
        value = reader_of(plain, value, op->activation == ACTIVATION_RELU ? OP_RELU : OP_RELU6);
    assert_int_not_equal(value, GRAPH_NONE);
    return value;
}

/* A transition's pool, which now comes before its convolution: of the plain convolution's input. */
static float *pool_moved_forward(const struct fixture *f, const struct op *op)
{
    const struct graph *g = &f->stage.plain;
    const struct op *plain_pool = &g->ops[find_op(g, OP_AVG_POOL, op->name)];
    int input = g->ops[plain_pool->input[0]].input[0];
    struct shape in = g->ops[input].shape;
    float *expected = calloc(count(op->shape), sizeof(float));

    assert_non_null(expected);
    assert_int_equal(op->shape.c, in.c);
    for (int c = 0; c < in.c; c++)
        for (int y = 0; y < op->shape.h; y++)
            for (int x = 0; x < op->shape.w; x++) {
                const float *at = f->values[input] + (c * in.h + 2 * y) * in.w + 2 * x;
                expected[(c * op->shape.h + y) * op->shape.w + x] =
                    (at[0] + at[1] + at[in.w] + at[in.w + 1]) / 4;
            }
    return expected;
}

/* The largest deviation over the largest value; and lanes beyond the channels are zero. */
static double deviation_of(const struct ops_map *map, int block, const float *expected)
{
    double worst = 0, top = 1e-6;
    int n = map->h * map->w, padded = block == 0 ? map->c : (map->c + block - 1) / block * block;

    for (int c = 0; c < padded; c++) {
        for (int p = 0; p < n; p++) {
            double value = support_map_get(map, block, c, p);
            if (c >= map->c) {
                assert_true(value == 0);
                continue;
            }
            double wanted = expected[c * n + p];
            top = fmax(top, fabs(wanted));
            worst = isfinite(value) ? fmax(worst, fabs(value - wanted)) : INFINITY;
        }
    }
    return worst / top;
}

/* Put the reference's value in the place of the engine's, so that the next ops start from it. */
static void replace(const struct ops_map *map, int block, const float *value)
{
    for (int c = 0; c < map->c; c++)
        for (int p = 0; p < map->h * map->w; p++)
            support_map_set(map, block, c, p, value[c * map->h * map->w + p]);
}

static double step_deviation(const struct fixture *f, const struct runner *runner, int index)
{
    const struct graph *g = &runner->program->graph;
    const struct op *op = &g->ops[index];
    struct ops_map map = runner_map(runner, index);
    bool moved = op->kind == OP_AVG_POOL; /* all of our networks' */
    float *own = moved ? pool_moved_forward(f, op) : NULL;
    const float *expected = moved ? own : f->values[plain_of(&f->stage.plain, op)];

    if (!moved)
        assert_memory_equal(&f->stage.plain.ops[plain_of(&f->stage.plain, op)].shape, &op->shape,
                            sizeof(op->shape));
    int block = op->kind == OP_INPUT ? 0 : runner->program->ops->block;
    double deviation = deviation_of(&map, block, expected);
    if (map.precision == PRECISION_BF16) /* else rounding errors of all ops add up, and hide a wrong one */
        replace(&map, block, expected);
    free(own);
    return deviation;
}

/* The logits of the engine's head, from the features the runner hands it. */
static double head_deviation(const struct fixture *f, const struct program *p, const float *means)
{
    const struct op *head = &p->graph.ops[p->graph.n_ops - 1];
    const float *expected = f->values[f->stage.plain.n_ops - 1];
    int c = p->graph.ops[head->input[0]].shape.c;
    double worst = 0, top = 1e-6;

    assert_int_equal(head->kind, OP_HEAD);
    for (int k = 0; k < head->shape.c; k++) {
        double logit = head->param[HEAD_BIAS]->own[k];
        for (int i = 0; i < c; i++)
            logit += (double)head->param[HEAD_WEIGHT]->own[k * c + i] * means[i];
        top = fmax(top, fabs((double)expected[k]));
        worst = fmax(worst, fabs(logit - expected[k]));
    }
    return worst / top;
}

static void run_steps(const struct fixture *f, const struct program *p, dnnl_engine_t onednn,
                      double tolerance)
{
    const struct graph *g = &p->graph;
    size_t scratch_bytes = p->scratch_bytes + p->scratch_floats * sizeof(float);
    unsigned char *arena = aligned_alloc(64, (p->arena_bytes + 63) / 64 * 64);
    unsigned char *scratch = aligned_alloc(64, (scratch_bytes + 64) / 64 * 64);
    float *features = calloc(1 << 20, sizeof(float)), *means = calloc(1 << 14, sizeof(float));
    dnnl_stream_t stream;
    struct runner runner;
    double worst = 0;
    int n_compared = 0;

    assert_true(arena != NULL && scratch != NULL && features != NULL && means != NULL);
    memset(arena, 0xff, p->arena_bytes); /* NaNs: whoever reads what nobody wrote is found out */
    assert_int_equal(dnnl_stream_create(&stream, onednn, dnnl_stream_default_flags), dnnl_success);
    assert_int_equal(runner_open(p, arena, scratch, &runner), STATUS_OK);
    for (int i = 0; i < g->n_ops - 1; i++) {
        assert_int_equal(runner_step(&runner, stream, f->pixels, i), STATUS_OK);
        double deviation = step_deviation(f, &runner, i);
        if (!(deviation <= tolerance))
            fail_msg("op %d %s (kind %d) deviates by %g", i, g->ops[i].name, g->ops[i].kind, deviation);
        worst = fmax(worst, deviation);
        n_compared++;
    }
    assert_true(n_compared > 10);
    assert_int_equal(runner_execute(&runner, stream, f->pixels, features, means), STATUS_OK);
    assert_true(head_deviation(f, p, means) <= (p->precision == PRECISION_F32 ? tolerance : 0.5));
    printf("           %d ops, largest deviation %.1e\n", n_compared, worst);
    runner_close(&runner);
    dnnl_stream_destroy(stream);
    free(arena);
    free(scratch);
    free(features);
    free(means);
}

static void compare(enum arch arch, enum cbam_layout attention, enum precision precision, double tolerance)
{
    struct fixture f;
    struct program program;
    dnnl_engine_t onednn;

    omp_set_num_threads(1);
    fixture_open(&f, arch, attention);
    assert_int_equal(dnnl_engine_create(&onednn, dnnl_cpu, 0), dnnl_success);
    assert_int_equal(program_open(&f.stage, precision, onednn, &program), STATUS_OK);
    run_steps(&f, &program, onednn, tolerance);
    program_close(&program);
    dnnl_engine_destroy(onednn);
    fixture_close(&f);
}

static void test_every_op_f32(void **state)
{
    (void)state;
    for (int arch = ARCH_DENSENET; arch <= ARCH_MOBILENET_V2; arch++)
        for (int attention = CBAM_NONE; attention <= CBAM_LUUUYI; attention++)
            compare((enum arch)arch, (enum cbam_layout)attention, PRECISION_F32, 1e-4);
}

static void test_every_op_bf16(void **state)
{
    (void)state;
    if (!engine_cpu_has_bf16()) {
        printf("           skipped: this CPU has no bf16\n");
        skip();
    }
    for (int arch = ARCH_DENSENET; arch <= ARCH_MOBILENET_V2; arch++)
        for (int attention = CBAM_NONE; attention <= CBAM_LUUUYI; attention++)
            compare((enum arch)arch, (enum cbam_layout)attention, PRECISION_BF16, 0.04);
}

/* Each fold and fusion happened: few ops are left, and none of the plain-only kinds. */
static void test_lowered_list_is_fused(void **state)
{
    (void)state;
    for (int arch = ARCH_DENSENET; arch <= ARCH_MOBILENET_V2; arch++) {
        struct geometry geometry = narrow_geometry((enum arch)arch, CBAM_TIMM, 2);
        struct weights *weights;
        struct graph plain, lowered;
        narrow_build(&geometry, 1, &weights, &plain);
        assert_int_equal(lower_inference(&plain, 16, &lowered), STATUS_OK);
        for (int i = 0; i < lowered.n_ops; i++) {
            enum op_kind kind = lowered.ops[i].kind;
            assert_true(kind != OP_BATCH_NORM && kind != OP_RELU && kind != OP_RELU6 && kind != OP_ADD);
            assert_true(kind != OP_SCALE || arch == ARCH_DENSENET);
        }
        assert_true(100 * lowered.n_ops < (arch == ARCH_DENSENET ? 70 : 50) * plain.n_ops);
        graph_free(&lowered);
        graph_free(&plain);
        weights_close(weights);
    }
}

/* From the ops alone: the first that writes or reads a buffer and the last. */
static void use_of(const struct graph *g, int buffer, int *first, int *last)
{
    *first = *last = GRAPH_NONE;
    for (int i = 0; i < g->n_ops; i++) {
        const struct op *op = &g->ops[i];
        bool used = op->buffer == buffer;
        for (int j = 0; j < 2; j++)
            used |= op->input[j] != GRAPH_NONE && g->ops[op->input[j]].buffer == buffer;
        if (used && *first == GRAPH_NONE)
            *first = i;
        if (used)
            *last = i;
    }
}

static void check_plan(const struct graph *g, int align)
{
    for (int a = 0; a < g->n_buffers; a++) {
        const struct buffer *x = &g->buffers[a];
        int first, last, other_first, other_last;
        use_of(g, a, &first, &last);
        assert_int_not_equal(first, GRAPH_NONE);
        assert_int_equal(x->offset % 64, 0);
        assert_true(x->offset + x->n_elements <= g->arena_elements);
        for (int b = 0; b < a; b++) {
            const struct buffer *y = &g->buffers[b];
            use_of(g, b, &other_first, &other_last);
            bool together = first <= other_last && other_first <= last;
            bool overlap = x->offset < y->offset + y->n_elements && y->offset < x->offset + x->n_elements;
            assert_false(together && overlap);
        }
    }
    for (int i = 0; i < g->n_ops; i++) {
        const struct op *op = &g->ops[i];
        const struct buffer *b = &g->buffers[op->buffer];
        size_t padded = ((size_t)op->shape.c + (size_t)align - 1) / (size_t)align * (size_t)align;
        assert_int_equal(op->first_channel % align, 0);
        assert_true(((size_t)op->first_channel + padded) * (size_t)(op->shape.h * op->shape.w) <=
                    b->n_elements);
    }
}

static void test_memory_plan(void **state)
{
    static const char *const archs[] = {"densenet161", "resnet50", "mobilenet_v2"};
    (void)state;

    for (int i = 0; i < 6; i++) {
        int align = i % 2 == 0 ? 16 : 8;
        enum cbam_layout attention = i % 2 == 0 ? CBAM_JONGCHAN : CBAM_NONE;
        struct geometry geometry;
        struct weights *weights;
        struct graph plain, lowered;
        size_t sum = 0;
        assert_int_equal(network_geometry(archs[i / 2], attention, 2, &geometry), STATUS_OK);
        assert_int_equal(weights_declare(&weights), STATUS_OK);
        assert_int_equal(network_build(&geometry, weights, 224, &plain), STATUS_OK);
        assert_int_equal(lower_inference(&plain, align, &lowered), STATUS_OK);
        check_plan(&lowered, align);
        for (int b = 0; b < lowered.n_buffers; b++)
            sum += lowered.buffers[b].n_elements;
        printf("           %s: arena %.1f of %.1f million elements\n", archs[i / 2],
               (double)lowered.arena_elements / 1e6, (double)sum / 1e6);
        assert_true(3 * lowered.arena_elements < sum); /* it is shared, or liveness has no effect */
        graph_free(&lowered);
        graph_free(&plain);
        weights_close(weights);
    }
}

static void test_growth_that_does_not_fit(void **state)
{
    struct geometry geometry = narrow_geometry(ARCH_DENSENET, CBAM_NONE, 2);
    struct weights *weights;
    struct graph plain, lowered = {0};
    char text[1024];
    (void)state;

    geometry.growth = 24;
    geometry.layers[2] = geometry.layers[3] = 0;
    narrow_build(&geometry, 1, &weights, &plain);
    support_capture();
    enum status refused = lower_inference(&plain, 16, &lowered);
    support_captured(text, sizeof(text));
    assert_int_equal(refused, STATUS_INPUT);
    assert_non_null(strstr(text, "no multiple of 16"));
    assert_non_null(strstr(text, "growth"));
    assert_null(lowered.ops);
    assert_int_equal(lower_inference(&plain, 8, &lowered), STATUS_OK);
    graph_free(&lowered);
    graph_free(&plain);
    weights_close(weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_op_f32),
        cmocka_unit_test(test_every_op_bf16),
        cmocka_unit_test(test_lowered_list_is_fused),
        cmocka_unit_test(test_memory_plan),
        cmocka_unit_test(test_growth_that_does_not_fit),
    };
    return cmocka_run_group_tests_name("lowering", tests, NULL, support_teardown);
}
