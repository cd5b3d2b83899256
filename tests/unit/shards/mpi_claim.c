/*
 * Who takes which shard, for real: run under mpirun with 4 ranks (any number of 2 or more will do). Each
 * scenario is one life of a claimant; a failed check aborts the job with its line.
 */
#include "shards/claim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: rank %d: not so: %s\n", __FILE__, __LINE__, rank, #condition);           \
            MPI_Abort(MPI_COMM_WORLD, 1);                                                                    \
        }                                                                                                    \
    } while (0)

static int rank, n_ranks;
static double reissue_after_s = 60;

/* What this rank did in a scenario. */
struct work {
    unsigned char *took; /* [n] how often each shard */
    uint64_t n, n_took;
    struct claim_report report;
};

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static struct work start(uint64_t n)
{
    struct work work = {.took = calloc(n + 1, 1), .n = n};

    CHECK(work.took != NULL);
    MPI_Barrier(MPI_COMM_WORLD);
    return work;
}

/* Shards 0, 10, 20, ...: the numbers handed out are those of the list, not its indices. */
static struct claimant *open_claimant(uint64_t n, double max_failed)
{
    struct claimant *claimant = NULL;
    uint64_t *missing = malloc((n + 1) * sizeof(*missing));

    CHECK(missing != NULL);
    for (uint64_t i = 0; i < n; i++)
        missing[i] = 10 * i;
    struct claim_options options = {.missing = missing,
                                    .n_missing = n,
                                    .max_failed = max_failed,
                                    .failed_from_row = 1000,
                                    .set_aside_after = 3,
                                    .reissue_after_s = reissue_after_s};
    CHECK(claim_open(MPI_COMM_WORLD, rank == 0 ? &options : NULL, &claimant) == STATUS_OK);
    free(missing);
    return claimant;
}

static void do_shard(struct work *work, uint64_t shard, enum item_status status)
{
    CHECK(shard % 10 == 0 && shard / 10 < work->n);
    work->took[shard / 10]++;
    work->n_took++;
    work->report.n_shards++;
    work->report.rows_by_status[status] += 100;
}

/* On rank 0: how often each shard was taken by any rank; ends the scenario's work. OUT least, most: by a
 * rank. */
static void sum_up(struct work *work, unsigned char *times, uint64_t *least, uint64_t *most)
{
    MPI_Reduce(work->took, times, (int)work->n, MPI_UNSIGNED_CHAR, MPI_SUM, 0, MPI_COMM_WORLD);
    MPI_Reduce(&work->n_took, least, 1, MPI_UINT64_T, MPI_MIN, 0, MPI_COMM_WORLD);
    MPI_Reduce(&work->n_took, most, 1, MPI_UINT64_T, MPI_MAX, 0, MPI_COMM_WORLD);
    free(work->took);
}

static void check_each_once(const unsigned char *times, uint64_t n)
{
    for (uint64_t i = 0; rank == 0 && i < n; i++)
        CHECK(times[i] == 1);
}

/* claim_next, waiting as long as others are at work. */
static struct claim_answer next(struct claimant *claimant, const struct work *work)
{
    struct claim_answer answer;

    do {
        CHECK(claim_next(claimant, &work->report, &answer) == STATUS_OK);
        if (answer.kind == CLAIM_WAIT)
            sleep_ms(5);
    } while (answer.kind == CLAIM_WAIT);
    return answer;
}

/* Take shards until there are none; a shard takes `ms`. */
static struct claim_answer work_on(struct claimant *claimant, struct work *work, long ms)
{
    for (;;) {
        struct claim_answer answer = next(claimant, work);
        if (answer.kind != CLAIM_SHARD)
            return answer;
        sleep_ms(ms);
        do_shard(work, answer.shard, ITEM_OK);
        CHECK(claim_done(claimant, &work->report, answer.shard) == STATUS_OK);
    }
}

