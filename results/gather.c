#include "results/gather_internal.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* All ranks meet and leave with the worst status of any. */
static enum status agree(const struct gather *gather, enum status own)
{
    int mine = (int)own;
    int worst = (int)STATUS_INTERNAL;

    MPI_Allreduce(&mine, &worst, 1, MPI_INT, MPI_MAX, gather->comm);
    return (enum status)worst;
}

/* Parts are dealt by where they start, so that ranks have about as many rows each. */
static int rank_of_part(const struct gather *gather, size_t i)
{
    const struct gather_plan *plan = gather->plan;

    if (plan->n_rows == 0)
        return 0;
    double share = (double)plan->parts[i].first_row / (double)plan->n_rows * gather->n_ranks;
    return share >= gather->n_ranks ? gather->n_ranks - 1 : (int)share;
}

static enum status check_plan(struct gather *gather)
{
    enum status rc = STATUS_OK;
    const struct gather_plan *plan = gather->plan;
    uint64_t row = 0;

    for (size_t i = 0; i < plan->n_parts; i++) {
        if (plan->parts[i].first_row != row)
            FAIL(STATUS_INTERNAL, "shard %" PRIu64 " starts at row %" PRIu64 ", expected %" PRIu64,
                 plan->parts[i].shard, plan->parts[i].first_row, row);
        row += plan->parts[i].n_rows;
        if (rank_of_part(gather, i) != gather->rank)
            continue;
        if (gather->n_parts == 0)
            gather->first_part = i;
        gather->n_parts++;
    }
    if (row != plan->n_rows)
        FAIL(STATUS_UNRECONCILED, "the shards have %" PRIu64 " rows, the manifest %" PRIu64, row,
             plan->n_rows);
out:
    return rc;
}

static enum status prepare(struct gather *gather)
{
    enum status rc = STATUS_OK;
    size_t n = SUM_BLOBS + gather->plan->layout->n_blobs;

    gather->n_sums = n;
    gather->own = calloc(n, sizeof(uint64_t));
    gather->before = calloc(n, sizeof(uint64_t));
    gather->total = calloc(n, sizeof(uint64_t));
    gather->at = calloc(n, sizeof(uint64_t));
    TRY(field_table_make(gather->plan->layout, false, &gather->table));
    gather->offsets = calloc(gather->table.n, sizeof(*gather->offsets));
    if (gather->own == NULL || gather->before == NULL || gather->total == NULL || gather->at == NULL ||
        gather->offsets == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    TRY(check_plan(gather));
out:
    return rc;
}

/* All faulty parts are named, not just the first: each costs the user a run. */
static enum status survey(struct gather *gather)
{
    enum status worst = STATUS_OK;

    for (size_t i = gather->first_part; i < gather->first_part + gather->n_parts; i++) {
        struct sweep_file *part = NULL;
        enum status rc = gather_open_part(gather, i, &part);
        if (rc == STATUS_OK)
            gather_add_part(part, gather->own);
        rc = gather_note(gather, i, rc);
        worst = rc > worst ? rc : worst;
        sweep_file_close(part);
    }
    return worst;
}

static void place(struct gather *gather)
{
    MPI_Exscan(gather->own, gather->before, (int)gather->n_sums, MPI_UINT64_T, MPI_SUM, gather->comm);
    if (gather->rank == 0) /* undefined there after MPI_Exscan */
        memset(gather->before, 0, gather->n_sums * sizeof(uint64_t));
    MPI_Allreduce(gather->own, gather->total, (int)gather->n_sums, MPI_UINT64_T, MPI_SUM, gather->comm);
}

/* A gather that comes to nothing because of bad parts finds them all. */
static enum status survey_together(struct gather *gather)
{
    enum status rc = agree(gather, survey(gather));

    if (rc == STATUS_RESUME) {
        enum status own = gather_copy(gather, false);
        rc = agree(gather, own == STATUS_OK ? STATUS_RESUME : own);
    }
    return rc;
}

/* Every rank has the same totals, so every rank comes to the same answer; rank 0 says it. */
static enum status check_counts(const struct gather *gather, const uint64_t *found, const char *where)
{
    enum status rc = STATUS_OK;
    const uint64_t *told = gather->total;
    uint64_t statuses = 0;
    uint64_t verdicts = 0;

