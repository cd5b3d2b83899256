#include "job/lane.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct slot {
    int n_reserved, n_filled;
    bool running;
    struct ticket *tickets;          /* [batch] */
    struct engine_request *requests; /* [batch] */
    struct engine_result *results;   /* [batch] */
};

struct lane {
    struct engine_instance *instance;
    struct lane_receiver receiver;
    pthread_mutex_t submitting; /* an instance takes one submit at a time */
    pthread_mutex_t lock;       /* of what follows */
    pthread_cond_t slot_free;   /* the slot at `filling` may take crops */
    struct slot *slots;         /* [instance->n_slots] */
    int filling;                /* the slot that takes crops */
    int batch;
    size_t crop_bytes;
};

enum status lane_open(struct engine *engine, int size, struct lane_receiver receiver, struct lane **out)
{
    enum status rc = STATUS_OK;
    struct lane *lane = calloc(1, sizeof(*lane));

    if (lane == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    pthread_mutex_init(&lane->submitting, NULL);
    pthread_mutex_init(&lane->lock, NULL);
    pthread_cond_init(&lane->slot_free, NULL);
    lane->receiver = receiver;
    lane->batch = engine->batch;
    lane->crop_bytes = (size_t)size * (size_t)size * 3;
    TRY(engine->instance_open(engine, &lane->instance));
    lane->slots = calloc((size_t)lane->instance->n_slots, sizeof(*lane->slots));
    if (lane->slots == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    for (int i = 0; i < lane->instance->n_slots; i++) {
        struct slot *slot = &lane->slots[i];
        slot->tickets = calloc((size_t)lane->batch, sizeof(*slot->tickets));
        slot->requests = calloc((size_t)lane->batch, sizeof(*slot->requests));
        slot->results = calloc((size_t)lane->batch, sizeof(*slot->results));
        if (slot->tickets == NULL || slot->requests == NULL || slot->results == NULL)
            FAIL(STATUS_MEMORY, "no memory");
    }
    *out = lane;
    lane = NULL;
out:
    lane_close(lane);
    return rc;
}

void lane_close(struct lane *lane)
{
    if (lane == NULL)
        return;
    for (int i = 0; lane->slots != NULL && i < lane->instance->n_slots; i++) {
        free(lane->slots[i].tickets);
        free(lane->slots[i].requests);
        free(lane->slots[i].results);
    }
    free(lane->slots);
    if (lane->instance != NULL)
        lane->instance->close(lane->instance);
    pthread_cond_destroy(&lane->slot_free);
    pthread_mutex_destroy(&lane->lock);
    pthread_mutex_destroy(&lane->submitting);
    free(lane);
}

/* Compute a slot that this thread has marked as running, hand out its results, and free it. */
static void run(struct lane *lane, int index)
{
    struct slot *slot = &lane->slots[index];

    pthread_mutex_lock(&lane->submitting);
    enum status status = lane->instance->submit(lane->instance, index, slot->n_filled, slot->requests);
    pthread_mutex_unlock(&lane->submitting);
    if (status == STATUS_OK)
        status = lane->instance->collect(lane->instance, index, slot->results);
    for (int i = 0; i < slot->n_filled; i++) {
        if (status == STATUS_OK)
            lane->receiver.deliver(lane->receiver.pipeline, &slot->tickets[i], &slot->results[i]);
        else
            lane->receiver.fail(lane->receiver.pipeline, &slot->tickets[i], status);
    }
    pthread_mutex_lock(&lane->lock);
    slot->n_reserved = slot->n_filled = 0;
    slot->running = false;
    pthread_cond_broadcast(&lane->slot_free);
    pthread_mutex_unlock(&lane->lock);
}

/* The lock is held. Close the slot to further crops and let the next one take them. */
static void start(struct lane *lane, int index)
{
    lane->slots[index].running = true;
    if (lane->filling == index)
        lane->filling = (index + 1) % lane->instance->n_slots;
    pthread_cond_broadcast(&lane->slot_free); /* the next one may be */
}

void lane_put(struct lane *lane, const uint8_t *crop, const struct ticket *ticket)
{
    pthread_mutex_lock(&lane->lock);
    while (lane->slots[lane->filling].running || lane->slots[lane->filling].n_reserved == lane->batch)
        pthread_cond_wait(&lane->slot_free, &lane->lock);
    int index = lane->filling;
    struct slot *slot = &lane->slots[index];
    int place = slot->n_reserved++;
    pthread_mutex_unlock(&lane->lock);

    memcpy(lane->instance->slot(lane->instance, index) + (size_t)place * lane->crop_bytes, crop,
           lane->crop_bytes);
    slot->tickets[place] = *ticket;
    slot->requests[place] = ticket->request;

    pthread_mutex_lock(&lane->lock);
    bool full = ++slot->n_filled == lane->batch;
    if (full)
        start(lane, index);
    pthread_mutex_unlock(&lane->lock);
    if (full)
        run(lane, index);
}

void lane_flush(struct lane *lane)
{
    pthread_mutex_lock(&lane->lock);
    int index = lane->filling;
    struct slot *slot = &lane->slots[index];
    bool mine = !slot->running && slot->n_filled > 0 && slot->n_filled == slot->n_reserved;
    if (mine)
        start(lane, index);
    pthread_mutex_unlock(&lane->lock);
    if (mine)
        run(lane, index);
}
