/* The CPU engine as the pipeline uses it: requests, map policies, variants, threads, values not finite. */
#include "kernels/engine.h"
#include "kernels/reference.h"
#include "tests/unit/kernels/support.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_PICTURES 6
#define PIXELS ((size_t)NARROW_SIZE * NARROW_SIZE * 3)

static uint8_t pictures[N_PICTURES][NARROW_SIZE * NARROW_SIZE * 3];

static void stage_init(struct stage *stage, const char *name, const char *path, float threshold,
                       const char *classes)
{
    *stage = (struct stage){.threshold = threshold,
                            .mean = {0.485f, 0.456f, 0.406f},
                            .std = {0.229f, 0.224f, 0.225f},
                            .n_variants = 1};
    snprintf(stage->name, sizeof(stage->name), "%s", name);
    snprintf(stage->weights_path, sizeof(stage->weights_path), "%s", path);
    assert_int_equal(stage_open(stage, NARROW_SIZE, classes, NULL), STATUS_OK);
}

/* ResNet, DenseNet, MobileNetV2, each with another attention. */
static void cascade_open(struct cascade *cascade, float threshold)
{
    static const char *const names[] = {"first", "second", "third"};
    static const enum arch archs[] = {ARCH_RESNET, ARCH_DENSENET, ARCH_MOBILENET_V2};

    *cascade = (struct cascade){.n_stages = 3, .size = NARROW_SIZE};
    for (int s = 0; s < 3; s++) {
        struct geometry geometry = narrow_geometry(archs[s], (enum cbam_layout)(s + 1), 2);
        const char *path = narrow_write(&geometry, 40 + (uint64_t)s, names[s]);
        stage_init(&cascade->stages[s], names[s], path, threshold, NULL);
    }
    for (int i = 0; i < N_PICTURES; i++)
        support_fill_pixels(100 + (uint64_t)i, pictures[i], PIXELS);
}

static void cascade_close(struct cascade *cascade)
{
    for (int s = 0; s < cascade->n_stages; s++)
        stage_close(&cascade->stages[s]);
}

static struct engine *open_engine(const struct cascade *cascade, enum map_policy maps)
{
    const struct engine_options options = {.maps = maps, .n_instances = 2};
    struct engine *engine;
    assert_int_equal(engine_cpu_open(cascade, &options, &engine), STATUS_OK);
    return engine;
}

static struct engine_result run(struct engine_instance *instance, const uint8_t *pixels, uint32_t stages,
                                bool exhaustive)
{
    const struct engine_request request = {.stages = stages, .exhaustive = exhaustive};
    struct engine_result result;

    memcpy(instance->slot(instance, 0), pixels, PIXELS);
    assert_int_equal(instance->submit(instance, 0, 1, &request), STATUS_OK);
    assert_int_equal(instance->collect(instance, 0, &result), STATUS_OK);
    return result;
}

/* One picture through a whole engine. What result points to is not valid afterwards. */
static struct engine_result run_once(const struct cascade *cascade, enum map_policy maps, uint32_t stages,
                                     bool exhaustive)
{
    struct engine *engine = open_engine(cascade, maps);
    struct engine_instance *instance;

    assert_int_equal(engine->instance_open(engine, &instance), STATUS_OK);
    struct engine_result result = run(instance, pictures[0], stages, exhaustive);
    instance->close(instance);
    engine->close(engine);
    return result;
}

/* Which stages ran, as bits; a stage that did not has neither logits nor a map. */
static uint32_t ran(const struct engine_result *result)
{
    uint32_t bits = 0;
    for (int s = 0; s < 3; s++) {
        bits |= isnan(result->score[s]) ? 0 : UINT32_C(1) << s;
        assert_int_equal(result->logits[s] == NULL, isnan(result->score[s]));
        assert_true(result->map[s] == NULL || !isnan(result->score[s]));
    }
    return bits;
}

static uint32_t mapped(const struct engine_result *result)
{
    uint32_t bits = 0;
    for (int s = 0; s < 3; s++)
        bits |= result->map[s] == NULL ? 0 : UINT32_C(1) << s;
    return bits;
}

