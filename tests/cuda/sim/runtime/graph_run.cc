/* A launched graph, node by node; conditions. See graph.h. */
#include "cuda_code.h"
#include "graph.h"
#include "state.h"

#include <algorithm>

namespace sim
{

namespace
{

constexpr unsigned MAX_ITERATIONS = 100000;

struct condition {
    unsigned value, initial;
    bool assign_default, is_set;
};
std::vector<struct condition> conditions; /* handle - 1 is the index */

struct condition *condition_of(cudaGraphConditionalHandle handle)
{
    if (handle == 0 || handle > conditions.size())
        return nullptr;
    return &conditions[handle - 1];
}

void assign_defaults(const struct program &program)
{
    for (cudaGraphConditionalHandle handle : program.handles) {
        struct condition *condition = condition_of(handle);
        condition->is_set = condition->assign_default;
        condition->value = condition->initial;
    }
    for (const struct program::step &step : program.steps)
        for (const auto &body : step.bodies)
            assign_defaults(*body);
}

unsigned evaluate(cudaGraphConditionalHandle handle)
{
    const struct condition *condition = condition_of(handle);

    if (condition == nullptr || !condition->is_set)
        die("the condition of handle %llu is looked at and nobody has set it", handle);
    return condition->value;
}

/* Which body a condition's value means; bodies.size(): none. */
size_t body_of(const struct program::step &step)
{
    unsigned value = evaluate(step.handle);
    if (step.type == cudaGraphCondTypeSwitch)
        return std::min<size_t>(value, step.bodies.size());
    return value != 0 ? 0 : step.type == cudaGraphCondTypeIf ? 1 : step.bodies.size();
}

cudaError_t make(const CUgraph_st *graph, bool in_body, struct program *program);

cudaError_t make_step(const CUgraphNode_st *node, bool in_body, struct program::step *step)
{
    step->kind = node->kind;
    step->work = node->work;
    step->handle = node->handle;
    step->type = node->type;
    step->n_before = (unsigned)node->after.size();
    if (in_body && node->work != nullptr && !node->work->fits_body())
        return cudaErrorInvalidValue;
    for (const auto &body : node->bodies) {
        auto made = std::make_shared<struct program>();
        cudaError_t error = make(body.get(), true, made.get());
        if (error != cudaSuccess)
            return error;
        step->bodies.push_back(made);
    }
    return cudaSuccess;
}

cudaError_t make(const CUgraph_st *graph, bool in_body, struct program *program)
{
    program->handles = graph->handles;
    program->steps.resize(graph->nodes.size());
    for (unsigned i = 0; i < graph->nodes.size(); i++) {
        cudaError_t error = make_step(graph->nodes[i].get(), in_body, &program->steps[i]);
        if (error != cudaSuccess)
            return error;
        for (unsigned before = 0; before < graph->nodes.size(); before++)
            for (cudaGraphNode_t after : graph->nodes[i]->after)
                if (graph->nodes[before].get() == after)
                    program->steps[before].next.push_back(i);
    }
    return cudaSuccess;
}

} // namespace

cudaError_t program_make(const CUgraph_st *graph, std::shared_ptr<const struct program> *program)
{
    auto made = std::make_shared<struct program>();
    cudaError_t error = make(graph, false, made.get());

    if (error == cudaSuccess)
        *program = made;
    return error;
}

graph_run::graph_run(const std::shared_ptr<const struct program> &program, bool is_body)
    : program_(program), n_left_(program->steps.size())
{
    /* Of a body's own handles nothing says whether each iteration or only the launch assigns the default. */
    if (!is_body || random_below(2) == 0)
        assign_defaults(*program);
    for (unsigned i = 0; i < program->steps.size(); i++) {
        n_waiting_for_.push_back(program->steps[i].n_before);
        if (program->steps[i].n_before == 0)
            ready_.push_back(i);
    }
}

void graph_run::finish(unsigned step)
{
    n_left_--;
    for (unsigned next : program_->steps[step].next)
        if (--n_waiting_for_[next] == 0)
            ready_.push_back(next);
}

void graph_run::step_child(CUstream_st *stream, struct child *now)
{
    const struct program::step &step = program_->steps[now->step];

    if (now->run == nullptr) {
        size_t body = body_of(step);
        if (body >= step.bodies.size()) {
            now->is_finished = true;
            return;
        }
        if (++now->n_iterations > MAX_ITERATIONS)
            die("a graph's while node has run its body %u times", MAX_ITERATIONS);
        now->run = std::make_unique<class graph_run>(step.bodies[body], true);
    }
    if (!now->run->step(stream))
        return;
    now->run.reset();
    now->is_finished = step.type != cudaGraphCondTypeWhile;
}

bool graph_run::step(CUstream_st *stream)
{
    if (n_left_ == 0)
        return true;
    size_t at = random_below((unsigned)(ready_.size() + children_.size()));
    if (at >= ready_.size()) {
        at -= ready_.size();
        step_child(stream, &children_[at]);
        if (children_[at].is_finished) {
            finish(children_[at].step);
            children_.erase(children_.begin() + (ptrdiff_t)at);
        }
        return n_left_ == 0;
    }
    unsigned now = ready_[at];
    const struct program::step &step = program_->steps[now];
    ready_.erase(ready_.begin() + (ptrdiff_t)at);
    if (!step.bodies.empty()) {
        children_.push_back({now, nullptr, 0, false});
        return false;
    }
    if (step.work != nullptr && !execute(stream, step.work.get()))
        ready_.push_back(now);
    else
        finish(now);
    return n_left_ == 0;
}

cudaGraphConditionalHandle condition_create(unsigned value, bool assign_default)
{
    conditions.push_back({value, value, assign_default, false});
    return conditions.size();
}

bool condition_exists(cudaGraphConditionalHandle handle)
{
    return condition_of(handle) != nullptr;
}

void drop_conditions()
{
    conditions.clear();
}

} // namespace sim

extern "C" void sim_set_condition(cudaGraphConditionalHandle handle, unsigned value)
{
    struct sim::condition *condition = sim::condition_of(handle);

    if (condition == nullptr)
        sim::die("a kernel sets the condition of handle %llu, which does not exist", handle);
    condition->value = value;
    condition->is_set = true;
}
