#include "job/sweep.h"

#include "base/clock.h"
#include "base/file.h"
#include "job/attempts.h"
#include "job/finish.h"
#include "job/gpu.h"
#include "job/load.h"
#include "job/missing.h"
#include "job/output_lock.h"
#include "job/progress.h"
#include "job/set_aside.h"
#include "job/signals.h"
#include "job/watch.h"
#include "shards/claim.h"
#include "shards/ledger.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TAKE_TIMEOUT_MS 100
#define TELL_EVERY_S 1.0
#define ASK_AGAIN_S 0.25

/* The state of the shard loop on one rank. */
struct sweep {
    struct run *run;
    struct manifest *manifest;
    struct pipeline *pipeline;
    struct claimant *claimant;
    struct progress progress; /* rank 0 */
    struct missing missing;   /* rank 0: what there is to do */
    uint64_t n_parts_written, n_rows_set_aside;
    struct pipeline_totals counted; /* by this rank, when its loop has ended */
    enum status outcome;            /* why this rank stopped claiming, or STATUS_OK */
    bool no_more;                   /* to claim */
    double told_s, ask_s;           /* when it last told, and when it may ask again */
};

static struct claim_report report(const struct sweep *s)
{
    struct claim_report r = {.n_shards = s->n_parts_written, .stop_asked = signals_wanted() != SIGNALS_NONE};
    struct pipeline_totals totals;

    pipeline_read_totals(s->pipeline, &totals);
    memcpy(r.rows_by_status, totals.counts.rows_by_status, sizeof(r.rows_by_status));
    r.rows_by_status[ITEM_SET_ASIDE] += s->n_rows_set_aside;
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

/* Another rank was faster with a shard that this one is at. */
static void drop(struct sweep *s, const struct claim_answer *answer)
{
    if (answer->has_drop)
        pipeline_drop(s->pipeline, answer->drop);
}

static enum status ask(struct sweep *s, struct claim_answer *answer)
{
    struct claim_report totals = report(s);

    watch_begin(WATCH_CLAIM, -1, "asking rank 0 for a shard");
    enum status rc = claim_next(s->claimant, &totals, answer);
    watch_end();
    return rc;
}

/* Tell rank 0 what became of a shard, by one of claim_done, claim_hand_back and claim_failed. */
static enum status say(struct sweep *s,
                       enum status (*what)(struct claimant *, const struct claim_report *, uint64_t),
                       uint64_t shard)
{
    struct claim_report totals = report(s);

    watch_begin(WATCH_CLAIM, (int64_t)shard, "telling rank 0 of a shard");
    enum status rc = what(s->claimant, &totals, shard);
    watch_end();
    return rc;
}

/* Put the part in its place, unless another rank has. */
static enum status commit(struct sweep *s, const struct work *work, bool *existed)
{
    enum status rc = STATUS_OK;
    const char *out = s->run->options->out;
    char path[LEDGER_PATH_SIZE];

    *existed = false;
    TRY(output_lock_check(s->run));
    TRY(gpu_note_events(s->run)); /* first: a part must not be committed without them */
    TRY(ledger_part_folder(out, work->shard, path));
    TRY(file_make_folders(path));
    TRY(ledger_part_path(out, work->shard, s->run->print.hex, path));
    TRY(part_write(work->part, path, s->run->print.hex, existed));
out:
    return rc;
}

static enum status write_part(struct sweep *s, struct work *work)
{
    enum status rc = STATUS_OK;
    bool existed;

    watch_begin(WATCH_WRITE, (int64_t)work->shard, "its part");
    TRY(commit(s, work, &existed));
    if (existed) {
        pipeline_uncount(s->pipeline, work);
        attempts_log(s->run, "dropped", "shard=%" PRIu64, work->shard);
    } else {
        s->n_parts_written++;
        attempts_log(s->run, "part", "shard=%" PRIu64 " rows=%" PRIu64 " seconds=%.3f", work->shard,
                     work->n_rows, clock_seconds() - work->begun_s);
    }
    TRY(say(s, claim_done, work->shard));
    s->ask_s = 0;
out:
    watch_end();
    return rc;
}

/* A shard that failed on so many hosts that it is given up: a part of rows with the status set_aside. */
static enum status give_up(struct sweep *s, uint64_t shard)
{
    enum status rc = STATUS_OK;
    struct work *work = NULL;

    TRY(set_aside_make(s->run, s->manifest, shard, &work));
    work->begun_s = clock_seconds();
    TRY(write_part(s, work));
    s->n_rows_set_aside += work->n_rows;
out:
    work_free(work);
    return rc;
}

static enum status begin_shard(struct sweep *s, uint64_t shard)
{
    enum status rc = STATUS_OK;
    struct work *work;

