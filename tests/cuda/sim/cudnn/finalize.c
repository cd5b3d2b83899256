/*
 * Simulated cuDNN (a test instrument): attributes -> parts, with the checks that the real library (9.19) was
 * seen to make, and those only: a bias or residual of the wrong size passes.
 */
#include "tests/cuda/sim/cudnn/parts.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition, ...)                                                                                \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            return dnnsim_fail(CUDNN_STATUS_BAD_PARAM, __VA_ARGS__);                                         \
    } while (0)

int dnnsim_type_size(cudnnDataType_t type)
{
    switch (type) {
    case CUDNN_DATA_FLOAT:
        return 4;
    case CUDNN_DATA_HALF:
    case CUDNN_DATA_BFLOAT16:
        return 2;
    default:
        return 0;
    }
}

/* The values of an attribute; false where it was not set, or not to so many. */
static bool get(const struct descriptor *from, cudnnBackendAttributeName_t name, int64_t count, void *values,
                size_t bytes)
{
    const struct attribute *attribute = dnnsim_descriptor_find(from, name);

    if (attribute == NULL || attribute->count != count)
        return false;
    memcpy(values, attribute->values, bytes);
    return true;
}

#define GET(from, name, variable) get(from, name, 1, &(variable), sizeof(variable))
#define GET_ALL(from, name, array) get(from, name, sizeof(array) / sizeof((array)[0]), array, sizeof(array))

static void get_real(const struct descriptor *from, cudnnBackendAttributeName_t name, double *value)
{
    const struct attribute *attribute = dnnsim_descriptor_find(from, name);

    if (attribute != NULL)
        *value = attribute->type == CUDNN_TYPE_FLOAT ? (double)*(const float *)attribute->values
                                                     : *(const double *)attribute->values;
}

/* The part of a descriptor attribute; NULL where it was not set or not finalised. */
static struct part *child(const struct descriptor *from, cudnnBackendAttributeName_t name)
{
    const struct attribute *attribute = dnnsim_descriptor_find(from, name);

    return attribute == NULL ? NULL : attribute->parts[0];
}

