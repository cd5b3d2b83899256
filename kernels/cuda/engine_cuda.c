/* The CUDA engine behind engine.h: opening, submitting, collecting. engine_cuda.h says how it works. */
#include "kernels/cuda/engine_cuda.h"
#include "base/clock.h"

#include "kernels/cuda/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct cuda_engine *engine_of(struct engine_instance *instance)
{
    return (struct cuda_engine *)(void *)((char *)instance - offsetof(struct cuda_engine, instance));
}

static uint8_t *instance_slot(struct engine_instance *instance, int slot)
{
    return engine_of(instance)->slots[slot].pixels;
}

/* After a fault of the device nothing more is asked of it: its answers would be worth nothing. */
static enum status note_fault(struct cuda_engine *e, enum status status)
{
    if (status == STATUS_PLACE || status == STATUS_INTERNAL)
        e->dead = true;
    return status;
}

static enum status check_alive(const struct cuda_engine *e)
{
    enum status rc = STATUS_OK;
    if (e->dead)
        FAIL(STATUS_PLACE, "%s has failed before: this rank computes no more", e->base.device);
out:
    return rc;
}

static enum status enqueue(struct cuda_engine *e, struct cuda_slot *slot)
{
    enum status rc = STATUS_OK;
    size_t picture = (size_t)e->size * (size_t)e->size * 3;

    TRY_CUDA(cudaMemcpyAsync(slot->device_pixels, slot->pixels, (size_t)slot->n * picture,
                             cudaMemcpyHostToDevice, e->upload));
    TRY_CUDA(cudaMemcpyAsync(slot->device_control, slot->control, sizeof(*slot->control),
                             cudaMemcpyHostToDevice, e->upload));
    TRY_CUDA(cudaEventRecord(slot->uploaded, e->upload));
    TRY_CUDA(cudaStreamWaitEvent(e->compute, slot->uploaded, 0));
    TRY_CUDA(cudaMemcpyAsync(e->slot_table, slot->table, sizeof(*slot->table), cudaMemcpyHostToDevice,
                             e->compute));
    TRY_CUDA(cudaGraphLaunch(e->graph, e->compute));
    TRY_CUDA(cudaEventRecord(slot->computed, e->compute));
    TRY_CUDA(cudaStreamWaitEvent(e->download, slot->computed, 0));
    TRY_CUDA(cudaMemcpyAsync(slot->results, slot->device_results, e->results_bytes, cudaMemcpyDeviceToHost,
                             e->download));
    TRY_CUDA(cudaEventRecord(slot->done, e->download));
out:
    return rc;
}

/* The lock is held. Out of memory is answered by smaller batches. */
static enum status enqueue_or_halve(struct cuda_engine *e, struct cuda_slot *slot)
{
    enum status rc = enqueue(e, slot);

    while (rc == STATUS_MEMORY) {
        rc = resources_halve(e);
        if (rc == STATUS_OK)
            rc = enqueue(e, slot);
    }
    return note_fault(e, rc);
}

static enum status instance_submit(struct engine_instance *instance, int index, int n,
                                   const struct engine_request *requests)
{
    enum status rc = STATUS_OK;
    struct cuda_engine *e = engine_of(instance);
    struct cuda_slot *slot = &e->slots[index];

    pthread_mutex_lock(&e->lock);
    TRY(check_alive(e));
    TRY(note_fault(e, device_enter()));
    slot->n = n;
    slot->control->n = n;
    for (int i = 0; i < n; i++)
        slot->control->rows[i] = (struct row_request){requests[i].stages, requests[i].exhaustive};
    TRY(enqueue_or_halve(e, slot));
out:
    pthread_mutex_unlock(&e->lock);
    return rc;
}

#define DEVICE_TIMEOUT_S 300 /* or EYESORE_DEVICE_TIMEOUT_S: a batch takes a fraction of a second */
#define POLL_NS 100000

/* Polls and sleeps: the cores are for decoding, and a device may stop answering without a word. */
static enum status wait_for_slot(const struct cuda_slot *slot)
{
    enum status rc = STATUS_OK;
    const char *given = getenv("EYESORE_DEVICE_TIMEOUT_S");
    double limit = given == NULL ? 0 : strtod(given, NULL), start = clock_seconds();

    for (;;) {
        cudaError_t state = cudaEventQuery(slot->done);
        if (state != cudaErrorNotReady) {
            rc = cuda_status(state, CUDA_HERE("cudaEventQuery(done)"));
            break;
        }
        (void)cudaGetLastError(); /* "not ready" would be taken for the next launch's error */
        if (clock_seconds() - start > (limit > 0 ? limit : DEVICE_TIMEOUT_S))
            TRY(call_conclude(STATUS_PLACE, CUDA_HERE("cudaEventQuery(done)"), "CUDA", "no answer",
                              "a batch takes far too long: the device hangs"));
        nanosleep(&(struct timespec){0, POLL_NS}, NULL);
    }
out:
    return rc;
}

