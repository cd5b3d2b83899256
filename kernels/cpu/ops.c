/* Compiled once per instruction set with OPS_TABLE, OPS_NAME and OPS_BLOCK set; see ops.h. */
#include "kernels/cpu/ops.h"

#include <math.h>
#include <string.h>

#define B OPS_BLOCK
#define TILE 32 /* places whose statistics stay in the L1 cache while the channels go by */
#define INLINE static inline __attribute__((always_inline))

typedef float lanes __attribute__((vector_size(4 * B)));
typedef uint32_t word_lanes __attribute__((vector_size(4 * B)));
typedef uint16_t half_lanes __attribute__((vector_size(2 * B)));

/* `precision` is a constant wherever these are inlined, so no branch is left. */
INLINE lanes load(const unsigned char *data, size_t at, enum precision precision)
{
    lanes value;
    if (precision == PRECISION_BF16) {
        half_lanes raw;
        memcpy(&raw, data + 2 * at, sizeof(raw));
        word_lanes bits = __builtin_convertvector(raw, word_lanes) << 16;
        memcpy(&value, &bits, sizeof(value));
    } else {
        memcpy(&value, data + 4 * at, sizeof(value));
    }
    return value;
}

INLINE void store(unsigned char *data, size_t at, enum precision precision, lanes value)
{
    if (precision == PRECISION_BF16) {
        word_lanes bits;
        memcpy(&bits, &value, sizeof(bits));
        word_lanes rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
        word_lanes is_nan = (word_lanes)(value != value); /* NOLINT(misc-redundant-expression): rounding could
                                                             carry a NaN into a number */
        rounded = (is_nan & 0x7fc0) | (~is_nan & rounded);
        half_lanes raw = __builtin_convertvector(rounded, half_lanes);
        memcpy(data + 2 * at, &raw, sizeof(raw));
    } else {
        memcpy(data + 4 * at, &value, sizeof(value));
    }
}

INLINE lanes load_floats(const float *from)
{
    lanes value;
    memcpy(&value, from, sizeof(value));
    return value;
}

INLINE lanes splat(float value)
{
    return value - (lanes){0};
}

/* a where the mask (a comparison's result) is true, else b. */
INLINE lanes select_lanes(word_lanes mask, lanes a, lanes b)
{
    return (lanes)((mask & (word_lanes)a) | (~mask & (word_lanes)b));
}

INLINE lanes larger(lanes a, lanes b)
{
    return select_lanes((word_lanes)(a > b), a, b);
}

INLINE lanes activate(lanes x, enum activation activation)
{
    if (activation != ACTIVATION_NONE)
        x = (lanes)(~(word_lanes)(x < 0) & (word_lanes)x); /* a NaN stays one */
    if (activation == ACTIVATION_RELU6)
        x = select_lanes((word_lanes)(x > 6), splat(6), x);
    return x;
}

