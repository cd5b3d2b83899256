#include "job/status_collect.h"

#include "job/parts.h"
#include "results/part.h"
#include "shards/plan.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOTED_ENOUGH 0.95 /* of the rows done: the attempts' notes are of the whole sweep */

const char *sweep_state_name(enum sweep_state state)
{
    static const char *const names[SWEEP_STATE_COUNT] = {
#define X(upper, name) [SWEEP_##upper] = name,
        SWEEP_STATE_LIST(X)
#undef X
    };
    return names[state];
}

/* The plan's own time is the begin of the sweep: nothing writes to it afterwards. */
static int64_t plan_time(const char *out_folder)
{
    char path[4096];
    struct stat st;

    snprintf(path, sizeof(path), "%s/plan/plan.json", out_folder);
    return stat(path, &st) == 0 ? (int64_t)st.st_mtime : 0;
}

static bool has_sweep(const char *out_folder)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/sweep.h5", out_folder);
    return access(path, F_OK) == 0;
}

/* No folder is none; one that cannot be read says so once. */
static uint64_t count_set_aside(const char *out_folder)
{
    char path[4096];
    uint64_t n = 0;
    const struct dirent *entry;

    snprintf(path, sizeof(path), "%s/set-aside", out_folder);
    DIR *folder = opendir(path);
    if (folder == NULL)
        return 0;
    while ((entry = readdir(folder)) != NULL)
        n += entry->d_name[0] != '.';
    closedir(folder);
    return n;
}

/* Rows and rates need the plan and the times of the parts alone; no part is opened. OUT recent_rows: in parts
 * from recent_from_s on. */
static void count_shards(const struct plan *plan, const struct part_files *parts, int64_t begun_s,
                         int64_t recent_from_s, struct sweep_status *status, bool *done,
                         uint64_t *recent_rows)
{
    int64_t last_s = 0;

    for (size_t i = 0; i < parts->n; i++) {
        const struct part_file *part = &parts->items[i];
        if (part->shard >= plan->n_shards || done[part->shard]) {
            status->n_unplanned++;
            continue;
        }
        uint64_t n_rows = plan_shard(plan, part->shard).n_rows;
        done[part->shard] = true;
        status->n_shards_done++;
        status->n_rows_done += n_rows;
        if (part->written_s > last_s)
            last_s = part->written_s;
        if (part->written_s >= recent_from_s)
            *recent_rows += n_rows;
    }
    if (status->n_shards_done == 0)
        return;
    if (last_s > begun_s)
        status->per_s_since_plan = (double)status->n_rows_done / (double)(last_s - begun_s);
    status->last_part_s = fmax((double)(status->time_s - last_s), 0);
}

static void count_rows(const struct part_files *parts, struct sweep_status *status)
{
    size_t n = parts->n < SWEEP_STATUS_READ_MOST ? parts->n : SWEEP_STATUS_READ_MOST;

    for (size_t i = 0; i < n; i++) {
        struct part_counts counts;
        /* Evenly over the sweep: failures come in bunches. */
        const char *path = parts->items[i * parts->n / n].path;
        if (access(path, F_OK) != 0)
            continue; /* gone since it was listed: its rows are to be done again */
        if (part_read_counts(path, &counts) != STATUS_OK) {
            status->n_parts_broken++;
            continue;
        }
        status->n_parts_read++;
        status->n_rows_read += counts.n_rows;
        for (int k = 0; k < ITEM_STATUS_COUNT; k++)
            status->by_status[k] += counts.by_status[k];
        for (int k = 0; k < SWEEP_VERDICT_COUNT; k++)
            status->by_verdict[k] += counts.by_verdict[k];
    }
}

static const struct sweep_attempt *last_attempt(const struct sweep_status *status)
{
    const struct sweep_history *h = &status->history;
    return h->n_attempts > 0 ? &h->attempts[h->n_attempts - 1] : NULL;
}

/* Is the last attempt that of the job that holds the output, or is that one still preparing its own? */
static bool is_of_holder(const struct sweep_attempt *attempt, const struct sweep_holder *holder)
{
    if (!holder->alive || attempt == NULL)
        return false;
    if (holder->key[0] != '\0' && strcmp(holder->key, attempt->key) != 0)
        return false;
    return holder->since_s == 0 || attempt->last_begun_s >= holder->since_s - 2; /* another host's clock */
}

/* Sum of the ranks at work, which no length of shards or of the attempt blurs. Without notes: the parts of
 * the recent window, or of the time there was, by the files' times. */
static void find_rate_now(struct sweep_status *status, int64_t begun_s, uint64_t recent_rows)
{
    const struct sweep_attempt *attempt = last_attempt(status);
    double window_s = fmin(HISTORY_RECENT_S, (double)(status->time_s - begun_s));

    history_rate_ranks(&status->history, status->attempt_runs ? status->time_s : -1);
    if (status->attempt_runs && attempt->n_parts > 0) {
        for (size_t i = 0; i < status->history.n_ranks; i++)
            status->per_s_now += fmax(status->history.ranks[i].per_s, 0);
    } else if (attempt == NULL && window_s > 0) {
        /* An older program left no notes: the parts alone tell whether anybody works. */
        status->per_s_now = (double)recent_rows / window_s;
    }
}

