/*
 * The CPU engine's own kernels, in every instruction set this CPU has, beside plain loops written here; and
 * where the same bits are promised, the instruction sets beside one another.
 */
#include "tests/unit/kernels/support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int list_isas(const struct ops **out)
{
    int n = 0;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
    __builtin_cpu_init();
    out[n++] = &ops_sse2;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        out[n++] = &ops_avx2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        out[n++] = &ops_avx512;
#pragma GCC diagnostic pop
    return n;
}

static void test_list(void **state)
{
    const struct ops *isas[3];
    int n = list_isas(isas);
    (void)state;

    for (int i = 0; i < n; i++)
        printf("           %s, blocks of %d\n", isas[i]->name, isas[i]->block);
    assert_ptr_equal(ops_choose(), isas[n - 1]);
}

static enum precision precision_at(int i)
{
    return i == 0 ? PRECISION_F32 : PRECISION_BF16;
}

/* bf16 keeps 8 bits: half a unit in the last place. */
static double rounding(enum precision precision)
{
    return precision == PRECISION_F32 ? 2e-6 : 0.0040;
}

static void assert_near(double value, double wanted, double tolerance)
{
    if (!(fabs(value - wanted) <= tolerance * fmax(1, fabs(wanted))))
        fail_msg("%g, expected %g", value, wanted);
}

static void check_input(const struct ops *ops, enum precision precision)
{
    enum { SIZE = 13 };
    uint8_t pixels[SIZE * SIZE * 3];
    float table[3][256];
    struct ops_map to = support_map_new(precision, 3, SIZE, SIZE, ops->block);

    support_fill_pixels(3, pixels, sizeof(pixels));
    support_fill(4, -3, 3, table[0], 3 * 256);
    ops->input(pixels, (const float(*)[256])table, &to);
    for (int c = 0; c < 3; c++)
        for (int p = 0; p < SIZE * SIZE; p++)
            assert_near(support_map_get(&to, 0, c, p), table[c][pixels[3 * p + c]], rounding(precision));
    support_map_free(&to);
}

static struct ops_map random_map(uint64_t seed, enum precision precision, int c, int h, int w, int block)
{
    struct ops_map map = support_map_new(precision, c, h, w, block);
    for (int k = 0; k < c; k++)
        for (int p = 0; p < h * w; p++)
            support_map_set(&map, block, k, p, support_random(&seed, -4, 8));
    return map;
}

static double activate(double x, enum activation activation)
{
    if (activation == ACTIVATION_NONE)
        return x;
    return activation == ACTIVATION_RELU6 && x > 6 ? 6 : x < 0 ? 0 : x;
}

static void assert_padding_is_zero(const struct ops_map *map, int block)
{
    for (int c = map->c; c % block != 0; c++)
        for (int p = 0; p < map->h * map->w; p++)
            assert_true(support_map_get(map, block, c, p) == 0);
}

