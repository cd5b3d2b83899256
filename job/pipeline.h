/*
 * The workers of a rank: fetch, decode, run the cascade, write the row into its part. Which engine computes
 * is not known here beyond engine.h: crops go into the slots of its instances, and whoever fills the last
 * place of a slot runs it.
 *
 * One thread (the rank's main one) feeds and empties the pipeline; the workers are its own.
 */
#ifndef EYESORE_JOB_PIPELINE_H
#define EYESORE_JOB_PIPELINE_H

#include "io/fetch.h"
#include "io/isolation.h"
#include "io/picture.h"
#include "job/work.h"
#include "kernels/engine.h"

struct pipeline_options {
    struct engine *engine;         /* borrowed */
    const struct cascade *cascade; /* borrowed; the engine's */
    struct isolation *isolation;   /* borrowed; NULL: pictures are decoded in this process */
    const char *root;              /* NULL: none */
    uint64_t max_bytes;
    struct picture_options picture;
    enum sweep_heatmaps heatmaps;
    int n_workers;
};

/* Totals of this rank so far, summed over its workers; without the rows of abandoned shards. */
struct pipeline_totals {
    struct row_counts counts;
    double decode_s, compute_s, wait_s; /* seconds of worker time */
};

struct pipeline;

/* Start the workers. STATUS_PLACE where --root is not there. OUT: pipeline_close. */
enum status pipeline_open(const struct pipeline_options *options, struct pipeline **out);

/* Stop the workers after the picture in hand and free; work still inside is freed. */
void pipeline_close(struct pipeline *pipeline);

/* Hand in a shard; the pipeline owns it until pipeline_take gives it back. */
void pipeline_push(struct pipeline *pipeline, struct work *work);

/* Rows that no worker has taken yet: below the number of workers, it is time for the next shard. */
uint64_t pipeline_rows_waiting(struct pipeline *pipeline);

/* Is nothing inside, neither waiting, nor worked on, nor finished? */
bool pipeline_is_empty(struct pipeline *pipeline);

/*
 * The next shard that is finished or abandoned (see work->status), waiting at most timeout_ms. NULL: none
 * yet. The caller owns it.
 */
struct work *pipeline_take(struct pipeline *pipeline, int timeout_ms);

/* Abandon everything inside: no further row is begun, and the shards come back with STATUS_RESUME. */
void pipeline_abandon(struct pipeline *pipeline);

/* Abandon one shard, where it is inside; it comes back as dropped. */
void pipeline_drop(struct pipeline *pipeline, uint64_t shard);

/* A shard that came back whole turned out not to count: another rank was faster. */
void pipeline_uncount(struct pipeline *pipeline, struct work *work);

void pipeline_read_totals(struct pipeline *pipeline, struct pipeline_totals *totals);

#endif
