/*
 * What comes after the shard loop: was everything done, and if so, sweep.h5 and its summary.
 */
#ifndef EYESORE_JOB_FINISH_H
#define EYESORE_JOB_FINISH_H

#include "job/run.h"
#include "shards/claim.h"

/*
 * Rank 0, when all ranks have stopped: STATUS_OK where every part is there, STATUS_RESUME where some are
 * missing, STATUS_TOO_MANY_FAILED where --max-failed stopped the sweep; then the parts in which too many rows
 * failed are removed, so that a resume does them again once the cause is mended.
 */
enum status finish_conclude(const struct run *run, const struct claim_totals *totals);

/* Collective: all parts into OUT/sweep.h5; rank 0 prints the summary and the path. STATUS_RESUME: parts that
 * do not count were set aside (OUT/set-aside), their shards are to be done again. */
enum status finish_gather(struct run *run);

#endif
