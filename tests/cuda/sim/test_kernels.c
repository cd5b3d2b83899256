/* The own kernels for passes, input, pools and depthwise convolutions against plain loops. */
#include "tests/cuda/sim/kernel_support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const enum element both[] = {ELEMENT_F16, ELEMENT_BF16};

#define N_STAGES 2
#define N_CLASSES 3
#define N_MAP_PLACES 4
#define BATCH 70 /* more than two warps */

/* A batch on the device: what the host says of it, its pixels and results, and the states between stages. */
struct batch {
    struct batch_control control;
    struct batch_slot slot;
    struct stage_results results[N_STAGES];
    size_t results_bytes;
    struct batch_slot *on_device;
    int *state;
    struct pass_list *list;
};

static void batch_make(struct batch *b, int n, const uint8_t *pixels, size_t pixel_bytes)
{
    b->control.n = n;
    for (int s = 0; s < N_STAGES; s++) {
        b->results[s].rows = b->results_bytes;
        b->results[s].logits = b->results[s].rows + BATCH * sizeof(struct row_result);
        b->results[s].maps = b->results[s].logits + BATCH * N_CLASSES * sizeof(float);
        b->results_bytes = b->results[s].maps + BATCH * N_MAP_PLACES * sizeof(float);
    }
    b->slot.pixels = pixel_bytes == 0 ? NULL : device_copy(pixels, pixel_bytes);
    b->slot.control = device_copy(&b->control, sizeof(b->control));
    b->slot.results = device_copy(NULL, b->results_bytes);
    b->on_device = device_copy(&b->slot, sizeof(b->slot));
    b->state = device_copy(NULL, BATCH * sizeof(int));
    b->list = device_copy(NULL, sizeof(*b->list));
}

static void test_begin(void **state)
{
    struct batch b = {0};
    int row_states[BATCH];
    unsigned char *results;
    (void)state;

    batch_make(&b, 37, NULL, 0);
    assert_cuda(begin_launch(b.on_device, b.state, b.results, N_STAGES, BATCH, device_stream));
    device_read(b.state, row_states, sizeof(row_states));
    for (int i = 0; i < BATCH; i++)
        assert_int_equal(row_states[i], i < 37 ? ROW_WANTED : ROW_OFF);
    results = malloc(b.results_bytes);
    assert_non_null(results);
    device_read(b.slot.results, results, b.results_bytes);
    for (int s = 0; s < N_STAGES; s++) {
        const struct row_result *rows = (const void *)(results + b.results[s].rows);
        for (int i = 0; i < BATCH; i++) {
            assert_true(isnan(rows[i].score));
            assert_int_equal(rows[i].flags, 0);
        }
        for (size_t at = b.results[s].logits; at < b.results[s].maps; at++)
            assert_int_equal(results[at], 0xff);
    }
    free(results);
    assert_int_equal(begin_launch(b.on_device, b.state, b.results, 33, BATCH, device_stream),
                     cudaErrorInvalidValue);
    assert_int_equal(begin_launch(b.on_device, b.state, b.results, 1, CUDA_MAX_BATCH + 1, device_stream),
                     cudaErrorInvalidValue);
}

/* The list must hold the rows that `wanted` says, in ascending order. */
static void assert_listed(const struct batch *b, const bool *wanted)
{
    struct pass_list list;
    int n = 0;

    device_read(b->list, &list, sizeof(list));
    for (int i = 0; i < BATCH; i++)
        if (wanted[i])
            assert_int_equal(list.row[n++], i);
    assert_int_equal(list.count, n);
    assert_int_equal(list.first, 0);
}

