/*
 * What the attempts tell of hosts, and the rule by which one is left out.
 */
#ifndef EYESORE_JOB_STATUS_HOSTS_H
#define EYESORE_JOB_STATUS_HOSTS_H

#include "job/status_names.h"

#define HOST_FAULT_LIST(X)                                                                                   \
    X(NODE_FAILED, "node_failed")     /* the batch script found the node down, or started again */           \
    X(DEVICE_FAILED, "device_failed") /* its GPU reported a fault */                                         \
    X(STALLED, "stalled")             /* a rank on it made no progress for --stall-timeout */                \
    X(SHARD_FAILED, "shard_failed")   /* a fault that names a shard happened on it */                        \
    X(PLACE, "place")                 /* a rank on it ended with a fault of the place */                     \
    X(SILENT, "silent")               /* a rank on it began and never ended */

enum host_fault {
#define X(upper, name) HOST_##upper,
    HOST_FAULT_LIST(X)
#undef X
        HOST_FAULT_COUNT
};

/* "node_failed", ... */
const char *host_fault_name(enum host_fault fault);

struct host_record {
    const char *name; /* borrowed from the table */
    uint64_t n_faults[HOST_FAULT_COUNT];
    uint64_t n_attempts_failed; /* that speak against it, see host_is_left_out */
    bool left_out;              /* host_is_left_out */
    bool left_out_now;          /* the batch script noted so for the attempt that runs */
};

/* Host `host` in attempt `attempt`. */
struct host_mark {
    uint32_t attempt, host;
    enum host_part { HOST_BEGAN, HOST_WAS_SILENT, HOST_FAILED } part;
};

/* Zero-initialised: none. */
struct host_table {
    struct names names, attempts; /* attempts: "JOB/RESTART", or an attempt's name outside Slurm */
    struct host_record *records;  /* [names.n] */
    size_t room;
    struct host_mark *marks; /* [n_marks] */
    size_t n_marks, mark_room;
    struct host_mark *left_out; /* [n_left_out] by the batch scripts' notes */
    size_t n_left_out, left_out_room;
};

/*
 * Will the next attempt do without this host? Yes where its GPU once reported a fault, or where at least two
 * attempts failed on it. The batch scripts decide by the same rule (slurm/avoid.sh), unless fewer than half
 * of the allocation would remain.
 *
 * An attempt failed on a host by any of host_fault, once however often; by silence alone only where nobody
 * said what ended the attempt, since one rank's fault ends the others without a word. It says nothing of its
 * hosts, and does not count, where it failed on more than half of them (the storage, say, or the whole job
 * was killed), or is the one that runs now.
 */
bool host_is_left_out(const struct host_record *host);

/* The host took part in the attempt. STATUS_MEMORY, as all below. */
enum status host_table_begin(struct host_table *table, const char *attempt, const char *host);

enum status host_table_fault(struct host_table *table, const char *attempt, const char *host,
                             enum host_fault fault);

/* The attempt does without this host. */
enum status host_table_leave_out(struct host_table *table, const char *attempt, const char *host);

/* After all: set n_attempts_failed, left_out and left_out_now. IN running: the attempt that runs; NULL: none.
 */
enum status host_table_judge(struct host_table *table, const char *running);

void host_table_free(struct host_table *table);

#endif