    for (uint32_t i = 0; i < ITEM_STATUS_COUNT; i++) {
        statuses += found[SUM_STATUS + i];
        if (found[SUM_STATUS + i] == told[SUM_STATUS + i])
            continue;
        rc = STATUS_UNRECONCILED;
        if (gather->rank == 0)
            log_error("status %s: %" PRIu64 " rows in %s, %" PRIu64 " by the parts' counts",
                      item_status_name((enum item_status)i), found[SUM_STATUS + i], where,
                      told[SUM_STATUS + i]);
    }
    for (uint32_t i = 0; i < SWEEP_VERDICT_COUNT; i++) {
        verdicts += found[SUM_VERDICT + i];
        if (found[SUM_VERDICT + i] == told[SUM_VERDICT + i])
            continue;
        rc = STATUS_UNRECONCILED;
        if (gather->rank == 0)
            log_error("verdict %s: %" PRIu64 " rows in %s, %" PRIu64 " by the parts' counts",
                      sweep_verdict_name((enum sweep_verdict)i), found[SUM_VERDICT + i], where,
                      told[SUM_VERDICT + i]);
    }
    if (statuses != gather->plan->n_rows || verdicts != gather->plan->n_rows ||
        told[SUM_ROWS] != gather->plan->n_rows) {
        rc = STATUS_UNRECONCILED;
        if (gather->rank == 0)
            log_error("the manifest has %" PRIu64 " rows, the parts %" PRIu64 ", %s %" PRIu64
                      " statuses and %" PRIu64 " verdicts",
                      gather->plan->n_rows, told[SUM_ROWS], where, statuses, verdicts);
    }
    if (rc != STATUS_OK && gather->rank == 0)
        log_error("%s: does not reconcile: not written%s", gather->plan->out_path,
                  access(gather->plan->out_path, F_OK) == 0 ? ", the older one stays" : "");
    return rc;
}

/* Rank 0 makes the file and all ranks must see it before they open it together. */
static enum status create_and_show(struct gather *gather, bool *made)
{
    enum status rc = STATUS_OK;
    char host[MPI_MAX_PROCESSOR_NAME] = "";
    int n;

    if (gather->rank == 0) {
        int fd = -1;
        rc = file_temp_open(gather->plan->out_path, gather->temp, sizeof(gather->temp), &fd);
        *made = rc == STATUS_OK;
        if (fd >= 0)
            close(fd);
        if (rc == STATUS_OK)
            rc = gather_create(gather);
    }
    TRY(agree(gather, rc));
    MPI_Bcast(gather->temp, sizeof(gather->temp), MPI_CHAR, 0, gather->comm);
    if (access(gather->temp, R_OK | W_OK) != 0) {
        MPI_Get_processor_name(host, &n);
        log_error("%s: %s on host %s: --out must be on a file system that all hosts share", gather->temp,
                  strerror(errno), host);
        rc = STATUS_PLACE;
    }
    TRY(agree(gather, rc));
out:
    return rc;
}

static enum status open_temp(struct gather *gather)
{
    enum status rc = STATUS_OK;

    gather->fd = open(gather->temp, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (gather->fd < 0)
        FAIL(STATUS_PLACE, "%s: cannot open for writing: %s", gather->temp, strerror(errno));
out:
    return rc;
}

/* On disk on every host, not only rank 0's, before the rename. */
static enum status close_temp(struct gather *gather)
{
    enum status rc = STATUS_OK;
    int fd = gather->fd;

