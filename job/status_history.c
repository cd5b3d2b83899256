#include "job/status_history.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLAIMS_MOST 4096 /* in a rank's hands at once; it has a few */

struct reader {
    struct attempt_visitor base;
    struct sweep_history *history;
};

static enum status make_room(void **items, size_t n, size_t *room, size_t item_size)
{
    enum status rc = STATUS_OK;

    if (n < *room)
        goto out;
    size_t more = *room == 0 ? 16 : 2 * *room;
    void *grown = realloc(*items, more * item_size);
    if (grown == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    *items = grown;
    *room = more;
out:
    return rc;
}

static void forget_ranks(struct sweep_history *h)
{
    for (size_t i = 0; i < h->n_ranks; i++)
        free(h->ranks[i].claims);
    h->n_ranks = 0;
}

/* The last attempt is over: whose ranks were not heard of to the end? */
static enum status count_silent(struct sweep_history *h)
{
    enum status rc = STATUS_OK;

    for (size_t i = 0; i < h->n_ranks; i++)
        if (h->ranks[i].begun && !h->ranks[i].ended)
            TRY(host_table_fault(&h->hosts, h->attempts[h->n_attempts - 1].key, h->ranks[i].host,
                                 HOST_SILENT));
out:
    return rc;
}

enum status history_judge_hosts(struct sweep_history *h, bool running)
{
    enum status rc = STATUS_OK;

    if (!running)
        TRY(count_silent(h));
    TRY(host_table_judge(&h->hosts, running ? h->attempts[h->n_attempts - 1].key : NULL));
out:
    return rc;
}

/* An attempt's files follow each other, so it is the last one or new. */
static enum status find_attempt(struct sweep_history *h, const struct attempt_event *event,
                                struct sweep_attempt **found)
{
    enum status rc = STATUS_OK;
    void *items = h->attempts;

    if (h->n_attempts == 0 || strcmp(h->attempts[h->n_attempts - 1].name, event->attempt) != 0) {
        TRY(count_silent(h));
        forget_ranks(h);
        TRY(make_room(&items, h->n_attempts, &h->attempt_room, sizeof(*h->attempts)));
        h->attempts = items;
        struct sweep_attempt *made = &h->attempts[h->n_attempts++];
        *made = (struct sweep_attempt){.begun_s = event->time_s, .last_s = event->time_s};
        memcpy(made->name, event->attempt, sizeof(made->name));
        memcpy(made->key, event->attempt, sizeof(event->attempt));
    }
    *found = &h->attempts[h->n_attempts - 1];
    (*found)->begun_s = event->time_s < (*found)->begun_s ? event->time_s : (*found)->begun_s;
    (*found)->last_s = event->time_s > (*found)->last_s ? event->time_s : (*found)->last_s;
out:
    return rc;
}

/* A rank's events are one file, so it is the last one or new. */
static enum status find_rank(struct sweep_history *h, const struct attempt_event *event,
                             struct rank_history **found)
{
    enum status rc = STATUS_OK;
    void *items = h->ranks;

    if (h->n_ranks == 0 || h->ranks[h->n_ranks - 1].rank != event->rank) {
        TRY(make_room(&items, h->n_ranks, &h->rank_room, sizeof(*h->ranks)));
        h->ranks = items;
        struct rank_history *made = &h->ranks[h->n_ranks++];
        *made = (struct rank_history){.rank = event->rank, .per_s = -1};
        memcpy(made->host, event->host, sizeof(made->host));
    }
    *found = &h->ranks[h->n_ranks - 1];
out:
    return rc;
}

static void let_go(struct rank_history *rank, uint64_t shard)
{
    for (size_t i = 0; i < rank->n_claims; i++) {
        if (rank->claims[i].shard != shard)
            continue;
        rank->n_claims--;
        memmove(&rank->claims[i], &rank->claims[i + 1], (rank->n_claims - i) * sizeof(*rank->claims));
        return;
    }
}

static enum status on_claimed(struct rank_history *rank, const struct attempt_event *event)
{
    enum status rc = STATUS_OK;
    struct rank_claim claim = {.since_s = event->time_s};
    void *items = rank->claims;

