/* eyesore status --prometheus: names and labels are promised in docs/STATUS.md. */
#include "job/status_print.h"

#include "job/status_text.h"

#include <stdlib.h>
#include <string.h>

#define HOSTS_MOST 200 /* a label value each: a textfile is read every few seconds */

/* Where samples go, and the label that all have. */
struct writer {
    FILE *file;
    const char *out;
};

static void print_label_value(const char *value, FILE *file)
{
    for (; *value != '\0'; value++) {
        if (*value == '\\' || *value == '"')
            fputc('\\', file);
        fputc(*value, file); /* no line ends: it is printable */
    }
}

static void begin(const struct writer *w, const char *name, const char *help)
{
    fprintf(w->file, "# HELP eyesore_sweep_%s %s\n# TYPE eyesore_sweep_%s gauge\n", name, help, name);
}

/* The series' name with `out`, without the closing brace. */
static void begin_series(const struct writer *w, const char *name)
{
    fprintf(w->file, "eyesore_sweep_%s{out=\"", name);
    print_label_value(w->out, w->file);
    fprintf(w->file, "\"");
}

static void sample(const struct writer *w, const char *name, const char *label, const char *label_value,
                   double value)
{
    begin_series(w, name);
    fprintf(w->file, ",%s=\"", label);
    print_label_value(label_value, w->file);
    fprintf(w->file, "\"} %.15g\n", value);
}

/* A family of one sample. */
static void gauge(const struct writer *w, const char *name, const char *help, double value)
{
    begin(w, name, help);
    begin_series(w, name);
    fprintf(w->file, "} %.15g\n", value);
}

static void gauge_known(const struct writer *w, const char *name, const char *help, bool known, double value)
{
    if (known)
        gauge(w, name, help, value);
}

