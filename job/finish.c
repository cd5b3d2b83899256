#include "job/finish.h"

#include "job/attributes.h"
#include "job/watch.h"
#include "results/gather.h"
#include "results/summary.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* "1020 missing, 3 corrupt". OUT n_rows, n_failed: the sums. */
static void describe_failures(const struct claim_totals *totals, char *text, size_t size, uint64_t *n_rows,
                              uint64_t *n_failed)
{
    *n_rows = *n_failed = 0;
    text[0] = '\0';
    for (int i = 0; i < ITEM_STATUS_COUNT; i++) {
        uint64_t n = totals->sum.rows_by_status[i];
        *n_rows += n;
        if (!claim_status_failed((enum item_status)i) || n == 0)
            continue;
        *n_failed += n;
        snprintf(text + strlen(text), size - strlen(text), "%s%" PRIu64 " %s", text[0] ? ", " : "", n,
                 item_status_name((enum item_status)i));
    }
}

static enum status remove_failed_parts(const struct run *run, const struct claim_totals *totals)
{
    enum status rc = STATUS_OK;
    const struct options *o = run->options;
    char path[LEDGER_PATH_SIZE], kinds[512];
    uint64_t n_rows, n_failed, n_removed = 0;

    for (uint64_t shard = 0; shard < run->plan.n_shards; shard++) {
        struct part_counts counts;
        TRY(ledger_part_path(o->out, shard, run->print.hex, path));
        if (access(path, F_OK) != 0 || part_read_counts(path, &counts) != STATUS_OK)
            continue;
        if ((double)counts.by_verdict[SWEEP_FAILED] <= o->max_failed * (double)counts.n_rows)
            continue;
        n_removed += unlink(path) == 0;
    }
    describe_failures(totals, kinds, sizeof(kinds), &n_rows, &n_failed);
    log_error("%" PRIu64 " of %" PRIu64
              " rows failed (%s), more than --max-failed %g%%: is the pool mounted at "
              "--root %s? %" PRIu64 " parts of these were removed, to be done again; or raise --max-failed",
              n_failed, n_rows, kinds, 100 * o->max_failed, o->root == NULL ? "(none)" : o->root, n_removed);
out:
    return rc;
}

enum status finish_conclude(const struct run *run, const struct claim_totals *totals)
{
    enum status rc = STATUS_OK;
    struct ledger ledger = {0};

    if (totals->stop == CLAIM_STOP_FAILED) {
        TRY(remove_failed_parts(run, totals));
        rc = STATUS_TOO_MANY_FAILED;
        goto out;
    }
    TRY(run_scan_ledger(run, &ledger));
    if (ledger.n_done < ledger.n_shards) {
        log_warn("%" PRIu64 " of %" PRIu64 " shards are left: run the same command again to go on",
                 ledger.n_shards - ledger.n_done, ledger.n_shards);
        rc = STATUS_RESUME;
    }
out:
    ledger_free(&ledger);
    return rc;
}

/* The parts' paths, [n_shards]; free_paths frees. */
static void free_paths(char **paths, uint64_t n)
{
    for (uint64_t i = 0; paths != NULL && i < n; i++)
        free(paths[i]);
    free(paths);
}

static enum status list_parts(const struct run *run, char ***paths, struct gather_part **parts)
{
    enum status rc = STATUS_OK;
    uint64_t n = run->plan.n_shards;
    char path[LEDGER_PATH_SIZE];

    *paths = calloc(n, sizeof(**paths));
    *parts = calloc(n, sizeof(**parts));
    if (*paths == NULL || *parts == NULL)
        FAIL(STATUS_MEMORY, "no memory for a list of %" PRIu64 " parts", n);
    for (uint64_t i = 0; i < n; i++) {
        struct shard shard = plan_shard(&run->plan, i);
        TRY(ledger_part_path(run->options->out, i, run->print.hex, path));
        (*paths)[i] = strdup(path);
        if ((*paths)[i] == NULL)
            FAIL(STATUS_MEMORY, "no memory for a list of %" PRIu64 " parts", n);
        (*parts)[i] = (struct gather_part){(*paths)[i], i, shard.first_row, shard.n_rows};
    }
out:
    return rc;
}

static enum status print_summary(const char *path)
{
    enum status rc = STATUS_OK;
    struct summary summary;

    TRY(summary_read(path, &summary));
    summary_print(stdout, &summary);
    printf("\n%s\n", path);
out:
    return rc;
}

/* Collective, after a gather that met bad parts on some ranks. */
static enum status set_bad_aside(const struct run *run, const struct gather_part *parts,
                                 const struct gather_bad *bad)
{
    enum status rc = STATUS_OK;
    enum status own = STATUS_OK;
    unsigned long long n = bad->n, total = 0;

    for (size_t i = 0; own == STATUS_OK && i < bad->n; i++)
        own = ledger_set_aside(run->options->out, parts[bad->list[i].part].shard, run->print.hex,
                               bad->list[i].reason);
    TRY_TOGETHER(&run->comm, own);
    MPI_Allreduce(&n, &total, 1, MPI_UNSIGNED_LONG_LONG, MPI_SUM, run->comm.world);
    if (run->comm.rank == 0)
        log_error("%llu parts did not count and were set aside, sweep.h5 is not made: run the same command "
                  "again, it does them anew",
                  total);
    rc = STATUS_RESUME;
out:
    return rc;
}

enum status finish_gather(struct run *run)
{
    enum status rc = STATUS_OK;
    struct attribute_list attributes = {0};
    struct gather_part *parts = NULL;
    struct gather_bad bad = {0};
    char **paths = NULL, *hosts = NULL;
    char path[RUN_PATH_SIZE];

    TRY(run_path(run, "sweep.h5", path));
    TRY(comm_hosts(&run->comm, &hosts));
    TRY_TOGETHER(&run->comm, attributes_collect(run, hosts, &attributes));
    TRY_TOGETHER(&run->comm, list_parts(run, &paths, &parts));
    struct gather_plan plan = {
        .layout = &run->layout,
        .run_fingerprint = run->print.hex,
        .n_rows = run->plan.n_rows,
        .parts = parts,
        .n_parts = run->plan.n_shards,
        .attributes = {attributes.items, attributes.n},
        .out_path = path,
    };
    watch_begin(WATCH_GATHER, -1, path);
    rc = gather_parts(run->comm.world, &plan, &bad);
    if (rc == STATUS_RESUME)
        rc = set_bad_aside(run, parts, &bad);
    TRY(rc);
    if (run->comm.rank == 0)
        run_remove_leftovers(run);
    TRY_TOGETHER(&run->comm, run->comm.rank == 0 ? print_summary(path) : STATUS_OK);
out:
    watch_end();
    gather_bad_free(&bad);
    free_paths(paths, run->plan.n_shards);
    free(parts);
    free(hosts);
    attributes_free(&attributes);
    return rc;
}
