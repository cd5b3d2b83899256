#include "job/pipeline.h"

#include "base/clock.h"
#include "io/decode.h"
#include "job/lane.h"
#include "job/watch.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TARS_HELD 64
#define TAR_INDEX_BYTES (512u << 20)

struct worker {
    struct pipeline *pipeline;
    pthread_t thread;
    bool started;
    struct fetcher *fetcher;
    struct decoder *decoder;           /* one of these two is there */
    struct isolated_decoder *isolated; /* in a helper process */
    uint8_t *own_crop;                 /* where the decoder is here */
    struct lane *lane;
    uint8_t *crop;
};

struct pipeline {
    struct pipeline_options options;
    struct tar_cache *tars;
    struct worker *workers;
    struct lane **lanes;
    int n_lanes;
    pthread_mutex_t lock;
    pthread_cond_t rows_there, work_done;
    struct work_list inside, finished; /* inside: with rows not taken or not done */
    struct pipeline_totals totals;
    bool closing;
};

/* The lock is held. The rows of a shard that was given up will be done again. */
static void uncount(struct pipeline *p, struct work *work)
{
    struct row_counts *total = &p->totals.counts;

    for (int i = 0; i < ITEM_STATUS_COUNT; i++)
        total->rows_by_status[i] -= work->counts.rows_by_status[i];
    total->n_flagged -= work->counts.n_flagged;
    for (int s = 0; s < CASCADE_MAX_STAGES; s++)
        for (int b = 0; b < SCORE_BINS; b++)
            total->histogram[s][b] -= work->counts.histogram[s][b];
}

/* The lock is held. A shard whose taken rows are all done, and of which no row is left to take, goes back. */
static void finish_if_done(struct pipeline *p, struct work *work)
{
    bool nothing_left = work->n_taken == work->n_rows || work->status != STATUS_OK;

    if (nothing_left && work->n_done == work->n_taken) {
        if (work->status != STATUS_OK)
            uncount(p, work);
        work_list_remove(&p->inside, work);
        work_list_append(&p->finished, work);
        pthread_cond_signal(&p->work_done);
    }
}

static void row_done(struct pipeline *p, struct work *work)
{
    watch_progress();
    pthread_mutex_lock(&p->lock);
    work->n_done++;
    finish_if_done(p, work);
    pthread_mutex_unlock(&p->lock);
}

/* A fault that is not the picture's: the row stays undone and the shard is given up. */
static void abandon_work(struct pipeline *p, struct work *work, enum status status)
{
    pthread_mutex_lock(&p->lock);
    if (work->status == STATUS_OK)
        work->status = status == STATUS_MEMORY ? STATUS_PLACE : status; /* memory is a matter of the place */
    work->n_done++;
    finish_if_done(p, work);
    pthread_mutex_unlock(&p->lock);
}

static int bin_of(float score)
{
    int bin = (int)(score * SCORE_BINS);
    return bin < SCORE_BINS ? bin : SCORE_BINS - 1;
}

/* IN scores: [n_stages], NaN: not run; NULL: none. */
static void add_row(struct row_counts *counts, enum item_status status, enum verdict verdict,
                    const float *scores, int n_stages)
{
    counts->rows_by_status[status]++;
    counts->n_flagged += verdict == VERDICT_FLAGGED;
    for (int s = 0; scores != NULL && s < n_stages; s++)
        if (scores[s] >= 0)
            counts->histogram[s][bin_of(scores[s])]++;
}

static void count_row(struct pipeline *p, struct work *work, enum item_status status, enum verdict verdict,
                      const float *scores)
{
    int n_stages = p->options.cascade->n_stages;

    pthread_mutex_lock(&p->lock);
    add_row(&work->counts, status, verdict, scores, n_stages);
    add_row(&p->totals.counts, status, verdict, scores, n_stages);
    pthread_mutex_unlock(&p->lock);
}