static void print_progress(const struct writer *w, const struct sweep_status *s)
{
    begin(w, "state", "1 for the state the sweep is in, 0 for the others.");
    for (int k = 0; k < SWEEP_STATE_COUNT; k++)
        sample(w, "state", "state", sweep_state_name((enum sweep_state)k), s->state == (enum sweep_state)k);
    gauge(w, "status_timestamp_seconds", "When the folder was looked at.", (double)s->time_s);
    gauge(w, "shards", "Shards of the plan.", (double)s->n_shards);
    gauge(w, "shards_done", "Shards with a part file.", (double)s->n_shards_done);
    gauge_known(w, "shards_in_hand", "Shards in the hands of ranks.", s->attempt_runs,
                (double)s->n_in_flight);
    gauge_known(w, "longest_in_hand_seconds", "Age of the oldest claim of a shard that is not done.",
                s->n_in_flight > 0, s->n_in_flight > 0 ? s->in_flight[0].age_s : 0);
    gauge(w, "rows", "Rows of the plan.", (double)s->n_rows);
    gauge(w, "rows_done", "Rows in shards with a part file.", (double)s->n_rows_done);
    gauge(w, "done_ratio", "Share of the rows that is done.",
          s->n_rows > 0 ? (double)s->n_rows_done / (double)s->n_rows : 1);
    gauge(w, "rows_per_second", "Rows per second now.", s->per_s_now);
    gauge(w, "overall_rows_per_second",
          "Rows per second of the whole sweep, without pauses where these are known.", s->per_s_overall);
    gauge_known(w, "eta_seconds", "Time left at the present rate.", s->eta_s >= 0, s->eta_s);
    gauge_known(w, "work_left_seconds", "Time left at the overall rate, whether anybody works or not.",
                s->work_left_s >= 0, s->work_left_s);
    gauge_known(w, "time_limit_timestamp_seconds", "When the job that runs must end.", s->until_s > 0,
                (double)s->until_s);
    gauge_known(w, "spare_seconds", "From the ETA to the time limit; negative: this job does not finish it.",
                s->until_s > 0 && s->eta_s >= 0, s->spare_s);
    gauge_known(w, "last_shard_timestamp_seconds", "When the last shard was finished.", s->last_part_s >= 0,
                (double)s->time_s - s->last_part_s);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum status print_attempts(const struct writer *w, const struct sweep_status *s)
{
    enum status rc = STATUS_OK;
    const struct sweep_history *h = &s->history;
    size_t next;
    const char **ends = calloc(h->n_attempts + 1, sizeof(*ends));

    if (ends == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    for (size_t i = 0; i < h->n_attempts; i++)
        ends[i] = attempt_end(&h->attempts[i], s->attempt_runs && i + 1 == h->n_attempts);
    qsort(ends, h->n_attempts, sizeof(*ends), compare_texts);
    begin(w, "attempts", "Attempts by how they ended.");
    for (size_t i = 0; i < h->n_attempts; i = next) {
        for (next = i; next < h->n_attempts && strcmp(ends[next], ends[i]) == 0;)
            next++;
        sample(w, "attempts", "end", ends[i], (double)(next - i));
    }
out:
    free(ends);
    return rc;
}

static void print_hosts(const struct writer *w, const struct sweep_status *s)
{
    const struct host_table *hosts = &s->history.hosts;
    size_t n_out = 0, n = 0;

    for (size_t i = 0; i < hosts->names.n; i++)
        n_out += hosts->records[i].left_out || hosts->records[i].left_out_now;
    gauge(w, "hosts_left_out", "Hosts that are left out, now or in the next attempt.", (double)n_out);
    begin(w, "host_attempts_failed", "Attempts that failed on a host.");
    for (size_t i = 0; i < hosts->names.n && n < HOSTS_MOST; i++)
        if (hosts->records[i].n_attempts_failed > 0 && ++n > 0)
            sample(w, "host_attempts_failed", "host", hosts->records[i].name,
                   (double)hosts->records[i].n_attempts_failed);
    begin(w, "host_left_out", "1 for each host that is left out, now or in the next attempt.");
    n = 0;
    for (size_t i = 0; i < hosts->names.n && n < HOSTS_MOST; i++)
        if ((hosts->records[i].left_out || hosts->records[i].left_out_now) && ++n > 0)
            sample(w, "host_left_out", "host", hosts->records[i].name, 1);
}

static void print_trouble(const struct writer *w, const struct sweep_status *s)
{
    gauge(w, "slow_ranks", "Ranks below 80 % of the median rate.", (double)s->n_slow_all);
    gauge_known(w, "slowest_rank_ratio", "Rate of the slowest slow rank, of the median.", s->n_slow > 0,
                s->n_slow > 0 ? s->slow[0].of_median : 1);
    gauge(w, "shards_long_in_hand", "Shards in the hands of a rank for long.", (double)s->n_long);
    gauge(w, "shards_failed", "Shards that failed on a host and are not done.", (double)s->n_troubles_open);
    gauge(w, "stalls", "Times that a rank made no progress for --stall-timeout.",
          (double)s->history.n_stalled);
    gauge(w, "files_set_aside", "Part files that were torn or foreign, and put aside.",
          (double)s->n_files_set_aside);
    gauge(w, "parts_unreadable", "Part files that could not be read just now.", (double)s->n_parts_broken);
    gauge(w, "parts_unplanned", "Part files of another run.", (double)s->n_unplanned);
}

static void print_counts(const struct writer *w, const struct sweep_status *s)
{
    gauge(w, "rows_counted", "Rows that the counts by status and verdict come from.", (double)s->n_rows_read);
    begin(w, "rows_by_status", "Counted rows by status.");
    for (int k = 0; k < ITEM_STATUS_COUNT; k++)
        sample(w, "rows_by_status", "status", item_status_name((enum item_status)k), (double)s->by_status[k]);
    begin(w, "rows_by_verdict", "Counted rows by verdict.");
    for (int k = 0; k < SWEEP_VERDICT_COUNT; k++)
        sample(w, "rows_by_verdict", "verdict", sweep_verdict_name((enum sweep_verdict)k),
               (double)s->by_verdict[k]);
}

enum status sweep_status_print_prometheus(const struct sweep_status *status, const char *out_folder,
                                          FILE *file)
{
    enum status rc = STATUS_OK;
    char out[4096];
    struct writer w = {file, out};

    snprintf(out, sizeof(out), "%s", out_folder);
    text_make_printable(out);
    print_progress(&w, status);
    TRY(print_attempts(&w, status));
    print_hosts(&w, status);
    print_trouble(&w, status);
    print_counts(&w, status);
out:
    return rc;
}
