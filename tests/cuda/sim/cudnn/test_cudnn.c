/* The simulated cuDNN itself: what it computes, what it takes and refuses as the real library was seen to. */
#include "tests/cuda/sim/cudnn/parts.h"
#include "tests/cuda/sim/cudnn/test_case_run.h"
#include "tests/cuda/sim/sim.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define N(array) (sizeof(array) / sizeof((array)[0]))

static const int engines[] = {ENGINE_PLAIN, ENGINE_FIRST, ENGINE_SECOND, ENGINE_THIRD, ENGINE_ATOMIC};

static const struct conv_case pointwise_case = {.n = 2,
                                                .c = 16,
                                                .h = 6,
                                                .w = 5,
                                                .k = 24,
                                                .window = 1,
                                                .stride = 1,
                                                .type = CUDNN_DATA_HALF,
                                                .bias = true};
static const struct conv_case window_case = {.n = 2,
                                             .c = 8,
                                             .h = 9,
                                             .w = 7,
                                             .k = 16,
                                             .window = 3,
                                             .stride = 1,
                                             .pad = 1,
                                             .type = CUDNN_DATA_HALF,
                                             .bias = true,
                                             .relu = true};

static int setup(void **state)
{
    cudnnHandle_t handle;

    sim_reset(NULL);
    if (cudnnCreate(&handle) != CUDNN_STATUS_SUCCESS)
        return -1;
    *state = handle;
    return 0;
}

static int teardown(void **state)
{
    cudnnDestroy(*state);
    return sim_count_leaks();
}

static void check_case(cudnnHandle_t handle, const struct conv_case *conv)
{
    double allowed = conv->type == CUDNN_DATA_FLOAT ? 1e-5 : conv->type == CUDNN_DATA_HALF ? 6e-4 : 5e-3;

    for (size_t i = 0; i < N(engines); i++) {
        struct case_values values;
        case_values_make(conv, 7, &values);
        case_run(conv, handle, engines[i], &values);
        double difference = case_difference(conv, &values);
        if (!(difference < allowed))
            fail_msg("engine %d: differs by %g", engines[i], difference);
        case_values_free(&values);
    }
}

static void test_convolutions(void **state)
{
    struct conv_case all[12];
    int n = 0;

    all[n++] = pointwise_case;
    all[n++] = window_case;
    all[n] = window_case, all[n].stride = 2, all[n].relu = false, all[n++].bias = false;
    all[n] = window_case, all[n].x_pitch = 40, all[n].y_pitch = 64, all[n].residual = true,
    all[n++].residual_pitch = 32;
    all[n] = window_case, all[n].window = 7, all[n].pad = 3, all[n].stride = 2, all[n++].c = 4;
    all[n] = window_case, all[n].groups = 2, all[n++].upper_clip = 1.5;
    all[n] = window_case, all[n].k = 8, all[n].groups = 8, all[n++].upper_clip = 6;
    all[n] = pointwise_case, all[n].prologue = true, all[n].x_pitch = 32,
    all[n++].virtual_type = CUDNN_DATA_HALF;
    all[n] = window_case, all[n].prologue = true, all[n++].virtual_type = CUDNN_DATA_HALF;
    all[n] = window_case, all[n].prologue = true, all[n].type = CUDNN_DATA_BFLOAT16,
    all[n++].virtual_type = CUDNN_DATA_BFLOAT16;
    all[n] = window_case, all[n].type = CUDNN_DATA_FLOAT, all[n++].k = 7;
    all[n] = pointwise_case, all[n].h = 40, all[n].w = 41, all[n++].residual = true; /* more than one tile */
    for (int i = 0; i < n; i++)
        check_case(*state, &all[i]);
}

/* The real library takes these without a word; so does the simulator, and computes something else. */
static void test_wrong_graphs_pass(void **state)
{
    struct conv_case all[5];
    int n = 0;

    all[n] = pointwise_case, all[n++].bias_size = 23;
    all[n] = pointwise_case, all[n++].bias_size = 12;
    all[n] = pointwise_case, all[n].residual = true, all[n++].residual_h = 5;
    all[n] = pointwise_case, all[n].residual = true, all[n++].residual_c = 48;
    all[n] = pointwise_case, all[n++].filter_c = 8;
    for (int i = 0; i < n; i++)
        check_case(*state, &all[i]);
    struct case_graph made;
    struct conv_case twice = pointwise_case;
    twice.duplicate_uid = true;
    case_make(&twice, *state, &made);
    assert_non_null(case_plan(&made, *state, ENGINE_FIRST));
    case_free(&made);
}

struct refusal {
    struct conv_case conv;
    cudnnStatus_t status; /* success: no engine, or no plan */
    const char *where;
};

