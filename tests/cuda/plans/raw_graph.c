#include "tests/cuda/plans/raw_graph.h"

#define MAX_HELD 32

/* The first error stays, and everything behind it does nothing. */
struct maker {
    cudnnStatus_t error;
    cudnnBackendDescriptor_t held[MAX_HELD];
    int n_held;
    int64_t next_uid;
};

static cudnnBackendDescriptor_t make(struct maker *m, cudnnBackendDescriptorType_t type)
{
    cudnnBackendDescriptor_t d = NULL;

    if (m->error == CUDNN_STATUS_SUCCESS)
        m->error = cudnnBackendCreateDescriptor(type, &d);
    if (d != NULL)
        m->held[m->n_held++] = d;
    return d;
}

static void set(struct maker *m, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                cudnnBackendAttributeType_t type, int64_t n, const void *values)
{
    if (m->error == CUDNN_STATUS_SUCCESS)
        m->error = cudnnBackendSetAttribute(d, name, type, n, values);
}

static void link_to(struct maker *m, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                    cudnnBackendDescriptor_t value)
{
    set(m, d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

static void finish(struct maker *m, cudnnBackendDescriptor_t d)
{
    if (m->error == CUDNN_STATUS_SUCCESS)
        m->error = cudnnBackendFinalize(d);
}

static cudnnBackendDescriptor_t tensor(struct maker *m, const int64_t dims[4], cudnnDataType_t type,
                                       bool is_virtual)
{
    cudnnBackendDescriptor_t d = make(m, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    int64_t strides[] = {dims[1] * dims[2] * dims[3], 1, dims[1] * dims[3], dims[1]};
    int64_t alignment = 16, uid = ++m->next_uid;

    set(m, d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    set(m, d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims);
    set(m, d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides);
    set(m, d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid);
    set(m, d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
    set(m, d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual);
    finish(m, d);
    return d;
}

static cudnnBackendDescriptor_t convolution(struct maker *m, cudnnBackendDescriptor_t x,
                                            cudnnBackendDescriptor_t w, cudnnBackendDescriptor_t y)
{
    cudnnBackendDescriptor_t how = make(m, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR), op;
    cudnnDataType_t precision = CUDNN_DATA_FLOAT;
    cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    int64_t n_dims = 2, ones[] = {1, 1}, zeros[] = {0, 0};
    float alpha = 1, beta = 0;

    set(m, how, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &n_dims);
    set(m, how, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &precision);
    set(m, how, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    set(m, how, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, zeros);
    set(m, how, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, zeros);
    set(m, how, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, ones);
    set(m, how, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, ones);
    finish(m, how);
    op = make(m, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
    link_to(m, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, how);
    link_to(m, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, x);
    link_to(m, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, w);
    link_to(m, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, y);
    set(m, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1, &alpha);
    set(m, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 1, &beta);
    finish(m, op);
    return op;
}

/* y = x + b, or y = ReLU(x) without b. */
static cudnnBackendDescriptor_t pointwise(struct maker *m, cudnnBackendDescriptor_t x,
                                          cudnnBackendDescriptor_t b, cudnnBackendDescriptor_t y)
{
    cudnnBackendDescriptor_t how = make(m, CUDNN_BACKEND_POINTWISE_DESCRIPTOR), op;
    cudnnPointwiseMode_t mode = b == NULL ? CUDNN_POINTWISE_RELU_FWD : CUDNN_POINTWISE_ADD;
    cudnnDataType_t precision = CUDNN_DATA_FLOAT;

    set(m, how, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    set(m, how, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &precision);
    finish(m, how);
    op = make(m, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    link_to(m, op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how);
    link_to(m, op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    if (b != NULL)
        link_to(m, op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
    link_to(m, op, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    finish(m, op);
    return op;
}

static cudnnBackendDescriptor_t make_graph(struct maker *m, const struct raw_graph *g)
{
    cudnnBackendDescriptor_t x = tensor(m, g->x, CUDNN_DATA_HALF, false);
    cudnnBackendDescriptor_t w = tensor(m, g->w, CUDNN_DATA_HALF, false);
    cudnnBackendDescriptor_t bias = tensor(m, g->bias, CUDNN_DATA_FLOAT, false);
    cudnnBackendDescriptor_t residual = tensor(m, g->residual, CUDNN_DATA_HALF, false);
    cudnnBackendDescriptor_t y = tensor(m, g->y, CUDNN_DATA_HALF, false);
    cudnnBackendDescriptor_t between[3], ops[4], whole;

    for (int i = 0; i < 3; i++)
        between[i] = tensor(m, g->y, CUDNN_DATA_FLOAT, true);
    ops[0] = convolution(m, x, w, between[0]);
    ops[1] = pointwise(m, between[0], bias, between[1]);
    ops[2] = pointwise(m, between[1], residual, between[2]);
    ops[3] = pointwise(m, between[2], NULL, y);
    whole = make(m, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    set(m, whole, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 4, ops);
    finish(m, whole);
    return whole;
}

/* The plan that cuDNN thinks best. */
static void make_plan(struct maker *m, cudnnBackendDescriptor_t graph, cudnnBackendDescriptor_t properties)
{
    cudnnBackendDescriptor_t heuristic = make(m, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR), config, plan;
    cudnnBackendHeurMode_t mode = CUDNN_HEUR_MODE_A;
    int64_t n = 0;

    link_to(m, heuristic, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
    set(m, heuristic, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    link_to(m, heuristic, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, properties);
    finish(m, heuristic);
    config = make(m, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    if (m->error == CUDNN_STATUS_SUCCESS)
        m->error = cudnnBackendGetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                            CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &n, &config);
    if (m->error == CUDNN_STATUS_SUCCESS && n == 0)
        m->error = CUDNN_STATUS_NOT_SUPPORTED;
    plan = make(m, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    link_to(m, plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
    link_to(m, plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, properties);
    finish(m, plan);
}

bool raw_graph_is_taken(const struct raw_graph *graph, const struct conv_target *target)
{
    struct maker m = {.error = CUDNN_STATUS_SUCCESS};

    make_plan(&m, make_graph(&m, graph), target->properties);
    while (m.n_held > 0)
        (void)cudnnBackendDestroyDescriptor(m.held[--m.n_held]);
    return m.error == CUDNN_STATUS_SUCCESS;
}