/* Keep the maps that the mode asks for. OUT numeric: a map does not fit into float16. */
static enum status keep_maps(const struct pipeline *p, const struct ticket *t,
                             const struct engine_result *result, enum verdict verdict, bool *numeric)
{
    enum status rc = STATUS_OK;
    enum sweep_heatmaps mode = p->options.heatmaps;

    if (mode == HEATMAPS_NONE || (mode == HEATMAPS_FLAGGED && verdict != VERDICT_FLAGGED))
        goto out;
    for (int s = 0; s < p->options.cascade->n_stages; s++) {
        if (result->map[s] == NULL)
            continue;
        enum status one = part_set_map(t->work->part, t->row, (uint32_t)s, result->map[s]);
        if (one == STATUS_INPUT)
            *numeric = true;
        else
            TRY(one);
    }
out:
    return rc;
}

static enum status write_row(struct pipeline *p, const struct ticket *t, const struct engine_result *result)
{
    enum status rc = STATUS_OK;
    const struct cascade *cascade = p->options.cascade;
    enum item_status status = t->info.status;
    const char *message = t->info.message;
    bool numeric = false;

    part_set_picture(t->work->part, t->row, t->info.width, t->info.height, (uint8_t)t->info.orientation,
                     t->info.content_hash);
    enum verdict verdict = VERDICT_FAILED;
    if (result != NULL) {
        verdict = cascade_verdict(cascade, result->score, result->numeric_error);
        for (int s = 0; s < cascade->n_stages; s++)
            part_set_score(t->work->part, t->row, (uint32_t)s, result->score[s]);
        if (!result->numeric_error)
            TRY(keep_maps(p, t, result, verdict, &numeric));
        if (result->numeric_error || numeric) {
            status = ITEM_NUMERIC_ERROR;
            verdict = VERDICT_FAILED;
            message = NULL;
        }
    }
    TRY(part_set_outcome(t->work->part, t->row, status, (enum sweep_verdict)verdict,
                         message == NULL || message[0] == '\0' ? NULL : message));
    count_row(p, t->work, status, verdict, result == NULL ? NULL : result->score);
out:
    return rc;
}

/* OUT the row, whatever became of it; result is NULL where the picture could not be scored. */
static void deliver(struct pipeline *p, const struct ticket *t, const struct engine_result *result)
{
    enum status status = write_row(p, t, result);
    if (status == STATUS_OK)
        row_done(p, t->work);
    else
        abandon_work(p, t->work, status);
}

static void fail(struct pipeline *p, const struct ticket *ticket, enum status status)
{
    abandon_work(p, ticket->work, status);
}

static bool is_scored(enum item_status status)
{
    return status == ITEM_OK || status == ITEM_TRUNCATED;
}

static enum status decode(const struct worker *w, const uint8_t *bytes, size_t n, struct picture_info *info)
{
    const struct picture_options *options = &w->pipeline->options.picture;

    return w->isolated != NULL ? isolated_decoder_decode(w->isolated, bytes, n, options, w->crop, info)
                               : decoder_decode(w->decoder, bytes, n, options, w->crop, info);
}

static void process(struct worker *w, const struct ticket *taken)
{
    struct pipeline *p = w->pipeline;
    struct ticket t = *taken;
    const uint8_t *bytes;
    size_t n;
    double start = clock_seconds(), decoded;

    int64_t shard = (int64_t)t.work->shard;
    const char *uri = t.work->uris[t.row];
    log_set_shard(shard);
    watch_begin(WATCH_FETCH, shard, uri);
    enum status status = fetcher_read(w->fetcher, uri, &bytes, &n, &t.info);
    if (status == STATUS_OK && t.info.status == ITEM_OK) {
        watch_begin(WATCH_DECODE, shard, uri);
        status = decode(w, bytes, n, &t.info);
    }
    decoded = clock_seconds();
    watch_begin(WATCH_COMPUTE, shard, uri);
    if (status != STATUS_OK)
        abandon_work(p, t.work, status);
    else if (is_scored(t.info.status))
        lane_put(w->lane, w->crop, &t);
    else
        deliver(p, &t, NULL);
    watch_end();
    pthread_mutex_lock(&p->lock);
    p->totals.decode_s += decoded - start;
    p->totals.compute_s += clock_seconds() - decoded;
    pthread_mutex_unlock(&p->lock);
}

