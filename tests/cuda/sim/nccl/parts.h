/*
 * The simulated NCCL: ranks are threads of one process or processes of one machine, and meet in a POSIX
 * shared memory object that the unique id names. A test instrument: one node, no speed, and nothing that can
 * hang: whoever waits for a rank gives up after SIM_NCCL_TIMEOUT_MS (30,000).
 *
 *   region.c        the shared memory: joining, failing, leaving
 *   communicator.c  communicators and their errors
 *   collective.c    collectives: checked, queued, and moved on round by round
 *   reduce.c        the arithmetic
 *   group.c         ncclGroupStart, ncclGroupEnd
 */
#ifndef EYESORE_SIM_NCCL_PARTS_H
#define EYESORE_SIM_NCCL_PARTS_H

#include <nccl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    NCCL_MAX_RANKS = 32,
    NCCL_CHUNK = 1 << 20, /* bytes of a rank that move in a round */
    NCCL_NAME_SIZE = 96,
    NCCL_MESSAGE_SIZE = 200,
    NCCL_MAX_DEFERRED = 64,
};

/* ---- region.c: all zero is a region that nobody has joined. */

/* What a rank wants done: all ranks must want the same. */
struct wish {
    int kind, type, reduction, root;
    uint64_t count;
};

struct region_rank {
    _Atomic uint32_t joined, left;
    _Atomic int device;
    /* Rounds are numbered from 1 over all collectives of the communicator. */
    _Atomic uint64_t posted; /* the round whose wish and data lie here */
    _Atomic uint64_t taken;  /* the round that this rank has read of everybody */
    struct wish wish;
};

struct region {
    _Atomic int n_ranks, n_joined;
    _Atomic int failed; /* the communicator is of no use any more */
    struct region_rank ranks[NCCL_MAX_RANKS];
    _Alignas(64) unsigned char data[NCCL_MAX_RANKS][NCCL_CHUNK];
};

/* Opens or makes it and joins. Errors: InvalidArgument, InvalidUsage, SystemError; with a message. */
ncclResult_t ncclsim_region_join(const char *name, int n_ranks, int rank, int device, struct region **region);
void ncclsim_region_close(struct region *region);
void ncclsim_region_unlink(const char *name);

/* A wait with a limit. Time in which this thread did not run, for device work of others, hardly counts. */
struct patience {
    int64_t looked_ns, waited_ns;
};
void ncclsim_patience_begin(struct patience *patience);
bool ncclsim_patience_over(struct patience *patience);

/* ---- communicator.c */

enum stage { STAGE_JOINING, STAGE_READY, STAGE_FINALIZING, STAGE_FINALIZED, STAGE_FAILED };

struct operation;

/* Fields without _Atomic belong to the user's thread, or to device work, as said. */
struct ncclComm {
    _Atomic int references; /* the user's, and one of each operation */
    _Atomic int error;      /* asynchronous; ncclSuccess until something fails */
    _Atomic bool aborted;
    int rank, n_ranks, device;
    bool blocking, is_closed;
    enum stage stage;
    struct patience patience; /* of the wait for the others to join */
    char name[NCCL_NAME_SIZE];
    struct region *region;

    cudaStream_t last_stream;
    struct operation *deferred[NCCL_MAX_DEFERRED]; /* of a communicator that does not block */
    int n_deferred;
    uint64_t n_queued; /* tickets given */

    /* Device work's. */
    struct operation *current;
    _Atomic uint64_t n_done; /* tickets done, in their order */
    uint64_t round;
    char message[NCCL_MESSAGE_SIZE];
};

/* Keeps a message for ncclGetLastError of this thread; returns result. */
ncclResult_t ncclsim_fail(ncclResult_t result, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Device work: the communicator has failed, for this rank and for all. The first failure counts. */
void ncclsim_communicator_break(struct ncclComm *comm, ncclResult_t error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void ncclsim_communicator_drop(struct ncclComm *comm);
/* Looks whether the others have come: InProgress, Success or what went wrong. */
ncclResult_t ncclsim_communicator_advance(struct ncclComm *comm);
/* Blocks until all are there; those that failed keep their error. */
ncclResult_t ncclsim_communicators_wait(struct ncclComm **comms, int n);
/* May it be used now? */
ncclResult_t ncclsim_communicator_check(const struct ncclComm *comm);

/* ---- collective.c */

/* Queues it on its stream; consumes it, also on failure. */
ncclResult_t ncclsim_operation_queue(struct operation *operation);
void ncclsim_operation_drop(struct operation *operation);
struct ncclComm *ncclsim_operation_comm(struct operation *operation);

/* ---- reduce.c */

size_t ncclsim_type_bytes(ncclDataType_t type); /* 0: not simulated */
bool ncclsim_can_reduce(ncclDataType_t type, ncclRedOp_t reduction);
/* to[i] = to[i] (reduction) from[i]. */
void ncclsim_reduce(void *to, const void *from, size_t n, ncclDataType_t type, ncclRedOp_t reduction);

/* ---- group.c */

bool ncclsim_group_is_open(void);
ncclResult_t ncclsim_group_add_communicator(struct ncclComm *comm);
ncclResult_t ncclsim_group_add_operation(struct operation *operation);

#endif
