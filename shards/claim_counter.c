#include "shards/claim_counter.h"

#include "base/clock.h"
#include "shards/claim_board.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct claim_counter {
    pthread_mutex_t lock; /* of all below */
    struct claim_board *board;
    double max_failed;
    uint64_t failed_from_row;
    struct claim_report already;
    struct claim_report *reports; /* [n_ranks] the last of each */
    bool *left;                   /* [n_ranks] */
    double *heard_s;              /* [n_ranks] when each was last heard of */
    int n_ranks;
    enum claim_stop stop;
};

bool claim_status_failed(enum item_status status)
{
    static const bool scored[] = {
#define X(value, upper, name, is_scored, meaning) [value] = is_scored,
        ITEM_STATUS_LIST(X)
#undef X
    };

    return !scored[status];
}

enum status claim_counter_open(const struct claim_options *options, const uint64_t *hosts, int n_ranks,
                               struct claim_counter **out)
{
    enum status rc = STATUS_OK;
    struct claim_counter *counter = calloc(1, sizeof(*counter));

    if (counter == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    pthread_mutex_init(&counter->lock, NULL);
    counter->n_ranks = n_ranks;
    counter->max_failed = options->max_failed;
    counter->failed_from_row = options->failed_from_row;
    counter->already = options->already;
    counter->reports = calloc((size_t)n_ranks, sizeof(*counter->reports));
    counter->left = calloc((size_t)n_ranks, sizeof(*counter->left));
    counter->heard_s = calloc((size_t)n_ranks, sizeof(*counter->heard_s));
    if (counter->reports == NULL || counter->left == NULL || counter->heard_s == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    for (int rank = 0; rank < n_ranks; rank++)
        counter->heard_s[rank] = clock_seconds();
    TRY(claim_board_open(options, hosts, n_ranks, &counter->board));
    *out = counter;
    counter = NULL;
out:
    claim_counter_close(counter);
    return rc;
}

void claim_counter_close(struct claim_counter *counter)
{
    if (counter == NULL)
        return;
    pthread_mutex_destroy(&counter->lock);
    claim_board_close(counter->board);
    free(counter->heard_s);
    free(counter->left);
    free(counter->reports);
    free(counter);
}

static void add_report(struct claim_report *sum, const struct claim_report *report)
{
    for (size_t i = 0; i < ITEM_STATUS_COUNT; i++)
        sum->rows_by_status[i] += report->rows_by_status[i];
    sum->n_flagged += report->n_flagged;
    sum->n_shards += report->n_shards;
    sum->stop_asked |= report->stop_asked;
}

static struct claim_report sum_reports(const struct claim_counter *counter)
{
    struct claim_report sum = counter->already;

    for (int rank = 0; rank < counter->n_ranks; rank++)
        add_report(&sum, &counter->reports[rank]);
    return sum;
}

/* "600 missing, 12 corrupt" */
static void describe_failures(const struct claim_report *sum, char *text, size_t size)
{
    size_t used = 0;

    text[0] = '\0';
    for (int i = 0; i < ITEM_STATUS_COUNT && used < size; i++) {
        enum item_status status = (enum item_status)i;
        if (!claim_status_failed(status) || sum->rows_by_status[i] == 0)
            continue;
        int n = snprintf(text + used, size - used, "%s%" PRIu64 " %s", used > 0 ? ", " : "",
                         sum->rows_by_status[i], item_status_name(status));
        used += n > 0 ? (size_t)n : 0;
    }
}

/* The first reason to stop stays. */
static void decide_stop(struct claim_counter *counter)
{
    struct claim_report sum = sum_reports(counter);
    uint64_t n_rows = 0, n_failed = 0;

    if (counter->stop != CLAIM_GO_ON)
        return;
    for (int i = 0; i < ITEM_STATUS_COUNT; i++) {
        n_rows += sum.rows_by_status[i];
        if (claim_status_failed((enum item_status)i) && i != ITEM_SET_ASIDE) /* given up knowingly */
            n_failed += sum.rows_by_status[i];
    }
    if (n_rows > 0 && n_rows >= counter->failed_from_row &&
        (double)n_failed > counter->max_failed * (double)n_rows) {
        char failures[256];

        counter->stop = CLAIM_STOP_FAILED;
        describe_failures(&sum, failures, sizeof(failures));
        log_error("%" PRIu64 " of the first %" PRIu64
                  " rows failed (%s), more than --max-failed %g%% allows: is --root "
                  "right, and all of the pool there? Correct it and run again, or allow more",
                  n_failed, n_rows, failures, 100 * counter->max_failed);
    } else if (sum.stop_asked) {
        counter->stop = CLAIM_STOP_SIGNAL;
        log_info("asked to stop: no more shards are handed out");
    }
}

/* The lock is held. */
static enum status note(struct claim_counter *counter, int rank, enum claim_request request, uint64_t shard,
                        double now_s)
{
    switch (request) {
    case CLAIM_DONE:
        claim_board_done(counter->board, rank, shard, now_s);
        break;
    case CLAIM_HAND_BACK:
        claim_board_hand_back(counter->board, rank, shard);
        break;
    case CLAIM_FAILED:
        return claim_board_failed(counter->board, rank, shard);
    case CLAIM_LEAVE:
        counter->left[rank] = true;
        claim_board_leave(counter->board, rank);
        break;
    case CLAIM_ASK:
    case CLAIM_TELL:
        break;
    }
    return STATUS_OK;
}

enum status claim_counter_serve(struct claim_counter *counter, int rank, enum claim_request request,
                                const struct claim_report *report, uint64_t shard,
                                struct claim_answer *answer)
{
    enum status rc = STATUS_OK;
    double now_s = clock_seconds();
    struct claim_answer say = {.kind = CLAIM_NONE};

    pthread_mutex_lock(&counter->lock);
    counter->reports[rank] = *report;
    counter->heard_s[rank] = now_s;
    decide_stop(counter);
    TRY(note(counter, rank, request, shard, now_s));
    if (counter->stop != CLAIM_GO_ON) {
        say.kind = CLAIM_STOP;
        say.stop = counter->stop;
    } else if (request == CLAIM_ASK) {
        claim_board_pick(counter->board, rank, now_s, &say);
    }
    say.has_drop = claim_board_drop(counter->board, rank, &say.drop);
    *answer = say;
out:
    pthread_mutex_unlock(&counter->lock);
    return rc;
}

/* The lock is held. */
static void find_silent(const struct claim_counter *counter, struct claim_totals *totals)
{
    double now_s = clock_seconds();

    for (int rank = 0; rank < counter->n_ranks; rank++) {
        double silent_s = now_s - counter->heard_s[rank];
        if (!counter->left[rank] && silent_s > totals->silent_s) {
            totals->silent_rank = rank;
            totals->silent_s = silent_s;
        }
    }
}

static int count_left(const struct claim_counter *counter, int from)
{
    int n = 0;

    for (int rank = from; rank < counter->n_ranks; rank++)
        n += counter->left[rank];
    return n;
}

void claim_counter_totals(struct claim_counter *counter, struct claim_totals *totals)
{
    pthread_mutex_lock(&counter->lock);
    *totals = (struct claim_totals){.sum = sum_reports(counter),
                                    .n_unclaimed = claim_board_unclaimed(counter->board),
                                    .n_ranks = counter->n_ranks,
                                    .n_left = count_left(counter, 0),
                                    .stop = counter->stop};
    find_silent(counter, totals);
    pthread_mutex_unlock(&counter->lock);
}

bool claim_counter_others_left(struct claim_counter *counter)
{
    pthread_mutex_lock(&counter->lock);
    bool all = count_left(counter, 1) == counter->n_ranks - 1;
    pthread_mutex_unlock(&counter->lock);
    return all;
}
