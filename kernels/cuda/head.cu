/* The last feature map to logits, score, decision and Grad-CAM map: a block has a picture. See launch.h. */
#include "kernels/cuda/vector.cuh"

#define THREADS 256
#define N_WARPS (THREADS / WARP)
#define VECTORS 2                       /* of a lane, whose channels' parameters stay in registers */
#define PANEL (VECTORS * WARP * VECTOR) /* channels that are read at once */

enum answer { ANSWER_REJECT, ANSWER_PASS, ANSWER_AGAIN, ANSWER_NUMERIC_ERROR };

/* What the classes' shares in the watched quantity are made of; see score.h. */
struct verdict {
    float score, margin;
    double own_largest, own; /* softmax: largest watched logit; sum of the watched exponentials below it */
    int best;                /* sigmoid: the watched class of the largest logit */
    int answer;
};

/* Where the results of the picture in hand go. */
struct destination {
    struct row_result *row;
    float *logits, *map;
};

DEVICE struct destination find_destination(const struct head_args &args, int row)
{
    unsigned char *results = args.slot->results;
    size_t n_places = (size_t)(args.in.h * args.in.w), at = (size_t)row;
    return {reinterpret_cast<struct row_result *>(results + args.results.rows) + at,
            reinterpret_cast<float *>(results + args.results.logits) + at * (size_t)args.n_classes,
            reinterpret_cast<float *>(results + args.results.maps) + at * n_places};
}

/* ---- The first read: means of the channels and, for a single watched class, the raw Grad-CAM map. */

struct channel_params {
    struct floats8 scale, shift, direction;
    bool inside; /* of the map's channels */
};

DEVICE struct channel_params load_params(const struct head_args &args, int channel)
{
    struct channel_params p = {floats8_fill(1), floats8_fill(0), floats8_fill(0), channel < args.in.c};

    if (p.inside && args.prologue.scale != NULL) {
        p.scale = floats8_load(args.prologue.scale + channel);
        p.shift = floats8_load(args.prologue.shift + channel);
    }
    if (p.inside && args.n_watched == 1) {
        p.direction = floats8_load(args.weight + (size_t)args.only_class * (size_t)args.in.c + channel);
        for (int e = 0; e < VECTOR; e++)
            p.direction.at[e] /= (float)(args.in.h * args.in.w);
    }
    return p;
}

/* A warp's places of the channels [first, first + PANEL). OUT sums: of each channel. raw: added to. */
template <typename T>
DEVICE void read_panel(const struct head_args &args, int picture, int first, float *sums, float *raw)
{
    int lane = (int)threadIdx.x % WARP, n_places = args.in.h * args.in.w;
    bool wants_raw = args.n_watched == 1 && args.maps != KERNEL_MAPS_NONE;
    struct channel_params params[VECTORS];
    struct floats8 sum[VECTORS];

    for (int v = 0; v < VECTORS; v++) {
        params[v] = load_params(args, first + (v * WARP + lane) * VECTOR);
        sum[v] = floats8_fill(0);
    }
    for (int place = (int)threadIdx.x / WARP; place < n_places; place += N_WARPS) {
        const T *from = map_place<T>(args.in, picture, place) + first + lane * VECTOR;
        float along = 0;
        uint4 raw_x[VECTORS];
        for (int v = 0; v < VECTORS; v++)
            raw_x[v] = params[v].inside ? *reinterpret_cast<const uint4 *>(from + v * WARP * VECTOR)
                                        : make_uint4(0, 0, 0, 0);
        for (int v = 0; v < VECTORS; v++) {
            struct floats8 x = vector_unpack<T>(raw_x[v]);
            for (int e = 0; e < VECTOR; e++) {
                float value = activate(x.at[e] * params[v].scale.at[e] + params[v].shift.at[e],
                                       args.prologue.activation);
                sum[v].at[e] += value;
                along += params[v].direction.at[e] * value;
            }
        }
        if (!wants_raw)
            continue;
        along = warp_sum(along);
        if (lane == 0) /* the same warp in every panel */
            raw[place] = first == 0 ? along : raw[place] + along;
    }
    for (int v = 0; v < VECTORS; v++)
        floats8_store(sums + (v * WARP + lane) * VECTOR, sum[v]);
}

