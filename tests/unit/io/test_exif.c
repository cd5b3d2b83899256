/* The EXIF and XMP parsers, on good blocks, on every cut of them and on every single broken byte. */
#include "io/exif.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

/* "II", one directory of two entries, orientation 6 the second. */
static const uint8_t little[] = {'I', 'I', 42, 0,    8,    0, 0, 0, 2, 0, 0x0f, 0x01, 2, 0, 4, 0, 0, 0, 'C',
                                 'a', 'm', 0,  0x12, 0x01, 3, 0, 1, 0, 0, 0,    6,    0, 0, 0, 0, 0, 0, 0};
static const uint8_t big[] = {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0,
                              3,   0,   0, 0,  1, 0, 8, 0, 0, 0, 0,    0,    0};

static void test_both_byte_orders(void **state)
{
    (void)state;
    assert_int_equal(exif_orientation(little, sizeof(little)), 6);
    assert_int_equal(exif_orientation(big, sizeof(big)), 8);
}

static void test_prefix_once_or_twice(void **state)
{
    uint8_t bytes[12 + sizeof(big)] = "Exif\0\0Exif\0\0";

    (void)state;
    memcpy(bytes + 12, big, sizeof(big));
    assert_int_equal(exif_orientation(bytes, sizeof(bytes)), 8);
    assert_int_equal(exif_orientation(bytes + 6, sizeof(bytes) - 6), 8);
}

/* A copy of exactly n bytes, so that the address sanitizer sees any read behind it. */
static int32_t on_exact_copy(const uint8_t *bytes, size_t n)
{
    uint8_t *copy = malloc(n == 0 ? 1 : n);

    assert_non_null(copy);
    memcpy(copy, bytes, n);
    int32_t found = exif_orientation(copy + (n == 0), n);
    (void)exif_xmp_orientation(copy + (n == 0), n);
    free(copy);
    return found;
}

static void test_every_cut(void **state)
{
    (void)state;
    for (size_t n = 0; n < 34; n++) /* the entry ends at byte 34 */
        assert_int_equal(on_exact_copy(little, n), -1);
    assert_int_equal(on_exact_copy(little, 34), 6);
}

static void test_every_broken_byte(void **state)
{
    uint8_t bytes[sizeof(little)];

    (void)state;
    for (size_t i = 0; i < sizeof(little); i++)
        for (int value = 0; value < 256; value++) {
            memcpy(bytes, little, sizeof(little));
            bytes[i] = (uint8_t)value;
            int32_t found = on_exact_copy(bytes, sizeof(bytes));
            assert_true(found >= -1);
            assert_in_range(exif_choose(found, -1), 1, 8);
        }
}

static void test_other_types_are_not_taken(void **state)
{
    uint8_t bytes[sizeof(big)];

    (void)state;
    memcpy(bytes, big, sizeof(big));
    bytes[13] = 2; /* ASCII */
    assert_int_equal(exif_orientation(bytes, sizeof(bytes)), -1);
    memcpy(bytes, big, sizeof(big));
    bytes[17] = 2; /* two values */
    assert_int_equal(exif_orientation(bytes, sizeof(bytes)), -1);
}

static int32_t xmp(const char *text)
{
    return exif_xmp_orientation((const uint8_t *)text, strlen(text));
}

static void test_xmp(void **state)
{
    (void)state;
    assert_int_equal(xmp("<x tiff:Orientation=\"6\"/>"), 6);
    assert_int_equal(xmp("<tiff:Orientation>3</tiff:Orientation>"), 3);
    assert_int_equal(xmp("<tiff:Orientation>x</tiff:Orientation><tiff:Orientation>8<"), 8);
    assert_int_equal(xmp("tiff:Orientation"), -1);
    assert_int_equal(xmp("tiff:Orientation="), -1);
    assert_int_equal(xmp("tiff:Orientation=\""), -1);
    assert_int_equal(xmp(""), -1);
}

static void test_choice(void **state)
{
    (void)state;
    assert_int_equal(exif_choose(-1, -1), 1);
    assert_int_equal(exif_choose(-1, 6), 6);
    assert_int_equal(exif_choose(3, 6), 3);
    assert_int_equal(exif_choose(0, 6), 1); /* there is one, and it is nonsense */
    assert_int_equal(exif_choose(9, -1), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_byte_orders),
        cmocka_unit_test(test_prefix_once_or_twice),
        cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_every_broken_byte),
        cmocka_unit_test(test_other_types_are_not_taken),
        cmocka_unit_test(test_xmp),
        cmocka_unit_test(test_choice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