static void test_select(void **state)
{
    struct batch b = {0};
    int row_states[BATCH];
    bool wanted[BATCH], again[BATCH];
    uint64_t seed = 5;
    (void)state;

    for (int i = 0; i < BATCH; i++) {
        row_states[i] = (int)random_float(&seed, 0, 3);
        b.control.rows[i].stages = (uint32_t)random_float(&seed, 0, 4);
        wanted[i] = row_states[i] == ROW_WANTED && (b.control.rows[i].stages >> 1 & 1) != 0;
        again[i] = row_states[i] == ROW_AGAIN;
    }
    batch_make(&b, BATCH, NULL, 0);
    assert_cuda(cudaMemcpy(b.state, row_states, sizeof(row_states), cudaMemcpyHostToDevice));
    assert_cuda(cudaDeviceSynchronize());
    assert_cuda(select_launch(b.on_device, b.state, 1, 0, BATCH, b.list, 0, device_stream));
    assert_listed(&b, wanted);
    assert_cuda(select_launch(b.on_device, b.state, 1, 1, BATCH, b.list, 0, device_stream));
    assert_listed(&b, again);
    for (int i = 40; i < BATCH; i++) /* beyond the batch */
        wanted[i] = false;
    assert_cuda(select_launch(b.on_device, b.state, 1, 0, 40, b.list, 0, device_stream));
    assert_listed(&b, wanted);
}

static void test_select_all_and_none(void **state)
{
    struct batch b = {0};
    bool wanted[BATCH];
    struct pass_list list;
    (void)state;

    for (int i = 0; i < BATCH; i++) {
        b.control.rows[i].stages = 1;
        wanted[i] = true;
    }
    batch_make(&b, BATCH, NULL, 0);
    assert_cuda(begin_launch(b.on_device, b.state, b.results, N_STAGES, BATCH, device_stream));
    assert_cuda(select_launch(b.on_device, b.state, 0, 0, BATCH, b.list, 0, device_stream));
    assert_listed(&b, wanted);
    assert_cuda(advance_launch(b.list, 32, 0, device_stream));
    assert_cuda(advance_launch(b.list, 32, 0, device_stream));
    device_read(b.list, &list, sizeof(list));
    assert_int_equal(list.first, 64);
    assert_int_equal(list.count, BATCH);
    memset(wanted, 0, sizeof(wanted));
    assert_cuda(select_launch(b.on_device, b.state, 1, 0, BATCH, b.list, 0, device_stream));
    assert_listed(&b, wanted);
}

/*
 * Rows 5, 2 and 6 of 7 pictures, read from `first` on by a pass of 3: the rest must be zeros, and what
 * follows the pass in memory untouched.
 */
static void check_input(enum element element, int size, int first)
{
    enum { N = 7, IN_HAND = 3 };
    struct pass_list list = {.count = 3, .first = first, .row = {5, 2, 6}};
    struct batch b = {0};
    size_t n = (size_t)size * (size_t)size;
    uint8_t *pixels = malloc(N * n * 3);
    struct slice out = slice_random(element, (struct slice_shape){IN_HAND + 1, size, size, 4, 4, 0}, 1, 1, 2);
    struct input_args args = {
        .out = out.map, .scale = {0.01f, 0.02f, 0.03f}, .shift = {-1, 0.5f, -2}, .element = element};
    uint64_t seed = 3;
    float behind = *slice_at(&out, IN_HAND, 0, 0, 0);

    assert_non_null(pixels);
    args.out.n = IN_HAND;
    for (size_t i = 0; i < N * n * 3; i++)
        pixels[i] = (uint8_t)random_float(&seed, 0, 256);
    batch_make(&b, N, pixels, N * n * 3);
    args.slot = b.on_device;
    args.list = device_copy(&list, sizeof(list));
    assert_cuda(input_launch(&args, device_stream));
    slice_read(&out);
    assert_true(*slice_at(&out, IN_HAND, 0, 0, 0) == behind);
    for (int j = 0; j < IN_HAND; j++) {
        for (size_t p = 0; p < n; p++) {
            for (size_t c = 0; c < 4; c++) {
                float expected = 0;
                if (first + j < list.count && c < 3)
                    expected = (float)pixels[((size_t)list.row[first + j] * n + p) * 3 + c] * args.scale[c] +
                               args.shift[c];
                assert_near(out.values[((size_t)j * n + p) * 4 + c],
                            element_value(element, element_bits(element, expected)), 0, 0, "input", p);
            }
        }
    }
    free(pixels);
    slice_free(&out);
}

