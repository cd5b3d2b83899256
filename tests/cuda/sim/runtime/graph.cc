/* The runtime functions of graphs. See graph.h. */
#include "graph.h"
#include "parts.h"
#include "state.h"

#include <algorithm>

struct CUgraphExec_st {
    std::shared_ptr<const sim::program> program;
    std::shared_ptr<sim::record> last_launch; /* a graph does not run beside itself */
};

using namespace sim;

namespace
{

std::vector<std::unique_ptr<CUgraph_st>> graphs; /* without bodies */
std::vector<std::unique_ptr<CUgraphExec_st>> execs;

CUgraph_st *find_in(const std::vector<std::unique_ptr<CUgraph_st>> &all, cudaGraph_t handle)
{
    for (const auto &graph : all) {
        if (graph.get() == handle)
            return graph.get();
        for (const auto &node : graph->nodes)
            if (CUgraph_st *body = find_in(node->bodies, handle))
                return body;
    }
    return nullptr;
}

CUgraphExec_st *exec_of(cudaGraphExec_t handle)
{
    for (const auto &exec : execs)
        if (exec.get() == handle)
            return exec.get();
    return nullptr;
}

bool is_legal(const struct cudaConditionalNodeParams &wanted, const CUgraph_st *graph)
{
    if (std::find(graph->handles.begin(), graph->handles.end(), wanted.handle) == graph->handles.end())
        return false;
    switch (wanted.type) {
    case cudaGraphCondTypeIf:
        return wanted.size == 1 || wanted.size == 2;
    case cudaGraphCondTypeWhile:
        return wanted.size == 1;
    case cudaGraphCondTypeSwitch:
        return wanted.size > 0;
    }
    return false;
}

cudaError_t add_conditional(cudaGraphNode_t *node, CUgraph_st *graph,
                            const std::vector<cudaGraphNode_t> &after,
                            struct cudaConditionalNodeParams *params)
{
    if (!is_legal(*params, graph))
        return cudaErrorInvalidValue;
    *node = graph_add(graph, CUgraphNode_st::CONDITION, after);
    (*node)->handle = params->handle;
    (*node)->type = params->type;
    for (unsigned i = 0; i < params->size; i++) {
        (*node)->bodies.push_back(std::make_unique<CUgraph_st>());
        (*node)->bodies.back()->is_body = true;
        (*node)->body_handles.push_back((*node)->bodies.back().get());
    }
    params->phGraph_out = (*node)->body_handles.data();
    return cudaSuccess;
}

cudaError_t add_node(cudaGraphNode_t *node, CUgraph_st *graph, const std::vector<cudaGraphNode_t> &after,
                     struct cudaGraphNodeParams *params)
{
    if (graph == nullptr || node == nullptr || params == nullptr)
        return cudaErrorInvalidValue;
    for (cudaGraphNode_t before : after)
        if (before == nullptr || before->graph != graph)
            return cudaErrorInvalidValue;
    switch (params->type) {
    case cudaGraphNodeTypeConditional:
        return add_conditional(node, graph, after, &params->conditional);
    case cudaGraphNodeTypeEmpty:
        *node = graph_add(graph, CUgraphNode_st::EMPTY, after);
        return cudaSuccess;
    default:
        return cudaErrorNotSupported; /* by the simulator */
    }
}

cudaError_t launch(CUgraphExec_st *exec, CUstream_st *stream)
{
    if (exec == nullptr || stream == nullptr)
        return cudaErrorInvalidResourceHandle;
    if (stream->capture != nullptr)
        return cudaErrorNotSupported; /* by the simulator */
    auto record = std::make_shared<struct record>();
    cudaError_t error = cudaSuccess;
    record->stream = stream;
    if (exec->last_launch != nullptr)
        error = enqueue(stream, item_wait(exec->last_launch));
    if (error == cudaSuccess)
        error = enqueue(stream, item_graph(exec->program));
    if (error == cudaSuccess)
        error = enqueue(stream, item_record(record));
    exec->last_launch = record;
    return error;
}

} // namespace