/* OUT mean: [c]; raw: [places]. sums: [N_WARPS * PANEL] scratch. */
template <typename T>
DEVICE void read_features(const struct head_args &args, int picture, float *sums, float *mean, float *raw)
{
    int n_places = args.in.h * args.in.w, warp = (int)threadIdx.x / WARP;

    for (int first = 0; first < args.in.c; first += PANEL) {
        read_panel<T>(args, picture, first, sums + warp * PANEL, raw);
        block_barrier();
        for (int i = (int)threadIdx.x; i < PANEL && first + i < args.in.c; i += THREADS) {
            float sum = 0;
            for (int w = 0; w < N_WARPS; w++)
                sum += sums[w * PANEL + i];
            mean[first + i] = sum / (float)n_places;
        }
        block_barrier();
    }
}

/* A warp for each class. */
DEVICE void compute_logits(const struct head_args &args, const float *mean, float *logits)
{
    int lane = (int)threadIdx.x % WARP;

    for (int k = (int)threadIdx.x / WARP; k < args.n_classes; k += N_WARPS) {
        const float *row = args.weight + (size_t)k * (size_t)args.in.c;
        float sum = 0;
        for (int i = lane * VECTOR; i < args.in.c; i += WARP * VECTOR) {
            struct floats8 w = floats8_load(row + i), m = floats8_load(mean + i);
            for (int e = 0; e < VECTOR; e++)
                sum += w.at[e] * m.at[e];
        }
        sum = warp_sum(sum);
        if (lane == 0)
            logits[k] = sum + args.bias[k];
    }
}

/* ---- The score, by one warp: score.c's formulas. */

DEVICE double warp_max(double value)
{
    for (int mask = 1; mask < WARP; mask *= 2) {
        double other = warp_shuffle_xor(value, mask);
        value = other > value ? other : value;
    }
    return value;
}

DEVICE void score_softmax(const struct head_args &args, const float *logits, struct verdict *out)
{
    int lane = (int)threadIdx.x % WARP;
    double largest = -INFINITY, own_largest = -INFINITY, all = 0, inside = 0, own = 0;

    for (int k = lane; k < args.n_classes; k += WARP) {
        double logit = logits[k];
        largest = logit > largest ? logit : largest;
        own_largest = args.watched[k] != 0 && logit > own_largest ? logit : own_largest;
    }
    largest = warp_max(largest);
    own_largest = warp_max(own_largest);
    for (int k = lane; k < args.n_classes; k += WARP) {
        double e = exp((double)logits[k] - largest);
        all += e;
        inside += args.watched[k] != 0 ? e : 0;
        own += args.watched[k] != 0 ? exp((double)logits[k] - own_largest) : 0;
    }
    all = warp_sum(all);
    inside = warp_sum(inside);
    out->score = (float)(inside / all);
    out->margin = (float)(log(inside) - log(all - inside));
    out->own_largest = own_largest;
    out->own = warp_sum(own);
}

DEVICE void score_sigmoid(const struct head_args &args, const float *logits, struct verdict *out)
{
    float best = -INFINITY;
    int at = INT_MAX; /* of equals, the first */

    for (int k = (int)threadIdx.x % WARP; k < args.n_classes; k += WARP) {
        if (args.watched[k] != 0 && (at == INT_MAX || logits[k] > best)) {
            best = logits[k];
            at = k;
        }
    }
    for (int mask = 1; mask < WARP; mask *= 2) {
        float other = warp_shuffle_xor(best, mask);
        int other_at = warp_shuffle_xor(at, mask);
        if (other > best || (other == best && other_at < at)) {
            best = other;
            at = other_at;
        }
    }
    out->score = (float)(1 / (1 + exp(-(double)best)));
    out->margin = best;
    out->best = at;
}

