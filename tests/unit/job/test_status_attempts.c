/* eyesore status from the notes of attempts and the lock: who works, how fast, until when, what fails. */
#include "job/status_collect.h"
#include "sweep_files.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define OUT "test_status_attempts.out"
#define BEGUN_S SWEEP_BEGUN_S
#define LOCK_OF(job, since)                                                                                  \
    "host=n1 pid=7 start=9 space=4026531836 job=" job " restart=0 since=" since " token=00\n"

const char *sweep_folder = OUT;

static void collect(int64_t at_s, struct sweep_status *status)
{
    sweep_status_free(status);
    assert_int_equal(sweep_status_collect(OUT, BEGUN_S + at_s, status), STATUS_OK);
}

static void begin(int64_t attempt_s, int rank, const char *host, const char *job, int n_ranks,
                  int64_t until_s)
{
    note(attempt_s, rank, host, attempt_s, "begin", "job=%s restart=0 ranks=%d until=%lld", job, n_ranks,
         (long long)(until_s == 0 ? 0 : BEGUN_S + until_s));
}

/* A shard from its claim to its part. */
static void part(int64_t attempt_s, int rank, const char *host, int64_t from_s, int64_t to_s, int shard,
                 int rows)
{
    note(attempt_s, rank, host, from_s, "claimed", "shard=%d", shard);
    note(attempt_s, rank, host, to_s, "part", "shard=%d rows=%d seconds=%.2f", shard, rows,
         (double)(to_s - from_s));
}

static void test_ends(void **state)
{
    static const char *const ends[] = {"unknown", "resume", "place", "died", "stalled", "ok"};
    struct sweep_status status = {.n_shards = 0};
    struct plan plan;
    (void)state;

    write_plan(&plan);
    note(10, 0, "n1", 10, "gpu_model", "H100"); /* an older program's */
    for (int rank = 0; rank < 2; rank++) {
        for (int64_t attempt_s = 100; attempt_s <= 500; attempt_s += 100)
            begin(attempt_s, rank, rank == 0 ? "n1" : "n2", "-", 2, 0);
        note(100, rank, "n1", 150, "end", "outcome=%s", rank == 0 ? "ok" : "resume");
        note(200, rank, "n1", 250, "end", "outcome=%s", rank == 0 ? "place" : "resume");
        note(500, rank, "n1", 560, "end", "outcome=ok");
    }
    note(300, 0, "n1", 350, "end", "outcome=ok"); /* rank 1 was not heard of */
    note(400, 1, "n2", 460, "stalled", "stage=fetch shard=3 what=a.jpg seconds=60");
    collect(700, &status);
    assert_int_equal(status.history.n_attempts, 6);
    for (int i = 0; i < 6; i++)
        assert_string_equal(attempt_end(&status.history.attempts[i], false), ends[i]);
    assert_false(status.attempt_runs);
    assert_int_equal(status.state, SWEEP_STOPPED);
    assert_int_equal(status.history.attempts[3].n_begun, 2);
    assert_int_equal(status.history.attempts[3].n_ended, 1);
    assert_int_equal(status.history.n_stalled, 1);
    assert_string_equal(status.history.last_stall, "n2: stage=fetch shard=3 what=a.jpg seconds=60");
    assert_true(isnan(status.eta_s) == 0 && status.eta_s < 0);
    plan_free(&plan);
    sweep_status_free(&status);
}