static void read_result(const struct cuda_engine *e, const struct cuda_slot *slot, int i,
                        struct engine_result *result)
{
    *result = (struct engine_result){.numeric_error = false};
    for (int s = 0; s < e->n_stages; s++) {
        const struct stage_results *at = &e->results[s];
        const struct stage *stage = &e->stages[s];
        size_t places = (size_t)stage->map_height * (size_t)stage->map_width, row = (size_t)i;
        const struct row_result *r = (const struct row_result *)(const void *)(slot->results + at->rows) + i;
        const float *logits = (const float *)(const void *)(slot->results + at->logits);
        const float *maps = (const float *)(const void *)(slot->results + at->maps);
        bool ran = (r->flags & RESULT_RAN) != 0, mapped = (r->flags & RESULT_MAP) != 0;

        result->score[s] = r->score;
        result->logits[s] = ran ? logits + row * (size_t)stage->classes.n_classes : NULL;
        result->map[s] = mapped ? maps + row * places : NULL;
        result->numeric_error |= (r->flags & RESULT_NUMERIC_ERROR) != 0;
    }
}

static enum status instance_collect(struct engine_instance *instance, int index,
                                    struct engine_result *results)
{
    enum status rc = STATUS_OK;
    struct cuda_engine *e = engine_of(instance);
    struct cuda_slot *slot = &e->slots[index];

    rc = device_enter();
    if (rc == STATUS_OK)
        rc = wait_for_slot(slot);
    pthread_mutex_lock(&e->lock);
    if (rc == STATUS_MEMORY) { /* found late: do the slot again, in smaller batches */
        rc = resources_halve(e);
        if (rc == STATUS_OK)
            rc = enqueue_or_halve(e, slot);
        if (rc == STATUS_OK)
            rc = wait_for_slot(slot);
    }
    note_fault(e, rc);
    pthread_mutex_unlock(&e->lock);
    for (int i = 0; rc == STATUS_OK && i < slot->n; i++)
        read_result(e, slot, i, &results[i]);
    return rc;
}

static void instance_close(struct engine_instance *instance)
{
    struct cuda_engine *e = engine_of(instance);
    e->instance_is_open = false;
}

static enum status instance_open(struct engine *base, struct engine_instance **out)
{
    enum status rc = STATUS_OK;
    struct cuda_engine *e = (struct cuda_engine *)(void *)base;

    if (e->instance_is_open)
        FAIL(STATUS_INTERNAL, "the cuda engine has one instance, and it is in use");
    e->instance_is_open = true;
    *out = &e->instance;
out:
    return rc;
}

static void read_notes(struct engine *base, struct engine_notes *out)
{
    struct cuda_engine *e = (struct cuda_engine *)(void *)base;

    pthread_mutex_lock(&e->lock);
    *out = (struct engine_notes){.n_halvings = e->n_halvings, .device_failed = e->dead};
    pthread_mutex_unlock(&e->lock);
}

