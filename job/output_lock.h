/*
 * OUT/lock: which job writes to an output. Made by rank 0 before anything else is written there, touched
 * every few seconds while the job lives, removed at its end:
 *
 *     host=n1 pid=1234 start=5678 space=4026531836 job=99 restart=0 since=2026-11-25T07:13:42Z token=0123...
 *
 * A lock is stale, and taken over, when its process is gone from this host, when an earlier start of this
 * same Slurm job left it, or when nobody touched it for OUTPUT_LOCK_PATIENCE_S: that is watched for by this
 * host's clock, so that clocks need not agree.
 *
 * A job that was cut off and lost its lock to another may still run on. It finds out before it commits its
 * next part, and leaves; should it commit one in between, that is the same part.
 */
#ifndef EYESORE_JOB_OUTPUT_LOCK_H
#define EYESORE_JOB_OUTPUT_LOCK_H

#include "base/status.h"

#define OUTPUT_LOCK_TOUCH_S 3
#define OUTPUT_LOCK_PATIENCE_S 15
#define OUTPUT_LOCK_TOKEN_SIZE 33 /* 32 hex digits and the NUL */

struct run;
struct output_lock;

/*
 * Collective. STATUS_MISMATCH where another job holds the output: who, where and since when. OUT run->lock
 * and, on all ranks, run->lock_token.
 */
enum status output_lock_take(struct run *run);

/* Has no other job taken it? STATUS_MISMATCH says who does instead. Any rank, any thread. */
enum status output_lock_check(const struct run *run);

/* Rank 0; elsewhere it does nothing, as where it was not taken. */
void output_lock_release(struct run *run);

#endif