static void each_shard_once_and_evenly(void)
{
    static unsigned char times[400];
    uint64_t least, most;
    struct work work = start(400);
    struct claimant *claimant = open_claimant(400, 0.05);

    CHECK(work_on(claimant, &work, 5).kind == CLAIM_NONE);
    struct claim_answer answer;
    CHECK(claim_next(claimant, &work.report, &answer) == STATUS_OK &&
          answer.kind == CLAIM_NONE); /* it stays so */
    CHECK(claim_leave(claimant, &work.report) == STATUS_OK);
    CHECK(claim_leave(claimant, &work.report) == STATUS_OK);
    CHECK(claim_next(claimant, &work.report, &answer) == STATUS_INTERNAL);
    struct claim_totals totals = {.n_left = -1};
    if (rank == 0) {
        do {
            sleep_ms(1);
            CHECK(claim_totals(claimant, &totals) == STATUS_OK);
        } while (totals.n_left < n_ranks);
        CHECK(totals.sum.n_shards == 400 && totals.sum.rows_by_status[ITEM_OK] == 40000);
        CHECK(totals.n_unclaimed == 0 && totals.n_ranks == n_ranks && totals.stop == CLAIM_GO_ON);
    } else {
        CHECK(claim_totals(claimant, &totals) == STATUS_INTERNAL);
    }
    CHECK(claim_close(claimant) == STATUS_OK);
    sum_up(&work, times, &least, &most);
    check_each_once(times, 400);
    if (rank == 0)
        CHECK(least >= 400 / (uint64_t)n_ranks / 2);
}

static void a_slow_rank_gets_few(void)
{
    static unsigned char times[200];
    uint64_t least, most;
    struct work work = start(200);
    struct claimant *claimant = open_claimant(200, 0.05);

    CHECK(work_on(claimant, &work, rank == n_ranks - 1 ? 200 : 4).kind == CLAIM_NONE);
    CHECK(claim_close(claimant) == STATUS_OK);
    if (rank == n_ranks - 1)
        CHECK(work.n_took >= 1 && work.n_took < 200 / (uint64_t)n_ranks / 2);
    sum_up(&work, times, &least, &most);
    check_each_once(times, 200);
}

/* Rank 1 leaves with a shard in hand, which it gives back; the others do it. */
static void a_rank_leaves_early(void)
{
    static unsigned char times[100];
    uint64_t least, most;
    struct work work = start(100);
    struct claimant *claimant = open_claimant(100, 0.05);
    struct claim_answer answer;

    if (rank == 1) {
        CHECK(claim_next(claimant, &work.report, &answer) == STATUS_OK && answer.kind == CLAIM_SHARD);
        do_shard(&work, answer.shard, ITEM_OK);
        CHECK(claim_done(claimant, &work.report, answer.shard) == STATUS_OK);
        CHECK(claim_next(claimant, &work.report, &answer) == STATUS_OK && answer.kind == CLAIM_SHARD);
        CHECK(claim_hand_back(claimant, &work.report, answer.shard) == STATUS_OK);
        CHECK(claim_leave(claimant, &work.report) == STATUS_OK);
    } else {
        CHECK(work_on(claimant, &work, 10).kind == CLAIM_NONE);
    }
    CHECK(claim_close(claimant) == STATUS_OK);
    if (rank == 1)
        CHECK(work.n_took == 1);
    sum_up(&work, times, &least, &most);
    check_each_once(times, 100);
}

