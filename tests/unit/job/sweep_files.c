#include "sweep_files.h"

#include "base/file.h"
#include "results/part.h"
#include "shards/ledger.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

#define RUN "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

int sweep_folder_make(void **state)
{
    char command[512];
    (void)state;

    snprintf(command, sizeof(command), "rm -rf %s && mkdir %s", sweep_folder, sweep_folder);
    return system(command);
}

int sweep_folder_remove(void **state)
{
    char command[512];
    (void)state;

    snprintf(command, sizeof(command), "rm -rf %s", sweep_folder);
    return system(command);
}

void set_file_time(const char *path, int64_t time_s)
{
    struct timespec times[2] = {{.tv_sec = time_s}, {.tv_sec = time_s}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

void write_plan(struct plan *plan)
{
    struct plan_options options = {.format = MANIFEST_TSV, .shard_rows = SWEEP_SHARD_ROWS};
    char path[512];

    snprintf(path, sizeof(path), "%s/manifest.tsv", sweep_folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "id\turi\n");
    for (int i = 0; i < SWEEP_ROWS; i++)
        fprintf(file, "%d\t%d.jpg\n", i, i);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(plan_make(path, &options, sweep_folder, plan, NULL), STATUS_OK);
    assert_int_equal(plan_write(plan, sweep_folder), STATUS_OK);
    snprintf(path, sizeof(path), "%s/plan/plan.json", sweep_folder);
    set_file_time(path, SWEEP_BEGUN_S);
}

void write_part(const struct plan *plan, uint64_t index, int64_t time_s)
{
    struct sweep_layout layout;
    struct shard shard = plan_shard(plan, index);
    struct part *part;
    char path[LEDGER_PATH_SIZE];

    assert_int_equal(sweep_layout_init(&layout, 8, HEATMAPS_NONE, 0), STATUS_OK);
    assert_int_equal(sweep_layout_add_stage(&layout, "a", 0, 0, true), STATUS_OK);
    assert_int_equal(part_create(&layout, shard.index, shard.first_row, shard.n_rows, &part), STATUS_OK);
    for (uint64_t row = 0; row < shard.n_rows; row++) {
        struct part_text text = {"x", 1};
        assert_int_equal(part_set_item(part, row, text, text, NULL), STATUS_OK);
        if (row > 0)
            part_set_score(part, row, 0, row == 1 ? 0.75f : 0.25f);
        assert_int_equal(part_set_outcome(part, row, row == 0 ? ITEM_MISSING : ITEM_OK,
                                          row == 0 ? SWEEP_FAILED : (row == 1 ? SWEEP_FLAGGED : SWEEP_PASS),
                                          NULL),
                         STATUS_OK);
    }
    assert_int_equal(ledger_part_folder(sweep_folder, index, path), STATUS_OK);
    assert_int_equal(file_make_folders(path), STATUS_OK);
    assert_int_equal(ledger_part_path(sweep_folder, index, RUN, path), STATUS_OK);
    assert_int_equal(part_write(part, path, RUN), STATUS_OK);
    set_file_time(path, time_s);
    part_free(part);
    sweep_layout_free(&layout);
}

void append_notes(const char *name, const char *text)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/attempts", sweep_folder);
    assert_int_equal(file_make_folders(path), STATUS_OK);
    snprintf(path, sizeof(path), "%s/attempts/%s", sweep_folder, name);
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static void format_time(int64_t time_s, const char *format, char *text, size_t size)
{
    time_t when = (time_t)time_s;
    struct tm utc;
    assert_true(strftime(text, size, format, gmtime_r(&when, &utc)) > 0);
}

void note(int64_t attempt_s, int rank, const char *host, int64_t at_s, const char *event, const char *format,
          ...)
{
    char attempt[32], when[32], name[64], detail[512], line[1024];
    va_list args;

    format_time(SWEEP_BEGUN_S + attempt_s, "%Y%m%dT%H%M%SZ", attempt, sizeof(attempt));
    format_time(SWEEP_BEGUN_S + at_s, "%Y-%m-%dT%H:%M:%SZ", when, sizeof(when));
    va_start(args, format);
    vsnprintf(detail, sizeof(detail), format, args);
    va_end(args);
    snprintf(name, sizeof(name), rank < 0 ? "%s-batch.log" : "%s-rank%d.log", attempt, rank);
    snprintf(line, sizeof(line), "time=%s event=%s rank=%d host=%s device=\"\" detail=\"%s\"\n", when, event,
             rank, host, detail);
    append_notes(name, line);
}

void write_lock(const char *text, int64_t at_s)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/lock", sweep_folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
    set_file_time(path, SWEEP_BEGUN_S + at_s);
}