#define REFUSED(status, where, ...)                                                                          \
    {                                                                                                        \
        {.n = 2,                                                                                             \
         .c = 16,                                                                                            \
         .h = 6,                                                                                             \
         .w = 5,                                                                                             \
         .k = 24,                                                                                            \
         .window = 1,                                                                                        \
         .stride = 1,                                                                                        \
         .type = CUDNN_DATA_HALF,                                                                            \
         .bias = true,                                                                                       \
         __VA_ARGS__},                                                                                       \
            status, where                                                                                    \
    }

static const struct refusal refusals[] = {
    REFUSED(CUDNN_STATUS_BAD_PARAM, "convolution operation", .y_h = 7),
    REFUSED(CUDNN_STATUS_BAD_PARAM, "convolution operation", .y_w = 4),
    REFUSED(CUDNN_STATUS_BAD_PARAM, "convolution operation", .filter_c = 15),
    REFUSED(CUDNN_STATUS_BAD_PARAM, "convolution operation", .overlapping = true),
    REFUSED(CUDNN_STATUS_BAD_PARAM, "convolution operation", .no_x = true),
    REFUSED(CUDNN_STATUS_BAD_PARAM, "convolution operation", .unfinalised_x = true),
    REFUSED(CUDNN_STATUS_BAD_PARAM, "pointwise", .no_mode = true),
    REFUSED(CUDNN_STATUS_BAD_PARAM, "tensor", .no_strides = true),
    REFUSED(CUDNN_STATUS_BAD_PARAM, "tensor", .alignment = 3),
    REFUSED(CUDNN_STATUS_SUCCESS, "", .nchw = true),
    REFUSED(CUDNN_STATUS_SUCCESS, "", .two_convolutions = true),
    REFUSED(CUDNN_STATUS_SUCCESS, "", .other_w_type = true, .w_type = CUDNN_DATA_FLOAT),
    REFUSED(CUDNN_STATUS_SUCCESS, "", .other_w_type = true, .w_type = CUDNN_DATA_BFLOAT16),
    REFUSED(CUDNN_STATUS_SUCCESS, "", .other_compute_type = true, .compute_type = CUDNN_DATA_INT32),
    REFUSED(CUDNN_STATUS_SUCCESS, "", .other_compute_type = true, .compute_type = CUDNN_DATA_DOUBLE),
    REFUSED(CUDNN_STATUS_SUCCESS, "", .other_pointwise_type = true, .pointwise_type = CUDNN_DATA_HALF),
    REFUSED(CUDNN_STATUS_SUCCESS, "", .prologue = true, .virtual_type = CUDNN_DATA_FLOAT),
    REFUSED(CUDNN_STATUS_SUCCESS, "", .unmade_virtual = true),
};

static void test_refusals(void **state)
{
    for (size_t i = 0; i < N(refusals); i++) {
        const struct refusal *refusal = &refusals[i];
        struct case_graph made;
        case_make(&refusal->conv, *state, &made);
        assert_int_equal(made.status, refusal->status);
        if (made.status != CUDNN_STATUS_SUCCESS) {
            char message[256];
            cudnnGetLastErrorString(message, sizeof(message));
            assert_string_equal(made.where, refusal->where);
            assert_true(strlen(message) > 0);
        }
        for (size_t j = 0; j < N(engines) && refusal->status == CUDNN_STATUS_SUCCESS; j++) {
            made.status = CUDNN_STATUS_SUCCESS;
            assert_null(case_plan(&made, *state, engines[j]));
        }
        case_free(&made);
    }
}

static bool has_note(cudnnBackendDescriptor_t config, int note)
{
    struct case_graph made = {0};
    int notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    int64_t n;
    bool found = false;

    cudnnBackendDescriptor_t engine = case_descriptor(&made, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    assert_int_equal(cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE,
                                              CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &n, &engine),
                     CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                              CUDNN_TYPE_NUMERICAL_NOTE, CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &n,
                                              notes),
                     CUDNN_STATUS_SUCCESS);
    for (int64_t i = 0; i < n; i++)
        found = found || notes[i] == note;
    case_free(&made);
    return found;
}

