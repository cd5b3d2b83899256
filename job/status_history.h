/*
 * What OUT/attempts tells of a sweep: its attempts and their ends, how fast the ranks of the last one are,
 * which shards are in their hands, which failed and where. In one pass over the files; memory grows with
 * attempts, ranks and failures, not with parts.
 */
#ifndef EYESORE_JOB_STATUS_HISTORY_H
#define EYESORE_JOB_STATUS_HISTORY_H

#include "job/attempts_read.h"
#include "job/status_hosts.h"

#define HISTORY_RECENT_S 300 /* what "now" means for a rate */
#define RANK_SECONDS_KEPT 64 /* of a rank's seconds in which it finished parts, the last so many are kept */

struct sweep_attempt {
    char name[32]; /* "20261125T071342Z" */
    char job[64];  /* Slurm's; "-": none, "": not known */
    char key[96];  /* "JOB/RESTART", or the name outside Slurm: what the batch scripts know it by */
    uint64_t restart, n_ranks; /* as its ranks said at their begin; 0: not known */
    uint64_t n_begun, n_ended; /* ranks */
    int64_t begun_s;           /* its first event */
    int64_t last_begun_s;      /* its last rank's begin; 0: none said so */
    int64_t last_s;            /* its last event */
    int64_t until_s;           /* the time limit; 0: none */
    uint64_t n_parts, n_rows;
    double part_s; /* sum of what its parts took */
    uint64_t n_stalled, n_crashed;
    char outcome[32]; /* the worst of the ranks' that ended; "": none did */
};

/* Parts that a rank finished in one second of the clock, which is what the files' times resolve. */
struct rank_second {
    int64_t time_s;
    uint64_t n_rows;
    double part_s; /* what the longest of them took */
};

struct rank_claim {
    uint64_t shard;
    int64_t since_s;
};

/* A rank of the last attempt. */
struct rank_history {
    int rank;
    char host[256];
    bool begun, ended;
    uint64_t n_parts;
    struct rank_second seconds[RANK_SECONDS_KEPT]; /* a ring: second i is at i % RANK_SECONDS_KEPT */
    uint64_t n_seconds;                            /* ever */
    struct rank_claim *claims;                     /* [n_claims] in its hands, oldest first; owned */
    size_t n_claims, claim_room;
    double per_s, rated_s; /* history_rate_ranks: negative: not known; the time it is of */
};

/* A shard failed once, on a host. */
struct shard_failure {
    uint64_t shard;
    uint32_t host; /* number in hosts */
    char cause[16];
};

struct sweep_history {
    struct sweep_attempt *attempts; /* [n_attempts] oldest first */
    size_t n_attempts, attempt_room;
    struct rank_history *ranks; /* [n_ranks] */
    size_t n_ranks, rank_room;
    struct shard_failure *failures; /* [n_failures] by shard, then host */
    size_t n_failures, failure_room;
    struct host_table hosts;
    uint64_t n_stalled;
    char last_stall[1024]; /* "n1: stage=fetch shard=12 ..."; "": none */
    int64_t last_stall_s;
    uint64_t n_unreadable; /* files */
};

/* OUT history: history_free in any case. STATUS_PLACE, STATUS_MEMORY. */
enum status history_read(const char *out_folder, struct sweep_history *history);
void history_free(struct sweep_history *history);

/* Have all its ranks said that they ended? */
bool attempt_has_ended(const struct sweep_attempt *attempt);

/*
 * How it ended: "ok", "resume", "place", ... as its ranks said, the worst of it; "stalled", "crashed", where
 * they noted that and not all came to their end; "died" where no one knows; "unknown" where its ranks did not
 * even say that they began (an older program). IN running: it has not, yet.
 */
const char *attempt_end(const struct sweep_attempt *attempt, bool running);

/* Hosts: count ranks that never ended, and judge. IN running: the last attempt runs. Once, after
 * history_read. */
enum status history_judge_hosts(struct sweep_history *history, bool running);

/*
 * Set per_s of the last attempt's ranks: rows a second from the last part before the recent window to now.
 * Nobody sees into a shard in hand, so a rank is given the time its last part took before it counts as late;
 * from then on its rate falls, and is 0 after long silence. IN now_s: negative where the attempt is over:
 * then each rank's last part is its now.
 */
void history_rate_ranks(struct sweep_history *history, int64_t now_s);

/* Sum over all attempts of the time from their first event to their last, overlaps once. */
double history_active_s(const struct sweep_history *history);

#endif
