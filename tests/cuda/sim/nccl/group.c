/* Simulated NCCL (a test instrument): groups, by host thread. What is called inside happens at the end. */
#include "tests/cuda/sim/nccl/parts.h"
#include "tests/cuda/sim/sim.h"

/* The real header declares them without a prototype. */
ncclResult_t ncclGroupStart(void);
ncclResult_t ncclGroupEnd(void);

enum { MOST_IN_GROUP = 64 };

static _Thread_local struct {
    int depth;
    struct ncclComm *comms[MOST_IN_GROUP];
    struct operation *operations[MOST_IN_GROUP];
    int n_comms, n_operations;
} group;

bool ncclsim_group_is_open(void)
{
    return group.depth > 0;
}

ncclResult_t ncclsim_group_add_communicator(struct ncclComm *comm)
{
    if (group.n_comms == MOST_IN_GROUP)
        return ncclsim_fail(ncclInternalError, "too many communicators in a group for the simulator");
    group.comms[group.n_comms++] = comm;
    return ncclSuccess;
}

ncclResult_t ncclsim_group_add_operation(struct operation *operation)
{
    if (group.n_operations == MOST_IN_GROUP) {
        ncclsim_operation_drop(operation);
        return ncclsim_fail(ncclInternalError, "too many collectives in a group for the simulator");
    }
    group.operations[group.n_operations++] = operation;
    return ncclSuccess;
}

ncclResult_t ncclGroupStart(void)
{
    int error;

    if (sim_call("ncclGroupStart", &error))
        return ncclsim_fail((ncclResult_t)error, "injected");
    group.depth++;
    return ncclSuccess;
}

static ncclResult_t queue_all(void)
{
    ncclResult_t result = ncclSuccess;
    int n = group.n_operations;

    group.n_operations = 0;
    for (int i = 0; i < n; i++) {
        struct ncclComm *comm = ncclsim_operation_comm(group.operations[i]);
        ncclResult_t one;
        if (!comm->blocking && comm->n_deferred < NCCL_MAX_DEFERRED) {
            comm->deferred[comm->n_deferred++] = group.operations[i];
            one = ncclInProgress;
        } else {
            one = ncclsim_operation_queue(group.operations[i]);
        }
        result =
            result == ncclSuccess || result == ncclInProgress ? (one == ncclSuccess ? result : one) : result;
    }
    return result;
}

static void drop_all(void)
{
    for (int i = 0; i < group.n_operations; i++)
        ncclsim_operation_drop(group.operations[i]);
    group.n_operations = group.n_comms = 0;
}

/* Whatever happens, the group is closed. */
ncclResult_t ncclGroupEnd(void)
{
    int error;
    bool fault = sim_call("ncclGroupEnd", &error);

    if (group.depth == 0)
        return ncclsim_fail(ncclInvalidUsage, "ncclGroupEnd without ncclGroupStart");
    if (--group.depth > 0)
        return fault ? ncclsim_fail((ncclResult_t)error, "injected") : ncclSuccess;
    if (fault) {
        drop_all();
        return ncclsim_fail((ncclResult_t)error, "injected");
    }
    ncclResult_t result = ncclsim_communicators_wait(group.comms, group.n_comms);
    group.n_comms = 0;
    if (result != ncclSuccess && result != ncclInProgress) {
        drop_all();
        return result;
    }
    ncclResult_t queued = queue_all();
    return queued == ncclSuccess ? result : queued;
}
