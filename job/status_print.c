#include "job/status_print.h"

#include "job/progress.h"
#include "job/status_text.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <time.h>

#define LISTED 5 /* of anything that may be long */

void sweep_status_format_time(int64_t time_s, char text[32])
{
    time_t when = (time_t)time_s;
    struct tm utc;

    snprintf(text, 32, "-");
    if (time_s >= 0 && time_s < INT64_C(253402300800) && gmtime_r(&when, &utc) != NULL)
        strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

static void print_holder(const struct sweep_holder *holder, FILE *file)
{
    char since[32];

    sweep_status_format_time(holder->since_s, since);
    fprintf(file, " on %s", holder->host[0] == '\0' ? "a host that the lock does not name" : holder->host);
    if (holder->key[0] != '\0')
        fprintf(file, " (Slurm job %s)", holder->job);
    if (holder->since_s > 0)
        fprintf(file, " since %s", since);
}

/* What to do after such an end; as the exit codes say. */
static const char *advice(const char *end)
{
    static const char *const for_people[] = {"too_many_failed", "unreconciled", "mismatch", "input",
                                             "usage",           "internal",     "memory"};

    if (strcmp(end, "too_many_failed") == 0)
        return "is the pool there? Its log names rows that failed; then run the same command again";
    for (size_t i = 0; i < sizeof(for_people) / sizeof(*for_people); i++)
        if (strcmp(end, for_people[i]) == 0)
            return "its log says why, and what to do";
    return "run the same command again";
}

/* Nobody works, and shards are missing. */
static void print_stopped(const struct sweep_status *status, FILE *file)
{
    const struct sweep_history *h = &status->history;
    char ago[48];

    progress_format_time(status->last_part_s, ago, sizeof(ago));
    if (status->holder.there) {
        char silent[48];
        progress_format_time(status->holder.touched_s_ago, silent, sizeof(silent));
        fprintf(file, "state     stopped: the job");
        print_holder(&status->holder, file);
        fprintf(file, " has given no sign of life for %s: if it is gone, run the same command again\n",
                silent);
    } else if (h->n_attempts > 0) {
        const struct sweep_attempt *last = &h->attempts[h->n_attempts - 1];
        progress_format_time(fmax((double)(status->time_s - last->last_s), 0), ago, sizeof(ago));
        const char *end = attempt_end(last, false);
        fprintf(file, "state     stopped: the last attempt ended %s ago (%s): %s\n", ago, end, advice(end));
    } else {
        fprintf(
            file,
            "state     no shard was finished in the last 5 minutes (the last one %s ago): if no job runs, "
            "start it again with the same command\n",
            ago);
    }
}

static void print_state(const struct sweep_status *status, const char *out_folder, FILE *file)
{
    char ago[48];

    progress_format_time(status->last_part_s, ago, sizeof(ago));
    switch (status->state) {
    case SWEEP_FINISHED:
        fprintf(file, "state     finished: %s/sweep.h5\n", out_folder);
        break;
    case SWEEP_GATHERING:
        fprintf(file, "state     all shards done, being gathered");
        print_holder(&status->holder, file);
        fprintf(file, "\n");
        break;
    case SWEEP_UNGATHERED:
        fprintf(file, "state     all shards done, not gathered yet\n");
        break;
    case SWEEP_PLANNED:
        fprintf(file, "state     planned, no shard is done yet\n");
        break;
    case SWEEP_RUNNING:
        fprintf(file, "state     running");
        if (status->holder.alive)
            print_holder(&status->holder, file);
        if (status->last_part_s >= 0)
            fprintf(file, ": the last shard was finished %s ago\n", ago);
        else
            fprintf(file, ": no shard is done yet\n");
        break;
    default:
        print_stopped(status, file);
    }
}

static void print_rates(const struct sweep_status *status, FILE *file)
{
    char text[48];

    fprintf(file, "rate      %.1f img/s now, %.1f overall", status->per_s_now, status->per_s_overall);
    progress_format_time(status->paused_s, text, sizeof(text));
    if (status->overall_by_attempts && status->paused_s >= 1)
        fprintf(file, " (%.1f with the pauses of %s)", status->per_s_since_plan, text);
    else if (!status->overall_by_attempts && status->n_rows_done > 0)
        fprintf(file, " (pauses, if any, included)");
    progress_format_time(status->eta_s, text, sizeof(text));
    fprintf(file, "\nETA       %s%s", text, status->eta_by_overall ? " at the overall rate" : "");
    if (status->until_s > 0 && status->eta_s >= 0) {
        progress_format_time(fabs(status->spare_s), text, sizeof(text));
        if (status->spare_s >= 0)
            fprintf(file, ": finishes %s before the time limit", text);
        else
            fprintf(file, ": does not finish in this job: %s more needed", text);
        if (status->n_requeues > 0)
            fprintf(file, ", about %" PRIu64 " requeue%s", status->n_requeues,
                    status->n_requeues == 1 ? "" : "s");
    } else if (status->eta_s < 0 && status->work_left_s > 0) {
        progress_format_time(status->work_left_s, text, sizeof(text));
        fprintf(file, " (%s of work at the overall rate)", text);
    }
    fprintf(file, "\n");
}

static void print_attempts(const struct sweep_status *status, FILE *file)
{
    const struct sweep_history *h = &status->history;
    size_t first = h->n_attempts > LISTED ? h->n_attempts - LISTED : 0;
    char begun[32], took[48];

    if (h->n_attempts == 0)
        return;
    fprintf(file, "attempts  %zu%s\n", h->n_attempts, first > 0 ? ", the last:" : "");
    for (size_t i = first; i < h->n_attempts; i++) {
        const struct sweep_attempt *a = &h->attempts[i];
        bool runs = status->attempt_runs && i + 1 == h->n_attempts;
        sweep_status_format_time(a->begun_s, begun);
        progress_format_time((double)(a->last_s - a->begun_s), took, sizeof(took));
        fprintf(file, "          %s  %-10s %s, %" PRIu64 " rows", begun, attempt_end(a, runs), took,
                a->n_rows);
        if (a->n_begun > 0)
            fprintf(file, ", %" PRIu64 " rank%s", a->n_begun, a->n_begun == 1 ? "" : "s");
        if (!runs && a->n_ended < a->n_begun)
            fprintf(file, " (%" PRIu64 " without an end)", a->n_begun - a->n_ended);
        if (strchr(a->key, '/') != NULL)
            fprintf(file, ", Slurm job %s", a->job);
        if (strchr(a->key, '/') != NULL && a->restart > 0)
            fprintf(file, " restart %" PRIu64, a->restart);
        fprintf(file, "\n");
    }
    if (h->n_unreadable > 0)
        fprintf(file, "          %" PRIu64 " files of OUT/attempts could not be read\n", h->n_unreadable);
}

static void print_ranks(const struct sweep_status *status, FILE *file)
{
    char age[48];

    for (size_t i = 0; i < status->n_slow; i++) {
        const struct slow_rank *slow = &status->slow[i];
        fprintf(file, "%-9s rank %d on %s: %.1f img/s, %.0f%% of the median of %" PRIu64 " ranks\n",
                i == 0 ? "slow" : "", slow->rank->rank, slow->rank->host, slow->rank->per_s,
                100 * slow->of_median, status->n_ranks_rated);
    }
    if (status->n_slow_all > status->n_slow)
        fprintf(file, "          and %zu more below %.0f%% of it\n", status->n_slow_all - status->n_slow,
                100 * SWEEP_STATUS_SLOW);
    for (size_t i = 0; i < status->n_long && i < LISTED; i++) {
        const struct waiting_shard *shard = &status->in_flight[i];
        progress_format_time(shard->age_s, age, sizeof(age));
        fprintf(file, "%-9s shard %" PRIu64 " is in the hands of rank %d on %s for %s\n",
                i == 0 ? "waiting" : "", shard->shard, shard->rank->rank, shard->rank->host, age);
    }
    if (status->n_long > LISTED)
        fprintf(file, "          and %zu more shards\n", status->n_long - LISTED);
}

/* "hosts     n1 is under suspicion: 1 attempt failed on it, stalled 1" */
static void print_host(const struct host_record *host, bool first, FILE *file)
{
    const char *before = ": ";

    fprintf(file, "%-9s %s %s", first ? "hosts" : "", host->name,
            host->left_out_now ? "is left out now"
            : host->left_out   ? "is to be left out"
                               : "is under suspicion");
    if (host->n_attempts_failed > 0) {
        fprintf(file, "%s%" PRIu64 " attempt%s failed on it", before, host->n_attempts_failed,
                host->n_attempts_failed == 1 ? "" : "s");
        before = ", ";
    }
    for (int k = 0; k < HOST_FAULT_COUNT; k++) {
        if (host->n_faults[k] == 0)
            continue;
        fprintf(file, "%s%s %" PRIu64, before, host_fault_name((enum host_fault)k), host->n_faults[k]);
        before = ", ";
    }
    fprintf(file, "\n");
}

static void print_hosts(const struct sweep_status *status, FILE *file)
{
    const struct host_table *hosts = &status->history.hosts;
    size_t n = 0;

    /* Those left out first. */
    for (int left_out = 1; left_out >= 0; left_out--)
        for (size_t i = 0; i < hosts->names.n; i++) {
            const struct host_record *host = &hosts->records[i];
            bool out = host->left_out || host->left_out_now;
            if (out != (left_out == 1) || (!out && host->n_attempts_failed == 0))
                continue;
            if (n++ < 2 * LISTED)
                print_host(host, n == 1, file);
        }
    if (n > 2 * LISTED)
        fprintf(file, "          and %zu more hosts\n", n - 2 * LISTED);
    if (status->history.n_stalled > 0)
        fprintf(file, "stalled   %" PRIu64 " time%s, the last on %s\n", status->history.n_stalled,
                status->history.n_stalled == 1 ? "" : "s", status->history.last_stall);
}

static void print_troubles(const struct sweep_status *status, FILE *file)
{
    const struct sweep_history *h = &status->history;

    for (size_t i = 0; i < status->n_troubles_open && i < LISTED; i++) {
        const struct shard_trouble *trouble = &status->troubles[i];
        const char *comma = "";
        size_t n_named = 0;
        fprintf(file, "%-9s shard %" PRIu64 " failed on %" PRIu64 " host%s: ", i == 0 ? "trouble" : "",
                trouble->shard, trouble->n_hosts, trouble->n_hosts == 1 ? "" : "s");
        for (size_t k = trouble->first; k < trouble->first + trouble->n && n_named < LISTED; k++) {
            const struct shard_failure *failure = &h->failures[k];
            if (k > trouble->first && failure->host == failure[-1].host)
                continue;
            fprintf(file, "%s%s (%s)", comma, h->hosts.names.items[failure->host], failure->cause);
            comma = ", ";
            n_named++;
        }
        fprintf(file, "%s\n", trouble->n_hosts > n_named ? ", ..." : "");
    }
    if (status->n_troubles_open > LISTED)
        fprintf(file, "          and %zu more shards\n", status->n_troubles_open - LISTED);
    if (status->n_troubles > status->n_troubles_open)
        fprintf(file, "%-9s %zu shards failed before they were done\n",
                status->n_troubles_open == 0 ? "trouble" : "", status->n_troubles - status->n_troubles_open);
    if (status->n_files_set_aside > 0)
        fprintf(file, "set aside %" PRIu64 " part file%s, in OUT/set-aside: torn, or of another run\n",
                status->n_files_set_aside, status->n_files_set_aside == 1 ? "" : "s");
}

static void print_failures(const struct sweep_status *status, FILE *file)
{
    uint64_t n_failed = status->by_verdict[SWEEP_FAILED];
    double percent = status->n_rows_read > 0 ? 100.0 * (double)n_failed / (double)status->n_rows_read : 0;

    fprintf(file, "flagged   %" PRIu64 "\n", status->by_verdict[SWEEP_FLAGGED]);
    fprintf(file, "failed    %" PRIu64 " (%.2f%%)\n", n_failed, percent);
    for (int k = 0; k < ITEM_STATUS_COUNT; k++) {
        if (k != ITEM_OK && status->by_status[k] > 0)
            fprintf(file, "          %-15s %" PRIu64 "  %s\n", item_status_name((enum item_status)k),
                    status->by_status[k], item_status_meaning((enum item_status)k));
    }
    if (status->n_rows_read < status->n_rows_done)
        fprintf(file, "          (counted in %" PRIu64 " of the %" PRIu64 " rows done)\n",
                status->n_rows_read, status->n_rows_done);
    if (status->n_parts_broken > 0)
        fprintf(file, "          %" PRIu64 " part files cannot be read\n", status->n_parts_broken);
    if (status->n_unplanned > 0)
        fprintf(file,
                "warning   %" PRIu64
                " part files are of another run than this plan: do not mix sweeps in a folder\n",
                status->n_unplanned);
}

void sweep_status_print(const struct sweep_status *status, const char *out_folder, FILE *file)
{
    char shown[1024];
    double percent = status->n_rows > 0 ? 100.0 * (double)status->n_rows_done / (double)status->n_rows : 100;

    snprintf(shown, sizeof(shown), "%s", out_folder);
    text_make_printable(shown);
    print_state(status, shown, file);
    fprintf(file, "shards    %" PRIu64 " of %" PRIu64 " done", status->n_shards_done, status->n_shards);
    if (status->attempt_runs)
        fprintf(file, ", %zu in hand", status->n_in_flight);
    fprintf(file, "\nrows      %" PRIu64 " of %" PRIu64 " done (%.1f%%)\n", status->n_rows_done,
            status->n_rows, floor(percent * 10) / 10);
    print_rates(status, file);
    print_attempts(status, file);
    print_ranks(status, file);
    print_hosts(status, file);
    print_troubles(status, file);
    print_failures(status, file);
}
