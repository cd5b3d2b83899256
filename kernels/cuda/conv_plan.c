/* The plans of a convolution's graph; see conv_graph.h. */
#include "kernels/cuda/conv_graph.h"

#include <stdlib.h>
#include <string.h>

#define MAX_CONFIGS 64 /* that are asked of a heuristic */

static void destroy(cudnnBackendDescriptor_t descriptor)
{
    if (descriptor != NULL)
        cudnnBackendDestroyDescriptor(descriptor);
}

struct engine_facts {
    int64_t index;
    bool deterministic, tensor_core;
};

/*
 * Stream-K kernels divide a sum by where its tile falls, so a picture's bits would depend on its row in the
 * batch; cuDNN does not count that as nondeterministic.
 */
static enum status uses_stream_k(cudnnBackendDescriptor_t config, bool *uses)
{
    enum status rc = STATUS_OK;
    cudnnBackendDescriptor_t choices[CUDNN_KNOB_TYPE_COUNTS] = {NULL};
    int64_t n = 0, found = 0;

    *uses = false;
    if (cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0,
                                 &n, NULL) != CUDNN_STATUS_SUCCESS ||
        n == 0)
        goto out; /* an engine without knobs */
    n = n < CUDNN_KNOB_TYPE_COUNTS ? n : CUDNN_KNOB_TYPE_COUNTS;
    for (int64_t i = 0; i < n; i++)
        TRY_CUDNN(cudnnBackendCreateDescriptor(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, &choices[i]));
    TRY_CUDNN(cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES,
                                       CUDNN_TYPE_BACKEND_DESCRIPTOR, n, &found, choices));
    for (int64_t i = 0; i < n && i < found; i++) {
        cudnnBackendKnobType_t type = CUDNN_KNOB_TYPE_COUNTS;
        int64_t value = 0, one = 0;
        TRY_CUDNN(cudnnBackendGetAttribute(choices[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE,
                                           1, &one, &type));
        TRY_CUDNN(cudnnBackendGetAttribute(choices[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1,
                                           &one, &value));
        *uses = *uses || (type == CUDNN_KNOB_TYPE_STREAM_K && value != 0);
    }
out:
    for (int i = 0; i < CUDNN_KNOB_TYPE_COUNTS; i++)
        destroy(choices[i]);
    return rc;
}

static enum status read_facts(cudnnBackendDescriptor_t config, struct engine_facts *out)
{
    enum status rc = STATUS_OK;
    cudnnBackendDescriptor_t engine = NULL;
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    int64_t n = 0;

    *out = (struct engine_facts){.deterministic = true};
    TRY_CUDNN(cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine));
    TRY_CUDNN(cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                                       &n, &engine));
    TRY_CUDNN(cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &n,
                                       &out->index));
    TRY_CUDNN(cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                       CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &n, notes));
    for (int64_t i = 0; i < n && i < CUDNN_NUMERICAL_NOTE_TYPE_COUNT; i++) {
        out->deterministic = out->deterministic && notes[i] != CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC;
        out->tensor_core = out->tensor_core || notes[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
    }
out:
    destroy(engine);
    return rc;
}

/* What an execution plan is for. */
static enum status aim_at(cudnnBackendDescriptor_t plan, const struct conv_target *target)
{
    enum status rc = STATUS_OK;

    if (target->handle != NULL)
        TRY_CUDNN(cudnnBackendSetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1,
                                           &target->handle));
    else
        TRY_CUDNN(cudnnBackendSetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP,
                                           CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &target->properties));
out:
    return rc;
}

/* After a candidate has failed: is the device still well? Without one there is nothing to ask. */
static cudaError_t candidate_fault(const struct conv_target *target)
{
    (void)cudaGetLastError();
    return target->handle == NULL ? cudaSuccess : cudaDeviceSynchronize();
}

/* OUT plan: descriptor NULL where cuDNN cannot make this one, which is no fault. */
static enum status finalise_plan(cudnnBackendDescriptor_t config, const struct conv_target *target,
                                 struct conv_plan *plan)
{
    enum status rc = STATUS_OK;
    cudnnBackendDescriptor_t d = NULL;
    int64_t n = 0, bytes = 0;

    TRY_CUDNN(cudnnBackendCreateDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &d));
    TRY_CUDNN(cudnnBackendSetAttribute(d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG,
                                       CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &config));
    TRY(aim_at(d, target));
    if (cudnnBackendFinalize(d) != CUDNN_STATUS_SUCCESS) {
        TRY_CUDA(candidate_fault(target)); /* one candidate's failure is not the device's, unless it is */
        goto out;
    }
    TRY_CUDNN(cudnnBackendGetAttribute(d, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &n,
                                       &bytes));
    plan->workspace_bytes = (size_t)bytes;
    plan->descriptor = d;
    d = NULL;
out:
    destroy(d);
    return rc;
}

struct candidates {
    struct conv_plan *plans;
    int n, limit;
};

static enum status consider(cudnnBackendDescriptor_t config, const struct conv_target *target,
                            struct candidates *c)
{
    enum status rc = STATUS_OK;
    struct engine_facts facts;
    bool stream_k;
    struct conv_plan plan = {0};