    gather->fd = -1;
    if (fd >= 0 && fsync(fd) != 0)
        FAIL(STATUS_PLACE, "%s: cannot sync: %s", gather->temp, strerror(errno));
out:
    if (fd >= 0 && close(fd) != 0 && rc == STATUS_OK) {
        log_error("%s: cannot close: %s", gather->temp, strerror(errno)); /* where NFS tells of a full disk */
        rc = STATUS_PLACE;
    }
    return rc;
}

/*
 * Each rank writes its slabs with pwrite(2), where HDF5 says that the datasets' bytes are: they are
 * contiguous and fixed in size. Not with parallel HDF5: its MPI-IO (Open MPI 4.1.4) passed over a failing
 * write without a word, and crashed at another when the file was closed (tests/faults/calls.sh write).
 */
static enum status write_together(struct gather *gather)
{
    MPI_Bcast(gather->offsets, (int)gather->table.n, MPI_UINT64_T, 0, gather->comm);
    enum status rc = agree(gather, open_temp(gather));
    if (rc == STATUS_OK)
        rc = agree(gather, gather_copy(gather, true));
    enum status closed = close_temp(gather);
    return agree(gather, rc != STATUS_OK ? rc : closed);
}

static enum status reconcile(struct gather *gather)
{
    enum status rc = STATUS_OK;
    uint64_t own[SUM_BLOBS] = {0};
    uint64_t all[SUM_BLOBS] = {0};

    enum status counted = gather_recount(gather, own);
    /* The file was written a moment ago: what cannot be read back was not kept. */
    TRY(agree(gather, counted == STATUS_INPUT ? STATUS_PLACE : counted));
    MPI_Allreduce(own, all, SUM_BLOBS, MPI_UINT64_T, MPI_SUM, gather->comm);
    TRY(check_counts(gather, all, "the written file"));
out:
    return rc;
}

void gather_bad_free(struct gather_bad *bad)
{
    free(bad->list);
    *bad = (struct gather_bad){0};
}

enum status gather_note(struct gather *gather, size_t i, enum status own)
{
    enum status rc = STATUS_OK;
    struct gather_bad *bad = &gather->bad;

    if (own != STATUS_INPUT && own != STATUS_MISMATCH)
        return own;
    struct gather_bad_part *grown = realloc(bad->list, (bad->n + 1) * sizeof(*grown));
    if (grown == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    bad->list = grown;
    bad->list[bad->n++] =
        (struct gather_bad_part){i, own == STATUS_INPUT ? "it is cut short, changed or without checksums"
                                                        : "it is of another run or shard"};
    rc = STATUS_RESUME;
out:
    return rc;
}

static void free_gather(struct gather *gather)
{
    gather_bad_free(&gather->bad);
    free(gather->own);
    free(gather->before);
    free(gather->total);
    free(gather->at);
    free(gather->offsets);
    field_table_free(&gather->table);
}

enum status gather_parts(MPI_Comm comm, const struct gather_plan *plan, struct gather_bad *bad)
{
    enum status rc = STATUS_OK;
    struct gather gather = {.comm = comm, .plan = plan, .fd = -1};
    bool made = false; /* rank 0: there may be a temporary file */

    *bad = (struct gather_bad){0};
    h5_quiet();
    MPI_Comm_rank(comm, &gather.rank);
    MPI_Comm_size(comm, &gather.n_ranks);
    TRY(agree(&gather, prepare(&gather)));
    TRY(agree(&gather, gather.rank == 0 ? gather_read_old(plan, &gather.old) : STATUS_OK));
    TRY(survey_together(&gather));
    place(&gather);
    TRY(check_counts(&gather, gather.total, "the parts"));
    TRY(agree(&gather, gather.rank == 0 ? gather_compare_old(&gather) : STATUS_OK));
    TRY(create_and_show(&gather, &made));
    TRY(write_together(&gather));
    TRY(reconcile(&gather));
    if (gather.rank == 0) {
        rc = file_commit(gather.temp, plan->out_path);
        made = false; /* renamed, or removed by file_commit */
    }
    TRY(agree(&gather, rc));
out:
    if (made && gather.rank == 0)
        unlink(gather.temp);
    if (rc == STATUS_RESUME) {
        *bad = gather.bad;
        gather.bad = (struct gather_bad){0};
    }
    free_gather(&gather);
    return rc;
}
