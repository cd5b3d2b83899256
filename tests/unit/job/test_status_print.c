/* What eyesore status prints: for people, as JSON, for Prometheus; with names that try to break out. */
#include "job/status_print.h"
#include "prometheus_check.h"
#include "sweep_files.h"

#include <cjson/cJSON.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define OUT "test_status_print.out"
#define BEGUN_S SWEEP_BEGUN_S
#define EVIL "\033[2Jn\"x\\y{z}\xff\xc2\x9b"
#define EVIL_SHOWN "?[2Jn\"x\\y{z}???"

const char *sweep_folder = OUT;

enum form { FOR_PEOPLE, JSON, PROMETHEUS };

/* The caller frees. */
static char *print(const struct sweep_status *status, enum form form, const char *out)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);

    assert_non_null(file);
    if (form == FOR_PEOPLE)
        sweep_status_print(status, out, file);
    else if (form == JSON)
        assert_int_equal(sweep_status_print_json(status, file), STATUS_OK);
    else
        assert_int_equal(sweep_status_print_prometheus(status, out, file), STATUS_OK);
    assert_int_equal(fclose(file), 0);
    return text;
}

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("'%s' is not in:\n%s", part, text);
}

static void assert_printable(const char *text)
{
    for (const char *p = text; *p != '\0'; p++)
        if (((unsigned char)*p < ' ' && *p != '\n') || *p == 0x7F)
            fail_msg("a control character in:\n%s", text);
}

static double number(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    if (!cJSON_IsNumber(item))
        fail_msg("%s is no number", key);
    return cJSON_GetNumberValue(item);
}

static const char *text_of(const cJSON *object, const char *key)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
    return text == NULL ? "(none)" : text;
}

static double value(const char *text, const char *series)
{
    double got = 0;
    if (!prometheus_value(text, series, &got))
        fail_msg("no %s in:\n%s", series, text);
    return got;
}

static void test_numbers(void **state)
{
    struct sweep_status status = {.state = SWEEP_RUNNING,
                                  .n_shards = 10,
                                  .n_shards_done = 4,
                                  .n_rows = 1000,
                                  .n_rows_done = 400,
                                  .per_s_now = 12.5,
                                  .per_s_overall = 10,
                                  .per_s_since_plan = 8,
                                  .overall_by_attempts = true,
                                  .paused_s = 60,
                                  .eta_s = 48,
                                  .last_part_s = 7,
                                  .n_parts_read = 4,
                                  .n_rows_read = 400};
    char *text;
    (void)state;

    status.by_status[ITEM_OK] = 398;
    status.by_status[ITEM_CORRUPT] = 2;
    status.by_verdict[SWEEP_FAILED] = 2;
    status.by_verdict[SWEEP_FLAGGED] = 3;
    text = print(&status, FOR_PEOPLE, "o");
    assert_has(text, "state     running: the last shard was finished 0:00:07 ago\n");
    assert_has(text, "shards    4 of 10 done\nrows      400 of 1000 done (40.0%)\n");
    assert_has(
        text, "rate      12.5 img/s now, 10.0 overall (8.0 with the pauses of 0:01:00)\nETA       0:00:48\n");
    assert_has(text, "flagged   3\nfailed    2 (0.50%)\n");
    assert_has(text, "corrupt");
    assert_null(strstr(text, "missing"));
    assert_null(strstr(text, "counted in"));
    free(text);
    status.until_s = 2000;
    status.spare_s = 2400;
    text = print(&status, FOR_PEOPLE, "o");
    assert_has(text, "ETA       0:00:48: finishes 0:40:00 before the time limit\n");
    free(text);
    status.spare_s = -7200;
    status.n_requeues = 1;
    text = print(&status, FOR_PEOPLE, "o");
    assert_has(text,
               "ETA       0:00:48: does not finish in this job: 2:00:00 more needed, about 1 requeue\n");
    free(text);
    status.eta_s = -1;
    text = print(&status, JSON, "o");
    assert_has(text, "\"rows_done\":400,");
    assert_has(text, "\"images_per_s_now\":12.5,");
    assert_has(text, "\"eta_s\":null,");
    assert_has(text, "\"spare_s\":null,");
    assert_has(text, "\"corrupt\":2");
    free(text);
}