static void test_requests_and_maps(void **state)
{
    struct cascade cascade;
    (void)state;

    cascade_open(&cascade, 0); /* every stage passes */
    for (uint32_t stages = 0; stages < 8; stages++) {
        struct engine_result result = run_once(&cascade, MAPS_PASSED, stages, false);
        assert_int_equal(ran(&result), stages);
        assert_int_equal(mapped(&result), stages);
        assert_false(result.numeric_error);
    }
    struct engine_result result = run_once(&cascade, MAPS_NONE, 7, false);
    assert_int_equal(ran(&result), 7);
    assert_int_equal(mapped(&result), 0);
    cascade.stages[1].threshold = 1.5f; /* the second rejects */
    result = run_once(&cascade, MAPS_PASSED, 7, false);
    assert_int_equal(ran(&result), 3);
    assert_int_equal(mapped(&result), 1);
    result = run_once(&cascade, MAPS_PASSED, 7, true);
    assert_int_equal(ran(&result), 7);
    assert_int_equal(mapped(&result), 5);
    result = run_once(&cascade, MAPS_ALL, 7, false);
    assert_int_equal(ran(&result), 3);
    assert_int_equal(mapped(&result), 3);
    result = run_once(&cascade, MAPS_ALL, 5, false); /* the second was not asked */
    assert_int_equal(ran(&result), 5);
    cascade_close(&cascade);
}

/* Scores, logits and maps beside the plain list's, and the map beside the features it is made of. */
static void check_against_reference(const struct stage *stage, const struct engine_result *result, int s,
                                    const uint8_t *pixels)
{
    size_t n = (size_t)NARROW_SIZE * NARROW_SIZE;
    const struct op *head = &stage->plain.ops[stage->plain.n_ops - 1];
    struct shape shape = stage->plain.ops[head->input[0]].shape;
    int n_places = shape.h * shape.w;
    float *input = calloc(3 * n, sizeof(float));
    struct reference_result reference;

    assert_non_null(input);
    for (size_t k = 0; k < 3 * n; k++)
        input[k % 3 * n + k / 3] = ((float)pixels[k] / 255.0f - stage->mean[k % 3]) / stage->std[k % 3];
    assert_int_equal(reference_execute(&stage->plain, input, 1, false, &reference), STATUS_OK);
    for (int k = 0; k < 2; k++)
        assert_float_equal(result->logits[s][k], reference.logits[k], 2e-3);
    assert_float_equal(result->score[s], 1 / (1 + exp((double)reference.logits[0] - reference.logits[1])),
                       1e-3);
    float *weight = calloc((size_t)head->param[HEAD_WEIGHT]->n_elements, sizeof(float));
    assert_non_null(weight);
    tensor_to_f32(head->param[HEAD_WEIGHT], weight);
    assert_int_equal(stage->map_height * stage->map_width, n_places);
    for (int p = 0; p < n_places; p++) {
        double raw = 0;
        for (int c = 0; c < shape.c; c++)
            raw += (double)weight[shape.c + c] / n_places * reference.features[c * n_places + p];
        assert_float_equal(result->map[s][p], raw < 0 ? 0 : raw, 1e-3);
    }
    free(weight);
    free(input);
    reference_free(&reference);
}

static void test_answers(void **state)
{
    struct cascade cascade;
    struct engine_instance *instance;
    (void)state;

    cascade_open(&cascade, 0);
    struct engine *engine = open_engine(&cascade, MAPS_ALL);
    assert_int_equal(engine->instance_open(engine, &instance), STATUS_OK);
    for (int i = 0; i < N_PICTURES; i++) {
        struct engine_result result = run(instance, pictures[i], 7, true);
        for (int s = 0; s < 3; s++)
            check_against_reference(&cascade.stages[s], &result, s, pictures[i]);
    }
    printf("           %s: %s\n", engine->name, engine->device);
    instance->close(instance);
    engine->close(engine);
    cascade_close(&cascade);
}