/* The lock tells who runs, and whether the last attempt is that job's. */
static void test_lock(void **state)
{
    struct sweep_status status = {.n_shards = 0};
    struct plan plan;
    (void)state;

    write_plan(&plan);
    begin(100, 0, "n1", "77", 1, 0);
    collect(110, &status);
    assert_false(status.holder.there || status.attempt_runs);
    assert_string_equal(attempt_end(&status.history.attempts[0], status.attempt_runs), "died");

    write_lock(LOCK_OF("77", "2023-11-14T22:14:59Z"), 108); /* BEGUN_S + 99 */
    collect(110, &status);
    assert_true(status.holder.alive && status.attempt_runs);
    assert_int_equal(status.state, SWEEP_RUNNING);
    assert_string_equal(status.holder.host, "n1");
    assert_string_equal(status.holder.job, "77");
    assert_int_equal(status.holder.since_s, BEGUN_S + 99);
    assert_true(status.holder.touched_s_ago == 2);
    assert_string_equal(attempt_end(&status.history.attempts[0], status.attempt_runs), "running");

    collect(108 + SWEEP_HOLDER_SILENT_S + 1, &status); /* nobody touches it any more */
    assert_true(status.holder.there && !status.holder.alive && !status.attempt_runs);
    assert_int_equal(status.state, SWEEP_STOPPED);

    write_lock(LOCK_OF("78", "2023-11-14T22:14:59Z"), 108); /* another job, which has not begun to sweep */
    collect(110, &status);
    assert_true(status.holder.alive && !status.attempt_runs);
    assert_int_equal(status.state, SWEEP_RUNNING);

    write_lock(LOCK_OF("-", "2023-11-14T22:15:20Z"), 120); /* begun after the attempt */
    collect(121, &status);
    assert_true(status.holder.alive && !status.attempt_runs);

    /* On its own host a process is seen to be gone, or to live; in another namespace it is not seen. */
    char host[256] = "", lock[1024];
    struct stat st;
    pid_t gone = fork();
    if (gone == 0)
        _exit(0);
    assert_int_equal(waitpid(gone, NULL, 0), gone);
    assert_int_equal(gethostname(host, sizeof(host) - 1), 0);
    assert_int_equal(stat("/proc/self/ns/pid", &st), 0);
    for (int i = 0; i < 3; i++) {
        snprintf(lock, sizeof(lock), "host=%s pid=%ld start=1 space=%llu job=- restart=0 since=x token=0\n",
                 host, i == 1 ? (long)getpid() : (long)gone, (unsigned long long)st.st_ino + (i == 2));
        write_lock(lock, 120);
        collect(121, &status);
        assert_int_equal(status.holder.alive, i != 0);
    }

    write_lock("\033\"gibberish", 120); /* not readable, and alive all the same */
    collect(121, &status);
    assert_true(status.holder.alive && status.attempt_runs);
    assert_string_equal(status.holder.host, "");
    plan_free(&plan);
    sweep_status_free(&status);
}

/* Shards of 400 s, longer than the window: two ranks of 0.1 rows/s each. */
static void test_rate_of_long_shards(void **state)
{
    struct sweep_status status = {.n_shards = 0};
    struct plan plan;
    (void)state;

    write_plan(&plan);
    write_lock(LOCK_OF("-", "2023-11-14T22:13:20Z"), 1900);
    for (int rank = 0; rank < 2; rank++) {
        begin(0, rank, "n1", "-", 2, 0);
        for (int i = 0; i < 4; i++)
            part(0, rank, "n1", 5 + 400 * i + 100 * rank, 405 + 400 * i + 100 * rank, 2 * i + rank, 40);
    }
    collect(1900, &status); /* both are within their next shard: claimed or not, 195 and 295 s after a part */
    assert_true(fabs(status.per_s_now - 0.2) < 1e-9);
    assert_true(status.eta_s > 0);
    plan_free(&plan);
    sweep_status_free(&status);
}

/* Shards shorter than the clock's second, more than are kept: 5 rows/s, in bursts of a second. */
static void test_rate_of_short_shards(void **state)
{
    struct sweep_status status = {.n_shards = 0};
    struct plan plan;
    (void)state;

    write_plan(&plan);
    write_lock(LOCK_OF("-", "2023-11-14T22:13:20Z"), 200);
    begin(0, 0, "n1", "-", 1, 0);
    for (int i = 0; i < 1000; i++)
        part(0, 0, "n1", i / 5, i / 5, i, 1);
    collect(199, &status);
    assert_true(fabs(status.per_s_now - 5) < 1e-9);
    plan_free(&plan);
    sweep_status_free(&status);
}

