/*
 * eyesore scan: the way of a sweep, from manifest to sweep.h5. Read command_scan at the end of this file
 * first.
 *
 * Each rank's main thread claims shards, hands their rows to the pipeline's workers, writes what comes back
 * as part files and shows progress. The set of part files is the ledger: whatever happens, the same command
 * goes on with the shards whose part is missing. When none is, all ranks gather the parts into sweep.h5.
 */
#include "base/clock.h"
#include "base/file.h"
#include "job/commands.h"
#include "job/finish.h"
#include "job/gpu.h"
#include "job/load.h"
#include "job/progress.h"
#include "job/run.h"
#include "job/signals.h"
#include "shards/claim.h"
#include "shards/ledger.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FAILED_FROM_ROW 1000 /* --max-failed is looked at from here on */
#define TAKE_TIMEOUT_MS 100
#define TELL_EVERY_S 1.0

/* The state of the shard loop on one rank. */
struct sweep {
    struct run *run;
    struct manifest *manifest;
    struct pipeline *pipeline;
    struct claimant *claimant;
    struct progress progress; /* rank 0 */
    uint64_t *missing;        /* rank 0: the shards to hand out; owned */
    uint64_t n_parts_written;
    struct pipeline_totals counted; /* by this rank, when its loop has ended */
    uint64_t rows_done_before;      /* by earlier attempts, on rank 0 */
    uint64_t shards_done_before;
    enum status outcome; /* why this rank stopped claiming, or STATUS_OK */
    bool no_more;        /* to claim */
    double told_s;
};

static struct claim_report report(const struct sweep *s)
{
    struct claim_report r = {.n_shards = s->n_parts_written, .stop_asked = signals_wanted() != SIGNALS_NONE};
    struct pipeline_totals totals;

    pipeline_read_totals(s->pipeline, &totals);
    memcpy(r.rows_by_status, totals.counts.rows_by_status, sizeof(r.rows_by_status));
    r.n_flagged = totals.counts.n_flagged;
    return r;
}

static void stop_claiming(struct sweep *s, enum status why)
{
    s->no_more = true;
    if (s->outcome == STATUS_OK)
        s->outcome = why;
}

static enum status stop_status(enum claim_stop stop)
{
    return stop == CLAIM_STOP_FAILED   ? STATUS_TOO_MANY_FAILED
           : stop == CLAIM_STOP_SIGNAL ? STATUS_RESUME
                                       : STATUS_OK;
}

/* Claim shards until the workers have enough to go on with. */
static enum status feed(struct sweep *s)
{
    enum status rc = STATUS_OK;
    struct claim_answer answer;
    struct work *work;

    /* An engine that computes batches must not meet the end of one shard with a batch half full. */
    uint64_t enough =
        (uint64_t)s->run->n_workers + (s->run->engine->batch > 1 ? 2 * (uint64_t)s->run->engine->batch : 0);

    while (!s->no_more && pipeline_rows_waiting(s->pipeline) < enough) {
        struct claim_report totals = report(s);
        TRY(claim_next(s->claimant, &totals, &answer));
        if (answer.kind != CLAIM_SHARD) {
            stop_claiming(s, answer.kind == CLAIM_STOP ? stop_status(answer.stop) : STATUS_OK);
            break;
        }
        TRY(load_shard(s->run, s->manifest, answer.shard, &work));
        pipeline_push(s->pipeline, work);
    }
out:
    return rc;
}

static enum status write_part(struct sweep *s, const struct work *work)
{
    enum status rc = STATUS_OK;
    const char *out = s->run->options->out;
    char path[LEDGER_PATH_SIZE];

    TRY(gpu_note_events(s->run)); /* first: a part must not be committed without them */
    TRY(ledger_part_folder(out, work->shard, path));
    TRY(file_make_folders(path));
    TRY(ledger_part_path(out, work->shard, s->run->print.hex, path));
    TRY(part_write(work->part, path, s->run->print.hex));
    s->n_parts_written++;
out:
    return rc;
}

/* A shard came back: whole, or given up. */
static enum status take_back(struct sweep *s, struct work *work)
{
    enum status rc = STATUS_OK;

