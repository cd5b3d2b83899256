/* The runtime functions of events. See schedule.h. */
#include "graph.h"
#include "parts.h"
#include "state.h"

#include <algorithm>

struct CUevent_st {
    bool timed;
    std::shared_ptr<sim::record> last; /* NULL: never recorded */

    std::shared_ptr<sim::capture> capture; /* recorded in a capture, behind these nodes */
    std::vector<cudaGraphNode_t> capture_ends;
};

using namespace sim;

namespace
{

std::vector<std::unique_ptr<CUevent_st>> events;

CUevent_st *event_of(cudaEvent_t handle)
{
    for (const auto &event : events)
        if (event.get() == handle)
            return event.get();
    return nullptr;
}

cudaError_t create(cudaEvent_t *event, unsigned flags)
{
    if (event == nullptr || (flags & ~7u) != 0)
        return cudaErrorInvalidValue;
    events.push_back(std::make_unique<CUevent_st>());
    events.back()->timed = (flags & cudaEventDisableTiming) == 0;
    *event = events.back().get();
    return cudaSuccess;
}

cudaError_t record_event(CUevent_st *event, CUstream_st *stream)
{
    if (event == nullptr || stream == nullptr)
        return cudaErrorInvalidResourceHandle;
    if (stream->capture != nullptr) {
        if (stream->capture->invalid)
            return cudaErrorStreamCaptureInvalidated;
        event->capture = stream->capture;
        event->capture_ends = stream->capture_ends;
        return cudaSuccess;
    }
    auto record = std::make_shared<struct record>();
    record->stream = stream;
    event->capture = nullptr;
    event->last = record;
    return enqueue(stream, item_record(record));
}

/* A stream that waits for what another captures joins the capture. */
cudaError_t join_capture(CUstream_st *stream, const CUevent_st *event)
{
    if (stream->legacy)
        return cudaErrorStreamCaptureImplicit;
    if (event->capture->invalid)
        return cudaErrorStreamCaptureInvalidated;
    if (stream->capture == nullptr) {
        stream->capture = event->capture;
        stream->capture_ends.clear();
    }
    if (stream->capture != event->capture) {
        stream->capture->invalid = event->capture->invalid = true;
        return cudaErrorStreamCaptureMerge;
    }
    std::vector<cudaGraphNode_t> &ends = stream->capture_ends;
    for (cudaGraphNode_t end : event->capture_ends)
        if (std::find(ends.begin(), ends.end(), end) == ends.end())
            ends.push_back(end);
    return cudaSuccess;
}

cudaError_t wait_event(CUstream_st *stream, const CUevent_st *event)
{
    if (stream == nullptr || event == nullptr)
        return cudaErrorInvalidResourceHandle;
    if (event->capture != nullptr)
        return join_capture(stream, event);
    if (event->last == nullptr)
        return cudaSuccess;
    if (stream->capture != nullptr) {
        stream->capture->invalid = true;
        return cudaErrorStreamCaptureIsolation;
    }
    return enqueue(stream, item_wait(event->last));
}

cudaError_t elapsed(float *ms, const CUevent_st *start, const CUevent_st *end)
{
    if (ms == nullptr)
        return cudaErrorInvalidValue;
    if (start == nullptr || end == nullptr || !start->timed || !end->timed || start->last == nullptr ||
        end->last == nullptr)
        return cudaErrorInvalidResourceHandle;
    if (start->capture != nullptr || end->capture != nullptr)
        return cudaErrorCapturedEvent;
    if (!start->last->done || !end->last->done)
        return cudaErrorNotReady;
    *ms = (float)((end->last->time_ns - start->last->time_ns) / 1e6);
    return cudaSuccess;
}

} // namespace

namespace sim
{

int count_events()
{
    return (int)events.size();
}

void drop_events()
{
    events.clear();
}

} // namespace sim

extern "C" {

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    SIM_CALL();
    return call.end(create(event, cudaEventDefault));
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    SIM_CALL();
    return call.end(create(event, flags));
}

cudaError_t cudaEventDestroy(cudaEvent_t handle)
{
    SIM_RELEASE_CALL();
    auto is_it = [handle](const auto &event) { return event.get() == handle; };
    auto found = std::find_if(events.begin(), events.end(), is_it);

    if (found == events.end())
        return call.end(cudaErrorInvalidResourceHandle);
    events.erase(found);
    return call.end(cudaSuccess);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    SIM_CALL();
    return call.end(record_event(event_of(event), stream_of(stream)));
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned)
{
    SIM_CALL();
    return call.end(record_event(event_of(event), stream_of(stream)));
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    SIM_CALL();
    return call.end(wait_event(stream_of(stream), event_of(event)));
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle)
{
    SIM_CALL();
    CUevent_st *event = event_of(handle);

    if (event == nullptr)
        return call.end(cudaErrorInvalidResourceHandle);
    if (event->capture != nullptr)
        return call.end(cudaErrorCapturedEvent);
    if (event->last == nullptr)
        return call.end(cudaSuccess);
    std::shared_ptr<struct record> record = event->last;
    int device = record->done ? current_device() : record->stream->device;
    return call.end(run_record(record, device));
}

cudaError_t cudaEventQuery(cudaEvent_t handle)
{
    SIM_CALL();
    CUevent_st *event = event_of(handle);

    if (event == nullptr)
        return call.end(cudaErrorInvalidResourceHandle);
    if (event->capture != nullptr)
        return call.end(cudaErrorCapturedEvent);
    if (event->last == nullptr || event->last->done)
        return call.end(cudaSuccess);
    int device = event->last->stream->device;
    run_some(event->last->stream);
    if (the_device(device).broken != cudaSuccess)
        return call.end(the_device(device).broken);
    return call.end(event->last->done ? cudaSuccess : cudaErrorNotReady);
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end)
{
    SIM_CALL();
    return call.end(elapsed(ms, event_of(start), event_of(end)));
}
}
