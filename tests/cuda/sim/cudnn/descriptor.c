/* Simulated cuDNN (a test instrument): descriptors as the caller sees them, attributes set and got. */
#include "tests/cuda/sim/cudnn/parts.h"
#include "tests/cuda/sim/sim.h"

#include <stdlib.h>
#include <string.h>

struct rule {
    cudnnBackendDescriptorType_t kind;
    cudnnBackendAttributeName_t name;
    cudnnBackendAttributeType_t type, other_type;
    int64_t most;                             /* values; 0: it can only be got */
    cudnnBackendDescriptorType_t child, also; /* of descriptors: which kinds it takes */
};

#define VALUE(kind, name, type, most)                                                                        \
    {                                                                                                        \
        CUDNN_BACKEND_##kind##_DESCRIPTOR, CUDNN_ATTR_##name, CUDNN_TYPE_##type, CUDNN_TYPE_##type, most, 0, \
            0                                                                                                \
    }
#define REAL(kind, name)                                                                                     \
    {                                                                                                        \
        CUDNN_BACKEND_##kind##_DESCRIPTOR, CUDNN_ATTR_##name, CUDNN_TYPE_DOUBLE, CUDNN_TYPE_FLOAT, 1, 0, 0   \
    }
#define CHILD(kind, name, of)                                                                                \
    {                                                                                                        \
        CUDNN_BACKEND_##kind##_DESCRIPTOR, CUDNN_ATTR_##name, CUDNN_TYPE_BACKEND_DESCRIPTOR,                 \
            CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, CUDNN_BACKEND_##of##_DESCRIPTOR,                               \
            CUDNN_BACKEND_##of##_DESCRIPTOR                                                                  \
    }

