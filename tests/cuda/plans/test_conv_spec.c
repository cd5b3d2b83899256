/*
 * What cuDNN takes though it is wrong, and that the engine's own check does not: a correct network's steps
 * are spoilt one by one. And what becomes of kept plans. The arguments are two described devices (h100.json,
 * a100.json); the real cuDNN makes plans for the first.
 */
#include "tests/cuda/plans/described.h"
#include "tests/cuda/plans/raw_graph.h"
#include "tests/unit/kernels/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 4

static const char *device_path, *other_path;

struct fixture {
    struct weights *weights;
    struct graph plain;
    struct device_steps steps;
};

static void fixture_open(struct fixture *f, enum arch arch)
{
    struct geometry geometry = narrow_geometry(arch, CBAM_NONE, 2);

    narrow_build(&geometry, 3, &f->weights, &f->plain);
    assert_int_equal(steps_make(&f->plain, &f->steps), STATUS_OK);
}

static void fixture_close(struct fixture *f)
{
    steps_close(&f->steps);
    graph_free(&f->plain);
    weights_close(f->weights);
}

static int find_step(const struct fixture *f, const char *name)
{
    for (int i = 0; i < f->steps.n; i++)
        if (f->steps.items[i].kind == STEP_CONV &&
            strcmp(f->steps.graph.ops[f->steps.items[i].op].name, name) == 0)
            return i;
    fail_msg("no convolution %s", name);
    return 0;
}

static struct op *op_of(struct fixture *f, int step)
{
    return &f->steps.graph.ops[f->steps.items[step].op];
}

static void assert_taken(const struct fixture *f, int step)
{
    struct conv_spec spec;
    assert_int_equal(conv_spec_make(&f->steps, step, BATCH, ELEMENT_F16, &spec), STATUS_OK);
}

/* Refused as a bug, naming the layer and what is wrong with it; and nothing is written. */
static void assert_refused(const struct fixture *f, int step, const char *layer, const char *what)
{
    struct conv_spec spec, before;
    char text[1024];

    memset(&spec, 0x5a, sizeof(spec));
    before = spec;
    support_capture();
    enum status answer = conv_spec_make(&f->steps, step, BATCH, ELEMENT_F16, &spec);
    support_captured(text, sizeof(text));
    assert_int_equal(answer, STATUS_INTERNAL);
    if (strstr(text, layer) == NULL || strstr(text, what) == NULL)
        fail_msg("\"%s\" does not name %s and %s", text, layer, what);
    assert_memory_equal(&spec, &before, sizeof(spec));
}

/* Put a tensor of this shape in the place of a parameter, see that it is refused, and put the right one back.
 */
static void try_param(struct fixture *f, int step, struct op *op, int param, const int64_t *dims, int n_dims,
                      const char *what)
{
    struct tensor *right = op->param[param], *wrong = tensor_new("wrong", dims, n_dims);

    assert_non_null(wrong);
    op->param[param] = wrong;
    assert_refused(f, step, op->name, what);
    op->param[param] = right;
    tensor_free(wrong);
    assert_taken(f, step);
}

static void test_sound_steps(void **state)
{
    (void)state;
    for (int arch = ARCH_DENSENET; arch <= ARCH_MOBILENET_V2; arch++) {
        struct fixture f;
        int n = 0;
        fixture_open(&f, (enum arch)arch);
        for (int i = 0; i < f.steps.n; i++) {
            if (f.steps.items[i].kind != STEP_CONV)
                continue;
            assert_taken(&f, i);
            n++;
        }
        assert_true(n > 10);
        fixture_close(&f);
    }
}

static void test_bias(void **state)
{
    struct fixture f;
    (void)state;

    fixture_open(&f, ARCH_RESNET);
    int step = find_step(&f, "layer1.0.conv3"), k = f.steps.items[step].out.shape.c;
    int64_t one_less = k - 1, half = k / 2, more = k + 8;
    try_param(&f, step, op_of(&f, step), CONV_BIAS, &one_less, 1, "the bias");
    try_param(&f, step, op_of(&f, step), CONV_BIAS, &half, 1, "the bias");
    try_param(&f, step, op_of(&f, step), CONV_BIAS, &more, 1, "the bias");
    fixture_close(&f);
}