/* The engine has copied what it needs: the files may go. */
static void test_weights_may_be_released(void **state)
{
    struct cascade cascade;
    struct engine_instance *instance;
    (void)state;

    cascade_open(&cascade, 0);
    struct engine *engine = open_engine(&cascade, MAPS_ALL);
    for (int s = 0; s < 3; s++)
        stage_release_weights(&cascade.stages[s]);
    assert_int_equal(engine->instance_open(engine, &instance), STATUS_OK);
    struct engine_result result = run(instance, pictures[0], 7, true);
    assert_int_equal(ran(&result), 7);
    instance->close(instance);
    engine->close(engine);
    cascade_close(&cascade);
}

struct worker {
    struct engine *engine;
    int first, last, step;
    float scores[N_PICTURES][3], maps[N_PICTURES][3][64];
};

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct engine_instance *instance;

    assert_int_equal(worker->engine->instance_open(worker->engine, &instance), STATUS_OK);
    for (int round = 0; round < 3; round++)
        for (int i = worker->first; i != worker->last; i += worker->step) {
            struct engine_result result = run(instance, pictures[i], 7, true);
            memcpy(worker->scores[i], result.score, sizeof(worker->scores[i]));
            for (int s = 0; s < 3; s++)
                memcpy(worker->maps[i][s], result.map[s], 4 * sizeof(float));
        }
    instance->close(instance);
    return NULL;
}

/* Two instances in two threads, the pictures in opposite orders: the same bits as one alone. */
static void test_two_threads(void **state)
{
    static struct worker alone, forwards, backwards;
    struct cascade cascade;
    pthread_t threads[2];
    (void)state;

    cascade_open(&cascade, 0);
    struct engine *engine = open_engine(&cascade, MAPS_ALL);
    alone = forwards = (struct worker){.engine = engine, .first = 0, .last = N_PICTURES, .step = 1};
    backwards = (struct worker){.engine = engine, .first = N_PICTURES - 1, .last = -1, .step = -1};
    work(&alone);
    assert_int_equal(pthread_create(&threads[0], NULL, work, &forwards), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, work, &backwards), 0);
    assert_int_equal(pthread_join(threads[0], NULL), 0);
    assert_int_equal(pthread_join(threads[1], NULL), 0);
    assert_memory_equal(alone.scores, forwards.scores, sizeof(alone.scores));
    assert_memory_equal(alone.scores, backwards.scores, sizeof(alone.scores));
    assert_memory_equal(alone.maps, forwards.maps, sizeof(alone.maps));
    assert_memory_equal(alone.maps, backwards.maps, sizeof(alone.maps));
    engine->close(engine);
    cascade_close(&cascade);
}

/* A narrow network of which the first op of this kind has `value` in the first n values of a parameter. */
static void open_poisoned(struct cascade *cascade, enum arch arch, enum op_kind kind, int param, float value,
                          int64_t n)
{
    struct geometry geometry = narrow_geometry(arch, CBAM_TIMM, 2);
    struct weights *weights;
    struct graph graph;
    int op = 0;

    narrow_build(&geometry, 3, &weights, &graph);
    while (graph.ops[op].kind != kind)
        op++;
    for (int64_t i = 0; i < n; i++)
        graph.ops[op].param[param]->own[i] = value;
    const char *path = support_path("poisoned");
    assert_int_equal(weights_write(weights, path, "a test"), STATUS_OK);
    graph_free(&graph);
    weights_close(weights);
    *cascade = (struct cascade){.n_stages = 1, .size = NARROW_SIZE};
    stage_init(&cascade->stages[0], "poisoned", path, 0.5f, NULL);
}

