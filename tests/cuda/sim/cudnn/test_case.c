#include "tests/cuda/sim/cudnn/test_case.h"

#include <string.h>

static int out_size(const struct conv_case *conv, int size)
{
    return (size + 2 * conv->pad - conv->window) / conv->stride + 1;
}

int case_out_h(const struct conv_case *conv)
{
    return out_size(conv, conv->h);
}

int case_out_w(const struct conv_case *conv)
{
    return out_size(conv, conv->w);
}

cudnnBackendDescriptor_t case_descriptor(struct case_graph *made, cudnnBackendDescriptorType_t type)
{
    cudnnBackendDescriptor_t descriptor = NULL;

    if (made->status != CUDNN_STATUS_SUCCESS)
        return NULL;
    made->status = cudnnBackendCreateDescriptor(type, &descriptor);
    made->where = "create";
    if (made->status == CUDNN_STATUS_SUCCESS)
        made->made[made->n_made++] = descriptor;
    return descriptor;
}

void case_set(struct case_graph *made, cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
              cudnnBackendAttributeType_t type, int64_t count, const void *values)
{
    if (made->status != CUDNN_STATUS_SUCCESS)
        return;
    made->where = "set";
    made->status = cudnnBackendSetAttribute(descriptor, name, type, count, values);
}

void case_finalize(struct case_graph *made, cudnnBackendDescriptor_t descriptor, const char *where)
{
    if (made->status != CUDNN_STATUS_SUCCESS)
        return;
    made->where = where;
    made->status = cudnnBackendFinalize(descriptor);
}

struct tensor_spec {
    int64_t uid;
    int64_t n, c, h, w, pitch; /* pitch 0: packed */
    cudnnDataType_t type;
    int alignment;
    bool is_virtual, nchw, overlapping, no_uid, no_strides, unfinalised;
};