/* A running sweep in which everything is wrong that can be, on hosts with names of the worst kind. */
static void write_evil(struct plan *plan)
{
    write_plan(plan);
    write_lock("host=" EVIL " pid=1 start=1 space=1 job=77 restart=1 since=2023-11-14T22:15:00Z token=0\n",
               400);
    for (int rank = 0; rank < 8; rank++)
        note(0, rank, rank < 4 ? EVIL : "n2", 0, "begin", "job=77 restart=0 ranks=8 until=0");
    note(0, 0, EVIL, 50, "stalled", "stage=fetch shard=3 what=" EVIL " seconds=60");
    note(99, -1, EVIL "2", 99, "host_left_out", "job=77 restart=1 why=" EVIL);
    for (int rank = 0; rank < 4; rank++) {
        const char *host = rank == 0 ? EVIL : "n2";
        note(100, rank, host, 100, "begin", "job=77 restart=1 ranks=4 until=%d", BEGUN_S + 500);
        note(100, rank, host, 100, "claimed", "shard=%d", rank);
        note(100, rank, host, 380, "part", "shard=%d rows=%d seconds=280", rank, rank == 0 ? 1 : 10);
        note(100, rank, host, 100, "claimed", "shard=%d", rank + 4);
    }
    note(100, 0, EVIL, 390, "shard_failed", "shard=9 cause=\033[1m\"},{");
    note(100, 1, "n2", 390, "shard_failed", "shard=9 cause=crash");
    note(100, 1, EVIL, 390, "device_failed", "x");
    for (uint64_t i = 0; i < 4; i++)
        write_part(plan, i, BEGUN_S + 380);
}

static void check_evil_json(const char *text)
{
    const char *end;
    cJSON *root = cJSON_ParseWithOpts(text, &end, false);

    assert_non_null(root);
    assert_string_equal(end, "\n");
    assert_null(strchr(text, '\033'));
    assert_string_equal(text_of(root, "state"), "running");
    assert_string_equal(text_of(root, "time_limit"), "2023-11-14T22:21:40Z");
    assert_string_equal(text_of(cJSON_GetObjectItem(root, "lock"), "host"), EVIL_SHOWN);
    assert_string_equal(text_of(cJSON_GetObjectItem(root, "lock"), "job"), "77");
    assert_true(number(root, "n_attempts") == 2);
    const cJSON *attempts = cJSON_GetObjectItem(root, "attempts");
    assert_string_equal(text_of(cJSON_GetArrayItem(attempts, 0), "end"), "stalled");
    assert_string_equal(text_of(cJSON_GetArrayItem(attempts, 1), "end"), "running");
    assert_true(number(root, "n_slow_ranks") == 1);
    assert_string_equal(text_of(cJSON_GetArrayItem(cJSON_GetObjectItem(root, "slow_ranks"), 0), "host"),
                        EVIL_SHOWN);
    assert_true(number(root, "shards_in_hand") == 4);
    assert_true(number(root, "n_shards_failed_not_done") == 1);
    const cJSON *failed = cJSON_GetArrayItem(cJSON_GetObjectItem(root, "shards_failed"), 0);
    assert_true(number(failed, "n_hosts") == 2);
    assert_true(number(root, "n_hosts_left_out") == 2);
    assert_true(number(cJSON_GetObjectItem(root, "by_status"), "missing") == 4);
    cJSON_Delete(root);
}