/* oneDNN's fused ReLU makes 0 of a NaN, so such weights must not get as far as a score. */
static void test_not_finite_weights_are_refused(void **state)
{
    static const struct {
        enum op_kind kind;
        int param;
        float value;
    } cases[] = {{OP_CONV, CONV_WEIGHT, NAN},       {OP_CONV, CONV_WEIGHT, INFINITY},
                 {OP_BATCH_NORM, BN_BIAS, NAN},     {OP_BATCH_NORM, BN_VAR, -1},
                 {OP_CBAM, CBAM_CONV, NAN},         {OP_CBAM, CBAM_FC1_WEIGHT, NAN},
                 {OP_HEAD, HEAD_WEIGHT, -INFINITY}, {OP_HEAD, HEAD_BIAS, NAN}};
    const struct engine_options options = {.maps = MAPS_ALL, .n_instances = 1};
    (void)state;

    for (size_t i = 0; i < 3 * sizeof(cases) / sizeof(cases[0]); i++) {
        struct cascade cascade;
        struct engine *engine = NULL;
        char text[2048];
        open_poisoned(&cascade, (enum arch)(i % 3), cases[i / 3].kind, cases[i / 3].param, cases[i / 3].value,
                      1);
        support_capture();
        enum status rc = engine_cpu_open(&cascade, &options, &engine);
        support_captured(text, sizeof(text));
        assert_int_equal(rc, STATUS_INPUT);
        assert_non_null(strstr(text, "not finite"));
        assert_null(engine);
        cascade_close(&cascade);
    }
}

/* Finite weights, a logit that overflows: the picture fails, it does not pass. */
static void test_overflow_is_a_numeric_error(void **state)
{
    (void)state;
    for (int arch = ARCH_DENSENET; arch <= ARCH_MOBILENET_V2; arch++) {
        struct cascade cascade;
        open_poisoned(&cascade, (enum arch)arch, OP_HEAD, HEAD_WEIGHT, 3e38f, 64);
        struct engine_result result = run_once(&cascade, MAPS_ALL, 1, false);
        assert_true(result.numeric_error);
        assert_int_equal(cascade_verdict(&cascade, result.score, result.numeric_error), VERDICT_FAILED);
        cascade_close(&cascade);
    }
}

/* With a band as wide as all margins the second variant always decides: bf16 answers as f32, to the bit. */
static void test_variants(void **state)
{
    struct cascade cascade;
    struct engine_instance *instance, *exact;
    int n_different = 0;
    (void)state;

    if (!engine_cpu_has_bf16()) {
        printf("           skipped: this CPU has no bf16\n");
        skip();
    }
    cascade_open(&cascade, 0.5f);
    struct engine *f32 = open_engine(&cascade, MAPS_ALL);
    for (int s = 0; s < 3; s++) {
        cascade.stages[s].n_variants = 2;
        cascade.stages[s].variants[0] = (struct variant){PRECISION_BF16, s == 0 ? 100 : 0.1f};
        cascade.stages[s].variants[1] = (struct variant){PRECISION_F32, 0};
    }
    struct engine *banded = open_engine(&cascade, MAPS_ALL);
    assert_int_equal(banded->instance_open(banded, &instance), STATUS_OK);
    assert_int_equal(f32->instance_open(f32, &exact), STATUS_OK);
    for (int i = 0; i < N_PICTURES; i++) {
        struct engine_result wanted = run(exact, pictures[i], 7, true);
        struct engine_result result = run(instance, pictures[i], 7, true);
        assert_true(result.score[0] == wanted.score[0]);
        assert_memory_equal(result.map[0], wanted.map[0], 4 * sizeof(float));
        for (int s = 1; s < 3; s++) {
            double margin = (double)wanted.logits[s][1] - wanted.logits[s][0];
            n_different += result.score[s] != wanted.score[s];
            assert_int_equal(result.score[s] >= 0.5f, wanted.score[s] >= 0.5f);
            if (fabs(margin) < 0.05)
                assert_true(result.score[s] == wanted.score[s]);
        }
    }
    assert_true(n_different > 0); /* bf16 answered where it was sure */
    instance->close(instance);
    exact->close(exact);
    banded->close(banded);
    f32->close(f32);
    cascade_close(&cascade);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_and_maps),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_weights_may_be_released),
        cmocka_unit_test(test_two_threads),
        cmocka_unit_test(test_not_finite_weights_are_refused),
        cmocka_unit_test(test_overflow_is_a_numeric_error),
        cmocka_unit_test(test_variants),
    };
    return cmocka_run_group_tests_name("CPU engine", tests, NULL, support_teardown);
}
