/* What a stream that captures does instead of queueing. See graph.h. */
#include "graph.h"
#include "parts.h"
#include "state.h"

#include <algorithm>
#include <set>

using namespace sim;

namespace
{

unsigned long long last_id;

cudaError_t begin(CUstream_st *stream, CUgraph_st *graph, enum cudaStreamCaptureMode mode)
{
    if (stream == nullptr)
        return cudaErrorInvalidResourceHandle;
    if (stream->legacy)
        return cudaErrorStreamCaptureUnsupported;
    if (stream->capture != nullptr)
        return cudaErrorIllegalState;
    stream->capture = std::make_shared<struct capture>();
    *stream->capture = {graph, graph == nullptr, stream, false, mode, std::this_thread::get_id(), ++last_id};
    if (graph == nullptr)
        stream->capture->graph = graph_create();
    stream->capture_ends.clear();
    return cudaSuccess;
}

/* All nodes that come before the given ones, these included. */
std::set<cudaGraphNode_t> all_before(const std::vector<cudaGraphNode_t> &ends)
{
    std::vector<cudaGraphNode_t> left = ends;
    std::set<cudaGraphNode_t> seen;

    while (!left.empty()) {
        cudaGraphNode_t node = left.back();
        left.pop_back();
        if (seen.insert(node).second)
            left.insert(left.end(), node->after.begin(), node->after.end());
    }
    return seen;
}

/* Have all streams that joined come back? They leave the capture. */
bool leave_all(const CUstream_st *origin, const std::shared_ptr<struct capture> &capture)
{
    std::set<cudaGraphNode_t> joined = all_before(origin->capture_ends);
    bool all_joined = true;

    for (const auto &stream : all_streams()) {
        if (stream->capture != capture)
            continue;
        for (cudaGraphNode_t end : stream->capture_ends)
            all_joined = all_joined && joined.count(end) > 0;
        stream->capture.reset();
    }
    return all_joined;
}

cudaError_t end(CUstream_st *stream, cudaGraph_t *graph)
{
    if (stream == nullptr)
        return cudaErrorInvalidResourceHandle;
    if (stream->capture == nullptr)
        return cudaErrorIllegalState;
    std::shared_ptr<struct capture> capture = stream->capture;
    if (capture->origin != stream)
        return cudaErrorStreamCaptureUnmatched;
    if (capture->mode != cudaStreamCaptureModeRelaxed && capture->thread != std::this_thread::get_id())
        return cudaErrorStreamCaptureWrongThread;
    bool all_joined = leave_all(stream, capture);
    if (!capture->invalid && all_joined) {
        *graph = capture->graph;
        return cudaSuccess;
    }
    if (capture->own_graph)
        graph_destroy(capture->graph);
    *graph = nullptr;
    return capture->invalid ? cudaErrorStreamCaptureInvalidated : cudaErrorStreamCaptureUnjoined;
}

bool forbids(const struct capture &capture)
{
    if (capture.mode == cudaStreamCaptureModeGlobal)
        return true;
    return capture.mode == cudaStreamCaptureModeThreadLocal && capture.thread == std::this_thread::get_id();
}

} // namespace

namespace sim
{

int count_captures()
{
    int n = 0;

    for (const auto &stream : all_streams())
        n += stream->capture != nullptr && stream->capture->origin == stream.get();
    return n;
}

cudaGraphNode_t capture_node(CUstream_st *stream, enum CUgraphNode_st::kind kind)
{
    cudaGraphNode_t node = graph_add(stream->capture->graph, kind, stream->capture_ends);
    stream->capture_ends = {node};
    return node;
}

cudaError_t capture_work(CUstream_st *stream, const std::shared_ptr<struct work> &work)
{
    if (stream->capture->invalid)
        return cudaErrorStreamCaptureInvalidated;
    capture_node(stream, CUgraphNode_st::WORK)->work = work;
    return cudaSuccess;
}

bool capture_forbids_legacy(int device)
{
    bool found = false;

    for (const auto &stream : all_streams())
        if (stream->capture != nullptr && stream->blocking && stream->device == device)
            found = stream->capture->invalid = true;
    return found;
}

bool capture_forbids_call()
{
    bool found = false;

    for (const auto &stream : all_streams())
        if (stream->capture != nullptr && forbids(*stream->capture))
            found = stream->capture->invalid = true;
    return found;
}

bool capture_forbids_sync(CUstream_st *stream)
{
    if (stream->capture == nullptr)
        return false;
    stream->capture->invalid = true;
    return true;
}

} // namespace sim

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    SIM_CALL();
    return call.end(begin(stream_of(stream), nullptr, mode));
}

