/*
 * What is left of a sweep: the shards without a part, what earlier attempts did, and on which hosts shards
 * failed.
 */
#ifndef EYESORE_JOB_MISSING_H
#define EYESORE_JOB_MISSING_H

#include "job/run.h"
#include "shards/claim.h"

struct missing {
    uint64_t *shards;                    /* [claims.n_missing]; owned */
    struct claim_failure *failures;      /* [claims.n_failures]; owned */
    struct claim_options claims;         /* for claim_open; points to the above */
    uint64_t n_shards_done, n_rows_done; /* rows: without those in n_rows_counted */
    uint64_t n_rows_counted;             /* in claims.already */
};

/*
 * Rank 0. A part that turns out to be torn is set aside and counts as missing. OUT: missing_free, in any
 * case. STATUS_MISMATCH: parts of another run are there.
 */
enum status missing_find(const struct run *run, struct missing *missing);
void missing_free(struct missing *missing);

#endif
