/* eyesore status --json: the keys are promised in docs/STATUS.md. */
#include "job/status_print.h"

#include <cjson/cJSON.h>
#include <string.h>

#define LISTED 100 /* items of a list; its n_... key counts all */

static void add_number(cJSON *object, const char *name, double value)
{
    cJSON_AddNumberToObject(object, name, value);
}

static void add_known(cJSON *object, const char *name, bool known, double value)
{
    if (known)
        cJSON_AddNumberToObject(object, name, value);
    else
        cJSON_AddNullToObject(object, name);
}

static void add_text(cJSON *object, const char *name, const char *text)
{
    if (text[0] == '\0')
        cJSON_AddNullToObject(object, name);
    else
        cJSON_AddStringToObject(object, name, text);
}

static void add_time(cJSON *object, const char *name, int64_t time_s)
{
    char text[32];

    sweep_status_format_time(time_s, text);
    add_text(object, name, time_s == 0 || strcmp(text, "-") == 0 ? "" : text);
}

static cJSON *add_item(cJSON *list)
{
    cJSON *item = cJSON_CreateObject();

    if (!cJSON_AddItemToArray(list, item)) {
        cJSON_Delete(item);
        item = NULL; /* no memory: cJSON passes over what is added to nothing */
    }
    return item;
}

static void add_progress(cJSON *root, const struct sweep_status *s)
{
    bool limited = s->until_s > 0;

    cJSON_AddStringToObject(root, "state", sweep_state_name(s->state));
    add_time(root, "time", s->time_s);
    add_number(root, "shards", (double)s->n_shards);
    add_number(root, "shards_done", (double)s->n_shards_done);
    add_number(root, "rows", (double)s->n_rows);
    add_number(root, "rows_done", (double)s->n_rows_done);
    add_number(root, "images_per_s_now", s->per_s_now);
    add_number(root, "images_per_s_overall", s->per_s_overall);
    add_number(root, "images_per_s_since_plan", s->per_s_since_plan);
    cJSON_AddBoolToObject(root, "overall_without_pauses", s->overall_by_attempts);
    add_known(root, "active_s", s->active_s >= 0, s->active_s);
    add_known(root, "paused_s", s->paused_s >= 0, s->paused_s);
    add_known(root, "eta_s", s->eta_s >= 0, s->eta_s);
    cJSON_AddBoolToObject(root, "eta_at_overall_rate", s->eta_by_overall);
    add_known(root, "work_left_s", s->work_left_s >= 0, s->work_left_s);
    add_time(root, "time_limit", s->until_s);
    add_known(root, "spare_s", limited && s->eta_s >= 0, s->spare_s);
    add_known(root, "requeues_needed", limited && s->eta_s >= 0 && (s->spare_s >= 0 || s->n_requeues > 0),
              (double)s->n_requeues);
    add_known(root, "last_shard_s_ago", s->last_part_s >= 0, s->last_part_s);
    cJSON_AddBoolToObject(root, "gathered", s->gathered);
}

static void add_holder(cJSON *root, const struct sweep_holder *holder)
{
    if (!holder->there) {
        cJSON_AddNullToObject(root, "lock");
        return;
    }
    cJSON *lock = cJSON_AddObjectToObject(root, "lock");
    cJSON_AddBoolToObject(lock, "alive", holder->alive);
    add_text(lock, "host", holder->host);
    add_text(lock, "job", strcmp(holder->job, "-") == 0 ? "" : holder->job);
    add_time(lock, "since", holder->since_s);
    add_number(lock, "touched_s_ago", holder->touched_s_ago);
}

static void add_attempts(cJSON *root, const struct sweep_status *s)
{
    const struct sweep_history *h = &s->history;

    add_number(root, "n_attempts", (double)h->n_attempts);
    cJSON *list = cJSON_AddArrayToObject(root, "attempts");
    for (size_t i = h->n_attempts > LISTED ? h->n_attempts - LISTED : 0; i < h->n_attempts; i++) {
        const struct sweep_attempt *a = &h->attempts[i];
        cJSON *item = add_item(list);
        add_text(item, "name", a->name);
        add_text(item, "job", strcmp(a->job, "-") == 0 ? "" : a->job);
        add_number(item, "restart", (double)a->restart);
        add_text(item, "end", attempt_end(a, s->attempt_runs && i + 1 == h->n_attempts));
        add_time(item, "begun", a->begun_s);
        add_time(item, "last_event", a->last_s);
        add_time(item, "time_limit", a->until_s);
        add_number(item, "ranks_begun", (double)a->n_begun);
        add_number(item, "ranks_ended", (double)a->n_ended);
        add_number(item, "shards", (double)a->n_parts);
        add_number(item, "rows", (double)a->n_rows);
    }
    add_number(root, "attempt_files_unreadable", (double)h->n_unreadable);
}

