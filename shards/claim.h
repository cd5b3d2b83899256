/*
 * Who takes which shard. Rank 0 keeps a counter over the missing shards; a thread of it answers the other
 * ranks' messages; its own workers take shards through the same lock, without messages. (One-sided MPI
 * counters fail across hosts on stock Debian Open MPI.) Everyone who waits polls with a sleep of 1 ms: a
 * blocking MPI_Recv would burn a core that could be scoring.
 *
 * Every request carries the claimant's totals so far, so rank 0 knows the job's, for progress and for
 * stopping: when too many rows failed, or when any rank was asked to stop by a signal.
 *
 * A rank with nothing left to take waits until everything is committed: it may have to redo what another
 * gives back, loses, or is too slow for.
 *
 *     claim_open(comm, options, &claimant)                  collective
 *     while (claim_next(claimant, &report, &answer) == STATUS_OK && answer.kind == CLAIM_SHARD)
 *         ... claim_done(claimant, &report, answer.shard)
 *     claim_leave(claimant, &report)                        this rank's last words; others may go on
 *     claim_close(claimant)                                 collective; returns when all have left
 *
 * All but claim_open and claim_close may be called by any thread of a rank at any time between the two.
 */
#ifndef EYESORE_SHARDS_CLAIM_H
#define EYESORE_SHARDS_CLAIM_H

#include "base/item.h"
#include "base/status.h"

#include <mpi.h>
#include <stdint.h>

struct claimant;

/* A claimant's totals since its start; never falling. */
struct claim_report {
    uint64_t rows_by_status[ITEM_STATUS_COUNT]; /* rows finished, whether or not their shard is committed */
    uint64_t n_flagged;
    uint64_t n_shards; /* committed */
    bool stop_asked;   /* this rank caught a signal: stop the whole job */
};

enum claim_kind {
    CLAIM_SHARD,
    CLAIM_SET_ASIDE, /* a shard that failed on too many hosts: commit it with all of its rows given up */
    CLAIM_WAIT,      /* nothing now, but others are still at work: ask again in a moment */
    CLAIM_NONE,      /* everything is committed */
    CLAIM_STOP
};

enum claim_stop { CLAIM_GO_ON, CLAIM_STOP_SIGNAL, CLAIM_STOP_FAILED };

struct claim_answer {
    enum claim_kind kind;
    uint64_t shard;       /* where CLAIM_SHARD or CLAIM_SET_ASIDE */
    enum claim_stop stop; /* where CLAIM_STOP: why */
    bool has_drop;        /* another rank has committed `drop`: work on it no more */
    uint64_t drop;
};

/* The job, as rank 0 knows it. */
struct claim_totals {
    struct claim_report sum; /* over the ranks, and what was done before */
    uint64_t n_unclaimed;    /* shards nobody has */
    int n_ranks, n_left;     /* ranks, and those that have left */
    int silent_rank;         /* of those that have not left, the one not heard of for the longest */
    double silent_s;
    enum claim_stop stop;
};

/* A shard failed on a host, in an earlier attempt. */
struct claim_failure {
    uint64_t shard, host; /* claim_host_id */
};

/* How hosts are told apart. IN name: as gethostname gives it. */
uint64_t claim_host_id(const char *name);

#define CLAIM_REISSUE_AFTER_S 10.0

/* Read on rank 0 alone. */
struct claim_options {
    const uint64_t
        *missing; /* [n_missing] shards to hand out, ascending (the small ones are the last); copied */
    uint64_t n_missing;
    double max_failed;                    /* stop above this fraction of failed rows ... */
    uint64_t failed_from_row;             /* ... once so many are finished: 1000 */
    struct claim_report already;          /* of earlier attempts; 0 where that is not to count */
    const struct claim_failure *failures; /* [n_failures] of earlier attempts */
    size_t n_failures;
    uint64_t set_aside_after; /* hosts that a shard fails on until it is given up; at least 1 */
    double reissue_after_s;   /* a shard held for less is never given to a second rank */
};

/* Did a row with this status fail (was it not scored)? */
bool claim_status_failed(enum item_status status);

/*
 * Collective over comm. MPI must have been started with MPI_THREAD_MULTIPLE (unless comm has one rank).
 * IN options: NULL but on rank 0. OUT out: claim_close. All ranks get the same status.
 */
enum status claim_open(MPI_Comm comm, const struct claim_options *options, struct claimant **out);

/* Tell the totals and take a shard. Once the answer was CLAIM_NONE or CLAIM_STOP, it stays so. */
enum status claim_next(struct claimant *claimant, const struct claim_report *report,
                       struct claim_answer *answer);

/* Tell the totals in the middle of a shard. OUT news: stop (CLAIM_GO_ON: do not) and drop alone. */
enum status claim_tell(struct claimant *claimant, const struct claim_report *report,
                       struct claim_answer *news);

/* The shard's part is in place, by this rank or, unnoticed so far, by another. */
enum status claim_done(struct claimant *claimant, const struct claim_report *report, uint64_t shard);

/* Give a claimed shard back, undone, since this rank stops: another rank may take it. */
enum status claim_hand_back(struct claimant *claimant, const struct claim_report *report, uint64_t shard);

/* The same, since the shard failed here: it is tried on other hosts, and in the end given up. */
enum status claim_failed(struct claimant *claimant, const struct claim_report *report, uint64_t shard);

/* This rank will ask for nothing more; what it still holds is free for others. A second call does nothing. */
enum status claim_leave(struct claimant *claimant, const struct claim_report *report);

/* Rank 0 only (STATUS_INTERNAL elsewhere): the job's totals now. */
enum status claim_totals(struct claimant *claimant, struct claim_totals *totals);

/*
 * Collective: leave, where claim_leave was not called; wait, polling, until all ranks are here; free. NULL is
 * not allowed: it is a collective call.
 */
enum status claim_close(struct claimant *claimant);

#endif
