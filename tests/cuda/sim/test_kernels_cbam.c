/* CBAM's four kernels against plain loops, each by itself and all together. */
#include "tests/cuda/sim/kernel_support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct example {
    enum element element;
    int n, h, w, c, reduced, kernel;
    bool has_bias, has_residual;
    enum kernel_activation activation;
};

/* A module on both sides. */
struct module {
    struct slice x, residual;
    float *fc1, *fc1_bias, *fc2, *fc2_bias, *conv, conv_bias;
    struct cbam_args args;
};

static struct module module_make(const struct example *e)
{
    size_t c = (size_t)e->c, r = (size_t)e->reduced, n = (size_t)e->n, places = (size_t)(e->h * e->w);
    size_t taps = 2 * (size_t)e->kernel * (size_t)e->kernel;
    struct slice_shape shape = {e->n, e->h, e->w, e->c, e->c + 24, 8},
                       dense = {e->n, e->h, e->w, e->c, e->c, 0};
    float spread = 2 / sqrtf((float)e->c);
    struct module m = {.x = slice_random(e->element, shape, 1, -2, 3),
                       .fc1 = random_floats(2, -spread, spread, r * c),
                       .fc1_bias = random_floats(3, -0.2f, 0.2f, r),
                       .fc2 = random_floats(4, -1, 1, c * r),
                       .fc2_bias = random_floats(5, -0.5f, 0.5f, c),
                       .conv = random_floats(6, -0.3f, 0.3f, taps),
                       .conv_bias = 0.1f};

    if (e->has_residual)
        m.residual = slice_random(e->element, dense, 7, -2, 2);
    m.args = (struct cbam_args){.x = m.x.map,
                                .residual = m.residual.map,
                                .fc1 = device_floats(m.fc1, r * c),
                                .fc1_bias = e->has_bias ? device_floats(m.fc1_bias, r) : NULL,
                                .fc2 = device_floats(m.fc2, c * r),
                                .fc2_bias = e->has_bias ? device_floats(m.fc2_bias, c) : NULL,
                                .conv = device_floats(m.conv, taps),
                                .conv_bias = device_floats(&m.conv_bias, 1),
                                .reduced = e->reduced,
                                .kernel = e->kernel,
                                .pooled = device_floats(NULL, n * 2 * c),
                                .gate = device_floats(NULL, n * c),
                                .maps = device_floats(NULL, n * 2 * places),
                                .activation = e->activation,
                                .element = e->element};
    return m;
}

static void module_free(struct module *m)
{
    slice_free(&m->x);
    slice_free(&m->residual);
    free(m->fc1);
    free(m->fc1_bias);
    free(m->fc2);
    free(m->fc2_bias);
    free(m->conv);
}

static void launch_all(const struct cbam_args *args)
{
    assert_cuda(cbam_squeeze_launch(args, device_stream));
    assert_cuda(cbam_excite_launch(args, device_stream));
    assert_cuda(cbam_spatial_launch(args, device_stream));
    assert_cuda(cbam_apply_launch(args, device_stream));
}

static float sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

static float larger(float a, float b)
{
    return b > a || isnan(b) ? b : a;
}

/* Mean and maximum of `n` values, `stride` apart. */
static void mean_and_max(const float *values, size_t n, size_t stride, float *mean, float *max)
{
    double sum = 0;

    *max = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        sum += values[i * stride];
        *max = larger(*max, values[i * stride]);
    }
    *mean = (float)(sum / (double)n);
}

/* The shared perceptron on one pooled vector, added to `sum`. */
static void perceptron(const struct module *m, const float *pooled, bool has_bias, float *sum)
{
    int c = m->x.map.c, r = m->args.reduced;

    for (int j = 0; j < r; j++) {
        double hidden = has_bias ? m->fc1_bias[j] : 0;
        for (int i = 0; i < c; i++)
            hidden += m->fc1[j * c + i] * pooled[i];
        for (int i = 0; !(hidden <= 0) && i < c; i++)
            sum[i] += m->fc2[i * r + j] * (float)hidden;
    }
    for (int i = 0; has_bias && i < c; i++)
        sum[i] += m->fc2_bias[i];
}