/* A sweep of seconds; one that fell silent; one that ended. */
static void test_rate_begins_and_ends(void **state)
{
    struct sweep_status status = {.n_shards = 0};
    struct plan plan;
    (void)state;

    write_plan(&plan);
    write_lock(LOCK_OF("-", "2023-11-14T22:13:20Z"), 30);
    begin(0, 0, "n1", "-", 1, 0);
    collect(10, &status);
    assert_true(status.attempt_runs && status.per_s_now == 0 && status.eta_s < 0);
    part(0, 0, "n1", 10, 20, 1, 10); /* the start-up of 10 s does not count */
    collect(25, &status);
    assert_true(fabs(status.per_s_now - 1) < 1e-9);
    collect(50, &status); /* the next one should have been there at 30: now it is half as fast */
    assert_true(fabs(status.per_s_now - 10.0 / 30) < 1e-9);
    write_lock(LOCK_OF("-", "2023-11-14T22:13:20Z"), 330);
    collect(330, &status);
    assert_true(status.per_s_now == 0);
    note(0, 0, "n1", 340, "end", "outcome=ok");
    collect(341, &status); /* the lock is still there */
    assert_true(status.per_s_now == 0);
    plan_free(&plan);
    sweep_status_free(&status);
}

/* Two attempts of 100 s with a pause of 800 s: 50 rows in 200 s. */
static void test_pauses(void **state)
{
    struct sweep_status status = {.n_shards = 0};
    struct plan plan;
    (void)state;

    write_plan(&plan);
    begin(0, 0, "n1", "-", 1, 0);
    begin(0, 1, "n1", "-", 2, 0); /* at the same time: not twice */
    for (uint64_t i = 0; i < 2; i++) {
        part(0, 0, "n1", 0, 50 * (int64_t)(i + 1), (int)i, (int)plan_shard(&plan, i).n_rows);
        write_part(&plan, i, BEGUN_S + 50 * ((int64_t)i + 1));
    }
    note(0, 1, "n1", 100, "end", "outcome=resume");
    collect(150, &status);
    double first = (double)status.n_rows_done;
    assert_true(status.overall_by_attempts && status.active_s == 100 && status.paused_s == 0);
    assert_true(status.per_s_overall == first / 100);
    begin(900, 0, "n1", "-", 1, 0);
    part(900, 0, "n1", 900, 1000, 2, (int)plan_shard(&plan, 2).n_rows);
    write_part(&plan, 2, BEGUN_S + 1000);
    collect(1001, &status);
    assert_true(status.active_s == 200 && status.paused_s == 800);
    assert_true(status.per_s_overall == (double)status.n_rows_done / 200);
    assert_true(status.per_s_since_plan == (double)status.n_rows_done / 1000);
    /* Parts that no note tells of: the pauses cannot be told. */
    write_part(&plan, 3, BEGUN_S + 1000);
    write_part(&plan, 4, BEGUN_S + 1000);
    collect(1001, &status);
    assert_false(status.overall_by_attempts);
    assert_true(status.per_s_overall == status.per_s_since_plan);
    plan_free(&plan);
    sweep_status_free(&status);
}

