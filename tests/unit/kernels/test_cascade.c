/* The cascade's rules: answers, verdicts and the order of stages, against brute force. */
#include "kernels/cascade.h"
#include "tests/unit/kernels/support.h"

#include <float.h>
#include <math.h>
#include <string.h>

static struct stage one_stage(float threshold, float band)
{
    struct stage stage = {.threshold = threshold, .n_variants = 2};
    stage.variants[0] = (struct variant){PRECISION_BF16, band};
    stage.variants[1] = (struct variant){PRECISION_F32, 0};
    return stage;
}

static struct score score_of(double margin)
{
    return (struct score){(float)(1 / (1 + exp(-margin))), (float)margin};
}

static void test_answer(void **state)
{
    struct stage stage = one_stage(0.5f, 0.25f);
    (void)state;

    assert_int_equal(cascade_answer(&stage, 0, score_of(1)), STAGE_PASS);
    assert_int_equal(cascade_answer(&stage, 0, score_of(-1)), STAGE_REJECT);
    assert_int_equal(cascade_answer(&stage, 0, score_of(0.2)), STAGE_SCORE_AGAIN);
    assert_int_equal(cascade_answer(&stage, 0, score_of(-0.2)), STAGE_SCORE_AGAIN);
    assert_int_equal(cascade_answer(&stage, 0, score_of(0.25)), STAGE_PASS);
    assert_int_equal(cascade_answer(&stage, 0, score_of(-0.25)), STAGE_REJECT);
    assert_int_equal(cascade_answer(&stage, 1, score_of(0.2)), STAGE_PASS);
    assert_int_equal(cascade_answer(&stage, 1, score_of(-0.2)), STAGE_REJECT);
    assert_int_equal(cascade_answer(&stage, 1, score_of(0)), STAGE_PASS); /* equal is flagged */
}

/* The band lies around the threshold's margin, not around a half. */
static void test_band_follows_threshold(void **state)
{
    struct stage stage = one_stage(0.8f, 0.25f);
    (void)state;

    assert_int_equal(cascade_answer(&stage, 0, score_of(0)), STAGE_REJECT);
    assert_int_equal(cascade_answer(&stage, 0, score_of(log(4) + 0.2)), STAGE_SCORE_AGAIN);
    assert_int_equal(cascade_answer(&stage, 0, score_of(log(4) - 0.2)), STAGE_SCORE_AGAIN);
    assert_int_equal(cascade_answer(&stage, 0, score_of(log(4) + 0.3)), STAGE_PASS);
}

static void test_threshold_is_float32(void **state)
{
    struct stage stage = {.threshold = 0.1f, .n_variants = 1};
    (void)state;

    assert_int_equal(cascade_answer(&stage, 0, (struct score){0.1f, 0}), STAGE_PASS);
    assert_int_equal(cascade_answer(&stage, 0, (struct score){nextafterf(0.1f, 0), 0}), STAGE_REJECT);
}

static void test_numeric_error(void **state)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    struct stage stage = one_stage(0.5f, 0.25f);
    (void)state;

    for (int i = 0; i < 6; i++)
        assert_int_equal(cascade_answer(&stage, i / 3, (struct score){bad[i % 3], 0}), STAGE_NUMERIC_ERROR);
    /* The score saturates before the margin does. */
    assert_int_equal(cascade_answer(&stage, 0, (struct score){1, INFINITY}), STAGE_PASS);
    assert_int_equal(cascade_answer(&stage, 0, (struct score){0, -INFINITY}), STAGE_REJECT);
    assert_int_equal(cascade_answer(&stage, 0, (struct score){0.9f, NAN}), STAGE_SCORE_AGAIN);
}

static void test_extreme_thresholds(void **state)
{
    struct stage all = one_stage(0, 0.25f), none = one_stage(1, 0.25f);
    (void)state;

    assert_int_equal(cascade_answer(&all, 0, score_of(-30)), STAGE_PASS);
    assert_int_equal(cascade_answer(&none, 0, score_of(3)), STAGE_REJECT);
    assert_int_equal(cascade_answer(&none, 1, (struct score){1, INFINITY}), STAGE_PASS);
}

static enum verdict verdict_of(float first, float second, float third, bool numeric_error)
{
    struct cascade cascade = {.n_stages = 3};
    const float scores[] = {first, second, third};
    for (int s = 0; s < 3; s++)
        cascade.stages[s].threshold = 0.5f;
    return cascade_verdict(&cascade, scores, numeric_error);
}

static void test_verdict(void **state)
{
    (void)state;
    assert_int_equal(verdict_of(0.9f, 0.9f, 0.5f, false), VERDICT_FLAGGED);
    assert_int_equal(verdict_of(0.4f, NAN, NAN, false), VERDICT_PASS);
    assert_int_equal(verdict_of(0.9f, 0.4f, NAN, false), VERDICT_PASS);
    assert_int_equal(verdict_of(0.9f, 0.9f, 0.4f, false), VERDICT_PASS);
    assert_int_equal(verdict_of(0.4f, 0.9f, 0.9f, false), VERDICT_PASS);
    assert_int_equal(verdict_of(0.9f, NAN, 0.9f, false), VERDICT_FAILED);
    assert_int_equal(verdict_of(0.9f, 0.9f, NAN, false), VERDICT_FAILED);
    assert_int_equal(verdict_of(NAN, NAN, NAN, false), VERDICT_FAILED);
    /* Never a silent pass, and never a flag. */
    assert_int_equal(verdict_of(0.4f, 0.4f, 0.4f, true), VERDICT_FAILED);
    assert_int_equal(verdict_of(0.9f, 0.9f, 0.9f, true), VERDICT_FAILED);
}

