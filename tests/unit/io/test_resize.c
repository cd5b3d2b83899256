/* The plan of an axis and the resizer, against values worked out by hand. */
#include "io/resize.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

#define ONE (1 << AXIS_WEIGHT_BITS)

static void test_sides_round_as_torchvision(void **state)
{
    int64_t w, h;

    (void)state;
    axis_resized_sides(400, 533, 256, &w, &h);
    assert_int_equal(w, 256);
    assert_int_equal(h, 341); /* 341.12 */
    axis_resized_sides(533, 400, 256, &w, &h);
    assert_int_equal(w, 341);
    axis_resized_sides(1, 65535, 256, &w, &h);
    assert_int_equal(h, 16776960);
    axis_resized_sides(1, 170000000, 256, &w, &h); /* beyond 32 bits */
    assert_int_equal(h, INT64_C(43520000000));
}

/* Halves of the crop's offset go to the even side, as Python's round(): 5 -> 4 is 0 (0.5), 7 -> 4 is 2 (1.5).
 */
static void test_crop_offset_is_bankers(void **state)
{
    struct axis axis = {0};

    (void)state;
    assert_int_equal(axis_plan(&axis, RESAMPLE_BILINEAR, 5, 5, 5, 4, false), STATUS_OK);
    assert_int_equal(axis.begin, 0);
    assert_int_equal(axis_plan(&axis, RESAMPLE_BILINEAR, 7, 7, 7, 4, false), STATUS_OK);
    assert_int_equal(axis.taps[0].first + (axis.weights[axis.taps[0].weights] == 0), 2);
    axis_free(&axis);
}

/* 4 -> 2, bilinear: triangle of support 2 around 1.0: weights at 0.5, 1.5, 2.5 are 3, 3, 1 of 7. */
static void test_weights_of_a_halving(void **state)
{
    struct axis axis = {0};

    (void)state;
    assert_int_equal(axis_plan(&axis, RESAMPLE_BILINEAR, 4, 4, 2, 2, false), STATUS_OK);
    assert_int_equal(axis.taps[0].first, 0);
    assert_int_equal(axis.taps[0].count, 3);
    const int32_t *w = axis.weights + axis.taps[0].weights;
    assert_int_equal(w[0], (int32_t)(3.0 / 7 * ONE + 0.5));
    assert_int_equal(w[1], w[0]);
    assert_int_equal(w[2], (int32_t)(1.0 / 7 * ONE + 0.5));
    axis_free(&axis);
}

/* Mirrored, the taps of output i are those of n-1-i, read backwards. */
static void test_mirrored_axis(void **state)
{
    struct axis a = {0}, b = {0};

    (void)state;
    assert_int_equal(axis_plan(&a, RESAMPLE_BICUBIC, 37, 37, 23, 16, false), STATUS_OK);
    assert_int_equal(axis_plan(&b, RESAMPLE_BICUBIC, 37, 37, 23, 16, true), STATUS_OK);
    for (int i = 0; i < 16; i++) {
        const struct axis_tap *x = &a.taps[i], *y = &b.taps[15 - i];
        assert_int_equal(x->count, y->count);
        assert_int_equal(x->first + x->count, 37 - y->first);
        for (int k = 0; k < x->count; k++)
            assert_int_equal(a.weights[x->weights + (size_t)k],
                             b.weights[y->weights + (size_t)(y->count - 1 - k)]);
    }
    axis_free(&a);
    axis_free(&b);
}

/* Push a w x h picture whose sample (x, y) is (10x, 10y, 7), unresized, and answer the crop. */
static void push_coordinates(int w, int h, int orientation, const struct picture_options *options,
                             uint8_t *crop)
{
    struct resizer resizer = {0};
    struct resize_source source = {w, h, w, h, w, h, orientation};
    uint8_t row[4 * 16 + PASS_PADDING];

    assert_int_equal(resizer_plan(&resizer, options, &source, crop), STATUS_OK);
    for (int y = resizer.down.begin; y < resizer.down.end; y++) {
        for (int x = resizer.across.begin; x < resizer.across.end; x++)
            memcpy(row + 4 * (x - resizer.across.begin),
                   (uint8_t[4]){(uint8_t)(10 * x), (uint8_t)(10 * y), 7, 99}, 4);
        resizer_push(&resizer, row);
    }
    assert_int_equal(resizer_finish(&resizer, (uint8_t[4]){0}), STATUS_OK);
    resizer_free(&resizer);
}