/* The lock is held. The next row of the oldest shard that has one. */
static bool take_row(struct pipeline *p, struct ticket *t)
{
    for (struct work *work = p->inside.first; work != NULL; work = work->next) {
        if (work->status != STATUS_OK || work->n_taken == work->n_rows)
            continue;
        uint64_t row = work->n_taken++;
        *t = (struct ticket){.work = work, .row = row, .request = {work->stages, work->exhaustive[row]}};
        return true;
    }
    return false;
}

static void *worker_main(struct worker *w)
{
    struct pipeline *p = w->pipeline;
    struct ticket ticket;

    for (;;) {
        pthread_mutex_lock(&p->lock);
        double start = clock_seconds();
        bool got = take_row(p, &ticket);
        if (!got) {
            pthread_mutex_unlock(&p->lock);
            watch_begin(WATCH_COMPUTE, -1, "the rest of a batch");
            lane_flush(w->lane);
            watch_end();
            pthread_mutex_lock(&p->lock);
            while (!p->closing && !(got = take_row(p, &ticket)))
                pthread_cond_wait(&p->rows_there, &p->lock);
        }
        p->totals.wait_s += clock_seconds() - start;
        if (p->closing) {
            if (got)
                ticket.work->n_taken--; /* nobody will do it */
            pthread_mutex_unlock(&p->lock);
            return NULL;
        }
        pthread_mutex_unlock(&p->lock);
        process(w, &ticket);
    }
}

static void *worker_entry(void *argument)
{
    return worker_main((struct worker *)argument);
}

static enum status open_decoder(struct worker *w)
{
    enum status rc = STATUS_OK;
    const struct pipeline_options *o = &w->pipeline->options;
    size_t side = (size_t)o->picture.size;

    if (o->isolation != NULL) {
        TRY(isolated_decoder_open(o->isolation, &w->isolated));
        w->crop = isolated_decoder_crop(w->isolated);
        goto out;
    }
    TRY(decoder_open(&w->decoder));
    w->own_crop = malloc(side * side * 3);
    if (w->own_crop == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    w->crop = w->own_crop;
out:
    return rc;
}

static enum status open_worker(struct pipeline *p, int index)
{
    enum status rc = STATUS_OK;
    struct worker *w = &p->workers[index];
    struct fetch_options fetch = {p->options.root, p->options.max_bytes, p->tars};

    w->pipeline = p;
    w->lane = p->lanes[index % p->n_lanes];
    TRY(fetcher_open(&fetch, &w->fetcher));
    TRY(open_decoder(w));
    int error = pthread_create(&w->thread, NULL, worker_entry, w);
    if (error != 0)
        FAIL(STATUS_PLACE, "cannot start a worker thread: %s", strerror(error));
    w->started = true;
out:
    return rc;
}

enum status pipeline_open(const struct pipeline_options *options, struct pipeline **out)
{
    enum status rc = STATUS_OK;
    struct pipeline *p = calloc(1, sizeof(*p));
    pthread_condattr_t monotonic;

