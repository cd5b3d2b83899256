/*
 * Simulated NCCL (a test instrument): collectives. Each is work on a stream, in steps, which moves on in
 * rounds of a chunk: post the wish and the own chunk; once all have posted, take theirs. Where it must wait
 * for another rank the step ends, and other work and other host threads go on.
 */
#include "tests/cuda/sim/nccl/parts.h"
#include "tests/cuda/sim/sim.h"

#include <stdlib.h>
#include <string.h>

enum kind { KIND_BROADCAST = 1, KIND_REDUCE, KIND_ALL_REDUCE };

enum progress { NOT_BEGUN, TO_POST, TO_TAKE, FINISHED };

struct operation {
    struct ncclComm *comm; /* a reference */
    struct wish wish;
    const unsigned char *send;
    unsigned char *receive;
    cudaStream_t stream;
    bool has_ticket; /* none where it was captured: it may run any number of times */
    uint64_t ticket;

    /* Device work's. */
    enum progress progress;
    size_t done_bytes;
    struct patience patience;
};

static size_t total_bytes(const struct operation *operation)
{
    return operation->wish.count * ncclsim_type_bytes((ncclDataType_t)operation->wish.type);
}

static size_t chunk_bytes(const struct operation *operation)
{
    size_t left = total_bytes(operation) - operation->done_bytes;

    return left < NCCL_CHUNK ? left : NCCL_CHUNK;
}

static bool same_wish(const struct wish *a, const struct wish *b)
{
    return a->kind == b->kind && a->type == b->type && a->reduction == b->reduction && a->root == b->root &&
           a->count == b->count;
}

static const char *kind_name(int kind)
{
    return kind == KIND_BROADCAST ? "broadcast" : kind == KIND_REDUCE ? "reduce" : "all-reduce";
}

static void post(struct operation *operation)
{
    struct ncclComm *comm = operation->comm;
    struct region_rank *mine = &comm->region->ranks[comm->rank];

    mine->wish = operation->wish;
    if (operation->wish.kind != KIND_BROADCAST || operation->wish.root == comm->rank)
        memcpy(comm->region->data[comm->rank], operation->send + operation->done_bytes,
               chunk_bytes(operation));
    atomic_store(&mine->posted, comm->round + 1);
    operation->progress = TO_TAKE;
}

/* Everybody has posted: false where they want different things. */
static bool agree(const struct operation *operation)
{
    const struct ncclComm *comm = operation->comm;

    for (int rank = 0; rank < comm->n_ranks; rank++) {
        const struct wish *theirs = &comm->region->ranks[rank].wish, *mine = &operation->wish;
        if (same_wish(theirs, mine))
            continue;
        ncclsim_communicator_break(
            operation->comm, ncclInvalidUsage,
            "rank %d wants a %s of %llu values of type %d, rank %d a %s of %llu of type %d", comm->rank,
            kind_name(mine->kind), (unsigned long long)mine->count, mine->type, rank, kind_name(theirs->kind),
            (unsigned long long)theirs->count, theirs->type);
        return false;
    }
    return true;
}

/* The next in line may start. */
static void complete(struct operation *operation)
{
    struct ncclComm *comm = operation->comm;

    operation->progress = FINISHED;
    if (comm->current == operation)
        comm->current = NULL;
    if (operation->has_ticket)
        atomic_store(&comm->n_done, operation->ticket + 1);
}

static void take(struct operation *operation)
{
    struct ncclComm *comm = operation->comm;
    const struct wish *wish = &operation->wish;
    ncclDataType_t type = (ncclDataType_t)wish->type;
    size_t bytes = chunk_bytes(operation);

    if (wish->kind == KIND_BROADCAST) {
        memcpy(operation->receive + operation->done_bytes, comm->region->data[wish->root], bytes);
    } else if (wish->kind == KIND_ALL_REDUCE || wish->root == comm->rank) {
        unsigned char *to = operation->receive + operation->done_bytes;
        memcpy(to, comm->region->data[0], bytes);
        for (int rank = 1; rank < comm->n_ranks; rank++)
            ncclsim_reduce(to, comm->region->data[rank], bytes / ncclsim_type_bytes(type), type,
                           (ncclRedOp_t)wish->reduction);
    }
    operation->done_bytes += bytes;
    comm->round++;
    atomic_store(&comm->region->ranks[comm->rank].taken, comm->round);
    operation->progress = TO_POST;
    if (operation->done_bytes == total_bytes(operation))
        complete(operation);
}

