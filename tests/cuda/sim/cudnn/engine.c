/* Simulated cuDNN (a test instrument): heuristics, and what engines, configurations and plans say. */
#include "tests/cuda/sim/cudnn/parts.h"

#include <string.h>

static bool is_engine(int engine)
{
    return engine == ENGINE_PLAIN || engine == ENGINE_FIRST || engine == ENGINE_SECOND ||
           engine == ENGINE_THIRD || engine == ENGINE_ATOMIC || engine == ENGINE_BROKEN;
}

/* Tensor-core engines read 16 bytes at a time. */
static bool is_aligned(const struct dnn_graph *graph)
{
    for (int i = 0; i < graph->n_tensors; i++) {
        const struct dnn_tensor *tensor = &graph->tensors[i];
        if (!tensor->is_virtual && tensor->alignment % 16 != 0)
            return false;
    }
    return true;
}

bool dnnsim_engine_fits(const struct dnn_graph *graph, int engine)
{
    const char *reason;

    return is_engine(engine) && dnnsim_graph_supported(graph, &reason) &&
           (engine == ENGINE_PLAIN || is_aligned(graph));
}

bool dnnsim_engine_has_tensor_cores(const struct dnn_graph *graph, int engine)
{
    return engine != ENGINE_PLAIN && !dnnsim_graph_is_depthwise(graph);
}

/* 0, 1 or 2: which of the good engines stand where, differently for each graph. */
static int rank_of(const struct dnn_graph *graph, int engine)
{
    int place = engine == ENGINE_FIRST ? 0 : engine == ENGINE_SECOND ? 1 : 2;

    return (int)((graph->hash / 7 + (uint64_t)place) % 3);
}

int64_t dnnsim_engine_workspace(const struct dnn_graph *graph, int engine)
{
    switch (engine) {
    case ENGINE_SECOND:
        return (int64_t)(4096 + 16 * (graph->hash % 61));
    case ENGINE_THIRD:
        return (int64_t)(65536 + 16 * (graph->hash % 127));
    case ENGINE_ATOMIC:
        return 256;
    default:
        return 0;
    }
}

double dnnsim_engine_cost_ns(const struct dnn_graph *graph, int engine)
{
    switch (engine) {
    case ENGINE_ATOMIC:
        return 1000;
    case ENGINE_PLAIN:
        return 20000;
    default:
        return 2000 + 1000 * rank_of(graph, engine);
    }
}

int dnnsim_engine_list(const struct dnn_graph *graph, cudnnBackendHeurMode_t mode, int *engines)
{
    static const int offered[] = {ENGINE_ATOMIC, ENGINE_FIRST, ENGINE_SECOND,
                                  ENGINE_BROKEN, ENGINE_THIRD, ENGINE_PLAIN};
    enum { N_OFFERED = sizeof(offered) / sizeof(offered[0]) };
    bool many = mode == CUDNN_HEUR_MODE_A || mode == CUDNN_HEUR_MODE_B;
    int n = 0;

    for (int i = 0; i < N_OFFERED; i++) {
        int turn = (int)((graph->hash + (uint64_t)i) % N_OFFERED);
        int engine = offered[mode == CUDNN_HEUR_MODE_B ? N_OFFERED - 1 - turn : turn];
        if ((many || engine == ENGINE_PLAIN) && dnnsim_engine_fits(graph, engine))
            engines[n++] = engine;
    }
    return n;
}

