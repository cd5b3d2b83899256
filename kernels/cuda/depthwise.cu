/* 3x3 depthwise convolution; see launch.h. */
#include "kernels/cuda/vector.cuh"

#define THREADS 128
#define TAPS 3

/* Places of a row that a thread makes, so that a value read once serves up to three of them. */
#define RUN(stride) ((stride) == 1 ? 4 : 2)

/* Add one row of the window to the sums of a run, its taps from left to right. All reads come first: a thread
 * has few, so they had better be under way together. */
template <typename T, int STRIDE>
DEVICE void add_row(const T *row, const struct device_map &in, int left, const struct floats8 weight[TAPS],
                    struct floats8 sum[RUN(STRIDE)])
{
    const int n_columns = (RUN(STRIDE) - 1) * STRIDE + TAPS;
    uint4 raw[n_columns];

    for (int column = 0; column < n_columns; column++) {
        int x = left + column;
        raw[column] = make_uint4(0, 0, 0, 0);
        if (x >= 0 && x < in.w)
            raw[column] = *reinterpret_cast<const uint4 *>(row + (size_t)x * (size_t)in.pitch);
    }
    for (int column = 0; column < n_columns; column++) {
        struct floats8 value = vector_unpack<T>(raw[column]);
        for (int to = 0; to < RUN(STRIDE); to++) {
            int tap = column - to * STRIDE;
            if (tap < 0 || tap >= TAPS)
                continue;
            for (int e = 0; e < VECTOR; e++)
                sum[to].at[e] += weight[tap].at[e] * value.at[e];
        }
    }
}

template <typename T, int STRIDE>
KERNEL(THREADS, 4)
depthwise(struct depthwise_args args, int n_runs, int total)
{
    int index = thread_index(), n_vectors = args.out.c / VECTOR, run = index / n_vectors;
    int channel = index % n_vectors * VECTOR, left = run % n_runs * RUN(STRIDE);
    int y = run / n_runs % args.out.h, picture = run / n_runs / args.out.h;
    const T *weight = static_cast<const T *>(args.weight) + channel;
    struct floats8 sum[RUN(STRIDE)];

    if (index >= total)
        return;
    for (int to = 0; to < RUN(STRIDE); to++)
        sum[to] = floats8_load(args.bias + channel);
    for (int dy = 0; dy < TAPS; dy++) {
        int from_y = y * STRIDE - 1 + dy;
        struct floats8 taps[TAPS];
        if (from_y < 0 || from_y >= args.in.h)
            continue;
        for (int dx = 0; dx < TAPS; dx++)
            taps[dx] = vector_load(weight + (size_t)(dy * TAPS + dx) * (size_t)args.out.c);
        add_row<T, STRIDE>(map_place<T>(args.in, picture, from_y * args.in.w) + channel, args.in,
                           left * STRIDE - 1, taps, sum);
    }
    for (int to = 0; to < RUN(STRIDE) && left + to < args.out.w; to++) {
        for (int e = 0; e < VECTOR; e++)
            sum[to].at[e] = activate(sum[to].at[e], args.activation);
        vector_store(map_place<T>(args.out, picture, y * args.out.w + left + to) + channel, sum[to]);
    }
}

template <typename T>
static void launch(const struct depthwise_args *args, unsigned blocks, int n_runs, int total,
                   cudaStream_t stream)
{
    if (args->stride == 1)
        LAUNCH((depthwise<T, 1>), blocks, THREADS, 0, stream, *args, n_runs, total);
    else
        LAUNCH((depthwise<T, 2>), blocks, THREADS, 0, stream, *args, n_runs, total);
}

extern "C" cudaError_t depthwise_launch(const struct depthwise_args *args, cudaStream_t stream)
{
    int n_runs = (args->out.w + RUN(args->stride) - 1) / RUN(args->stride);
    long long total = (long long)args->out.n * args->out.h * n_runs * (args->out.c / VECTOR);
    unsigned blocks = blocks_for(total, THREADS);

    if (blocks == 0 || args->in.c != args->out.c || args->out.c % VECTOR != 0 ||
        (args->stride != 1 && args->stride != 2))
        return cudaErrorInvalidValue;
    if (args->element == ELEMENT_F16)
        launch<__half>(args, blocks, n_runs, (int)total, stream);
    else
        launch<__nv_bfloat16>(args, blocks, n_runs, (int)total, stream);
    return cudaGetLastError();
}