    attempts_log(s->run, "claimed", "shard=%" PRIu64, shard);
    watch_begin(WATCH_LOAD, (int64_t)shard, s->run->options->manifest);
    TRY(inputs_check_manifest(s->run));
    TRY(load_shard(s->run, s->manifest, shard, &work));
    pipeline_push(s->pipeline, work);
out:
    watch_end();
    return rc;
}

/* A fault of this host: this rank stops, and others may try the shard. */
static enum status abandon(struct sweep *s, uint64_t shard, bool shard_is_to_blame)
{
    enum status rc = STATUS_OK;

    if (s->outcome != STATUS_PLACE) /* said once: what else is in hand meets the same fault */
        log_error("this rank abandons shard %" PRIu64
                  " and stops: the fault is of the place, not of a picture; run the "
                  "same command again when it is mended",
                  shard);
    attempts_log(s->run, shard_is_to_blame ? "shard_failed" : "released", "shard=%" PRIu64 " cause=place",
                 shard);
    TRY(say(s, shard_is_to_blame ? claim_failed : claim_hand_back, shard));
    stop_claiming(s, STATUS_PLACE);
    s->outcome = STATUS_PLACE;
    pipeline_abandon(s->pipeline); /* the rows behind would meet the same fault */
out:
    return rc;
}

static enum status take_on(struct sweep *s, const struct claim_answer *answer)
{
    enum status rc = answer->kind == CLAIM_SHARD ? begin_shard(s, answer->shard) : give_up(s, answer->shard);

    if (rc == STATUS_PLACE)
        rc = abandon(s, answer->shard, false);
    return rc;
}

/* Claim shards until the workers have enough to go on with. */
static enum status feed(struct sweep *s)
{
    enum status rc = STATUS_OK;
    struct claim_answer answer;

    /* An engine that computes batches must not meet the end of one shard with a batch half full. */
    uint64_t enough =
        (uint64_t)s->run->n_workers + (s->run->engine->batch > 1 ? 2 * (uint64_t)s->run->engine->batch : 0);

    while (!s->no_more && clock_seconds() >= s->ask_s && pipeline_rows_waiting(s->pipeline) < enough) {
        TRY(ask(s, &answer));
        drop(s, &answer);
        if (answer.kind == CLAIM_WAIT)
            s->ask_s = clock_seconds() + ASK_AGAIN_S;
        else if (answer.kind == CLAIM_NONE || answer.kind == CLAIM_STOP)
            stop_claiming(s, answer.kind == CLAIM_STOP ? stop_status(answer.stop) : STATUS_OK);
        else
            TRY(take_on(s, &answer));
    }
out:
    return rc;
}

/* A shard came back undone, because this rank stops or another was faster. */
static enum status release(struct sweep *s, const struct work *work)
{
    attempts_log(s->run, work->dropped ? "dropped" : "released", "shard=%" PRIu64, work->shard);
    return work->dropped ? STATUS_OK : say(s, claim_hand_back, work->shard);
}

/* A shard came back: whole, or given up. */
static enum status take_back(struct sweep *s, struct work *work)
{
    enum status rc = STATUS_OK;

    log_set_shard((int64_t)work->shard);
    if (work->status == STATUS_OK) {
        rc = write_part(s, work);
        if (rc == STATUS_PLACE) {
            pipeline_uncount(s->pipeline, work);
            rc = abandon(s, work->shard, false);
        }
    } else if (work->status == STATUS_RESUME) {
        rc = release(s, work);
    } else if (work->status == STATUS_PLACE) {
        (void)gpu_note_events(s->run); /* said where it failed */
        rc = abandon(s, work->shard, !s->run->noted.device_failed);
    } else {
        rc = work->status;
    }
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
    struct progress_totals shown = {.rows_total = run->plan.n_rows,
                                    .shards_total = run->plan.n_shards,
                                    .rows_done = s->missing.n_rows_done};

    if (run->comm.rank != 0 || s->progress.mode == PROGRESS_NONE)
        goto out;
    TRY(claim_totals(s->claimant, &job));
    pipeline_read_totals(s->pipeline, &own);
    for (int i = 0; i < ITEM_STATUS_COUNT; i++) {
        shown.rows_done += job.sum.rows_by_status[i];
        shown.rows_failed += claim_status_failed((enum item_status)i) ? job.sum.rows_by_status[i] : 0;
    }
    shown.shards_done = s->missing.n_shards_done + job.sum.n_shards;
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

/* Rank 0: has a rank that should be at work not been heard of for too long? Its host is frozen or cut off. */
static enum status check_silence(const struct sweep *s)
{
    enum status rc = STATUS_OK;
    struct claim_totals job;
    char what[64];