static void add_ranks(cJSON *root, const struct sweep_status *s)
{
    add_number(root, "ranks_rated", (double)s->n_ranks_rated);
    add_known(root, "rank_images_per_s_median", s->n_ranks_rated > 0, s->median_per_s);
    add_number(root, "n_slow_ranks", (double)s->n_slow_all);
    cJSON *list = cJSON_AddArrayToObject(root, "slow_ranks");
    for (size_t i = 0; i < s->n_slow; i++) {
        cJSON *item = add_item(list);
        add_number(item, "rank", s->slow[i].rank->rank);
        add_text(item, "host", s->slow[i].rank->host);
        add_number(item, "images_per_s", s->slow[i].rank->per_s);
        add_number(item, "of_median", s->slow[i].of_median);
    }
    add_known(root, "shards_in_hand", s->attempt_runs, (double)s->n_in_flight);
    add_known(root, "long_in_hand_s", s->attempt_runs, s->long_s);
    add_number(root, "n_shards_long_in_hand", (double)s->n_long);
    list = cJSON_AddArrayToObject(root, "shards_long_in_hand");
    for (size_t i = 0; i < s->n_long && i < LISTED; i++) {
        cJSON *item = add_item(list);
        add_number(item, "shard", (double)s->in_flight[i].shard);
        add_number(item, "rank", s->in_flight[i].rank->rank);
        add_text(item, "host", s->in_flight[i].rank->host);
        add_number(item, "age_s", s->in_flight[i].age_s);
    }
}

static void add_hosts(cJSON *root, const struct sweep_status *s)
{
    const struct host_table *hosts = &s->history.hosts;
    cJSON *list = cJSON_AddArrayToObject(root, "hosts");
    size_t n = 0, n_listed = 0;

    for (size_t i = 0; i < hosts->names.n; i++) {
        const struct host_record *host = &hosts->records[i];
        bool out = host->left_out || host->left_out_now;
        n += out;
        if ((!out && host->n_attempts_failed == 0) || n_listed++ >= LISTED)
            continue;
        cJSON *item = add_item(list);
        add_text(item, "host", host->name);
        cJSON_AddBoolToObject(item, "left_out", host->left_out);
        cJSON_AddBoolToObject(item, "left_out_now", host->left_out_now);
        add_number(item, "attempts_failed", (double)host->n_attempts_failed);
        cJSON *faults = cJSON_AddObjectToObject(item, "faults");
        for (int k = 0; k < HOST_FAULT_COUNT; k++)
            add_number(faults, host_fault_name((enum host_fault)k), (double)host->n_faults[k]);
    }
    add_number(root, "n_hosts_left_out", (double)n);
    add_number(root, "n_stalls", (double)s->history.n_stalled);
    add_text(root, "last_stall", s->history.last_stall);
    add_time(root, "last_stall_time", s->history.last_stall_s);
}

static void add_troubles(cJSON *root, const struct sweep_status *s)
{
    const struct sweep_history *h = &s->history;

    add_number(root, "n_shards_failed", (double)s->n_troubles);
    add_number(root, "n_shards_failed_not_done", (double)s->n_troubles_open);
    cJSON *list = cJSON_AddArrayToObject(root, "shards_failed");
    for (size_t i = 0; i < s->n_troubles && i < LISTED; i++) {
        const struct shard_trouble *trouble = &s->troubles[i];
        cJSON *item = add_item(list);
        add_number(item, "shard", (double)trouble->shard);
        cJSON_AddBoolToObject(item, "done", trouble->done);
        add_number(item, "n_hosts", (double)trouble->n_hosts);
        cJSON *failures = cJSON_AddArrayToObject(item, "failures");
        for (size_t k = trouble->first; k < trouble->first + trouble->n && k < trouble->first + LISTED; k++) {
            cJSON *failure = add_item(failures);
            add_text(failure, "host", h->hosts.names.items[h->failures[k].host]);
            add_text(failure, "cause", h->failures[k].cause);
        }
    }
    add_number(root, "files_set_aside", (double)s->n_files_set_aside);
}

static void add_counts(cJSON *root, const struct sweep_status *s)
{
    add_number(root, "rows_counted", (double)s->n_rows_read);
    add_number(root, "parts_unreadable", (double)s->n_parts_broken);
    add_number(root, "parts_unplanned", (double)s->n_unplanned);
    cJSON *by_status = cJSON_AddObjectToObject(root, "by_status");
    for (int k = 0; k < ITEM_STATUS_COUNT; k++)
        add_number(by_status, item_status_name((enum item_status)k), (double)s->by_status[k]);
    cJSON *by_verdict = cJSON_AddObjectToObject(root, "by_verdict");
    for (int k = 0; k < SWEEP_VERDICT_COUNT; k++)
        add_number(by_verdict, sweep_verdict_name((enum sweep_verdict)k), (double)s->by_verdict[k]);
}

enum status sweep_status_print_json(const struct sweep_status *status, FILE *file)
{
    enum status rc = STATUS_OK;
    cJSON *root = cJSON_CreateObject();
    char *text = NULL;

    add_progress(root, status);
    add_holder(root, &status->holder);
    add_attempts(root, status);
    add_ranks(root, status);
    add_hosts(root, status);
    add_troubles(root, status);
    add_counts(root, status);
    text = cJSON_PrintUnformatted(root);
    if (text == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    fprintf(file, "%s\n", text);
out:
    cJSON_free(text);
    cJSON_Delete(root);
    return rc;
}
