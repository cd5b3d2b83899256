/* The simulated cuDNN itself: plans and their JSON, execution and its refusals, capture, faults. */
#include "tests/cuda/sim/cudnn/parts.h"
#include "tests/cuda/sim/cudnn/test_case_run.h"
#include "tests/cuda/sim/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct conv_case conv = {.n = 2,
                                      .c = 8,
                                      .h = 6,
                                      .w = 5,
                                      .k = 16,
                                      .window = 3,
                                      .stride = 1,
                                      .pad = 1,
                                      .type = CUDNN_DATA_HALF,
                                      .bias = true,
                                      .relu = true,
                                      .residual = true,
                                      .upper_clip = 6};

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

/* The text of a plan, with a zero behind it, which the library does not write. */
static char *get_json(cudnnBackendDescriptor_t plan)
{
    int64_t n = 0;

    assert_int_equal(cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION,
                                              CUDNN_TYPE_CHAR, 0, &n, NULL),
                     CUDNN_STATUS_SUCCESS);
    char *text = calloc((size_t)n + 1, 1);
    assert_non_null(text);
    assert_int_equal(cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION,
                                              CUDNN_TYPE_CHAR, n - 1, &n, text),
                     CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT);
    assert_int_equal(cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION,
                                              CUDNN_TYPE_CHAR, n, &n, text),
                     CUDNN_STATUS_SUCCESS);
    return text;
}

