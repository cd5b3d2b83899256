/*
 * The CUDA engine on the simulated device as the pipeline uses it, beside the CPU engine: scores within 5e-3
 * in float16, the same decisions, requests, map policies and variants; batches and slots in any order of the
 * device's streams; nothing left behind.
 */
#include "tests/cuda/sim/cascade_support.h"
#include "tests/cuda/sim/sim.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCORE_TOLERANCE 5e-3

static void run_cpu(const struct cascade *cascade, enum map_policy maps,
                    struct engine_request (*request)(int), struct kept_result *results)
{
    struct cascade f32 = *cascade;
    const struct engine_options options = {.maps = maps, .n_instances = 1};
    struct engine *engine;

    for (int s = 0; s < 3; s++)
        for (int v = 0; v < f32.stages[s].n_variants; v++)
            f32.stages[s].variants[v].precision = PRECISION_F32;
    assert_int_equal(engine_cpu_open(&f32, &options, &engine), STATUS_OK);
    assert_int_equal(cascade_run(cascade, engine, CASCADE_PICTURES, 1, request, results), STATUS_OK);
    engine->close(engine);
}

static void run_cuda(const struct cascade *cascade, enum map_policy maps, int batch,
                     struct engine_request (*request)(int), struct kept_result *results)
{
    struct engine *engine;

    assert_int_equal(cascade_open_cuda(cascade, maps, batch, &engine), STATUS_OK);
    assert_int_equal(cascade_run(cascade, engine, CASCADE_PICTURES, batch, request, results), STATUS_OK);
    engine->close(engine);
    assert_int_equal(sim_count_leaks(), 0);
}

/* The largest value in the maps of stage s. */
static double map_maximum(const struct kept_result *results, int s)
{
    double top = 0;

    for (int i = 0; i < CASCADE_PICTURES; i++)
        for (int p = 0; results[i].result.map[s] != NULL && p < 64; p++)
            top = fmax(top, results[i].maps[s][p]);
    return top;
}

static double map_distance(const float *a, const float *b, int n)
{
    double distance = 0;

    for (int p = 0; p < n; p++)
        distance = fmax(distance, fabs((double)a[p] - b[p]));
    return distance;
}

/* Everything of stage s that `got` has, `want` has, and nearly the same. */
static double compare_stage(const struct cascade *cascade, int s, const struct kept_result *got,
                            const struct kept_result *want, double tolerance, double map_top)
{
    const struct stage *stage = &cascade->stages[s];
    double distance = 0;

    assert_int_equal(isnan(got->result.score[s]), isnan(want->result.score[s]));
    assert_int_equal(got->result.logits[s] == NULL, want->result.logits[s] == NULL);
    assert_int_equal(got->result.map[s] == NULL, want->result.map[s] == NULL);
    if (isnan(want->result.score[s]))
        return 0;
    distance = fabs((double)got->result.score[s] - want->result.score[s]);
    assert_true(distance <= tolerance);
    for (int k = 0; k < stage->classes.n_classes; k++)
        assert_true(fabs((double)got->logits[s][k] - want->logits[s][k]) < 10 * tolerance);
    if (want->result.map[s] != NULL)
        assert_true(map_distance(got->maps[s], want->maps[s], stage->map_height * stage->map_width) <=
                    4 * tolerance * map_top);
    return distance;
}

/* A score so close to the threshold that rounding may decide otherwise is not asked. */
static bool is_close_call(const struct cascade *cascade, const struct kept_result *want, double tolerance)
{
    for (int s = 0; s < 3; s++)
        if (fabs((double)want->result.score[s] - cascade->stages[s].threshold) < tolerance)
            return true;
    return false;
}