/* Gives descriptors that the caller made the parts that they stand for. */
static cudnnStatus_t fill(void *value, const struct part *from, cudnnBackendDescriptorType_t kind, int engine)
{
    struct descriptor *descriptor = value;

    if (descriptor == NULL || descriptor->kind != kind || descriptor->part != NULL)
        return dnnsim_fail(CUDNN_STATUS_BAD_PARAM, "wants new descriptors of kind %d to fill", (int)kind);
    struct part *part = dnnsim_part_make(kind);
    if (part == NULL)
        return dnnsim_fail(CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED, "out of memory");
    part->graph = dnnsim_part_keep(from->graph);
    part->engine = engine;
    if (kind == CUDNN_BACKEND_KNOB_INFO_DESCRIPTOR)
        part->as.knob.type = CUDNN_KNOB_TYPE_TILE_SIZE;
    descriptor->part = part;
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t get_results(const struct part *part, int64_t wanted, int64_t *count, void **values)
{
    int engines[MAX_CANDIDATES], n = 0;
    const char *reason = "no device was named";

    if (part->engine && dnnsim_graph_supported(&part->graph->as.graph, &reason))
        n = dnnsim_engine_list(&part->graph->as.graph, part->as.mode, engines);
    else /* success all the same, as the real library has it */
        dnnsim_fail(CUDNN_STATUS_SUCCESS, "heuristics: no engine: %s", reason);
    *count = wanted == 0 || wanted > n ? n : wanted;
    for (int64_t i = 0; i < *count && wanted > 0; i++) {
        cudnnStatus_t status = fill(values[i], part, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, engines[i]);
        if (status != CUDNN_STATUS_SUCCESS)
            return status;
    }
    return CUDNN_STATUS_SUCCESS;
}

static void get_notes(const struct part *part, cudnnBackendAttributeName_t name, int64_t wanted,
                      int64_t *count, int *values)
{
    int notes[3], n = 0;

    if (name == CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE) {
        notes[n++] = CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION;
    } else {
        if (dnnsim_engine_has_tensor_cores(&part->graph->as.graph, part->engine))
            notes[n++] = CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
        if (part->engine == ENGINE_ATOMIC)
            notes[n++] = CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC;
    }
    *count = wanted == 0 || wanted > n ? n : wanted;
    if (wanted > 0)
        memcpy(values, notes, (size_t)*count * sizeof(notes[0]));
}

static cudnnStatus_t get_json(const struct part *part, int64_t wanted, int64_t *count, char *values)
{
    int64_t length = (int64_t)strlen(part->as.plan.json);

    *count = length; /* and no zero behind it: the real one's habit */
    if (wanted == 0)
        return CUDNN_STATUS_SUCCESS;
    if (wanted < length)
        return dnnsim_fail(CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT, "the plan's JSON has %lld characters",
                           (long long)length);
    memcpy(values, part->as.plan.json, (size_t)length);
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t get_number(int64_t number, int64_t wanted, int64_t *count, int64_t *values)
{
    *count = 1;
    if (wanted > 0)
        values[0] = number;
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t get_part(const struct part *part, cudnnBackendDescriptorType_t kind, int64_t wanted,
                              int64_t *count, void **values)
{
    *count = 1;
    return wanted > 0 ? fill(values[0], part, kind, part->engine) : CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t dnnsim_engine_get(const struct part *part, cudnnBackendAttributeName_t name, int64_t wanted,
                                int64_t *count, void *values)
{
    switch (name) {
    case CUDNN_ATTR_ENGINEHEUR_RESULTS:
        return get_results(part, wanted, count, values);
    case CUDNN_ATTR_ENGINECFG_ENGINE:
        return get_part(part, CUDNN_BACKEND_ENGINE_DESCRIPTOR, wanted, count, values);
    case CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG:
        return get_part(part, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, wanted, count, values);
    case CUDNN_ATTR_ENGINE_KNOB_INFO:
        return get_part(part, CUDNN_BACKEND_KNOB_INFO_DESCRIPTOR, wanted, count, values);
    case CUDNN_ATTR_ENGINE_NUMERICAL_NOTE:
    case CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE:
        get_notes(part, name, wanted, count, values);
        return CUDNN_STATUS_SUCCESS;
    case CUDNN_ATTR_ENGINE_GLOBAL_INDEX:
        return get_number(part->engine, wanted, count, values);
    case CUDNN_ATTR_KNOB_INFO_MINIMUM_VALUE:
    case CUDNN_ATTR_KNOB_INFO_MAXIMUM_VALUE:
        return get_number(name == CUDNN_ATTR_KNOB_INFO_MAXIMUM_VALUE ? 3 : 0, wanted, count, values);
    case CUDNN_ATTR_KNOB_INFO_STRIDE:
        return get_number(1, wanted, count, values);
    case CUDNN_ATTR_KNOB_INFO_TYPE:
        *count = 1;
        if (wanted > 0)
            memcpy(values, &part->as.knob.type, sizeof(part->as.knob.type));
        return CUDNN_STATUS_SUCCESS;
    case CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE:
        return get_number(dnnsim_engine_workspace(&part->graph->as.graph, part->engine), wanted, count,
                          values);
    case CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION:
        return get_json(part, wanted, count, values);
    default:
        return dnnsim_fail(CUDNN_STATUS_BAD_PARAM, "attribute %d cannot be got from this descriptor",
                           (int)name);
    }
}
