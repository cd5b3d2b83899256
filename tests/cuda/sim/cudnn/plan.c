/*
 * Simulated cuDNN (a test instrument): plans, and plans as JSON. Like the real library's, the text holds the
 * whole graph, the engine, cuDNN's version and the device, so that a plan comes back without any of them.
 */
#include "tests/cuda/sim/cudnn/parts.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* JSON with these numbers under these names, each an array of n. */
struct field {
    const char *name;
    int64_t *values;
    int n;
};

static void put_fields(cJSON *object, const struct field *fields, int n_fields)
{
    for (int i = 0; i < n_fields; i++) {
        cJSON *array = cJSON_AddArrayToObject(object, fields[i].name);
        for (int j = 0; j < fields[i].n; j++)
            cJSON_AddItemToArray(array, cJSON_CreateNumber((double)fields[i].values[j]));
    }
}

static bool get_fields(const cJSON *object, const struct field *fields, int n_fields)
{
    for (int i = 0; i < n_fields; i++) {
        const cJSON *array = cJSON_GetObjectItemCaseSensitive(object, fields[i].name);
        if (cJSON_GetArraySize(array) != fields[i].n)
            return false;
        for (int j = 0; j < fields[i].n; j++) {
            double value = cJSON_GetNumberValue(cJSON_GetArrayItem(array, j));
            if (!(fabs(value) <= 0x1p53)) /* a NaN is not, either */
                return false;
            fields[i].values[j] = (int64_t)value;
        }
    }
    return true;
}

/* The numbers of a tensor and of an operation, for both directions. */
struct tensor_fields {
    int64_t type, is_virtual;
    struct field fields[6];
};

static void list_tensor(struct tensor_fields *list, struct dnn_tensor *tensor)
{
    list->type = tensor->type, list->is_virtual = tensor->is_virtual;
    memcpy(list->fields,
           (struct field[]){{"uid", &tensor->uid, 1},
                            {"dim", tensor->dims, 4},
                            {"stride", tensor->strides, 4},
                            {"ptrAlignment", &tensor->alignment, 1},
                            {"dataType", &list->type, 1},
                            {"isVirtual", &list->is_virtual, 1}},
           sizeof(list->fields));
}

struct operation_fields {
    int64_t is_convolution, has_b, mode, compute;
    struct field fields[8];
};

static void list_operation(struct operation_fields *list, struct operation *operation)
{
    struct convolution *convolution = &operation->convolution;

    list->is_convolution = operation->is_convolution, list->has_b = operation->has_b;
    list->mode = operation->pointwise.mode;
    list->compute = operation->is_convolution ? convolution->compute : operation->pointwise.compute;
    memcpy(list->fields,
           (struct field[]){{"isConvolution", &list->is_convolution, 1},
                            {"hasB", &list->has_b, 1},
                            {"mode", &list->mode, 1},
                            {"compute", &list->compute, 1},
                            {"before", convolution->before, 2},
                            {"after", convolution->after, 2},
                            {"filterStride", convolution->stride, 2},
                            {"dilation", convolution->dilation, 2}},
           sizeof(list->fields));
}

enum { N_REALS = 5 };

static void list_reals(struct operation *operation, double **reals)
{
    double *all[N_REALS] = {&operation->alpha1, &operation->alpha2, &operation->pointwise.lower,
                            &operation->pointwise.upper, &operation->pointwise.slope};

    memcpy(reals, all, sizeof(all));
}

static cJSON *tensor_json(struct dnn_tensor tensor)
{
    struct tensor_fields list;
    cJSON *object = cJSON_CreateObject();

    list_tensor(&list, &tensor);
    put_fields(object, list.fields, 6);
    return object;
}

static cJSON *operation_json(struct operation operation)
{
    struct operation_fields list;
    double *reals[N_REALS];
    cJSON *object = cJSON_CreateObject();

    list_operation(&list, &operation);
    put_fields(object, list.fields, 8);
    list_reals(&operation, reals);
    cJSON *array = cJSON_AddArrayToObject(object, "reals");
    for (int i = 0; i < N_REALS; i++) /* JSON has no infinity */
        cJSON_AddItemToArray(array, isfinite(*reals[i]) ? cJSON_CreateNumber(*reals[i]) : cJSON_CreateNull());
    cJSON_AddItemToObject(object, "x", tensor_json(operation.x));
    if (operation.has_b)
        cJSON_AddItemToObject(object, "b", tensor_json(operation.b));
    cJSON_AddItemToObject(object, "y", tensor_json(operation.y));
    return object;
}

