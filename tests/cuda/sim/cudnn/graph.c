/* Simulated cuDNN (a test instrument): operations -> a graph in order; which graphs have engines. */
#include "tests/cuda/sim/cudnn/parts.h"

#include <string.h>

static bool same_tensor(const struct dnn_tensor *a, const struct dnn_tensor *b)
{
    return a->uid == b->uid && a->type == b->type && a->alignment == b->alignment &&
           a->is_virtual == b->is_virtual && memcmp(a->dims, b->dims, sizeof(a->dims)) == 0 &&
           memcmp(a->strides, b->strides, sizeof(a->strides)) == 0;
}

/* A unique id that stands for two different tensors passes, as in the real library: two tensors, one pointer.
 */
static int tensor_index(struct dnn_graph *graph, const struct dnn_tensor *tensor)
{
    for (int i = 0; i < graph->n_tensors; i++) {
        if (same_tensor(&graph->tensors[i], tensor))
            return i;
    }
    graph->tensors[graph->n_tensors] = *tensor;
    return graph->n_tensors++;
}

static bool makes(const struct operation *operation, int64_t uid)
{
    return operation->y.uid == uid;
}

static bool reads(const struct operation *operation, int64_t uid)
{
    return operation->x.uid == uid || (operation->has_b && operation->b.uid == uid);
}

/* Does any of operations [first, n) make what this one reads? */
static bool waits(const struct dnn_graph *graph, int first, const struct operation *operation)
{
    for (int i = first; i < graph->n_operations; i++) {
        if (reads(operation, graph->operations[i].y.uid))
            return true;
    }
    return false;
}

cudnnStatus_t dnnsim_graph_sort(struct dnn_graph *graph)
{
    for (int done = 0; done < graph->n_operations; done++) {
        int next = done;
        while (next < graph->n_operations && waits(graph, done, &graph->operations[next]))
            next++;
        if (next == graph->n_operations)
            return dnnsim_fail(CUDNN_STATUS_BAD_PARAM, "operation graph: operations wait for each other");
        struct operation first = graph->operations[next];
        memmove(&graph->operations[done + 1], &graph->operations[done],
                (size_t)(next - done) * sizeof(first)); /* the others stay in the order given */
        graph->operations[done] = first;
    }
    graph->n_tensors = 0;
    for (int i = 0; i < graph->n_operations; i++) {
        struct operation *operation = &graph->operations[i];
        operation->x_index = tensor_index(graph, &operation->x);
        operation->b_index = operation->has_b ? tensor_index(graph, &operation->b) : -1;
        operation->y_index = tensor_index(graph, &operation->y);
    }
    graph->hash = dnnsim_plan_hash(graph);
    return CUDNN_STATUS_SUCCESS;
}

static bool mode_simulated(cudnnPointwiseMode_t mode)
{
    switch (mode) {
    case CUDNN_POINTWISE_ADD:
    case CUDNN_POINTWISE_SUB:
    case CUDNN_POINTWISE_MUL:
    case CUDNN_POINTWISE_DIV:
    case CUDNN_POINTWISE_MAX:
    case CUDNN_POINTWISE_MIN:
    case CUDNN_POINTWISE_IDENTITY:
    case CUDNN_POINTWISE_RELU_FWD:
    case CUDNN_POINTWISE_SIGMOID_FWD:
    case CUDNN_POINTWISE_TANH_FWD:
        return true;
    default:
        return false;
    }
}

static const char *operation_refusal(const struct operation *operation)
{
    const struct convolution *convolution = &operation->convolution;

    if (!operation->is_convolution) {
        if (operation->pointwise.compute != CUDNN_DATA_FLOAT)
            return "pointwise operations compute in float";
        return mode_simulated(operation->pointwise.mode) ? NULL : "a pointwise mode that is not simulated";
    }
    if (convolution->compute != CUDNN_DATA_FLOAT &&
        (convolution->compute != CUDNN_DATA_HALF || operation->x.type != CUDNN_DATA_HALF))
        return "convolutions compute in float (or half in half)";
    if (operation->b.is_virtual)
        return "a convolution's filter is virtual";
    if (dnnsim_type_size(operation->x.type) != dnnsim_type_size(operation->b.type))
        return "a convolution's x and w are of different types (a virtual x is declared of a type, too)";
    return operation->alpha2 != 0 ? "a convolution's beta is not 0" : NULL;
}

static const char *tensors_refusal(const struct dnn_graph *graph)
{
    for (int i = 0; i < graph->n_tensors; i++) {
        const struct dnn_tensor *a = &graph->tensors[i];
        if (a->dims[1] > 1 && a->strides[1] != 1)
            return "a tensor is not channels-last";
        for (int j = 0; j < i; j++) {
            const struct dnn_tensor *b = &graph->tensors[j];
            if (a->uid == b->uid && (a->is_virtual || b->is_virtual))
                return "two different tensors of one unique id, and one is virtual";
        }
    }
    return NULL;
}

bool dnnsim_graph_supported(const struct dnn_graph *graph, const char **reason)
{
    int n_convolutions = 0, n_stored = 0;

    *reason = tensors_refusal(graph);
    for (int i = 0; i < graph->n_operations && *reason == NULL; i++) {
        *reason = operation_refusal(&graph->operations[i]);
        n_convolutions += graph->operations[i].is_convolution;
        n_stored += !graph->operations[i].y.is_virtual;
        for (int j = 0; j < i; j++)
            if (makes(&graph->operations[j], graph->operations[i].y.uid))
                *reason = "two operations make the same tensor";
    }
    if (*reason == NULL && n_convolutions > 1)
        *reason = "more than one convolution";
    if (*reason == NULL && n_stored == 0)
        *reason = "nothing is stored";
    return *reason == NULL;
}

static bool made_by_any(const struct dnn_graph *graph, int64_t uid)
{
    for (int i = 0; i < graph->n_operations; i++) {
        if (makes(&graph->operations[i], uid))
            return true;
    }
    return false;
}

bool dnnsim_graph_compiles(const struct dnn_graph *graph)
{
    for (int i = 0; i < graph->n_tensors; i++) {
        if (graph->tensors[i].is_virtual && !made_by_any(graph, graph->tensors[i].uid))
            return false;
    }
    for (int i = 0; i < graph->n_operations; i++) {
        const struct operation *operation = &graph->operations[i];
        if (operation->is_convolution && operation->x.type != operation->b.type)
            return false;
    }
    return true;
}

bool dnnsim_graph_is_depthwise(const struct dnn_graph *graph)
{
    for (int i = 0; i < graph->n_operations; i++) {
        const struct operation *operation = &graph->operations[i];
        if (operation->is_convolution)
            return operation->b.dims[1] == 1 && operation->x.dims[1] > 1;
    }
    return false;
}