static uint16_t bf16_round(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

static void ops_input(const uint8_t *pixels, const float (*table)[256], const struct ops_map *to)
{
    size_t n = (size_t)to->h * (size_t)to->w;

    for (size_t c = 0; c < 3; c++) {
        if (to->precision == PRECISION_BF16) {
            uint16_t rounded[256], *plane = (uint16_t *)(void *)to->data + c * n;
            for (int i = 0; i < 256; i++)
                rounded[i] = bf16_round(table[c][i]);
            for (size_t p = 0; p < n; p++)
                plane[p] = rounded[pixels[3 * p + c]];
        } else {
            float *plane = (float *)(void *)to->data + c * n;
            for (size_t p = 0; p < n; p++)
                plane[p] = table[c][pixels[3 * p + c]];
        }
    }
}

INLINE void scale_as(const struct ops_map *from, const float *scale, const float *shift,
                     enum activation activation, const struct ops_map *to, enum precision precision)
{
    size_t n = (size_t)from->h * (size_t)from->w;

    for (size_t first = 0; first < (size_t)from->c; first += B) {
        lanes s = load_floats(scale + first), t = load_floats(shift + first);
        for (size_t p = first * n; p < (first + B) * n; p += B)
            store(to->data, p, precision, activate(load(from->data, p, precision) * s + t, activation));
    }
}

static void ops_scale(const struct ops_map *from, const float *scale, const float *shift,
                      enum activation activation, const struct ops_map *to)
{
    if (from->precision == PRECISION_BF16 && activation == ACTIVATION_RELU)
        scale_as(from, scale, shift, ACTIVATION_RELU, to, PRECISION_BF16);
    else if (from->precision == PRECISION_BF16)
        scale_as(from, scale, shift, activation, to, PRECISION_BF16);
    else if (activation == ACTIVATION_RELU)
        scale_as(from, scale, shift, ACTIVATION_RELU, to, PRECISION_F32);
    else
        scale_as(from, scale, shift, activation, to, PRECISION_F32);
}

static float sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

/* Mean and maximum over the places. OUT mean, max: [c rounded up]. */
INLINE void pool_channels(const struct ops_map *map, float *mean, float *max, enum precision precision)
{
    size_t n = (size_t)map->h * (size_t)map->w;

    for (size_t first = 0; first < (size_t)map->c; first += B) {
        lanes sum = {0}, top = splat(-INFINITY);
        for (size_t p = first * n; p < (first + B) * n; p += B) {
            lanes x = load(map->data, p, precision);
            sum += x;
            top = larger(x, top);
        }
        sum /= splat((float)n);
        memcpy(mean + first, &sum, sizeof(sum));
        memcpy(max + first, &top, sizeof(top));
    }
}

/* Lanes first: a sum in one chain would wait for itself at every step. */
static float dot(const float *a, const float *b, size_t n)
{
    lanes sums = {0};
    float sum = 0;
    size_t i = 0;

    for (; i + B <= n; i += B)
        sums += load_floats(a + i) * load_floats(b + i);
    for (; i < n; i++)
        sum += a[i] * b[i];
    for (size_t k = 0; k < B; k++)
        sum += sums[k];
    return sum;
}

/* gate = sigmoid(mlp(mean) + mlp(max)), zero beyond c. hidden: [r] scratch. */
static void gate_channels(const struct ops_cbam *cbam, int c, const float *mean, const float *max,
                          float *hidden, float *gate)
{
    size_t n = (size_t)c, r = (size_t)cbam->reduced;

    for (size_t j = 0; j < r; j++) {
        float bias = cbam->fc1_bias == NULL ? 0 : cbam->fc1_bias[j];
        float of_mean = bias + dot(cbam->fc1 + j * n, mean, n),
              of_max = bias + dot(cbam->fc1 + j * n, max, n);
        hidden[j] = (of_mean > 0 ? of_mean : 0) + (of_max > 0 ? of_max : 0);
    }
    for (size_t i = 0; i < n; i++) {
        float bias = cbam->fc2_bias == NULL ? 0 : 2 * cbam->fc2_bias[i];
        gate[i] = sigmoid(bias + dot(cbam->fc2 + i * r, hidden, r));
    }
    for (size_t i = n; i % B != 0; i++)
        gate[i] = 0;
}

/* Sum and maximum over the lanes, in halves: a chain of B would wait for itself. */
INLINE float sum_lanes(lanes x)
{
    float values[B];

    memcpy(values, &x, sizeof(x));
    for (size_t width = B / 2; width > 0; width /= 2)
        for (size_t k = 0; k < width; k++)
            values[k] += values[k + width];
    return values[0];
}

INLINE float largest_lane(lanes x)
{
    float values[B];

    memcpy(values, &x, sizeof(x));
    for (size_t width = B / 2; width > 0; width /= 2)
        for (size_t k = 0; k < width; k++)
            values[k] = values[k] > values[k + width] ? values[k] : values[k + width];
    return values[0];
}

/* Mean and maximum over the gated channels. OUT mean, max: one row of the map, places [0, n). */
INLINE void pool_places(const struct ops_map *map, const float *gate, size_t start, size_t n, float *mean,
                        float *max, enum precision precision)
{
    size_t n_places = (size_t)map->h * (size_t)map->w;
    lanes sum[TILE], top[TILE];

    for (size_t i = 0; i < n; i++) {
        sum[i] = splat(0);
        top[i] = splat(-INFINITY);
    }
    for (size_t first = 0; first < (size_t)map->c; first += B) {
        lanes g = load_floats(gate + first), outside = {0};
        for (size_t k = (size_t)map->c - first; k < B; k++) /* the last block's lanes beyond c never win */
            outside[k] = -INFINITY;
        for (size_t i = 0; i < n; i++) {
            lanes x = load(map->data, first * n_places + (start + i) * B, precision) * g;
            sum[i] += x;
            top[i] = larger(x + outside, top[i]);
        }
    }
    for (size_t i = 0; i < n; i++) {
        mean[i] = sum_lanes(sum[i]) / (float)map->c;
        max[i] = largest_lane(top[i]);
    }
}

/* gate = sigmoid(conv(mean, max) + bias). IN padded: [2][h + kernel - 1][pitch]; OUT gate: [h][w]. */
static void gate_places(const struct ops_cbam *cbam, int h, int w, const float *padded, size_t pitch,
                        float *gate)
{
    int kernel = cbam->kernel;
    size_t plane = (size_t)(h + kernel - 1) * pitch;

    for (int y = 0; y < h; y++) {
        float *row = gate + (size_t)y * (size_t)w;
        for (int x = 0; x < w; x++)
            row[x] = cbam->conv_bias;
        for (int k = 0; k < 2 * kernel * kernel; k++) {
            int dy = k / kernel % kernel, dx = k % kernel;
            const float *from =
                padded + (size_t)(k / (kernel * kernel)) * plane + (size_t)(y + dy) * pitch + dx;
            float weight = cbam->conv[k];
            for (int x = 0; x < w; x++)
                row[x] += weight * from[x];
        }
        for (int x = 0; x < w; x++)
            row[x] = sigmoid(row[x]);
    }
}

INLINE void apply_gates(const struct ops_map *map, const float *channel_gate, const float *place_gate,
                        const unsigned char *residual, enum activation activation, enum precision precision)
{
    size_t n = (size_t)map->h * (size_t)map->w;

    for (size_t first = 0; first < (size_t)map->c; first += B) {
        lanes g = load_floats(channel_gate + first);
        for (size_t p = 0; p < n; p++) {
            size_t at = first * n + p * B;
            lanes x = load(map->data, at, precision) * g * splat(place_gate[p]);
            if (residual != NULL)
                x += load(residual, at, precision);
            store(map->data, at, precision, activate(x, activation));
        }
    }
}

INLINE void cbam_as(const struct ops_map *map, const struct ops_cbam *cbam, const unsigned char *residual,
                    float *scratch, enum precision precision)
{
    size_t c = ((size_t)map->c + B - 1) / B * B;
    int pad = cbam->kernel / 2;
    size_t pitch = (size_t)(map->w + 2 * pad), plane = (size_t)(map->h + 2 * pad) * pitch;
    float *channel_mean = scratch, *channel_max = channel_mean + c, *channel_gate = channel_max + c;
    float *padded = channel_gate + c, *hidden = padded + 2 * plane, *place_gate = hidden + 2 * cbam->reduced;

    pool_channels(map, channel_mean, channel_max, precision);
    gate_channels(cbam, map->c, channel_mean, channel_max, hidden, channel_gate);
    memset(padded, 0, 2 * plane * sizeof(*padded));
    for (int y = 0; y < map->h; y++) {
        for (int x = 0; x < map->w; x += TILE) {
            float *mean = padded + (size_t)(y + pad) * pitch + (size_t)(x + pad);
            pool_places(map, channel_gate, (size_t)(y * map->w + x),
                        (size_t)(map->w - x < TILE ? map->w - x : TILE), mean, mean + plane, precision);
        }
    }
    gate_places(cbam, map->h, map->w, padded, pitch, place_gate);
    apply_gates(map, channel_gate, place_gate, residual, cbam->activation, precision);
}

static void ops_cbam(const struct ops_map *map, const struct ops_cbam *cbam, const unsigned char *residual,
                     float *scratch)
{
    if (map->precision == PRECISION_BF16)
        cbam_as(map, cbam, residual, scratch, PRECISION_BF16);
    else
        cbam_as(map, cbam, residual, scratch, PRECISION_F32);
}

INLINE void features_as(const struct ops_map *map, float *features, float *means, enum precision precision)
{
    size_t n = (size_t)map->h * (size_t)map->w;

    for (size_t first = 0; first < (size_t)map->c; first += B) {
        lanes sum = {0};
        for (size_t p = first * n; p < (first + B) * n; p += B) {
            lanes x = load(map->data, p, precision);
            memcpy(features + p, &x, sizeof(x));
            sum += x;
        }
        sum /= splat((float)n);
        memcpy(means + first, &sum, sizeof(sum));
    }
}

static void ops_features(const struct ops_map *map, float *features, float *means)
{
    if (map->precision == PRECISION_BF16)
        features_as(map, features, means, PRECISION_BF16);
    else
        features_as(map, features, means, PRECISION_F32);
}

#define ROWS 4
#define COLUMNS 4 /* in lanes: 16 accumulators stay in registers */

/* `rows` rows by `columns` lanes of the product at row k, place p. */
INLINE void multiply_tile(const float *weight, const float *x, size_t c, size_t n, float *out, size_t rows,
                          size_t columns)
{
    lanes sum[ROWS][COLUMNS] = {0};

    for (size_t i = 0; i < c; i++) {
        for (size_t r = 0; r < rows; r++) {
            lanes w = splat(weight[r * c + i]);
            for (size_t j = 0; j < columns; j++)
                sum[r][j] += w * load_floats(x + i * n + j * B);
        }
    }
    for (size_t r = 0; r < rows; r++)
        memcpy(out + r * n, sum[r], columns * sizeof(lanes));
}

INLINE void multiply_rows(const float *weight, const float *x, size_t c, size_t n, float *out, size_t rows)
{
    size_t p = 0;

    for (; p + COLUMNS * B <= n; p += COLUMNS * B)
        multiply_tile(weight, x + p, c, n, out + p, rows, COLUMNS);
    for (; p + B <= n; p += B)
        multiply_tile(weight, x + p, c, n, out + p, rows, 1);
    for (; p < n; p++) {
        for (size_t r = 0; r < rows; r++) {
            float sum = 0;
            for (size_t i = 0; i < c; i++)
                sum += weight[r * c + i] * x[i * n + p];
            out[r * n + p] = sum;
        }
    }
}

static void ops_multiply(const float *weight, const float *x, size_t k, size_t c, size_t n, float *out)
{
    size_t row = 0;

    for (; row + ROWS <= k; row += ROWS)
        multiply_rows(weight + row * c, x, c, n, out + row * n, ROWS);
    for (; row < k; row++)
        multiply_rows(weight + row * c, x, c, n, out + row * n, 1);
}

const struct ops OPS_TABLE = {
    .name = OPS_NAME,
    .block = B,
    .input = ops_input,
    .scale = ops_scale,
    .cbam = ops_cbam,
    .features = ops_features,
    .multiply = ops_multiply,
};