/* The last rank catches a signal; all are told to stop, and no shard is taken twice. */
static void a_signal_stops_all(void)
{
    static unsigned char times[100000];
    uint64_t least, most, n = 0;
    struct work work = start(100000);
    struct claimant *claimant = open_claimant(100000, 0.05);
    struct claim_answer answer;

    for (;;) {
        work.report.stop_asked = rank == n_ranks - 1 && work.n_took >= 5;
        CHECK(claim_next(claimant, &work.report, &answer) == STATUS_OK);
        if (answer.kind != CLAIM_SHARD)
            break;
        sleep_ms(2);
        do_shard(&work, answer.shard, ITEM_TRUNCATED);
    }
    CHECK(answer.kind == CLAIM_STOP && answer.stop == CLAIM_STOP_SIGNAL);
    struct claim_answer news;
    CHECK(claim_tell(claimant, &work.report, &news) == STATUS_OK && news.stop == CLAIM_STOP_SIGNAL);
    CHECK(claim_close(claimant) == STATUS_OK);
    sum_up(&work, times, &least, &most);
    for (uint64_t i = 0; rank == 0 && i < 100000; i++) {
        CHECK(times[i] <= 1);
        n += times[i];
    }
    CHECK(rank != 0 || (n >= 5 && n < 10000));
}

/* 6% of the rows fail, all on one rank: the limit holds for the job's totals, from row 1,000 on. */
static void too_many_failures_stop_all(void)
{
    static unsigned char times[100000];
    uint64_t least, most;
    struct work work = start(100000);
    struct claimant *claimant = open_claimant(100000, 0.05);
    struct claim_answer answer;
    struct claim_answer news;

    for (;;) {
        CHECK(claim_next(claimant, &work.report, &answer) == STATUS_OK);
        if (answer.kind != CLAIM_SHARD)
            break;
        sleep_ms(2);
        do_shard(&work, answer.shard, ITEM_OK);
        if (rank == n_ranks - 1)
            work.report.rows_by_status[ITEM_MISSING] += 50;
        CHECK(claim_tell(claimant, &work.report, &news) == STATUS_OK);
    }
    CHECK(answer.kind == CLAIM_STOP && answer.stop == CLAIM_STOP_FAILED);
    struct claim_totals totals;
    if (rank == 0) {
        uint64_t n_rows = 0;
        CHECK(claim_totals(claimant, &totals) == STATUS_OK && totals.stop == CLAIM_STOP_FAILED);
        for (int i = 0; i < ITEM_STATUS_COUNT; i++)
            n_rows += totals.sum.rows_by_status[i];
        CHECK(n_rows >= 1000);
        CHECK(totals.n_unclaimed > 0);
    }
    CHECK(claim_close(claimant) == STATUS_OK);
    sum_up(&work, times, &least, &most);
}

/* 4% failed, and truncated pictures are no failures: nothing stops. */
static void some_failures_do_not_stop(void)
{
    static unsigned char times[60];
    uint64_t least, most;
    struct work work = start(60);
    struct claimant *claimant = open_claimant(60, 0.05);
    struct claim_answer answer;

    while ((answer = next(claimant, &work)).kind == CLAIM_SHARD) {
        do_shard(&work, answer.shard, ITEM_TRUNCATED);
        work.report.rows_by_status[ITEM_CORRUPT] += 4;
        CHECK(claim_done(claimant, &work.report, answer.shard) == STATUS_OK);
    }
    CHECK(answer.kind == CLAIM_NONE);
    CHECK(claim_close(claimant) == STATUS_OK);
    sum_up(&work, times, &least, &most);
    check_each_once(times, 60);
}

/* The last rank never finishes its one shard: another does it as well, and the last rank is told to drop it.
 */
static void a_straggler_is_overtaken(void)
{
    struct work work = start(20);
    struct claim_answer answer = {.kind = CLAIM_NONE}, news;

    reissue_after_s = 0.2;
    struct claimant *claimant = open_claimant(20, 0.05);
    if (rank == n_ranks - 1)
        CHECK(claim_next(claimant, &work.report, &answer) == STATUS_OK && answer.kind == CLAIM_SHARD);
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank != n_ranks - 1) {
        CHECK(work_on(claimant, &work, 2).kind == CLAIM_NONE);
    } else {
        do {
            sleep_ms(20);
            CHECK(claim_tell(claimant, &work.report, &news) == STATUS_OK);
        } while (!news.has_drop);
        CHECK(news.drop == answer.shard);
        CHECK(claim_next(claimant, &work.report, &answer) == STATUS_OK && answer.kind == CLAIM_NONE);
    }
    CHECK(claim_close(claimant) == STATUS_OK);
    reissue_after_s = 60;
    static unsigned char times[20];
    uint64_t least, most;
    sum_up(&work, times, &least, &most);
    check_each_once(times, 20);
}

