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

/* What one turn of a pass's loop does, captured into the body of its while node. */
static enum status capture_turn(struct cuda_engine *e, const struct cuda_pass *pass,
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
    TRY_CUDA(cudaStreamBeginCaptureToGraph(e->body, body, NULL, NULL, 0, cudaStreamCaptureModeThreadLocal));
    capturing = true;
    TRY(capture_turn(e, pass, loop));
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

enum status capture_cascade(struct cuda_engine *e, cudaGraphExec_t *out)
{
    enum status rc = STATUS_OK;
    cudaGraph_t graph = NULL, ended = NULL;
    bool capturing = false;

    TRY_CUDNN(cudnnSetStream(e->handle, e->body));
    TRY_CUDA(cudaGraphCreate(&graph, 0));
    TRY_CUDA(
        cudaStreamBeginCaptureToGraph(e->compute, graph, NULL, NULL, 0, cudaStreamCaptureModeThreadLocal));
    capturing = true;
    TRY(capture_all(e, graph));
    capturing = false;
    TRY_CUDA(cudaStreamEndCapture(e->compute, &ended));
    TRY_CUDA(cudaGraphInstantiate(out, graph, 0));
out:
    if (capturing)
        (void)cudaStreamEndCapture(e->compute, &ended);
    if (graph != NULL)
        (void)cudaGraphDestroy(graph);
    return rc;
}
