/* CBAM's channel, then spatial attention; see launch.h and kernels/cbam.h. */
#include "kernels/cuda/vector.cuh"

#define THREADS 256
#define N_WARPS (THREADS / WARP)
#define EXCITE_THREADS 512
#define EXCITE_WARPS (EXCITE_THREADS / WARP)
#define MAX_REDUCED 4096

/* ---- squeeze: a block has 64 channels of a picture, 128 bytes of each place: a cache line. */
#define LINE 8 /* vectors */
#define LINE_CHANNELS (LINE * VECTOR)
#define ROWS (THREADS / LINE) /* places that the block reads at once */
#define AHEAD 4               /* reads of a thread under way: there are few blocks, so each needs several */

/* Sum and maximum of a thread's 8 channels over every ROWS-th place from `place` on. */
template <typename T>
DEVICE void squeeze_places(const T *from, size_t pitch, int place, int n_places, struct floats8 *sum,
                           struct floats8 *top)
{
    for (; place < n_places; place += ROWS * AHEAD) {
        uint4 raw[AHEAD];
        for (int k = 0; k < AHEAD; k++) {
            int at = place + k * ROWS < n_places ? place + k * ROWS : place;
            raw[k] = *reinterpret_cast<const uint4 *>(from + (size_t)at * pitch);
        }
        for (int k = 0; k < AHEAD; k++) {
            struct floats8 x = vector_unpack<T>(raw[k]);
            for (int e = 0; e < VECTOR && place + k * ROWS < n_places; e++) {
                sum->at[e] += x.at[e];
                top->at[e] = larger(top->at[e], x.at[e]);
            }
        }
    }
}

template <typename T> KERNEL(THREADS, 4) cbam_squeeze(struct cbam_args args)
{
    SHARED_ARRAY(float, sums, N_WARPS *LINE_CHANNELS);
    SHARED_ARRAY(float, tops, N_WARPS *LINE_CHANNELS);
    int i = (int)threadIdx.x, picture = (int)blockIdx.y, first = (int)blockIdx.x * LINE_CHANNELS;
    int n_places = args.x.h * args.x.w, c = args.x.c, own = i % LINE * VECTOR;
    struct floats8 sum = floats8_fill(0), top = floats8_fill(-INFINITY);

    if (first + own < c)
        squeeze_places(map_place<T>(args.x, picture, 0) + first + own, (size_t)args.x.pitch, i / LINE,
                       n_places, &sum, &top);
    for (int mask = LINE; mask < WARP; mask *= 2) {
        for (int e = 0; e < VECTOR; e++) {
            sum.at[e] += warp_shuffle_xor(sum.at[e], mask);
            top.at[e] = larger(top.at[e], warp_shuffle_xor(top.at[e], mask));
        }
    }
    if (i % WARP < LINE) {
        floats8_store(sums + i / WARP * LINE_CHANNELS + own, sum);
        floats8_store(tops + i / WARP * LINE_CHANNELS + own, top);
    }
    block_barrier();
    if (i >= LINE_CHANNELS || first + i >= c)
        return;
    float of_all = 0, largest = -INFINITY;
    for (int warp = 0; warp < N_WARPS; warp++) {
        of_all += sums[warp * LINE_CHANNELS + i];
        largest = larger(largest, tops[warp * LINE_CHANNELS + i]);
    }
    float *pooled = args.pooled + (size_t)picture * 2 * (size_t)c + first + i;
    pooled[0] = of_all / (float)n_places;
    pooled[c] = largest;
}

extern "C" cudaError_t cbam_squeeze_launch(const struct cbam_args *args, cudaStream_t stream)
{
    dim3 grid(blocks_for(args->x.c, LINE_CHANNELS), (unsigned)args->x.n);

    if (args->x.c % VECTOR != 0)
        return cudaErrorInvalidValue;
    if (args->element == ELEMENT_F16)
        LAUNCH(cbam_squeeze<__half>, grid, THREADS, 0, stream, *args);
    else
        LAUNCH(cbam_squeeze<__nv_bfloat16>, grid, THREADS, 0, stream, *args);
    return cudaGetLastError();
}

/* ---- excite: a block has a picture. fc2 is linear, so it is applied once, to the sum of both hidden layers.
 */
DEVICE float relu(float x)
{
    return activate(x, KERNEL_RELU);
}