    if (p == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    p->options = *options;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->rows_there, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&p->work_done, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int most = options->engine->max_instances;
    p->n_lanes = options->n_workers < most ? options->n_workers : most;
    p->workers = calloc((size_t)options->n_workers, sizeof(*p->workers));
    p->lanes = calloc((size_t)p->n_lanes, sizeof(struct lane *));
    if (p->workers == NULL || p->lanes == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    TRY(tar_cache_open(TARS_HELD, TAR_INDEX_BYTES, &p->tars));
    for (int i = 0; i < p->n_lanes; i++)
        TRY(lane_open(options->engine, options->picture.size, (struct lane_receiver){p, deliver, fail},
                      &p->lanes[i]));
    for (int i = 0; i < options->n_workers; i++)
        TRY(open_worker(p, i));
    *out = p;
    p = NULL;
out:
    pipeline_close(p);
    return rc;
}

void pipeline_close(struct pipeline *p)
{
    if (p == NULL)
        return;
    pthread_mutex_lock(&p->lock);
    p->closing = true;
    pthread_cond_broadcast(&p->rows_there);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; p->workers != NULL && i < p->options.n_workers; i++) {
        struct worker *w = &p->workers[i];
        if (w->started)
            pthread_join(w->thread, NULL);
        fetcher_close(w->fetcher);
        decoder_close(w->decoder);
        isolated_decoder_close(w->isolated);
        free(w->own_crop);
    }
    for (int i = 0; p->lanes != NULL && i < p->n_lanes; i++)
        lane_close(p->lanes[i]);
    work_list_free(&p->inside);
    work_list_free(&p->finished);
    if (p->tars != NULL)
        tar_cache_close(p->tars);
    pthread_cond_destroy(&p->rows_there);
    pthread_cond_destroy(&p->work_done);
    pthread_mutex_destroy(&p->lock);
    free(p->lanes);
    free(p->workers);
    free(p);
}

void pipeline_push(struct pipeline *p, struct work *work)
{
    work->begun_s = clock_seconds();
    pthread_mutex_lock(&p->lock);
    work_list_append(&p->inside, work);
    pthread_cond_broadcast(&p->rows_there);
    pthread_mutex_unlock(&p->lock);
}

uint64_t pipeline_rows_waiting(struct pipeline *p)
{
    uint64_t n = 0;

    pthread_mutex_lock(&p->lock);
    for (struct work *work = p->inside.first; work != NULL; work = work->next)
        n += work->status == STATUS_OK ? work->n_rows - work->n_taken : 0;
    pthread_mutex_unlock(&p->lock);
    return n;
}

bool pipeline_is_empty(struct pipeline *p)
{
    pthread_mutex_lock(&p->lock);
    bool empty = p->inside.first == NULL && p->finished.first == NULL;
    pthread_mutex_unlock(&p->lock);
    return empty;
}

struct work *pipeline_take(struct pipeline *p, int timeout_ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += timeout_ms % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&p->lock);
    while (p->finished.first == NULL)
        if (pthread_cond_timedwait(&p->work_done, &p->lock, &until) == ETIMEDOUT)
            break;
    struct work *work = p->finished.first;
    if (work != NULL)
        work_list_remove(&p->finished, work);
    pthread_mutex_unlock(&p->lock);
    return work;
}

void pipeline_abandon(struct pipeline *p)
{
    struct work *next;

    pthread_mutex_lock(&p->lock);
    for (struct work *work = p->inside.first; work != NULL; work = next) {
        next = work->next;
        if (work->status == STATUS_OK)
            work->status = STATUS_RESUME;
        finish_if_done(p, work);
    }
    pthread_mutex_unlock(&p->lock);
}

void pipeline_drop(struct pipeline *p, uint64_t shard)
{
    pthread_mutex_lock(&p->lock);
    for (struct work *work = p->inside.first; work != NULL; work = work->next) {
        if (work->shard != shard)
            continue;
        work->dropped = true;
        if (work->status == STATUS_OK)
            work->status = STATUS_RESUME;
        finish_if_done(p, work);
        break;
    }
    pthread_mutex_unlock(&p->lock);
}

void pipeline_uncount(struct pipeline *p, struct work *work)
{
    pthread_mutex_lock(&p->lock);
    uncount(p, work);
    pthread_mutex_unlock(&p->lock);
}

void pipeline_read_totals(struct pipeline *p, struct pipeline_totals *totals)
{
    pthread_mutex_lock(&p->lock);
    *totals = p->totals;
    pthread_mutex_unlock(&p->lock);
}
