#include "job/status_command.h"

#include "job/commands.h"
#include "job/parts.h"
#include "job/progress.h"
#include "results/part.h"
#include "shards/plan.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

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

/* Rows and rates need the plan and the times of the parts alone; no part is opened. */
static void count_shards(const struct plan *plan, const struct part_files *parts, int64_t begun_s,
                         int64_t now_s, struct sweep_status *status)
{
    uint64_t recent_rows = 0;
    int64_t last_s = 0;

    for (size_t i = 0; i < parts->n; i++) {
        const struct part_file *part = &parts->items[i];
        if (part->shard >= plan->n_shards || (i > 0 && part->shard == parts->items[i - 1].shard)) {
            status->n_unplanned++;
            continue;
        }
        uint64_t n_rows = plan_shard(plan, part->shard).n_rows;
        status->n_shards_done++;
        status->n_rows_done += n_rows;
        if (part->written_s > last_s)
            last_s = part->written_s;
        if (part->written_s >= now_s - SWEEP_STATUS_RECENT_S)
            recent_rows += n_rows;
    }
    if (status->n_shards_done == 0)
        return;
    /* A sweep younger than the window has had less time. */
    double window_s = fmin(SWEEP_STATUS_RECENT_S, (double)(now_s - begun_s));
    status->per_s_now = window_s > 0 ? (double)recent_rows / window_s : 0;
    status->per_s_overall = last_s > begun_s ? (double)status->n_rows_done / (double)(last_s - begun_s) : 0;
    status->last_part_s = fmax((double)(now_s - last_s), 0);
}