cudaError_t cudaStreamBeginCaptureToGraph(cudaStream_t handle, cudaGraph_t graph,
                                          const cudaGraphNode_t *dependencies, const cudaGraphEdgeData *,
                                          size_t n_dependencies, enum cudaStreamCaptureMode mode)
{
    SIM_CALL();
    CUstream_st *stream = stream_of(handle);

    if (graph_of(graph) == nullptr)
        return call.end(cudaErrorInvalidValue);
    cudaError_t error = begin(stream, graph_of(graph), mode);
    if (error == cudaSuccess && n_dependencies > 0)
        stream->capture_ends.assign(dependencies, dependencies + n_dependencies);
    return call.end(error);
}

/* Works on a broken device: a capture must be ended before its stream is destroyed. */
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    SIM_RELEASE_CALL();
    cudaError_t error = end(stream_of(stream), graph);

    if (error == cudaSuccess && call.error() != cudaSuccess) {
        graph_destroy(*graph);
        *graph = nullptr;
    }
    return call.end(error);
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, enum cudaStreamCaptureStatus *status)
{
    SIM_CALL();
    CUstream_st *stream = stream_of(handle);

    if (stream == nullptr)
        return call.end(cudaErrorInvalidResourceHandle);
    if (status == nullptr)
        return call.end(cudaErrorInvalidValue);
    *status = stream->capture == nullptr ? cudaStreamCaptureStatusNone
              : stream->capture->invalid ? cudaStreamCaptureStatusInvalidated
                                         : cudaStreamCaptureStatusActive;
    return call.end(cudaSuccess);
}

cudaError_t cudaStreamGetCaptureInfo(cudaStream_t handle, enum cudaStreamCaptureStatus *status,
                                     unsigned long long *id, cudaGraph_t *graph,
                                     const cudaGraphNode_t **dependencies, const cudaGraphEdgeData **edges,
                                     size_t *n_dependencies)
{
    SIM_CALL();
    CUstream_st *stream = stream_of(handle);

    if (stream == nullptr)
        return call.end(cudaErrorInvalidResourceHandle);
    if (status == nullptr)
        return call.end(cudaErrorInvalidValue);
    *status = cudaStreamCaptureStatusNone;
    if (stream->capture == nullptr)
        return call.end(cudaSuccess);
    if (stream->capture->invalid) {
        *status = cudaStreamCaptureStatusInvalidated;
        return call.end(cudaSuccess);
    }
    *status = cudaStreamCaptureStatusActive;
    if (id != nullptr)
        *id = stream->capture->id;
    if (graph != nullptr)
        *graph = stream->capture->graph;
    if (dependencies != nullptr)
        *dependencies = stream->capture_ends.data();
    if (edges != nullptr)
        *edges = nullptr;
    if (n_dependencies != nullptr)
        *n_dependencies = stream->capture_ends.size();
    return call.end(cudaSuccess);
}

cudaError_t cudaStreamUpdateCaptureDependencies(cudaStream_t handle, cudaGraphNode_t *dependencies,
                                                const cudaGraphEdgeData *, size_t n_dependencies,
                                                unsigned flags)
{
    SIM_CALL();
    CUstream_st *stream = stream_of(handle);

    if (stream == nullptr)
        return call.end(cudaErrorInvalidResourceHandle);
    if (stream->capture == nullptr)
        return call.end(cudaErrorIllegalState);
    if (stream->capture->invalid)
        return call.end(cudaErrorStreamCaptureInvalidated);
    if (flags > cudaStreamSetCaptureDependencies)
        return call.end(cudaErrorInvalidValue);
    for (size_t i = 0; i < n_dependencies; i++)
        if (dependencies[i] == nullptr || dependencies[i]->graph != stream->capture->graph)
            return call.end(cudaErrorInvalidValue);
    if (flags == cudaStreamSetCaptureDependencies)
        stream->capture_ends.clear();
    stream->capture_ends.insert(stream->capture_ends.end(), dependencies, dependencies + n_dependencies);
    return call.end(cudaSuccess);
}
}