static void test_filter(void **state)
{
    struct fixture f;
    (void)state;

    fixture_open(&f, ARCH_RESNET);
    int step = find_step(&f, "layer1.0.conv2");
    int64_t k = f.steps.items[step].out.shape.c, c = f.steps.items[step].in.shape.c;
    const int64_t half[] = {k, c / 2, 3, 3}, window[] = {k, c, 1, 1}, outputs[] = {k / 2, c, 3, 3};
    try_param(&f, step, op_of(&f, step), CONV_WEIGHT, half, 4, "the weight");
    try_param(&f, step, op_of(&f, step), CONV_WEIGHT, window, 4, "the weight");
    try_param(&f, step, op_of(&f, step), CONV_WEIGHT, outputs, 4, "the weight");
    fixture_close(&f);
}

static void test_prologue(void **state)
{
    struct fixture f;
    (void)state;

    fixture_open(&f, ARCH_DENSENET);
    int step = find_step(&f, "features.denseblock1.denselayer2.conv1");
    int64_t wrong = f.steps.items[step].in.shape.c - 8;
    assert_int_not_equal(f.steps.items[step].prologue, GRAPH_NONE);
    struct op *scale = &f.steps.graph.ops[f.steps.items[step].prologue];
    try_param(&f, step, scale, SCALE_SCALE, &wrong, 1, "the scale");
    try_param(&f, step, scale, SCALE_SHIFT, &wrong, 1, "the shift");
    fixture_close(&f);
}

static void test_residual(void **state)
{
    struct fixture f;
    (void)state;

    fixture_open(&f, ARCH_RESNET);
    int step = find_step(&f, "layer1.0.conv3");
    struct operand *residual = &f.steps.items[step].residual, right = *residual;
    assert_int_not_equal(right.buffer, GRAPH_NONE);
    residual->shape.h--;
    assert_refused(&f, step, "layer1.0.conv3", "the residual");
    *residual = right;
    residual->shape.c *= 2;
    assert_refused(&f, step, "layer1.0.conv3", "the residual");
    *residual = right;
    residual->shape.c /= 2;
    assert_refused(&f, step, "layer1.0.conv3", "the residual");
    *residual = right;
    assert_taken(&f, step);
    fixture_close(&f);
}

/* Where a value lies, and the sizes that follow from the window. */
static void test_places(void **state)
{
    static const char layer[] = "features.denseblock1.denselayer2.conv2";
    struct fixture f;
    (void)state;

    fixture_open(&f, ARCH_DENSENET);
    int step = find_step(&f, layer);
    struct device_step *item = &f.steps.items[step], right = *item;
    item->out.first_channel -= 4;
    assert_refused(&f, step, layer, "not aligned");
    *item = right;
    item->out.first_channel = item->out.pitch;
    assert_refused(&f, step, layer, "no slice");
    *item = right;
    item->out.pitch += 8;
    assert_refused(&f, step, layer, "pitch");
    *item = right;
    item->in.shape.c += 8; /* beyond the buffer of the 1x1's output */
    assert_refused(&f, step, layer, "the input");
    *item = right;
    item->out.shape.h--;
    assert_refused(&f, step, layer, "does not make");
    *item = right;
    assert_taken(&f, step);
    fixture_close(&f);
}

/* [4, 64, 56, 56] * [64, 64, 1, 1] + [64] + [4, 64, 56, 56]: right, until a test changes a number. */
static const struct raw_graph sound = {
    {BATCH, 64, 56, 56}, {64, 64, 1, 1}, {1, 64, 1, 1}, {BATCH, 64, 56, 56}, {BATCH, 64, 56, 56},
};

/*
 * Why conv_spec_make looks at sizes: cuDNN makes plans of all of these. Where a later cuDNN refuses one, this
 * test says so; the check in the engine stays right.
 */