static void check_evil_prometheus(const char *text)
{
    char problem[512];

    if (!prometheus_check(text, problem, sizeof(problem)))
        fail_msg("%s", problem);
    assert_true(value(text, "eyesore_sweep_state{out=\"o\\\"\\\\?\",state=\"running\"}") == 1);
    assert_true(value(text, "eyesore_sweep_rows{out=\"o\\\"\\\\?\"}") == SWEEP_ROWS);
    assert_true(value(text, "eyesore_sweep_attempts{out=\"o\\\"\\\\?\",end=\"stalled\"}") == 1);
    assert_true(value(text, "eyesore_sweep_slow_ranks{out=\"o\\\"\\\\?\"}") == 1);
    assert_true(
        value(text, "eyesore_sweep_host_left_out{out=\"o\\\"\\\\?\",host=\"?[2Jn\\\"x\\\\y{z}???\"}") == 1);
    assert_true(value(text, "eyesore_sweep_time_limit_timestamp_seconds{out=\"o\\\"\\\\?\"}") ==
                BEGUN_S + 500);
    assert_true(value(text, "eyesore_sweep_last_shard_timestamp_seconds{out=\"o\\\"\\\\?\"}") ==
                BEGUN_S + 380);
    assert_true(value(text, "eyesore_sweep_rows_by_status{out=\"o\\\"\\\\?\",status=\"missing\"}") == 4);
}

static void test_hostile_names(void **state)
{
    struct sweep_status status;
    struct plan plan;
    char *text;
    (void)state;

    write_evil(&plan);
    assert_int_equal(sweep_status_collect(OUT, BEGUN_S + 400, &status), STATUS_OK);
    assert_true(status.attempt_runs);
    text = print(&status, FOR_PEOPLE, "o\"\\\n");
    assert_printable(text);
    assert_int_equal(strncmp(text, "state     running on " EVIL_SHOWN " (Slurm job 77) since ", 50), 0);
    assert_has(text, "\nslow      rank 0 on " EVIL_SHOWN ": ");
    assert_has(text, "\nattempts  2\n");
    assert_has(text, "  stalled    0:00:50, 0 rows, 8 ranks (8 without an end), Slurm job 77\n");
    assert_has(text, "\nhosts     " EVIL_SHOWN);
    assert_has(text, "2 is left out now\n");
    assert_has(text, " is to be left out: 1 attempt failed on it, device_failed 1, stalled 1");
    assert_has(text, "\nstalled   1 time, the last on " EVIL_SHOWN);
    assert_has(text, "\ntrouble   shard 9 failed on 2 hosts: ");
    free(text);
    text = print(&status, JSON, OUT);
    check_evil_json(text);
    free(text);
    text = print(&status, PROMETHEUS, "o\"\\\n");
    check_evil_prometheus(text);
    free(text);
    sweep_status_free(&status);
    plan_free(&plan);
}

/* After each end, what to do. */
static void test_advice(void **state)
{
    struct sweep_attempt attempt = {.name = "20231114T221320Z", .n_begun = 1, .n_ended = 1};
    struct sweep_status status = {.state = SWEEP_STOPPED, .history = {.attempts = &attempt, .n_attempts = 1}};
    char *text;
    (void)state;

    snprintf(attempt.outcome, sizeof(attempt.outcome), "place");
    text = print(&status, FOR_PEOPLE, OUT);
    assert_has(text,
               "state     stopped: the last attempt ended 0:00:00 ago (place): run the same command again\n");
    free(text);
    snprintf(attempt.outcome, sizeof(attempt.outcome), "too_many_failed");
    text = print(&status, FOR_PEOPLE, OUT);
    assert_has(text, "(too_many_failed): is the pool there?");
    free(text);
    snprintf(attempt.outcome, sizeof(attempt.outcome), "mismatch");
    text = print(&status, FOR_PEOPLE, OUT);
    assert_has(text, "(mismatch): its log says why");
    free(text);
}