static void test_input(void **state)
{
    static const int sizes[] = {1, 5, 8, 13};
    (void)state;

    for (size_t e = 0; e < 2; e++) {
        for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
            for (int first = 0; first <= 3; first += first == 0 ? 2 : 1)
                check_input(both[e], sizes[s], first);
        device_free_all(state);
    }
}

static float activated(float x, enum kernel_activation activation)
{
    if (activation != KERNEL_NONE && x < 0)
        return 0;
    return activation == KERNEL_RELU6 && x > 6 ? 6 : x;
}

/* One value of a pool's output. scale, shift: of its channel. */
static float pooled(const struct slice *in, const struct pool_args *args, int n, int y, int x, int c,
                    float scale, float shift)
{
    float top = -INFINITY, sum = 0;

    for (int k = 0; k < args->kernel * args->kernel; k++) {
        int at_y = y * args->stride - args->pad + k / args->kernel;
        int at_x = x * args->stride - args->pad + k % args->kernel;
        if (at_y < 0 || at_y >= in->map.h || at_x < 0 || at_x >= in->map.w)
            continue;
        float value = *slice_at(in, n, at_y, at_x, c);
        top = value > top || isnan(value) ? value : top;
        sum += activated(value * scale + shift, args->prologue.activation);
    }
    return args->is_max ? top : sum / (float)(args->kernel * args->kernel);
}

static void check_pool(enum element element, struct pool_args args, int size, int c, bool has_prologue)
{
    int to = (size + 2 * args.pad - args.kernel) / args.stride + 1;
    struct slice in = slice_random(element, (struct slice_shape){2, size, size, c, c + 24, 8}, 1, -3, 8);
    struct slice out = slice_random(element, (struct slice_shape){2, to, to, c, c + 32, 16}, 2, -9, 9);
    float *scale = random_floats(3, 0.5f, 2, (size_t)c), *shift = random_floats(4, -1, 1, (size_t)c);
    float precision = args.is_max ? 0 : element_precision(element);

    *slice_at(&in, 1, size / 2, size / 2, c - 1) = NAN;
    slice_write(&in);
    if (has_prologue) {
        args.prologue.scale = device_floats(scale, (size_t)c);
        args.prologue.shift = device_floats(shift, (size_t)c);
    }
    args.in = in.map;
    args.out = out.map;
    args.element = element;
    assert_cuda(pool_launch(&args, device_stream));
    slice_read(&out);
    for (int i = 0; i < 2 * to * to * c; i++) {
        int k = i % c, x = i / c % to, y = i / c / to % to, n = i / c / to / to;
        float expected =
            pooled(&in, &args, n, y, x, k, has_prologue ? scale[k] : 1, has_prologue ? shift[k] : 0);
        assert_near(*slice_at(&out, n, y, x, k), expected, precision, precision / 8, "pool", (size_t)i);
    }
    slice_free(&in);
    slice_free(&out);
    free(scale);
    free(shift);
}

static void test_pool(void **state)
{
    static const int sizes[] = {7, 13}, channels[] = {16, 48, 208};
    struct pool_args max = {.kernel = 3, .stride = 2, .pad = 1, .is_max = 1},
                     average = {.kernel = 2, .stride = 2}, wide = {.kernel = 3, .stride = 1},
                     all = {.kernel = 7, .stride = 1};
    (void)state;

    for (size_t i = 0; i < 12; i++) {
        int size = sizes[i / 2 % 2], c = channels[i / 4];
        for (int activation = KERNEL_NONE; activation <= KERNEL_RELU6; activation++) {
            average.prologue.activation = (enum kernel_activation)activation;
            check_pool(both[i % 2], average, size, c, activation != KERNEL_NONE);
        }
        check_pool(both[i % 2], max, size, c, false);
        check_pool(both[i % 2], wide, size, c, true);
        check_pool(both[i % 2], all, size, c, false);
        device_free_all(state);
    }
}

