/* What an operator should look at: slow ranks, shards long in hands, shards that failed. */
#include "job/status_collect.h"

#include <math.h>
#include <stdlib.h>

#define LONG_TIMES 3 /* so many times the mean of the attempt's parts is long for a shard */

static int compare_rates(const void *a, const void *b)
{
    const struct rank_history *x = *(const struct rank_history *const *)a;
    const struct rank_history *y = *(const struct rank_history *const *)b;

    if (x->per_s != y->per_s)
        return x->per_s < y->per_s ? -1 : 1;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

/* Of the ranks at work: one that ended, or has nothing left to claim, is not slow. */
static enum status find_slow(struct sweep_status *status)
{
    enum status rc = STATUS_OK;
    const struct sweep_history *h = &status->history;
    const struct rank_history **rated = calloc(h->n_ranks + 1, sizeof(*rated));
    size_t n = 0;

    if (rated == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    for (size_t i = 0; i < h->n_ranks; i++) {
        bool at_work = !status->attempt_runs || (!h->ranks[i].ended && h->ranks[i].n_claims > 0);
        if (h->ranks[i].per_s >= 0 && h->ranks[i].rated_s >= SWEEP_STATUS_RATED_S && at_work)
            rated[n++] = &h->ranks[i];
    }
    qsort(rated, n, sizeof(*rated), compare_rates);
    status->n_ranks_rated = n;
    if (n == 0)
        goto out;
    status->median_per_s =
        n % 2 == 1 ? rated[n / 2]->per_s : (rated[n / 2 - 1]->per_s + rated[n / 2]->per_s) / 2;
    for (size_t i = 0; i < n && rated[i]->per_s < SWEEP_STATUS_SLOW * status->median_per_s; i++) {
        status->n_slow_all++;
        if (status->n_slow < SWEEP_STATUS_SLOWEST)
            status->slow[status->n_slow++] =
                (struct slow_rank){rated[i], rated[i]->per_s / status->median_per_s};
    }
out:
    free(rated);
    return rc;
}

static int compare_ages(const void *a, const void *b)
{
    const struct waiting_shard *x = a, *y = b;

    if (x->age_s != y->age_s)
        return x->age_s > y->age_s ? -1 : 1;
    return (x->shard > y->shard) - (x->shard < y->shard);
}

/* In the hands of the attempt that runs; what a dead one had in hand is free again. */
static enum status find_in_flight(struct sweep_status *status, const bool *done)
{
    enum status rc = STATUS_OK;
    const struct sweep_history *h = &status->history;
    size_t n = 0;

    if (!status->attempt_runs)
        goto out;
    for (size_t i = 0; i < h->n_ranks; i++)
        n += h->ranks[i].n_claims;
    status->in_flight = calloc(n + 1, sizeof(*status->in_flight));
    if (status->in_flight == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    for (size_t i = 0; i < h->n_ranks; i++)
        for (size_t k = 0; k < h->ranks[i].n_claims; k++) {
            const struct rank_claim *claim = &h->ranks[i].claims[k];
            if (claim->shard < status->n_shards && !done[claim->shard])
                status->in_flight[status->n_in_flight++] = (struct waiting_shard){
                    claim->shard, &h->ranks[i], fmax((double)(status->time_s - claim->since_s), 0)};
        }
    qsort(status->in_flight, status->n_in_flight, sizeof(*status->in_flight), compare_ages);
    const struct sweep_attempt *attempt = &h->attempts[h->n_attempts - 1];
    double mean_s = attempt->n_parts > 0 ? attempt->part_s / (double)attempt->n_parts : 0;
    status->long_s = fmax(HISTORY_RECENT_S, LONG_TIMES * mean_s);
    while (status->n_long < status->n_in_flight && status->in_flight[status->n_long].age_s >= status->long_s)
        status->n_long++;
out:
    return rc;
}

static int compare_troubles(const void *a, const void *b)
{
    const struct shard_trouble *x = a, *y = b;

    if (x->done != y->done)
        return (int)x->done - (int)y->done;
    if (x->n_hosts != y->n_hosts)
        return x->n_hosts > y->n_hosts ? -1 : 1;
    return (x->shard > y->shard) - (x->shard < y->shard);
}

static enum status find_failed(struct sweep_status *status, const bool *done)
{
    enum status rc = STATUS_OK;
    const struct sweep_history *h = &status->history;
    size_t end;

    status->troubles = calloc(h->n_failures + 1, sizeof(*status->troubles));
    if (status->troubles == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    for (size_t i = 0; i < h->n_failures; i = end) {
        struct shard_trouble trouble = {.shard = h->failures[i].shard, .first = i};
        for (end = i; end < h->n_failures && h->failures[end].shard == trouble.shard; end++)
            trouble.n_hosts += end == i || h->failures[end].host != h->failures[end - 1].host;
        trouble.n = end - i;
        if (trouble.shard >= status->n_shards)
            continue; /* no shard of this plan */
        trouble.done = done[trouble.shard];
        status->n_troubles_open += !trouble.done;
        status->troubles[status->n_troubles++] = trouble;
    }
    qsort(status->troubles, status->n_troubles, sizeof(*status->troubles), compare_troubles);
out:
    return rc;
}

enum status sweep_status_find_trouble(struct sweep_status *status, const bool *done)
{
    enum status rc = STATUS_OK;

    TRY(find_slow(status));
    TRY(find_in_flight(status, done));
    TRY(find_failed(status, done));
out:
    return rc;
}
