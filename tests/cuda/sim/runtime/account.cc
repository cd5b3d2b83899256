/*
 * Counting: calls, the n-th of which may fail, and what is still open. Part of the test instrument. Has a
 * lock of its own, so that the other simulated libraries may count from anywhere.
 */
#include "parts.h"
#include "schedule.h"
#include "state.h"

#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

namespace sim
{

namespace
{

std::mutex account_lock;
int n_calls;
std::map<std::string, int> tracked;

struct fault {
    std::string call;
    int n; /* 0: none, or it has happened */
    int error;
    bool happened;
} fault;

/* The generic error of the library that the function belongs to. */
int generic_error(const char *name)
{
    if (strncmp(name, "cudnn", 5) == 0)
        return 5000;
    return strncmp(name, "nccl", 4) == 0 ? 1 : (int)cudaErrorUnknown;
}

/* The lock is held. */
bool strikes()
{
    if (fault.n == 0 || --fault.n > 0)
        return false;
    fault.happened = true;
    return true;
}

bool strikes_kind(const char *kind, cudaError_t *error)
{
    std::lock_guard<std::mutex> lock(account_lock);

    if (fault.call != kind || !strikes())
        return false;
    *error = (cudaError_t)fault.error;
    return true;
}

int report(const char *kind, int n)
{
    if (n != 0)
        fprintf(stderr, "sim: left behind: %d %s\n", n, kind);
    return n < 0 ? -n : n;
}

} // namespace

void fault_reset()
{
    std::lock_guard<std::mutex> lock(account_lock);
    n_calls = 0;
    tracked.clear();
    fault = {};
}

void fault_set(const char *call, int n, int error)
{
    std::lock_guard<std::mutex> lock(account_lock);
    fault = {call, n, error, false};
}

bool fault_launch(cudaError_t *error)
{
    return strikes_kind("launch", error);
}

bool fault_exec(cudaError_t *error)
{
    return strikes_kind("exec", error);
}

} // namespace sim

extern "C" {

void sim_fault(const char *call, int n, int error)
{
    sim::ensure_started();
    sim::fault_set(call, n, error);
}

int sim_count_calls(void)
{
    std::lock_guard<std::mutex> lock(sim::account_lock);
    return sim::n_calls;
}

bool sim_fault_happened(void)
{
    std::lock_guard<std::mutex> lock(sim::account_lock);
    return sim::fault.happened;
}

bool sim_call(const char *name, int *error)
{
    sim::ensure_started();
    std::lock_guard<std::mutex> lock(sim::account_lock);
    bool any = sim::fault.call == "*";

    sim::n_calls++;
    if ((!any && sim::fault.call != name) || !sim::strikes())
        return false;
    *error = any ? sim::generic_error(name) : sim::fault.error;
    return true;
}

void sim_track(const char *kind, int change)
{
    std::lock_guard<std::mutex> lock(sim::account_lock);
    sim::tracked[kind] += change;
}

int sim_count_leaks(void)
{
    sim::device_lock device;
    int n = 0;

    sim::run_everything(); /* a stream that was destroyed with work in it still lives */
    n += sim::report("allocations of device memory", sim::count_device_memory());
    n += sim::report("allocations of pinned memory", sim::count_pinned_memory());
    n += sim::report("streams", sim::count_streams());
    n += sim::report("events", sim::count_events());
    n += sim::report("graphs", sim::count_graphs());
    n += sim::report("graph execs", sim::count_graph_execs());
    n += sim::report("captures that were not ended", sim::count_captures());
    std::lock_guard<std::mutex> lock(sim::account_lock);
    for (const auto &kind : sim::tracked)
        n += sim::report(kind.first.c_str(), kind.second);
    return n;
}
}