/* relu(fc1(mean)) + relu(fc1(max)): a warp for each output. OUT hidden: [reduced]. */
DEVICE void excite_hidden(const struct cbam_args &args, int picture, float *hidden)
{
    int lane = (int)threadIdx.x % WARP, c = args.x.c;
    const float *mean = args.pooled + (size_t)picture * 2 * (size_t)c, *top = mean + c;

    for (int j = (int)threadIdx.x / WARP; j < args.reduced; j += EXCITE_WARPS) {
        const float *row = args.fc1 + (size_t)j * (size_t)c;
        float of_mean = 0, of_top = 0, bias = args.fc1_bias == NULL ? 0 : args.fc1_bias[j];
        for (int k = lane * VECTOR; k < c; k += WARP * VECTOR) {
            struct floats8 w = floats8_load(row + k), a = floats8_load(mean + k), b = floats8_load(top + k);
            for (int e = 0; e < VECTOR; e++) {
                of_mean += w.at[e] * a.at[e];
                of_top += w.at[e] * b.at[e];
            }
        }
        of_mean = relu(warp_sum(of_mean) + bias);
        of_top = relu(warp_sum(of_top) + bias);
        if (lane == 0)
            hidden[j] = of_mean + of_top;
    }
}

/* `width` lanes for each channel: as many as the reduced layer can keep busy. */
KERNEL(EXCITE_THREADS, 2) cbam_excite(struct cbam_args args, int width)
{
    DYNAMIC_SHARED(float, hidden);
    int picture = (int)blockIdx.x, i = (int)threadIdx.x, c = args.x.c, r = args.reduced;

    excite_hidden(args, picture, hidden);
    block_barrier();
    for (int first = 0; first < c; first += EXCITE_THREADS / width) {
        int channel = first + i / width;
        float sum = 0;
        for (int j = i % width; channel < c && j < r; j += width)
            sum += args.fc2[(size_t)channel * (size_t)r + (size_t)j] * hidden[j];
        sum = group_sum(sum, width);
        if (channel >= c || i % width != 0)
            continue;
        float bias = args.fc2_bias == NULL ? 0 : args.fc2_bias[channel];
        args.gate[(size_t)picture * (size_t)c + (size_t)channel] = sigmoid(sum + 2 * bias);
    }
}

extern "C" cudaError_t cbam_excite_launch(const struct cbam_args *args, cudaStream_t stream)
{
    size_t shared_bytes = (size_t)args->reduced * sizeof(float);

    if (args->reduced < 1 || args->reduced > MAX_REDUCED)
        return cudaErrorInvalidValue;
    LAUNCH(cbam_excite, (unsigned)args->x.n, EXCITE_THREADS, shared_bytes, stream, *args,
           lanes_for(args->reduced));
    return cudaGetLastError();
}

/*
 * ---- spatial: `width` lanes for each place, as many as it has vectors, 32 at most. Walks the pictures
 * backwards: it begins with those that squeeze read last and ends with those that apply reads first, which
 * the L2 cache may still hold.
 */
template <typename T> KERNEL(THREADS, 8) cbam_spatial(struct cbam_args args, int width)
{
    int place = thread_index() / width, picture = (int)(gridDim.y - 1 - blockIdx.y);
    int n_places = args.x.h * args.x.w, c = args.x.c, lane = (int)threadIdx.x % width;
    const float *gate = args.gate + (size_t)picture * (size_t)c;
    float sum = 0, top = -INFINITY;

    for (int channel = lane * VECTOR; place < n_places && channel < c; channel += width * VECTOR) {
        struct floats8 x = vector_load(map_place<T>(args.x, picture, place) + channel);
        struct floats8 g = floats8_load(gate + channel);
        for (int e = 0; e < VECTOR; e++) {
            float gated = x.at[e] * g.at[e];
            sum += gated;
            top = larger(top, gated);
        }
    }
    sum = group_sum(sum, width);
    top = group_max(top, width);
    if (lane != 0 || place >= n_places)
        return;
    float *maps = args.maps + (size_t)picture * 2 * (size_t)n_places + place;
    maps[0] = sum / (float)c;
    maps[n_places] = top;
}

extern "C" cudaError_t cbam_spatial_launch(const struct cbam_args *args, cudaStream_t stream)
{
    int width = lanes_for(args->x.c / VECTOR);
    dim3 grid(blocks_for((long long)args->x.h * args->x.w * width, THREADS), (unsigned)args->x.n);

    if (grid.x == 0 || args->x.c % VECTOR != 0)
        return cudaErrorInvalidValue;
    if (args->element == ELEMENT_F16)
        LAUNCH(cbam_spatial<__half>, grid, THREADS, 0, stream, *args, width);
    else
        LAUNCH(cbam_spatial<__nv_bfloat16>, grid, THREADS, 0, stream, *args, width);
    return cudaGetLastError();
}

