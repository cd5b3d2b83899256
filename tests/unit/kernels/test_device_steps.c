/* The CUDA engine's step lists: what the published networks become, without a GPU or a toolkit. */
#include "kernels/cuda/steps.h"
#include "tests/unit/kernels/support.h"

#include <stdio.h>
#include <string.h>

struct fixture {
    struct weights *weights;
    struct graph plain;
    struct device_steps steps;
};

static void open_network(struct fixture *f, const char *arch, enum cbam_layout attention)
{
    struct geometry geometry;

    assert_int_equal(network_geometry(arch, attention, 2, &geometry), STATUS_OK);
    assert_int_equal(weights_declare(&f->weights), STATUS_OK);
    assert_int_equal(network_build(&geometry, f->weights, 224, &f->plain), STATUS_OK);
    narrow_fill(1, &f->plain);
    assert_int_equal(steps_make(&f->plain, &f->steps), STATUS_OK);
}

static void close_network(struct fixture *f)
{
    steps_close(&f->steps);
    graph_free(&f->plain);
    weights_close(f->weights);
}

static int count(const struct device_steps *steps, enum device_step_kind kind)
{
    int n = 0;
    for (int i = 0; i < steps->n; i++)
        n += steps->items[i].kind == kind;
    return n;
}

static const struct op *op_of(const struct device_steps *steps, int i)
{
    return &steps->graph.ops[steps->items[i].op];
}

/* Two values that are alive together may not share memory, unless one is made in the other's place. */
static void check_memory(const struct device_steps *steps)
{
    const struct graph *g = &steps->graph;

    for (int a = 0; a < g->n_buffers; a++) {
        assert_int_equal(g->buffers[a].offset % 64, 0);
        for (int b = 0; b < a; b++) {
            const struct buffer *x = &g->buffers[a], *y = &g->buffers[b];
            bool together = x->first_op <= y->last_op && y->first_op <= x->last_op;
            bool overlap = x->offset < y->offset + y->n_elements && y->offset < x->offset + x->n_elements;
            assert_false(together && overlap);
        }
    }
}

/* A convolution's output lies over none of its inputs; CBAM works in place. */
static void check_places(const struct device_steps *steps)
{
    for (int i = 0; i < steps->n; i++) {
        const struct device_step *s = &steps->items[i];
        if (s->kind == STEP_CONV && s->residual.buffer != GRAPH_NONE)
            assert_int_not_equal(s->out.buffer, s->residual.buffer);
        if (s->kind == STEP_CONV && s->out.buffer == s->in.buffer)
            assert_true(s->out.first_channel >= s->in.first_channel + s->in.shape.c);
        if (s->kind == STEP_CBAM)
            assert_true(s->out.buffer == s->in.buffer && s->out.first_channel == s->in.first_channel);
        assert_int_equal(s->out.first_channel % CUDA_CHANNEL_ALIGN, 0);
    }
}

/* 160 convolutions, each norm before one its prologue; no value is stored twice. */
static void test_densenet161(void **state)
{
    struct fixture f;
    int n_prologues = 0, n_slices = 0;
    (void)state;

    open_network(&f, "densenet161", CBAM_NONE);
    assert_int_equal(count(&f.steps, STEP_CONV), 160);
    assert_int_equal(count(&f.steps, STEP_POOL), 4);
    assert_int_equal(f.steps.n, 1 + 160 + 4 + 1);
    for (int i = 0; i < f.steps.n; i++) {
        const struct device_step *s = &f.steps.items[i];
        bool one_by_one = s->kind == STEP_CONV && op_of(&f.steps, i)->kernel == 1;
        bool behind_pool = i > 0 && f.steps.items[i - 1].kind == STEP_POOL;
        bool transition_pool = s->kind == STEP_POOL && op_of(&f.steps, i)->kind == OP_AVG_POOL;
        bool expected = (one_by_one && !(behind_pool && op_of(&f.steps, i - 1)->kind == OP_AVG_POOL)) ||
                        transition_pool || s->kind == STEP_HEAD;
        assert_int_equal(s->prologue != GRAPH_NONE, expected);
        n_prologues += expected;
        n_slices += s->kind == STEP_CONV && s->out.shape.c == 48 && s->out.pitch > 48;
    }
    assert_int_equal(n_prologues, 78 + 3 + 1);
    assert_int_equal(n_slices, 78);
    check_memory(&f.steps);
    check_places(&f.steps);
    close_network(&f);
}

static void test_resnet50(void **state)
{
    struct fixture f;
    int n_residuals = 0;
    (void)state;

    open_network(&f, "resnet50", CBAM_NONE);
    assert_int_equal(count(&f.steps, STEP_CONV), 53);
    assert_int_equal(f.steps.n, 1 + 53 + 1 + 1);
    for (int i = 0; i < f.steps.n; i++)
        n_residuals += f.steps.items[i].kind == STEP_CONV && f.steps.items[i].residual.buffer != GRAPH_NONE;
    assert_int_equal(n_residuals, 16);
    check_memory(&f.steps);
    check_places(&f.steps);
    close_network(&f);
    open_network(&f, "resnet50", CBAM_JONGCHAN);
    assert_int_equal(count(&f.steps, STEP_CBAM), 16);
    for (int i = 0; i < f.steps.n; i++) /* the add is CBAM's then */
        assert_int_equal(f.steps.items[i].residual.buffer != GRAPH_NONE, f.steps.items[i].kind == STEP_CBAM);
    check_memory(&f.steps);
    check_places(&f.steps);
    close_network(&f);
}

static void test_mobilenet_v2(void **state)
{
    struct fixture f;
    (void)state;

    open_network(&f, "mobilenet_v2", CBAM_TIMM);
    assert_int_equal(count(&f.steps, STEP_DEPTHWISE), 17);
    assert_int_equal(count(&f.steps, STEP_CONV), 35);
    assert_int_equal(count(&f.steps, STEP_CBAM), 17);
    check_memory(&f.steps);
    check_places(&f.steps);
    close_network(&f);
}

/* Channels that are no multiple of 8 have no 16-byte slices. */
static void test_refused(void **state)
{
    struct fixture f = {0};
    struct geometry geometry = narrow_geometry(ARCH_RESNET, CBAM_NONE, 2);
    char said[2000];
    (void)state;

    geometry.width = 12;
    geometry.block_out = 48;
    narrow_build(&geometry, 3, &f.weights, &f.plain);
    support_capture();
    assert_int_equal(steps_make(&f.plain, &f.steps), STATUS_INPUT);
    support_captured(said, sizeof(said));
    assert_non_null(strstr(said, "layer1.0.conv1 makes 12 channels; the cuda engine needs a multiple of 8"));
    close_network(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_densenet161),
        cmocka_unit_test(test_resnet50),
        cmocka_unit_test(test_mobilenet_v2),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests_name("steps of the CUDA engine", tests, NULL, support_teardown);
}