/* Softmax looks at every logit, sigmoid at the watched ones. */
DEVICE bool logits_are_finite(const struct head_args &args, const float *logits)
{
    int n_bad = 0;

    for (int k = (int)threadIdx.x % WARP; k < args.n_classes; k += WARP)
        if (args.kind == KERNEL_SOFTMAX || args.watched[k] != 0)
            n_bad += is_finite(logits[k]) ? 0 : 1;
    return warp_sum(n_bad) == 0;
}

/* cascade_answer of cascade.h. */
DEVICE int answer_of(const struct head_args &args, float score, float margin)
{
    if (!is_finite(score))
        return ANSWER_NUMERIC_ERROR;
    if (!args.is_last_variant) {
        double distance = fabs((double)margin - args.threshold_margin);
        if (!(distance >= args.band)) /* also where the margin is not a number */
            return ANSWER_AGAIN;
    }
    return score >= args.threshold ? ANSWER_PASS : ANSWER_REJECT;
}

DEVICE struct verdict judge(const struct head_args &args, const float *logits)
{
    struct verdict v = {NAN, NAN, 0, 1, 0, 0};

    if (!logits_are_finite(args, logits))
        v.best = -1;
    else if (args.kind == KERNEL_SOFTMAX)
        score_softmax(args, logits, &v);
    else
        score_sigmoid(args, logits, &v);
    v.answer = answer_of(args, v.score, v.margin);
    return v;
}

/* Whether the picture goes on, by one thread. */
DEVICE int state_after(const struct head_args &args, int row, int answer)
{
    if (answer == ANSWER_AGAIN)
        return ROW_AGAIN;
    return answer == ANSWER_PASS || args.slot->control->rows[row].exhaustive != 0 ? ROW_WANTED : ROW_OFF;
}

/* ---- The map of a class set: the direction from the logits' shares, then a second read. */

DEVICE float share_of(const struct head_args &args, const struct verdict &v, int k, float logit)
{
    if (args.watched[k] == 0 || !is_finite(v.score))
        return 0;
    if (args.kind == KERNEL_SIGMOID)
        return k == v.best ? 1 : 0;
    return (float)(exp((double)logit - v.own_largest) / v.own);
}

/* gradcam_direction of gradcam.h. shares: [THREADS] scratch. OUT direction: [c]. */
DEVICE void make_direction(const struct head_args &args, const struct verdict &v, const float *logits,
                           float *shares, float *direction)
{
    int i = (int)threadIdx.x, c = args.in.c;

    for (int channel = i; channel < c; channel += THREADS)
        direction[channel] = 0;
    for (int first = 0; first < args.n_classes; first += THREADS) {
        int n = args.n_classes - first < THREADS ? args.n_classes - first : THREADS;
        if (i < n)
            shares[i] = share_of(args, v, first + i, logits[first + i]);
        block_barrier();
        for (int k = 0; k < n; k++)
            for (int channel = i; shares[k] != 0 && channel < c; channel += THREADS)
                direction[channel] += shares[k] * args.weight[(size_t)(first + k) * (size_t)c + channel];
        block_barrier();
    }
    for (int channel = i; channel < c; channel += THREADS)
        direction[channel] /= (float)(args.in.h * args.in.w);
    block_barrier();
}