    log_set_shard((int64_t)work->shard);
    if (work->status == STATUS_OK)
        work->status = write_part(s, work);
    if (work->status == STATUS_RESUME &&
        s->outcome == STATUS_PLACE) { /* this rank leaves: others may do it */
        struct claim_report totals = report(s);
        TRY(claim_hand_back(s->claimant, &totals, work->shard));
    }
    if (work->status == STATUS_OK || work->status == STATUS_RESUME)
        goto out;
    if (work->status != STATUS_PLACE) {
        rc = work->status;
        goto out;
    }
    (void)gpu_note_events(s->run);  /* said where it failed */
    if (s->outcome != STATUS_PLACE) /* said once: what else is in hand meets the same fault */
        log_error("this rank abandons shard %" PRIu64
                  " and stops: the fault is of the place, not of a picture; run the "
                  "same command again when it is mended",
                  work->shard);
    struct claim_report totals = report(s);
    TRY(claim_hand_back(s->claimant, &totals, work->shard));
    stop_claiming(s, STATUS_PLACE);
    pipeline_abandon(s->pipeline); /* the rows behind would meet the same fault */
out:
    log_set_shard(-1);
    work_free(work);
    return rc;
}

/* Rank 0: show where the job stands. */
static enum status show(struct sweep *s, bool last)
{
    enum status rc = STATUS_OK;
    const struct run *run = s->run;
    struct claim_totals job;
    struct pipeline_totals own;
    struct progress_totals shown = {
        .rows_total = run->plan.n_rows, .shards_total = run->plan.n_shards, .rows_done = s->rows_done_before};

    if (run->comm.rank != 0 || s->progress.mode == PROGRESS_NONE)
        goto out;
    TRY(claim_totals(s->claimant, &job));
    pipeline_read_totals(s->pipeline, &own);
    for (int i = 0; i < ITEM_STATUS_COUNT; i++) {
        shown.rows_done += job.sum.rows_by_status[i];
        shown.rows_failed += claim_status_failed((enum item_status)i) ? job.sum.rows_by_status[i] : 0;
    }
    shown.shards_done = s->shards_done_before + job.sum.n_shards;
    shown.decode_s = own.decode_s;
    shown.compute_s = own.compute_s;
    shown.wait_s = own.wait_s;
    if (last)
        progress_finish(&s->progress, &shown, clock_seconds());
    else
        progress_update(&s->progress, &shown, clock_seconds());
out:
    return rc;
}

/* Once a second: tell rank 0 how far this rank is, and hear whether to stop. */
static enum status tell(struct sweep *s)
{
    enum status rc = STATUS_OK;
    double now = clock_seconds();
    enum claim_stop stop;

    if (now - s->told_s < TELL_EVERY_S)
        goto out;
    s->told_s = now;
    struct claim_report totals = report(s);
    TRY(claim_tell(s->claimant, &totals, &stop));
    if (stop == CLAIM_STOP_SIGNAL)
        stop_claiming(s, STATUS_RESUME);
    if (stop == CLAIM_STOP_FAILED) {
        stop_claiming(s, STATUS_TOO_MANY_FAILED);
        pipeline_abandon(s->pipeline);
    }
out:
    return rc;
}

/* The shard loop of one rank. Errors stay local: s->outcome tells at the end. */
static enum status sweep_shards(struct sweep *s)
{
    enum status rc = STATUS_OK;

    while (!s->no_more || !pipeline_is_empty(s->pipeline)) {
        if (signals_wanted() != SIGNALS_NONE)
            stop_claiming(s, STATUS_RESUME);
        if (signals_wanted() == SIGNALS_ABANDON)
            pipeline_abandon(s->pipeline);
        TRY(feed(s));
        struct work *work = pipeline_take(s->pipeline, TAKE_TIMEOUT_MS);
        if (work != NULL)
            TRY(take_back(s, work));
        TRY(tell(s));
        TRY(show(s, false));
    }
out:
    return rc;
}

