/*
 * What eyesore status tells of a sweep, from the files of its folder alone: the plan, the parts, the
 * attempts' notes and the lock. status_print.h writes it down.
 */
#ifndef EYESORE_JOB_STATUS_COLLECT_H
#define EYESORE_JOB_STATUS_COLLECT_H

#include "base/item.h"
#include "job/status_history.h"
#include "job/status_lock.h"
#include "results/schema.h"

#define SWEEP_STATUS_READ_MOST 2000 /* parts opened for the counts; of more, as many are taken evenly */
#define SWEEP_STATUS_SLOWEST 5      /* ranks, at most */
#define SWEEP_STATUS_SLOW 0.8       /* of the median: below, a rank is slow */
#define SWEEP_STATUS_RATED_S 10     /* a rate of less time says little: the notes are to the second */

#define SWEEP_STATE_LIST(X)                                                                                  \
    X(PLANNED, "planned")       /* no shard is done, nobody works on it */                                   \
    X(RUNNING, "running")       /* a job holds it */                                                         \
    X(GATHERING, "gathering")   /* a job holds it, all shards are done */                                    \
    X(STOPPED, "stopped")       /* shards are missing, nobody works on it */                                 \
    X(UNGATHERED, "ungathered") /* all shards are done, there is no sweep.h5, nobody works on it */          \
    X(FINISHED, "finished")     /* sweep.h5 is there */

enum sweep_state {
#define X(upper, name) SWEEP_##upper,
    SWEEP_STATE_LIST(X)
#undef X
        SWEEP_STATE_COUNT
};

/* "planned", ... */
const char *sweep_state_name(enum sweep_state state);

struct slow_rank {
    const struct rank_history *rank; /* borrowed from the history */
    double of_median;                /* its rate's share of the median */
};

struct waiting_shard {
    uint64_t shard;
    const struct rank_history *rank; /* in whose hands; borrowed from the history */
    double age_s;
};

/* A shard that failed. */
struct shard_trouble {
    uint64_t shard;
    size_t first, n; /* its failures in the history: by host */
    uint64_t n_hosts;
    bool done;
};

struct sweep_status {
    enum sweep_state state;
    uint64_t n_shards, n_shards_done;
    uint64_t n_rows, n_rows_done;
    uint64_t n_unplanned; /* parts of shards that the plan does not have, or a shard twice: of another run */
    bool gathered;        /* OUT/sweep.h5 is there */
    int64_t time_s;       /* when this was looked at: seconds since 1970 */

    double per_s_now; /* rows a second of the ranks at work; of parts in the recent window without notes */
    double per_s_overall;    /* while an attempt ran, where the attempts tell; else since the plan was made */
    double per_s_since_plan; /* pauses included */
    bool overall_by_attempts;  /* per_s_overall is without pauses */
    double active_s, paused_s; /* of the time since the plan; negative: the attempts do not tell */
    double last_part_s;        /* how long ago the last part was finished; negative: none was */
    double work_left_s;        /* at the overall rate; negative: not known */
    double eta_s;              /* negative: not known, as when nobody works */
    bool eta_by_overall;       /* no rate now, yet */
    int64_t until_s;           /* the time limit of the job that runs; 0: none, or not known */
    double spare_s;            /* from the ETA to it; negative: it comes too early. Both must be known */
    uint64_t n_requeues;       /* of jobs as long as this one, to finish; 0: none, or not known */

    struct sweep_holder holder;
    struct sweep_history history;
    bool attempt_runs;      /* the history's last attempt is the holder's */
    uint64_t n_ranks_rated; /* what the median is of */
    double median_per_s;
    struct slow_rank slow[SWEEP_STATUS_SLOWEST]; /* [n_slow] slowest first */
    size_t n_slow, n_slow_all;
    struct waiting_shard *in_flight; /* [n_in_flight] in hands now, longest first */
    size_t n_in_flight;
    double long_s; /* a shard is long in hands from this age on */
    size_t n_long;
    struct shard_trouble *troubles; /* [n_troubles] not done ones first, then by hosts */
    size_t n_troubles, n_troubles_open;
    uint64_t n_files_set_aside; /* in OUT/set-aside */

    uint64_t n_parts_read;   /* what the counts below come from */
    uint64_t n_parts_broken; /* of them, could not be read */
    uint64_t n_rows_read;
    uint64_t by_status[ITEM_STATUS_COUNT];
    uint64_t by_verdict[SWEEP_VERDICT_COUNT];
};

/*
 * Look at OUT. IN now_s: seconds since 1970. OUT status: sweep_status_free in any case. STATUS_INPUT where
 * there is no plan: the folder is no sweep's, or its manifest is still being checked.
 */
enum status sweep_status_collect(const char *out_folder, int64_t now_s, struct sweep_status *status);
void sweep_status_free(struct sweep_status *status);

/* For sweep_status_collect, when rates and history are known: fill slow, in_flight and troubles. IN done:
 * [n_shards]. STATUS_MEMORY. */
enum status sweep_status_find_trouble(struct sweep_status *status, const bool *done);

#endif
