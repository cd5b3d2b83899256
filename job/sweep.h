/*
 * The shard loop: each rank's main thread claims shards, hands their rows to the pipeline's workers, writes
 * what comes back as part files and shows progress.
 */
#ifndef EYESORE_JOB_SWEEP_H
#define EYESORE_JOB_SWEEP_H

#include "job/run.h"

/* Collective: every rank sweeps. STATUS_OK where all parts are there in the end; else as finish_conclude. */
enum status sweep_run(struct run *run);

#endif
