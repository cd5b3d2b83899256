/* Limits, kinds that are refused, cuts and broken bytes: a status every time, never a crash or a lot of
 * memory. */
#include "io/decode.h"
#include "make_picture.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define SIZE 224

static struct decoder *decoder;
static uint8_t crop[3 * SIZE * SIZE];

static int set_up(void **state)
{
    (void)state;
    return decoder_open(&decoder) == STATUS_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    decoder_close(decoder);
    return 0;
}

/* Decode from a copy of exactly n bytes, so that the address sanitizer sees any read behind it. */
static struct picture_info decode(const uint8_t *bytes, size_t n, const struct picture_options *options)
{
    struct picture_options usual = picture_options_default();
    struct picture_info info = {0};
    uint8_t *copy = malloc(n == 0 ? 1 : n);

    assert_non_null(copy);
    memcpy(copy, bytes, n);
    assert_int_equal(decoder_decode(decoder, copy, n, options == NULL ? &usual : options, crop, &info),
                     STATUS_OK);
    free(copy);
    assert_true(info.status == ITEM_OK || info.message[0] != '\0');
    return info;
}

static void test_good_pictures(void **state)
{
    struct file_bytes files[] = {make_jpeg(300, 200, false), make_jpeg(300, 200, true), make_png(300, 200),
                                 make_webp(300, 200)};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct picture_info info = decode(files[i].bytes, files[i].n, NULL);
        assert_int_equal(info.status, ITEM_OK);
        assert_int_equal(info.width, 300);
        assert_int_equal(info.height, 200);
        assert_int_equal(info.orientation, 1);
        assert_in_range(crop[3 * (112 * SIZE + 112)], 120, 135); /* the red ramp's middle */
        free(files[i].bytes);
    }
}

static void test_gif(void **state)
{
    struct file_bytes gif = make_gif(2, 2);
    struct picture_info info = decode(gif.bytes, gif.n, NULL);

    (void)state;
    assert_int_equal(info.status, ITEM_OK);
    assert_true(crop[0] > 250 && crop[2] < 5);                               /* red */
    assert_true(crop[3 * (SIZE - 1)] < 5 && crop[3 * (SIZE - 1) + 2] > 250); /* blue */
    free(gif.bytes);
}

/* XXH3-128 of "" and "a", canonical, as xxhsum -H2 prints them. */
static void test_content_hash(void **state)
{
    static const uint8_t of_nothing[16] = {0x99, 0xaa, 0x06, 0xd3, 0x01, 0x47, 0x98, 0xd8,
                                           0x60, 0x01, 0xc3, 0x24, 0x46, 0x8d, 0x49, 0x7f};
    struct picture_info info = decode((const uint8_t *)"", 0, NULL);

    (void)state;
    assert_int_equal(info.status, ITEM_CORRUPT);
    assert_memory_equal(info.content_hash, of_nothing, 16);
}

static void test_foreign_kinds(void **state)
{
    static const char *const kinds[] = {"BM......", "II*\0....", "<!DOCTYPE html>", "hello", "\0\0\1\0", "x"};

    (void)state;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        assert_int_equal(decode((const uint8_t *)kinds[i], i == 5 ? 1 : 4, NULL).status, ITEM_UNSUPPORTED);
}

static void test_twelve_bits(void **state)
{
    struct file_bytes jpeg = make_jpeg(64, 64, false);
    uint8_t *sof = memmem(jpeg.bytes, jpeg.n, "\xff\xc0", 2);

    (void)state;
    assert_non_null(sof);
    sof[4] = 12;
    assert_int_equal(decode(jpeg.bytes, jpeg.n, NULL).status, ITEM_UNSUPPORTED);
    free(jpeg.bytes);
}

static long peak_kib(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

/* Headers that claim 40000 x 40000 pixels. */
static void test_bombs_cost_no_memory(void **state)
{
    struct file_bytes files[] = {make_jpeg(64, 64, false), make_jpeg(64, 64, true), make_png(64, 64),
                                 make_gif(40000, 40000)};
    static const uint8_t side[4] = {0, 0, 0x9c, 0x40};
    long before = peak_kib();

    (void)state;
    for (int i = 0; i < 2; i++) {
        uint8_t *sof = memmem(files[i].bytes, files[i].n, i == 0 ? "\xff\xc0" : "\xff\xc2", 2);
        assert_non_null(sof);
        memcpy(sof + 5, side + 2, 2);
        memcpy(sof + 7, side + 2, 2);
    }
    memcpy(files[2].bytes + 16, side, 4);
    memcpy(files[2].bytes + 20, side, 4);
    for (size_t i = 0; i < 4; i++) {
        struct picture_info info = decode(files[i].bytes, files[i].n, NULL);
        assert_int_equal(info.status, ITEM_TOO_LARGE);
        assert_int_equal(info.width, 40000);
        free(files[i].bytes);
    }
    assert_true(peak_kib() - before < 8192);
}

static void test_pixel_limit(void **state)
{
    struct file_bytes jpeg = make_jpeg(100, 50, false);
    struct picture_options options = picture_options_default();

    (void)state;
    options.max_pixels = 4999;
    assert_int_equal(decode(jpeg.bytes, jpeg.n, &options).status, ITEM_TOO_LARGE);
    options.max_pixels = 5000;
    assert_int_equal(decode(jpeg.bytes, jpeg.n, &options).status, ITEM_OK);
    free(jpeg.bytes);
}

/* The last scan of a progressive picture, 1000 times over. */
static void test_scan_bomb(void **state)
{
    struct file_bytes jpeg = make_jpeg(64, 64, true);
    size_t last = 0;

    (void)state;
    for (size_t i = 0; i + 1 < jpeg.n; i++)
        if (jpeg.bytes[i] == 0xff && jpeg.bytes[i + 1] == 0xda)
            last = i;
    size_t n_scan = jpeg.n - 2 - last, n = last + 1000 * n_scan;
    uint8_t *bomb = malloc(n);
    assert_non_null(bomb);
    memcpy(bomb, jpeg.bytes, last);
    for (size_t i = 0; i < 1000; i++)
        memcpy(bomb + last + i * n_scan, jpeg.bytes + last, n_scan);
    assert_int_equal(decode(bomb, n, NULL).status, ITEM_UNSUPPORTED);
    free(bomb);
    free(jpeg.bytes);
}

/* Cut anywhere: never ok while pixels are missing, never a crash; the first pixels survive a cut near the
 * end. */
static void test_every_cut(void **state)
{
    struct file_bytes files[] = {make_jpeg(90, 70, false), make_jpeg(90, 70, true), make_png(90, 70),
                                 make_webp(90, 70), make_gif(2, 2)};

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        for (size_t n = 0; n < files[i].n * 9 / 10; n += 1 + n / 64) {
            struct picture_info info = decode(files[i].bytes, n, NULL);
            assert_true(i == 4 || info.status == ITEM_TRUNCATED || info.status == ITEM_CORRUPT ||
                        info.status == ITEM_UNSUPPORTED);
        }
        if (i < 4)
            assert_int_equal(decode(files[i].bytes, files[i].n * 9 / 10, NULL).status, ITEM_TRUNCATED);
        free(files[i].bytes);
    }
}

