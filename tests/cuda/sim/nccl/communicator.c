/* Simulated NCCL (a test instrument): communicators and their errors. */
#include "tests/cuda/sim/nccl/parts.h"
#include "tests/cuda/sim/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NAME_PREFIX "/eyesore-sim-nccl-"

static _Thread_local char last_message[NCCL_MESSAGE_SIZE];

ncclResult_t ncclsim_fail(ncclResult_t result, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(last_message, sizeof(last_message), format, arguments);
    va_end(arguments);
    return result;
}

void ncclsim_communicator_break(struct ncclComm *comm, ncclResult_t error, const char *format, ...)
{
    va_list arguments;

    if (atomic_load(&comm->error) != ncclSuccess)
        return;
    va_start(arguments, format);
    vsnprintf(comm->message, sizeof(comm->message), format, arguments);
    va_end(arguments);
    atomic_store(&comm->error, error); /* behind the message, which whoever sees it may read */
    if (comm->region != NULL)
        atomic_store(&comm->region->failed, 1);
}

void ncclsim_communicator_drop(struct ncclComm *comm)
{
    if (atomic_fetch_sub(&comm->references, 1) > 1)
        return;
    ncclsim_region_close(comm->region);
    free(comm);
}

/* Calls that cannot fail are not counted: a fault there would be one that nobody could report. */
const char *ncclGetErrorString(ncclResult_t result)
{
    static const char *const names[] = {
        "no error",
        "unhandled cuda error",
        "unhandled system error",
        "internal error",
        "invalid argument",
        "invalid usage",
        "remote process exited or there was a network error",
        "NCCL operation in progress",
    };

    return (unsigned)result < sizeof(names) / sizeof(names[0]) ? names[result] : "unknown result code";
}

const char *ncclGetLastError(ncclComm_t comm)
{
    return comm != NULL && atomic_load(&comm->error) != ncclSuccess ? comm->message : last_message;
}

ncclResult_t ncclGetVersion(int *version)
{
    int error;

    if (sim_call("ncclGetVersion", &error))
        return ncclsim_fail((ncclResult_t)error, "injected");
    if (version == NULL)
        return ncclsim_fail(ncclInvalidArgument, "version is NULL");
    *version = NCCL_VERSION_CODE;
    return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId *id)
{
    static atomic_uint n_made;
    struct timespec now;
    int error;

    if (sim_call("ncclGetUniqueId", &error))
        return ncclsim_fail((ncclResult_t)error, "injected");
    if (id == NULL)
        return ncclsim_fail(ncclInvalidArgument, "the id is NULL");
    clock_gettime(CLOCK_REALTIME, &now);
    memset(id, 0, sizeof(*id));
    snprintf(id->internal, NCCL_NAME_SIZE, NAME_PREFIX "%ld-%u-%llx", (long)getpid(),
             atomic_fetch_add(&n_made, 1),
             (unsigned long long)now.tv_sec * 1000000000ULL + (unsigned long long)now.tv_nsec);
    return ncclSuccess;
}

/* Everybody is there; two on one GPU the real library refuses, too. */
static ncclResult_t check_devices(struct ncclComm *comm)
{
    for (int i = 0; i < comm->n_ranks; i++) {
        for (int j = 0; j < i; j++) {
            int device = atomic_load(&comm->region->ranks[i].device);
            if (device == atomic_load(&comm->region->ranks[j].device)) {
                ncclsim_communicator_break(comm, ncclInvalidUsage, "ranks %d and %d both use device %d", j, i,
                                           device);
                return ncclInvalidUsage;
            }
        }
    }
    return ncclSuccess;
}

static ncclResult_t advance_join(struct ncclComm *comm)
{
    ncclResult_t result = ncclSuccess;

    if (atomic_load(&comm->region->n_joined) == comm->n_ranks) {
        result = check_devices(comm);
    } else if (atomic_load(&comm->region->failed) != 0) {
        ncclsim_communicator_break(comm, ncclRemoteError, "another rank could not join");
        result = ncclRemoteError;
    } else if (ncclsim_patience_over(&comm->patience)) {
        ncclsim_communicator_break(comm, ncclRemoteError, "%d of %d ranks have come, the others have not",
                                   atomic_load(&comm->region->n_joined), comm->n_ranks);
        result = ncclRemoteError;
    } else {
        return ncclInProgress;
    }
    ncclsim_region_unlink(comm->name);
    comm->stage = result == ncclSuccess ? STAGE_READY : STAGE_FAILED;
    return result;
}

static void queue_deferred(struct ncclComm *comm)
{
    int n = comm->n_deferred;

    comm->n_deferred = 0;
    for (int i = 0; i < n; i++) {
        if (ncclsim_operation_queue(comm->deferred[i]) != ncclSuccess)
            ncclsim_communicator_break(comm, ncclUnhandledCudaError, "%s", last_message);
    }
}