static cudnnBackendDescriptor_t load(struct case_graph *made, cudnnHandle_t handle, const char *text,
                                     size_t length)
{
    cudnnBackendDescriptor_t plan = case_descriptor(made, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);

    if (handle != NULL)
        case_set(made, plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
    case_set(made, plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, (int64_t)length,
             text);
    case_finalize(made, plan, "plan");
    return plan;
}

static char *make_json(cudnnHandle_t handle, int engine)
{
    struct case_graph made;

    case_make(&conv, handle, &made);
    cudnnBackendDescriptor_t plan = case_plan(&made, handle, engine);
    assert_non_null(plan);
    char *text = get_json(plan);
    case_free(&made);
    return text;
}

static void test_json(void **state)
{
    cudnnHandle_t handle = *state;
    struct case_graph made = {0};
    struct case_values before, after;
    char *text = make_json(handle, ENGINE_THIRD);

    case_values_make(&conv, 3, &before);
    case_values_make(&conv, 3, &after);
    case_run(&conv, handle, ENGINE_THIRD, &before);
    cudnnBackendDescriptor_t plan = load(&made, handle, text, strlen(text));
    cudnnBackendDescriptor_t pack = case_pack(&made, &conv, &after, 0, after.workspace);
    assert_int_equal(made.status, CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudnnBackendExecute(handle, plan, pack), CUDNN_STATUS_SUCCESS);
    case_fetch(&after);
    assert_memory_equal(before.items[UID_Y - 1].host, after.items[UID_Y - 1].host,
                        before.items[UID_Y - 1].n * sizeof(float));
    char *again = get_json(plan);
    assert_int_equal(strlen(again), strlen(text));
    assert_string_not_equal(again, text); /* no two are alike */
    free(again);
    free(text);
    case_free(&made);
    case_values_free(&before);
    case_values_free(&after);
}

static void refuse(cudnnHandle_t handle, const char *text, size_t length, cudnnStatus_t status)
{
    struct case_graph made = {0};

    load(&made, handle, text, length);
    assert_int_equal(made.status, status);
    case_free(&made);
}

/* The text with `from` written over by as long a `to`. */
static void refuse_changed(cudnnHandle_t handle, const char *text, const char *from, const char *to,
                           cudnnStatus_t status)
{
    char *changed = strdup(text), *at;

    assert_non_null(changed);
    at = strstr(changed, from);
    assert_non_null(at);
    memcpy(at, to, strlen(from));
    refuse(handle, changed, strlen(changed), status);
    free(changed);
}

static void test_json_refused(void **state)
{
    cudnnHandle_t handle = *state;
    char *text = make_json(handle, ENGINE_FIRST);
    char version[32], other[32];
    unsigned random = 1;

    snprintf(version, sizeof(version), "\"cudnnVersion\":%d", CUDNN_VERSION);
    snprintf(other, sizeof(other), "\"cudnnVersion\":%d", CUDNN_VERSION - 1);
    refuse(handle, "hello", 5, CUDNN_STATUS_BAD_PARAM);
    refuse(handle, "{}", 2, CUDNN_STATUS_BAD_PARAM);
    refuse(handle, text, strlen(text) / 2, CUDNN_STATUS_BAD_PARAM);
    refuse(NULL, text, strlen(text), CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
    refuse_changed(handle, text, version, other, CUDNN_STATUS_SERIALIZATION_VERSION_MISMATCH);
    refuse_changed(handle, text, "Simulated GPU", "Simulated GPX", CUDNN_STATUS_NOT_SUPPORTED_ARCH_MISMATCH);
    refuse_changed(handle, text, "\"engine\":7", "\"engine\":8", CUDNN_STATUS_NOT_SUPPORTED);
    for (int i = 0; i < 3000; i++) { /* whatever it holds: a plan or a refusal, nothing else */
        struct case_graph made = {0};
        char *changed = strdup(text);
        assert_non_null(changed);
        random = random * 1664525U + 1013904223U;
        changed[(random >> 8) % strlen(text)] = "0123456789-e.[]{},\"x"[random % 20];
        load(&made, handle, changed, strlen(text));
        case_free(&made);
        free(changed);
    }
    free(text);
}

static void test_execute_refused(void **state)
{
    cudnnHandle_t handle = *state;
    struct case_graph made;
    struct case_values values;
    cudaStream_t stream;

    case_values_make(&conv, 3, &values);
    case_make(&conv, handle, &made);
    cudnnBackendDescriptor_t plan = case_plan(&made, handle, ENGINE_SECOND),
                             good = case_pack(&made, &conv, &values, 0, values.workspace);
    for (int uid = UID_X; uid <= UID_Y; uid++) {
        cudnnBackendDescriptor_t pack = case_pack(&made, &conv, &values, uid, values.workspace);
        assert_int_equal(cudnnBackendExecute(handle, plan, pack), CUDNN_STATUS_BAD_PARAM);
    }
    cudnnBackendDescriptor_t pack = case_pack(&made, &conv, &values, 0, NULL);
    assert_int_equal(cudnnBackendExecute(handle, plan, pack), CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
    pack = case_pack(&made, &conv, &values, 0, (char *)values.workspace + 8);
    assert_int_equal(cudnnBackendExecute(handle, plan, pack), CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER);
    void *right = values.items[UID_Y - 1].device;
    values.items[UID_Y - 1].device = (char *)right + 8; /* 16 was declared */
    pack = case_pack(&made, &conv, &values, 0, values.workspace);
    values.items[UID_Y - 1].device = right;
    assert_int_equal(cudnnBackendExecute(handle, plan, pack), CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER);
    assert_int_equal(cudnnBackendExecute(handle, good, plan), CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED);
    assert_int_equal(cudnnBackendExecute(NULL, plan, good), CUDNN_STATUS_BAD_PARAM);

    assert_int_equal(cudaStreamCreate(&stream), cudaSuccess);
    assert_int_equal(cudnnSetStream(handle, stream), CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudaStreamDestroy(stream), cudaSuccess);
    assert_int_equal(cudnnBackendExecute(handle, plan, good), CUDNN_STATUS_EXECUTION_FAILED_CUDART);
    case_free(&made);
    case_values_free(&values);
}

/* y one channel too early in the buffer that x lies in: what is lost on a GPU is lost here. */
static void test_y_over_x(void **state)
{
    struct conv_case dense = {.n = 1,
                              .c = 16,
                              .h = 4,
                              .w = 4,
                              .k = 16,
                              .window = 3,
                              .stride = 1,
                              .pad = 1,
                              .type = CUDNN_DATA_HALF,
                              .x_pitch = 40,
                              .y_pitch = 40};

    for (int first = 8; first <= 16; first += 8) {
        struct case_values values;
        case_values_make(&dense, 3, &values);
        void *own = values.items[UID_Y - 1].device;
        values.items[UID_Y - 1].device = (uint16_t *)values.items[UID_X - 1].device + first;
        values.items[UID_Y - 1].n -= (size_t)first;
        case_run(&dense, *state, ENGINE_FIRST, &values);
        float y = values.items[UID_Y - 1].host[0];
        assert_int_equal(y != y, first < 16);
        values.items[UID_Y - 1].device = own;
        case_values_free(&values);
    }
}

/* The workspace is written, all of it. */
static void test_workspace(void **state)
{
    struct case_values values;
    unsigned char seen[4096] = {0};

    case_values_make(&conv, 3, &values);
    assert_int_equal(cudaMemcpy(values.workspace, seen, sizeof(seen), cudaMemcpyHostToDevice), cudaSuccess);
    case_run(&conv, *state, ENGINE_SECOND, &values);
    assert_int_equal(cudaMemcpy(seen, values.workspace, sizeof(seen), cudaMemcpyDeviceToHost), cudaSuccess);
    for (size_t i = 0; i < sizeof(seen); i++)
        assert_int_not_equal(seen[i], 0);
    case_values_free(&values);
}

/* Captured once, run twice on other numbers; descriptors and handle are gone by then. */
static void test_capture(void **state)
{
    struct case_graph made;
    struct case_values values, others;
    cudnnHandle_t handle;
    cudaStream_t stream;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    (void)state;

    assert_int_equal(cudnnCreate(&handle), CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudaStreamCreate(&stream), cudaSuccess);
    assert_int_equal(cudnnSetStream(handle, stream), CUDNN_STATUS_SUCCESS);
    case_values_make(&conv, 3, &values);
    case_values_make(&conv, 4, &others);
    case_make(&conv, handle, &made);
    cudnnBackendDescriptor_t plan = case_plan(&made, handle, ENGINE_FIRST),
                             pack = case_pack(&made, &conv, &values, 0, values.workspace);
    assert_int_equal(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    assert_int_equal(cudnnBackendExecute(handle, plan, pack), CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    assert_int_equal(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
    case_free(&made);
    assert_int_equal(cudnnDestroy(handle), CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudaGraphDestroy(graph), cudaSuccess);

    case_fetch(&values);
    assert_true(values.items[UID_Y - 1].host[0] == CASE_UNTOUCHED);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(cudaGraphLaunch(exec, stream), cudaSuccess);
        case_fetch(&values);
        assert_true(case_difference(&conv, &values) < 6e-4);
        struct case_value *x = &values.items[UID_X - 1], *next = &others.items[UID_X - 1];
        assert_int_equal(cudaMemcpy(x->device, next->device, x->n * 2, cudaMemcpyDeviceToDevice),
                         cudaSuccess);
        memcpy(x->host, next->host, x->n * sizeof(float));
    }
    assert_int_equal(cudaGraphExecDestroy(exec), cudaSuccess);
    assert_int_equal(cudaStreamDestroy(stream), cudaSuccess);
    case_values_free(&values);
    case_values_free(&others);
}

/* One pass as an engine makes it, which stops at the first error; returns that. */
static cudnnStatus_t whole_pass(const struct case_values *values)
{
    cudnnHandle_t handle;
    struct case_graph made;
    cudnnBackendDescriptor_t configs[MAX_CANDIDATES];
    cudnnStatus_t status = cudnnCreate(&handle), end;

    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    case_make(&conv, handle, &made);
    case_configs(&made, CUDNN_HEUR_MODE_A, NULL, configs, MAX_CANDIDATES);
    cudnnBackendDescriptor_t plan = case_plan(&made, handle, ENGINE_FIRST),
                             pack = case_pack(&made, &conv, values, 0, values->workspace);
    if (made.status == CUDNN_STATUS_SUCCESS)
        made.status = cudnnBackendExecute(handle, plan, pack);
    status = made.status;
    for (int i = 0; i < made.n_made; i++) {
        end = cudnnBackendDestroyDescriptor(made.made[i]);
        status = status == CUDNN_STATUS_SUCCESS ? end : status;
    }
    end = cudnnDestroy(handle);
    return status == CUDNN_STATUS_SUCCESS ? end : status;
}

/* A fault at each call in turn is reported, and nothing is left behind. */
static void test_faults(void **state)
{
    struct case_values values;
    int n = 1;
    (void)state;

    case_values_make(&conv, 3, &values);
    for (;; n++) {
        sim_fault("*", n, 0);
        cudnnStatus_t status = whole_pass(&values);
        if (!sim_fault_happened())
            break;
        assert_int_not_equal(status, CUDNN_STATUS_SUCCESS);
    }
    sim_fault("*", 0, 0);
    assert_true(n > 100);
    sim_fault("cudnnBackendFinalize", 3, CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN);
    assert_int_equal(whole_pass(&values), CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN);
    assert_int_equal(cudaDeviceSynchronize(), cudaSuccess);
    case_values_free(&values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_json, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_execute_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_y_over_x, setup, teardown),
        cmocka_unit_test_setup_teardown(test_workspace, setup, teardown),
        cmocka_unit_test_setup_teardown(test_capture, setup, teardown),
        cmocka_unit_test_setup_teardown(test_faults, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
