/* Which pictures a pass of the cascade looks at; see launch.h. */
#include "kernels/cuda/vector.cuh"

#define MAX_STAGES 32 /* bits of row_request.stages */
#define N_WARPS (CUDA_MAX_BATCH / WARP)

/* By value, since the launch may run long after the caller has returned. */
struct all_results {
    struct stage_results stage[MAX_STAGES];
    int n_stages;
};

KERNEL(256, 4) begin(const struct batch_slot *slot, int *state, struct all_results results, int batch)
{
    int i = thread_index();

    if (i >= batch)
        return;
    state[i] = i < slot->control->n ? ROW_WANTED : ROW_OFF;
    for (int s = 0; s < results.n_stages; s++) {
        struct row_result not_run = {NAN, 0};
        reinterpret_cast<struct row_result *>(slot->results + results.stage[s].rows)[i] = not_run;
    }
}

extern "C" cudaError_t begin_launch(const struct batch_slot *slot, int *state,
                                    const struct stage_results *stages, int n_stages, int batch,
                                    cudaStream_t stream)
{
    struct all_results results = {};

    if (n_stages < 0 || n_stages > MAX_STAGES || batch < 1 || batch > CUDA_MAX_BATCH)
        return cudaErrorInvalidValue;
    for (int s = 0; s < n_stages; s++)
        results.stage[s] = stages[s];
    results.n_stages = n_stages;
    LAUNCH(begin, blocks_for(batch, 256), 256, 0, stream, slot, state, results, batch);
    return cudaGetLastError();
}

/* How many of the lanes before this one have `mine` set. OUT all: how many of the warp. */
DEVICE int count_lanes_before(int mine, int lane, int *all)
{
    int before = 0;

    *all = mine;
    for (int mask = 1; mask < WARP; mask *= 2) {
        int other = warp_shuffle_xor(*all, mask); /* of the other half of a group of 2 * mask lanes */
        before += (lane & mask) != 0 ? other : 0;
        *all += other;
    }
    return before;
}

/* One block, a thread for each picture. */
KERNEL(CUDA_MAX_BATCH, 1)
select_rows(const struct batch_slot *slot, const int *state, int stage, int variant, int batch,
            struct pass_list *list, cudaGraphConditionalHandle loop)
{
    SHARED_ARRAY(int, of_warp, N_WARPS);
    int i = (int)threadIdx.x, lane = i % WARP, warp = i / WARP, mine = 0, of_mine, count;

    if (i < batch && variant == 0)
        mine = state[i] == ROW_WANTED && (slot->control->rows[i].stages >> stage & 1) != 0;
    else if (i < batch)
        mine = state[i] == ROW_AGAIN;
    int before = count_lanes_before(mine, lane, &of_mine);
    if (lane == 0)
        of_warp[warp] = of_mine;
    block_barrier();
    before += warp_sum(lane < warp ? of_warp[lane] : 0);
    count = warp_sum(of_warp[lane]);
    if (mine != 0)
        list->row[before] = i;
    if (i == 0) {
        list->count = count;
        list->first = 0;
        if (loop != 0)
            set_graph_condition(loop, count > 0);
    }
}

extern "C" cudaError_t select_launch(const struct batch_slot *slot, const int *state, int stage, int variant,
                                     int batch, struct pass_list *list, cudaGraphConditionalHandle loop,
                                     cudaStream_t stream)
{
    if (stage < 0 || stage >= MAX_STAGES || batch < 1 || batch > CUDA_MAX_BATCH)
        return cudaErrorInvalidValue;
    LAUNCH(select_rows, 1, CUDA_MAX_BATCH, 0, stream, slot, state, stage, variant, batch, list, loop);
    return cudaGetLastError();
}

KERNEL(WARP, 1) advance(struct pass_list *list, int pass_batch, cudaGraphConditionalHandle loop)
{
    if (threadIdx.x != 0)
        return;
    list->first += pass_batch;
    if (loop != 0)
        set_graph_condition(loop, list->first < list->count);
}

extern "C" cudaError_t advance_launch(struct pass_list *list, int pass_batch, cudaGraphConditionalHandle loop,
                                      cudaStream_t stream)
{
    LAUNCH(advance, 1, WARP, 0, stream, list, pass_batch, loop);
    return cudaGetLastError();
}
