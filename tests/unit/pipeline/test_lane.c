/* A lane between several workers and an engine that wants batches: nothing is lost, doubled or mixed up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "counting_engine.h"
#include "job/lane.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SIZE 4
#define N_WORKERS 6
#define N_PER_WORKER 101

/* What stands here for the pipeline: it notes what was delivered. */
struct pipeline {
    pthread_mutex_t lock;
    int n_delivered[N_WORKERS * N_PER_WORKER], n_failed[N_WORKERS * N_PER_WORKER];
    int n_wrong;
};

static void deliver(struct pipeline *p, const struct ticket *ticket, const struct engine_result *result)
{
    pthread_mutex_lock(&p->lock);
    p->n_delivered[ticket->row]++;
    p->n_wrong += result->score[0] != counting_score((int)ticket->row);
    pthread_mutex_unlock(&p->lock);
}

static void fail_ticket(struct pipeline *p, const struct ticket *ticket, enum status status)
{
    pthread_mutex_lock(&p->lock);
    p->n_failed[ticket->row]++;
    p->n_wrong += status != STATUS_INTERNAL;
    pthread_mutex_unlock(&p->lock);
}

struct worker {
    struct lane *lane;
    int first, n;
};

static void *work(void *argument)
{
    struct worker *w = argument;
    uint8_t crop[SIZE * SIZE * 3];

    for (int i = 0; i < w->n; i++) {
        counting_paint(w->first + i, SIZE, crop);
        lane_put(w->lane, crop, &(struct ticket){.row = (uint64_t)(w->first + i)});
        memset(crop, 0xee, sizeof(crop)); /* it was copied */
    }
    lane_flush(w->lane);
    return NULL;
}

/* n_workers threads with n pictures each. OUT p: what was delivered. */
static struct counting_totals run(const struct counting_options *options, int n_workers, int n,
                                  struct pipeline *p)
{
    struct engine *engine;
    struct lane *lane;
    struct worker workers[N_WORKERS];
    pthread_t threads[N_WORKERS];

    memset(p, 0, sizeof(*p));
    pthread_mutex_init(&p->lock, NULL);
    assert_int_equal(counting_engine_open(options, &engine), STATUS_OK);
    assert_int_equal(lane_open(engine, SIZE, (struct lane_receiver){p, deliver, fail_ticket}, &lane),
                     STATUS_OK);
    for (int i = 0; i < n_workers; i++) {
        workers[i] = (struct worker){lane, i * n, n};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < n_workers; i++)
        pthread_join(threads[i], NULL);
    lane_close(lane);
    struct counting_totals totals = counting_engine_totals(engine);
    engine->close(engine);
    pthread_mutex_destroy(&p->lock);
    return totals;
}

static void every_picture_is_delivered_once_with_its_own_result(void **state)
{
    static const struct counting_options all[] = {
        {.batch = 1, .n_slots = 1, .max_instances = 1, .size = SIZE, .fail_at = -1, .delay_us = 50},
        {.batch = 4, .n_slots = 1, .max_instances = 1, .size = SIZE, .fail_at = -1, .delay_us = 200},
        {.batch = 4, .n_slots = 3, .max_instances = 1, .size = SIZE, .fail_at = -1, .delay_us = 500},
        {.batch = 64, .n_slots = 2, .max_instances = 1, .size = SIZE, .fail_at = -1, .delay_us = 500},
    };
    struct pipeline p;

    (void)state;
    for (size_t k = 0; k < sizeof(all) / sizeof(all[0]); k++)
        for (int n_workers = 1; n_workers <= N_WORKERS; n_workers += N_WORKERS - 1) {
            struct counting_totals totals = run(&all[k], n_workers, N_PER_WORKER, &p);
            assert_int_equal(totals.n_pictures, n_workers * N_PER_WORKER);
            assert_int_equal(totals.n_misused, 0);
            assert_int_equal(p.n_wrong, 0);
            for (int i = 0; i < n_workers * N_PER_WORKER; i++)
                assert_int_equal(p.n_delivered[i], 1);
        }
}

static void full_slots_are_run_full(void **state)
{
    const struct counting_options options = {
        .batch = 4, .n_slots = 3, .max_instances = 1, .size = SIZE, .fail_at = -1};
    struct pipeline p;

    (void)state;
    struct counting_totals totals = run(&options, 1, 10, &p);
    assert_int_equal(totals.n_slots_run, 3);
    assert_int_equal(totals.n_partial_slots, 1);
}

/* While one slot is computed the others fill the next and start it: that is what slots are for. */
static void slots_are_in_flight_together(void **state)
{
    const struct counting_options options = {
        .batch = 2, .n_slots = 3, .max_instances = 1, .size = SIZE, .fail_at = -1, .delay_us = 5000};
    struct pipeline p;

    (void)state;
    struct counting_totals totals = run(&options, N_WORKERS, 40, &p);
    assert_int_equal(totals.n_misused, 0);
    assert_int_equal(totals.most_in_flight, 3);
}

static void a_slot_that_fails_fails_its_own_pictures_alone(void **state)
{
    struct counting_options options = {
        .batch = 4, .n_slots = 3, .max_instances = 1, .size = SIZE, .fail_at = 77, .delay_us = 200};
    struct pipeline p;

    (void)state;
    for (int late = 0; late < 2; late++) {
        options.fail_late = late == 1;
        int n = N_WORKERS * N_PER_WORKER, n_failed = 0;
        struct counting_totals totals = run(&options, N_WORKERS, N_PER_WORKER, &p);
        for (int i = 0; i < n; i++) {
            assert_int_equal(p.n_delivered[i] + p.n_failed[i], 1);
            n_failed += p.n_failed[i];
        }
        assert_int_equal(p.n_failed[77], 1);
        assert_in_range(n_failed, 1, 4);
        assert_int_equal(totals.n_pictures, n - n_failed);
        assert_int_equal(totals.n_misused, 0);
        assert_int_equal(p.n_wrong, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_picture_is_delivered_once_with_its_own_result),
        cmocka_unit_test(full_slots_are_run_full),
        cmocka_unit_test(slots_are_in_flight_together),
        cmocka_unit_test(a_slot_that_fails_fails_its_own_pictures_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