/* What the module keeps between its kernels, of one picture. */
struct between {
    float *pooled, *gate, *maps;
};

/* Pooled and gate of picture n: its x may be changed. */
static void expect_channels(const struct module *m, int n, bool has_bias, struct between *out)
{
    size_t c = (size_t)m->x.map.c, places = (size_t)(m->x.map.h * m->x.map.w);

    for (size_t i = 0; i < c; i++)
        mean_and_max(slice_at(&m->x, n, 0, 0, (int)i), places, c, &out->pooled[i], &out->pooled[c + i]);
    memset(out->gate, 0, c * sizeof(*out->gate));
    perceptron(m, out->pooled, has_bias, out->gate);
    perceptron(m, out->pooled + c, has_bias, out->gate);
    for (size_t i = 0; i < c; i++)
        out->gate[i] = sigmoid(out->gate[i]);
}

static float convolved(const struct module *m, const float *maps, int y, int x)
{
    int h = m->x.map.h, w = m->x.map.w, kernel = m->args.kernel;
    float sum = m->conv_bias;

    for (int k = 0; k < 2 * kernel * kernel; k++) {
        int at_y = y - kernel / 2 + k / kernel % kernel, at_x = x - kernel / 2 + k % kernel;
        if (at_y >= 0 && at_y < h && at_x >= 0 && at_x < w)
            sum += m->conv[k] * maps[(k / kernel / kernel * h + at_y) * w + at_x];
    }
    return sum;
}

/* Maps of picture n, and its x as it should become. */
static void expect_places(struct module *m, int n, struct between *out)
{
    int h = m->x.map.h, w = m->x.map.w, c = m->x.map.c;
    float *x = slice_at(&m->x, n, 0, 0, 0);

    for (int i = 0; i < h * w * c; i++)
        x[i] *= out->gate[i % c];
    for (int p = 0; p < h * w; p++)
        mean_and_max(x + p * c, (size_t)c, 1, &out->maps[p], &out->maps[h * w + p]);
    for (int i = 0; i < h * w * c; i++) {
        float value = x[i] * sigmoid(convolved(m, out->maps, i / c / w, i / c % w));
        if (m->residual.values != NULL)
            value += m->residual.values[n * h * w * c + i];
        if (m->args.activation != KERNEL_NONE && value < 0)
            value = 0;
        x[i] = m->args.activation == KERNEL_RELU6 && value > 6 ? 6 : value;
    }
}

static void assert_floats(const float *device, size_t first, const float *expected, size_t n,
                          const char *what)
{
    float *got = malloc(n * sizeof(*got));

    assert_non_null(got);
    device_read(device + first, got, n * sizeof(*got));
    for (size_t i = 0; i < n; i++)
        assert_near(got[i], expected[i], 1e-4f, 1e-4f, what, i);
    free(got);
}

static void check(const struct example *e, struct module *m)
{
    size_t c = (size_t)e->c, places = (size_t)(e->h * e->w), n_values = (size_t)e->n * places * c;
    float *expected = malloc(n_values * sizeof(*expected)), precision = element_precision(e->element);
    struct between between = {malloc(2 * c * sizeof(float)), malloc(c * sizeof(float)),
                              malloc(2 * places * sizeof(float))};

    assert_true(expected != NULL && between.pooled != NULL && between.gate != NULL && between.maps != NULL);
    launch_all(&m->args);
    for (int n = 0; n < e->n; n++) {
        expect_channels(m, n, e->has_bias, &between);
        assert_floats(m->args.pooled, (size_t)n * 2 * c, between.pooled, 2 * c, "pooled");
        assert_floats(m->args.gate, (size_t)n * c, between.gate, c, "gate");
        expect_places(m, n, &between);
        assert_floats(m->args.maps, (size_t)n * 2 * places, between.maps, 2 * places, "maps");
    }
    memcpy(expected, m->x.values, n_values * sizeof(*expected));
    slice_read(&m->x);
    for (size_t i = 0; i < n_values; i++)
        assert_near(m->x.values[i], expected[i], precision, precision / 8 + 1e-4f, "x", i);
    free(expected);
    free(between.pooled);
    free(between.gate);
    free(between.maps);
}

