#include "kernels/cuda/conv_graph.h"

#include <stdlib.h>

/* Names of the tensors in memory; virtual ones follow. */
enum { UID_X = 1, UID_W, UID_Y, UID_BIAS, UID_RESIDUAL, UID_SCALE, UID_SHIFT, UID_VIRTUAL };

#define MAX_HELD 40 /* descriptors of one graph: at most 7 operations with up to 4 each */
#define MAX_OPS 8
#define ALIGNMENT 16

struct conv_graph {
    cudnnBackendDescriptor_t held[MAX_HELD]; /* in the order of making; the operation graph is the last */
    int n_held;
    cudnnBackendDescriptor_t ops[MAX_OPS];
    int n_ops;
    int64_t next_uid;
    cudnnBackendDescriptor_t whole;
};

static enum status set(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                       cudnnBackendAttributeType_t type, int64_t n, const void *values)
{
    enum status rc = STATUS_OK;
    TRY_CUDNN(cudnnBackendSetAttribute(d, name, type, n, values));
out:
    return rc;
}

static enum status set_descriptor(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                                  cudnnBackendDescriptor_t value)
{
    return set(d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

static enum status hold(struct conv_graph *g, cudnnBackendDescriptorType_t type,
                        cudnnBackendDescriptor_t *out)
{
    enum status rc = STATUS_OK;

    if (g->n_held == MAX_HELD)
        FAIL(STATUS_INTERNAL, "a convolution's graph has more than %d parts", MAX_HELD);
    TRY_CUDNN(cudnnBackendCreateDescriptor(type, out));
    g->held[g->n_held++] = *out;
out:
    return rc;
}

struct tensor_spec {
    int64_t uid;
    int n, c, h, w, pitch; /* channels last */
    cudnnDataType_t type;
    bool is_virtual;
};

static enum status make_tensor(struct conv_graph *g, const struct tensor_spec *s,
                               cudnnBackendDescriptor_t *out)
{
    enum status rc = STATUS_OK;
    int64_t place = s->pitch, dims[] = {s->n, s->c, s->h, s->w};
    int64_t strides[] = {place * s->h * s->w, 1, place * s->w, place};
    int64_t alignment =
        s->pitch % 8 == 0 || s->h * s->w == 1 ? ALIGNMENT : 8; /* the input's 4 channels of 2 bytes */

    TRY(hold(g, CUDNN_BACKEND_TENSOR_DESCRIPTOR, out));
    TRY(set(*out, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &s->type));
    TRY(set(*out, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims));
    TRY(set(*out, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides));
    TRY(set(*out, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &s->uid));
    TRY(set(*out, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment));
    TRY(set(*out, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &s->is_virtual));
    TRY_CUDNN(cudnnBackendFinalize(*out));
out:
    return rc;
}

/* y = x op b; b NULL: y = op(x). `upper`: of a ReLU, or 0. */
static enum status add_pointwise(struct conv_graph *g, cudnnPointwiseMode_t mode, double upper,
                                 cudnnBackendDescriptor_t x, cudnnBackendDescriptor_t b,
                                 cudnnBackendDescriptor_t y)
{
    enum status rc = STATUS_OK;
    cudnnBackendDescriptor_t how, op;
    cudnnDataType_t precision = CUDNN_DATA_FLOAT;

    TRY(hold(g, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, &how));
    TRY(set(how, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode));
    TRY(set(how, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &precision));
    if (upper > 0)
        TRY(set(how, CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP, CUDNN_TYPE_DOUBLE, 1, &upper));
    TRY_CUDNN(cudnnBackendFinalize(how));
    TRY(hold(g, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, &op));
    TRY(set_descriptor(op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how));
    TRY(set_descriptor(op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x));
    if (b != NULL)
        TRY(set_descriptor(op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b));
    TRY(set_descriptor(op, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y));
    TRY_CUDNN(cudnnBackendFinalize(op));
    g->ops[g->n_ops++] = op;
out:
    return rc;
}

static cudnnDataType_t data_type(enum element element)
{
    return element == ELEMENT_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_HALF;
}

static double upper_clip(enum kernel_activation activation)
{
    return activation == KERNEL_RELU6 ? 6.0 : 0.0;
}

/* A chain of elementwise operations over values of one shape; `at` is the tensor it has come to. */
struct chain {
    struct conv_graph *graph;
    struct tensor_spec shape; /* of its virtual tensors */
    cudnnBackendDescriptor_t at;
};

/* One more link. `result` NULL: a virtual tensor of `type`. */
static enum status chain_add(struct chain *chain, cudnnPointwiseMode_t mode, double upper,
                             cudnnBackendDescriptor_t b, cudnnDataType_t type,
                             cudnnBackendDescriptor_t result)
{
    enum status rc = STATUS_OK;

    if (result == NULL) {
        struct tensor_spec s = chain->shape;
        s.uid = chain->graph->next_uid++;
        s.type = type;
        s.is_virtual = true;
        TRY(make_tensor(chain->graph, &s, &result));
    }
    TRY(add_pointwise(chain->graph, mode, upper, chain->at, b, result));
    chain->at = result;
out:
    return rc;
}

static enum status make_vector(struct conv_graph *g, int64_t uid, int c, cudnnBackendDescriptor_t *out)
{
    struct tensor_spec s = {uid, 1, c, 1, 1, c, CUDNN_DATA_FLOAT, false};
    return make_tensor(g, &s, out);
}

/* OUT x: what the convolution reads. */
static enum status add_prologue(struct conv_graph *g, const struct conv_spec *s, cudnnBackendDescriptor_t *x)
{
    enum status rc = STATUS_OK;
    struct tensor_spec in = {UID_X, s->n, s->c, s->h, s->w, s->in_pitch, data_type(s->element), false};
    cudnnBackendDescriptor_t scale, shift;

    TRY(make_tensor(g, &in, x));
    if (!s->has_prologue)
        goto out;
    struct chain chain = {g, {0, s->n, s->c, s->h, s->w, s->c, CUDNN_DATA_FLOAT, true}, *x};
    TRY(make_vector(g, UID_SCALE, s->c, &scale));
    TRY(make_vector(g, UID_SHIFT, s->c, &shift));
    TRY(chain_add(&chain, CUDNN_POINTWISE_MUL, 0, scale, CUDNN_DATA_FLOAT, NULL));
    bool activates = s->prologue_activation != KERNEL_NONE;
    TRY(chain_add(&chain, CUDNN_POINTWISE_ADD, 0, shift, activates ? CUDNN_DATA_FLOAT : data_type(s->element),
                  NULL));
    if (activates)
        TRY(chain_add(&chain, CUDNN_POINTWISE_RELU_FWD, upper_clip(s->prologue_activation), NULL,
                      data_type(s->element), NULL));
    *x = chain.at;
out:
    return rc;
}

static enum status add_convolution(struct conv_graph *g, const struct conv_spec *s,
                                   cudnnBackendDescriptor_t x, cudnnBackendDescriptor_t y)
{
    enum status rc = STATUS_OK;
    struct tensor_spec filter = {UID_W, s->k, s->c, s->kernel, s->kernel, s->c, data_type(s->element), false};
    cudnnBackendDescriptor_t w, how, op;
    cudnnDataType_t precision = CUDNN_DATA_FLOAT;
    cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    int64_t n_dims = 2, ones[] = {1, 1}, strides[] = {s->stride, s->stride}, pads[] = {s->pad, s->pad};
    float alpha = 1, beta = 0;

    TRY(make_tensor(g, &filter, &w));
    TRY(hold(g, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, &how));
    TRY(set(how, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &n_dims));
    TRY(set(how, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &precision));
    TRY(set(how, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode));
    TRY(set(how, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, pads));
    TRY(set(how, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, pads));
    TRY(set(how, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, ones));
    TRY(set(how, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, strides));
    TRY_CUDNN(cudnnBackendFinalize(how));
    TRY(hold(g, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, &op));
    TRY(set_descriptor(op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, how));
    TRY(set_descriptor(op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, x));
    TRY(set_descriptor(op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, w));
    TRY(set_descriptor(op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, y));
    TRY(set(op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1, &alpha));
    TRY(set(op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 1, &beta));
    TRY_CUDNN(cudnnBackendFinalize(op));
    g->ops[g->n_ops++] = op;
out:
    return rc;
}

/* The convolution and what follows it; the last link writes y, whichever it is. */
static enum status add_convolution_and_epilogue(struct conv_graph *g, const struct conv_spec *s,
                                                cudnnBackendDescriptor_t x)
{
    enum status rc = STATUS_OK;
    struct tensor_spec to = {UID_Y, s->n, s->k, s->out_h, s->out_w, s->out_pitch, data_type(s->element),
                             false};
    struct tensor_spec plus = to, inner = to;
    cudnnBackendDescriptor_t y, first, bias, residual;
    bool adds = s->residual_pitch != 0, activates = s->activation != KERNEL_NONE;

    TRY(make_tensor(g, &to, &y));
    inner = (struct tensor_spec){g->next_uid++, s->n, s->k, s->out_h, s->out_w, s->k, CUDNN_DATA_FLOAT, true};
    TRY(make_tensor(g, &inner, &first));
    TRY(add_convolution(g, s, x, first));
    struct chain chain = {g, inner, first};
    if (s->has_bias) {
        TRY(make_vector(g, UID_BIAS, s->k, &bias));
        TRY(chain_add(&chain, CUDNN_POINTWISE_ADD, 0, bias, CUDNN_DATA_FLOAT, adds || activates ? NULL : y));
    }
    if (adds) {
        plus.uid = UID_RESIDUAL;
        plus.pitch = s->residual_pitch;
        TRY(make_tensor(g, &plus, &residual));
        TRY(chain_add(&chain, CUDNN_POINTWISE_ADD, 0, residual, CUDNN_DATA_FLOAT, activates ? NULL : y));
    }
    if (activates)
        TRY(chain_add(&chain, CUDNN_POINTWISE_RELU_FWD, upper_clip(s->activation), NULL, CUDNN_DATA_FLOAT,
                      y));
    /* Alone, cuDNN prefers kernels that write y packed to a workspace and copy it to its slice; fused, none.
     */
    if (!s->has_bias && !adds && !activates)
        TRY(chain_add(&chain, CUDNN_POINTWISE_IDENTITY, 0, NULL, CUDNN_DATA_FLOAT, y));
out:
    return rc;
}

enum status conv_graph_open(const struct conv_spec *spec, const struct conv_target *target,
                            struct conv_graph **out)
{
    enum status rc = STATUS_OK;
    struct conv_graph *g = calloc(1, sizeof(*g));
    cudnnBackendDescriptor_t x;

    if (g == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    g->next_uid = UID_VIRTUAL;
    TRY(add_prologue(g, spec, &x));
    TRY(add_convolution_and_epilogue(g, spec, x));
    TRY(hold(g, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, &g->whole));
    TRY(set(g->whole, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, g->n_ops, g->ops));
    if (target->handle != NULL)
        TRY(set(g->whole, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &target->handle));
    TRY_CUDNN(cudnnBackendFinalize(g->whole));
    *out = g;
    g = NULL;
out:
    conv_graph_close(g);
    return rc;
}

void conv_graph_close(struct conv_graph *graph)
{
    if (graph == NULL)
        return;
    while (graph->n_held > 0)
        cudnnBackendDestroyDescriptor(graph->held[--graph->n_held]);
    free(graph);
}

cudnnBackendDescriptor_t conv_graph_whole(const struct conv_graph *graph)
{
    return graph->whole;
}

enum status conv_plan_execute(const struct conv_plan *plan, const struct conv_pointers *at,
                              cudnnHandle_t handle)
{
    enum status rc = STATUS_OK;
    cudnnBackendDescriptor_t pack = NULL;
    /* cuDNN's interface has no const. */
    union {
        const void *in;
        void *out;
    } pointers[] = {{at->x}, {at->w}, {at->y}, {at->bias}, {at->residual}, {at->scale}, {at->shift}};
    int64_t uids[UID_VIRTUAL];
    void *given[UID_VIRTUAL], *workspace = at->workspace;
    int64_t n = 0;

    for (int64_t uid = UID_X; uid < UID_VIRTUAL; uid++) {
        if (pointers[uid - UID_X].in == NULL)
            continue;
        uids[n] = uid;
        given[n++] = pointers[uid - UID_X].out;
    }
    TRY_CUDNN(cudnnBackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack));
    TRY(set(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n, uids));
    TRY(set(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, n, given));
    TRY(set(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace));
    TRY_CUDNN(cudnnBackendFinalize(pack));
    TRY_CUDNN(cudnnBackendExecute(handle, plan->descriptor, pack));
out:
    if (pack != NULL)
        cudnnBackendDestroyDescriptor(pack);
    return rc;
}