static void test_candidates(void **state)
{
    cudnnHandle_t handle = *state;
    cudnnBackendDescriptor_t configs[MAX_CANDIDATES];
    struct case_graph made;
    int n_broken = 0, n_random = 0, n_simple = 0;

    case_make(&window_case, handle, &made);
    int n = case_configs(&made, CUDNN_HEUR_MODE_A, NULL, configs, MAX_CANDIDATES);
    assert_int_equal(n, 6);
    for (int i = 0; i < n; i++) {
        cudnnBackendDescriptor_t plan = case_descriptor(&made, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
        case_set(&made, plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                 &configs[i]);
        case_set(&made, plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
        case_finalize(&made, plan, "plan");
        n_broken += made.status == CUDNN_STATUS_NOT_SUPPORTED;
        made.status = CUDNN_STATUS_SUCCESS;
        n_random += has_note(configs[i], CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC);
        n_simple += !has_note(configs[i], CUDNN_NUMERICAL_NOTE_TENSOR_CORE);
    }
    assert_int_equal(n_broken, 1);
    assert_int_equal(n_random, 1);
    assert_int_equal(n_simple, 1);
    assert_int_equal(case_configs(&made, CUDNN_HEUR_MODE_A, NULL, configs, 2), 2);
    assert_int_equal(case_configs(&made, CUDNN_HEUR_MODE_B, NULL, configs, MAX_CANDIDATES), 6);
    assert_int_equal(case_configs(&made, CUDNN_HEUR_MODE_FALLBACK, NULL, configs, MAX_CANDIDATES), 1);
    case_free(&made);
    case_make(&window_case, NULL, &made); /* for no device, nothing: and it is no error */
    assert_int_equal(case_configs(&made, CUDNN_HEUR_MODE_A, NULL, configs, MAX_CANDIDATES), 0);
    assert_int_equal(made.status, CUDNN_STATUS_SUCCESS);
    case_free(&made);
}

static bool same_bits(const struct case_values *a, const struct case_values *b)
{
    const struct case_value *x = &a->items[UID_Y - 1], *y = &b->items[UID_Y - 1];

    return memcmp(x->host, y->host, x->n * sizeof(float)) == 0;
}

/* Which plan ran shows in the bits; each but the nondeterministic one gives the same bits every time. */
static void test_bits_tell_plans(void **state)
{
    struct conv_case conv = window_case;
    struct case_values runs[N(engines)], again;

    conv.type = CUDNN_DATA_FLOAT, conv.c = 32;
    for (size_t i = 0; i < N(engines); i++) {
        case_values_make(&conv, 7, &runs[i]);
        case_run(&conv, *state, engines[i], &runs[i]);
        case_values_make(&conv, 7, &again);
        case_run(&conv, *state, engines[i], &again);
        assert_int_equal(same_bits(&runs[i], &again), engines[i] != ENGINE_ATOMIC);
        case_values_free(&again);
        for (size_t j = 0; j < i; j++)
            assert_false(same_bits(&runs[i], &runs[j]));
    }
    for (size_t i = 0; i < N(engines); i++)
        case_values_free(&runs[i]);
}

static float duration_ms(cudnnHandle_t handle, int engine)
{
    struct case_graph made;
    struct case_values values;
    cudaEvent_t start, end;
    float ms;

    case_values_make(&window_case, 7, &values);
    case_make(&window_case, handle, &made);
    cudnnBackendDescriptor_t plan = case_plan(&made, handle, engine);
    cudnnBackendDescriptor_t pack = case_pack(&made, &window_case, &values, 0, values.workspace);
    assert_int_equal(cudaEventCreate(&start), cudaSuccess);
    assert_int_equal(cudaEventCreate(&end), cudaSuccess);
    assert_int_equal(cudaEventRecord(start, NULL), cudaSuccess);
    assert_int_equal(cudnnBackendExecute(handle, plan, pack), CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudaEventRecord(end, NULL), cudaSuccess);
    assert_int_equal(cudaEventSynchronize(end), cudaSuccess);
    assert_int_equal(cudaEventElapsedTime(&ms, start, end), cudaSuccess);
    cudaEventDestroy(start);
    cudaEventDestroy(end);
    case_free(&made);
    case_values_free(&values);
    return ms;
}

/* No two engines take the same time; the one that sums by chance is the fastest, to tempt. */
static void test_speed(void **state)
{
    float ms[N(engines)];

    for (size_t i = 0; i < N(engines); i++) {
        ms[i] = duration_ms(*state, engines[i]);
        for (size_t j = 0; j < i; j++)
            assert_true(fabsf(ms[i] - ms[j]) > 1e-4F);
    }
    for (size_t i = 0; i + 1 < N(engines); i++)
        assert_true(ms[N(engines) - 1] < ms[i]);
}

/* A NaN passes both kinds of ReLU, as in the real library's code. */
static void test_nan(void **state)
{
    struct conv_case conv = window_case;

    for (int clipped = 0; clipped < 2; clipped++) {
        struct case_values values;
        uint16_t nan = 0x7e00;
        conv.upper_clip = 6 * clipped;
        case_values_make(&conv, 7, &values);
        assert_int_equal(cudaMemcpy(values.items[UID_X - 1].device, &nan, 2, cudaMemcpyHostToDevice),
                         cudaSuccess);
        case_run(&conv, *state, ENGINE_FIRST, &values);
        assert_true(isnan(values.items[UID_Y - 1].host[0]));
        case_values_free(&values);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_convolutions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_graphs_pass, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_candidates, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bits_tell_plans, setup, teardown),
        cmocka_unit_test_setup_teardown(test_speed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nan, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