static cudnnBackendDescriptor_t make_tensor(struct case_graph *made, const struct tensor_spec *spec)
{
    int64_t pitch = spec->pitch == 0 ? spec->c : spec->pitch, alignment = spec->alignment;
    int64_t dims[4] = {spec->n, spec->c, spec->h, spec->w};
    int64_t strides[4] = {spec->h * spec->w * pitch, 1, spec->w * pitch, pitch};
    cudnnBackendDescriptor_t tensor = case_descriptor(made, CUDNN_BACKEND_TENSOR_DESCRIPTOR);

    if (spec->nchw)
        memcpy(strides, (int64_t[]){spec->c * spec->h * spec->w, spec->h * spec->w, spec->w, 1},
               sizeof(strides));
    if (spec->overlapping)
        strides[3] = spec->c / 2;
    case_set(made, tensor, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &spec->type);
    case_set(made, tensor, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims);
    if (!spec->no_strides)
        case_set(made, tensor, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides);
    if (!spec->no_uid)
        case_set(made, tensor, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &spec->uid);
    case_set(made, tensor, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
    if (spec->is_virtual)
        case_set(made, tensor, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &spec->is_virtual);
    if (!spec->unfinalised)
        case_finalize(made, tensor, "tensor");
    return tensor;
}

static void add_operation(struct case_graph *made, cudnnBackendDescriptor_t operation, const char *where)
{
    case_finalize(made, operation, where);
    if (made->status == CUDNN_STATUS_SUCCESS)
        made->operations[made->n_operations++] = operation;
}

/* y = mode(x [, b]). */
static void add_pointwise(struct case_graph *made, const struct conv_case *conv, cudnnPointwiseMode_t mode,
                          cudnnBackendDescriptor_t x, cudnnBackendDescriptor_t b, cudnnBackendDescriptor_t y,
                          double upper_clip)
{
    cudnnDataType_t type = conv->other_pointwise_type ? conv->pointwise_type : CUDNN_DATA_FLOAT;
    cudnnBackendDescriptor_t pointwise = case_descriptor(made, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);

    if (!conv->no_mode)
        case_set(made, pointwise, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    case_set(made, pointwise, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &type);
    if (upper_clip > 0)
        case_set(made, pointwise, CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP, CUDNN_TYPE_DOUBLE, 1, &upper_clip);
    case_finalize(made, pointwise, "pointwise");

    cudnnBackendDescriptor_t operation = case_descriptor(made, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    case_set(made, operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
             &pointwise);
    case_set(made, operation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &x);
    if (b != NULL)
        case_set(made, operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &b);
    case_set(made, operation, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &y);
    add_operation(made, operation, "pointwise operation");
}

static void add_convolution(struct case_graph *made, const struct conv_case *conv, cudnnBackendDescriptor_t x,
                            cudnnBackendDescriptor_t w, cudnnBackendDescriptor_t y)
{
    cudnnDataType_t type = conv->other_compute_type ? conv->compute_type : CUDNN_DATA_FLOAT;
    cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    int64_t spatial = 2, pads[2] = {conv->pad, conv->pad}, strides[2] = {conv->stride, conv->stride},
            ones[2] = {1, 1};
    float alpha = 1, beta = 0;
    cudnnBackendDescriptor_t convolution = case_descriptor(made, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);

    case_set(made, convolution, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    case_set(made, convolution, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    case_set(made, convolution, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &spatial);
    case_set(made, convolution, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, pads);
    case_set(made, convolution, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, pads);
    case_set(made, convolution, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, strides);
    case_set(made, convolution, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, ones);
    case_finalize(made, convolution, "convolution");

    cudnnBackendDescriptor_t operation =
        case_descriptor(made, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
    case_set(made, operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
             CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &convolution);
    if (!conv->no_x)
        case_set(made, operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                 1, &x);
    case_set(made, operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
             &w);
    case_set(made, operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
             &y);
    case_set(made, operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1, &alpha);
    case_set(made, operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 1, &beta);
    add_operation(made, operation, "convolution operation");
}

static cudnnBackendDescriptor_t channels_tensor(struct case_graph *made, int64_t uid, int c)
{
    return make_tensor(
        made, &(struct tensor_spec){
                  .uid = uid, .n = 1, .c = c, .h = 1, .w = 1, .type = CUDNN_DATA_FLOAT, .alignment = 16});
}

/* x -> relu(x * scale + shift). */
static cudnnBackendDescriptor_t add_prologue(struct case_graph *made, const struct conv_case *conv,
                                             cudnnBackendDescriptor_t x)
{
    struct tensor_spec between = {.n = conv->n,
                                  .c = conv->c,
                                  .h = conv->h,
                                  .w = conv->w,
                                  .is_virtual = true,
                                  .type = CUDNN_DATA_FLOAT,
                                  .alignment = 16};
    cudnnBackendDescriptor_t stages[3];

    for (int i = 0; i < 3; i++) {
        between.uid = UID_VIRTUAL + i;
        between.type = i == 2 ? conv->virtual_type : CUDNN_DATA_FLOAT;
        stages[i] = make_tensor(made, &between);
    }
    add_pointwise(made, conv, CUDNN_POINTWISE_MUL, x, channels_tensor(made, UID_SCALE, conv->c), stages[0],
                  0);
    add_pointwise(made, conv, CUDNN_POINTWISE_ADD, stages[0], channels_tensor(made, UID_SHIFT, conv->c),
                  stages[1], 0);
    add_pointwise(made, conv, CUDNN_POINTWISE_RELU_FWD, stages[1], NULL, stages[2], 0);
    return stages[2];
}

/* The convolution and what follows it, each but the last into a virtual tensor. */
static void add_chain(struct case_graph *made, const struct conv_case *conv, cudnnBackendDescriptor_t x,
                      cudnnBackendDescriptor_t w, cudnnBackendDescriptor_t y,
                      const struct tensor_spec *y_spec)
{
    int n_left = (int)conv->bias + (int)conv->residual + (int)conv->relu;
    struct tensor_spec spec = *y_spec;
    cudnnBackendDescriptor_t from = x, to;

    spec.is_virtual = true, spec.type = CUDNN_DATA_FLOAT, spec.pitch = 0, spec.nchw = false;
    for (int i = 0; i < 4; i++) {
        bool wanted[4] = {true, conv->bias, conv->residual, conv->relu};
        if (!wanted[i])
            continue;
        spec.uid = UID_VIRTUAL + 10 + i;
        to = n_left-- == 0 ? y : make_tensor(made, &spec);
        if (i == 0) {
            add_convolution(made, conv, from, w, to);
        } else if (i == 1) {
            int size = conv->bias_size == 0 ? conv->k : conv->bias_size;
            add_pointwise(made, conv, CUDNN_POINTWISE_ADD, from, channels_tensor(made, UID_BIAS, size), to,
                          0);
        } else if (i == 2) {
            struct tensor_spec residual = *y_spec;
            residual.uid = UID_RESIDUAL, residual.pitch = conv->residual_pitch;
            residual.h = conv->residual_h == 0 ? y_spec->h : conv->residual_h;
            residual.c = conv->residual_c == 0 ? y_spec->c : conv->residual_c;
            add_pointwise(made, conv, CUDNN_POINTWISE_ADD, from, make_tensor(made, &residual), to, 0);
        } else {
            add_pointwise(made, conv, CUDNN_POINTWISE_RELU_FWD, from, NULL, to, conv->upper_clip);
        }
        from = to;
    }
}

void case_make(const struct conv_case *conv, cudnnHandle_t handle, struct case_graph *made)
{
    int alignment = conv->alignment == 0 ? 16 : conv->alignment,
        groups = conv->groups == 0 ? 1 : conv->groups;
    struct tensor_spec x_spec = {.uid = UID_X,
                                 .n = conv->n,
                                 .c = conv->c,
                                 .h = conv->h,
                                 .w = conv->w,
                                 .pitch = conv->x_pitch,
                                 .type = conv->type,
                                 .alignment = alignment,
                                 .nchw = conv->nchw,
                                 .overlapping = conv->overlapping,
                                 .no_uid = conv->no_uid,
                                 .no_strides = conv->no_strides,
                                 .unfinalised = conv->unfinalised_x,
                                 .is_virtual = conv->unmade_virtual};
    struct tensor_spec w_spec = {.uid = conv->duplicate_uid ? UID_X : UID_W,
                                 .n = conv->k,
                                 .c = conv->filter_c == 0 ? conv->c / groups : conv->filter_c,
                                 .h = conv->window,
                                 .w = conv->window,
                                 .alignment = alignment,
                                 .nchw = conv->nchw,
                                 .type = conv->other_w_type ? conv->w_type : conv->type};
    struct tensor_spec y_spec = {.uid = UID_Y,
                                 .n = conv->n,
                                 .c = conv->k,
                                 .pitch = conv->y_pitch,
                                 .h = conv->y_h == 0 ? case_out_h(conv) : conv->y_h,
                                 .w = conv->y_w == 0 ? case_out_w(conv) : conv->y_w,
                                 .type = conv->type,
                                 .alignment = alignment,
                                 .nchw = conv->nchw};

    memset(made, 0, sizeof(*made));
    cudnnBackendDescriptor_t x = make_tensor(made, &x_spec), w = make_tensor(made, &w_spec),
                             y = make_tensor(made, &y_spec);
    if (conv->prologue)
        x = add_prologue(made, conv, x);
    add_chain(made, conv, x, w, y, &y_spec);
    if (conv->two_convolutions) {
        y_spec.uid = UID_VIRTUAL + 50;
        add_convolution(made, conv, x, w, make_tensor(made, &y_spec));
    }

    made->graph = case_descriptor(made, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    case_set(made, made->graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
             made->n_operations, made->operations);
    if (handle != NULL)
        case_set(made, made->graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
    case_finalize(made, made->graph, "graph");
}

int case_configs(struct case_graph *made, cudnnBackendHeurMode_t mode, cudnnBackendDescriptor_t device,
                 cudnnBackendDescriptor_t *configs, int most)
{
    int64_t n = 0;
    cudnnBackendDescriptor_t heuristics = case_descriptor(made, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);

    case_set(made, heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
             &made->graph);
    case_set(made, heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    if (device != NULL)
        case_set(made, heuristics, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                 &device);
    case_finalize(made, heuristics, "heuristics");
    for (int i = 0; i < most; i++)
        configs[i] = case_descriptor(made, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    if (made->status != CUDNN_STATUS_SUCCESS)
        return 0;
    made->where = "results";
    made->status = cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                            CUDNN_TYPE_BACKEND_DESCRIPTOR, most, &n, configs);
    return made->status == CUDNN_STATUS_SUCCESS ? (int)(n < most ? n : most) : 0;
}

void case_free(struct case_graph *made)
{
    for (int i = 0; i < made->n_made; i++)
        cudnnBackendDestroyDescriptor(made->made[i]);
    memset(made, 0, sizeof(*made));
}