static void test_time_limit(void **state)
{
    struct sweep_status status = {.n_shards = 0};
    struct plan plan;
    (void)state;

    write_plan(&plan);
    write_lock(LOCK_OF("77", "2023-11-14T22:13:20Z"), 10);
    begin(0, 0, "n1", "77", 1, 30);
    uint64_t rows = plan_shard(&plan, 0).n_rows;
    part(0, 0, "n1", 0, 10, 0, (int)rows);
    write_part(&plan, 0, BEGUN_S + 10);
    collect(10, &status);
    double left = (double)(SWEEP_ROWS - rows), eta_s = left / ((double)rows / 10);
    assert_int_equal(status.until_s, BEGUN_S + 30);
    assert_true(fabs(status.eta_s - eta_s) < 1e-9);
    assert_true(fabs(status.spare_s - (20 - eta_s)) < 1e-9);
    assert_true(eta_s > 20 + 30); /* else one requeue is enough */
    assert_int_equal(status.n_requeues, (uint64_t)ceil((eta_s - 20) / 30));
    part(0, 0, "n1", 10, 11, 1, 90); /* much faster: as if most rows were in one shard */
    collect(11, &status);
    assert_true(status.spare_s > 0 && status.n_requeues == 0);
    /* Before the first part of a new attempt the overall rate must do. */
    begin(20, 0, "n1", "77", 1, 300);
    collect(21, &status);
    assert_true(status.attempt_runs && status.per_s_now == 0 && status.eta_by_overall && status.eta_s > 0);
    assert_int_equal(status.until_s, BEGUN_S + 300);
    plan_free(&plan);
    sweep_status_free(&status);
}

/* Nine ranks of 1 row/s, and slower ones; an idle and an ended one are not slow. */
static void test_slow_ranks(void **state)
{
    struct sweep_status status = {.n_shards = 0};
    struct plan plan;
    char host[16];
    (void)state;

    write_plan(&plan);
    write_lock(LOCK_OF("-", "2023-11-14T22:13:20Z"), 100);
    for (int rank = 0; rank < 18; rank++) {
        snprintf(host, sizeof(host), "n%d", rank / 4);
        begin(0, rank, host, "-", 18, 0);
        for (int i = 0; i < 10; i++)
            part(0, rank, host, 10 * i, 10 * (i + 1), 1000 + rank,
                 rank < 10    ? 10
                 : rank == 10 ? 9
                              : 17 - rank);
        if (rank != 16)
            note(0, rank, host, 100, "claimed", "shard=%d", 2000 + rank);
        if (rank == 17)
            note(0, rank, host, 100, "end", "outcome=resume");
    }
    collect(100, &status);
    assert_int_equal(status.n_ranks_rated, 16);
    assert_true(fabs(status.median_per_s - 1) < 1e-9);
    assert_int_equal(status.n_slow_all, 5); /* ranks 11 to 15: 0.6 to 0.2 */
    assert_int_equal(status.n_slow, SWEEP_STATUS_SLOWEST);
    assert_int_equal(status.slow[0].rank->rank, 15);
    assert_string_equal(status.slow[0].rank->host, "n3");
    assert_true(fabs(status.slow[0].of_median - 0.2) < 1e-9);
    assert_true(fabs(status.slow[4].of_median - 0.6) < 1e-9);
    plan_free(&plan);
    sweep_status_free(&status);
}

/* Two seconds of notes that are to the second say nothing of who is slow. */
static void test_no_rate_of_seconds(void **state)
{
    struct sweep_status status = {.n_shards = 0};
    struct plan plan;
    (void)state;

    write_plan(&plan);
    for (int rank = 0; rank < 3; rank++) {
        begin(0, rank, "n1", "-", 3, 0);
        part(0, rank, "n1", 0, rank == 0 ? 2 : 1, rank, 10);
        note(0, rank, "n1", 2, "end", "outcome=too_many_failed");
    }
    collect(3, &status);
    assert_int_equal(status.n_ranks_rated, 0);
    assert_int_equal(status.n_slow_all, 0);
    plan_free(&plan);
    sweep_status_free(&status);
}