    if (!attempt_detail_number(event->detail, "shard", &claim.shard))
        goto out;
    if (rank->n_claims == CLAIMS_MOST) /* foreign lines, or the ends of them are lost */
        let_go(rank, rank->claims[0].shard);
    TRY(make_room(&items, rank->n_claims, &rank->claim_room, sizeof(*rank->claims)));
    rank->claims = items;
    rank->claims[rank->n_claims++] = claim;
out:
    return rc;
}

static void on_part(struct sweep_attempt *attempt, struct rank_history *rank,
                    const struct attempt_event *event)
{
    uint64_t n_rows = 0;
    double part_s = 0;

    if (!attempt_detail_number(event->detail, "rows", &n_rows))
        return;
    (void)attempt_detail_real(event->detail, "seconds", &part_s);
    attempt->n_parts++;
    attempt->n_rows += n_rows;
    attempt->part_s += part_s;
    rank->n_parts++;
    struct rank_second *last = &rank->seconds[(rank->n_seconds + RANK_SECONDS_KEPT - 1) % RANK_SECONDS_KEPT];
    if (rank->n_seconds == 0 || event->time_s > last->time_s) {
        last = &rank->seconds[rank->n_seconds++ % RANK_SECONDS_KEPT];
        *last = (struct rank_second){.time_s = event->time_s};
    }
    last->n_rows += n_rows;
    last->part_s = fmax(last->part_s, part_s);
}

static enum status on_begin(struct sweep_history *h, struct sweep_attempt *attempt, struct rank_history *rank,
                            const struct attempt_event *event)
{
    uint64_t until_s = 0;

    if (rank->begun)
        return STATUS_OK;
    rank->begun = true;
    attempt->n_begun++;
    attempt->last_begun_s = event->time_s > attempt->last_begun_s ? event->time_s : attempt->last_begun_s;
    attempt_detail_word(event->detail, "job", attempt->job, sizeof(attempt->job));
    (void)attempt_detail_number(event->detail, "restart", &attempt->restart);
    (void)attempt_detail_number(event->detail, "ranks", &attempt->n_ranks);
    if (attempt_detail_number(event->detail, "until", &until_s) && until_s < INT64_MAX / 2 &&
        (int64_t)until_s > attempt->until_s)
        attempt->until_s = (int64_t)until_s;
    if (attempt->job[0] != '\0' && strcmp(attempt->job, "-") != 0)
        snprintf(attempt->key, sizeof(attempt->key), "%s/%llu", attempt->job,
                 (unsigned long long)attempt->restart);
    return host_table_begin(&h->hosts, attempt->key, event->host);
}

/* Ok, then resume, then whatever else came first. */
static int badness(const char *outcome)
{
    return outcome[0] == '\0' ? 0 : strcmp(outcome, "ok") == 0 ? 1 : strcmp(outcome, "resume") == 0 ? 2 : 3;
}

static enum status on_end(struct sweep_history *h, struct sweep_attempt *attempt, struct rank_history *rank,
                          const struct attempt_event *event)
{
    char outcome[sizeof(attempt->outcome)];

    attempt_detail_word(event->detail, "outcome", outcome, sizeof(outcome));
    if (!rank->ended)
        attempt->n_ended++;
    rank->ended = true;
    rank->n_claims = 0;
    if (badness(outcome) > badness(attempt->outcome))
        memcpy(attempt->outcome, outcome, sizeof(outcome));
    return strcmp(outcome, "place") == 0 ? host_table_fault(&h->hosts, attempt->key, event->host, HOST_PLACE)
                                         : STATUS_OK;
}

static enum status on_shard_failed(struct sweep_history *h, const char *key,
                                   const struct attempt_event *event)
{
    enum status rc = STATUS_OK;
    struct shard_failure failure;
    void *items = h->failures;

    TRY(host_table_fault(&h->hosts, key, event->host, HOST_SHARD_FAILED));
    if (!attempt_detail_number(event->detail, "shard", &failure.shard))
        goto out;
    TRY(names_number(&h->hosts.names, event->host, &failure.host));
    attempt_detail_word(event->detail, "cause", failure.cause, sizeof(failure.cause));
    TRY(make_room(&items, h->n_failures, &h->failure_room, sizeof(*h->failures)));
    h->failures = items;
    h->failures[h->n_failures++] = failure;
out:
    return rc;
}

static enum status on_stalled(struct sweep_history *h, const char *key, const struct attempt_event *event)
{
    h->n_stalled++;
    if (event->time_s >= h->last_stall_s) {
        h->last_stall_s = event->time_s;
        snprintf(h->last_stall, sizeof(h->last_stall), "%s: %s", event->host, event->detail);
    }
    return host_table_fault(&h->hosts, key, event->host, HOST_STALLED);
}

/* What the batch scripts say of a host, in a file of their own: the detail names the attempt. */
static enum status visit_script(struct sweep_history *h, const struct attempt_event *event)
{
    enum status rc = STATUS_OK;
    char job[64], key[96];
    uint64_t restart = 0;