static const struct rule rules[] = {
    VALUE(TENSOR, TENSOR_BYTE_ALIGNMENT, INT64, 1),
    VALUE(TENSOR, TENSOR_DATA_TYPE, DATA_TYPE, 1),
    VALUE(TENSOR, TENSOR_DIMENSIONS, INT64, CUDNN_DIM_MAX),
    VALUE(TENSOR, TENSOR_STRIDES, INT64, CUDNN_DIM_MAX),
    VALUE(TENSOR, TENSOR_UNIQUE_ID, INT64, 1),
    VALUE(TENSOR, TENSOR_IS_VIRTUAL, BOOLEAN, 1),
    VALUE(CONVOLUTION, CONVOLUTION_COMP_TYPE, DATA_TYPE, 1),
    VALUE(CONVOLUTION, CONVOLUTION_CONV_MODE, CONVOLUTION_MODE, 1),
    VALUE(CONVOLUTION, CONVOLUTION_SPATIAL_DIMS, INT64, 1),
    VALUE(CONVOLUTION, CONVOLUTION_DILATIONS, INT64, CUDNN_DIM_MAX),
    VALUE(CONVOLUTION, CONVOLUTION_FILTER_STRIDES, INT64, CUDNN_DIM_MAX),
    VALUE(CONVOLUTION, CONVOLUTION_PRE_PADDINGS, INT64, CUDNN_DIM_MAX),
    VALUE(CONVOLUTION, CONVOLUTION_POST_PADDINGS, INT64, CUDNN_DIM_MAX),
    VALUE(POINTWISE, POINTWISE_MODE, POINTWISE_MODE, 1),
    VALUE(POINTWISE, POINTWISE_MATH_PREC, DATA_TYPE, 1),
    VALUE(POINTWISE, POINTWISE_NAN_PROPAGATION, NAN_PROPOGATION, 1),
    REAL(POINTWISE, POINTWISE_RELU_LOWER_CLIP),
    REAL(POINTWISE, POINTWISE_RELU_UPPER_CLIP),
    REAL(POINTWISE, POINTWISE_RELU_LOWER_CLIP_SLOPE),
    CHILD(OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CONVOLUTION),
    CHILD(OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_X, TENSOR),
    CHILD(OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_W, TENSOR),
    CHILD(OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_Y, TENSOR),
    REAL(OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_ALPHA),
    REAL(OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_BETA),
    CHILD(OPERATION_POINTWISE, OPERATION_POINTWISE_PW_DESCRIPTOR, POINTWISE),
    CHILD(OPERATION_POINTWISE, OPERATION_POINTWISE_XDESC, TENSOR),
    CHILD(OPERATION_POINTWISE, OPERATION_POINTWISE_BDESC, TENSOR),
    CHILD(OPERATION_POINTWISE, OPERATION_POINTWISE_YDESC, TENSOR),
    REAL(OPERATION_POINTWISE, OPERATION_POINTWISE_ALPHA1),
    REAL(OPERATION_POINTWISE, OPERATION_POINTWISE_ALPHA2),
    VALUE(OPERATIONGRAPH, OPERATIONGRAPH_HANDLE, HANDLE, 1),
    {CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
     CUDNN_TYPE_BACKEND_DESCRIPTOR, MAX_OPERATIONS, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
     CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR},
    VALUE(ENGINEHEUR, ENGINEHEUR_MODE, HEUR_MODE, 1),
    CHILD(ENGINEHEUR, ENGINEHEUR_OPERATION_GRAPH, OPERATIONGRAPH),
    CHILD(ENGINEHEUR, ENGINEHEUR_DEVICEPROP, DEVICEPROP),
    VALUE(ENGINEHEUR, ENGINEHEUR_SM_COUNT_TARGET, INT32, 1),
    VALUE(ENGINEHEUR, ENGINEHEUR_RESULTS, BACKEND_DESCRIPTOR, 0),
    CHILD(ENGINE, ENGINE_OPERATION_GRAPH, OPERATIONGRAPH),
    VALUE(ENGINE, ENGINE_GLOBAL_INDEX, INT64, 1),
    CHILD(ENGINE, ENGINE_DEVICEPROP, DEVICEPROP),
    VALUE(ENGINE, ENGINE_NUMERICAL_NOTE, NUMERICAL_NOTE, 0),
    VALUE(ENGINE, ENGINE_BEHAVIOR_NOTE, BEHAVIOR_NOTE, 0),
    VALUE(ENGINE, ENGINE_KNOB_INFO, BACKEND_DESCRIPTOR, 0),
    CHILD(ENGINECFG, ENGINECFG_ENGINE, ENGINE),
    {CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR,
     CUDNN_TYPE_BACKEND_DESCRIPTOR, CUDNN_KNOB_TYPE_COUNTS, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR,
     CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR},
    VALUE(KNOB_CHOICE, KNOB_CHOICE_KNOB_TYPE, KNOB_TYPE, 1),
    VALUE(KNOB_CHOICE, KNOB_CHOICE_KNOB_VALUE, INT64, 1),
    VALUE(KNOB_INFO, KNOB_INFO_TYPE, KNOB_TYPE, 0),
    VALUE(KNOB_INFO, KNOB_INFO_MINIMUM_VALUE, INT64, 0),
    VALUE(KNOB_INFO, KNOB_INFO_MAXIMUM_VALUE, INT64, 0),
    VALUE(KNOB_INFO, KNOB_INFO_STRIDE, INT64, 0),
    VALUE(EXECUTION_PLAN, EXECUTION_PLAN_HANDLE, HANDLE, 1),
    CHILD(EXECUTION_PLAN, EXECUTION_PLAN_ENGINE_CONFIG, ENGINECFG),
    CHILD(EXECUTION_PLAN, EXECUTION_PLAN_DEVICEPROP, DEVICEPROP),
    VALUE(EXECUTION_PLAN, EXECUTION_PLAN_JSON_REPRESENTATION, CHAR, INT32_MAX),
    VALUE(EXECUTION_PLAN, EXECUTION_PLAN_WORKSPACE_SIZE, INT64, 0),
    VALUE(VARIANT_PACK, VARIANT_PACK_UNIQUE_IDS, INT64, MAX_PACK),
    VALUE(VARIANT_PACK, VARIANT_PACK_DATA_POINTERS, VOID_PTR, MAX_PACK),
    VALUE(VARIANT_PACK, VARIANT_PACK_WORKSPACE, VOID_PTR, 1),
    VALUE(DEVICEPROP, DEVICEPROP_JSON_REPRESENTATION, CHAR, INT32_MAX),
    VALUE(DEVICEPROP, DEVICEPROP_HANDLE, HANDLE, 1),
};

static const struct rule *rule_of(cudnnBackendDescriptorType_t kind, cudnnBackendAttributeName_t name)
{
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (rules[i].kind == kind && rules[i].name == name)
            return &rules[i];
    }
    return NULL;
}

static bool is_simulated(cudnnBackendDescriptorType_t kind)
{
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (rules[i].kind == kind)
            return true;
    }
    return false;
}

static size_t value_size(cudnnBackendAttributeType_t type)
{
    switch (type) {
    case CUDNN_TYPE_CHAR:
        return 1;
    case CUDNN_TYPE_BOOLEAN:
        return sizeof(bool);
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
        return sizeof(void *);
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_DOUBLE:
        return 8;
    default: /* float, int32 and the enumerations */
        return 4;
    }
}