static void check_scale(const struct ops *ops, enum precision precision, enum activation activation)
{
    enum { C = 40, PADDED = 48, H = 3, W = 5 };
    struct ops_map from = random_map(7, precision, C, H, W, ops->block);
    struct ops_map to = random_map(8, precision, C, H, W, ops->block);
    float scale[PADDED] = {0}, shift[PADDED] = {0};

    support_fill(9, -2, 2, scale, C);
    support_fill(10, -2, 2, shift, C);
    ops->scale(&from, scale, shift, activation, &to);
    for (int c = 0; c < C; c++)
        for (int p = 0; p < H * W; p++) {
            double x = (double)support_map_get(&from, ops->block, c, p) * scale[c] + shift[c];
            assert_near(support_map_get(&to, ops->block, c, p), activate(x, activation), rounding(precision));
        }
    assert_padding_is_zero(&to, ops->block);
    support_map_free(&from);
    support_map_free(&to);
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* CBAM as the paper has it, in double. IN x, OUT y: [c][n]. */
static void plain_cbam(const struct ops_cbam *cbam, int c, int h, int w, const double *x, double *y)
{
    int n = h * w, pad = cbam->kernel / 2;
    double *pooled = calloc((size_t)(2 * n), sizeof(double));

    assert_non_null(pooled);
    for (int i = 0; i < c; i++) {
        double total = cbam->fc2_bias == NULL ? 0 : 2.0 * cbam->fc2_bias[i];
        for (int j = 0; j < cbam->reduced; j++) {
            double of_mean = cbam->fc1_bias == NULL ? 0 : cbam->fc1_bias[j], of_max = of_mean;
            for (int k = 0; k < c; k++) {
                double sum = 0, max = -INFINITY;
                for (int p = 0; p < n; p++) {
                    sum += x[k * n + p];
                    max = fmax(max, x[k * n + p]);
                }
                of_mean += cbam->fc1[j * c + k] * sum / n;
                of_max += cbam->fc1[j * c + k] * max;
            }
            total += cbam->fc2[i * cbam->reduced + j] * (fmax(of_mean, 0) + fmax(of_max, 0));
        }
        for (int p = 0; p < n; p++)
            y[i * n + p] = x[i * n + p] * sigmoid(total);
    }
    for (int p = 0; p < n; p++) {
        double max = -INFINITY;
        for (int i = 0; i < c; i++) {
            pooled[p] += y[i * n + p] / c;
            max = fmax(max, y[i * n + p]);
        }
        pooled[n + p] = max;
    }
    for (int p = 0; p < n; p++) {
        double sum = cbam->conv_bias;
        for (int k = 0; k < 2 * cbam->kernel * cbam->kernel; k++) {
            int map = k / (cbam->kernel * cbam->kernel);
            int at_y = p / w + k / cbam->kernel % cbam->kernel - pad, at_x = p % w + k % cbam->kernel - pad;
            if (at_y >= 0 && at_y < h && at_x >= 0 && at_x < w)
                sum += cbam->conv[k] * pooled[map * n + at_y * w + at_x];
        }
        for (int i = 0; i < c; i++)
            y[i * n + p] *= sigmoid(sum);
    }
    free(pooled);
}

struct cbam_case {
    int c, h, w, reduced, kernel;
    bool bias, residual, negative; /* negative: a padded lane's 0 would win the maximum */
    enum activation activation;
};

static void check_cbam(const struct ops *ops, enum precision precision, const struct cbam_case *t)
{
    int n = t->h * t->w, block = ops->block;
    float fc1[8 * 64], fc2[64 * 8], fc1_bias[8], fc2_bias[64], conv[2 * 49];
    struct ops_cbam cbam = {fc1,          t->bias ? fc1_bias : NULL,
                            fc2,          t->bias ? fc2_bias : NULL,
                            conv,         0.3f,
                            t->reduced,   t->kernel,
                            t->activation};
    struct ops_map map = random_map(11, precision, t->c, t->h, t->w, block);
    struct ops_map residual = random_map(12, precision, t->c, t->h, t->w, block);
    double *x = calloc((size_t)(t->c * n), sizeof(double)), *y = calloc((size_t)(t->c * n), sizeof(double));
    float *scratch = calloc(ops_cbam_scratch((struct shape){t->c, t->h, t->w}, &cbam), sizeof(float));

    assert_true(x != NULL && y != NULL && scratch != NULL);
    support_fill(13, -0.2f, 0.2f, fc1, 8 * 64);
    support_fill(14, -0.5f, 0.5f, fc2, 64 * 8);
    support_fill(15, -0.5f, 0.5f, fc1_bias, 8);
    support_fill(16, -0.5f, 0.5f, fc2_bias, 64);
    support_fill(17, -0.2f, 0.2f, conv, 98);
    for (int c = 0; c < t->c; c++)
        for (int p = 0; p < n; p++) {
            if (t->negative)
                support_map_set(&map, block, c, p, -1 - fabsf(support_map_get(&map, block, c, p)));
            x[c * n + p] = support_map_get(&map, block, c, p);
        }
    plain_cbam(&cbam, t->c, t->h, t->w, x, y);
    ops->cbam(&map, &cbam, t->residual ? residual.data : NULL, scratch);
    for (int c = 0; c < t->c; c++)
        for (int p = 0; p < n; p++) {
            double wanted =
                y[c * n + p] + (t->residual ? (double)support_map_get(&residual, block, c, p) : 0);
            assert_near(support_map_get(&map, block, c, p), activate(wanted, t->activation),
                        2 * rounding(precision));
        }
    assert_padding_is_zero(&map, block);
    support_map_free(&map);
    support_map_free(&residual);
    free(scratch);
    free(x);
    free(y);
}

static void check_features(const struct ops *ops, enum precision precision)
{
    enum { C = 24, PADDED = 32, H = 7, W = 7 };
    struct ops_map map = random_map(20, precision, C, H, W, ops->block);
    float features[PADDED * H * W], means[PADDED];

    ops->features(&map, features, means);
    for (int c = 0; c < C; c++) {
        double sum = 0;
        for (int p = 0; p < H * W; p++) {
            float value = support_map_get(&map, ops->block, c, p);
            assert_true(features[(c / ops->block * H * W + p) * ops->block + c % ops->block] == value);
            sum += value;
        }
        assert_near(means[c], sum / (H * W), 2e-6);
    }
    support_map_free(&map);
}

static void test_input(void **state)
{
    const struct ops *isas[3];
    (void)state;
    for (int i = list_isas(isas) - 1; i >= 0; i--)
        for (int k = 0; k < 2; k++)
            check_input(isas[i], precision_at(k));
}

static void test_scale(void **state)
{
    const struct ops *isas[3];
    (void)state;
    for (int i = list_isas(isas) - 1; i >= 0; i--)
        for (int k = 0; k < 6; k++)
            check_scale(isas[i], precision_at(k % 2), (enum activation)(k / 2));
}

static void test_cbam(void **state)
{
    static const struct cbam_case cases[] = {
        {24, 7, 7, 1, 7, false, false, false, ACTIVATION_NONE},
        {24, 7, 7, 1, 7, true, true, true, ACTIVATION_NONE},
        {48, 5, 9, 3, 7, false, true, false, ACTIVATION_RELU},
        {17, 1, 1, 1, 7, true, false, true, ACTIVATION_NONE},
        {64, 33, 65, 4, 3, true, true, false, ACTIVATION_RELU6}, /* wider than a tile of 32 places */
        {3, 8, 40, 1, 7, false, false, true, ACTIVATION_NONE},
    };
    const struct ops *isas[3];
    (void)state;
    for (int i = list_isas(isas) - 1; i >= 0; i--)
        for (size_t k = 0; k < 2 * sizeof(cases) / sizeof(cases[0]); k++)
            check_cbam(isas[i], precision_at((int)k % 2), &cases[k / 2]);
}

static void test_features(void **state)
{
    const struct ops *isas[3];
    (void)state;
    for (int i = list_isas(isas) - 1; i >= 0; i--)
        for (int k = 0; k < 2; k++)
            check_features(isas[i], precision_at(k));
}

/* A NaN passes through every op, or a broken picture would get a score. */
static void test_nan_passes(void **state)
{
    const struct ops *isas[3];
    float scale[32], shift[32], features[32 * 4], means[32];
    (void)state;

    support_fill(1, 1, 2, scale, 32);
    support_fill(2, 1, 2, shift, 32);
    for (int i = list_isas(isas) - 1; i >= 0; i--) {
        for (int k = 0; k < 6; k++) {
            int block = isas[i]->block;
            struct ops_map map = random_map(3, precision_at(k % 2), 32, 2, 2, block);
            support_map_set(&map, block, 5, 2, NAN);
            isas[i]->scale(&map, scale, shift, (enum activation)(k / 2), &map);
            assert_true(isnan(support_map_get(&map, block, 5, 2)));
            assert_true(isfinite(support_map_get(&map, block, 5, 1)));
            isas[i]->features(&map, features, means);
            assert_true(isnan(means[5]));
            support_map_free(&map);
        }
    }
}

static void check_multiply(size_t k, size_t c, size_t n)
{
    const struct ops *isas[3];
    int n_isas = list_isas(isas);
    float *weight = calloc(k * c, sizeof(float)), *x = calloc(c * n, sizeof(float));
    float *out = calloc(k * n, sizeof(float)), *wanted = calloc(k * n, sizeof(float));

    assert_true(weight != NULL && x != NULL && out != NULL && wanted != NULL);
    support_fill(k, -1, 1, weight, k * c);
    support_fill(n, -1, 1, x, c * n);
    for (size_t row = 0; row < k; row++)
        for (size_t p = 0; p < n; p++) {
            float sum = 0;
            for (size_t i = 0; i < c; i++)
                sum += weight[row * c + i] * x[i * n + p];
            wanted[row * n + p] = sum;
        }
    for (int i = 0; i < n_isas; i++) {
        memset(out, 0xff, k * n * sizeof(float));
        isas[i]->multiply(weight, x, k, c, n, out);
        assert_memory_equal(out, wanted, k * n * sizeof(float));
    }
    free(weight);
    free(x);
    free(out);
    free(wanted);
}

static void test_multiply_is_the_same_everywhere(void **state)
{
    (void)state;
    check_multiply(1, 1, 1);
    check_multiply(4, 7, 64);
    check_multiply(7, 33, 49);
    check_multiply(13, 27, 197);
    check_multiply(5, 130, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_input),
        cmocka_unit_test(test_scale),
        cmocka_unit_test(test_cbam),
        cmocka_unit_test(test_features),
        cmocka_unit_test(test_nan_passes),
        cmocka_unit_test(test_multiply_is_the_same_everywhere),
    };
    return cmocka_run_group_tests_name("own kernels of the CPU engine", tests, NULL, NULL);
}