    attempt_detail_word(event->detail, "job", job, sizeof(job));
    (void)attempt_detail_number(event->detail, "restart", &restart);
    snprintf(key, sizeof(key), "%s/%llu", job, (unsigned long long)restart);
    if (job[0] == '\0' || strcmp(job, "-") == 0)
        snprintf(key, sizeof(key), "%s", event->attempt);
    if (strcmp(event->event, "node_failed") == 0)
        TRY(host_table_fault(&h->hosts, key, event->host, HOST_NODE_FAILED));
    else if (strcmp(event->event, "device_failed") == 0)
        TRY(host_table_fault(&h->hosts, key, event->host, HOST_DEVICE_FAILED));
    else if (strcmp(event->event, "stalled") == 0)
        TRY(on_stalled(h, key, event));
    else if (strcmp(event->event, "shard_failed") == 0)
        TRY(on_shard_failed(h, key, event));
    else if (strcmp(event->event, "host_left_out") == 0)
        TRY(host_table_leave_out(&h->hosts, key, event->host));
out:
    return rc;
}

static enum status visit_rank(struct sweep_history *h, const struct attempt_event *event)
{
    enum status rc = STATUS_OK;
    struct sweep_attempt *attempt;
    struct rank_history *rank;
    uint64_t shard;

    TRY(find_attempt(h, event, &attempt));
    TRY(find_rank(h, event, &rank));
    if (strcmp(event->event, "claimed") == 0)
        TRY(on_claimed(rank, event));
    else if (attempt_detail_number(event->detail, "shard", &shard))
        let_go(rank, shard); /* part, released, dropped, shard_failed: no longer in its hands */
    if (strcmp(event->event, "part") == 0)
        on_part(attempt, rank, event);
    else if (strcmp(event->event, "begin") == 0)
        TRY(on_begin(h, attempt, rank, event));
    else if (strcmp(event->event, "end") == 0)
        TRY(on_end(h, attempt, rank, event));
    else if (strcmp(event->event, "shard_failed") == 0) {
        char cause[16];
        attempt_detail_word(event->detail, "cause", cause, sizeof(cause));
        attempt->n_crashed += strcmp(cause, "crash") == 0;
        TRY(on_shard_failed(h, attempt->key, event));
    } else if (strcmp(event->event, "device_failed") == 0)
        TRY(host_table_fault(&h->hosts, attempt->key, event->host, HOST_DEVICE_FAILED));
    else if (strcmp(event->event, "node_failed") == 0)
        TRY(host_table_fault(&h->hosts, attempt->key, event->host, HOST_NODE_FAILED));
    else if (strcmp(event->event, "stalled") == 0) {
        attempt->n_stalled++;
        TRY(on_stalled(h, attempt->key, event));
    } else if (strcmp(event->event, "crashed") == 0)
        attempt->n_crashed++;
out:
    return rc;
}

static enum status visit(struct attempt_visitor *visitor, const struct attempt_event *event)
{
    struct sweep_history *h = ((struct reader *)visitor)->history;
    return event->rank < 0 ? visit_script(h, event) : visit_rank(h, event);
}

static int compare_failures(const void *a, const void *b)
{
    const struct shard_failure *x = a, *y = b;

    if (x->shard != y->shard)
        return x->shard < y->shard ? -1 : 1;
    return (x->host > y->host) - (x->host < y->host);
}

enum status history_read(const char *out_folder, struct sweep_history *history)
{
    enum status rc = STATUS_OK;
    struct reader reader = {.base = {.visit = visit}, .history = history};

    *history = (struct sweep_history){0};
    TRY(attempts_walk(out_folder, &reader.base));
    history->n_unreadable = reader.base.n_unreadable;
    if (history->n_failures > 0)
        qsort(history->failures, history->n_failures, sizeof(*history->failures), compare_failures);
out:
    return rc;
}

void history_free(struct sweep_history *history)
{
    forget_ranks(history);
    free(history->attempts);
    free(history->ranks);
    free(history->failures);
    host_table_free(&history->hosts);
    *history = (struct sweep_history){0};
}
