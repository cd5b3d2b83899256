/*
 * The cascade as one CUDA graph: launched once a batch, it decides by itself which pictures the next stage
 * sees and loops over them, with no word from the host.
 *
 *     begin --> select pass 0 --> while any { input, network, head, advance } --> select pass 1 --> ...
 */
#include "kernels/cuda/engine_cuda.h"

static struct program_pass describe_pass(const struct cuda_engine *e, const struct cuda_pass *pass)
{
    return (struct program_pass){
        .slot = e->slot_table,
        .list = e->list,
        .state = e->state,
        .results = e->results[pass->stage],
        .stage = pass->stage,
        .variant = pass->variant,
        .rules = &e->stages[pass->stage],
        .maps = (enum kernel_maps)e->maps,
        .size = e->size,
    };
}

/* What one turn of a pass's loop does; captured, it is the body of its while node. */
static enum status enqueue_turn(struct cuda_engine *e, const struct cuda_pass *pass,
                                cudaGraphConditionalHandle loop)
{
    enum status rc = STATUS_OK;
    struct program_pass how = describe_pass(e, pass);

    for (int i = 0; i < pass->program.steps.n; i++)
        TRY(device_program_enqueue_step(&pass->program, i, &e->memory, &how, e->handle, e->body));
    TRY_CUDA(advance_launch(e->list, pass->program.batch, loop, e->body));
out:
    return rc;
}

/* A while node behind what `compute` has captured so far. OUT body: the graph of one turn. */
static enum status append_while(struct cuda_engine *e, cudaGraphConditionalHandle loop, cudaGraph_t *body)
{
    enum status rc = STATUS_OK;
    enum cudaStreamCaptureStatus status;
    cudaGraph_t graph;
    const cudaGraphNode_t *before;
    cudaGraphNode_t node;
    size_t n_before;
    struct cudaGraphNodeParams how = {.type = cudaGraphNodeTypeConditional};

    how.conditional.handle = loop;
    how.conditional.type = cudaGraphCondTypeWhile;
    how.conditional.size = 1;
    TRY_CUDA(cudaStreamGetCaptureInfo(e->compute, &status, NULL, &graph, &before, NULL, &n_before));
    TRY_CUDA(cudaGraphAddNode(&node, graph, before, NULL, n_before, &how));
    TRY_CUDA(
        cudaStreamUpdateCaptureDependencies(e->compute, &node, NULL, 1, cudaStreamSetCaptureDependencies));
    *body = how.conditional.phGraph_out[0];
out:
    return rc;
}

static enum status capture_pass(struct cuda_engine *e, cudaGraph_t graph, const struct cuda_pass *pass)
{
    enum status rc = STATUS_OK;
    cudaGraphConditionalHandle loop;
    cudaGraph_t body = NULL, ended = NULL;
    bool capturing = false;

    TRY_CUDA(cudaGraphConditionalHandleCreate(&loop, graph, 0, cudaGraphCondAssignDefault));
    TRY_CUDA(select_launch(e->slot_table, e->state, pass->stage, pass->variant, e->base.batch, e->list, loop,
                           e->compute));
    TRY(append_while(e, loop, &body));
    TRY_CUDA(cudaStreamBeginCaptureToGraph(e->body, body, NULL, NULL, 0, cudaStreamCaptureModeRelaxed));
    capturing = true;
    TRY(enqueue_turn(e, pass, loop));
out:
    if (capturing) {
        cudaError_t end = cudaStreamEndCapture(e->body, &ended); /* the body belongs to its node */
        if (rc == STATUS_OK)
            rc = cuda_status(end, CUDA_HERE("cudaStreamEndCapture(body)"));
    }
    return rc;
}

static enum status capture_all(struct cuda_engine *e, cudaGraph_t graph)
{
    enum status rc = STATUS_OK;

    TRY_CUDA(begin_launch(e->slot_table, e->state, e->results, e->n_stages, e->base.batch, e->compute));
    for (int i = 0; i < e->n_passes; i++)
        TRY(capture_pass(e, graph, &e->passes[i]));
out:
    return rc;
}

/*
 * Everything once, on a batch of no pictures, outside of a capture: kernels are loaded at their first use,
 * which a capture does not allow, and a plan that cannot be launched shows here.
 */
static enum status warm_up(struct cuda_engine *e)
{
    enum status rc = STATUS_OK;
    const struct cuda_slot *slot = &e->slots[0];

    TRY_CUDA(cudaMemsetAsync(slot->device_control, 0, sizeof(*slot->device_control), e->body));
    TRY_CUDA(
        cudaMemcpyAsync(e->slot_table, slot->table, sizeof(*slot->table), cudaMemcpyHostToDevice, e->body));
    TRY_CUDA(begin_launch(e->slot_table, e->state, e->results, e->n_stages, e->base.batch, e->body));
    for (int i = 0; i < e->n_passes; i++) {
        const struct cuda_pass *pass = &e->passes[i];
        TRY_CUDA(select_launch(e->slot_table, e->state, pass->stage, pass->variant, e->base.batch, e->list, 0,
                               e->body));
        TRY(enqueue_turn(e, pass, 0));
    }
    TRY_CUDA(cudaStreamSynchronize(e->body));
out:
    return rc;
}

enum status capture_cascade(struct cuda_engine *e, cudaGraphExec_t *out)
{
    enum status rc = STATUS_OK;
    cudaGraph_t graph = NULL, ended = NULL;
    bool capturing = false;

    TRY_CUDNN(cudnnSetStream(e->handle, e->body));
    TRY(warm_up(e));
    TRY_CUDA(cudaGraphCreate(&graph, 0));
    TRY_CUDA(cudaStreamBeginCaptureToGraph(e->compute, graph, NULL, NULL, 0, cudaStreamCaptureModeRelaxed));
    capturing = true;
    TRY(capture_all(e, graph));
    capturing = false;
    TRY_CUDA(cudaStreamEndCapture(e->compute, &ended));
    TRY_CUDA(cudaGraphInstantiate(out, graph, 0));
    TRY_CUDA(cudaGraphUpload(*out, e->compute)); /* what it needs of memory it takes now */
out:
    if (capturing)
        (void)cudaStreamEndCapture(e->compute, &ended);
    if (graph != NULL)
        (void)cudaGraphDestroy(graph);
    return rc;
}
