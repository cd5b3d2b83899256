/* Small kernels with and without mistakes, by which the simulated runtime is tested. See test_kernels.cu. */
#ifndef EYESORE_SIM_TEST_KERNELS_H
#define EYESORE_SIM_TEST_KERNELS_H

#include <cuda_runtime_api.h>

#define REVERSED 128 /* threads of the kernels that reverse */

#ifdef __cplusplus
extern "C" {
#endif

/* Right ones. */
void add_launch(float *to, const float *from, float value, int n,
                cudaStream_t stream); /* to = from + value */
void fill_launch(int *to, int value, cudaStream_t stream);
void affine_launch(int *to, int factor, int addend, cudaStream_t stream); /* to = to * factor + addend */
void half_launch(float *values, int n, cudaStream_t stream);              /* rounded to float16 */
void sum_launch(double *sum, const float *values, int n_blocks, int threads, cudaStream_t stream);
void reverse_launch(float *to, const float *from, cudaStream_t stream); /* each REVERSED elements */
void reverse_dynamic_launch(float *to, const float *from, size_t shared_bytes, cudaStream_t stream);
void coordinates_launch(int *to, dim3 grid, dim3 block, cudaStream_t stream);

/* For while nodes: counters[at] goes down by one; the condition is whether it is above 0. */
void count_down_launch(int *counters, int at, cudaGraphConditionalHandle loop, cudaStream_t stream);
/* counters[at] = value, and the condition accordingly. */
void start_count_launch(int *counters, int at, int value, cudaGraphConditionalHandle loop,
                        cudaStream_t stream);

/* Launches of any shape: threads bounded by 256, nothing done. */
void bounded_launch(dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream);
/* 40 KiB of static shared memory beside the launch's. */
void large_shared_launch(size_t shared_bytes, cudaStream_t stream);

/* Planted mistakes. */
void reverse_without_barrier_launch(float *to, const float *from, cudaStream_t stream);
void next_without_barrier_launch(float *to, const float *from, cudaStream_t stream);
void divergent_barrier_launch(int threads, cudaStream_t stream);
void missing_lane_launch(cudaStream_t stream);
void short_warp_launch(cudaStream_t stream);
void barrier_or_shuffle_launch(cudaStream_t stream);
void overrun_shared_launch(int by, cudaStream_t stream);
void overrun_dynamic_launch(int by, size_t shared_bytes, cudaStream_t stream);
void read_unset_shared_launch(float *to, cudaStream_t stream);
void deep_stack_launch(int depth, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