static void test_in_hand(void **state)
{
    struct sweep_status status = {.n_shards = 0};
    struct plan plan;
    (void)state;

    write_plan(&plan);
    write_lock(LOCK_OF("-", "2023-11-14T22:21:40Z"), 1000);
    begin(0, 0, "n1", "-", 1, 0);
    note(0, 0, "n1", 10, "claimed", "shard=9"); /* a dead attempt's */
    begin(500, 0, "n1", "-", 2, 0);
    begin(500, 1, "n2", "-", 2, 0);
    part(500, 0, "n1", 500, 600, 0, 10);
    note(500, 0, "n1", 500, "claimed", "shard=1");
    note(500, 0, "n1", 600, "released", "shard=1");
    note(500, 0, "n1", 600, "claimed", "shard=2");
    note(500, 0, "n1", 610, "dropped", "shard=2");
    note(500, 0, "n1", 610, "claimed", "shard=3");
    note(500, 0, "n1", 620, "shard_failed", "shard=3 cause=crash");
    note(500, 0, "n1", 620, "claimed", "shard=4"); /* its part is there, its note is lost */
    write_part(&plan, 4, BEGUN_S + 700);
    note(500, 0, "n1", 650, "claimed", "shard=5");
    note(500, 1, "n2", 690, "claimed", "shard=6");
    note(500, 1, "n2", 990, "claimed", "shard=5");         /* given to an idle one */
    note(500, 1, "n2", 990, "claimed", "shard=123456789"); /* no shard of this plan */
    collect(1000, &status);
    assert_true(status.attempt_runs);
    assert_int_equal(status.n_in_flight, 3);
    assert_true(status.long_s == 300);
    assert_int_equal(status.n_long, 2);
    assert_int_equal(status.in_flight[0].shard, 5);
    assert_int_equal(status.in_flight[0].rank->rank, 0);
    assert_true(status.in_flight[0].age_s == 350);
    assert_int_equal(status.in_flight[1].shard, 6);
    assert_string_equal(status.in_flight[1].rank->host, "n2");
    collect(1000 + SWEEP_HOLDER_SILENT_S + 1, &status);
    assert_int_equal(status.n_in_flight, 0); /* nobody holds them */
    plan_free(&plan);
    sweep_status_free(&status);
}

static const struct host_record *find_host(const struct sweep_status *status, const char *name)
{
    const struct host_table *hosts = &status->history.hosts;

    for (size_t i = 0; i < hosts->names.n; i++)
        if (strcmp(hosts->records[i].name, name) == 0)
            return &hosts->records[i];
    fail_msg("no host %s", name);
    return NULL;
}

/* The batch script's notes count for the job's attempt, ranks' silence for their own. */
static void test_hosts(void **state)
{
    struct sweep_status status = {.n_shards = 0};
    struct plan plan;
    char host[16];
    (void)state;

    write_plan(&plan);
    for (int restart = 0; restart < 3; restart++)
        for (int rank = 0; rank < 4; rank++) {
            snprintf(host, sizeof(host), "n%d", rank);
            note(100 * restart, rank, host, 100 * restart, "begin", "job=9 restart=%d ranks=4 until=0",
                 restart);
            if (rank != 3 || restart != 1)
                note(100 * restart, rank, host, 100 * restart + 50, "end", "outcome=resume");
        }
    note(199, -1, "n2", 199, "node_failed", "job=9 restart=0 state=DOWN");
    note(299, -1, "n2", 299, "node_failed", "job=9 restart=2 state=DOWN");
    note(299, -1, "n8", 299, "host_left_out", "job=9 restart=2 why=before");
    note(200, 1, "n1", 240, "device_failed", "sticky");
    collect(300, &status);
    assert_true(find_host(&status, "n1")->left_out);
    assert_int_equal(find_host(&status, "n1")->n_faults[HOST_DEVICE_FAILED], 1);
    assert_true(find_host(&status, "n2")->left_out);
    assert_int_equal(find_host(&status, "n2")->n_attempts_failed, 2);
    assert_int_equal(find_host(&status, "n3")->n_attempts_failed, 1);
    assert_int_equal(find_host(&status, "n3")->n_faults[HOST_SILENT], 1);
    assert_false(find_host(&status, "n3")->left_out || find_host(&status, "n8")->left_out_now);
    write_lock("host=n0 pid=1 start=1 space=1 job=9 restart=2 since=2023-11-14T22:16:40Z token=0\n", 300);
    collect(300, &status); /* the attempt that runs is not judged, and says whom it does without */
    assert_true(status.attempt_runs);
    assert_int_equal(find_host(&status, "n2")->n_attempts_failed, 1);
    assert_true(find_host(&status, "n8")->left_out_now && !find_host(&status, "n8")->left_out);
    plan_free(&plan);
    sweep_status_free(&status);
}

