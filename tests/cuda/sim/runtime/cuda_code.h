/*
 * A test instrument: the words of kernels/cuda/nvcc/cuda_code.h for a C++17 compiler and the simulated
 * device, so that the same .cu files run on the CPU. The threads of a block are fibers (grid.h). Shared
 * memory is poisoned before each block; barriers that not all threads reach, shuffles that not all lanes
 * reach and writes beyond shared memory end the program with a message.
 */
#ifndef EYESORE_CUDA_CODE_H
#define EYESORE_CUDA_CODE_H

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <tuple>
#include <type_traits>

extern "C" {

/* Of the thread that runs now. Plain variables: one thread of one block runs at a time. */
extern uint3 sim_thread_index, sim_block_index;
extern dim3 sim_block_dim, sim_grid_dim;
extern uint64_t sim_block_serial; /* another number for each block that runs */

/* A static shared array as the simulator knows it. Zero at first. */
struct sim_shared {
    uint64_t block; /* the last block that entered */
    const char *name;
    unsigned char *data;
    size_t bytes;
    struct sim_shared *next; /* of those of this block */
};

#define SIM_SHARED_GUARD 128 /* bytes before and behind a shared array that nobody may write */

void sim_shared_enter(struct sim_shared *shared, const char *name, void *data, size_t bytes);
void *sim_shared_dynamic(void);

void sim_barrier(void);
/* value: up to 8 bytes; the lane's with the other index. */
uint64_t sim_shuffle_xor(uint64_t value, int mask, size_t bytes);
void sim_set_condition(cudaGraphConditionalHandle handle, unsigned value);

/* What LAUNCH says. The simulator owns `arguments` and releases them. */
struct sim_launch {
    const char *name;
    uintptr_t function;
    unsigned max_threads; /* of its __launch_bounds__; 0: unknown */
    dim3 grid, block;
    size_t shared_bytes;
    void *arguments;
    size_t arguments_bytes;
    void (*run_thread)(void *arguments);
    void (*release)(void *arguments);
};
void sim_launch_kernel(const struct sim_launch *launch, cudaStream_t stream);

/* KERNEL leaves as many bytes before a kernel's entry as it has threads at most, and its address here. */
extern const uintptr_t sim_bounds_begin[] __asm__("__start___patchable_function_entries")
    __attribute__((weak, visibility("hidden")));
extern const uintptr_t sim_bounds_end[] __asm__("__stop___patchable_function_entries")
    __attribute__((weak, visibility("hidden")));
}

#define threadIdx sim_thread_index
#define blockIdx sim_block_index
#define blockDim sim_block_dim
#define gridDim sim_grid_dim

/* Clang takes no bound that depends on a template's parameter: there, bounds are not checked. */
#ifdef __clang__
#define SIM_BOUNDS(threads)
#define SIM_CLEAR_PADDING(object) static_cast<void>(object)
#else
#define SIM_CLEAR_PADDING(object) __builtin_clear_padding(object)
#define SIM_BOUNDS(threads) __attribute__((patchable_function_entry((threads) + 0, (threads) + 0)))
#endif

#define KERNEL(threads, min_blocks) __attribute__((noinline)) SIM_BOUNDS(threads) void
#define DEVICE inline __attribute__((always_inline))

#define SHARED_ARRAY(type, name, n)                                                                          \
    static struct sim_shared_array<type[n]> sim_storage_of_##name;                                           \
    type(&name)[n] = sim_shared_array_enter(&sim_storage_of_##name, #name)
#define DYNAMIC_SHARED(type, name) type *name = static_cast<type *>(sim_shared_dynamic())

/* LAUNCH(kernel, grid, block, shared_bytes, stream, arguments...) */
#define LAUNCH(kernel, grid, block, shared_bytes, ...)                                                       \
    sim_launch_call(#kernel, (kernel), dim3(grid), dim3(block), (shared_bytes), __VA_ARGS__)

#define WARP 32

template <typename Array> struct sim_shared_array {
    struct sim_shared known;
    alignas(16) unsigned char before[SIM_SHARED_GUARD];
    alignas(16) Array values;
    unsigned char behind[SIM_SHARED_GUARD];
};

template <typename Array>
inline Array &sim_shared_array_enter(struct sim_shared_array<Array> *shared, const char *name)
{
    if (shared->known.block != sim_block_serial)
        sim_shared_enter(&shared->known, name, &shared->values, sizeof(Array));
    return shared->values;
}

template <typename... P> struct sim_arguments {
    void (*kernel)(P...);
    std::tuple<P...> values;

    static void run_thread(void *self)
    {
        struct sim_arguments *mine = static_cast<struct sim_arguments *>(self);
        std::apply(mine->kernel, mine->values);
    }

    static void release(void *self)
    {
        delete static_cast<struct sim_arguments *>(self);
    }
};

static inline unsigned sim_kernel_bounds(uintptr_t kernel)
{
    uintptr_t nearest = 0;
    for (const uintptr_t *entry = sim_bounds_begin; entry < sim_bounds_end; entry++)
        if (*entry <= kernel && *entry > nearest)
            nearest = *entry;
    return nearest == 0 || kernel - nearest > 1024 ? 0 : (unsigned)(kernel - nearest);
}

template <typename T> struct sim_same {
    using type = T;
};

/* Arguments are converted to the kernel's parameters and copied now, as a real launch does. */
template <typename... P>
inline void sim_launch_call(const char *name, void (*kernel)(P...), dim3 grid, dim3 block,
                            size_t shared_bytes, cudaStream_t stream, typename sim_same<P>::type... values)
{
    using arguments = struct sim_arguments<P...>;
    static_assert((std::is_trivially_copyable_v<P> && ...), "kernel parameters are copied bytewise");
    uintptr_t function = reinterpret_cast<uintptr_t>(kernel);
    struct sim_launch launch = {};
    /* Without padding: what lies there by chance is no address that the kernel is given. */
    void *memory = memset(::operator new(sizeof(arguments)), 0, sizeof(arguments));
    (SIM_CLEAR_PADDING(&values), ...);
    arguments *copy = new (memory) arguments{kernel, std::tuple<P...>(values...)};

    launch.name = name;
    launch.function = function;
    launch.max_threads = sim_kernel_bounds(function);
    launch.grid = grid;
    launch.block = block;
    launch.shared_bytes = shared_bytes;
    launch.arguments = copy;
    launch.arguments_bytes = sizeof(arguments);
    launch.run_thread = arguments::run_thread;
    launch.release = arguments::release;
    sim_launch_kernel(&launch, stream);
}

DEVICE void block_barrier()
{
    sim_barrier();
}

/* All 32 lanes of the warp must come here together. */
template <typename T> DEVICE T warp_shuffle_xor(T value, int mask)
{
    static_assert(std::is_trivially_copyable_v<T> && (sizeof(T) == 4 || sizeof(T) == 8 || sizeof(T) == 2),
                  "a shuffle moves 2, 4 or 8 bytes");
    uint64_t bits = 0;
    T other;

    memcpy(&bits, &value, sizeof(value));
    bits = sim_shuffle_xor(bits, mask, sizeof(value));
    memcpy(&other, &bits, sizeof(other));
    return other;
}

DEVICE void set_graph_condition(cudaGraphConditionalHandle handle, unsigned value)
{
    sim_set_condition(handle, value);
}

#endif
