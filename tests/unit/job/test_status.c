/*
 * eyesore status from real files: a plan, parts of it with times of our choosing, and things that do not
 * belong.
 */
#include "base/file.h"
#include "job/parts.h"
#include "job/status_command.h"
#include "results/part.h"
#include "shards/ledger.h"
#include "shards/plan.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define OUT "test_status.out"
#define RUN "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define N_ROWS 100
#define SHARD_ROWS 10
#define BEGUN_S 1700000000

static void set_time(const char *path, int64_t time_s)
{
    struct timespec times[2] = {{.tv_sec = time_s}, {.tv_sec = time_s}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* A part in which row 0 failed as missing, row 1 is flagged and the others pass. */
static void write_part(const struct plan *plan, uint64_t index, int64_t time_s)
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
    assert_int_equal(ledger_part_folder(OUT, index, path), STATUS_OK);
    assert_int_equal(file_make_folders(path), STATUS_OK);
    assert_int_equal(ledger_part_path(OUT, index, RUN, path), STATUS_OK);
    assert_int_equal(part_write(part, path, RUN, &(bool){false}), STATUS_OK);
    set_time(path, time_s);
    part_free(part);
    sweep_layout_free(&layout);
}

static void write_plan(struct plan *plan)
{
    struct plan_options options = {.format = MANIFEST_TSV, .shard_rows = SHARD_ROWS};
    FILE *file = fopen(OUT "/manifest.tsv", "w");

    assert_non_null(file);
    fprintf(file, "id\turi\n");
    for (int i = 0; i < N_ROWS; i++)
        fprintf(file, "%d\t%d.jpg\n", i, i);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(plan_make(OUT "/manifest.tsv", &options, OUT, plan, NULL), STATUS_OK);
    assert_int_equal(plan_write(plan, OUT), STATUS_OK);
    set_time(OUT "/plan/plan.json", BEGUN_S);
}

static int make_folder(void **state)
{
    (void)state;
    return system("rm -rf " OUT " && mkdir " OUT);
}

static int remove_folder(void **state)
{
    (void)state;
    return system("rm -rf " OUT);
}

static void test_no_plan(void **state)
{
    struct sweep_status status;
    (void)state;

    assert_int_equal(sweep_status_collect(OUT, BEGUN_S, &status), STATUS_INPUT);
    assert_int_equal(sweep_status_collect("/nonexistent", BEGUN_S, &status), STATUS_INPUT);
}

static void test_from_planned_to_done(void **state)
{
    struct sweep_status status;
    struct plan plan;
    (void)state;

    write_plan(&plan);
    assert_int_equal(sweep_status_collect(OUT, BEGUN_S + 10, &status), STATUS_OK);
    assert_int_equal(status.n_rows, N_ROWS);
    assert_int_equal(status.n_rows_done, 0);
    assert_true(status.eta_s < 0 && status.last_part_s < 0);

    /* Shards 0 and 1, one of them long ago. */
    uint64_t first_rows = plan_shard(&plan, 0).n_rows, rows = first_rows + plan_shard(&plan, 1).n_rows;
    write_part(&plan, 0, BEGUN_S + 100);
    write_part(&plan, 1, BEGUN_S + 900);
    assert_int_equal(sweep_status_collect(OUT, BEGUN_S + 1000, &status), STATUS_OK);
    assert_int_equal(status.n_shards_done, 2);
    assert_int_equal(status.n_rows_done, rows);
    assert_true(status.per_s_now == (double)(rows - first_rows) / 300);
    assert_true(status.per_s_overall == (double)rows / 900);
    assert_true(status.eta_s == (double)(N_ROWS - rows) / status.per_s_now);
    assert_true(status.last_part_s == 100);
    assert_int_equal(status.n_rows_read, rows);
    assert_int_equal(status.by_status[ITEM_MISSING], 2);
    assert_int_equal(status.by_verdict[SWEEP_FLAGGED], 2);
    assert_int_equal(status.by_verdict[SWEEP_FAILED], 2);
    assert_false(status.gathered);

    /* Nobody works any more. */
    assert_int_equal(sweep_status_collect(OUT, BEGUN_S + 10000, &status), STATUS_OK);
    assert_true(status.per_s_now == 0 && status.eta_s < 0);

    for (uint64_t i = 2; i < plan.n_shards; i++)
        write_part(&plan, i, BEGUN_S + 950);
    assert_int_equal(sweep_status_collect(OUT, BEGUN_S + 1000, &status), STATUS_OK);
    assert_int_equal(status.n_rows_done, N_ROWS);
    assert_true(status.eta_s == 0);
    assert_int_equal(status.by_status[ITEM_MISSING], plan.n_shards);
    plan_free(&plan);
}

static void test_what_does_not_belong(void **state)
{
    struct sweep_status status;
    struct part_files parts;
    struct plan plan;
    (void)state;

    write_plan(&plan);
    write_part(&plan, 0, BEGUN_S + 1);
    /* Leftovers, a folder and a file of other names, a broken part, a part beyond the plan. */
    assert_int_equal(
        system("cd " OUT "/parts/0000 && touch notes shard-1.h5 shard-00000001-0123456789abcdef.h5.tmp-12"
               " shard-00000001-0123456789abcdeg.h5 && echo broken > shard-00000002-0123456789abcdef.h5"
               " && cp shard-00000000-0123456789abcdef.h5 shard-00099999-0123456789abcdef.h5"
               " && mkdir ../tmp && touch ../tmp/shard-00000003-0123456789abcdef.h5"),
        0);
    assert_int_equal(part_files_find(OUT, &parts), STATUS_OK);
    assert_int_equal(parts.n, 3);
    assert_int_equal(parts.items[0].shard, 0);
    assert_int_equal(parts.items[1].shard, 2);
    assert_int_equal(parts.items[2].shard, 99999);
    part_files_free(&parts);
    assert_int_equal(sweep_status_collect(OUT, BEGUN_S + 100, &status), STATUS_OK);
    assert_int_equal(status.n_shards_done, 2);
    assert_int_equal(status.n_unplanned, 1);
    assert_int_equal(status.n_parts_broken, 1);
    plan_free(&plan);
}

static void test_print(void **state)
{
    struct sweep_status status = {.n_shards = 10,
                                  .n_shards_done = 4,
                                  .n_rows = 1000,
                                  .n_rows_done = 400,
                                  .per_s_now = 12.5,
                                  .per_s_overall = 10,
                                  .eta_s = 48,
                                  .last_part_s = 7,
                                  .n_parts_read = 4,
                                  .n_rows_read = 400};
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    (void)state;

    status.by_status[ITEM_OK] = 398;
    status.by_status[ITEM_CORRUPT] = 2;
    status.by_verdict[SWEEP_FAILED] = 2;
    status.by_verdict[SWEEP_FLAGGED] = 3;
    sweep_status_print(&status, "o", file);
    fflush(file);
    assert_non_null(strstr(text, "state     running: the last shard was finished 0:00:07 ago\n"));
    assert_non_null(strstr(text, "shards    4 of 10 done\nrows      400 of 1000 done (40.0%)\n"));
    assert_non_null(
        strstr(text, "rate      12.5 img/s in the last 5 minutes, 10.0 overall\nETA       0:00:48\n"));
    assert_non_null(strstr(text, "flagged   3\nfailed    2 (0.50%)\n"));
    assert_non_null(strstr(text, "corrupt"));
    assert_null(strstr(text, "missing"));
    assert_null(strstr(text, "counted in"));
    rewind(file);
    status.eta_s = -1;
    assert_int_equal(sweep_status_print_json(&status, file), STATUS_OK);
    fclose(file);
    assert_non_null(strstr(text, "\"rows_done\":400,"));
    assert_non_null(strstr(text, "\"images_per_s_now\":12.5,"));
    assert_non_null(strstr(text, "\"eta_s\":null,"));
    assert_non_null(strstr(text, "\"corrupt\":2"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_no_plan, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_from_planned_to_done, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_what_does_not_belong, make_folder, remove_folder),
        cmocka_unit_test(test_print),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