static float convolved(const struct slice *in, const float *weight, int stride, int n, int y, int x, int c)
{
    float sum = 0;

    for (int k = 0; k < 9; k++) {
        int at_y = y * stride - 1 + k / 3, at_x = x * stride - 1 + k % 3;
        if (at_y >= 0 && at_y < in->map.h && at_x >= 0 && at_x < in->map.w)
            sum += weight[k * in->map.c + c] * *slice_at(in, n, at_y, at_x, c);
    }
    return sum;
}

static void check_depthwise(enum element element, int h, int w, int c, int stride,
                            enum kernel_activation activation)
{
    int to_h = (h - 1) / stride + 1, to_w = (w - 1) / stride + 1;
    struct slice in = slice_random(element, (struct slice_shape){2, h, w, c, c + 16, 8}, 1, -3, 8);
    struct slice out = slice_random(element, (struct slice_shape){2, to_h, to_w, c, c + 8, 0}, 2, -9, 9);
    struct slice weight = slice_random(element, (struct slice_shape){1, 3, 3, c, c, 0}, 3, -1, 1);
    float *bias = random_floats(4, -1, 1, (size_t)c), precision = element_precision(element);
    struct depthwise_args args = {.in = in.map,
                                  .out = out.map,
                                  .weight = weight.map.data,
                                  .bias = device_floats(bias, (size_t)c),
                                  .stride = stride,
                                  .activation = activation,
                                  .element = element};

    *slice_at(&in, 1, h - 1, w - 1, c - 1) = NAN;
    slice_write(&in);
    assert_cuda(depthwise_launch(&args, device_stream));
    slice_read(&out);
    for (int i = 0; i < 2 * to_h * to_w * c; i++) {
        int k = i % c, x = i / c % to_w, y = i / c / to_w % to_h, n = i / c / to_w / to_h;
        float expected = activated(convolved(&in, weight.values, stride, n, y, x, k) + bias[k], activation);
        assert_near(*slice_at(&out, n, y, x, k), expected, precision, 1e-4f, "depthwise", (size_t)i);
    }
    slice_free(&in);
    slice_free(&out);
    slice_free(&weight);
    free(bias);
}

static void test_depthwise(void **state)
{
    static const int sizes[][2] = {{7, 7}, {13, 13}, {1, 1}, {4, 10}};
    static const int channels[] = {16, 48};
    (void)state;

    for (size_t i = 0; i < 32; i++) {
        const int *size = sizes[i / 8];
        check_depthwise(both[i % 2], size[0], size[1], channels[i / 2 % 2], 1 + (int)(i / 4 % 2),
                        (enum kernel_activation)(i % 3));
        device_free_all(state);
    }
}

static void test_refusals(void **state)
{
    struct pool_args pool = {.in.c = 16, .out = {NULL, 1, 2, 2, 8, 8}, .kernel = 2, .stride = 2};
    struct depthwise_args depthwise = {
        .in = {NULL, 1, 2, 2, 8, 8}, .out = {NULL, 1, 2, 2, 8, 8}, .stride = 3};
    struct input_args input = {.out = {NULL, 1, 4, 4, 3, 3}};
    (void)state;

    assert_int_equal(pool_launch(&pool, device_stream), cudaErrorInvalidValue);
    assert_int_equal(depthwise_launch(&depthwise, device_stream), cudaErrorInvalidValue);
    assert_int_equal(input_launch(&input, device_stream), cudaErrorInvalidValue);
    pool = (struct pool_args){.in = {NULL, 1024, 4096, 4096, 8, 8}, .out = {NULL, 1024, 2048, 2048, 8, 8}};
    assert_int_equal(pool_launch(&pool, device_stream), cudaErrorInvalidValue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_begin, device_free_all),
        cmocka_unit_test_teardown(test_select, device_free_all),
        cmocka_unit_test_teardown(test_select_all_and_none, device_free_all),
        cmocka_unit_test_teardown(test_input, device_free_all),
        cmocka_unit_test_teardown(test_pool, device_free_all),
        cmocka_unit_test_teardown(test_depthwise, device_free_all),
        cmocka_unit_test_teardown(test_refusals, device_free_all),
    };
    return cmocka_run_group_tests(tests, device_open, device_close);
}
