/*
 * Streams as queues of work that runs late, and who runs next. Under the lock. Part of the test instrument.
 *
 * A stream's work goes in order. Among the heads of the streams any order is legal, but that a wait comes
 * after the record it waits for, and that stream 0 and the blocking streams of its device wait for what was
 * queued on the other before. Whoever synchronises runs the work, in an order left to chance: now only what
 * it needs, now a random head each time, now some streams before others.
 *
 * Each stream has a clock of its own, which its work moves by an amount that depends on the work alone.
 */
#ifndef EYESORE_SIM_SCHEDULE_H
#define EYESORE_SIM_SCHEDULE_H

#include <cuda_runtime_api.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

namespace sim
{

/* What a stream or a graph can run, once or many times. */
struct work {
    virtual ~work() = default;
    virtual void run() = 0;

    /* The same in steps, for work that waits for other work: false, it is to be asked again. */
    virtual bool step()
    {
        run();
        return true;
    }

    virtual double duration_ns() const
    {
        return 1000;
    }

    /* May stand in the body of a conditional node? */
    virtual bool fits_body() const
    {
        return true;
    }

    cudaError_t strike = cudaSuccess; /* a launch that fails where it runs, the first time */
    bool waits = false;               /* its last step was not the end */
};

/* A record of an event. */
struct record {
    bool done;
    double time_ns;
    struct CUstream_st *stream;
};

class graph_run;
struct program;
struct capture;

struct item {
    enum kind { WORK, RECORD, WAIT, GRAPH };
    enum kind kind;
    std::shared_ptr<struct work> work;
    std::shared_ptr<struct record> record; /* RECORD: it is this one; WAIT: for it */
    std::shared_ptr<const struct program> program;
    std::shared_ptr<class graph_run> run; /* of the program, once it has begun */
    uint64_t serial;                      /* later items have higher ones */
};
struct item item_work(const std::shared_ptr<struct work> &work);
struct item item_record(const std::shared_ptr<struct record> &record);
struct item item_wait(const std::shared_ptr<struct record> &record);
struct item item_graph(const std::shared_ptr<const struct program> &program);

} // namespace sim

struct CUstream_st {
    int device;
    bool legacy;   /* stream 0 */
    bool blocking; /* in order with stream 0 */
    bool destroyed;
    bool busy; /* its head runs, perhaps waiting for another host thread */
    unsigned favour;
    double time_ns;
    std::deque<sim::item> queue;

    std::shared_ptr<sim::capture> capture; /* NULL: it does not capture */
    std::vector<cudaGraphNode_t> capture_ends;
};

namespace sim
{

/* The streams that live, those destroyed with work in them included. */
const std::vector<std::unique_ptr<CUstream_st>> &all_streams();
CUstream_st *stream_create(int device, bool blocking);
/* The stream that a handle means: 0 is the current device's own. NULL: not a stream. */
CUstream_st *stream_of(cudaStream_t handle);
void drop_streams();

/* Queues it. Runs other work first where the queue is full. */
cudaError_t enqueue(CUstream_st *stream, struct item item);
/* The same, or a graph's node where the stream captures. */
cudaError_t enqueue_work(CUstream_st *stream, const std::shared_ptr<struct work> &work);

/* Runs work until it is done, of any device, and returns the error of `device`. */
cudaError_t run_stream(CUstream_st *stream);
cudaError_t run_record(const std::shared_ptr<struct record> &record, int device);
cudaError_t run_device(int device);
void run_everything();
/* Perhaps a little, for who asks whether something is done. */
void run_some(CUstream_st *stream);
/* For work that waits for other work: one piece, if one can run. Device memory is open. */
bool run_another();

/* Runs one piece of work as the stream's, counting it and moving the clock. False: it is not finished, since
 * it waits for other work. */
bool execute(CUstream_st *stream, struct work *work);
/* The work that runs takes so much longer. */
void spend_ns(double time_ns);

} // namespace sim

#endif
