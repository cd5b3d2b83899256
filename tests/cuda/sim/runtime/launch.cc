/* Kernel launches: checked as a device would, and queued. Part of the test instrument. */
#include "grid.h"
#include "memory.h"
#include "schedule.h"
#include "state.h"

#include <cerrno>
#include <map>
#include <sys/mman.h>

using namespace sim;

namespace
{

struct kernel_work : work {
    struct sim_launch launch;

    explicit kernel_work(const struct sim_launch &what) : launch(what)
    {
    }

    void run() override
    {
        grid_run(&launch);
    }

    double duration_ns() const override
    {
        double threads = (double)launch.grid.x * launch.grid.y * launch.grid.z *
                         (launch.block.x * launch.block.y * launch.block.z);
        return 2000 + threads / 100;
    }

    ~kernel_work() override
    {
        launch.release(launch.arguments);
    }
};

std::map<uintptr_t, size_t> opted_in; /* kernels that may have more dynamic shared memory */

size_t max_dynamic(uintptr_t kernel)
{
    auto found = opted_in.find(kernel);
    return found == opted_in.end() ? MAX_SHARED : found->second;
}

cudaError_t check(const struct sim_launch &launch)
{
    dim3 grid = launch.grid, block = launch.block;
    uint64_t threads = (uint64_t)block.x * block.y * block.z;

    if (grid.x == 0 || grid.y == 0 || grid.z == 0 || threads == 0)
        return cudaErrorInvalidConfiguration;
    if (grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535)
        return cudaErrorInvalidConfiguration;
    if (block.x > 1024 || block.y > 1024 || block.z > 64 || threads > 1024)
        return cudaErrorInvalidConfiguration;
    if (launch.max_threads > 0 && threads > launch.max_threads)
        return cudaErrorInvalidValue;
    return launch.shared_bytes > max_dynamic(launch.function) ? cudaErrorInvalidValue : cudaSuccess;
}

/* Is it an address of this process that is neither device nor pinned memory? */
bool is_host_address(uint64_t value)
{
    uint64_t page = value & ~(uint64_t)4095;
    void *pointer;
    unsigned char resident;

    /* Below are whatever pairs of small numbers look like; programs, heaps and stacks lie above. */
    if (value < 0x500000000000 || value >= 0x7ffffffff000)
        return false;
    memcpy(&pointer, &value, sizeof(pointer));
    if (memory_kind_of(pointer) != MEMORY_PAGEABLE)
        return false;
    memcpy(&pointer, &page, sizeof(pointer));
    return mincore(pointer, 1, &resident) == 0;
}

/* On a real device this is an illegal address; here it would work, so it is looked for in the arguments. */
void check_arguments(const struct sim_launch &launch)
{
    const unsigned char *bytes = static_cast<const unsigned char *>(launch.arguments);

    /* Behind the address of the kernel itself. */
    for (size_t at = sizeof(uint64_t); at + sizeof(uint64_t) <= launch.arguments_bytes;
         at += sizeof(uint64_t)) {
        uint64_t value;
        memcpy(&value, bytes + at, sizeof(value));
        if (is_host_address(value))
            die("kernel %s gets the host address %#llx", launch.name, (unsigned long long)value);
    }
}

cudaError_t queue(const std::shared_ptr<kernel_work> &work, cudaStream_t handle)
{
    cudaError_t fault = cudaSuccess;
    cudaError_t error =
        the_options().n_devices == 0 ? cudaErrorNoDevice : the_device(current_device()).broken;

    if (error != cudaSuccess)
        return error;
    CUstream_st *stream = stream_of(handle);
    if (stream == nullptr || stream->device != current_device())
        return cudaErrorInvalidResourceHandle;
    if (fault_launch(&fault) && !is_sticky(fault))
        return fault;
    error = check(work->launch);
    if (error != cudaSuccess)
        return error;
    check_arguments(work->launch);
    work->strike = fault;
    return enqueue_work(stream, work);
}

} // namespace

extern "C" void sim_launch_kernel(const struct sim_launch *launch, cudaStream_t stream)
{
    device_lock lock;
    cudaError_t error = queue(std::make_shared<kernel_work>(*launch), stream);

    if (error != cudaSuccess)
        note_error(error);
}

/* Of the attributes, the one that changes what a launch may ask for. */
extern "C" cudaError_t cudaFuncSetAttribute(const void *kernel, enum cudaFuncAttribute attribute, int value)
{
    SIM_CALL();
    if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout)
        return call.end(cudaSuccess);
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
        (size_t)value > MAX_SHARED_OPT_IN)
        return call.end(cudaErrorInvalidValue);
    opted_in[reinterpret_cast<uintptr_t>(kernel)] = std::max((size_t)value, MAX_SHARED);
    return call.end(cudaSuccess);
}
