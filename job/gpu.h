/*
 * The GPUs of a scan: one for each rank, joined by NCCL where there are several ranks. All of it does nothing
 * where the engine is cpu.
 */
#ifndef EYESORE_JOB_GPU_H
#define EYESORE_JOB_GPU_H

#include "job/pipeline.h"
#include "job/run.h"

/*
 * Collective. Bind this rank to a GPU of its host by its rank there, and join the GPUs. STATUS_USAGE, saying
 * what to type, where two ranks would share one; a rank that cannot join makes all leave.
 */
enum status gpu_join(struct run *run);
void gpu_leave(struct run *run);

/*
 * Collective. The weights of the stages, in the order of the options: rank 0 reads the files, the others get
 * them over NCCL. OUT run->shared_weights; nothing with one rank.
 */
enum status gpu_share_weights(struct run *run);

/*
 * Collective: open the engine, first on one rank of each model of GPU, which chooses the cuDNN plans and
 * keeps them with the run, then on the others, which take them.
 */
enum status gpu_open_engine(struct run *run, const struct engine_options *options);

/* A fault of the device that ends this rank's work: note it under OUT/attempts, once. */
void gpu_note_fault(struct run *run);

/* Before a part is committed: note under OUT/attempts what happened to the GPU since, if anything. */
enum status gpu_note_events(struct run *run);

/*
 * Collective, after the shard loop: rows by status, flags and score histograms added up over NCCL and, to
 * check it, over MPI; rank 0 logs the histograms. Left out where a GPU has failed meanwhile.
 */
enum status gpu_add_up(struct run *run, const struct pipeline_totals *own);

#endif
