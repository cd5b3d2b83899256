#include "counting_engine.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define SLOTS_MOST 8

struct counting_engine {
    struct engine engine; /* first: a struct engine * is one of these */
    struct counting_options options;
    pthread_mutex_t lock;
    struct counting_totals totals;
};

struct counting_instance {
    struct engine_instance instance; /* first */
    struct counting_engine *owner;
    uint8_t *pixels[SLOTS_MOST];
    float *maps[SLOTS_MOST];
    int n_submitted[SLOTS_MOST]; /* 0: the slot is free */
    int n_in_flight, n_submitting;
};

void counting_paint(int number, int size, uint8_t *pixels)
{
    for (size_t i = 0; i < (size_t)size * (size_t)size; i++)
        for (int channel = 0; channel < 3; channel++)
            pixels[3 * i + (size_t)channel] = (uint8_t)(number >> 8 * channel);
}

float counting_score(int number)
{
    return (float)number * 0x1p-24f;
}

static size_t crop_bytes(const struct counting_engine *e)
{
    return (size_t)e->options.size * (size_t)e->options.size * 3;
}

static int number_in(const struct counting_instance *i, int slot, int place)
{
    const uint8_t *pixel = i->pixels[slot] + (size_t)place * crop_bytes(i->owner);
    return pixel[0] | pixel[1] << 8 | pixel[2] << 16;
}

static bool slot_fails(const struct counting_instance *i, int slot, int n)
{
    for (int k = 0; k < n; k++)
        if (number_in(i, slot, k) == i->owner->options.fail_at)
            return true;
    return false;
}

static void count_misuse(struct counting_engine *e, bool misused)
{
    pthread_mutex_lock(&e->lock);
    e->totals.n_misused += misused;
    pthread_mutex_unlock(&e->lock);
}

static uint8_t *instance_slot(struct engine_instance *instance, int slot)
{
    struct counting_instance *i = (struct counting_instance *)instance;
    count_misuse(i->owner, slot < 0 || slot >= instance->n_slots);
    return i->pixels[slot];
}

static void wait_us(int time_us)
{
    nanosleep(&(struct timespec){time_us / 1000000, time_us % 1000000 * 1000L}, NULL);
}

static enum status instance_submit(struct engine_instance *instance, int slot, int n,
                                   const struct engine_request *requests)
{
    struct counting_instance *i = (struct counting_instance *)instance;
    struct counting_engine *e = i->owner;

    (void)requests;
    pthread_mutex_lock(&e->lock);
    e->totals.n_misused +=
        n < 1 || n > e->options.batch || i->n_submitted[slot] != 0 || i->n_submitting++ != 0;
    e->totals.n_partial_slots += n < e->options.batch;
    e->totals.n_slots_run++;
    pthread_mutex_unlock(&e->lock);
    wait_us(e->options.delay_us / 10); /* long enough for another thread to be caught here */
    bool fails = !e->options.fail_late && slot_fails(i, slot, n);
    pthread_mutex_lock(&e->lock);
    i->n_submitting--;
    if (!fails) {
        i->n_submitted[slot] = n;
        i->n_in_flight++;
        if (i->n_in_flight > e->totals.most_in_flight)
            e->totals.most_in_flight = i->n_in_flight;
    }
    pthread_mutex_unlock(&e->lock);
    return fails ? STATUS_INTERNAL : STATUS_OK;
}

static void write_result(const struct counting_instance *i, int slot, int place, struct engine_result *result)
{
    int side = i->owner->options.map_side, n = side * side;
    float *map = i->maps[slot] + place * n;

    *result = (struct engine_result){0};
    for (int s = 1; s < CASCADE_MAX_STAGES; s++)
        result->score[s] = NAN;
    result->score[0] = counting_score(number_in(i, slot, place));
    for (int k = 0; k < n; k++)
        map[k] = result->score[0];
    result->map[0] = n == 0 ? NULL : map;
}

static enum status instance_collect(struct engine_instance *instance, int slot, struct engine_result *results)
{
    struct counting_instance *i = (struct counting_instance *)instance;
    struct counting_engine *e = i->owner;

    pthread_mutex_lock(&e->lock);
    int n = i->n_submitted[slot];
    pthread_mutex_unlock(&e->lock);
    wait_us(e->options.delay_us);
    bool fails = e->options.fail_late && slot_fails(i, slot, n);
    for (int k = 0; k < n && !fails; k++)
        write_result(i, slot, k, &results[k]);
    pthread_mutex_lock(&e->lock);
    e->totals.n_misused += n == 0;
    e->totals.n_pictures += fails ? 0 : n;
    i->n_submitted[slot] = 0;
    i->n_in_flight--;
    pthread_mutex_unlock(&e->lock);
    return fails ? STATUS_INTERNAL : STATUS_OK;
}

static void instance_close(struct engine_instance *instance)
{
    struct counting_instance *i = (struct counting_instance *)instance;

    count_misuse(i->owner, i->n_in_flight != 0);
    for (int k = 0; k < SLOTS_MOST; k++) {
        free(i->pixels[k]);
        free(i->maps[k]);
    }
    free(i);
}

static enum status instance_open(struct engine *engine, struct engine_instance **out)
{
    enum status rc = STATUS_OK;
    struct counting_engine *e = (struct counting_engine *)engine;
    struct counting_instance *i = calloc(1, sizeof(*i));
    size_t map_floats = (size_t)(e->options.map_side * e->options.map_side);

    if (i == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    i->instance = (struct engine_instance){e->options.n_slots, instance_slot, instance_submit,
                                           instance_collect, instance_close};
    i->owner = e;
    for (int k = 0; k < e->options.n_slots; k++) {
        i->pixels[k] = calloc((size_t)e->options.batch, crop_bytes(e));
        i->maps[k] = calloc((size_t)e->options.batch * map_floats + 1, sizeof(float));
        if (i->pixels[k] == NULL || i->maps[k] == NULL)
            FAIL(STATUS_MEMORY, "no memory");
    }
    *out = &i->instance;
    i = NULL;
out:
    if (i != NULL)
        instance_close(&i->instance);
    return rc;
}

static void engine_close(struct engine *engine)
{
    struct counting_engine *e = (struct counting_engine *)engine;
    pthread_mutex_destroy(&e->lock);
    free(e);
}

enum status counting_engine_open(const struct counting_options *options, struct engine **out)
{
    enum status rc = STATUS_OK;
    struct counting_engine *e = calloc(1, sizeof(*e));

    if (e == NULL || options->n_slots > SLOTS_MOST)
        FAIL(STATUS_MEMORY, "no memory");
    e->engine = (struct engine){.name = "counting",
                                .batch = options->batch,
                                .max_instances = options->max_instances,
                                .instance_open = instance_open,
                                .close = engine_close};
    e->options = *options;
    pthread_mutex_init(&e->lock, NULL);
    *out = &e->engine;
    e = NULL;
out:
    free(e);
    return rc;
}

struct counting_totals counting_engine_totals(struct engine *engine)
{
    struct counting_engine *e = (struct counting_engine *)engine;

    pthread_mutex_lock(&e->lock);
    struct counting_totals totals = e->totals;
    pthread_mutex_unlock(&e->lock);
    return totals;
}