struct part *dnnsim_part_make(cudnnBackendDescriptorType_t kind)
{
    struct part *part = calloc(1, sizeof(*part));

    if (part != NULL) {
        atomic_init(&part->references, 1);
        part->kind = kind;
    }
    return part;
}

struct part *dnnsim_part_keep(struct part *part)
{
    if (part != NULL)
        atomic_fetch_add(&part->references, 1);
    return part;
}

void dnnsim_part_drop(struct part *part)
{
    if (part == NULL || atomic_fetch_sub(&part->references, 1) > 1)
        return;
    if (part->kind == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)
        free(part->as.plan.json);
    dnnsim_part_drop(part->graph);
    free(part);
}

static void attribute_clear(struct attribute *attribute)
{
    for (int64_t i = 0; attribute->parts != NULL && i < attribute->count; i++)
        dnnsim_part_drop(attribute->parts[i]);
    free(attribute->parts);
    free(attribute->values);
    *attribute = (struct attribute){0};
}

const struct attribute *dnnsim_descriptor_find(const struct descriptor *descriptor,
                                               cudnnBackendAttributeName_t name)
{
    for (int i = 0; i < descriptor->n_attributes; i++) {
        if (descriptor->attributes[i].name == name)
            return &descriptor->attributes[i];
    }
    return NULL;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t kind, cudnnBackendDescriptor_t *out)
{
    int error;

    if (sim_call("cudnnBackendCreateDescriptor", &error))
        return dnnsim_fail((cudnnStatus_t)error, "injected");
    if (out == NULL)
        return dnnsim_fail(CUDNN_STATUS_BAD_PARAM_NULL_POINTER,
                           "cudnnBackendCreateDescriptor: descriptor is NULL");
    if (!is_simulated(kind))
        return dnnsim_fail(CUDNN_STATUS_NOT_SUPPORTED, "the simulator has no descriptors of kind %d",
                           (int)kind);
    struct descriptor *descriptor = calloc(1, sizeof(*descriptor));
    if (descriptor == NULL)
        return dnnsim_fail(CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED, "out of memory");
    descriptor->kind = kind;
    sim_track("cudnn descriptors", 1);
    *out = descriptor;
    return CUDNN_STATUS_SUCCESS;
}

/* An injected fault is reported, but the descriptor goes all the same: nobody could destroy it again. */
cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t handle)
{
    struct descriptor *descriptor = handle;
    int error;
    bool fault = sim_call("cudnnBackendDestroyDescriptor", &error);

    if (descriptor == NULL)
        return dnnsim_fail(CUDNN_STATUS_BAD_PARAM_NULL_POINTER,
                           "cudnnBackendDestroyDescriptor: descriptor is NULL");
    for (int i = 0; i < descriptor->n_attributes; i++)
        attribute_clear(&descriptor->attributes[i]);
    dnnsim_part_drop(descriptor->part);
    free(descriptor);
    sim_track("cudnn descriptors", -1);
    return fault ? dnnsim_fail((cudnnStatus_t)error, "injected") : CUDNN_STATUS_SUCCESS;
}

/* As the real library does, a descriptor's parts are taken as they are now; one that is not finalised is
 * noticed when its owner is. */