static void test_shards_failed(void **state)
{
    struct sweep_status status = {.n_shards = 0};
    struct plan plan;
    (void)state;

    write_plan(&plan);
    for (int i = 0; i < 3; i++) {
        begin(100 * i, 0, i == 1 ? "n2" : "n1", "-", 1, 0);
        note(100 * i, 0, i == 1 ? "n2" : "n1", 100 * i + 10, "shard_failed", "shard=7 cause=%s",
             i == 1 ? "stall stage=fetch" : "crash");
        note(100 * i, 0, "n1", 100 * i + 10, "shard_failed", "shard=2 cause=place");
    }
    note(200, 0, "n1", 220, "shard_failed", "shard=3 cause=place");
    note(200, 0, "n1", 220, "shard_failed", "shard=99999 cause=place");
    note(200, 0, "n1", 220, "shard_failed", "nothing");
    write_part(&plan, 2, BEGUN_S + 230);
    collect(300, &status);
    assert_int_equal(status.n_troubles, 3);
    assert_int_equal(status.n_troubles_open, 2);
    assert_int_equal(status.troubles[0].shard, 7);
    assert_int_equal(status.troubles[0].n, 3);
    assert_int_equal(status.troubles[0].n_hosts, 2);
    const struct shard_failure *failures = &status.history.failures[status.troubles[0].first];
    assert_string_equal(failures[0].cause, "crash");
    assert_string_equal(failures[2].cause, "stall");
    assert_int_equal(status.troubles[1].shard, 3);
    assert_int_equal(status.troubles[2].shard, 2);
    assert_true(status.troubles[2].done);
    assert_int_equal(system("mkdir " OUT "/set-aside && touch " OUT "/set-aside/a " OUT "/set-aside/b"), 0);
    collect(300, &status);
    assert_int_equal(status.n_files_set_aside, 2);
    plan_free(&plan);
    sweep_status_free(&status);
}

/* A rank that claims without end: what it holds is bounded, and the newest. */
static void test_many_claims(void **state)
{
    struct sweep_history history;
    char line[256];
    (void)state;

    append_notes("a-rank0.log", "");
    FILE *file = fopen(OUT "/attempts/a-rank0.log", "w");
    assert_non_null(file);
    for (int i = 0; i < 20000; i++) {
        snprintf(line, sizeof(line),
                 "time=2023-11-14T22:13:20Z event=claimed rank=0 host=n1 device=\"\" detail=\"shard=%d\"\n",
                 i);
        fputs(line, file);
    }
    assert_int_equal(fclose(file), 0);
    assert_int_equal(history_read(OUT, &history), STATUS_OK);
    assert_int_equal(history.n_ranks, 1);
    assert_true(history.ranks[0].n_claims <= 4096);
    assert_int_equal(history.ranks[0].claims[history.ranks[0].n_claims - 1].shard, 19999);
    history_free(&history);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, sweep_folder_make, sweep_folder_remove)
    const struct CMUnitTest tests[] = {
        TEST(test_ends),
        TEST(test_lock),
        TEST(test_rate_of_long_shards),
        TEST(test_rate_of_short_shards),
        TEST(test_rate_begins_and_ends),
        TEST(test_pauses),
        TEST(test_time_limit),
        TEST(test_slow_ranks),
        TEST(test_no_rate_of_seconds),
        TEST(test_in_hand),
        TEST(test_hosts),
        TEST(test_shards_failed),
        TEST(test_many_claims),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
