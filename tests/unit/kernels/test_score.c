/* From logits to score, margin and Grad-CAM's shares; class sets; Grad-CAM in closed form. */
#include "kernels/gradcam.h"
#include "kernels/score.h"
#include "tests/unit/kernels/support.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct class_set parse(const char *text, const char *kind, int n_classes)
{
    struct class_set set;
    assert_int_equal(class_set_parse("gate", text, kind, n_classes, &set), STATUS_OK);
    return set;
}

static void assert_set_refused(const char *text, const char *kind, int n_classes, const char *says)
{
    struct class_set set = {0};
    char message[1024];

    support_capture();
    enum status rc = class_set_parse("gate", text, kind, n_classes, &set);
    support_captured(message, sizeof(message));
    if (rc != STATUS_USAGE)
        fail_msg("not refused: %s of %d", text == NULL ? "(none)" : text, n_classes);
    assert_non_null(strstr(message, "stage gate"));
    if (strstr(message, says) == NULL)
        fail_msg("'%s' does not say '%s'", message, says);
    assert_null(set.watched);
}

static void test_sets(void **state)
{
    struct class_set set;
    (void)state;

    set = parse(NULL, NULL, 2);
    assert_int_equal(set.kind, HEAD_SOFTMAX);
    assert_int_equal(set.n_watched, 1);
    assert_int_equal(set.watched[0], 1);
    class_set_free(&set);
    set = parse(NULL, NULL, 1);
    assert_int_equal(set.kind, HEAD_SIGMOID);
    assert_int_equal(set.watched[0], 0);
    class_set_free(&set);
    set = parse("300-326", NULL, 1000);
    assert_int_equal(set.n_watched, 27);
    assert_int_equal(set.watched[0], 300);
    assert_int_equal(set.watched[26], 326);
    class_set_free(&set);
    set = parse("7-9,5,1,8", "sigmoid", 10);
    assert_int_equal(set.kind, HEAD_SIGMOID);
    assert_int_equal(set.n_watched, 5);
    assert_memory_equal(set.watched, ((const int[]){1, 5, 7, 8, 9}), 5 * sizeof(int));
    class_set_free(&set);
    set = parse("0-2", "sigmoid", 3); /* for sigmoid, all classes may be watched */
    assert_int_equal(set.n_watched, 3);
    class_set_free(&set);
}

static void test_sets_refused(void **state)
{
    (void)state;
    assert_set_refused(NULL, NULL, 3, "which to watch");
    assert_set_refused("3", NULL, 3, "classes 0-2");
    assert_set_refused("0-2", NULL, 3, "every score would be 1");
    assert_set_refused("2-1", NULL, 3, "2-1");
    assert_set_refused("", NULL, 3, "not a class number");
    assert_set_refused("1,", NULL, 3, "not a class number");
    assert_set_refused("1-", NULL, 3, "not a class number");
    assert_set_refused("-1", NULL, 3, "not a class number");
    assert_set_refused("1 ", NULL, 3, "breaks off");
    assert_set_refused("1;2", NULL, 3, "breaks off");
    assert_set_refused("0x1", NULL, 3, "breaks off");
    assert_set_refused("99999999999999999999", NULL, 3, "out of range");
    assert_set_refused("1", "softmax", 1, "does not fit");
    assert_set_refused("1", "relu", 2, "does not fit");
    assert_set_refused("0", "softmax", 1, "does not fit");
}

static void test_softmax_of_two(void **state)
{
    struct class_set set = parse(NULL, NULL, 2);
    const float logits[] = {0.5f, 1.75f};
    float shares[2];
    (void)state;

    struct score score = score_logits(&set, logits, shares);
    assert_float_equal(score.score, 1 / (1 + exp(-1.25)), 1e-7);
    assert_float_equal(score.margin, 1.25, 1e-6);
    assert_true(shares[0] == 0 && shares[1] == 1);
    class_set_free(&set);
}

static double log_sum_exp(const struct class_set *set, const float *logits, int moved, double by)
{
    double sum = 0;
    assert_in_range(set->n_watched, 1, set->n_classes);
    for (int i = 0; i < set->n_watched; i++)
        sum += exp((double)logits[set->watched[i]] + (set->watched[i] == moved ? by : 0));
    return sum > 0 ? log(sum) : -INFINITY;
}

/* The shares are the gradient of the log-sum-exp of the watched logits; the score is their probability. */
static void test_softmax_of_a_set(void **state)
{
    struct class_set set = parse("2-4,7", NULL, 10);
    (void)state;

    for (uint64_t seed = 0; seed < 20; seed++) {
        float logits[10], shares[10];
        double all = 0, sum = 0;
        support_fill(seed, -5, 5, logits, 10);
        struct score score = score_logits(&set, logits, shares);
        for (int k = 0; k < 10; k++) {
            double step = 1e-5;
            double gradient =
                (log_sum_exp(&set, logits, k, step) - log_sum_exp(&set, logits, k, -step)) / (2 * step);
            assert_float_equal(shares[k], gradient, 1e-6);
            all += exp((double)logits[k]);
            sum += shares[k];
        }
        double p = exp(log_sum_exp(&set, logits, -1, 0)) / all;
        assert_float_equal(sum, 1, 1e-6);
        assert_float_equal(score.score, p, 1e-6);
        assert_float_equal(score.margin, log(p / (1 - p)), 1e-5);
    }
    class_set_free(&set);
}

