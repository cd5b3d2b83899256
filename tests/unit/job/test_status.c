/*
 * eyesore status from a plan, parts with times of our choosing, and things that do not belong; without notes
 * of attempts, as an older program leaves a sweep.
 */
#include "job/parts.h"
#include "job/status_collect.h"
#include "sweep_files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OUT "test_status.out"
#define BEGUN_S SWEEP_BEGUN_S
#define N_ROWS SWEEP_ROWS

const char *sweep_folder = OUT;

static void test_no_plan(void **state)
{
    struct sweep_status status = {.n_shards = 0};
    (void)state;

    sweep_status_free(&status);
    assert_int_equal(sweep_status_collect(OUT, BEGUN_S, &status), STATUS_INPUT);
    sweep_status_free(&status);
    assert_int_equal(sweep_status_collect("/nonexistent", BEGUN_S, &status), STATUS_INPUT);
    sweep_status_free(&status);
}

static void test_from_planned_to_done(void **state)
{
    struct sweep_status status = {.n_shards = 0};
    struct plan plan;
    (void)state;

    write_plan(&plan);
    sweep_status_free(&status);
    assert_int_equal(sweep_status_collect(OUT, BEGUN_S + 10, &status), STATUS_OK);
    assert_int_equal(status.n_rows, N_ROWS);
    assert_int_equal(status.n_rows_done, 0);
    assert_true(status.eta_s < 0 && status.last_part_s < 0);
    assert_int_equal(status.state, SWEEP_PLANNED);

    /* Shards 0 and 1, one of them long ago. */
    uint64_t first_rows = plan_shard(&plan, 0).n_rows, rows = first_rows + plan_shard(&plan, 1).n_rows;
    write_part(&plan, 0, BEGUN_S + 100);
    write_part(&plan, 1, BEGUN_S + 900);
    sweep_status_free(&status);
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
    assert_int_equal(status.state, SWEEP_RUNNING);
    assert_false(status.overall_by_attempts);

    /* Nobody works any more. */
    sweep_status_free(&status);
    assert_int_equal(sweep_status_collect(OUT, BEGUN_S + 10000, &status), STATUS_OK);
    assert_true(status.per_s_now == 0 && status.eta_s < 0);
    assert_true(status.work_left_s == (double)(N_ROWS - rows) / status.per_s_overall);
    assert_int_equal(status.state, SWEEP_STOPPED);

    for (uint64_t i = 2; i < plan.n_shards; i++)
        write_part(&plan, i, BEGUN_S + 950);
    sweep_status_free(&status);
    assert_int_equal(sweep_status_collect(OUT, BEGUN_S + 1000, &status), STATUS_OK);
    assert_int_equal(status.n_rows_done, N_ROWS);
    assert_true(status.eta_s == 0);
    assert_int_equal(status.state, SWEEP_UNGATHERED);
    assert_int_equal(status.by_status[ITEM_MISSING], plan.n_shards);
    assert_int_equal(system("touch " OUT "/sweep.h5"), 0);
    sweep_status_free(&status);
    assert_int_equal(sweep_status_collect(OUT, BEGUN_S + 1000, &status), STATUS_OK);
    assert_int_equal(status.state, SWEEP_FINISHED);
    sweep_status_free(&status);
    plan_free(&plan);
}

static void test_what_does_not_belong(void **state)
{
    struct sweep_status status = {.n_shards = 0};
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
    sweep_status_free(&status);
    assert_int_equal(sweep_status_collect(OUT, BEGUN_S + 100, &status), STATUS_OK);
    assert_int_equal(status.n_shards_done, 2);
    assert_int_equal(status.n_unplanned, 1);
    assert_int_equal(status.n_parts_broken, 1);
    sweep_status_free(&status);
    plan_free(&plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_no_plan, sweep_folder_make, sweep_folder_remove),
        cmocka_unit_test_setup_teardown(test_from_planned_to_done, sweep_folder_make, sweep_folder_remove),
        cmocka_unit_test_setup_teardown(test_what_does_not_belong, sweep_folder_make, sweep_folder_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
