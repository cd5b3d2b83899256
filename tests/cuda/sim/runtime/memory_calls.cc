/* The runtime functions that allocate. See memory.h. */
#include "graph.h"
#include "memory.h"
#include "schedule.h"
#include "state.h"

#include <algorithm>

using namespace sim;

namespace
{

constexpr size_t GRAIN = 512; /* a device gives memory in no smaller pieces */

size_t taken(size_t bytes)
{
    return (bytes + GRAIN - 1) / GRAIN * GRAIN;
}

cudaError_t allocate(void **pointer, size_t bytes)
{
    struct device &device = the_device(current_device());
    size_t all = the_options().memory_bytes;

    if (pointer == nullptr)
        return cudaErrorInvalidValue;
    *pointer = nullptr;
    if (bytes == 0)
        return cudaSuccess;
    cudaError_t error = run_device(current_device());
    if (error != cudaSuccess)
        return error;
    if (bytes > all || taken(bytes) > all - std::min(all, device.used_bytes))
        return cudaErrorMemoryAllocation;
    *pointer = memory_allocate(current_device(), bytes);
    if (*pointer == nullptr)
        return cudaErrorMemoryAllocation;
    device.used_bytes += taken(bytes);
    return cudaSuccess;
}

cudaError_t release(void *pointer)
{
    if (pointer == nullptr)
        return cudaSuccess;
    const struct allocation *found = memory_find(pointer);
    if (found == nullptr || found->begin != pointer || found->device < 0)
        return cudaErrorInvalidValue;
    int device = found->device;
    size_t bytes = found->bytes;
    run_device(device);
    memory_free(pointer);
    the_device(device).used_bytes -= taken(bytes);
    return cudaSuccess;
}

cudaError_t allocate_pinned(void **pointer, size_t bytes)
{
    if (pointer == nullptr)
        return cudaErrorInvalidValue;
    *pointer = bytes == 0 ? nullptr : pinned_allocate(bytes);
    return *pointer == nullptr && bytes > 0 ? cudaErrorMemoryAllocation : cudaSuccess;
}

} // namespace

extern "C" {

cudaError_t cudaMalloc(void **pointer, size_t bytes)
{
    SIM_CALL();
    if (capture_forbids_call())
        return call.end(cudaErrorStreamCaptureUnsupported);
    return call.end(allocate(pointer, bytes));
}

cudaError_t cudaFree(void *pointer)
{
    SIM_RELEASE_CALL();
    if (capture_forbids_call())
        return call.end(cudaErrorStreamCaptureUnsupported);
    return call.end(release(pointer));
}

cudaError_t cudaHostAlloc(void **pointer, size_t bytes, unsigned)
{
    SIM_CALL();
    if (capture_forbids_call())
        return call.end(cudaErrorStreamCaptureUnsupported);
    return call.end(allocate_pinned(pointer, bytes));
}

cudaError_t cudaMallocHost(void **pointer, size_t bytes)
{
    SIM_CALL();
    if (capture_forbids_call())
        return call.end(cudaErrorStreamCaptureUnsupported);
    return call.end(allocate_pinned(pointer, bytes));
}

cudaError_t cudaFreeHost(void *pointer)
{
    SIM_RELEASE_CALL();
    if (capture_forbids_call())
        return call.end(cudaErrorStreamCaptureUnsupported);
    if (pointer == nullptr)
        return call.end(cudaSuccess);
    run_everything();
    return call.end(pinned_free(pointer) ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaMemGetInfo(size_t *available, size_t *all)
{
    SIM_CALL();
    size_t used = the_device(current_device()).used_bytes;

    if (available == nullptr || all == nullptr)
        return call.end(cudaErrorInvalidValue);
    *all = the_options().memory_bytes;
    *available = *all - std::min(*all, used);
    return call.end(cudaSuccess);
}

cudaError_t cudaHostGetDevicePointer(void **on_device, void *pinned, unsigned)
{
    SIM_CALL();
    if (on_device == nullptr || memory_kind_of(pinned) != MEMORY_PINNED)
        return call.end(cudaErrorInvalidValue);
    *on_device = pinned;
    return call.end(cudaSuccess);
}

cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *attributes, const void *pointer)
{
    SIM_CALL();
    const struct allocation *found = memory_find(pointer);
    enum memory_kind kind = memory_kind_of(pointer);

    if (attributes == nullptr || (kind == MEMORY_DEVICE && found == nullptr))
        return call.end(cudaErrorInvalidValue);
    *attributes = {};
    attributes->type = kind == MEMORY_DEVICE   ? cudaMemoryTypeDevice
                       : kind == MEMORY_PINNED ? cudaMemoryTypeHost
                                               : cudaMemoryTypeUnregistered;
    attributes->device = kind == MEMORY_DEVICE ? found->device : current_device();
    if (kind != MEMORY_PAGEABLE)
        attributes->devicePointer = const_cast<void *>(pointer);
    if (kind != MEMORY_DEVICE)
        attributes->hostPointer = const_cast<void *>(pointer);
    return call.end(cudaSuccess);
}
}