/* Broken bytes, several at once, by a fixed generator: any status, no crash. And the decoder still works. */
static void test_broken_bytes(void **state)
{
    struct file_bytes files[] = {make_jpeg(90, 70, false), make_jpeg(90, 70, true), make_png(90, 70),
                                 make_webp(90, 70), make_gif(2, 2)};
    struct picture_options options = picture_options_default();
    uint32_t random = 1;

    (void)state;
    options.max_pixels = 4000000;
    for (size_t i = 0; i < 5; i++) {
        for (int round = 0; round < 400; round++) {
            uint8_t *bytes = malloc(files[i].n);
            assert_non_null(bytes);
            memcpy(bytes, files[i].bytes, files[i].n);
            for (int k = 0; k < 1 + round % 4; k++) {
                random = random * 1664525 + 1013904223; /* Numerical Recipes */
                bytes[(random >> 8) % (round % 2 == 0 ? files[i].n : (files[i].n < 200 ? files[i].n : 200))] =
                    (uint8_t)(random >> 3);
            }
            (void)decode(bytes, files[i].n, &options);
            free(bytes);
        }
        assert_int_equal(decode(files[i].bytes, files[i].n, NULL).status, ITEM_OK);
        free(files[i].bytes);
    }
}

/* Fast mode: the same picture to the eye, from a fraction of the inverse DCTs. */
static void test_fast_is_near_exact(void **state)
{
    struct file_bytes jpeg = make_jpeg(2400, 1700, false);
    struct picture_options options = picture_options_default();
    uint8_t *exact = malloc(sizeof(crop));
    uint64_t sum = 0;

    (void)state;
    assert_non_null(exact);
    assert_int_equal(decode(jpeg.bytes, jpeg.n, &options).status, ITEM_OK);
    memcpy(exact, crop, sizeof(crop));
    options.mode = DECODE_FAST;
    assert_int_equal(decode(jpeg.bytes, jpeg.n, &options).status, ITEM_OK);
    for (size_t i = 0; i < sizeof(crop); i++)
        sum += (uint64_t)abs(crop[i] - exact[i]);
    assert_true(sum > 0); /* it is another decode */
    assert_true((double)sum / sizeof(crop) < 1.0);
    free(exact);
    free(jpeg.bytes);
}

/* Every pixel is there, but the checksum says that they are not what was written. */
static void test_png_checksum(void **state)
{
    struct file_bytes png = make_png(90, 70);
    uint8_t *chunk = memmem(png.bytes, png.n, "IDAT", 4);

    (void)state;
    assert_non_null(chunk);
    size_t length = (size_t)chunk[-4] << 24 | (size_t)chunk[-3] << 16 | (size_t)chunk[-2] << 8 | chunk[-1];
    chunk[4 + length] ^= 1;
    struct picture_info info = decode(png.bytes, png.n, NULL);
    assert_int_equal(info.status, ITEM_TRUNCATED);
    assert_non_null(strstr(info.message, "checksum"));
    chunk[4 + length] ^= 1;
    assert_int_equal(decode(png.bytes, png.n, NULL).status, ITEM_OK);
    free(png.bytes);
}

static void test_options_out_of_range(void **state)
{
    struct picture_options options = picture_options_default();
    struct picture_info info = {0};

    (void)state;
    options.size = 0;
    assert_int_equal(decoder_decode(decoder, crop, 10, &options, crop, &info), STATUS_INPUT);
    options.size = PICTURE_SIDE_LIMIT + 1;
    assert_int_equal(decoder_decode(decoder, crop, 10, &options, crop, &info), STATUS_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bombs_cost_no_memory), /* first: while little memory was used */
        cmocka_unit_test(test_good_pictures),
        cmocka_unit_test(test_gif),
        cmocka_unit_test(test_content_hash),
        cmocka_unit_test(test_foreign_kinds),
        cmocka_unit_test(test_twelve_bits),
        cmocka_unit_test(test_pixel_limit),
        cmocka_unit_test(test_scan_bomb),
        cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_broken_bytes),
        cmocka_unit_test(test_fast_is_near_exact),
        cmocka_unit_test(test_png_checksum),
        cmocka_unit_test(test_options_out_of_range),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
