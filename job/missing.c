#include "job/missing.h"

#include "job/suspects.h"
#include "results/part.h"

#include <stdlib.h>
#include <string.h>

#define FAILED_FROM_ROW 1000 /* --max-failed is looked at from here on */
#define PARTS_COUNTED 20000  /* of more, reading would take long */

/* Why a part that can be read is not the shard's; NULL: it is. */
static const char *foreign_reason(const struct run *run, uint64_t shard, const struct part_counts *counts)
{
    struct shard planned = plan_shard(&run->plan, shard);

    if (strcmp(counts->run_fingerprint, run->print.hex) != 0)
        return "it is of another run";
    if (counts->shard != shard || counts->first_row != planned.first_row || counts->n_rows != planned.n_rows)
        return "it is of another shard";
    return NULL;
}

/* Read what a part says of itself. OUT torn: it is none, and was moved out of the way. */
static enum status count_part(const struct run *run, uint64_t shard, struct claim_report *already, bool *torn)
{
    enum status rc = STATUS_OK;
    char path[LEDGER_PATH_SIZE];
    struct part_counts counts;

    TRY(ledger_part_path(run->options->out, shard, run->print.hex, path));
    rc = part_read_counts(path, &counts);
    const char *reason = rc == STATUS_INPUT ? "it is cut short, changed or without checksums" : NULL;
    if (rc != STATUS_INPUT)
        TRY(rc);
    if (reason == NULL)
        reason = foreign_reason(run, shard, &counts);
    *torn = reason != NULL;
    if (*torn) {
        TRY(ledger_set_aside(run->options->out, shard, run->print.hex, reason));
        goto out;
    }
    for (int i = 0; i < ITEM_STATUS_COUNT; i++)
        already->rows_by_status[i] += counts.by_status[i];
    already->n_flagged += counts.by_verdict[SWEEP_FLAGGED];
out:
    return rc;
}

/* What earlier attempts did, for --max-failed: read from their parts, unless there are many. */
static enum status count_earlier(const struct run *run, struct ledger *ledger, struct claim_report *already)
{
    enum status rc = STATUS_OK;

    if (ledger->n_done > PARTS_COUNTED)
        goto out; /* progress counts their rows by itself; the gather reads every part whole */
    for (uint64_t shard = 0; shard < ledger->n_shards; shard++) {
        bool torn = false;
        if (ledger_is_done(ledger, shard))
            TRY(count_part(run, shard, already, &torn));
        if (torn)
            ledger_forget(ledger, shard);
    }
out:
    return rc;
}

static void count_rows(const struct run *run, struct missing *m)
{
    m->n_rows_done = run->plan.n_rows;
    for (uint64_t i = 0; i < m->claims.n_missing; i++)
        m->n_rows_done -= plan_shard(&run->plan, m->shards[i]).n_rows;
    for (int i = 0; i < ITEM_STATUS_COUNT; i++)
        m->n_rows_counted += m->claims.already.rows_by_status[i];
    m->n_rows_done -= m->n_rows_counted; /* the claims' totals have them */
}

enum status missing_find(const struct run *run, struct missing *missing)
{
    enum status rc = STATUS_OK;
    struct ledger ledger = {0};
    struct missing m = {.claims = {.max_failed = run->options->max_failed,
                                   .failed_from_row = FAILED_FROM_ROW,
                                   .set_aside_after = run->options->set_aside_after,
                                   .reissue_after_s = CLAIM_REISSUE_AFTER_S}};

    TRY(run_scan_ledger(run, &ledger));
    TRY(count_earlier(run, &ledger, &m.claims.already));
    TRY(ledger_missing(&ledger, &m.shards, &m.claims.n_missing));
    TRY(suspects_find(run, &ledger, &m.failures, &m.claims.n_failures));
    m.claims.missing = m.shards;
    m.claims.failures = m.failures;
    m.n_shards_done = ledger.n_done;
    count_rows(run, &m);
    *missing = m;
    m = (struct missing){0};
out:
    missing_free(&m);
    ledger_free(&ledger);
    return rc;
}

void missing_free(struct missing *missing)
{
    free(missing->shards);
    free(missing->failures);
    *missing = (struct missing){0};
}