static void test_cudnn_takes_wrong_sizes(void **state)
{
    struct conv_target target;
    (void)state;

    assert_int_equal(described_open(device_path, &target), STATUS_OK);
    struct raw_graph bias63 = sound, bias32 = sound, low = sound, wide = sound, filter = sound,
                     output = sound;
    assert_true(raw_graph_is_taken(&sound, &target));
    bias63.bias[1] = 63;
    assert_true(raw_graph_is_taken(&bias63, &target));
    bias32.bias[1] = 32;
    assert_true(raw_graph_is_taken(&bias32, &target));
    low.residual[2] = 55;
    assert_true(raw_graph_is_taken(&low, &target));
    wide.residual[1] = 128;
    assert_true(raw_graph_is_taken(&wide, &target));
    filter.w[1] = 32; /* taken for a convolution of two groups */
    assert_true(raw_graph_is_taken(&filter, &target));
    output.y[2] = 55; /* this one it sees, so the others are not taken for want of looking here */
    assert_false(raw_graph_is_taken(&output, &target));
    described_close(&target);
}

/* The plan of a narrow network's convolution, as it is kept in a file. */
static char *save_plan(const struct conv_target *target, size_t *workspace_bytes)
{
    struct fixture f;
    struct conv_spec spec;
    struct conv_graph *graph;
    struct conv_plan plan;
    char *json;
    int n;

    fixture_open(&f, ARCH_RESNET);
    assert_int_equal(conv_spec_make(&f.steps, find_step(&f, "layer1.0.conv3"), BATCH, ELEMENT_F16, &spec),
                     STATUS_OK);
    assert_int_equal(conv_graph_open(&spec, target, &graph), STATUS_OK);
    assert_int_equal(conv_graph_plans(graph, target, 1, &plan, &n), STATUS_OK);
    assert_int_equal(n, 1);
    assert_int_equal(conv_plan_save(&plan, &json), STATUS_OK);
    *workspace_bytes = plan.workspace_bytes;
    conv_plan_close(&plan);
    conv_graph_close(graph);
    fixture_close(&f);
    return json;
}

/* A plan from a file: the same again, or quietly refused where the file is cut or of another device. */
static void test_kept_plans(void **state)
{
    struct conv_target target, other;
    struct conv_plan plan = {0};
    size_t workspace_bytes;
    (void)state;

    assert_int_equal(described_open(device_path, &target), STATUS_OK);
    assert_int_equal(described_open(other_path, &other), STATUS_OK);
    char *json = save_plan(&target, &workspace_bytes);
    assert_int_equal(conv_plan_load(json, &target, &plan), STATUS_OK);
    assert_int_equal(plan.workspace_bytes, workspace_bytes);
    conv_plan_close(&plan);
    assert_int_equal(conv_plan_load(json, &other, &plan), STATUS_MISMATCH);
    size_t size = strlen(json);
    const size_t cuts[] = {0, 1, size / 2, size - 1};
    for (int i = 3; i >= 0; i--) {
        json[cuts[i]] = '\0';
        assert_int_equal(conv_plan_load(json, &target, &plan), STATUS_MISMATCH);
        assert_null(plan.descriptor);
    }
    assert_int_equal(conv_plan_load("{}", &target, &plan), STATUS_MISMATCH);
    free(json);
    described_close(&other);
    described_close(&target);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound_steps),
        cmocka_unit_test(test_bias),
        cmocka_unit_test(test_filter),
        cmocka_unit_test(test_prologue),
        cmocka_unit_test(test_residual),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_cudnn_takes_wrong_sizes),
        cmocka_unit_test(test_kept_plans),
    };

    if (argc != 3) {
        fprintf(stderr, "usage: test_conv_spec DEVICE.json OTHER.json\n");
        return 2;
    }
    device_path = argv[1];
    other_path = argv[2];
    return cmocka_run_group_tests_name("convolution descriptions", tests, NULL, support_teardown);
}