static bool is_idle(struct ncclComm *comm)
{
    return atomic_load(&comm->n_done) == comm->n_queued || atomic_load(&comm->error) != ncclSuccess;
}

ncclResult_t ncclsim_communicator_advance(struct ncclComm *comm)
{
    if (comm->stage == STAGE_JOINING)
        return advance_join(comm);
    queue_deferred(comm);
    if (comm->stage == STAGE_FINALIZING) {
        cudaStreamQuery(comm->last_stream); /* device work runs when somebody looks */
        if (!is_idle(comm))
            return ncclInProgress;
        comm->stage = STAGE_FINALIZED;
    }
    return (ncclResult_t)atomic_load(&comm->error);
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

ncclResult_t ncclsim_communicators_wait(struct ncclComm **comms, int n)
{
    ncclResult_t result = ncclSuccess;

    for (bool waits = true; waits;) {
        waits = false;
        for (int i = 0; i < n; i++)
            if (comms[i]->blocking && comms[i]->stage == STAGE_JOINING)
                waits = ncclsim_communicator_advance(comms[i]) == ncclInProgress || waits;
        if (waits)
            nap();
    }
    for (int i = 0; i < n; i++) {
        ncclResult_t one = comms[i]->blocking ? (ncclResult_t)atomic_load(&comms[i]->error) : ncclInProgress;
        if (one != ncclSuccess && (result == ncclSuccess || result == ncclInProgress))
            result = one;
        if (one != ncclSuccess && one != ncclInProgress)
            ncclsim_fail(one, "%s", comms[i]->message);
    }
    return result;
}

ncclResult_t ncclsim_communicator_check(const struct ncclComm *comm)
{
    if (comm == NULL)
        return ncclsim_fail(ncclInvalidArgument, "the communicator is NULL");
    ncclResult_t error = (ncclResult_t)atomic_load(&comm->error);
    if (error != ncclSuccess)
        return ncclsim_fail(error, "%s", comm->message);
    if (comm->stage == STAGE_JOINING || comm->stage == STAGE_FINALIZING || comm->n_deferred > 0)
        return ncclsim_fail(ncclInvalidArgument,
                            "the communicator is used before its last operation returned ncclSuccess");
    if (comm->stage != STAGE_READY)
        return ncclsim_fail(ncclInvalidArgument, "the communicator is finalized");
    return ncclSuccess;
}

static ncclResult_t check_init(const ncclComm_t *out, int n_ranks, const ncclUniqueId *id, int rank,
                               const ncclConfig_t *config)
{
    if (out == NULL || n_ranks < 1 || rank < 0 || rank >= n_ranks)
        return ncclsim_fail(ncclInvalidArgument, "rank %d of %d", rank, n_ranks);
    if (n_ranks > NCCL_MAX_RANKS)
        return ncclsim_fail(ncclInvalidArgument, "the simulator takes %d ranks at most", NCCL_MAX_RANKS);
    if (strncmp(id->internal, NAME_PREFIX, strlen(NAME_PREFIX)) != 0 ||
        memchr(id->internal, '\0', NCCL_NAME_SIZE) == NULL)
        return ncclsim_fail(ncclInvalidArgument, "the id is none of ncclGetUniqueId's");
    if (config != NULL && (config->size != sizeof(*config) || config->magic != 0xcafebeef))
        return ncclsim_fail(ncclInvalidArgument, "the configuration was not initialised");
    return ncclSuccess;
}

static ncclResult_t make(ncclComm_t *out, int n_ranks, const ncclUniqueId *id, int rank,
                         const ncclConfig_t *config)
{
    struct ncclComm *comm = calloc(1, sizeof(*comm));

    if (comm == NULL)
        return ncclsim_fail(ncclSystemError, "out of memory");
    atomic_init(&comm->references, 1);
    comm->rank = rank, comm->n_ranks = n_ranks;
    comm->blocking = config == NULL || config->blocking == NCCL_CONFIG_UNDEF_INT || config->blocking != 0;
    snprintf(comm->name, sizeof(comm->name), "%.*s", NCCL_NAME_SIZE - 1, id->internal);
    ncclsim_patience_begin(&comm->patience);
    ncclResult_t result = ncclUnhandledCudaError;
    if (cudaGetDevice(&comm->device) == cudaSuccess)
        result = ncclsim_region_join(comm->name, n_ranks, rank, comm->device, &comm->region);
    else
        ncclsim_fail(result, "there is no current device");
    if (result != ncclSuccess) {
        free(comm);
        return result;
    }
    sim_track("nccl communicators", 1);
    *out = comm;
    return ncclSuccess;
}

/* It goes, and the others are told. */
static void close_communicator(struct ncclComm *comm)
{
    for (int i = 0; i < comm->n_deferred; i++)
        ncclsim_operation_drop(comm->deferred[i]);
    comm->n_deferred = 0;
    if (comm->stage == STAGE_JOINING) {
        atomic_store(&comm->region->failed, 1);
        ncclsim_region_unlink(comm->name);
    }
    atomic_store(&comm->region->ranks[comm->rank].left, 1);
    sim_track("nccl communicators", -1);
    ncclsim_communicator_drop(comm);
}

static ncclResult_t init(ncclComm_t *out, int n_ranks, const ncclUniqueId *id, int rank,
                         const ncclConfig_t *config)
{
    ncclResult_t result = check_init(out, n_ranks, id, rank, config);

    if (result != ncclSuccess)
        return result;
    *out = NULL;
    result = make(out, n_ranks, id, rank, config);
    if (result != ncclSuccess)
        return result;
    if (ncclsim_group_is_open())
        result = ncclsim_group_add_communicator(*out);
    else
        result = ncclsim_communicators_wait(out, 1);
    if (result != ncclSuccess && result != ncclInProgress) {
        close_communicator(*out);
        *out = NULL;
    }
    return result;
}

ncclResult_t ncclCommInitRank(ncclComm_t *comm, int n_ranks, ncclUniqueId id, int rank)
{
    int error;

    if (sim_call("ncclCommInitRank", &error))
        return ncclsim_fail((ncclResult_t)error, "injected");
    return init(comm, n_ranks, &id, rank, NULL);
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t *comm, int n_ranks, ncclUniqueId id, int rank,
                                    ncclConfig_t *config)
{
    int error;

    if (sim_call("ncclCommInitRankConfig", &error))
        return ncclsim_fail((ncclResult_t)error, "injected");
    return init(comm, n_ranks, &id, rank, config);
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *result)
{
    int error;

    if (sim_call("ncclCommGetAsyncError", &error))
        return ncclsim_fail((ncclResult_t)error, "injected");
    if (comm == NULL || result == NULL)
        return ncclsim_fail(ncclInvalidArgument, "an argument is NULL");
    *result = ncclsim_communicator_advance(comm);
    if (*result != ncclSuccess && *result != ncclInProgress)
        ncclsim_fail(*result, "%s", comm->message); /* for who asks without the communicator, too */
    return ncclSuccess;
}

/* Waits for what was queued; not longer than that waits itself. */
static void drain(struct ncclComm *comm)
{
    queue_deferred(comm);
    if (!is_idle(comm) && cudaStreamSynchronize(comm->last_stream) != cudaSuccess && !is_idle(comm))
        cudaDeviceSynchronize(); /* the stream was destroyed, with work in it */
}

ncclResult_t ncclCommFinalize(ncclComm_t comm)
{
    int error;

    if (sim_call("ncclCommFinalize", &error))
        return ncclsim_fail((ncclResult_t)error, "injected");
    ncclResult_t result = ncclsim_communicator_check(comm);
    if (result != ncclSuccess)
        return result;
    comm->stage = STAGE_FINALIZING;
    if (!comm->blocking)
        return ncclInProgress;
    drain(comm);
    comm->stage = STAGE_FINALIZED;
    return (ncclResult_t)atomic_load(&comm->error);
}

/* An injected fault is reported, but the communicator goes all the same: nobody could destroy it again. */
ncclResult_t ncclCommDestroy(ncclComm_t comm)
{
    int error;
    bool fault = sim_call("ncclCommDestroy", &error);

    if (comm == NULL)
        return fault ? ncclsim_fail((ncclResult_t)error, "injected") : ncclSuccess;
    if (comm->stage != STAGE_JOINING)
        drain(comm);
    close_communicator(comm);
    return fault ? ncclsim_fail((ncclResult_t)error, "injected") : ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm)
{
    int error;
    bool fault = sim_call("ncclCommAbort", &error);

    if (comm != NULL) {
        atomic_store(&comm->aborted, true);
        atomic_store(&comm->region->failed, 1);
        close_communicator(comm);
    }
    return fault ? ncclsim_fail((ncclResult_t)error, "injected") : ncclSuccess;
}

ncclResult_t ncclCommCount(const ncclComm_t comm, int *count)
{
    int error;

    if (sim_call("ncclCommCount", &error))
        return ncclsim_fail((ncclResult_t)error, "injected");
    if (comm == NULL || count == NULL)
        return ncclsim_fail(ncclInvalidArgument, "an argument is NULL");
    *count = comm->n_ranks;
    return ncclSuccess;
}

ncclResult_t ncclCommUserRank(const ncclComm_t comm, int *rank)
{
    int error;

    if (sim_call("ncclCommUserRank", &error))
        return ncclsim_fail((ncclResult_t)error, "injected");
    if (comm == NULL || rank == NULL)
        return ncclsim_fail(ncclInvalidArgument, "an argument is NULL");
    *rank = comm->rank;
    return ncclSuccess;
}