/* OUT the numbers of stage runs that were compared. */
static int compare_all(const struct cascade *cascade, const struct kept_result *got,
                       const struct kept_result *want, double tolerance)
{
    int n_compared = 0;
    double worst = 0;

    for (int i = 0; i < CASCADE_PICTURES; i++) {
        if (is_close_call(cascade, &want[i], tolerance))
            continue;
        assert_int_equal(got[i].result.numeric_error, want[i].result.numeric_error);
        for (int s = 0; s < 3; s++) {
            worst =
                fmax(worst, compare_stage(cascade, s, &got[i], &want[i], tolerance, map_maximum(want, s)));
            n_compared += !isnan(want[i].result.score[s]);
        }
    }
    printf("           %d stage runs compared, scores differ by at most %.1e\n", n_compared, worst);
    return n_compared;
}

static void test_parity(void **state)
{
    static struct kept_result got[CASCADE_PICTURES], want[CASCADE_PICTURES];
    struct cascade cascade;
    (void)state;

    for (int k = 0; k < 2; k++) {
        enum precision precision = k == 0 ? PRECISION_F16 : PRECISION_BF16;
        double tolerance = k == 0 ? SCORE_TOLERANCE : 8 * SCORE_TOLERANCE;
        cascade_make(&cascade, precision);
        run_cpu(&cascade, MAPS_ALL, request_all, want);
        run_cuda(&cascade, MAPS_ALL, 8, request_all, got);
        int n = compare_all(&cascade, got, want, tolerance);
        assert_true(n > CASCADE_PICTURES && n < 3 * CASCADE_PICTURES); /* some went on, some did not */
        cascade_free(&cascade);
    }
}

/* Every mix of stages asked for, exhaustive or not, in one batch. */
static struct engine_request request_mixed(int index)
{
    return (struct engine_request){.stages = (uint32_t)index % 8, .exhaustive = index / 8 % 2 == 1};
}

static void test_requests_and_maps(void **state)
{
    static struct kept_result got[CASCADE_PICTURES], want[CASCADE_PICTURES];
    struct cascade cascade;
    (void)state;

    cascade_make(&cascade, PRECISION_F16);
    for (enum map_policy maps = MAPS_NONE; maps <= MAPS_ALL; maps++) {
        run_cpu(&cascade, maps, request_mixed, want);
        run_cuda(&cascade, maps, 12, request_mixed, got);
        compare_all(&cascade, got, want, SCORE_TOLERANCE);
    }
    cascade_free(&cascade);
}

/* Bit for bit the same, whatever the order of the device's streams and the company in the batch. */
static void test_same_answer_twice(void **state)
{
    static struct kept_result first[CASCADE_PICTURES], again[CASCADE_PICTURES];
    struct cascade cascade;
    (void)state;

    cascade_make(&cascade, PRECISION_F16);
    run_cuda(&cascade, MAPS_ALL, 8, request_all, first);
    for (unsigned seed = 2; seed < 8; seed++) {
        struct sim_options how = {seed, 1, (size_t)256 << 20, "Simulated GPU"};
        sim_reset(&how);
        memset(again, 0, sizeof(again));
        /* Batches of 8 in which other pictures are missing. */
        struct engine *engine;
        assert_int_equal(cascade_open_cuda(&cascade, MAPS_ALL, 8, &engine), STATUS_OK);
        assert_int_equal(cascade_run(&cascade, engine, CASCADE_PICTURES, (int)seed, request_all, again),
                         STATUS_OK);
        engine->close(engine);
        for (int i = 0; i < CASCADE_PICTURES; i++) {
            assert_memory_equal(first[i].result.score, again[i].result.score, 3 * sizeof(float));
            assert_memory_equal(first[i].logits, again[i].logits, sizeof(first[i].logits));
            assert_memory_equal(first[i].maps, again[i].maps, sizeof(first[i].maps));
        }
    }
    sim_reset(NULL);
    cascade_free(&cascade);
}

