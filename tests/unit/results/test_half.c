/* float16: every half, and every place where rounding can go wrong, against the compiler's own type. */
#include "results/half.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* The answer in double arithmetic: exact, and independent of the integer code under test. */
static double value_of(uint16_t half)
{
    int exponent = (half >> 10) & 0x1f;
    double mantissa = half & 0x3ff;
    double magnitude =
        exponent == 0 ? ldexp(mantissa, -24) : ldexp(mantissa + 1024, exponent - 25); /* finite ones */

    return (half & 0x8000) != 0 ? -magnitude : magnitude;
}

static void all_halves_come_back(void **state)
{
    (void)state;
    for (uint32_t half = 0; half < 65536; half++) {
        float value = half_to_float((uint16_t)half);
        uint16_t back = half_from_float(value);
        if (!half_is_finite((uint16_t)half) && (half & 0x3ff) != 0) {
            assert_true(isnan(value));
            assert_false(half_is_finite(back));
            assert_true((back & 0x3ff) != 0);
            continue;
        }
        assert_int_equal(back, half);
        if (half_is_finite((uint16_t)half))
            assert_true((double)value == value_of((uint16_t)half));
        else
            assert_true(isinf(value) && (signbit(value) != 0) == (half >> 15 != 0));
    }
}

/* Between two neighbours: below the middle down, above it up, the middle to the even one. */
static void rounds_to_nearest_even(void **state)
{
    (void)state;
    for (uint32_t half = 0; half < 0x7c00; half++) {
        double low = value_of((uint16_t)half);
        double high = half == 0x7bff ? 65536 : value_of((uint16_t)(half + 1));
        float middle = (float)((low + high) / 2); /* exact: one more bit */
        uint16_t even = (uint16_t)(half + (half & 1));
        assert_int_equal(half_from_float(middle), even);
        assert_int_equal(half_from_float(nextafterf(middle, 0)), half);
        assert_int_equal(half_from_float(nextafterf(middle, INFINITY)), half + 1);
        assert_int_equal(half_from_float(-middle), even | 0x8000);
    }
}

static void the_ends(void **state)
{
    (void)state;
    assert_int_equal(half_from_float(HALF_MAX), 0x7bff);
    assert_false(half_is_finite(half_from_float(65520.0f)));
    assert_false(half_is_finite(half_from_float(1e30f)));
    assert_int_equal(half_from_float(-INFINITY), 0xfc00);
    assert_int_equal(half_from_float(0x1p-149f), 0);
    assert_int_equal(half_from_float(-0.0f), 0x8000);
    assert_true(isnan(half_to_float(HALF_NAN)));
}

#ifdef __FLT16_MAX__
__extension__ typedef _Float16 compiler_half; /* no standard C17 name */

static void agrees_with_the_compiler(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < (1u << 20); i++) {
        uint32_t bits = (uint32_t)(i * 4099u); /* odd: walks over all exponents and mantissas */
        float value;
        memcpy(&value, &bits, sizeof(value));
        if (isnan(value))
            continue;
        compiler_half expected = (compiler_half)value;
        uint16_t expected_bits;
        memcpy(&expected_bits, &expected, sizeof(expected_bits));
        assert_int_equal(half_from_float(value), expected_bits);
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_halves_come_back),
        cmocka_unit_test(rounds_to_nearest_even),
        cmocka_unit_test(the_ends),
#ifdef __FLT16_MAX__
        cmocka_unit_test(agrees_with_the_compiler),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