static cudnnStatus_t take_parts(struct attribute *attribute, const struct rule *rule)
{
    attribute->parts = calloc((size_t)attribute->count, sizeof(*attribute->parts));
    if (attribute->parts == NULL)
        return dnnsim_fail(CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED, "out of memory");
    for (int64_t i = 0; i < attribute->count; i++) {
        struct descriptor *child = ((struct descriptor **)attribute->values)[i];
        if (child == NULL)
            return dnnsim_fail(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "attribute %d: descriptor %d is NULL",
                               (int)rule->name, (int)i);
        if (child->kind != rule->child && child->kind != rule->also)
            return dnnsim_fail(CUDNN_STATUS_BAD_PARAM, "attribute %d cannot be a descriptor of kind %d",
                               (int)rule->name, (int)child->kind);
        attribute->parts[i] = dnnsim_part_keep(child->part);
    }
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t set_values(struct descriptor *descriptor, const struct rule *rule, int64_t count,
                                cudnnBackendAttributeType_t type, const void *values)
{
    struct attribute attribute = {.name = rule->name, .type = type, .count = count};
    size_t bytes = (size_t)count * value_size(type);
    cudnnStatus_t status = CUDNN_STATUS_SUCCESS;

    attribute.values = malloc(bytes);
    if (attribute.values == NULL)
        return dnnsim_fail(CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED, "out of memory");
    memcpy(attribute.values, values, bytes);
    if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR)
        status = take_parts(&attribute, rule);
    if (status != CUDNN_STATUS_SUCCESS) {
        attribute_clear(&attribute);
        return status;
    }
    int at = 0;
    while (at < descriptor->n_attributes && descriptor->attributes[at].name != rule->name)
        at++;
    if (at == descriptor->n_attributes) /* fewer rules of any kind than places */
        descriptor->n_attributes++;
    else
        attribute_clear(&descriptor->attributes[at]);
    descriptor->attributes[at] = attribute;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t handle, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count, const void *values)
{
    struct descriptor *descriptor = handle;
    int error;

    if (sim_call("cudnnBackendSetAttribute", &error))
        return dnnsim_fail((cudnnStatus_t)error, "injected");
    if (descriptor == NULL)
        return dnnsim_fail(CUDNN_STATUS_BAD_PARAM_NULL_POINTER,
                           "cudnnBackendSetAttribute: descriptor is NULL");
    if (descriptor->part != NULL)
        return dnnsim_fail(CUDNN_STATUS_BAD_PARAM, "attribute %d: the descriptor is finalised already",
                           (int)name);
    const struct rule *rule = rule_of(descriptor->kind, name);
    if (rule == NULL || rule->most == 0)
        return dnnsim_fail(CUDNN_STATUS_BAD_PARAM, "a descriptor of kind %d has no attribute %d to set",
                           (int)descriptor->kind, (int)name);
    if (type != rule->type && type != rule->other_type)
        return dnnsim_fail(CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE, "attribute %d is of type %d, not %d",
                           (int)name, (int)rule->type, (int)type);
    if (values == NULL || count < 1 || count > rule->most)
        return dnnsim_fail(CUDNN_STATUS_BAD_PARAM, "attribute %d takes 1 to %lld values", (int)name,
                           (long long)rule->most);
    return set_values(descriptor, rule, count, type, values);
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t const handle,
                                       cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                                       int64_t wanted, int64_t *count, void *values)
{
    const struct descriptor *descriptor = handle;
    int64_t n = 0;
    int error;

    if (sim_call("cudnnBackendGetAttribute", &error))
        return dnnsim_fail((cudnnStatus_t)error, "injected");
    if (descriptor == NULL)
        return dnnsim_fail(CUDNN_STATUS_BAD_PARAM_NULL_POINTER,
                           "cudnnBackendGetAttribute: descriptor is NULL");
    if (descriptor->part == NULL)
        return dnnsim_fail(CUDNN_STATUS_NOT_INITIALIZED, "attribute %d: the descriptor is not finalised",
                           (int)name);
    const struct rule *rule = rule_of(descriptor->kind, name);
    if (rule == NULL)
        return dnnsim_fail(CUDNN_STATUS_BAD_PARAM, "a descriptor of kind %d has no attribute %d",
                           (int)descriptor->kind, (int)name);
    const struct attribute *attribute = dnnsim_descriptor_find(descriptor, name);
    if (type != (attribute == NULL ? rule->type : attribute->type))
        return dnnsim_fail(CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE, "attribute %d is not of type %d", (int)name,
                           (int)type);
    if (wanted < 0 || (wanted > 0 && values == NULL))
        return dnnsim_fail(CUDNN_STATUS_BAD_PARAM, "attribute %d: nowhere to put %lld values", (int)name,
                           (long long)wanted);
    if (attribute == NULL || attribute->parts != NULL || type == CUDNN_TYPE_CHAR) {
        cudnnStatus_t status = dnnsim_engine_get(descriptor->part, name, wanted, &n, values);
        if (status != CUDNN_STATUS_SUCCESS)
            return status;
    } else {
        n = wanted == 0 || wanted > attribute->count ? attribute->count : wanted;
        if (wanted > 0)
            memcpy(values, attribute->values, (size_t)n * value_size(type));
    }
    if (count != NULL)
        *count = n;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t handle)
{
    struct descriptor *descriptor = handle;
    int error;

    if (sim_call("cudnnBackendFinalize", &error))
        return dnnsim_fail((cudnnStatus_t)error, "injected");
    if (descriptor == NULL)
        return dnnsim_fail(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "cudnnBackendFinalize: descriptor is NULL");
    if (descriptor->part != NULL)
        return dnnsim_fail(CUDNN_STATUS_BAD_PARAM,
                           "cudnnBackendFinalize: the descriptor is finalised already");
    return dnnsim_finalize(descriptor);
}