/* ---- apply: a block has a tile of places: first their spatial gates, then their vectors. */
#define GATE_LANES 8                 /* that share a place's window */
#define ROUND (THREADS / GATE_LANES) /* places whose gates are made at once */
#define MAX_TILE (8 * ROUND)         /* places */
#define TILE_VECTORS (4 * THREADS)   /* what a tile should have, so that the gates are not all its work */

/* Every lane of the group gets the gate of `place`. */
template <int KERNEL_SIZE> DEVICE float spatial_gate(const struct cbam_args &args, int picture, int place)
{
    int h = args.x.h, w = args.x.w, n_taps = 2 * KERNEL_SIZE * KERNEL_SIZE;
    int top = place / w - KERNEL_SIZE / 2, left = place % w - KERNEL_SIZE / 2;
    const float *maps = args.maps + (size_t)picture * 2 * (size_t)(h * w);
    float sum = 0;

    for (int tap = (int)threadIdx.x % GATE_LANES; tap < n_taps; tap += GATE_LANES) {
        int map = tap / (KERNEL_SIZE * KERNEL_SIZE);
        int y = top + tap / KERNEL_SIZE % KERNEL_SIZE, x = left + tap % KERNEL_SIZE;
        if (y >= 0 && y < h && x >= 0 && x < w)
            sum += args.conv[tap] * maps[(map * h + y) * w + x];
    }
    return sigmoid(group_sum(sum, GATE_LANES) + args.conv_bias[0]);
}

/* 8 channels of a place: act(x * gates [+ residual]). */
template <typename T>
DEVICE void apply_vector(const struct cbam_args &args, int picture, int place, int channel, float spatial)
{
    T *at = map_place<T>(args.x, picture, place) + channel;
    struct floats8 x = vector_load(at);
    struct floats8 gate = floats8_load(args.gate + (size_t)picture * (size_t)args.x.c + channel);

    for (int e = 0; e < VECTOR; e++)
        x.at[e] = x.at[e] * gate.at[e] * spatial;
    if (args.residual.data != NULL) {
        struct floats8 residual = vector_load(map_place<T>(args.residual, picture, place) + channel);
        for (int e = 0; e < VECTOR; e++)
            x.at[e] += residual.at[e];
    }
    for (int e = 0; e < VECTOR; e++)
        x.at[e] = activate(x.at[e], args.activation);
    vector_store(at, x);
}

template <typename T, int KERNEL_SIZE> KERNEL(THREADS, 5) cbam_apply(struct cbam_args args, int tile)
{
    SHARED_ARRAY(float, spatial, MAX_TILE);
    int i = (int)threadIdx.x, picture = (int)blockIdx.y, first = (int)blockIdx.x * tile;
    int n_vectors = args.x.c / VECTOR, n = args.x.h * args.x.w - first;

    n = n < tile ? n : tile;
    for (int round = 0; round < n; round += ROUND) {
        int own = round + i / GATE_LANES; /* beyond the end: somebody else's, so that whole warps shuffle */
        float gate = spatial_gate<KERNEL_SIZE>(args, picture, first + (own < n ? own : 0));
        if (own < n && i % GATE_LANES == 0)
            spatial[own] = gate;
    }
    block_barrier();
    for (int vector = i; vector < n * n_vectors; vector += THREADS) {
        int place = vector / n_vectors;
        apply_vector<T>(args, picture, first + place, vector % n_vectors * VECTOR, spatial[place]);
    }
}

template <typename T>
static void launch_apply(const struct cbam_args *args, dim3 grid, int tile, cudaStream_t stream)
{
    if (args->kernel == 7)
        LAUNCH((cbam_apply<T, 7>), grid, THREADS, 0, stream, *args, tile);
    else
        LAUNCH((cbam_apply<T, 3>), grid, THREADS, 0, stream, *args, tile);
}

extern "C" cudaError_t cbam_apply_launch(const struct cbam_args *args, cudaStream_t stream)
{
    int n_places = args->x.h * args->x.w, tile = ROUND;

    if (args->x.c < VECTOR || args->x.c % VECTOR != 0 || (args->kernel != 3 && args->kernel != 7))
        return cudaErrorInvalidValue;
    while (tile < MAX_TILE && tile < n_places && tile * (args->x.c / VECTOR) < TILE_VECTORS)
        tile *= 2;
    dim3 grid(blocks_for(n_places, tile), (unsigned)args->x.n);
    if (args->element == ELEMENT_F16)
        launch_apply<__half>(args, grid, tile, stream);
    else
        launch_apply<__nv_bfloat16>(args, grid, tile, stream);
    return cudaGetLastError();
}
