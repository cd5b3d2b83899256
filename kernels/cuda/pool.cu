/* Max and average pools; see launch.h. */
#include "kernels/cuda/vector.cuh"

#define THREADS 256

/* What a thread makes: 8 channels of a place of the output. Neighbours have the next 8, then the next place.
 */
struct pool_work {
    int channel, x, y, picture;
};

DEVICE struct pool_work pool_locate(const struct device_map &out, int index)
{
    int n_vectors = out.c / VECTOR, place = index / n_vectors, row = place / out.w;
    return {index % n_vectors * VECTOR, place % out.w, row % out.h, row / out.h};
}

/* Start of the values under a tap of the window; NULL in the padding. */
template <typename T>
DEVICE const T *pool_tap(const struct pool_args &args, const struct pool_work &work, int dy, int dx)
{
    int y = work.y * args.stride - args.pad + dy, x = work.x * args.stride - args.pad + dx;

    if (y < 0 || y >= args.in.h || x < 0 || x >= args.in.w)
        return NULL;
    return map_place<T>(args.in, work.picture, y * args.in.w + x) + work.channel;
}

template <typename T> KERNEL(THREADS, 6) max_pool(struct pool_args args, int total)
{
    struct pool_work work = pool_locate(args.out, thread_index());
    struct floats8 top = floats8_fill(-INFINITY);

    if (thread_index() >= total)
        return;
    for (int dy = 0; dy < args.kernel; dy++) {
        for (int dx = 0; dx < args.kernel; dx++) {
            const T *from = pool_tap<T>(args, work, dy, dx);
            if (from == NULL)
                continue;
            struct floats8 value = vector_load(from);
            for (int e = 0; e < VECTOR; e++)
                top.at[e] = larger(top.at[e], value.at[e]);
        }
    }
    vector_store(map_place<T>(args.out, work.picture, work.y * args.out.w + work.x) + work.channel, top);
}

template <typename T> KERNEL(THREADS, 5) average_pool(struct pool_args args, int total)
{
    struct pool_work work = pool_locate(args.out, thread_index());
    struct floats8 sum = floats8_fill(0), scale = floats8_fill(1), shift = floats8_fill(0);
    float n_taps = (float)(args.kernel * args.kernel);

    if (thread_index() >= total)
        return;
    if (args.prologue.scale != NULL) {
        scale = floats8_load(args.prologue.scale + work.channel);
        shift = floats8_load(args.prologue.shift + work.channel);
    }
    for (int dy = 0; dy < args.kernel; dy++) {
        for (int dx = 0; dx < args.kernel; dx++) {
            const T *from = pool_tap<T>(args, work, dy, dx);
            if (from == NULL)
                continue;
            struct floats8 value = vector_load(from);
            for (int e = 0; e < VECTOR; e++)
                sum.at[e] += activate(value.at[e] * scale.at[e] + shift.at[e], args.prologue.activation);
        }
    }
    for (int e = 0; e < VECTOR; e++)
        sum.at[e] /= n_taps;
    vector_store(map_place<T>(args.out, work.picture, work.y * args.out.w + work.x) + work.channel, sum);
}

template <typename T>
static void launch(const struct pool_args *args, unsigned blocks, int total, cudaStream_t stream)
{
    if (args->is_max)
        LAUNCH(max_pool<T>, blocks, THREADS, 0, stream, *args, total);
    else
        LAUNCH(average_pool<T>, blocks, THREADS, 0, stream, *args, total);
}

extern "C" cudaError_t pool_launch(const struct pool_args *args, cudaStream_t stream)
{
    long long total = (long long)args->out.n * args->out.h * args->out.w * (args->out.c / VECTOR);
    unsigned blocks = blocks_for(total, THREADS);

    if (blocks == 0 || args->in.c != args->out.c || args->out.c % VECTOR != 0)
        return cudaErrorInvalidValue;
    if (args->element == ELEMENT_F16)
        launch<__half>(args, blocks, (int)total, stream);
    else
        launch<__nv_bfloat16>(args, blocks, (int)total, stream);
    return cudaGetLastError();
}