template <typename T>
DEVICE void project(const struct head_args &args, int picture, const float *direction, float *raw)
{
    int lane = (int)threadIdx.x % WARP;

    for (int place = (int)threadIdx.x / WARP; place < args.in.h * args.in.w; place += N_WARPS) {
        const T *from = map_place<T>(args.in, picture, place);
        float along = 0;
        for (int channel = lane * VECTOR; channel < args.in.c; channel += WARP * VECTOR) {
            struct floats8 x = vector_load(from + channel), d = floats8_load(direction + channel);
            struct floats8 scale = floats8_fill(1), shift = floats8_fill(0);
            if (args.prologue.scale != NULL) {
                scale = floats8_load(args.prologue.scale + channel);
                shift = floats8_load(args.prologue.shift + channel);
            }
            for (int e = 0; e < VECTOR; e++)
                along += d.at[e] * activate(x.at[e] * scale.at[e] + shift.at[e], args.prologue.activation);
        }
        along = warp_sum(along);
        if (lane == 0)
            raw[place] = along;
    }
    block_barrier();
}

/* OUT is_bad: set where a value is not finite. Without a score nothing is watched: the direction is zero. */
DEVICE void write_map(const struct head_args &args, const struct verdict &v, const float *raw, float *map,
                      int *is_bad)
{
    for (int place = (int)threadIdx.x; place < args.in.h * args.in.w; place += THREADS) {
        float value = is_finite(v.score) ? raw[place] : raw[place] * 0;
        map[place] = value < 0 ? 0 : value;
        if (!is_finite(value))
            *is_bad = 1;
    }
}

DEVICE bool wants_map(const struct head_args &args, int answer)
{
    return (args.maps == KERNEL_MAPS_ALL && answer != ANSWER_AGAIN) ||
           (args.maps == KERNEL_MAPS_PASSED && answer == ANSWER_PASS);
}

template <typename T> KERNEL(THREADS, 2) head(struct head_args args)
{
    DYNAMIC_SHARED(float, mean); /* [c], later the direction; then raw [places] */
    SHARED_ARRAY(float, sums, N_WARPS *PANEL);
    SHARED_ARRAY(struct verdict, verdict, 1);
    SHARED_ARRAY(int, is_bad, 1);
    int picture = (int)blockIdx.x, at = args.list->first + picture, i = (int)threadIdx.x;
    float *raw = mean + args.in.c;

    if (at >= args.list->count)
        return;
    int row = args.list->row[at];
    struct destination to = find_destination(args, row);
    read_features<T>(args, picture, sums, mean, raw);
    compute_logits(args, mean, to.logits);
    block_barrier();
    if (i < WARP) {
        struct verdict v = judge(args, to.logits);
        if (i == 0) {
            verdict[0] = v;
            is_bad[0] = v.answer == ANSWER_NUMERIC_ERROR;
        }
    }
    block_barrier();
    bool has_map = wants_map(args, verdict[0].answer);
    if (has_map && args.n_watched != 1) {
        make_direction(args, verdict[0], to.logits, sums, mean);
        project<T>(args, picture, mean, raw);
    }
    if (has_map)
        write_map(args, verdict[0], raw, to.map, is_bad);
    block_barrier();
    if (i == 0) {
        uint32_t flags = RESULT_RAN | (has_map ? RESULT_MAP : 0) | (is_bad[0] ? RESULT_NUMERIC_ERROR : 0);
        *to.row = {verdict[0].score, flags};
        args.state[row] = state_after(args, row, verdict[0].answer);
    }
}

extern "C" cudaError_t head_launch(const struct head_args *args, cudaStream_t stream)
{
    int n_places = args->in.h * args->in.w;
    size_t shared_bytes = (size_t)(args->in.c + n_places) * sizeof(float);
    unsigned blocks = (unsigned)args->in.n;

    if (args->in.c % VECTOR != 0 || args->in.c > HEAD_MAX_CHANNELS || n_places > HEAD_MAX_PLACES)
        return cudaErrorInvalidValue;
    if (args->element == ELEMENT_F16)
        LAUNCH(head<__half>, blocks, THREADS, shared_bytes, stream, *args);
    else
        LAUNCH(head<__nv_bfloat16>, blocks, THREADS, shared_bytes, stream, *args);
    return cudaGetLastError();
}