static cJSON *graph_json(const struct dnn_graph *graph)
{
    cJSON *array = cJSON_CreateArray();

    for (int i = 0; i < graph->n_operations; i++)
        cJSON_AddItemToArray(array, operation_json(graph->operations[i]));
    return array;
}

uint64_t dnnsim_plan_hash(const struct dnn_graph *graph)
{
    cJSON *json = graph_json(graph);
    char *text = cJSON_PrintUnformatted(json);
    uint64_t hash = 14695981039346656037U; /* FNV-1a */

    for (const char *at = text; at != NULL && *at != '\0'; at++)
        hash = (hash ^ (unsigned char)*at) * 1099511628211U;
    free(text);
    cJSON_Delete(json);
    return hash ^ hash >> 32;
}

/* The real text holds leftovers of memory: two of the same plan differ, and nobody may compare or hash them.
 */
static char *plan_text(const struct dnn_graph *graph, int engine, const char *device)
{
    static atomic_uint n_made;
    char leftover[17];
    cJSON *json = cJSON_CreateObject();

    snprintf(leftover, sizeof(leftover), "%016x", atomic_fetch_add(&n_made, 1));
    cJSON_AddNumberToObject(json, "cudnnVersion", CUDNN_VERSION);
    cJSON_AddStringToObject(json, "deviceName", device);
    cJSON_AddNumberToObject(json, "engine", engine);
    cJSON_AddStringToObject(json, "leftover", leftover);
    cJSON_AddItemToObject(json, "operationGraph", graph_json(graph));
    char *text = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);
    return text;
}