/* A rank that left with a shard in hand and said nothing of it: the shard is done by the others. */
static void what_a_leaver_held_is_done(void)
{
    static unsigned char times[30];
    uint64_t least, most;
    struct work work = start(30);
    struct claimant *claimant = open_claimant(30, 0.05);
    struct claim_answer answer;

    if (rank == 1) {
        CHECK(claim_next(claimant, &work.report, &answer) == STATUS_OK && answer.kind == CLAIM_SHARD);
        CHECK(claim_leave(claimant, &work.report) == STATUS_OK);
    } else {
        CHECK(work_on(claimant, &work, 5).kind == CLAIM_NONE);
    }
    CHECK(claim_close(claimant) == STATUS_OK);
    sum_up(&work, times, &least, &most);
    check_each_once(times, 30);
}

static void nothing_missing_ends_at_once(void)
{
    struct claimant *claimant = open_claimant(0, 0.05);
    struct claim_report report = {0};
    struct claim_answer answer;

    CHECK(claim_next(claimant, &report, &answer) == STATUS_OK && answer.kind == CLAIM_NONE);
    CHECK(claim_close(claimant) == STATUS_OK);
}

/* A rank that never asks, only closes; and waiting for it burns no core. */
static void waiting_burns_no_core(void)
{
    struct claimant *claimant = open_claimant(1, 0.05);
    struct rusage before, after;

    if (rank == n_ranks - 1)
        sleep_ms(1000);
    getrusage(RUSAGE_SELF, &before);
    CHECK(claim_close(claimant) == STATUS_OK);
    getrusage(RUSAGE_SELF, &after);
    double cpu_s = (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec) +
                   (double)(after.ru_stime.tv_sec - before.ru_stime.tv_sec) +
                   1e-6 * (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec) +
                   1e-6 * (double)(after.ru_stime.tv_usec - before.ru_stime.tv_usec);
    CHECK(cpu_s < 0.4);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } scenarios[] = {
        {"each_shard_once_and_evenly", each_shard_once_and_evenly},
        {"a_slow_rank_gets_few", a_slow_rank_gets_few},
        {"a_rank_leaves_early", a_rank_leaves_early},
        {"a_signal_stops_all", a_signal_stops_all},
        {"too_many_failures_stop_all", too_many_failures_stop_all},
        {"some_failures_do_not_stop", some_failures_do_not_stop},
        {"a_straggler_is_overtaken", a_straggler_is_overtaken},
        {"what_a_leaver_held_is_done", what_a_leaver_held_is_done},
        {"nothing_missing_ends_at_once", nothing_missing_ends_at_once},
        {"waiting_burns_no_core", waiting_burns_no_core},
    };
    int provided;

    if (MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided) != MPI_SUCCESS)
        return 1;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
    log_set_rank(rank);
    CHECK(argc == 2 && strtol(argv[1], NULL, 10) == n_ranks); /* did mpirun start as many as were meant? */
    for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
        if (n_ranks == 1 &&
            (scenarios[i].run == a_rank_leaves_early || scenarios[i].run == a_slow_rank_gets_few ||
             scenarios[i].run == a_straggler_is_overtaken || scenarios[i].run == what_a_leaver_held_is_done))
            continue; /* they are about others */
        if (rank == 0)
            fprintf(stderr, "%s\n", scenarios[i].name);
        scenarios[i].run();
    }
    MPI_Finalize();
    return 0;
}