static void count_rows(const struct part_files *parts, struct sweep_status *status)
{
    size_t n = parts->n < SWEEP_STATUS_READ_MOST ? parts->n : SWEEP_STATUS_READ_MOST;

    for (size_t i = 0; i < n; i++) {
        struct part_counts counts;
        /* Evenly over the sweep: failures come in bunches. */
        if (part_read_counts(parts->items[i * parts->n / n].path, &counts) != STATUS_OK) {
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

enum status sweep_status_collect(const char *out_folder, int64_t now_s, struct sweep_status *status)
{
    enum status rc = STATUS_OK;
    struct part_files parts = {0};
    struct plan plan = {0};

    if (!plan_exists(out_folder))
        FAIL(STATUS_INPUT,
             "%s: no plan in it: either this is not the --out of a scan, or its manifest is still being "
             "checked",
             out_folder);
    TRY(plan_load(out_folder, &plan));
    TRY(part_files_find(out_folder, &parts));
    *status = (struct sweep_status){
        .n_shards = plan.n_shards, .n_rows = plan.n_rows, .eta_s = -1, .last_part_s = -1};
    count_shards(&plan, &parts, plan_time(out_folder), now_s, status);
    if (status->n_shards_done == status->n_shards)
        status->eta_s = 0;
    else if (status->per_s_now > 0)
        status->eta_s = (double)(status->n_rows - status->n_rows_done) / status->per_s_now;
    count_rows(&parts, status);
    status->gathered = has_sweep(out_folder);
out:
    plan_free(&plan);
    part_files_free(&parts);
    return rc;
}

static void print_state(const struct sweep_status *status, const char *out_folder, FILE *file)
{
    char ago[48];

    progress_format_time(status->last_part_s, ago, sizeof(ago));
    if (status->gathered)
        fprintf(file, "state     finished: %s/sweep.h5\n", out_folder);
    else if (status->n_shards_done == status->n_shards)
        fprintf(file, "state     all shards done, not gathered yet\n");
    else if (status->n_shards_done == 0)
        fprintf(file, "state     planned, no shard is done yet\n");
    else if (status->per_s_now > 0)
        fprintf(file, "state     running: the last shard was finished %s ago\n", ago);
    else
        fprintf(
            file,
            "state     no shard was finished in the last 5 minutes (the last one %s ago): if no job runs, "
            "start it again with the same command\n",
            ago);
}

static void print_failures(const struct sweep_status *status, FILE *file)
{
    uint64_t n_failed = status->by_verdict[SWEEP_FAILED];
    double percent = status->n_rows_read > 0 ? 100.0 * (double)n_failed / (double)status->n_rows_read : 0;

    fprintf(file, "flagged   %llu\n", (unsigned long long)status->by_verdict[SWEEP_FLAGGED]);
    fprintf(file, "failed    %llu (%.2f%%)\n", (unsigned long long)n_failed, percent);
    for (int k = 0; k < ITEM_STATUS_COUNT; k++) {
        if (k != ITEM_OK && status->by_status[k] > 0)
            fprintf(file, "          %-14s %llu  %s\n", item_status_name((enum item_status)k),
                    (unsigned long long)status->by_status[k], item_status_meaning((enum item_status)k));
    }
    if (status->n_rows_read < status->n_rows_done)
        fprintf(file, "          (counted in %llu of the %llu rows done)\n",
                (unsigned long long)status->n_rows_read, (unsigned long long)status->n_rows_done);
}

void sweep_status_print(const struct sweep_status *status, const char *out_folder, FILE *file)
{
    char eta[48];
    double percent = status->n_rows > 0 ? 100.0 * (double)status->n_rows_done / (double)status->n_rows : 100;

    print_state(status, out_folder, file);
    fprintf(file, "shards    %llu of %llu done\n", (unsigned long long)status->n_shards_done,
            (unsigned long long)status->n_shards);
    fprintf(file, "rows      %llu of %llu done (%.1f%%)\n", (unsigned long long)status->n_rows_done,
            (unsigned long long)status->n_rows, floor(percent * 10) / 10);
    fprintf(file, "rate      %.1f img/s in the last 5 minutes, %.1f overall\n", status->per_s_now,
            status->per_s_overall);
    progress_format_time(status->eta_s, eta, sizeof(eta));
    fprintf(file, "ETA       %s\n", eta);
    print_failures(status, file);
    if (status->n_parts_broken > 0)
        fprintf(file, "          %llu part files cannot be read\n",
                (unsigned long long)status->n_parts_broken);
    if (status->n_unplanned > 0)
        fprintf(
            file,
            "warning   %llu part files are of another run than this plan: do not mix sweeps in a folder\n",
            (unsigned long long)status->n_unplanned);
}

static void add_number(cJSON *object, const char *name, double value)
{
    if (value < 0)
        cJSON_AddNullToObject(object, name);
    else
        cJSON_AddNumberToObject(object, name, value);
}

enum status sweep_status_print_json(const struct sweep_status *status, FILE *file)
{
    enum status rc = STATUS_OK;
    char *text = NULL;
    cJSON *root = cJSON_CreateObject();

    add_number(root, "shards", (double)status->n_shards);
    add_number(root, "shards_done", (double)status->n_shards_done);
    add_number(root, "rows", (double)status->n_rows);
    add_number(root, "rows_done", (double)status->n_rows_done);
    add_number(root, "images_per_s_now", status->per_s_now);
    add_number(root, "images_per_s_overall", status->per_s_overall);
    add_number(root, "eta_s", status->eta_s);
    add_number(root, "last_shard_s_ago", status->last_part_s);
    cJSON_AddBoolToObject(root, "gathered", status->gathered);
    add_number(root, "rows_counted", (double)status->n_rows_read);
    add_number(root, "parts_unreadable", (double)status->n_parts_broken);
    add_number(root, "parts_unplanned", (double)status->n_unplanned);
    cJSON *by_status = cJSON_AddObjectToObject(root, "by_status");
    for (int k = 0; k < ITEM_STATUS_COUNT; k++)
        add_number(by_status, item_status_name((enum item_status)k), (double)status->by_status[k]);
    cJSON *by_verdict = cJSON_AddObjectToObject(root, "by_verdict");
    for (int k = 0; k < SWEEP_VERDICT_COUNT; k++)
        add_number(by_verdict, sweep_verdict_name((enum sweep_verdict)k), (double)status->by_verdict[k]);
    text = cJSON_PrintUnformatted(root);
    if (text == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    fprintf(file, "%s\n", text);
out:
    cJSON_free(text);
    cJSON_Delete(root);
    return rc;
}

enum status command_status(const struct options *options)
{
    enum status rc = STATUS_OK;
    struct sweep_status status;

    TRY(sweep_status_collect(options->operands[0], (int64_t)time(NULL), &status));
    if (options->json)
        TRY(sweep_status_print_json(&status, stdout));
    else
        sweep_status_print(&status, options->operands[0], stdout);
out:
    return rc;
}