static cudnnStatus_t make_tensor(const struct descriptor *from, struct part *part)
{
    struct dnn_tensor *tensor = &part->as.tensor;

    CHECK(GET(from, CUDNN_ATTR_TENSOR_DATA_TYPE, tensor->type) && dnnsim_type_size(tensor->type) > 0,
          "tensor: no data type, or one that the simulator does not know");
    CHECK(GET(from, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, tensor->alignment) && tensor->alignment > 0 &&
              tensor->alignment % dnnsim_type_size(tensor->type) == 0,
          "tensor: the alignment is missing or no multiple of the element's size");
    CHECK(GET_ALL(from, CUDNN_ATTR_TENSOR_DIMENSIONS, tensor->dims),
          "tensor: the simulator wants 4 dimensions");
    CHECK(GET_ALL(from, CUDNN_ATTR_TENSOR_STRIDES, tensor->strides), "tensor: as many strides as dimensions");
    GET(from, CUDNN_ATTR_TENSOR_UNIQUE_ID, tensor->uid);
    GET(from, CUDNN_ATTR_TENSOR_IS_VIRTUAL, tensor->is_virtual);
    for (int i = 0; i < 4; i++)
        CHECK(tensor->dims[i] > 0 && tensor->dims[i] < 1 << 20 && tensor->strides[i] > 0,
              "tensor %lld: dimension %d is %lld, its stride %lld", (long long)tensor->uid, i,
              (long long)tensor->dims[i], (long long)tensor->strides[i]);
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t make_convolution(const struct descriptor *from, struct part *part)
{
    struct convolution *convolution = &part->as.convolution;
    cudnnConvolutionMode_t mode;
    int64_t n_spatial;

    CHECK(GET(from, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, convolution->compute), "convolution: no compute type");
    CHECK(GET(from, CUDNN_ATTR_CONVOLUTION_CONV_MODE, mode) && mode == CUDNN_CROSS_CORRELATION,
          "convolution: the simulator wants CUDNN_CROSS_CORRELATION");
    CHECK(GET(from, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, n_spatial) && n_spatial == 2,
          "convolution: the simulator wants 2 spatial dimensions");
    CHECK(GET_ALL(from, CUDNN_ATTR_CONVOLUTION_DILATIONS, convolution->dilation) &&
              GET_ALL(from, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, convolution->stride) &&
              GET_ALL(from, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, convolution->before) &&
              GET_ALL(from, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, convolution->after),
          "convolution: two dilations, strides, paddings before and after");
    for (int i = 0; i < 2; i++)
        CHECK(convolution->dilation[i] > 0 && convolution->stride[i] > 0 && convolution->before[i] >= 0 &&
                  convolution->after[i] >= 0,
              "convolution: a dilation, stride or padding is out of range");
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t make_pointwise(const struct descriptor *from, struct part *part)
{
    struct pointwise *pointwise = &part->as.pointwise;

    CHECK(GET(from, CUDNN_ATTR_POINTWISE_MODE, pointwise->mode), "pointwise: no mode");
    CHECK(GET(from, CUDNN_ATTR_POINTWISE_MATH_PREC, pointwise->compute), "pointwise: no math precision");
    pointwise->upper = INFINITY;
    get_real(from, CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP, &pointwise->lower);
    get_real(from, CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP, &pointwise->upper);
    get_real(from, CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP_SLOPE, &pointwise->slope);
    return CUDNN_STATUS_SUCCESS;
}

/* Do two places share memory? As the real library: strides in ascending order must each clear the last. */
static bool overlaps(const struct dnn_tensor *tensor)
{
    bool used[4] = {false};
    int64_t least = 1;

    for (int i = 0; i < 4; i++) {
        int at = -1;
        for (int j = 0; j < 4; j++)
            if (!used[j] && tensor->dims[j] > 1 && (at < 0 || tensor->strides[j] < tensor->strides[at]))
                at = j;
        if (at < 0)
            break;
        if (tensor->strides[at] < least)
            return true;
        used[at] = true;
        least = tensor->strides[at] * tensor->dims[at];
    }
    return false;
}

static cudnnStatus_t check_convolution(const struct operation *operation)
{
    const struct convolution *convolution = &operation->convolution;
    const struct dnn_tensor *x = &operation->x, *w = &operation->b, *y = &operation->y;

    CHECK(!overlaps(x) && !overlaps(w) && !overlaps(y), "convolution: overlapping strides");
    CHECK(x->dims[1] % w->dims[1] == 0, "convolution: %lld channels do not divide into groups of %lld",
          (long long)x->dims[1], (long long)w->dims[1]);
    CHECK(y->dims[0] == x->dims[0] && y->dims[1] == w->dims[0], "convolution: y is [%lld, %lld, ...]",
          (long long)y->dims[0], (long long)y->dims[1]);
    CHECK(w->dims[0] % (x->dims[1] / w->dims[1]) == 0, "convolution: %lld filters do not divide into groups",
          (long long)w->dims[0]);
    for (int i = 0; i < 2; i++) {
        int64_t window = (w->dims[2 + i] - 1) * convolution->dilation[i] + 1;
        int64_t room = x->dims[2 + i] + convolution->before[i] + convolution->after[i] - window;
        CHECK(room >= 0 && y->dims[2 + i] == room / convolution->stride[i] + 1, "convolution: y's %s is %lld",
              i == 0 ? "height" : "width", (long long)y->dims[2 + i]);
    }
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t dnnsim_operation_check(const struct operation *operation)
{
    cudnnPointwiseMode_t mode = operation->pointwise.mode;

    if (operation->is_convolution)
        return check_convolution(operation);
    bool is_unary = mode == CUDNN_POINTWISE_IDENTITY || mode == CUDNN_POINTWISE_SQRT ||
                    (mode >= CUDNN_POINTWISE_ABS && mode <= CUDNN_POINTWISE_RECIPROCAL) ||
                    (mode >= CUDNN_POINTWISE_RELU_FWD && mode < CUDNN_POINTWISE_RELU_BWD);
    CHECK(is_unary != operation->has_b, "pointwise %d: %s second operand", (int)mode,
          is_unary ? "one too many, a" : "lacks its");
    return CUDNN_STATUS_SUCCESS;
}

/* Copies the tensors of x, b and y: false where one that was set is not finalised. */
static bool take_tensors(const struct descriptor *from, const cudnnBackendAttributeName_t *names,
                         struct operation *operation)
{
    struct dnn_tensor *tensors[3] = {&operation->x, &operation->b, &operation->y};

    for (int i = 0; i < 3; i++) {
        const struct part *part = child(from, names[i]);
        if (part != NULL)
            *tensors[i] = part->as.tensor;
        else if (i != 1 || dnnsim_descriptor_find(from, names[i]) != NULL)
            return false;
        else
            continue;
        operation->has_b = operation->has_b || i == 1;
    }
    return true;
}

static cudnnStatus_t make_convolve(const struct descriptor *from, struct part *part)
{
    static const cudnnBackendAttributeName_t names[3] = {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                                                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                                                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y};
    struct operation *operation = &part->as.operation;
    const struct part *convolution = child(from, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC);

    CHECK(convolution != NULL && take_tensors(from, names, operation) && operation->has_b,
          "convolution operation: x, w, y or the convolution is missing or not finalised");
    operation->is_convolution = true;
    operation->convolution = convolution->as.convolution;
    operation->alpha1 = 1;
    get_real(from, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, &operation->alpha1);
    get_real(from, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, &operation->alpha2);
    return dnnsim_operation_check(operation);
}

static cudnnStatus_t make_pointwise_operation(const struct descriptor *from, struct part *part)
{
    static const cudnnBackendAttributeName_t names[3] = {CUDNN_ATTR_OPERATION_POINTWISE_XDESC,
                                                         CUDNN_ATTR_OPERATION_POINTWISE_BDESC,
                                                         CUDNN_ATTR_OPERATION_POINTWISE_YDESC};
    struct operation *operation = &part->as.operation;
    const struct part *pointwise = child(from, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);

    CHECK(pointwise != NULL && take_tensors(from, names, operation),
          "pointwise operation: x, b, y or the pointwise descriptor is missing or not finalised");
    operation->pointwise = pointwise->as.pointwise;
    operation->alpha1 = operation->alpha2 = 1;
    get_real(from, CUDNN_ATTR_OPERATION_POINTWISE_ALPHA1, &operation->alpha1);
    get_real(from, CUDNN_ATTR_OPERATION_POINTWISE_ALPHA2, &operation->alpha2);
    return dnnsim_operation_check(operation);
}

static cudnnStatus_t make_graph(const struct descriptor *from, struct part *part)
{
    const struct attribute *operations = dnnsim_descriptor_find(from, CUDNN_ATTR_OPERATIONGRAPH_OPS);
    struct dnn_graph *graph = &part->as.graph;
    cudnnHandle_t handle = NULL;

    CHECK(operations != NULL, "operation graph: no operations");
    for (int64_t i = 0; i < operations->count; i++) {
        CHECK(operations->parts[i] != NULL, "operation graph: operation %d is not finalised", (int)i);
        graph->operations[graph->n_operations++] = operations->parts[i]->as.operation;
    }
    if (GET(from, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, handle) && handle != NULL) {
        graph->has_device = true;
        snprintf(graph->device, sizeof(graph->device), "%s", handle->device);
    }
    return dnnsim_graph_sort(graph);
}

static cudnnStatus_t make_heuristics(const struct descriptor *from, struct part *part)
{
    struct part *graph = child(from, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
    const struct part *device = child(from, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP);

    CHECK(graph != NULL, "heuristics: the operation graph is missing or not finalised");
    CHECK(dnnsim_descriptor_find(from, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP) == NULL || device != NULL,
          "heuristics: the device properties are not finalised");
    part->as.mode = CUDNN_HEUR_MODE_INSTANT;
    GET(from, CUDNN_ATTR_ENGINEHEUR_MODE, part->as.mode);
    CHECK(part->as.mode < CUDNN_HEUR_MODES_COUNT, "heuristics: there is no mode %d", (int)part->as.mode);
    /* Like the real library: for no device there are no engines. */
    part->engine = device != NULL || graph->as.graph.has_device;
    part->graph = dnnsim_part_keep(graph);
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t make_engine(const struct descriptor *from, struct part *part)
{
    struct part *graph = child(from, CUDNN_ATTR_ENGINE_OPERATION_GRAPH);
    int64_t index;

    CHECK(graph != NULL, "engine: the operation graph is missing or not finalised");
    CHECK(GET(from, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, index), "engine: no global index");
    if (index < 0 || index > ENGINE_BROKEN || !dnnsim_engine_fits(&graph->as.graph, (int)index))
        return dnnsim_fail(CUDNN_STATUS_NOT_SUPPORTED, "engine %lld does not take this graph",
                           (long long)index);
    part->engine = (int)index;
    part->graph = dnnsim_part_keep(graph);
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t make_config(const struct descriptor *from, struct part *part)
{
    const struct part *engine = child(from, CUDNN_ATTR_ENGINECFG_ENGINE);
    const struct attribute *knobs = dnnsim_descriptor_find(from, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES);

    CHECK(engine != NULL, "engine configuration: the engine is missing or not finalised");
    for (int64_t i = 0; knobs != NULL && i < knobs->count; i++)
        CHECK(knobs->parts[i] != NULL, "engine configuration: a knob choice is not finalised");
    part->engine = engine->engine;
    part->graph = dnnsim_part_keep(engine->graph);
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t make_knob(const struct descriptor *from, struct part *part)
{
    CHECK(GET(from, CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, part->as.knob.type) &&
              GET(from, CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, part->as.knob.value),
          "knob choice: no type or no value");
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t make_device(const struct descriptor *from, struct part *part)
{
    const struct attribute *text = dnnsim_descriptor_find(from, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION);
    cudnnHandle_t handle = NULL;

    if (GET(from, CUDNN_ATTR_DEVICEPROP_HANDLE, handle) && handle != NULL) {
        snprintf(part->as.device, sizeof(part->as.device), "%s", handle->device);
        return CUDNN_STATUS_SUCCESS;
    }
    CHECK(text != NULL, "device properties: neither JSON nor a handle");
    cJSON *json = cJSON_ParseWithLength(text->values, (size_t)text->count);
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "deviceName"));
    if (name != NULL)
        snprintf(part->as.device, sizeof(part->as.device), "%s", name);
    cJSON_Delete(json);
    CHECK(name != NULL, "device properties: no JSON object with a deviceName");
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t make_pack(const struct descriptor *from, struct part *part)
{
    const struct attribute *uids = dnnsim_descriptor_find(from, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS),
                           *pointers = dnnsim_descriptor_find(from, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    struct pack *pack = &part->as.pack;

    GET(from, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, pack->workspace);
    if (uids == NULL && pointers == NULL) /* the real library takes it; no plan can do with it */
        return CUDNN_STATUS_SUCCESS;
    CHECK(uids != NULL && pointers != NULL && uids->count == pointers->count,
          "variant pack: as many pointers as unique ids");
    pack->n = (int)uids->count;
    memcpy(pack->uids, uids->values, (size_t)pack->n * sizeof(pack->uids[0]));
    memcpy(pack->pointers, pointers->values, (size_t)pack->n * sizeof(pack->pointers[0]));
    return CUDNN_STATUS_SUCCESS;
}

/* A plan comes from an engine configuration, or from JSON; for the device of its handle or properties. */
static cudnnStatus_t make_plan(const struct descriptor *from, struct part **part)
{
    const struct attribute *text =
        dnnsim_descriptor_find(from, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION);
    const struct part *config = child(from, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG),
                      *properties = child(from, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP);
    cudnnHandle_t handle = NULL;

    GET(from, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, handle);
    if (handle == NULL && properties == NULL) /* the real one crashes for JSON */
        return dnnsim_fail(CUDNN_STATUS_BAD_PARAM_NULL_POINTER,
                           "execution plan: neither a handle nor a device");
    const char *device = handle != NULL ? handle->device : properties->as.device;
    if (text != NULL)
        return dnnsim_plan_parse(text->values, (size_t)text->count, device, part);
    if (config == NULL)
        return dnnsim_fail(CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED,
                           "execution plan: the engine configuration is missing or not finalised");
    return dnnsim_plan_make(config->graph, config->engine, device, part);
}

static cudnnStatus_t make(const struct descriptor *from, struct part *part)
{
    switch (from->kind) {
    case CUDNN_BACKEND_TENSOR_DESCRIPTOR:
        return make_tensor(from, part);
    case CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR:
        return make_convolution(from, part);
    case CUDNN_BACKEND_POINTWISE_DESCRIPTOR:
        return make_pointwise(from, part);
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
        return make_convolve(from, part);
    case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR:
        return make_pointwise_operation(from, part);
    case CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR:
        return make_graph(from, part);
    case CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR:
        return make_heuristics(from, part);
    case CUDNN_BACKEND_ENGINE_DESCRIPTOR:
        return make_engine(from, part);
    case CUDNN_BACKEND_ENGINECFG_DESCRIPTOR:
        return make_config(from, part);
    case CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR:
        return make_knob(from, part);
    case CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR:
        return make_device(from, part);
    case CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR:
        return make_pack(from, part);
    default:
        return dnnsim_fail(CUDNN_STATUS_BAD_PARAM, "a descriptor of kind %d is filled by the library",
                           (int)from->kind);
    }
}

cudnnStatus_t dnnsim_finalize(struct descriptor *descriptor)
{
    if (descriptor->kind == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)
        return make_plan(descriptor, &descriptor->part);
    struct part *part = dnnsim_part_make(descriptor->kind);
    if (part == NULL)
        return dnnsim_fail(CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED, "out of memory");
    cudnnStatus_t status = make(descriptor, part);
    if (status == CUDNN_STATUS_SUCCESS)
        descriptor->part = part;
    else
        dnnsim_part_drop(part);
    return status;
}
