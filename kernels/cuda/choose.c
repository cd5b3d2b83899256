/*
 * A plan for each convolution of a program: see device_program.h. What the store knows is taken, so that
 * every rank and every resume computes with the same kernels; the rest is timed on this device, once.
 */
#include "kernels/cuda/device_program.h"

#include <stdlib.h>
#include <string.h>

#define N_CANDIDATES 10 /* B200's 128x64 tiles come sixth and later */
/* A plan is timed as a graph of N_TIMED runs, replayed N_REPLAYS times: single launches would be timed with
 * it. */
#define N_TIMED 4
#define N_REPLAYS 3
#define WORKSPACE_LIMIT_BYTES ((size_t)512 << 20) /* hungrier plans are passed over */

/* What a choice needs besides the convolution. */
struct chooser {
    struct device_program *program;
    struct conv_target target;
    cudaStream_t stream;
    struct plan_store *store;
    const struct program_memory *memory;
    cudaEvent_t start, end;
    bool in_haste; /* the first candidate that runs will do */
    int n_timed;   /* convolutions timed so far */
};

/* N_TIMED runs of a plan as a graph: as it will run later, and proof that it can be captured. */
static enum status capture_runs(struct chooser *c, const struct conv_plan *plan,
                                const struct conv_pointers *at, cudaGraphExec_t *out)
{
    enum status rc = STATUS_OK;
    cudaGraph_t graph = NULL;

    TRY_CUDA(cudaStreamBeginCapture(c->stream, cudaStreamCaptureModeRelaxed));
    for (int i = 0; rc == STATUS_OK && i < N_TIMED; i++)
        rc = conv_plan_execute(plan, at, c->target.handle);
    enum status ended =
        cuda_status(cudaStreamEndCapture(c->stream, &graph), CUDA_HERE("cudaStreamEndCapture"));
    rc = rc == STATUS_OK ? ended : rc;
    TRY(rc);
    TRY_CUDA(cudaGraphInstantiate(out, graph, 0));
out:
    if (graph != NULL)
        (void)cudaGraphDestroy(graph);
    return rc;
}

/* OUT ms: of the fastest replay. */
static enum status replay(struct chooser *c, cudaGraphExec_t graph, float *ms)
{
    enum status rc = STATUS_OK;
    float one = 0;

    *ms = 0;
    for (int i = 0; i <= N_REPLAYS; i++) { /* the first warms up */
        TRY_CUDA(cudaEventRecord(c->start, c->stream));
        TRY_CUDA(cudaGraphLaunch(graph, c->stream));
        TRY_CUDA(cudaEventRecord(c->end, c->stream));
        TRY_CUDA(cudaEventSynchronize(c->end));
        TRY_CUDA(cudaEventElapsedTime(&one, c->start, c->end));
        if (i == 1 || (i > 1 && one < *ms))
            *ms = one;
    }
out:
    return rc;
}

static enum status time_plan(struct chooser *c, int index, const struct conv_plan *plan, void *workspace,
                             float *ms)
{
    enum status rc = STATUS_OK;
    struct conv_pointers at = device_program_conv_pointers(c->program, index, c->memory);
    cudaGraphExec_t graph = NULL;

    at.workspace = workspace;
    TRY(conv_plan_execute(plan, &at,
                          c->target.handle)); /* what it loads lazily may not be loaded in a capture */
    TRY_CUDA(cudaStreamSynchronize(c->stream));
    TRY(capture_runs(c, plan, &at, &graph));
    TRY(replay(c, graph, ms));
out:
    if (graph != NULL)
        (void)cudaGraphExecDestroy(graph);
    return rc;
}

enum trial { TRIAL_RAN, TRIAL_NO_ROOM, TRIAL_FAILED };

/*
 * Time a plan in a workspace of its own. OUT trial, ms. One that does not run, though the device is well, is
 * no fault: another is taken.
 */
static enum status try_plan(struct chooser *c, int index, const struct conv_plan *plan, enum trial *trial,
                            float *ms)
{
    enum status rc = STATUS_OK;
    const struct device_steps *steps = &c->program->steps;
    void *workspace = NULL;

    *trial = TRIAL_NO_ROOM;
    if (plan->workspace_bytes > WORKSPACE_LIMIT_BYTES)
        goto out;
    if (plan->workspace_bytes > 0)
        rc = cuda_status(cudaMalloc(&workspace, plan->workspace_bytes), CUDA_HERE("cudaMalloc(workspace)"));
    if (rc == STATUS_OK)
        rc = time_plan(c, index, plan, workspace, ms);
    *trial = rc == STATUS_OK ? TRIAL_RAN : rc == STATUS_MEMORY ? TRIAL_NO_ROOM : TRIAL_FAILED;
    if (rc != STATUS_OK) {
        log_warn("%s: a plan of cuDNN's engine %lld is passed over",
                 steps->graph.ops[steps->items[index].op].name, (long long)plan->engine);
        TRY_CUDA(cudaStreamSynchronize(c->stream)); /* fails where the device has: then nothing will run */
        rc = STATUS_OK;
    }
out:
    (void)cudaFree(workspace);
    return rc;
}

/* The fastest of the plans. OUT best: its index. STATUS_MEMORY where only room was lacking. */
static enum status race(struct chooser *c, int index, const struct conv_plan *plans, int n, int *best)
{
    enum status rc = STATUS_OK;
    bool lacks_room = false;
    float least = 0;

    *best = -1;
    for (int i = 0; i < n && !(c->in_haste && *best >= 0); i++) {
        enum trial trial;
        float ms = 0;
        TRY(try_plan(c, index, &plans[i], &trial, &ms));
        lacks_room = lacks_room || trial == TRIAL_NO_ROOM;
        if (trial == TRIAL_RAN && (*best < 0 || ms < least)) {
            *best = i;
            least = ms;
        }
    }
    if (*best < 0)
        FAIL(lacks_room ? STATUS_MEMORY : STATUS_PLACE, "none of %d plans of this convolution %s", n,
             lacks_room ? "has room for its workspace" : "runs on this device");
out:
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
                                        struct plan_store *store, bool in_haste,
                                        const struct program_memory *at)
{
    enum status rc = STATUS_OK;
    struct chooser c = {
        .program = p,
        .target = {.handle = handle},
        .stream = stream,
        .store = store,
        .memory = at,
        .in_haste = in_haste,
    };

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