/* Of one picture: each stage runs if all before it passed. */
static double expected_cost(const double *cost, const double *pass_rate, int n, const int *order)
{
    double total = 0, reaches = 1;
    for (int k = 0; k < n; k++) {
        total += reaches * cost[order[k]];
        reaches *= pass_rate[order[k]];
    }
    return total;
}

/* The cheapest over all orders of order[fixed..n). */
static double cheapest(const double *cost, const double *pass_rate, int n, int *order, int fixed)
{
    double best = INFINITY;

    if (fixed == n)
        return expected_cost(cost, pass_rate, n, order);
    for (int k = fixed; k < n; k++) {
        int kept = order[fixed];
        order[fixed] = order[k];
        order[k] = kept;
        best = fmin(best, cheapest(cost, pass_rate, n, order, fixed + 1));
        order[k] = order[fixed];
        order[fixed] = kept;
    }
    return best;
}

static void test_order_is_cheapest(void **state)
{
    uint64_t seed = 1;
    (void)state;

    for (int trial = 0; trial < 4000; trial++) {
        double cost[4], pass_rate[4];
        int n = 1 + trial % 4, order[4], all[4] = {0, 1, 2, 3}, seen = 0;
        for (int i = 0; i < n; i++) {
            cost[i] = support_random(&seed, 0.1f, 10);
            pass_rate[i] = trial % 5 == 0 ? (int)support_random(&seed, 0, 3) / 2.0 /* 0, 1/2, 1 */
                                          : (double)support_random(&seed, 0, 1);
        }
        cascade_order(cost, pass_rate, n, order);
        for (int k = 0; k < n; k++)
            seen |= 1 << order[k];
        assert_int_equal(seen, (1 << n) - 1);
        double best = cheapest(cost, pass_rate, n, all, 0);
        assert_true(expected_cost(cost, pass_rate, n, order) <= best * (1 + 1e-12));
    }
}

static void test_order_known_case(void **state)
{
    const double macs[] = {7.7, 4.1}, rates[] = {0.01, 0.01}, same[] = {1, 1};
    const double picky[] = {0.01, 0.9};
    int order[2];
    (void)state;

    cascade_order(macs, rates, 2, order);
    assert_int_equal(order[0], 1);
    cascade_order(macs, picky, 2, order); /* dearer, but rejects nearly all */
    assert_int_equal(order[0], 0);
    cascade_order(same, rates, 2, order); /* ties keep the given order */
    assert_int_equal(order[0], 0);
}

/* Complete a half-seen sample at random: where the order was said to be settled, it must come out. */
static void test_settled_is_never_wrong(void **state)
{
    uint64_t seed = 2;
    int n_settled = 0;
    (void)state;

    for (int trial = 0; trial < 20000; trial++) {
        int n = 2 + trial % 3, n_sample = 1 + trial % 40, n_seen[4], n_passed[4], order[4], full[4];
        double cost[4], rate[4];
        for (int i = 0; i < n; i++) {
            cost[i] = (int)support_random(&seed, 1, 6);
            n_seen[i] = (int)support_random(&seed, 0, (float)n_sample + 0.99f);
            n_passed[i] = (int)support_random(&seed, 0, (float)n_seen[i] + 0.99f);
        }
        if (!cascade_order_settled(cost, n_seen, n_passed, n_sample, n, order))
            continue;
        n_settled++;
        for (int outcome = 0; outcome < 8; outcome++) {
            for (int i = 0; i < n; i++) {
                int rest = n_sample - n_seen[i];
                int more = outcome == 0   ? 0
                           : outcome == 1 ? rest
                                          : (int)support_random(&seed, 0, (float)rest + 0.99f);
                rate[i] = (double)(n_passed[i] + more) / n_sample;
            }
            cascade_order(cost, rate, n, full);
            assert_memory_equal(full, order, (size_t)n * sizeof(int));
        }
    }
    assert_true(n_settled > 100);
}

static void test_settled_when_all_is_seen(void **state)
{
    const double cost[] = {2, 1, 1};
    const int n_seen[] = {10, 10, 10}, n_passed[] = {3, 10, 3}, none[] = {0, 0, 0};
    int order[3];
    (void)state;

    assert_true(cascade_order_settled(cost, n_seen, n_passed, 10, 3, order));
    assert_memory_equal(order, ((const int[]){2, 0, 1}), sizeof(order));
    assert_false(cascade_order_settled(cost, none, none, 10, 3, order));
    assert_true(cascade_order_settled(cost, none, none, 10, 1, order)); /* one stage has one order */
    assert_int_equal(order[0], 0);
}

static void test_reorder(void **state)
{
    struct cascade cascade = {.n_stages = 3};
    const int order[] = {2, 0, 1};
    (void)state;

    for (int s = 0; s < 3; s++)
        cascade.stages[s].macs = (uint64_t)s;
    cascade_reorder(&cascade, order);
    for (int s = 0; s < 3; s++)
        assert_int_equal(cascade.stages[s].macs, order[s]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answer),
        cmocka_unit_test(test_band_follows_threshold),
        cmocka_unit_test(test_threshold_is_float32),
        cmocka_unit_test(test_numeric_error),
        cmocka_unit_test(test_extreme_thresholds),
        cmocka_unit_test(test_verdict),
        cmocka_unit_test(test_order_is_cheapest),
        cmocka_unit_test(test_order_known_case),
        cmocka_unit_test(test_settled_is_never_wrong),
        cmocka_unit_test(test_settled_when_all_is_seen),
        cmocka_unit_test(test_reorder),
    };
    return cmocka_run_group_tests_name("cascade", tests, NULL, NULL);
}