    TRY(read_facts(config, &facts));
    if (!facts.deterministic)
        goto out;
    TRY(uses_stream_k(config, &stream_k));
    if (stream_k)
        goto out;
    TRY(finalise_plan(config, target, &plan));
    if (plan.descriptor == NULL)
        goto out;
    plan.engine = facts.index;
    plan.tensor_core = facts.tensor_core;
    c->plans[c->n++] = plan;
out:
    return rc;
}

static enum status open_heuristic(cudnnBackendDescriptor_t graph, const struct conv_target *target,
                                  cudnnBackendHeurMode_t mode, cudnnBackendDescriptor_t *out)
{
    enum status rc = STATUS_OK;
    cudnnBackendDescriptor_t h = NULL;

    TRY_CUDNN(cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &h));
    TRY_CUDNN(cudnnBackendSetAttribute(h, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH,
                                       CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &graph));
    TRY_CUDNN(cudnnBackendSetAttribute(h, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode));
    if (target->properties != NULL)
        TRY_CUDNN(cudnnBackendSetAttribute(h, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                           1, &target->properties));
    cudnnStatus_t error = cudnnBackendFinalize(h);
    if (CUDNN_STATUS_CATEGORY(error) == CUDNN_STATUS_NOT_SUPPORTED)
        goto out;
    TRY(cudnn_status(error, CUDA_HERE("cudnnBackendFinalize(heuristic)")));
    *out = h;
    h = NULL;
out:
    destroy(h);
    return rc;
}

/* The results of one heuristic, as far as the limit reaches. */
static enum status ask(cudnnBackendDescriptor_t graph, const struct conv_target *target,
                       cudnnBackendHeurMode_t mode, struct candidates *c)
{
    enum status rc = STATUS_OK;
    cudnnBackendDescriptor_t heuristic = NULL, configs[MAX_CONFIGS] = {NULL};
    int64_t n = 0;

    TRY(open_heuristic(graph, target, mode, &heuristic));
    if (heuristic == NULL)
        goto out;
    for (int i = 0; i < MAX_CONFIGS; i++)
        TRY_CUDNN(cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &configs[i]));
    TRY_CUDNN(cudnnBackendGetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                       CUDNN_TYPE_BACKEND_DESCRIPTOR, MAX_CONFIGS, &n, configs));
    for (int64_t i = 0; i < n && i < MAX_CONFIGS && c->n < c->limit; i++)
        TRY(consider(configs[i], target, c));
out:
    for (int i = 0; i < MAX_CONFIGS; i++)
        destroy(configs[i]);
    destroy(heuristic);
    return rc;
}

enum status conv_graph_plans(const struct conv_graph *graph, const struct conv_target *target, int limit,
                             struct conv_plan *plans, int *n_plans)
{
    enum status rc = STATUS_OK;
    struct candidates c = {plans, 0, limit};

    TRY(ask(conv_graph_whole(graph), target, CUDNN_HEUR_MODE_A, &c));
    if (c.n == 0)
        TRY(ask(conv_graph_whole(graph), target, CUDNN_HEUR_MODE_FALLBACK, &c));
    if (c.n == 0)
        FAIL(STATUS_INPUT,
             "cuDNN %zu has no deterministic plan for this convolution on this device (is NVRTC, "
             "libnvrtc, installed beside it?)",
             cudnnGetVersion());
    *n_plans = c.n;
    c.n = 0;
out:
    while (c.n > 0)
        conv_plan_close(&c.plans[--c.n]);
    return rc;
}

void conv_plan_close(struct conv_plan *plan)
{
    if (plan == NULL)
        return;
    destroy(plan->descriptor);
    *plan = (struct conv_plan){0};
}

enum status conv_plan_save(const struct conv_plan *plan, char **json)
{
    enum status rc = STATUS_OK;
    int64_t n = 0;
    char *text = NULL;

    TRY_CUDNN(cudnnBackendGetAttribute(plan->descriptor, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION,
                                       CUDNN_TYPE_CHAR, 0, &n, NULL));
    text = calloc((size_t)n + 1, 1);
    if (text == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    TRY_CUDNN(cudnnBackendGetAttribute(plan->descriptor, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION,
                                       CUDNN_TYPE_CHAR, n, &n, text));
    *json = text;
    text = NULL;
out:
    free(text);
    return rc;
}

enum status conv_plan_load(const char *json, const struct conv_target *target, struct conv_plan *out)
{
    enum status rc = STATUS_OK;
    struct conv_plan plan = {0};
    cudnnBackendDescriptor_t d = NULL;
    int64_t n = 0, bytes = 0;

    TRY_CUDNN(cudnnBackendCreateDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &d));
    TRY(aim_at(d, target));
    if (cudnnBackendSetAttribute(d, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                                 (int64_t)strlen(json) + 1, json) != CUDNN_STATUS_SUCCESS ||
        cudnnBackendFinalize(d) != CUDNN_STATUS_SUCCESS) {
        rc = STATUS_MISMATCH;
        goto out;
    }
    TRY_CUDNN(cudnnBackendGetAttribute(d, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &n,
                                       &bytes));
    plan = (struct conv_plan){.descriptor = d, .engine = -1, .workspace_bytes = (size_t)bytes};
    d = NULL;
    *out = plan;
out:
    destroy(d);
    return rc;
}
