/* See schedule.h. */
#include "schedule.h"
#include "graph.h"
#include "memory.h"
#include "state.h"

#include <algorithm>

namespace sim
{

namespace
{

constexpr size_t FULL_QUEUE = 1024; /* about what a real stream takes before a launch blocks */

std::vector<std::unique_ptr<CUstream_st>> streams;
uint64_t last_serial;
double spent_ns; /* beyond its duration, by the work that runs */
bool last_waits; /* the work that ran last came no further */

/* The older head that this stream's head must wait for since one of the two is stream 0; NULL: none. */
CUstream_st *ahead_of(const CUstream_st *stream)
{
    for (const auto &other : streams) {
        bool ordered = stream->legacy ? other->blocking : stream->blocking && other->legacy;
        if (ordered && other.get() != stream && other->device == stream->device && !other->queue.empty() &&
            other->queue.front().serial < stream->queue.front().serial)
            return other.get();
    }
    return nullptr;
}

bool can_run(const CUstream_st *stream)
{
    if (stream->queue.empty() || stream->busy)
        return false;
    const struct item &head = stream->queue.front();
    return (head.kind != item::WAIT || head.record->done) && ahead_of(stream) == nullptr;
}

/* The one whose head brings `target` on; NULL: it runs in another host thread. */
CUstream_st *needed_for(CUstream_st *target)
{
    while (!target->busy && !can_run(target)) {
        CUstream_st *other = target->queue.empty() ? nullptr : ahead_of(target);
        if (other == nullptr && !target->queue.empty())
            other = target->queue.front().record->stream;
        if (other == nullptr)
            return nullptr;
        target = other;
    }
    return target->busy ? nullptr : target;
}

CUstream_st *any_of_all()
{
    std::vector<CUstream_st *> can;

    for (const auto &stream : streams)
        if (can_run(stream.get()))
            can.push_back(stream.get());
    return can.empty() ? nullptr : can[random_below((unsigned)can.size())];
}

CUstream_st *most_favoured()
{
    CUstream_st *best = nullptr;

    for (const auto &stream : streams)
        if (can_run(stream.get()) && (best == nullptr || stream->favour > best->favour))
            best = stream.get();
    return best;
}

bool is_broken(const CUstream_st *stream)
{
    return the_device(stream->device).broken != cudaSuccess;
}

/* Work queued on a broken device does not run. A head that runs now is its runner's. */
void drop_broken()
{
    for (const auto &stream : streams) {
        if (!is_broken(stream.get()))
            continue;
        for (const struct item &item : stream->queue)
            if (item.kind == item::RECORD)
                item.record->done = true;
        while (stream->queue.size() > (stream->busy ? 1 : 0))
            stream->queue.pop_back();
    }
}

bool any_broken()
{
    for (int device = 0; device < the_options().n_devices; device++)
        if (the_device(device).broken != cudaSuccess)
            return true;
    return false;
}

/* True: it is finished. */
bool run_item(CUstream_st *stream, struct item &item)
{
    switch (item.kind) {
    case item::WORK:
        return execute(stream, item.work.get());
    case item::RECORD:
        item.record->time_ns = stream->time_ns;
        item.record->done = true;
        return true;
    case item::WAIT:
        stream->time_ns = std::max(stream->time_ns, item.record->time_ns);
        return true;
    case item::GRAPH:
        if (item.run == nullptr)
            item.run = std::make_shared<class graph_run>(item.program);
        return item.run->step(stream);
    }
    return true;
}

/* False: it waits for other work, and came no further. */
bool run_head(CUstream_st *stream)
{
    struct item &head = stream->queue.front(); /* stays where it is when more is queued */

    stream->busy = true;
    last_waits = false;
    bool finished = is_broken(stream) || run_item(stream, head);
    bool moved = finished || !last_waits;
    stream->busy = false;
    if (finished || is_broken(stream))
        stream->queue.pop_front();
    if (any_broken())
        drop_broken();
    return moved;
}

void bury_streams()
{
    auto dead = [](const std::unique_ptr<CUstream_st> &stream) {
        return stream->destroyed && stream->queue.empty() && !stream->busy;
    };
    streams.erase(std::remove_if(streams.begin(), streams.end(), dead), streams.end());
}

enum manner { NEEDED, RANDOM, FAVOURED, N_MANNERS };

CUstream_st *choose(enum manner manner, CUstream_st *target)
{
    if (manner == NEEDED && target != nullptr)
        return needed_for(target);
    return manner == FAVOURED ? most_favoured() : any_of_all();
}

/* target: whose work is needed; NULL: of several streams. */
void run_until(const std::function<bool()> &done, CUstream_st *target)
{
    if (any_broken())
        drop_broken();
    if (done())
        return;
    enum manner manner = (enum manner)random_below(N_MANNERS);
    for (const auto &stream : streams)
        stream->favour = random_below(1u << 16);
    memory_open();
    while (!done()) {
        CUstream_st *stream = choose(manner, target);
        if (stream != nullptr && run_head(stream))
            continue;
        /* It waits for work of other streams, or of other host threads, or another thread is at it. */
        if (stream == nullptr || !run_another())
            lock_pause();
    }
    memory_close();
    bury_streams();
}

} // namespace

struct item item_work(const std::shared_ptr<struct work> &work)
{
    return {item::WORK, work, nullptr, nullptr, nullptr, 0};
}

struct item item_record(const std::shared_ptr<struct record> &record)
{
    return {item::RECORD, nullptr, record, nullptr, nullptr, 0};
}

struct item item_wait(const std::shared_ptr<struct record> &record)
{
    return {item::WAIT, nullptr, record, nullptr, nullptr, 0};
}

struct item item_graph(const std::shared_ptr<const struct program> &program)
{
    return {item::GRAPH, nullptr, nullptr, program, nullptr, 0};
}

const std::vector<std::unique_ptr<CUstream_st>> &all_streams()
{
    return streams;
}

CUstream_st *stream_create(int device, bool blocking)
{
    streams.push_back(std::make_unique<CUstream_st>());
    CUstream_st *stream = streams.back().get();
    stream->device = device;
    stream->blocking = blocking;
    return stream;
}

CUstream_st *stream_of(cudaStream_t handle)
{
    bool legacy = handle == nullptr || handle == cudaStreamLegacy;

    for (const auto &stream : streams)
        if (legacy ? stream->legacy && stream->device == current_device()
                   : stream.get() == handle && !stream->destroyed)
            return stream.get();
    if (!legacy)
        return nullptr;
    CUstream_st *stream = stream_create(current_device(), false);
    stream->legacy = true;
    return stream;
}

void drop_streams()
{
    streams.clear();
}

cudaError_t enqueue(CUstream_st *stream, struct item item)
{
    if (is_broken(stream))
        return the_device(stream->device).broken;
    if (stream->queue.size() >= FULL_QUEUE)
        run_until([stream] { return stream->queue.size() < FULL_QUEUE / 2; }, stream);
    item.serial = ++last_serial;
    stream->queue.push_back(item);
    return the_device(stream->device).broken;
}

cudaError_t enqueue_work(CUstream_st *stream, const std::shared_ptr<struct work> &work)
{
    if (stream->capture != nullptr)
        return capture_work(stream, work);
    if (stream->legacy && capture_forbids_legacy(stream->device))
        return cudaErrorStreamCaptureImplicit;
    return enqueue(stream, item_work(work));
}

cudaError_t run_stream(CUstream_st *stream)
{
    int device = stream->device;
    run_until([stream] { return stream->queue.empty(); }, stream);
    return the_device(device).broken;
}

cudaError_t run_record(const std::shared_ptr<struct record> &record, int device)
{
    if (!record->done)
        run_until([&record] { return record->done; }, record->stream);
    return the_device(device).broken;
}

cudaError_t run_device(int device)
{
    auto idle = [device] {
        return std::all_of(streams.begin(), streams.end(), [device](const auto &stream) {
            return stream->device != device || stream->queue.empty();
        });
    };
    run_until(idle, nullptr);
    return the_device(device).broken;
}

void run_everything()
{
    for (int device = 0; device < the_options().n_devices; device++)
        run_device(device);
    bury_streams();
}

void run_some(CUstream_st *stream)
{
    unsigned n = random_below(6);

    memory_open();
    for (unsigned i = 0; i < n; i++) {
        CUstream_st *next = i % 2 == 0 ? needed_for(stream) : any_of_all();
        if (next != nullptr)
            run_head(next);
    }
    memory_close();
}

bool run_another()
{
    double mine = spent_ns;
    CUstream_st *stream = any_of_all();

    bool moved = stream != nullptr && run_head(stream);
    spent_ns = mine;
    return moved;
}

bool execute(CUstream_st *stream, struct work *work)
{
    cudaError_t error = work->strike;

    work->strike = cudaSuccess;
    if (error != cudaSuccess || (!work->waits && fault_exec(&error))) {
        break_device(stream->device, error);
        return true;
    }
    spent_ns = 0;
    last_waits = work->waits = !work->step();
    if (!work->waits)
        stream->time_ns += work->duration_ns() + spent_ns;
    return !work->waits;
}

void spend_ns(double time_ns)
{
    spent_ns += time_ns;
}

} // namespace sim
