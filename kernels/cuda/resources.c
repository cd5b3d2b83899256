/* What the CUDA engine holds of the device; see engine_cuda.h. Nothing is allocated after start-up, but where
 * the device has run out of memory and the batch is halved. */
#include "kernels/cuda/engine_cuda.h"

#include <string.h>

static enum status open_streams(struct cuda_engine *e)
{
    enum status rc = STATUS_OK;
    cudaStream_t *streams[] = {&e->upload, &e->compute, &e->download, &e->body};

    for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++)
        TRY_CUDA(cudaStreamCreateWithFlags(streams[i], cudaStreamNonBlocking));
    TRY_CUDNN(cudnnCreate(&e->handle));
out:
    return rc;
}

static size_t align(size_t n)
{
    return (n + 255) / 256 * 256;
}

/* Where each stage's rows stand in a slot's results. */
static void lay_out_results(struct cuda_engine *e)
{
    size_t batch = (size_t)e->base.batch, at = 0;

    for (int s = 0; s < e->n_stages; s++) {
        const struct stage *stage = &e->stages[s];
        size_t places = (size_t)stage->map_height * (size_t)stage->map_width;
        e->results[s].rows = at;
        at = align(at + batch * sizeof(struct row_result));
        e->results[s].logits = at;
        at = align(at + batch * (size_t)stage->classes.n_classes * sizeof(float));
        e->results[s].maps = at;
        at = align(at + batch * places * sizeof(float));
    }
    e->results_bytes = at;
}

static enum status open_slot(struct cuda_engine *e, struct cuda_slot *slot)
{
    enum status rc = STATUS_OK;
    size_t pixel_bytes = (size_t)e->base.batch * (size_t)e->size * (size_t)e->size * 3;

    TRY_CUDA(cudaHostAlloc((void **)&slot->pixels, pixel_bytes, cudaHostAllocDefault));
    TRY_CUDA(cudaHostAlloc((void **)&slot->control, sizeof(*slot->control), cudaHostAllocDefault));
    TRY_CUDA(cudaHostAlloc((void **)&slot->table, sizeof(*slot->table), cudaHostAllocDefault));
    TRY_CUDA(cudaHostAlloc((void **)&slot->results, e->results_bytes, cudaHostAllocDefault));
    TRY_CUDA(cudaMalloc((void **)&slot->device_pixels, pixel_bytes));
    TRY_CUDA(cudaMalloc((void **)&slot->device_control, sizeof(*slot->device_control)));
    TRY_CUDA(cudaMalloc((void **)&slot->device_results, e->results_bytes));
    TRY_CUDA(cudaEventCreateWithFlags(&slot->uploaded, cudaEventDisableTiming));
    TRY_CUDA(cudaEventCreateWithFlags(&slot->computed, cudaEventDisableTiming));
    TRY_CUDA(cudaEventCreateWithFlags(&slot->done, cudaEventDisableTiming));
    *slot->table = (struct batch_slot){slot->device_pixels, slot->device_control, slot->device_results};
out:
    return rc;
}

enum status resources_open(struct cuda_engine *e)
{
    enum status rc = STATUS_OK;

    TRY(open_streams(e));
    lay_out_results(e);
    for (int i = 0; i < CUDA_SLOTS; i++)
        TRY(open_slot(e, &e->slots[i]));
    TRY_CUDA(cudaMalloc((void **)&e->slot_table, sizeof(*e->slot_table)));
    TRY_CUDA(cudaMalloc((void **)&e->list, sizeof(*e->list)));
    TRY_CUDA(cudaMalloc((void **)&e->state, (size_t)e->base.batch * sizeof(*e->state)));
out:
    return rc;
}

/* Passes run one after the other, so they share the largest of each. */
static enum status allocate_memory(struct cuda_engine *e)
{
    enum status rc = STATUS_OK;
    size_t arena = 1, scratch = 1;

