#include "job/nearest.h"
#include "job/number.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static void test_whole_numbers(void **state)
{
    static const char *const bad[] = {
        "", " 1", "1 ", "+1", "-1", "0x10", "1.0", "1e3", "18446744073709551616", "k"};
    uint64_t value = 0;
    (void)state;

    assert_true(number_parse_u64("18446744073709551615", &value));
    assert_true(value == UINT64_MAX);
    assert_true(number_parse_u64("007", &value));
    assert_int_equal(value, 7);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        value = 42;
        assert_false(number_parse_u64(bad[i], &value));
        assert_int_equal(value, 42); /* untouched */
    }
}

static void test_scaled(void **state)
{
    static const struct {
        const char *text;
        uint64_t unit, value;
    } good[] = {{"64M", 1024, 67108864}, {"2g", 1024, 2147483648},    {"1K", 1000, 1000},
                {"1k", 1000, 1000},      {"3T", 1000, 3000000000000}, {"0", 1024, 0}};
    static const char *const bad[] = {"", "M", "1MB", "1 M", "64MM", "1.5M", "-1M", "99999999T", "20000000T"};
    uint64_t value;
    (void)state;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(number_parse_scaled(good[i].text, good[i].unit, &value));
        assert_int_equal(value, good[i].value);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(number_parse_scaled(bad[i], 1024, &value));
}

static void test_time(void **state)
{
    static const struct {
        const char *text, *back;
        uint64_t value_s;
    } good[] = {{"90", "90s", 90},   {"60s", "1m", 60},      {"10m", "10m", 600}, {"2h", "2h", 7200},
                {"1d", "1d", 86400}, {"36h", "36h", 129600}, {"0", "0s", 0},      {"3601s", "3601s", 3601}};
    static const char *const bad[] = {
        "", "s", "-1s", "1.5h", "10 m", "1w", "99999999999999999999s", "999999999999999999d"};
    char back[32];
    uint64_t value;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(number_parse_time(good[i].text, &value));
        assert_int_equal(value, good[i].value_s);
        number_format_time(value, back, sizeof(back));
        assert_string_equal(back, good[i].back);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(number_parse_time(bad[i], &value));
}

static void test_scaled_round_trip(void **state)
{
    static const uint64_t values[] = {0,     1,        224,       999,        1000,      1024,
                                      65536, 67108864, 100000000, 2147483648, UINT64_MAX};
    char text[32];
    uint64_t back;
    (void)state;

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        for (uint64_t unit = 1000; unit <= 1024; unit += 24) {
            number_format_scaled(values[i], unit, text, sizeof(text));
            assert_true(number_parse_scaled(text, unit, &back));
            assert_true(back == values[i]);
        }
    }
    number_format_scaled(67108864, 1024, text, sizeof(text));
    assert_string_equal(text, "64M");
    number_format_scaled(1000, 1000, text, sizeof(text));
    assert_string_equal(text, "1000");
}

static void test_fractions(void **state)
{
    static const char *const bad[] = {"", "%", "nan", "inf", "0x1", "5%%", " 5%", "5 %", "1e999", "1,5"};
    double value;
    char text[32];
    (void)state;

    assert_true(number_parse_fraction("5%", &value));
    assert_true(value == 0.05);
    assert_true(number_parse_fraction("0.001", &value));
    assert_true(value == 0.001);
    number_format_fraction(0.001, text, sizeof(text));
    assert_string_equal(text, "0.1%");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(number_parse_fraction(bad[i], &value));
    for (int i = 0; i <= 1000; i++) {
        double back;
        number_format_fraction(i / 1000.0 / 3, text, sizeof(text));
        assert_true(number_parse_fraction(text, &back));
        assert_true(back == i / 1000.0 / 3);
    }
}

static void test_floats_are_rounded_once(void **state)
{
    float value;
    (void)state;

    assert_true(number_parse_float("0.65", &value));
    assert_true(value == 0.65f);
    /* Just above the middle of two floats: by way of double it would become a tie and go to even, down. */
    assert_true(number_parse_float("1.00000005960464477539062500000001", &value));
    assert_true(value > 1.0f);
    assert_false(number_parse_float("nan", &value));
    assert_false(number_parse_float("1e40", &value));
    assert_false(number_parse_float("0.5x", &value));
}

static void test_choices(void **state)
{
    char word[16];
    (void)state;

    assert_int_equal(choice_find("auto|f32|bf16", "auto"), 0);
    assert_int_equal(choice_find("auto|f32|bf16", "bf16"), 2);
    assert_int_equal(choice_find("auto|f32|bf16", "f3"), -1);
    assert_int_equal(choice_find("auto|f32|bf16", ""), -1);
    assert_int_equal(choice_find("auto|f32|bf16", "auto|f32"), -1);
    choice_name("auto|f32|bf16", 1, word, sizeof(word));
    assert_string_equal(word, "f32");
    choice_name("auto|f32|bf16", 3, word, sizeof(word));
    assert_string_equal(word, "");
}

static void test_nearest(void **state)
{
    char word[16];
    (void)state;

    assert_int_equal(nearest_distance("", "abc"), 3);
    assert_int_equal(nearest_distance("abc", "abc"), 0);
    assert_int_equal(nearest_distance("mainfest", "manifest"), 1); /* neighbours swapped */
    assert_int_equal(nearest_distance("thread", "threads"), 1);
    assert_int_equal(nearest_distance("kitten", "sitting"), 3);
    assert_true(nearest_choice("auto|f32|bf16", "fp16", word, sizeof(word)));
    assert_string_equal(word, "bf16");
    assert_false(nearest_choice("auto|f32|bf16", "something", word, sizeof(word)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_numbers),     cmocka_unit_test(test_scaled),
        cmocka_unit_test(test_scaled_round_trip), cmocka_unit_test(test_time),
        cmocka_unit_test(test_fractions),         cmocka_unit_test(test_floats_are_rounded_once),
        cmocka_unit_test(test_choices),           cmocka_unit_test(test_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