cudnnStatus_t dnnsim_plan_make(struct part *graph, int engine, const char *device, struct part **plan)
{
    const char *reason = "";

    if (!dnnsim_engine_fits(&graph->as.graph, engine)) {
        dnnsim_graph_supported(&graph->as.graph, &reason);
        return dnnsim_fail(CUDNN_STATUS_NOT_SUPPORTED,
                           "execution plan: engine %d does not take this graph (%s)", engine,
                           reason == NULL ? "alignment" : reason);
    }
    if (engine == ENGINE_BROKEN)
        return dnnsim_fail(CUDNN_STATUS_NOT_SUPPORTED, "execution plan: engine %d cannot be built", engine);
    if (!dnnsim_graph_compiles(&graph->as.graph))
        return dnnsim_fail(
            CUDNN_STATUS_INTERNAL_ERROR_COMPILATION_FAILED,
            "execution plan: the generated code does not compile (types of x and w differ, or a virtual "
            "tensor that nobody makes)");
    struct part *part = dnnsim_part_make(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    if (part == NULL)
        return dnnsim_fail(CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED, "out of memory");
    part->graph = dnnsim_part_keep(graph);
    part->engine = engine;
    part->as.plan.json = plan_text(&graph->as.graph, engine, device);
    snprintf(part->as.plan.device, sizeof(part->as.plan.device), "%s", device);
    if (part->as.plan.json == NULL) {
        dnnsim_part_drop(part);
        return dnnsim_fail(CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED, "out of memory");
    }
    *plan = part;
    return CUDNN_STATUS_SUCCESS;
}

static bool parse_tensor(const cJSON *json, struct dnn_tensor *tensor)
{
    struct tensor_fields list;

    list_tensor(&list, tensor);
    if (!get_fields(json, list.fields, 6))
        return false;
    tensor->type = (cudnnDataType_t)list.type, tensor->is_virtual = list.is_virtual != 0;
    for (int i = 0; i < 4; i++) {
        if (tensor->dims[i] < 1 || tensor->dims[i] >= 1 << 20 || tensor->strides[i] < 1 ||
            tensor->strides[i] > (int64_t)1 << 40)
            return false;
    }
    return tensor->alignment > 0 && dnnsim_type_size(tensor->type) > 0;
}

static bool parse_operation(const cJSON *json, struct operation *operation)
{
    struct operation_fields list;
    double *reals[N_REALS];
    const cJSON *array = cJSON_GetObjectItemCaseSensitive(json, "reals");

    list_operation(&list, operation);
    if (!get_fields(json, list.fields, 8) || cJSON_GetArraySize(array) != N_REALS)
        return false;
    operation->is_convolution = list.is_convolution != 0, operation->has_b = list.has_b != 0;
    operation->pointwise.mode = (cudnnPointwiseMode_t)list.mode;
    operation->pointwise.compute = operation->convolution.compute = (cudnnDataType_t)list.compute;
    list_reals(operation, reals);
    for (int i = 0; i < N_REALS; i++) {
        const cJSON *item = cJSON_GetArrayItem(array, i);
        *reals[i] = cJSON_IsNull(item) ? (double)INFINITY : cJSON_GetNumberValue(item);
    }
    for (int i = 0; i < 2 && operation->is_convolution; i++) {
        const struct convolution *convolution = &operation->convolution;
        if (convolution->before[i] < 0 || convolution->after[i] < 0 || convolution->stride[i] < 1 ||
            convolution->dilation[i] < 1 || !operation->has_b)
            return false;
    }
    return parse_tensor(cJSON_GetObjectItemCaseSensitive(json, "x"), &operation->x) &&
           (!operation->has_b || parse_tensor(cJSON_GetObjectItemCaseSensitive(json, "b"), &operation->b)) &&
           parse_tensor(cJSON_GetObjectItemCaseSensitive(json, "y"), &operation->y) &&
           dnnsim_operation_check(operation) == CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t parse_graph(const cJSON *json, struct dnn_graph *graph)
{
    int n = cJSON_GetArraySize(json);

    if (n < 1 || n > MAX_OPERATIONS)
        return dnnsim_fail(CUDNN_STATUS_BAD_PARAM, "plan: no operations");
    for (int i = 0; i < n; i++) {
        if (!parse_operation(cJSON_GetArrayItem(json, i), &graph->operations[graph->n_operations++]))
            return dnnsim_fail(CUDNN_STATUS_BAD_PARAM, "plan: operation %d is broken", i);
    }
    return dnnsim_graph_sort(graph);
}

static cudnnStatus_t parse(const cJSON *json, const char *device, struct part *graph, struct part **plan)
{
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "deviceName"));
    const cJSON *version = cJSON_GetObjectItemCaseSensitive(json, "cudnnVersion"),
                *engine = cJSON_GetObjectItemCaseSensitive(json, "engine");

    if (name == NULL || !cJSON_IsNumber(version) || !cJSON_IsNumber(engine))
        return dnnsim_fail(CUDNN_STATUS_BAD_PARAM, "plan: not the JSON of a plan");
    if (version->valueint != CUDNN_VERSION)
        return dnnsim_fail(CUDNN_STATUS_SERIALIZATION_VERSION_MISMATCH, "plan: made by cuDNN %d, this is %d",
                           version->valueint, CUDNN_VERSION);
    if (strcmp(name, device) != 0)
        return dnnsim_fail(CUDNN_STATUS_NOT_SUPPORTED_ARCH_MISMATCH, "plan: made for %s, this is %s", name,
                           device);
    cudnnStatus_t status =
        parse_graph(cJSON_GetObjectItemCaseSensitive(json, "operationGraph"), &graph->as.graph);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    return dnnsim_plan_make(graph, engine->valueint, device, plan);
}

cudnnStatus_t dnnsim_plan_parse(const char *text, size_t length, const char *device, struct part **plan)
{
    struct part *graph = dnnsim_part_make(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    cJSON *json = cJSON_ParseWithLength(text, length);
    cudnnStatus_t status;

    if (graph == NULL)
        status = dnnsim_fail(CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED, "out of memory");
    else
        status = parse(json, device, graph, plan);
    cJSON_Delete(json);
    dnnsim_part_drop(graph);
    return status;
}