    if (s->run->comm.rank != 0)
        goto out;
    TRY(claim_totals(s->claimant, &job));
    if (job.silent_s > (double)s->run->options->stall_timeout) {
        snprintf(what, sizeof(what), "rank %d, which is not heard of", job.silent_rank);
        watch_end_job(what, job.silent_s);
    }
out:
    return rc;
}

/* Once a second: tell rank 0 how far this rank is, and hear whether to stop. */
static enum status tell(struct sweep *s)
{
    enum status rc = STATUS_OK;
    double now = clock_seconds();
    struct claim_answer news;
    struct claim_report totals;

    if (now - s->told_s < TELL_EVERY_S)
        goto out;
    s->told_s = now;
    totals = report(s);
    watch_begin(WATCH_CLAIM, -1, "telling rank 0 how far this rank is");
    TRY(claim_tell(s->claimant, &totals, &news));
    drop(s, &news);
    if (news.stop == CLAIM_STOP_SIGNAL)
        stop_claiming(s, STATUS_RESUME);
    if (news.stop == CLAIM_STOP_FAILED) {
        stop_claiming(s, STATUS_TOO_MANY_FAILED);
        pipeline_abandon(s->pipeline);
    }
    TRY(check_silence(s));
out:
    watch_end();
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
        watch_expect(!pipeline_is_empty(s->pipeline));
        struct work *work = pipeline_take(s->pipeline, TAKE_TIMEOUT_MS);
        if (work != NULL)
            TRY(take_back(s, work));
        TRY(tell(s));
        TRY(show(s, false));
    }
out:
    watch_expect(false);
    return rc;
}

static enum status open_pipeline(struct sweep *s)
{
    const struct options *o = s->run->options;
    struct pipeline_options how = {
        .engine = s->run->engine,
        .cascade = &s->run->cascade,
        .isolation = s->run->isolation,
        .root = o->root,
        .max_bytes = o->max_bytes,
        .picture = {o->decode, o->resample, (int)o->resize, (int)o->size, o->max_pixels},
        .heatmaps = o->heatmaps,
        .n_workers = s->run->n_workers,
    };
    return pipeline_open(&how, &s->pipeline);
}

static enum status open_rank_0(struct sweep *s)
{
    enum status rc = STATUS_OK;
    const struct run *run = s->run;

    if (run->comm.rank != 0)
        goto out;
    TRY(missing_find(run, &s->missing));
    log_info("%" PRIu64 " rows in %" PRIu64 " shards, %" PRIu64 " done before, %d ranks, engine %s (%s)",
             run->plan.n_rows, run->plan.n_shards, s->missing.n_shards_done, run->comm.n_ranks,
             run->engine->name, run->engine->device);
    struct progress_totals start = {.rows_total = run->plan.n_rows,
                                    .rows_done = s->missing.n_rows_done + s->missing.n_rows_counted,
                                    .shards_total = run->plan.n_shards,
                                    .shards_done = s->missing.n_shards_done};
    progress_start(&s->progress, run->options->progress, stderr, &start, clock_seconds());
out:
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
        TRY(check_silence(s));
        nanosleep(&pause, NULL);
    }
out:
    return rc;
}

/* This rank's loop, from its first claim until all ranks have stopped. OUT totals: on rank 0. */
static enum status sweep_all(struct sweep *s, struct claim_totals *totals)
{
    enum status rc = STATUS_OK;

    attempts_begin(s->run);
    enum status own = sweep_shards(s);
    struct claim_report last = report(s);
    pipeline_read_totals(s->pipeline, &s->counted);
    enum status left = claim_leave(s->claimant, &last);
    own = own == STATUS_OK ? left : own;
    attempts_log(s->run, "end", "outcome=%s", status_name(own == STATUS_OK ? s->outcome : own));
    if (own == STATUS_OK && s->run->comm.rank == 0)
        own = wait_for_others(s, totals);
    TRY(claim_close(s->claimant));
    if (own == STATUS_OK && s->outcome == STATUS_PLACE)
        log_warn("this rank left early because of a fault of its place");
    rc = own;
out:
    return rc;
}

enum status sweep_run(struct run *run)
{
    enum status rc = STATUS_OK;
    struct sweep s = {.run = run};
    struct claim_totals totals = {0};

    TRY_TOGETHER(&run->comm, open_rank_0(&s));
    TRY_TOGETHER(&run->comm, load_open(run, &s.manifest));
    TRY_TOGETHER(&run->comm, open_pipeline(&s));
    TRY(claim_open(run->comm.world, run->comm.rank == 0 ? &s.missing.claims : NULL, &s.claimant));
    TRY_TOGETHER(&run->comm, sweep_all(&s, &totals));
    TRY(gpu_add_up(run, &s.counted));
    TRY_TOGETHER(&run->comm, run->comm.rank == 0 ? finish_conclude(run, &totals) : STATUS_OK);
out:
    pipeline_close(s.pipeline);
    manifest_close(s.manifest);
    missing_free(&s.missing);
    return rc;
}
