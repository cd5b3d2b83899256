/* The runtime functions that copy and set memory. Part of the test instrument. */
#include "graph.h"
#include "memory.h"
#include "schedule.h"
#include "state.h"

#include <cstring>

using namespace sim;

namespace
{

constexpr double BYTES_PER_NS = 10;

struct copy_work : work {
    void *to;
    const void *from;
    size_t bytes;
    std::vector<unsigned char> staged; /* what it copies where the source was pageable */

    void run() override
    {
        /* A graph may run after something was freed. */
        if (!memory_holds(to, bytes) || !memory_holds(from, bytes))
            die("a copy of %zu bytes from %p to %p leaves its allocations", bytes, from, to);
        memmove(to, staged.empty() ? from : staged.data(), bytes);
    }

    double duration_ns() const override
    {
        return 1000 + (double)bytes / BYTES_PER_NS;
    }

    bool fits_body() const override
    {
        return memory_kind_of(to) != MEMORY_PAGEABLE && memory_kind_of(from) != MEMORY_PAGEABLE;
    }
};

struct set_work : work {
    void *to;
    int value;
    size_t bytes;

    void run() override
    {
        if (!memory_holds(to, bytes))
            die("a set of %zu bytes at %p leaves its allocation", bytes, to);
        memset(to, value, bytes);
    }

    double duration_ns() const override
    {
        return 1000 + (double)bytes / BYTES_PER_NS;
    }
};

bool is_direction(enum cudaMemcpyKind kind, bool to_device, bool from_device)
{
    switch (kind) {
    case cudaMemcpyHostToHost:
        return !to_device && !from_device;
    case cudaMemcpyHostToDevice:
        return to_device && !from_device;
    case cudaMemcpyDeviceToHost:
        return !to_device && from_device;
    case cudaMemcpyDeviceToDevice:
        return to_device && from_device;
    default:
        return kind == cudaMemcpyDefault;
    }
}

cudaError_t check(const struct copy_work &copy, enum cudaMemcpyKind kind)
{
    if (copy.to == nullptr || copy.from == nullptr)
        return cudaErrorInvalidValue;
    if (kind > cudaMemcpyDefault)
        return cudaErrorInvalidMemcpyDirection;
    bool to_device = memory_kind_of(copy.to) == MEMORY_DEVICE;
    bool from_device = memory_kind_of(copy.from) == MEMORY_DEVICE;
    if (!is_direction(kind, to_device, from_device))
        return cudaErrorInvalidValue;
    bool inside = memory_holds(copy.to, copy.bytes) && memory_holds(copy.from, copy.bytes);
    return inside ? cudaSuccess : cudaErrorInvalidValue;
}

/* OUT waits: the copy is done when the call returns, since one end is pageable. */
cudaError_t queue_copy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                       CUstream_st *stream, bool *waits)
{
    auto copy = std::make_shared<copy_work>();

    *waits = false;
    copy->to = to;
    copy->from = from;
    copy->bytes = bytes;
    if (stream == nullptr)
        return cudaErrorInvalidResourceHandle;
    if (bytes == 0)
        return cudaSuccess;
    cudaError_t error = check(*copy, kind);
    if (error != cudaSuccess)
        return error;
    if (stream->capture == nullptr) {
        bool on_device = memory_kind_of(to) == MEMORY_DEVICE || memory_kind_of(from) == MEMORY_DEVICE;
        *waits = memory_kind_of(to) == MEMORY_PAGEABLE || !on_device;
        if (memory_kind_of(from) == MEMORY_PAGEABLE)
            copy->staged.assign(static_cast<const unsigned char *>(from),
                                static_cast<const unsigned char *>(from) + bytes);
    }
    return enqueue_work(stream, copy);
}

cudaError_t queue_set(void *to, int value, size_t bytes, CUstream_st *stream)
{
    auto set = std::make_shared<set_work>();

    if (stream == nullptr)
        return cudaErrorInvalidResourceHandle;
    if (bytes == 0)
        return cudaSuccess;
    if (memory_kind_of(to) == MEMORY_PAGEABLE || !memory_holds(to, bytes))
        return cudaErrorInvalidValue;
    set->to = to;
    set->value = value;
    set->bytes = bytes;
    return enqueue_work(stream, set);
}

} // namespace

extern "C" {

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t handle)
{
    SIM_CALL();
    CUstream_st *stream = stream_of(handle);
    bool waits;
    cudaError_t error = queue_copy(to, from, bytes, kind, stream, &waits);

    if (error == cudaSuccess && waits)
        error = run_stream(stream);
    return call.end(error);
}

/* Between device memory, the host does not wait. */
cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
    SIM_CALL();
    bool waits;

    if (capture_forbids_call())
        return call.end(cudaErrorStreamCaptureUnsupported);
    CUstream_st *stream = stream_of(nullptr);
    cudaError_t error = queue_copy(to, from, bytes, kind, stream, &waits);
    bool on_device = memory_kind_of(to) == MEMORY_DEVICE && memory_kind_of(from) == MEMORY_DEVICE;
    if (error == cudaSuccess && !on_device)
        error = run_stream(stream);
    return call.end(error);
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream)
{
    SIM_CALL();
    return call.end(queue_set(to, value, bytes, stream_of(stream)));
}

/* The host does not wait. */
cudaError_t cudaMemset(void *to, int value, size_t bytes)
{
    SIM_CALL();
    if (capture_forbids_call())
        return call.end(cudaErrorStreamCaptureUnsupported);
    return call.end(queue_set(to, value, bytes, stream_of(nullptr)));
}
}