static void test_parity(void **state)
{
    static const struct example examples[] = {
        {ELEMENT_F16, 2, 7, 7, 16, 1, 7, false, false, KERNEL_NONE},
        {ELEMENT_BF16, 2, 7, 7, 48, 3, 7, true, true, KERNEL_RELU},
        {ELEMENT_F16, 1, 13, 13, 48, 3, 3, true, false, KERNEL_RELU6},
        {ELEMENT_BF16, 3, 13, 13, 16, 5, 3, false, true, KERNEL_RELU},
        {ELEMENT_F16, 2, 13, 13, 208, 13, 7, true, true, KERNEL_RELU},
        {ELEMENT_BF16, 1, 7, 7, 208, 33, 7, false, false, KERNEL_NONE},
        {ELEMENT_F16, 1, 7, 7, 2208, 138, 7, false, true, KERNEL_RELU},
        {ELEMENT_F16, 1, 1, 1, 8, 2, 7, true, false, KERNEL_NONE},
        {ELEMENT_F16, 1, 17, 19, 24, 4, 7, true, true, KERNEL_NONE},
    };

    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        struct module m = module_make(&examples[i]);
        check(&examples[i], &m);
        module_free(&m);
        device_free_all(state);
    }
}

/* A NaN in one channel of one place reaches the whole picture, through its gates, and no other picture. */
static void test_nan(void **state)
{
    struct example e = {ELEMENT_F16, 3, 7, 7, 48, 3, 7, true, false, KERNEL_RELU};
    struct module m = module_make(&e);
    (void)state;

    *slice_at(&m.x, 1, 3, 4, 20) = NAN;
    slice_write(&m.x);
    launch_all(&m.args);
    slice_read(&m.x);
    for (int n = 0; n < 3; n++)
        for (int i = 0; i < 7 * 7 * 48; i++)
            assert_true(isnan(m.x.values[n * 7 * 7 * 48 + i]) == (n == 1));
    module_free(&m);
}

/* The same picture alone, and among others: the same bits. */
static void test_independence(void **state)
{
    struct example many = {ELEMENT_F16, 5, 13, 13, 208, 13, 7, true, false, KERNEL_RELU}, one = many;
    struct module among = module_make(&many), alone;
    size_t n = 13 * 13 * 208;
    (void)state;

    one.n = 1;
    alone = module_make(&one);
    memcpy(alone.x.values, slice_at(&among.x, 3, 0, 0, 0), n * sizeof(float));
    slice_write(&alone.x);
    launch_all(&among.args);
    launch_all(&alone.args);
    slice_read(&among.x);
    slice_read(&alone.x);
    assert_memory_equal(alone.x.values, slice_at(&among.x, 3, 0, 0, 0), n * sizeof(float));
    module_free(&among);
    module_free(&alone);
}

static void test_refusals(void **state)
{
    struct cbam_args args = {.x = {NULL, 1, 7, 7, 12, 12}, .reduced = 4097, .kernel = 5};
    (void)state;

    assert_int_equal(cbam_squeeze_launch(&args, device_stream), cudaErrorInvalidValue);
    assert_int_equal(cbam_excite_launch(&args, device_stream), cudaErrorInvalidValue);
    assert_int_equal(cbam_spatial_launch(&args, device_stream), cudaErrorInvalidValue);
    args.x.c = 16;
    assert_int_equal(cbam_apply_launch(&args, device_stream), cudaErrorInvalidValue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_parity, device_free_all),
        cmocka_unit_test_teardown(test_nan, device_free_all),
        cmocka_unit_test_teardown(test_independence, device_free_all),
        cmocka_unit_test_teardown(test_refusals, device_free_all),
    };
    return cmocka_run_group_tests(tests, device_open, device_close);
}