/* A coarse variant passes close calls to a finer one: its score must be the finer one's. */
static void test_variants(void **state)
{
    static struct kept_result got[CASCADE_PICTURES], coarse[CASCADE_PICTURES], fine[CASCADE_PICTURES];
    struct cascade cascade;
    int n_again = 0, n_kept = 0;
    (void)state;

    cascade_make(&cascade, PRECISION_BF16);
    run_cuda(&cascade, MAPS_ALL, 8, request_all, coarse);
    for (int s = 0; s < 3; s++)
        cascade.stages[s].variants[0].precision = PRECISION_F16;
    run_cuda(&cascade, MAPS_ALL, 8, request_all, fine);
    cascade.stages[0].n_variants = 2;
    cascade.stages[0].variants[0] = (struct variant){PRECISION_BF16, 0.4f};
    cascade.stages[0].variants[1] = (struct variant){PRECISION_F16, 0};
    run_cuda(&cascade, MAPS_ALL, 8, request_all, got);
    for (int i = 0; i < CASCADE_PICTURES; i++) {
        double margin = (double)coarse[i].logits[0][1] - coarse[i].logits[0][0];
        if (fabs(fabs(margin) - 0.4) < 1e-4)
            continue;
        bool again = fabs(margin) < 0.4;
        /* A later variant runs in smaller batches, so with other plans: not bit for bit. */
        assert_true(fabs((double)got[i].result.score[0] - (again ? fine : coarse)[i].result.score[0]) <
                    (again ? SCORE_TOLERANCE : 1e-9));
        n_again += again;
        n_kept += !again;
    }
    printf("           %d scored again, %d not\n", n_again, n_kept);
    assert_true(n_again > 0 && n_kept > 0);
    cascade_free(&cascade);
}

static void test_refused(void **state)
{
    struct cascade cascade;
    struct engine *engine;
    char said[2000];
    (void)state;

    cascade_make(&cascade, PRECISION_F32);
    support_capture();
    assert_int_equal(cascade_open_cuda(&cascade, MAPS_ALL, 8, &engine), STATUS_USAGE);
    support_captured(said, sizeof(said));
    assert_non_null(strstr(said, "the cuda engine computes in f16 or bf16, not f32"));
    cascade.stages[0].variants[0].precision = PRECISION_F16;
    support_capture();
    assert_int_equal(cascade_open_cuda(&cascade, MAPS_ALL, 5000, &engine), STATUS_USAGE);
    support_captured(said, sizeof(said));
    assert_non_null(strstr(said, "takes 1 to 1024 pictures at once"));
    cascade_free(&cascade);
    assert_int_equal(sim_count_leaks(), 0);
}

static void test_fit_batch(void **state)
{
    struct cascade cascade;
    struct engine_options options = {.all_stages = true};
    int large = 0, small = 0;
    (void)state;

    cascade_make(&cascade, PRECISION_F16);
    assert_int_equal(engine_cuda_fit_batch(&cascade, &options, &large), STATUS_OK);
    struct sim_options how = {1, 1, (size_t)8 << 20, "Small GPU"};
    sim_reset(&how);
    assert_int_equal(engine_cuda_fit_batch(&cascade, &options, &small), STATUS_OK);
    printf("           batches of %d in 256 MiB, of %d in 8 MiB\n", large, small);
    assert_true(large > small && small >= 1);
    struct engine *engine;
    static struct kept_result results[CASCADE_PICTURES];
    assert_int_equal(cascade_open_cuda(&cascade, MAPS_ALL, small, &engine), STATUS_OK);
    assert_int_equal(
        cascade_run(&cascade, engine, CASCADE_PICTURES, small < 8 ? small : 8, request_all, results),
        STATUS_OK);
    engine->close(engine);
    assert_int_equal(sim_count_leaks(), 0);
    sim_reset(NULL);
    cascade_free(&cascade);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parity),   cmocka_unit_test(test_requests_and_maps),
        cmocka_unit_test(test_variants), cmocka_unit_test(test_same_answer_twice),
        cmocka_unit_test(test_refused),  cmocka_unit_test(test_fit_batch),
    };
    return cmocka_run_group_tests_name("the CUDA engine on the simulated device", tests, NULL,
                                       support_teardown);
}