/* Where stored sample (x, y) of a square of n comes to lie upright: Exif 2.32, table of orientations. */
static void upright(int orientation, int n, int x, int y, int *u, int *v)
{
    int m = n - 1;
    const int places[8][2] = {{x, y}, {m - x, y}, {m - x, m - y}, {x, m - y},
                              {y, x}, {m - y, x}, {m - y, m - x}, {y, m - x}};

    *u = places[orientation - 1][0];
    *v = places[orientation - 1][1];
}

static void test_orientations(void **state)
{
    struct picture_options options = picture_options_default();
    uint8_t crop[3 * 8 * 8];

    (void)state;
    options.resize = options.size = 8;
    for (int orientation = 1; orientation <= 8; orientation++) {
        push_coordinates(8, 8, orientation, &options, crop);
        for (int y = 0; y < 8; y++)
            for (int x = 0; x < 8; x++) {
                int u, v;
                upright(orientation, 8, x, y, &u, &v);
                const uint8_t *p = crop + 3 * (8 * v + u);
                assert_int_equal(p[0], 10 * x);
                assert_int_equal(p[1], 10 * y);
                assert_int_equal(p[2], 7);
            }
    }
}

/* A crop larger than the resized picture is padded with black, the odd sample at the end. */
static void test_padding(void **state)
{
    struct picture_options options = picture_options_default();
    uint8_t crop[3 * 9 * 9];

    (void)state;
    options.resize = 4;
    options.size = 9;
    push_coordinates(4, 4, 1, &options, crop);
    for (int i = 0; i < 9 * 9; i++) {
        bool inside = i % 9 >= 2 && i % 9 < 6 && i / 9 >= 2 && i / 9 < 6;
        assert_int_equal(crop[3 * i + 2], inside ? 7 : 0);
        if (inside)
            assert_int_equal(crop[3 * i], 10 * (i % 9 - 2));
    }
}

/* Weights sum to one whatever the number of taps: a flat picture stays flat. */
static void test_flat_stays_flat(void **state)
{
    struct picture_options options = picture_options_default();
    uint8_t *crop = malloc(3 * 224 * 224);

    (void)state;
    assert_non_null(crop);
    for (int w = 1; w < 1500; w = 2 * w + 1)
        for (int filter = 0; filter < 2; filter++) {
            struct resizer resizer = {0};
            struct resize_source source = {w, 300, w, 300, w, 300, 1 + w % 8};
            uint8_t *row = malloc(4 * (size_t)w + PASS_PADDING);
            assert_non_null(row);
            memset(row, 200, 4 * (size_t)w + PASS_PADDING);
            options.resample = filter == 0 ? RESAMPLE_BILINEAR : RESAMPLE_BICUBIC;
            assert_int_equal(resizer_plan(&resizer, &options, &source, crop), STATUS_OK);
            for (int y = resizer.down.begin; y < resizer.down.end; y++)
                resizer_push(&resizer, row);
            for (int i = 0; i < 3 * 224 * 224; i++)
                assert_in_range(crop[i], 199, 201);
            resizer_free(&resizer);
            free(row);
        }
    free(crop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sides_round_as_torchvision),
        cmocka_unit_test(test_crop_offset_is_bankers),
        cmocka_unit_test(test_weights_of_a_halving),
        cmocka_unit_test(test_mirrored_axis),
        cmocka_unit_test(test_orientations),
        cmocka_unit_test(test_padding),
        cmocka_unit_test(test_flat_stays_flat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