/* Has every rank come as far as this operation needs? */
static bool all_there(const struct operation *operation)
{
    const struct ncclComm *comm = operation->comm;

    for (int rank = 0; rank < comm->n_ranks; rank++) {
        struct region_rank *theirs = &comm->region->ranks[rank];
        if (operation->progress == TO_POST ? atomic_load(&theirs->taken) < comm->round
                                           : atomic_load(&theirs->posted) < comm->round + 1)
            return false;
    }
    return true;
}

/* A rank that left has posted its last before that. */
static int rank_gone(const struct ncclComm *comm)
{
    for (int rank = 0; rank < comm->n_ranks; rank++) {
        struct region_rank *theirs = &comm->region->ranks[rank];
        if (atomic_load(&theirs->left) != 0 && atomic_load(&theirs->posted) < comm->round + 1)
            return rank;
    }
    return -1;
}

static void look_for_trouble(struct operation *operation)
{
    struct ncclComm *comm = operation->comm;
    int gone = rank_gone(comm);

    if (atomic_load(&comm->region->failed) != 0)
        ncclsim_communicator_break(comm, ncclRemoteError, "another rank has failed or given up");
    else if (gone >= 0)
        ncclsim_communicator_break(comm, ncclRemoteError, "rank %d has left", gone);
    else if (ncclsim_patience_over(&operation->patience))
        ncclsim_communicator_break(comm, ncclRemoteError, "a rank did not come to a %s",
                                   kind_name(operation->wish.kind));
}

/* Is it this operation's turn on its communicator? In the order of the calls, like the real one. */
static bool has_turn(struct operation *operation)
{
    struct ncclComm *comm = operation->comm;

    if (comm->current == NULL && (!operation->has_ticket || atomic_load(&comm->n_done) == operation->ticket))
        comm->current = operation;
    return comm->current == operation;
}

/* Moves it on as far as it goes without waiting. */
static void advance(struct operation *operation)
{
    struct ncclComm *comm = operation->comm;

    while (operation->progress != FINISHED) {
        if (atomic_load(&comm->error) != ncclSuccess || atomic_load(&comm->aborted)) {
            complete(operation); /* the stream goes on, without the data */
        } else if (has_turn(operation) && all_there(operation)) {
            ncclsim_patience_begin(&operation->patience);
            if (operation->progress == TO_POST)
                post(operation);
            else if (agree(operation))
                take(operation);
        } else {
            look_for_trouble(operation);
            if (atomic_load(&comm->error) == ncclSuccess)
                return;
        }
    }
}

static bool operation_step(void *argument)
{
    struct operation *operation = argument;

    if (operation->progress == NOT_BEGUN || operation->progress == FINISHED) {
        operation->progress = TO_POST;
        operation->done_bytes = 0;
        ncclsim_patience_begin(&operation->patience);
    }
    advance(operation);
    return operation->progress == FINISHED;
}

struct ncclComm *ncclsim_operation_comm(struct operation *operation)
{
    return operation->comm;
}

void ncclsim_operation_drop(struct operation *operation)
{
    ncclsim_communicator_drop(operation->comm);
    free(operation);
}

/* Nobody can run it any more. Where it was queued and not finished its device is broken, and the peers would
 * wait.
 */
static void operation_release(void *argument)
{
    struct operation *operation = argument;

    if (operation->has_ticket && operation->progress != FINISHED)
        ncclsim_communicator_break(operation->comm, ncclUnhandledCudaError,
                                   "the device dropped a collective");
    ncclsim_operation_drop(operation);
}

/* On its stream; gives it a ticket unless the stream captures. Consumes it, also on failure. */
static cudaError_t enqueue(struct operation *operation)
{
    struct ncclComm *comm = operation->comm;
    enum cudaStreamCaptureStatus capture;
    cudaError_t error = cudaStreamIsCapturing(operation->stream, &capture);

    if (error != cudaSuccess) {
        ncclsim_operation_drop(operation);
        return error;
    }
    if (capture == cudaStreamCaptureStatusNone) {
        operation->has_ticket = true;
        operation->ticket = comm->n_queued++;
        comm->last_stream = operation->stream;
    }
    return sim_enqueue_steps(operation->stream, operation_step, operation, operation_release);
}

/* Stream 0 is the one of the communicator's device, which at the end of a group need not be the current one.
 */
