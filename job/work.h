/*
 * A shard on its way through a rank: what is to be done, and the part that its rows are written into.
 */
#ifndef EYESORE_JOB_WORK_H
#define EYESORE_JOB_WORK_H

#include "kernels/cascade.h"
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
    double begun_s;     /* when it was pushed */
    bool dropped;       /* pipeline_drop: nobody needs it any more */
    /* The pipeline's own. */
    uint64_t n_taken, n_done;
    struct row_counts counts; /* in the totals; taken back when abandoned */
    struct work *next;
};

enum status work_create(const struct sweep_layout *layout, uint64_t shard, uint64_t first_row,
                        uint64_t n_rows, struct work **out);
void work_free(struct work *work);

/* Shards in the order they were put in. */
struct work_list {
    struct work *first, *last;
};

void work_list_append(struct work_list *list, struct work *work);
void work_list_remove(struct work_list *list, struct work *work);

/* Free all of them. */
void work_list_free(struct work_list *list);

#endif
