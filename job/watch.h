/*
 * No hang, ever: a thread of each rank looks once a second whether any thread has been at one thing (a read,
 * a picture, a batch, a write, an exchange) for longer than it may, or the rank has rows in hand and finishes
 * none. Then it says what is stuck on what, dumps the stacks of all threads that are at something, notes it
 * in OUT/attempts, and ends the process with EXIT_RESUME, which ends the job: a thread stuck in the kernel
 * cannot be saved, and the shards that are done stay done.
 *
 * Process-wide by nature, as the log is.
 */
#ifndef EYESORE_JOB_WATCH_H
#define EYESORE_JOB_WATCH_H

#include "base/status.h"

/* What a thread is at, and how many times --stall-timeout it may take. */
#define WATCH_STAGE_LIST(X)                                                                                  \
    X(FETCH, "fetch", 1)                                                                                     \
    X(DECODE, "decode", 1)                                                                                   \
    X(COMPUTE, "compute", 1)                                                                                 \
    X(LOAD, "load", 1)                                                                                       \
    X(WRITE, "write", 1)                                                                                     \
    X(CLAIM, "claim", 2)           /* rank 0 says first what holds it up */                                  \
    X(COLLECTIVE, "collective", 6) /* rank 0 may plan a long manifest meanwhile, or one may choose plans */  \
    X(GATHER, "gather", 6)         /* since the thread last read or wrote anything */

enum watch_stage {
    WATCH_NOTHING,
#define X(upper, name, patience) WATCH_##upper,
    WATCH_STAGE_LIST(X)
#undef X
        WATCH_STAGE_COUNT
};

struct watch_stall {
    enum watch_stage stage; /* WATCH_NOTHING: rows in hand, and none finished */
    int64_t shard;          /* -1: none */
    const char *what;       /* the uri or path; "" */
    double seconds;
};

/* "fetch"; "rows" for WATCH_NOTHING. */
const char *watch_stage_name(enum watch_stage stage);

struct run;

/*
 * Start watching; once. IN on_stall: may be NULL; called with `run` before the process ends, for at most ten
 * seconds, by a thread of its own. STATUS_PLACE where no thread can be started.
 */
enum status watch_start(double stall_timeout_s, const struct run *run,
                        void (*on_stall)(const struct run *run, const struct watch_stall *stall));

/* All other threads that used it have ended. Does nothing where it was not started. */
void watch_stop(void);

/* The calling thread begins something (which ends what it was at); `what` is copied and cut. Cheap. */
void watch_begin(enum watch_stage stage, int64_t shard, const char *what);
void watch_end(void);

/* A row is finished. */
void watch_progress(void);

/* Does the rank have rows in hand? While it has, watch_progress is to be called at least every
 * stall_timeout_s. */
void watch_expect(bool rows);

/* End the job as a stall does: `what` has made no progress for so long, as this rank knows by itself. */
void watch_end_job(const char *what, double seconds);

/* What the calling thread is at; safe in a signal handler. */
struct watch_stall watch_own(void);

/* Write the stack of the calling thread to stderr; as safe in a signal handler as backtrace(3) is. */
void watch_write_stack(void);

#endif
