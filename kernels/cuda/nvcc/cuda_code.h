/*
 * The few words in which the .cu files speak to the device, as nvcc has them. tests/cuda/sim has a header of
 * the same name that compiles the same files for the CPU; the include path chooses.
 */
#ifndef EYESORE_CUDA_CODE_H
#define EYESORE_CUDA_CODE_H

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

/* KERNEL(threads, min_blocks) name(...): threads of a block at most, blocks that an SM should hold at least.
 */
#define KERNEL(threads, min_blocks) __global__ void __launch_bounds__(threads, min_blocks)
#define DEVICE __device__ __forceinline__

/* An array shared by a block's threads, 16-byte aligned: of fixed size, or as large as the launch says. */
#define SHARED_ARRAY(type, name, n) __shared__ __align__(16) type name[n]
#define DYNAMIC_SHARED(type, name) extern __shared__ __align__(16) type name[]

/* LAUNCH((kernel<T>), grid, block, shared_bytes, stream, arguments...) */
#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                               \
    (kernel)<<<(grid), (block), (shared_bytes), (stream)>>>(__VA_ARGS__)

#define WARP 32

DEVICE void block_barrier()
{
    __syncthreads();
}

/* All 32 lanes of the warp must come here together. */
template <typename T> DEVICE T warp_shuffle_xor(T value, int mask)
{
    return __shfl_xor_sync(0xffffffffu, value, mask);
}

DEVICE void set_graph_condition(cudaGraphConditionalHandle handle, unsigned value)
{
    cudaGraphSetConditional(handle, value);
}

#endif