static enum status open_pipeline(struct sweep *s)
{
    const struct options *o = s->run->options;
    struct pipeline_options how = {
        .engine = s->run->engine,
        .cascade = &s->run->cascade,
        .root = o->root,
        .max_bytes = o->max_bytes,
        .picture = {o->decode, o->resample, (int)o->resize, (int)o->size, o->max_pixels},
        .heatmaps = o->heatmaps,
        .n_workers = s->run->n_workers,
    };
    return pipeline_open(&how, &s->pipeline);
}

#define PARTS_COUNTED 20000

/* What earlier attempts did, for --max-failed: read from their parts, unless there are so many that it would
 * take long. */
static enum status count_earlier(const struct run *run, const struct ledger *ledger,
                                 struct claim_report *already)
{
    enum status rc = STATUS_OK;
    char path[LEDGER_PATH_SIZE];

    already->n_shards = 0; /* progress counts them by itself */
    for (uint64_t shard = 0; ledger->n_done <= PARTS_COUNTED && shard < ledger->n_shards; shard++) {
        struct part_counts counts;
        if (!ledger_is_done(ledger, shard))
            continue;
        TRY(ledger_part_path(run->options->out, shard, run->print.hex, path));
        if (part_read_counts(path, &counts) != STATUS_OK)
            continue; /* said; the gather will refuse it */
        for (int i = 0; i < ITEM_STATUS_COUNT; i++)
            already->rows_by_status[i] += counts.by_status[i];
        already->n_flagged += counts.by_verdict[SWEEP_FLAGGED];
    }
out:
    return rc;
}

/* Rank 0: what is left to do, and how much was done before. */
static enum status find_missing(struct sweep *s, struct claim_options *options)
{
    enum status rc = STATUS_OK;
    const struct run *run = s->run;
    struct ledger ledger = {0};

    TRY(run_scan_ledger(run, &ledger));
    TRY(ledger_missing(&ledger, &s->missing, &options->n_missing));
    options->missing = s->missing;
    options->max_failed = run->options->max_failed;
    options->failed_from_row = FAILED_FROM_ROW;
    TRY(count_earlier(run, &ledger, &options->already));
    s->shards_done_before = ledger.n_done;
    uint64_t n_done = run->plan.n_rows;
    for (uint64_t i = 0; i < options->n_missing; i++)
        n_done -= plan_shard(&run->plan, s->missing[i]).n_rows;
    /* What the claims' totals count already is not to be added twice. */
    for (int i = 0; i < ITEM_STATUS_COUNT; i++)
        s->rows_done_before += options->already.rows_by_status[i];
    s->rows_done_before = n_done - s->rows_done_before;
    log_info("%" PRIu64 " rows in %" PRIu64 " shards, %" PRIu64 " done before, %d ranks, engine %s (%s)",
             run->plan.n_rows, run->plan.n_shards, ledger.n_done, run->comm.n_ranks, run->engine->name,
             run->engine->device);
    struct progress_totals start = {.rows_total = run->plan.n_rows,
                                    .rows_done = n_done,
                                    .shards_total = run->plan.n_shards,
                                    .shards_done = ledger.n_done};
    progress_start(&s->progress, run->options->progress, stderr, &start, clock_seconds());
out:
    ledger_free(&ledger);
    return rc;
}

/* Rank 0 has nothing left to do, but others may: go on showing how far they are. OUT totals: the last. */
static enum status wait_for_others(struct sweep *s, struct claim_totals *totals)
{
    enum status rc = STATUS_OK;
    const struct timespec pause = {0, 50000000};

    for (;;) {
        TRY(claim_totals(s->claimant, totals));
        TRY(show(s, totals->n_left == totals->n_ranks));
        if (totals->n_left == totals->n_ranks)
            break;
        nanosleep(&pause, NULL);
    }
out:
    return rc;
}

/* Every rank sweeps; OUT whether all parts are there, as the status. Collective. */
static enum status sweep(struct run *run)
{
    enum status rc = STATUS_OK;
    struct sweep s = {.run = run};
    struct claim_options claims = {0};
    struct claim_totals totals = {0};

