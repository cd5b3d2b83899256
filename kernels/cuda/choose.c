/*
 * A plan for each convolution of a program: see device_program.h. What the store knows is taken, so that
 * every rank and every resume computes with the same kernels; the rest is timed on this device, once.
 */
#include "kernels/cuda/device_program.h"

#include <stdlib.h>
#include <string.h>

#define N_CANDIDATES 10                           /* B200's 128x64 tiles come sixth and later */
#define N_TIMED 5                                 /* runs of each, behind one to warm up */
#define WORKSPACE_LIMIT_BYTES ((size_t)512 << 20) /* hungrier plans are passed over */

/* What a choice needs besides the convolution. */
struct chooser {
    struct device_program *program;
    struct conv_target target;
    cudaStream_t stream;
    struct plan_store *store;
    const struct program_memory *memory;
    cudaEvent_t start, end;
    int n_timed; /* convolutions timed so far */
};

static enum status time_plan(struct chooser *c, int index, const struct conv_plan *plan, void *workspace,
                             float *ms)
{
    enum status rc = STATUS_OK;
    struct conv_pointers at = device_program_conv_pointers(c->program, index, c->memory);

    at.workspace = workspace;
    TRY(conv_plan_execute(plan, &at, c->target.handle));
    TRY_CUDA(cudaEventRecord(c->start, c->stream));
    for (int i = 0; i < N_TIMED; i++)
        TRY(conv_plan_execute(plan, &at, c->target.handle));
    TRY_CUDA(cudaEventRecord(c->end, c->stream));
    TRY_CUDA(cudaEventSynchronize(c->end));
    TRY_CUDA(cudaEventElapsedTime(ms, c->start, c->end));
out:
    return rc;
}

/* The fastest of the plans whose workspace can be had. OUT best: its index. */
static enum status race(struct chooser *c, int index, const struct conv_plan *plans, int n, int *best)
{
    enum status rc = STATUS_OK;
    void *workspace = NULL;
    float least = 0;

    *best = -1;
    for (int i = 0; i < n; i++) {
        float ms;
        if (plans[i].workspace_bytes > WORKSPACE_LIMIT_BYTES)
            continue;
        if (plans[i].workspace_bytes > 0) {
            enum status room =
                cuda_status(cudaMalloc(&workspace, plans[i].workspace_bytes), CUDA_HERE("cudaMalloc"));
            if (room == STATUS_MEMORY)
                continue;
            TRY(room);
        }
        TRY(time_plan(c, index, &plans[i], workspace, &ms));
        if (*best < 0 || ms < least) {
            *best = i;
            least = ms;
        }
        (void)cudaFree(workspace);
        workspace = NULL;
    }
    if (*best < 0)
        FAIL(STATUS_MEMORY, "no plan of this convolution has room for its workspace");
out:
    if (workspace != NULL)
        (void)cudaFree(workspace);
    return rc;
}

static enum status time_candidates(struct chooser *c, int index, const struct conv_spec *spec,
                                   const char *key)
{
    enum status rc = STATUS_OK;
    struct conv_graph *graph = NULL;
    struct conv_plan plans[N_CANDIDATES] = {{0}};
    char *json = NULL;
    int n = 0, best;

    TRY(conv_graph_open(spec, &c->target, &graph));
    TRY(conv_graph_plans(graph, &c->target, N_CANDIDATES, plans, &n));
    TRY(race(c, index, plans, n, &best));
    TRY(conv_plan_save(&plans[best], &json));
    TRY(plan_store_keep(c->store, key, json));
    c->program->plans[index] = plans[best];
    plans[best] = (struct conv_plan){0};
    c->n_timed++;
out:
    if (rc == STATUS_INPUT)
        log_error("%s: %s", c->program->steps.graph.ops[c->program->steps.items[index].op].name, key);
    for (int i = 0; i < n; i++)
        conv_plan_close(&plans[i]);
    conv_graph_close(graph);
    free(json);
    return rc;
}

static enum status choose(struct chooser *c, int index)
{
    enum status rc = STATUS_OK;
    struct conv_spec spec;
    char key[CONV_KEY_SIZE], *json = NULL;
    struct device_program *p = c->program;

    TRY(conv_spec_make(&p->steps, index, p->batch, p->element, &spec));
    conv_spec_key(&spec, key);
    TRY(plan_store_find(c->store, key, &json));
    if (json != NULL) {
        rc = conv_plan_load(json, &c->target, &p->plans[index]);
        if (rc == STATUS_OK)
            goto out;
        if (rc != STATUS_MISMATCH)
            goto out;
        rc = STATUS_OK;
        log_warn("the plan kept for %s is not taken by this cuDNN: choosing anew; scores may differ in the "
                 "last bits",
                 key);
    }
    TRY(time_candidates(c, index, &spec, key));
out:
    free(json);
    return rc;
}

enum status device_program_choose_plans(struct device_program *p, cudnnHandle_t handle, cudaStream_t stream,
                                        struct plan_store *store, const struct program_memory *at)
{
    enum status rc = STATUS_OK;
    struct chooser c = {
        .program = p, .target = {.handle = handle}, .stream = stream, .store = store, .memory = at};

    TRY_CUDA(cudaEventCreate(&c.start));
    TRY_CUDA(cudaEventCreate(&c.end));
    TRY_CUDNN(cudnnSetStream(handle, stream));
    for (int i = 0; i < p->steps.n; i++) {
        if (p->steps.items[i].kind != STEP_CONV)
            continue;
        TRY(choose(&c, i));
        if (p->plans[i].workspace_bytes > p->workspace_bytes)
            p->workspace_bytes = p->plans[i].workspace_bytes;
    }
    if (c.n_timed > 0)
        log_info("%s: chose plans for %d convolutions by timing", p->steps.graph.arch, c.n_timed);
out:
    if (c.start != NULL)
        (void)cudaEventDestroy(c.start);
    if (c.end != NULL)
        (void)cudaEventDestroy(c.end);
    return rc;
}
