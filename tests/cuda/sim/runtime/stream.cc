/* The runtime functions of streams, and sim.h's way to queue other libraries' work. See schedule.h. */
#include "graph.h"
#include "parts.h"
#include "schedule.h"
#include "state.h"

using namespace sim;

namespace
{

/* Work of another simulated library. */
struct foreign_work : work {
    void (*run_it)(void *argument);
    void *argument;
    void (*release)(void *argument);

    void run() override
    {
        run_it(argument);
    }

    ~foreign_work() override
    {
        if (release != nullptr)
            release(argument);
    }
};

/* The same in steps. */
struct foreign_steps : work {
    bool (*step_it)(void *argument);
    void *argument;
    void (*release)(void *argument);

    void run() override
    {
    }

    bool step() override
    {
        return step_it(argument);
    }

    ~foreign_steps() override
    {
        if (release != nullptr)
            release(argument);
    }
};

cudaError_t create(cudaStream_t *stream, unsigned flags)
{
    if (stream == nullptr || (flags & ~(unsigned)cudaStreamNonBlocking) != 0)
        return cudaErrorInvalidValue;
    *stream = stream_create(current_device(), flags == cudaStreamDefault);
    return cudaSuccess;
}

} // namespace

namespace sim
{

int count_streams()
{
    int n = 0;

    for (const auto &stream : all_streams())
        n += !stream->legacy && !stream->destroyed;
    return n;
}

void parts_drop_all()
{
    drop_streams();
    drop_events();
    drop_graphs();
    drop_conditions();
}

} // namespace sim

extern "C" {

cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    SIM_CALL();
    return call.end(create(stream, cudaStreamDefault));
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    SIM_CALL();
    return call.end(create(stream, flags));
}

/* Priorities change nothing: the order is left to chance anyway. */
cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags, int)
{
    SIM_CALL();
    return call.end(create(stream, flags));
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest)
{
    SIM_CALL();
    if (least != nullptr)
        *least = 0;
    if (greatest != nullptr)
        *greatest = -5;
    return call.end(cudaSuccess);
}

/* What is queued still runs. */
cudaError_t cudaStreamDestroy(cudaStream_t handle)
{
    SIM_RELEASE_CALL();
    CUstream_st *stream = stream_of(handle);

    if (stream == nullptr || stream->legacy)
        return call.end(cudaErrorInvalidResourceHandle);
    capture_forbids_sync(stream);
    stream->capture.reset();
    stream->destroyed = true;
    return call.end(cudaSuccess);
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle)
{
    SIM_CALL();
    CUstream_st *stream = stream_of(handle);

    if (stream == nullptr)
        return call.end(cudaErrorInvalidResourceHandle);
    if (capture_forbids_sync(stream))
        return call.end(cudaErrorStreamCaptureUnsupported);
    return call.end(run_stream(stream));
}

cudaError_t cudaStreamQuery(cudaStream_t handle)
{
    SIM_CALL();
    CUstream_st *stream = stream_of(handle);

    if (stream == nullptr)
        return call.end(cudaErrorInvalidResourceHandle);
    if (capture_forbids_sync(stream))
        return call.end(cudaErrorStreamCaptureUnsupported);
    run_some(stream);
    if (the_device(stream->device).broken != cudaSuccess)
        return call.end(the_device(stream->device).broken);
    return call.end(stream->queue.empty() ? cudaSuccess : cudaErrorNotReady);
}

cudaError_t cudaStreamGetFlags(cudaStream_t handle, unsigned *flags)
{
    SIM_CALL();
    CUstream_st *stream = stream_of(handle);

    if (stream == nullptr)
        return call.end(cudaErrorInvalidResourceHandle);
    *flags = stream->blocking || stream->legacy ? cudaStreamDefault : cudaStreamNonBlocking;
    return call.end(cudaSuccess);
}

cudaError_t cudaDeviceSynchronize(void)
{
    SIM_CALL();
    if (capture_forbids_call())
        return call.end(cudaErrorStreamCaptureUnsupported);
    return call.end(run_device(current_device()));
}

cudaError_t sim_enqueue(cudaStream_t handle, void (*run)(void *argument), void *argument,
                        void (*release)(void *argument))
{
    device_lock lock;
    auto work = std::make_shared<foreign_work>();
    CUstream_st *stream = stream_of(handle);

    work->run_it = run;
    work->argument = argument;
    work->release = release;
    return stream == nullptr ? cudaErrorInvalidResourceHandle : enqueue_work(stream, work);
}

cudaError_t sim_enqueue_steps(cudaStream_t handle, bool (*step)(void *argument), void *argument,
                              void (*release)(void *argument))
{
    device_lock lock;
    auto work = std::make_shared<foreign_steps>();
    CUstream_st *stream = stream_of(handle);

    work->step_it = step;
    work->argument = argument;
    work->release = release;
    return stream == nullptr ? cudaErrorInvalidResourceHandle : enqueue_work(stream, work);
}

void sim_yield(void)
{
    if (!run_another())
        lock_pause();
}

void sim_spend_ns(double time_ns)
{
    spend_ns(time_ns);
}
}