ncclResult_t ncclsim_operation_queue(struct operation *operation)
{
    int device, wanted = operation->comm->device;
    cudaError_t error = cudaGetDevice(&device);

    if (error == cudaSuccess && device != wanted)
        error = cudaSetDevice(wanted);
    if (error == cudaSuccess)
        error = enqueue(operation);
    else
        ncclsim_operation_drop(operation);
    if (error == cudaSuccess && device != wanted)
        error = cudaSetDevice(device);
    return error == cudaSuccess ? ncclSuccess
                                : ncclsim_fail(ncclUnhandledCudaError, "%s", cudaGetErrorString(error));
}

/* Now, at the end of the group, or when the caller asks how a communicator that does not block is doing. */
static ncclResult_t submit(struct operation *operation)
{
    struct ncclComm *comm = operation->comm;

    if (ncclsim_group_is_open())
        return ncclsim_group_add_operation(operation);
    if (comm->blocking)
        return ncclsim_operation_queue(operation);
    comm->deferred[comm->n_deferred++] = operation; /* the first: communicator_check saw none */
    return ncclInProgress;
}

static ncclResult_t start(struct ncclComm *comm, struct wish wish, const void *send, void *receive,
                          cudaStream_t stream)
{
    ncclResult_t result = ncclsim_communicator_check(comm);
    bool sends = wish.kind != KIND_BROADCAST || wish.root == (comm == NULL ? -1 : comm->rank),
         receives = wish.kind != KIND_REDUCE || wish.root == (comm == NULL ? -1 : comm->rank);

    if (result != ncclSuccess)
        return result;
    if (wish.root < 0 || wish.root >= comm->n_ranks)
        return ncclsim_fail(ncclInvalidArgument, "there is no rank %d", wish.root);
    if (wish.kind == KIND_BROADCAST
            ? ncclsim_type_bytes((ncclDataType_t)wish.type) == 0
            : !ncclsim_can_reduce((ncclDataType_t)wish.type, (ncclRedOp_t)wish.reduction))
        return ncclsim_fail(ncclInvalidArgument, "type %d, reduction %d: not simulated", wish.type,
                            wish.reduction);
    if (wish.count == 0)
        return ncclSuccess;
    if ((sends && send == NULL) || (receives && receive == NULL))
        return ncclsim_fail(ncclInvalidArgument, "a %s from or to NULL", kind_name(wish.kind));
    struct operation *operation = calloc(1, sizeof(*operation));
    if (operation == NULL)
        return ncclsim_fail(ncclSystemError, "out of memory");
    atomic_fetch_add(&comm->references, 1);
    operation->comm = comm;
    operation->wish = wish;
    operation->send = send;
    operation->receive = receive;
    operation->stream = stream;
    return submit(operation);
}

ncclResult_t ncclBroadcast(const void *send, void *receive, size_t count, ncclDataType_t type, int root,
                           ncclComm_t comm, cudaStream_t stream)
{
    int error;

    if (sim_call("ncclBroadcast", &error))
        return ncclsim_fail((ncclResult_t)error, "injected");
    struct wish wish = {.kind = KIND_BROADCAST, .type = type, .root = root, .count = count};
    return start(comm, wish, send, receive, stream);
}

ncclResult_t ncclBcast(void *buffer, size_t count, ncclDataType_t type, int root, ncclComm_t comm,
                       cudaStream_t stream)
{
    int error;

    if (sim_call("ncclBcast", &error))
        return ncclsim_fail((ncclResult_t)error, "injected");
    struct wish wish = {.kind = KIND_BROADCAST, .type = type, .root = root, .count = count};
    return start(comm, wish, buffer, buffer, stream);
}

ncclResult_t ncclReduce(const void *send, void *receive, size_t count, ncclDataType_t type,
                        ncclRedOp_t reduction, int root, ncclComm_t comm, cudaStream_t stream)
{
    int error;

    if (sim_call("ncclReduce", &error))
        return ncclsim_fail((ncclResult_t)error, "injected");
    struct wish wish = {
        .kind = KIND_REDUCE, .type = type, .reduction = reduction, .root = root, .count = count};
    return start(comm, wish, send, receive, stream);
}

ncclResult_t ncclAllReduce(const void *send, void *receive, size_t count, ncclDataType_t type,
                           ncclRedOp_t reduction, ncclComm_t comm, cudaStream_t stream)
{
    int error;

    if (sim_call("ncclAllReduce", &error))
        return ncclsim_fail((ncclResult_t)error, "injected");
    struct wish wish = {.kind = KIND_ALL_REDUCE, .type = type, .reduction = reduction, .count = count};
    return start(comm, wish, send, receive, stream);
}
