/* What the history comes to: ends, rates, time. */
#include "job/status_history.h"

#include <math.h>
#include <string.h>

#define SILENT_TIMES 3 /* a rank is idle or lost when nothing came for so many times its last part */

bool attempt_has_ended(const struct sweep_attempt *attempt)
{
    uint64_t n_ranks = attempt->n_ranks > attempt->n_begun ? attempt->n_ranks : attempt->n_begun;
    return attempt->n_begun > 0 && attempt->n_ended >= n_ranks;
}

const char *attempt_end(const struct sweep_attempt *attempt, bool running)
{
    if (attempt_has_ended(attempt))
        return attempt->outcome[0] == '\0' ? "unknown" : attempt->outcome;
    if (running)
        return "running";
    return attempt->n_stalled > 0   ? "stalled"
           : attempt->n_crashed > 0 ? "crashed"
           : attempt->n_begun == 0  ? "unknown"
                                    : "died";
}

static const struct rank_second *second_of(const struct rank_history *rank, uint64_t i)
{
    return &rank->seconds[i % RANK_SECONDS_KEPT];
}

/* IN now_s: negative: its last part's time. Negative where it has no part. OUT rated_s: what it is of. */
static double rate_of(const struct rank_history *rank, int64_t now_s, double *rated_s)
{
    uint64_t n_rows = 0, first = rank->n_seconds; /* of the seconds that count; the one before is the start */
    uint64_t oldest = rank->n_seconds > RANK_SECONDS_KEPT ? rank->n_seconds - RANK_SECONDS_KEPT : 0;
    double longest_s = 0;

    *rated_s = 0;
    if (rank->n_seconds == 0)
        return -1;
    const struct rank_second *last = second_of(rank, rank->n_seconds - 1);
    double now = now_s < 0 ? (double)last->time_s : (double)now_s;
    *rated_s = now - (double)last->time_s;
    if (*rated_s > fmax(HISTORY_RECENT_S, SILENT_TIMES * last->part_s))
        return 0;
    while (first > oldest && (first == rank->n_seconds ||
                              (double)second_of(rank, first - 1)->time_s >= now - HISTORY_RECENT_S)) {
        if (first - 1 == oldest && oldest > 0)
            break; /* what stood before it is lost: it is the start itself */
        const struct rank_second *second = second_of(rank, --first);
        n_rows += second->n_rows;
        longest_s = fmax(longest_s, second->part_s);
    }
    double start = first > 0 ? (double)second_of(rank, first - 1)->time_s
                             : (double)second_of(rank, 0)->time_s - second_of(rank, 0)->part_s;
    /* It is given the time that its last part took before it is late. */
    double end = fmax((double)last->time_s, now - last->part_s);
    double span_s = fmax(end - start, longest_s);
    *rated_s = span_s;
    return span_s > 0 ? (double)n_rows / span_s : 0;
}

void history_rate_ranks(struct sweep_history *history, int64_t now_s)
{
    for (size_t i = 0; i < history->n_ranks; i++) {
        struct rank_history *rank = &history->ranks[i];
        rank->per_s = rate_of(rank, now_s, &rank->rated_s);
        if (now_s >= 0 && rank->ended)
            rank->per_s = 0;
    }
}

double history_active_s(const struct sweep_history *history)
{
    double active_s = 0;
    int64_t until_s = INT64_MIN;

    for (size_t i = 0; i < history->n_attempts; i++) {
        const struct sweep_attempt *attempt = &history->attempts[i];
        int64_t from_s = attempt->begun_s > until_s ? attempt->begun_s : until_s;
        if (attempt->last_s > from_s)
            active_s += (double)(attempt->last_s - from_s);
        until_s = attempt->last_s > until_s ? attempt->last_s : until_s;
    }
    return active_s;
}