/* A plan alone: nothing is known, and all forms hold. */
static void test_nothing_known(void **state)
{
    struct sweep_status status;
    struct plan plan;
    char problem[512];
    (void)state;

    write_plan(&plan);
    assert_int_equal(sweep_status_collect(OUT, BEGUN_S, &status), STATUS_OK);
    char *text = print(&status, PROMETHEUS, OUT);
    if (!prometheus_check(text, problem, sizeof(problem)))
        fail_msg("%s", problem);
    assert_null(strstr(text, "eta_seconds"));
    assert_true(value(text, "eyesore_sweep_done_ratio{out=\"" OUT "\"}") == 0);
    free(text);
    text = print(&status, JSON, OUT);
    cJSON *root = cJSON_Parse(text);
    assert_string_equal(text_of(root, "state"), "planned");
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(root, "lock")) &&
                cJSON_IsNull(cJSON_GetObjectItem(root, "eta_s")));
    cJSON_Delete(root);
    free(text);
    sweep_status_free(&status);
    plan_free(&plan);
}

/* The check itself finds what is wrong. */
static void test_check(void **state)
{
#define HEAD "# HELP a It is.\n# TYPE a gauge\n"
    static const char *const good[] = {HEAD "a 1\n",
                                       HEAD "a{b=\"c\\\"\\\\\\n\",d=\"\"} -1.5e+09\na{b=\"e\"} NaN\n"};
    static const char *const bad[] = {"",
                                      HEAD "a 1",
                                      HEAD "a{b=\"c\"d\"} 1\n",
                                      HEAD "a{b=\"c\\d\"} 1\n",
                                      HEAD "a{b=\"c\n\"} 1\n",
                                      HEAD "a{b=\"c\"\n",
                                      HEAD "a{1b=\"c\"} 1\n",
                                      HEAD "a  1\n",
                                      HEAD "a one\n",
                                      HEAD "a 1 2 3\n",
                                      HEAD "a 1\na 2\n",
                                      HEAD "b 1\n",
                                      HEAD "a 1\n" HEAD "a{b=\"c\"} 1\n",
                                      HEAD "a{b=\"\xff\"} 1\n",
                                      "# TYPE a gauge\na 1\n",
                                      "# HELP a x\n# TYPE a number\na 1\n",
                                      "# A remark\n"};
    char problem[512];
    (void)state;

    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
        if (!prometheus_check(good[i], problem, sizeof(problem)))
            fail_msg("%s", problem);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (prometheus_check(bad[i], problem, sizeof(problem)))
            fail_msg("taken for right: %s", bad[i]);
}

/* Files come and go, and grow, while they are looked at. */
static void *disturb(void *argument)
{
    atomic_bool *stop = argument;

    for (unsigned i = 0; !atomic_load(stop); i++) {
        append_notes("20231114T221320Z-rank0.log",
                     "time=2023-11-14T22:13:21Z event=part rank=0 host=n1 device=\"");
        append_notes("20231114T221320Z-rank0.log", "\" detail=\"shard=1 rows=1 seconds=1\"\n");
        append_notes("20231114T221320Z-rank1.log", "half a line");
        (void)rename(OUT "/parts/0000/shard-00000001-0123456789abcdef.h5", OUT "/away");
        unlink(OUT "/attempts/20231114T221320Z-rank1.log");
        unlink(OUT "/lock");
        (void)rename(OUT "/away", OUT "/parts/0000/shard-00000001-0123456789abcdef.h5");
        FILE *lock = fopen(OUT "/lock", "w");
        if (lock != NULL)
            fclose(lock);
    }
    return NULL;
}

static void test_while_it_changes(void **state)
{
    struct sweep_status status;
    struct plan plan;
    atomic_bool stop = false;
    pthread_t thread;
    (void)state;

    write_plan(&plan);
    for (uint64_t i = 0; i < plan.n_shards; i++)
        write_part(&plan, i, BEGUN_S + 10);
    assert_int_equal(pthread_create(&thread, NULL, disturb, &stop), 0);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(sweep_status_collect(OUT, BEGUN_S + 20, &status), STATUS_OK);
        assert_true(status.n_shards_done >= plan.n_shards - 1 && status.n_shards_done <= plan.n_shards);
        assert_int_equal(status.history.n_unreadable, 0);
        sweep_status_free(&status);
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    plan_free(&plan);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, sweep_folder_make, sweep_folder_remove)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_advice), cmocka_unit_test(test_check),
        TEST(test_hostile_names),       TEST(test_nothing_known),      TEST(test_while_it_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
