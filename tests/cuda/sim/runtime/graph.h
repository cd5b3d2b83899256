/*
 * Captures, graphs and their runs. Under the lock. Part of the test instrument.
 *
 * A graph's nodes run in any order that their edges allow, left to chance; a launched graph goes node by
 * node, so that other streams' work comes between. A body of a conditional node is a graph of its own.
 */
#ifndef EYESORE_SIM_GRAPH_H
#define EYESORE_SIM_GRAPH_H

#include "schedule.h"

#include <thread>

struct CUgraphNode_st {
    enum kind { WORK, CONDITION, EMPTY };
    enum kind kind;
    std::shared_ptr<sim::work> work;
    std::vector<cudaGraphNode_t> after;
    struct CUgraph_st *graph;

    cudaGraphConditionalHandle handle;
    enum cudaGraphConditionalNodeType type;
    std::vector<std::unique_ptr<CUgraph_st>> bodies;
    std::vector<cudaGraph_t> body_handles; /* of the bodies, for who asks */
};

struct CUgraph_st {
    bool is_body; /* belongs to its node */
    std::vector<std::unique_ptr<CUgraphNode_st>> nodes;
    std::vector<cudaGraphConditionalHandle> handles;
};

namespace sim
{

/* ---- graph.cc */

cudaGraphNode_t graph_add(CUgraph_st *graph, enum CUgraphNode_st::kind kind,
                          const std::vector<cudaGraphNode_t> &after);
CUgraph_st *graph_create();
CUgraph_st *graph_of(cudaGraph_t handle); /* NULL: none, or destroyed */
bool graph_destroy(cudaGraph_t handle);
void drop_graphs();

/* ---- capture.cc */

struct capture {
    CUgraph_st *graph;
    bool own_graph; /* made by this capture, not a given one */
    CUstream_st *origin;
    bool invalid;
    enum cudaStreamCaptureMode mode;
    std::thread::id thread;
    unsigned long long id;
};

cudaError_t capture_work(CUstream_st *stream, const std::shared_ptr<struct work> &work);
/* Another node, behind what the stream captured last. */
cudaGraphNode_t capture_node(CUstream_st *stream, enum CUgraphNode_st::kind kind);

/* What captures must not be mixed with: work of stream 0; calls that synchronise. Makes them invalid. */
bool capture_forbids_legacy(int device);
bool capture_forbids_call();
bool capture_forbids_sync(CUstream_st *stream);

/* ---- graph_run.cc */

/* A graph as it was instantiated. */
struct program {
    struct step {
        enum CUgraphNode_st::kind kind;
        std::shared_ptr<struct work> work;
        std::vector<unsigned> next;
        unsigned n_before;
        cudaGraphConditionalHandle handle;
        enum cudaGraphConditionalNodeType type;
        std::vector<std::shared_ptr<const struct program>> bodies;
    };
    std::vector<struct step> steps;
    std::vector<cudaGraphConditionalHandle> handles;
};

/* cudaErrorInvalidValue where a body holds what it may not. */
cudaError_t program_make(const CUgraph_st *graph, std::shared_ptr<const struct program> *program);

class graph_run
{
  public:
    explicit graph_run(const std::shared_ptr<const struct program> &program, bool is_body = false);
    /* Runs one node. True: that was the last. */
    bool step(CUstream_st *stream);

  private:
    struct child {
        unsigned step;
        std::unique_ptr<class graph_run> run; /* NULL: the condition is to be looked at */
        unsigned n_iterations;
        bool is_finished;
    };
    void finish(unsigned step);
    void step_child(CUstream_st *stream, struct child *now);

    std::shared_ptr<const struct program> program_;
    std::vector<unsigned> n_waiting_for_, ready_;
    std::vector<struct child> children_;
    size_t n_left_;
};

cudaGraphConditionalHandle condition_create(unsigned value, bool assign_default);
bool condition_exists(cudaGraphConditionalHandle handle);
void drop_conditions();

} // namespace sim

#endif
