/* See test_kernels.h. */
#include "test_kernels.h"

#include "cuda_code.h"

#define THREADS 256

DEVICE int thread_of_grid()
{
    return (int)(blockIdx.x * blockDim.x + threadIdx.x);
}

KERNEL(THREADS, 1) add(float *to, const float *from, float value, int n)
{
    int i = thread_of_grid();

    if (i < n)
        to[i] = from[i] + value;
}

void add_launch(float *to, const float *from, float value, int n, cudaStream_t stream)
{
    LAUNCH(add, (n + THREADS - 1) / THREADS, THREADS, 0, stream, to, from, value, n);
}

KERNEL(1, 1) fill(int *to, int value)
{
    *to = value;
}

void fill_launch(int *to, int value, cudaStream_t stream)
{
    LAUNCH(fill, 1, 1, 0, stream, to, value);
}

KERNEL(1, 1) affine(int *to, int factor, int addend)
{
    *to = *to * factor + addend;
}

void affine_launch(int *to, int factor, int addend, cudaStream_t stream)
{
    LAUNCH(affine, 1, 1, 0, stream, to, factor, addend);
}

template <typename T> KERNEL(THREADS, 1) round_to(float *values, int n)
{
    int i = thread_of_grid();

    if (i < n)
        values[i] = (float)(T)values[i];
}

void half_launch(float *values, int n, cudaStream_t stream)
{
    LAUNCH(round_to<__half>, (n + THREADS - 1) / THREADS, THREADS, 0, stream, values, n);
}

/* Of each block, in double: shuffles within the warps, then shared memory. */
template <typename T> KERNEL(1024, 1) block_sum(double *sum, const T *values)
{
    SHARED_ARRAY(double, of_warp, 32);
    int i = (int)threadIdx.x, lane = i % WARP, n_warps = (int)blockDim.x / WARP;
    double value = values[thread_of_grid()];

    for (int mask = 1; mask < WARP; mask *= 2)
        value += warp_shuffle_xor(value, mask);
    if (lane == 0)
        of_warp[i / WARP] = value;
    block_barrier();
    if (i >= WARP)
        return;
    value = lane < n_warps ? of_warp[lane] : 0;
    for (int mask = 1; mask < WARP; mask *= 2)
        value += warp_shuffle_xor(value, mask);
    if (i == 0)
        sum[blockIdx.x] = value;
}

void sum_launch(double *sum, const float *values, int n_blocks, int threads, cudaStream_t stream)
{
    LAUNCH(block_sum<float>, n_blocks, threads, 0, stream, sum, values);
}

KERNEL(REVERSED, 1) reverse(float *to, const float *from)
{
    SHARED_ARRAY(float, all, REVERSED);
    int i = (int)threadIdx.x;

    all[i] = from[i];
    block_barrier();
    to[i] = all[REVERSED - 1 - i];
}

void reverse_launch(float *to, const float *from, cudaStream_t stream)
{
    LAUNCH(reverse, 1, REVERSED, 0, stream, to, from);
}

KERNEL(REVERSED, 1) reverse_dynamic(float *to, const float *from)
{
    DYNAMIC_SHARED(float, all);
    int i = (int)threadIdx.x;

    all[i] = from[i];
    block_barrier();
    to[i] = all[REVERSED - 1 - i];
}

void reverse_dynamic_launch(float *to, const float *from, size_t shared_bytes, cudaStream_t stream)
{
    LAUNCH(reverse_dynamic, 1, REVERSED, shared_bytes, stream, to, from);
}

/* Each thread of the grid writes where it is, as a number of its own. */
KERNEL(1024, 1) coordinates(int *to)
{
    unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    unsigned at = block * blockDim.x * blockDim.y * blockDim.z + thread;

    to[at] = (int)at;
}

void coordinates_launch(int *to, dim3 grid, dim3 block, cudaStream_t stream)
{
    LAUNCH(coordinates, grid, block, 0, stream, to);
}

KERNEL(WARP, 1) count_down(int *counters, int at, cudaGraphConditionalHandle loop)
{
    if (threadIdx.x != 0)
        return;
    counters[at]--;
    set_graph_condition(loop, counters[at] > 0);
}

void count_down_launch(int *counters, int at, cudaGraphConditionalHandle loop, cudaStream_t stream)
{
    LAUNCH(count_down, 1, WARP, 0, stream, counters, at, loop);
}

KERNEL(WARP, 1) start_count(int *counters, int at, int value, cudaGraphConditionalHandle loop)
{
    if (threadIdx.x != 0)
        return;
    counters[at] = value;
    set_graph_condition(loop, value > 0);
}