static void find_rate_overall(struct sweep_status *status)
{
    uint64_t n_noted = 0;

    for (size_t i = 0; i < status->history.n_attempts; i++)
        n_noted += status->history.attempts[i].n_rows;
    status->per_s_overall = status->per_s_since_plan;
    if (n_noted == 0)
        return;
    status->active_s = history_active_s(&status->history);
    int64_t end_s = last_attempt(status)->last_s;
    status->paused_s = fmax((double)(end_s - status->history.attempts[0].begun_s) - status->active_s, 0);
    status->overall_by_attempts =
        status->active_s > 0 && (double)n_noted >= NOTED_ENOUGH * (double)status->n_rows_done;
    if (status->overall_by_attempts)
        status->per_s_overall = (double)n_noted / status->active_s;
}

static void find_eta(struct sweep_status *status)
{
    const struct sweep_attempt *attempt = last_attempt(status);
    double rows_left = (double)(status->n_rows - status->n_rows_done);

    if (status->n_shards_done == status->n_shards) {
        status->eta_s = status->work_left_s = 0;
        return;
    }
    if (status->per_s_overall > 0)
        status->work_left_s = rows_left / status->per_s_overall;
    if (status->per_s_now > 0) {
        status->eta_s = rows_left / status->per_s_now;
    } else if (status->holder.alive && (!status->attempt_runs || attempt->n_parts == 0)) {
        status->eta_s = status->work_left_s;
        status->eta_by_overall = status->eta_s >= 0;
    }
    if (!status->attempt_runs || attempt->until_s == 0)
        return;
    status->until_s = attempt->until_s;
    if (status->eta_s < 0)
        return;
    status->spare_s = (double)(attempt->until_s - status->time_s) - status->eta_s;
    double job_s = (double)(attempt->until_s - attempt->begun_s);
    if (status->spare_s < 0 && job_s > 0)
        status->n_requeues = (uint64_t)fmin(ceil(-status->spare_s / job_s), 1e9);
}

static enum sweep_state find_state(const struct sweep_status *status)
{
    bool all_done = status->n_shards_done == status->n_shards;
    bool works = status->holder.alive ||
                 (!status->holder.there && status->history.n_attempts == 0 && status->per_s_now > 0);

    if (status->gathered)
        return SWEEP_FINISHED;
    if (status->holder.alive && all_done)
        return SWEEP_GATHERING;
    if (all_done)
        return SWEEP_UNGATHERED;
    if (works)
        return SWEEP_RUNNING;
    return status->n_shards_done == 0 && status->history.n_attempts == 0 ? SWEEP_PLANNED : SWEEP_STOPPED;
}

enum status sweep_status_collect(const char *out_folder, int64_t now_s, struct sweep_status *status)
{
    enum status rc = STATUS_OK;
    struct part_files parts = {0};
    struct plan plan = {0};
    bool *done = NULL;
    uint64_t recent_rows = 0;

    *status = (struct sweep_status){
        .time_s = now_s, .eta_s = -1, .work_left_s = -1, .last_part_s = -1, .active_s = -1, .paused_s = -1};
    if (!plan_exists(out_folder))
        FAIL(STATUS_INPUT,
             "%s: no plan in it: either this is not the --out of a scan, or its manifest is still being "
             "checked",
             out_folder);
    TRY(plan_load(out_folder, &plan));
    status->n_shards = plan.n_shards;
    status->n_rows = plan.n_rows;
    /* The notes before the parts: a part that is noted is then found. */
    sweep_holder_read(out_folder, now_s, &status->holder);
    TRY(history_read(out_folder, &status->history));
    status->attempt_runs = is_of_holder(last_attempt(status), &status->holder);
    TRY(history_judge_hosts(&status->history, status->attempt_runs));
    TRY(part_files_find(out_folder, &parts));
    done = calloc(plan.n_shards + 1, sizeof(*done));
    if (done == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    int64_t begun_s = plan_time(out_folder);
    count_shards(&plan, &parts, begun_s, now_s - HISTORY_RECENT_S, status, done, &recent_rows);
    find_rate_now(status, begun_s, recent_rows);
    find_rate_overall(status);
    find_eta(status);
    count_rows(&parts, status);
    status->gathered = has_sweep(out_folder);
    status->n_files_set_aside = count_set_aside(out_folder);
    status->state = find_state(status);
    TRY(sweep_status_find_trouble(status, done));
out:
    free(done);
    plan_free(&plan);
    part_files_free(&parts);
    return rc;
}

void sweep_status_free(struct sweep_status *status)
{
    free(status->in_flight);
    free(status->troubles);
    history_free(&status->history);
    *status = (struct sweep_status){.n_shards = 0};
}