    for (int i = 0; i < e->n_passes; i++) {
        const struct device_program *p = &e->passes[i].program;
        arena = p->arena_bytes > arena ? p->arena_bytes : arena;
        scratch = p->scratch_bytes > scratch ? p->scratch_bytes : scratch;
    }
    TRY_CUDA(cudaMalloc((void **)&e->memory.arena, arena));
    TRY_CUDA(cudaMalloc((void **)&e->memory.scratch, scratch));
    /* Plans are timed on numbers (0.07 in float16), not on NaNs. */
    TRY_CUDA(cudaMemsetAsync(e->memory.arena, 0x2c, arena, e->compute));
    TRY_CUDA(cudaStreamSynchronize(e->compute));
out:
    return rc;
}

enum status resources_prepare(struct cuda_engine *e)
{
    enum status rc = STATUS_OK;
    size_t workspace = 1;

    TRY(allocate_memory(e));
    for (int i = 0; i < e->n_passes; i++) {
        struct device_program *p = &e->passes[i].program;
        TRY(device_program_choose_plans(p, e->handle, e->compute, &e->store, e->n_halvings > 0, &e->memory));
        workspace = p->workspace_bytes > workspace ? p->workspace_bytes : workspace;
    }
    TRY_CUDA(cudaMalloc(&e->memory.workspace, workspace));
    TRY(capture_cascade(e, &e->graph));
out:
    return rc;
}

void resources_release(struct cuda_engine *e)
{
    if (e->compute != NULL && !e->dead) {
        (void)cudaStreamSynchronize(e->upload);
        (void)cudaStreamSynchronize(e->compute);
        (void)cudaStreamSynchronize(e->download);
    }
    if (e->graph != NULL)
        (void)cudaGraphExecDestroy(e->graph);
    (void)cudaFree(e->memory.arena);
    (void)cudaFree(e->memory.scratch);
    (void)cudaFree(e->memory.workspace);
    e->graph = NULL;
    e->memory = (struct program_memory){0};
}

enum status resources_halve(struct cuda_engine *e)
{
    enum status rc = STATUS_MEMORY;

    while (rc == STATUS_MEMORY) {
        int largest = 0;
        resources_release(e);
        for (int i = 0; i < e->n_passes; i++) {
            struct device_program *p = &e->passes[i].program;
            largest = p->batch > largest ? p->batch : largest;
            device_program_set_batch(p, p->batch > 1 ? p->batch / 2 : 1);
        }
        if (largest <= 1)
            FAIL(STATUS_PLACE, "%s has no memory left for a single picture: is another program using it?",
                 e->base.device);
        e->n_halvings++;
        e->store.cache_closed = true; /* what is chosen in haste is this run's alone */
        log_warn("%s is out of memory: computing %d pictures at once from here on, instead of %d; scores of "
                 "this rank may differ by rounding from the others'",
                 e->base.device, largest / 2, largest);
        rc = resources_prepare(e);
    }
out:
    return rc;
}

static void close_slot(struct cuda_slot *slot)
{
    void *host[] = {slot->pixels, slot->control, slot->table, slot->results};
    void *device[] = {slot->device_pixels, slot->device_control, slot->device_results};
    cudaEvent_t events[] = {slot->uploaded, slot->computed, slot->done};

    for (size_t i = 0; i < sizeof(host) / sizeof(host[0]); i++)
        if (host[i] != NULL)
            (void)cudaFreeHost(host[i]);
    for (int i = 0; i < 3; i++) {
        if (device[i] != NULL)
            (void)cudaFree(device[i]);
        if (events[i] != NULL)
            (void)cudaEventDestroy(events[i]);
    }
    *slot = (struct cuda_slot){0};
}

void resources_close(struct cuda_engine *e)
{
    void *device[] = {e->slot_table, e->list, e->state};
    cudaStream_t streams[] = {e->upload, e->compute, e->download, e->body};

    resources_release(e);
    for (int i = 0; i < CUDA_SLOTS; i++)
        close_slot(&e->slots[i]);
    for (size_t i = 0; i < sizeof(device) / sizeof(device[0]); i++)
        if (device[i] != NULL)
            (void)cudaFree(device[i]);
    if (e->handle != NULL)
        (void)cudnnDestroy(e->handle);
    for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++)
        if (streams[i] != NULL)
            (void)cudaStreamDestroy(streams[i]);
}