    TRY_TOGETHER(&run->comm, run->comm.rank == 0 ? find_missing(&s, &claims) : STATUS_OK);
    TRY_TOGETHER(&run->comm, load_open(run, &s.manifest));
    TRY_TOGETHER(&run->comm, open_pipeline(&s));
    TRY(claim_open(run->comm.world, run->comm.rank == 0 ? &claims : NULL, &s.claimant));
    enum status own = sweep_shards(&s);
    struct claim_report last = report(&s);
    pipeline_read_totals(s.pipeline, &s.counted);
    enum status left = claim_leave(s.claimant, &last);
    own = own == STATUS_OK ? left : own;
    if (own == STATUS_OK && run->comm.rank == 0)
        own = wait_for_others(&s, &totals);
    TRY(claim_close(s.claimant));
    if (own == STATUS_OK && s.outcome == STATUS_PLACE)
        log_warn("this rank left early because of a fault of its place");
    TRY_TOGETHER(&run->comm, own);
    TRY(gpu_add_up(run, &s.counted));
    TRY_TOGETHER(&run->comm, run->comm.rank == 0 ? finish_conclude(run, &totals) : STATUS_OK);
out:
    pipeline_close(s.pipeline);
    manifest_close(s.manifest);
    free(s.missing);
    return rc;
}

/* --dry-run, rank 0: what would be done. */
static void print_plan(const struct run *run)
{
    const struct plan *plan = &run->plan;
    struct shard last = plan_shard(plan, plan->n_shards - 1);

    printf("manifest  %s (%s), hash %s\n", run->options->manifest, manifest_format_name(plan->format),
           plan->manifest_hash);
    printf("rows      %" PRIu64 "\n", plan->n_rows);
    printf("shards    %" PRIu64 ", the first of %" PRIu64 " rows, the last of %" PRIu64 "\n", plan->n_shards,
           plan_shard(plan, 0).n_rows, last.n_rows);
    for (size_t i = 0; i < plan->n_columns; i++)
        printf("column    %s, longest value %" PRIu64 " bytes\n", plan->columns[i].name,
               plan->columns[i].longest_bytes);
    for (int i = 0; i < run->cascade.n_stages; i++) {
        const struct stage *s = &run->cascade.stages[i];
        bool open = run->options->engine == ENGINE_CHOICE_AUTO &&
                    run->options->precision == PRECISION_CHOICE_AUTO &&
                    !run->options->stages.items[i].has_precision;
        printf("stage     %s: %s, attention %s, %.2f GMAC, %s, threshold %.9g%s\n", s->name, s->arch,
               s->attention, 1e-9 * (double)s->macs,
               open ? "precision as the engine has it" : precision_name(s->variants[0].precision),
               (double)s->threshold, s->trained ? "" : ", UNTRAINED");
    }
    printf("order     %s\n", run->options->order == ORDER_GIVEN || run->cascade.n_stages < 2
                                 ? "as given"
                                 : "measured when the sweep begins");
}

enum status command_scan(const struct options *options)
{
    enum status rc = STATUS_OK;
    struct run run = {.options = options, .started = time(NULL)};

    TRY(signals_install()); /* before MPI_Init, which takes long on a large job, ... */
    TRY(comm_open(&run.comm));
    TRY_TOGETHER(&run.comm, signals_install()); /* ... and after it, since it may set handlers of its own */
    TRY_TOGETHER(&run.comm, run.comm.rank == 0 ? options_print_table(options, stderr) : STATUS_OK);
    TRY(engine_choice_make(&run));
    TRY(gpu_join(&run));
    TRY(run_load_stages(&run));
    TRY(run_plan(&run));
    if (options->dry_run) {
        if (run.comm.rank == 0)
            print_plan(&run);
        goto out;
    }
    TRY(run_order_stages(&run));
    TRY(run_identify(&run));
    TRY(run_open_engine(&run));
    TRY(run_begin(&run));
    run_release_weights(&run);
    TRY(sweep(&run));
    TRY(finish_gather(&run));
out:
    if (rc == STATUS_PLACE)
        gpu_note_fault(&run);
    if (rc == STATUS_RESUME && run.comm.rank == 0)
        log_warn("stopped before the end: run the same command again to go on");
    run_close(&run);
    if (run.comm.n_ranks > 0)
        comm_close(&run.comm);
    return rc;
}
