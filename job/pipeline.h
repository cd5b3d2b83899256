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
#include "io/picture.h"
#include "kernels/engine.h"
#include "results/part.h"

#define SCORE_BINS 20 /* of equal width, from 0 to 1 */

/* What became of rows. */
struct row_counts {
    uint64_t rows_by_status[ITEM_STATUS_COUNT];
    uint64_t n_flagged;
    uint64_t histogram[CASCADE_MAX_STAGES][SCORE_BINS]; /* of the scores of stages that ran */
};

/* A shard on its way through. */
struct work {
    uint64_t shard;
    uint64_t n_rows;
    struct part *part;  /* owned */
    char **uris;        /* [n_rows]; owned, and each of them */
    bool *exhaustive;   /* [n_rows] run every stage (--all-stages, --probe); owned */
    uint32_t stages;    /* bit s: stage s may run */
    enum status status; /* OUT: STATUS_OK, or why the shard was abandoned */
    /* The pipeline's own. */
    uint64_t n_taken, n_done;
    struct row_counts counts; /* in the totals; taken back when abandoned */
    struct work *next;
};

enum status work_create(const struct sweep_layout *layout, uint64_t shard, uint64_t first_row,
                        uint64_t n_rows, struct work **out);
void work_free(struct work *work);

struct pipeline_options {
    struct engine *engine;         /* borrowed */
    const struct cascade *cascade; /* borrowed; the engine's */
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

void pipeline_read_totals(struct pipeline *pipeline, struct pipeline_totals *totals);

#endif