static void test_sigmoid(void **state)
{
    struct class_set set = parse("0,2", "sigmoid", 3);
    const float logits[] = {-1, 9, 0.5f};
    float shares[3];
    (void)state;

    struct score score = score_logits(&set, logits, shares);
    assert_float_equal(score.score, 1 / (1 + exp(-0.5)), 1e-7);
    assert_true(score.margin == 0.5f);
    assert_memory_equal(shares, ((const float[]){0, 0, 1}), sizeof(shares));
    class_set_free(&set);
}

static void test_extremes(void **state)
{
    static const float extremes[] = {1e4f, 3e38f, -1e4f, -3e38f, 0};
    struct class_set two = parse(NULL, NULL, 2), many = parse("1-2", NULL, 4), one = parse(NULL, NULL, 1);
    (void)state;

    for (int i = 0; i < 25; i++) {
        float logits[] = {extremes[i / 5], extremes[i % 5], extremes[i / 5], extremes[i % 5]}, shares[4];
        struct score score = score_logits(&two, logits, shares);
        assert_true(score.score >= 0 && score.score <= 1);
        assert_false(isnan(score.margin));
        score = score_logits(&many, logits, shares);
        assert_true(score.score >= 0 && score.score <= 1);
        assert_float_equal(shares[1] + shares[2], 1, 1e-6);
        score = score_logits(&one, logits, shares);
        assert_true(score.score >= 0 && score.score <= 1 && shares[0] == 1);
    }
    class_set_free(&two);
    class_set_free(&many);
    class_set_free(&one);
}

/* Softmax: any logit; sigmoid: any that is watched. */
static void test_not_finite(void **state)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    struct class_set set = parse("1", NULL, 3), sigmoid = parse("0-1", "sigmoid", 3);
    (void)state;

    for (int i = 0; i < 9; i++) {
        float logits[3] = {1, 2, 3}, shares[3];
        logits[i / 3] = bad[i % 3];
        assert_true(isnan(score_logits(&set, logits, shares).score));
        struct score score = score_logits(&sigmoid, logits, shares);
        if (i / 3 == 2)
            assert_true(isfinite(score.score));
        else
            assert_false(isfinite(score.score));
    }
    class_set_free(&set);
    class_set_free(&sigmoid);
}

static void test_margin_of(void **state)
{
    (void)state;
    assert_float_equal(score_margin_of(0.5f), 0, 1e-12);
    assert_float_equal(score_margin_of(0.8f), log(4), 1e-6);
    assert_true(score_margin_of(0) == -INFINITY);
    assert_true(score_margin_of(1) == INFINITY);
}

/* The raw map sums to the logit minus the bias, blocked or not, channels that do not fill a block. */
static void test_map_sums_to_logit(void **state)
{
    enum { C = 40, PADDED = 48, N = 49, K = 3 };
    static float blocked[PADDED * N], plain[C * N];
    float weight[K * C], direction[C], raw[N], raw_plain[N];
    const float shares[K] = {0, 1, 0};
    (void)state;

    support_fill(1, 0, 3, plain, C * N);
    support_fill(2, -1, 1, weight, K * C);
    memset(blocked, 0, sizeof(blocked));
    for (int c = 0; c < C; c++)
        for (int p = 0; p < N; p++)
            blocked[(c / 16 * N + p) * 16 + c % 16] = plain[c * N + p];
    gradcam_direction(weight, shares, K, C, N, direction);
    gradcam_raw(blocked, direction, C, 16, N, raw);
    gradcam_raw(plain, direction, C, 1, N, raw_plain);
    double sum = 0, logit = 0;
    for (int p = 0; p < N; p++) {
        assert_float_equal(raw[p], raw_plain[p], 1e-5);
        sum += raw[p];
        for (int c = 0; c < C; c++)
            logit += (double)weight[C + c] * plain[c * N + p] / N;
    }
    assert_float_equal(sum, logit, 1e-4);
}

static void test_direction_mixes_classes(void **state)
{
    const float weight[] = {1, 2, 10, 20, 100, 200}, shares[] = {0.25f, 0, 0.75f};
    float direction[2];
    (void)state;

    gradcam_direction(weight, shares, 3, 2, 4, direction);
    assert_float_equal(direction[0], (0.25 + 75) / 4, 1e-5);
    assert_float_equal(direction[1], (0.5 + 150) / 4, 1e-5);
}

static void test_rectify(void **state)
{
    float map[] = {-1, 0, 2, NAN, -INFINITY, INFINITY};
    (void)state;

    gradcam_rectify(map, 6);
    assert_true(map[0] == 0 && map[1] == 0 && map[2] == 2 && isnan(map[3]) && map[4] == 0 && isinf(map[5]));
}

/* A NaN in the features reaches the map. */
static void test_map_keeps_nan(void **state)
{
    const float features[] = {1, NAN, 2, 3}, direction[] = {1, 1};
    float raw[2];
    (void)state;

    gradcam_raw(features, direction, 2, 1, 2, raw);
    gradcam_rectify(raw, 2);
    assert_true(raw[0] == 3 && isnan(raw[1]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sets),
        cmocka_unit_test(test_sets_refused),
        cmocka_unit_test(test_softmax_of_two),
        cmocka_unit_test(test_softmax_of_a_set),
        cmocka_unit_test(test_sigmoid),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_margin_of),
        cmocka_unit_test(test_map_sums_to_logit),
        cmocka_unit_test(test_direction_mixes_classes),
        cmocka_unit_test(test_rectify),
        cmocka_unit_test(test_map_keeps_nan),
    };
    return cmocka_run_group_tests_name("scores and maps", tests, NULL, NULL);
}