void start_count_launch(int *counters, int at, int value, cudaGraphConditionalHandle loop,
                        cudaStream_t stream)
{
    LAUNCH(start_count, 1, WARP, 0, stream, counters, at, value, loop);
}

template <int BOUND> KERNEL(BOUND, 1) bounded()
{
}

void bounded_launch(dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream)
{
    LAUNCH(bounded<THREADS>, grid, block, shared_bytes, stream);
}

KERNEL(WARP, 1) large_shared()
{
    SHARED_ARRAY(char, large, 40 * 1024);
    large[threadIdx.x] = 0;
}

void large_shared_launch(size_t shared_bytes, cudaStream_t stream)
{
    LAUNCH(large_shared, 1, WARP, shared_bytes, stream);
}

KERNEL(REVERSED, 1) reverse_without_barrier(float *to, const float *from)
{
    SHARED_ARRAY(float, all, REVERSED);
    int i = (int)threadIdx.x;

    all[i] = from[i];
    to[i] = all[REVERSED - 1 - i];
}

void reverse_without_barrier_launch(float *to, const float *from, cudaStream_t stream)
{
    LAUNCH(reverse_without_barrier, 1, REVERSED, 0, stream, to, from);
}

/* Right where the threads run from the last to the first. */
KERNEL(REVERSED, 1) next_without_barrier(float *to, const float *from)
{
    SHARED_ARRAY(float, all, REVERSED);
    int i = (int)threadIdx.x;

    all[i] = from[i];
    to[i] = i + 1 < REVERSED ? all[i + 1] : 0;
}

void next_without_barrier_launch(float *to, const float *from, cudaStream_t stream)
{
    LAUNCH(next_without_barrier, 1, REVERSED, 0, stream, to, from);
}

KERNEL(THREADS, 1) divergent_barrier()
{
    if (threadIdx.x % 2 == 0)
        block_barrier();
}

void divergent_barrier_launch(int threads, cudaStream_t stream)
{
    LAUNCH(divergent_barrier, 2, threads, 0, stream);
}

KERNEL(2 * WARP, 1) missing_lane()
{
    if (threadIdx.x != WARP + 5)
        (void)warp_shuffle_xor(1.0f, 1);
}

void missing_lane_launch(cudaStream_t stream)
{
    LAUNCH(missing_lane, 1, 2 * WARP, 0, stream);
}

KERNEL(WARP, 1) short_warp()
{
    (void)warp_shuffle_xor(1, 1);
}

void short_warp_launch(cudaStream_t stream)
{
    LAUNCH(short_warp, 1, WARP / 2, 0, stream);
}

KERNEL(WARP, 1) barrier_or_shuffle()
{
    if (threadIdx.x < 16)
        block_barrier();
    else
        (void)warp_shuffle_xor(1, 1);
}

void barrier_or_shuffle_launch(cudaStream_t stream)
{
    LAUNCH(barrier_or_shuffle, 1, WARP, 0, stream);
}

KERNEL(WARP, 1) overrun_shared(int by)
{
    SHARED_ARRAY(int, few, WARP);
    volatile int *at = few; /* out of the sight of the compiler's own bounds checks */
    at[(int)threadIdx.x + by] = 1;
}

void overrun_shared_launch(int by, cudaStream_t stream)
{
    LAUNCH(overrun_shared, 1, WARP, 0, stream, by);
}

KERNEL(WARP, 1) overrun_dynamic(int by)
{
    DYNAMIC_SHARED(int, few);
    few[(int)threadIdx.x + by] = 1;
}

void overrun_dynamic_launch(int by, size_t shared_bytes, cudaStream_t stream)
{
    LAUNCH(overrun_dynamic, 1, WARP, shared_bytes, stream, by);
}

KERNEL(WARP, 1) read_unset_shared(float *to)
{
    SHARED_ARRAY(float, all, WARP);
    int i = (int)threadIdx.x;

    if (blockIdx.x == 0)
        all[i] = 1;
    to[blockIdx.x * WARP + threadIdx.x] = all[i];
}

void read_unset_shared_launch(float *to, cudaStream_t stream)
{
    LAUNCH(read_unset_shared, 2, WARP, 0, stream, to);
}

static __attribute__((noinline)) int dig(int depth)
{
    volatile char room[1024] = {};
    return depth == 0 ? room[0] : dig(depth - 1) + room[depth % 1024];
}

KERNEL(WARP, 1) deep_stack(int depth)
{
    (void)dig(depth);
}

void deep_stack_launch(int depth, cudaStream_t stream)
{
    LAUNCH(deep_stack, 1, WARP, 0, stream, depth);
}
