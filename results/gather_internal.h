/*
 * Shared by gather.c (who does what, together) and gather_copy.c (the bytes).
 */
#ifndef EYESORE_RESULTS_GATHER_INTERNAL_H
#define EYESORE_RESULTS_GATHER_INTERNAL_H

#include "results/gather.h"
#include "results/sweep_file.h"

/* What is summed over parts and ranks, as one array for MPI; the blobs' bytes follow. */
enum gather_sum {
    SUM_ROWS,
    SUM_FAILURES,
    SUM_MAPS,
    SUM_STATUS,
    SUM_VERDICT = SUM_STATUS + ITEM_STATUS_COUNT,
    SUM_BLOBS = SUM_VERDICT + SWEEP_VERDICT_COUNT,
};

/* What is at out_path before. */
struct gather_old {
    bool good; /* see gather.h */
    uint64_t n_failed;
};

struct gather {
    MPI_Comm comm;
    int rank, n_ranks;
    const struct gather_plan *plan;
    struct field_table table;   /* of the sweep */
    size_t first_part, n_parts; /* this rank's share */
    size_t n_sums;
    uint64_t *own;    /* [n_sums], this rank's parts */
    uint64_t *before; /* [n_sums], the lower ranks' */
    uint64_t *total;  /* [n_sums] */
    uint64_t *at;     /* [n_sums], where the copy is: from before to before + own */
    struct gather_bad bad;
    struct gather_old old; /* rank 0's */
    char temp[4096];
    int fd;            /* of temp, for writing; -1 */
    uint64_t *offsets; /* [table.n] where in the file each dataset's bytes begin */
};

/* Add one part's numbers to sums. */
void gather_add_part(const struct sweep_file *part, uint64_t *sums);

/* Open part i of the plan and check that it is what the plan says. The caller closes. STATUS_INPUT and
 * STATUS_MISMATCH: a bad part. */
enum status gather_open_part(const struct gather *gather, size_t i, struct sweep_file **part);

/* What became of part i, `own`: a bad part is noted, and it becomes STATUS_RESUME. */
enum status gather_note(struct gather *gather, size_t i, enum status own);

/* Rank 0: look what is at out_path. STATUS_MISMATCH: a sweep of another run. */
enum status gather_read_old(const struct gather_plan *plan, struct gather_old *old);

/* Rank 0: STATUS_UNRECONCILED where the totals are worse than what is there. */
enum status gather_compare_old(const struct gather *gather);

/* Rank 0: make the temporary file with every dataset and attribute. OUT gather->offsets. */
enum status gather_create(struct gather *gather);

/*
 * Copy this rank's parts, checking them. Independent: no collective call inside. write: else they are only
 * checked, those that are not noted as bad yet. STATUS_RESUME: some are bad.
 */
enum status gather_copy(struct gather *gather, bool write);

/* Count this rank's share of the written rows. OUT counts: [SUM_BLOBS], only status and verdict set. */
enum status gather_recount(const struct gather *gather, uint64_t *counts);

#endif