namespace sim
{

cudaGraphNode_t graph_add(CUgraph_st *graph, enum CUgraphNode_st::kind kind,
                          const std::vector<cudaGraphNode_t> &after)
{
    graph->nodes.push_back(std::make_unique<CUgraphNode_st>());
    cudaGraphNode_t node = graph->nodes.back().get();
    node->kind = kind;
    node->after = after;
    node->graph = graph;
    return node;
}

CUgraph_st *graph_create()
{
    graphs.push_back(std::make_unique<CUgraph_st>());
    return graphs.back().get();
}

CUgraph_st *graph_of(cudaGraph_t handle)
{
    return find_in(graphs, handle);
}

bool graph_destroy(cudaGraph_t handle)
{
    auto is_it = [handle](const auto &graph) { return graph.get() == handle; };
    auto found = std::find_if(graphs.begin(), graphs.end(), is_it);

    if (found == graphs.end())
        return false;
    graphs.erase(found);
    return true;
}

void drop_graphs()
{
    graphs.clear();
    execs.clear();
}

int count_graphs()
{
    return (int)graphs.size();
}

int count_graph_execs()
{
    return (int)execs.size();
}

} // namespace sim

extern "C" {

cudaError_t cudaGraphCreate(cudaGraph_t *graph, unsigned flags)
{
    SIM_CALL();
    if (graph == nullptr || flags != 0)
        return call.end(cudaErrorInvalidValue);
    *graph = graph_create();
    return call.end(cudaSuccess);
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    SIM_RELEASE_CALL();
    return call.end(graph_destroy(graph) ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaGraphAddNode(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *dependencies,
                             const cudaGraphEdgeData *, size_t n_dependencies,
                             struct cudaGraphNodeParams *params)
{
    SIM_CALL();
    std::vector<cudaGraphNode_t> after;

    if (n_dependencies > 0 && dependencies == nullptr)
        return call.end(cudaErrorInvalidValue);
    if (n_dependencies > 0)
        after.assign(dependencies, dependencies + n_dependencies);
    return call.end(add_node(node, graph_of(graph), after, params));
}

cudaError_t cudaGraphGetNodes(cudaGraph_t handle, cudaGraphNode_t *nodes, size_t *n_nodes)
{
    SIM_CALL();
    CUgraph_st *graph = graph_of(handle);

    if (graph == nullptr || n_nodes == nullptr)
        return call.end(cudaErrorInvalidValue);
    for (size_t i = 0; nodes != nullptr && i < *n_nodes; i++)
        nodes[i] = i < graph->nodes.size() ? graph->nodes[i].get() : nullptr;
    *n_nodes = graph->nodes.size();
    return call.end(cudaSuccess);
}

cudaError_t cudaGraphConditionalHandleCreate(cudaGraphConditionalHandle *handle, cudaGraph_t graph,
                                             unsigned value, unsigned flags)
{
    SIM_CALL();
    CUgraph_st *owner = graph_of(graph);

    if (handle == nullptr || owner == nullptr || (flags & ~(unsigned)cudaGraphCondAssignDefault) != 0)
        return call.end(cudaErrorInvalidValue);
    *handle = condition_create(value, flags == cudaGraphCondAssignDefault);
    owner->handles.push_back(*handle);
    return call.end(cudaSuccess);
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t handle, unsigned long long)
{
    SIM_CALL();
    CUgraph_st *graph = graph_of(handle);
    std::shared_ptr<const struct program> program;

    if (exec == nullptr || graph == nullptr || graph->is_body)
        return call.end(cudaErrorInvalidValue);
    cudaError_t error = program_make(graph, &program);
    if (error != cudaSuccess)
        return call.end(error);
    execs.push_back(std::make_unique<CUgraphExec_st>());
    execs.back()->program = program;
    *exec = execs.back().get();
    return call.end(cudaSuccess);
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t stream)
{
    SIM_CALL();
    bool known = exec_of(exec) != nullptr && stream_of(stream) != nullptr;
    return call.end(known ? cudaSuccess : cudaErrorInvalidResourceHandle);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    SIM_CALL();
    return call.end(launch(exec_of(exec), stream_of(stream)));
}

/* Launches that are queued still run. */
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t handle)
{
    SIM_RELEASE_CALL();
    auto is_it = [handle](const auto &exec) { return exec.get() == handle; };
    auto found = std::find_if(execs.begin(), execs.end(), is_it);

    if (found == execs.end())
        return call.end(cudaErrorInvalidValue);
    execs.erase(found);
    return call.end(cudaSuccess);
}
}