static void engine_close(struct engine *base)
{
    struct cuda_engine *e = (struct cuda_engine *)(void *)base;

    device_enter_to_close();
    resources_close(e);
    for (int i = 0; i < e->n_passes; i++)
        device_program_close(&e->passes[i].program);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

/* The batch of a pass: whole for the first stage, which sees every picture. */
static int pass_batch(const struct engine_options *options, int batch, int stage, int variant)
{
    int later = options->later_batch > 0 ? options->later_batch : batch / ENGINE_LATER_SHARE;

    if (variant == 0 && (stage == 0 || options->all_stages))
        return batch;
    return later < 1 ? 1 : later < batch ? later : batch;
}

static enum status load_passes(struct cuda_engine *e, const struct cascade *cascade,
                               const struct engine_options *options)
{
    enum status rc = STATUS_OK;

    for (int s = 0; s < cascade->n_stages; s++) {
        e->stages[s] = cascade->stages[s];
        e->stages[s].weights = NULL;
        e->stages[s].plain = (struct graph){0};
        for (int v = 0; v < cascade->stages[s].n_variants; v++) {
            struct cuda_pass *pass = &e->passes[e->n_passes];
            pass->stage = s;
            pass->variant = v;
            TRY(device_program_load(&cascade->stages[s], cascade->stages[s].variants[v].precision,
                                    &pass->program));
            e->n_passes++;
            device_program_set_batch(&pass->program, pass_batch(options, e->base.batch, s, v));
        }
    }
    e->n_stages = cascade->n_stages;
out:
    return rc;
}

static enum status describe_device(struct cuda_engine *e, const struct engine_options *options)
{
    enum status rc = STATUS_OK;
    struct cudaDeviceProp properties;
    int index;

    TRY_CUDA(cudaGetDevice(&index));
    TRY_CUDA(cudaGetDeviceProperties(&properties, index));
    snprintf(e->base.device, sizeof(e->base.device), "GPU %d, %.48s, cuDNN %zu, batches of %d", index,
             properties.name, cudnnGetVersion(), e->base.batch);
    TRY(plan_store_open(options->plan_folder, options->plan_cache, properties.name, cudnnGetVersion(),
                        &e->store));
out:
    return rc;
}

static enum status open_device_side(struct cuda_engine *e)
{
    enum status rc = STATUS_OK;

    TRY(resources_open(e));
    rc = resources_prepare(e);
    if (rc == STATUS_MEMORY)
        rc = resources_halve(e);
out:
    return rc;
}

/* With slots of this many pictures. STATUS_MEMORY where they, or the parameters, find no room. */
static enum status open_with(const struct cascade *cascade, const struct engine_options *options, int batch,
                             struct cuda_engine **out)
{
    enum status rc = STATUS_OK;
    struct cuda_engine *e = calloc(1, sizeof(*e));

    if (e == NULL)
        FAIL(STATUS_PLACE, "no memory");
    pthread_mutex_init(&e->lock, NULL);
    e->base = (struct engine){.name = "cuda",
                              .batch = batch,
                              .max_instances = 1,
                              .instance_open = instance_open,
                              .read_notes = read_notes,
                              .close = engine_close};
    e->instance = (struct engine_instance){CUDA_SLOTS, instance_slot, instance_submit, instance_collect,
                                           instance_close};
    e->size = cascade->size;
    e->maps = options->maps;
    TRY(device_enter());
    TRY(describe_device(e, options));
    TRY(load_passes(e, cascade, options));
    TRY(open_device_side(e));
    *out = e;
    e = NULL;
out:
    if (e != NULL)
        engine_close(&e->base);
    return rc;
}

enum status engine_cuda_open(const struct cascade *cascade, const struct engine_options *options,
                             struct engine **out)
{
    enum status rc = STATUS_MEMORY;
    struct cuda_engine *e = NULL;
    int batch = options->batch, n_halvings = 0;

    if (batch < 1 || batch > CUDA_MAX_BATCH)
        FAIL(STATUS_USAGE, "--batch %d: the cuda engine takes 1 to %d pictures at once", batch,
             CUDA_MAX_BATCH);
    while (rc == STATUS_MEMORY) {
        rc = open_with(cascade, options, batch, &e);
        if (rc != STATUS_MEMORY)
            break;
        if (batch == 1)
            FAIL(STATUS_PLACE, "%s has no memory for a single picture: what else is using it?",
                 device_label());
        batch /= 2;
        n_halvings++;
        log_warn("%s is out of memory: trying batches of %d instead of %d", device_label(), batch, 2 * batch);
    }
    TRY(rc);
    e->n_halvings += n_halvings;
    *out = &e->base;
out:
    return rc;
}

/* Device memory for batches of this size: an estimate from the networks' lists. */
static double estimate_bytes(const struct cascade *cascade, const struct device_steps *steps,
                             const struct engine_options *options, int batch)
{
    double arena = 0, weights = 0, slot = (double)batch * cascade->size * cascade->size * 3;

    for (int s = 0; s < cascade->n_stages; s++) {
        const struct stage *stage = &cascade->stages[s];
        double one = (double)steps[s].graph.arena_elements * 2 * pass_batch(options, batch, s, 0);
        arena = one > arena ? one : arena;
        for (int i = 0; i < steps[s].graph.n_own; i++)
            weights += 4.0 * (double)steps[s].graph.own[i]->n_elements;
        slot +=
            (double)batch * (8 + 4.0 * stage->classes.n_classes + 4.0 * stage->map_height * stage->map_width);
    }
    return arena + weights + CUDA_SLOTS * slot;
}

#define MOST_AUTO 256
#define RESERVE_BYTES ((double)(512u << 20)) /* for workspaces and cuDNN's own kernels; at most a quarter */

enum status engine_cuda_fit_batch(const struct cascade *cascade, const struct engine_options *options,
                                  int *batch)
{
    enum status rc = STATUS_OK;
    struct device_steps steps[CASCADE_MAX_STAGES] = {0};
    size_t free_bytes, total_bytes;
    int fit = MOST_AUTO;

    TRY(device_enter());
    TRY_CUDA(cudaMemGetInfo(&free_bytes, &total_bytes));
    for (int s = 0; s < cascade->n_stages; s++)
        TRY(steps_make(&cascade->stages[s].plain, &steps[s]));
    double usable = (double)free_bytes, reserve = usable / 4 < RESERVE_BYTES ? usable / 4 : RESERVE_BYTES;
    while (fit > 1 && estimate_bytes(cascade, steps, options, fit) > usable - reserve)
        fit /= 2;
    *batch = fit;
out:
    for (int s = 0; s < cascade->n_stages; s++)
        steps_close(&steps[s]);
    return rc;
}
