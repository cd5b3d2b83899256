/*
 * Every call fails once: the n-th of all calls to CUDA and cuDNN, the n-th allocation, kernel or piece of
 * device work, one after the other through the life of an engine (open, three slots in flight, close).
 * Whatever fails, the outcome is a documented one (device.h, check.h, engine.h), nothing hangs, and nothing
 * is left allocated.
 *
 * By default every few calls, a different few each time round; EYESORE_FAULT_STRIDE=1 takes every one.
 */
#include "kernels/cuda/device.h"
#include "kernels/engine.h"
#include "tests/cuda/sim/sim.h"
#include "tests/unit/kernels/support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define N_PICTURES 10
#define BATCH 4 /* so that three slots are used, the last not full */
#define PICTURE_BYTES ((size_t)NARROW_SIZE * NARROW_SIZE * 3)

static uint8_t pictures[N_PICTURES][NARROW_SIZE * NARROW_SIZE * 3];
static struct cascade cascade;

static int close_cascade(void **state)
{
    for (int s = 0; s < 2; s++)
        stage_close(&cascade.stages[s]);
    return support_teardown(state);
}

static const char *kept_plans; /* a folder: plans are chosen once; NULL: by every engine */

struct outcome {
    enum status status;
    float scores[N_PICTURES][2];
    int n_halvings;
};

/* Pictures [first, first + n) in slots of `batch`, as many as there are slots at once. */
static enum status run_slots(struct engine_instance *instance, int batch, int first, int n,
                             struct outcome *out)
{
    enum status rc = STATUS_OK;
    struct engine_request requests[BATCH];
    struct engine_result results[BATCH];

    for (int i = 0; i < BATCH; i++)
        requests[i] = (struct engine_request){.stages = 3};
    for (int slot = 0; slot * batch < n; slot++) {
        int here = n - slot * batch < batch ? n - slot * batch : batch;
        memcpy(instance->slot(instance, slot), pictures[first + slot * batch], (size_t)here * PICTURE_BYTES);
        TRY(instance->submit(instance, slot, here, requests));
    }
    for (int slot = 0; slot * batch < n; slot++) {
        TRY(instance->collect(instance, slot, results));
        for (int i = 0; i < batch && slot * batch + i < n; i++)
            memcpy(out->scores[first + slot * batch + i], results[i].score, 2 * sizeof(float));
    }
out:
    return rc;
}

/* All pictures. The engine may have come up with smaller slots than it was asked for. */
static enum status run_pictures(struct engine_instance *instance, int batch, struct outcome *out)
{
    enum status rc = STATUS_OK;
    int round = batch * instance->n_slots;

    for (int first = 0; first < N_PICTURES; first += round)
        TRY(run_slots(instance, batch, first, N_PICTURES - first < round ? N_PICTURES - first : round, out));
out:
    return rc;
}

/* An engine's whole life. */
static enum status live(struct outcome *out)
{
    enum status rc = STATUS_OK;
    const struct engine_options options = {
        .maps = MAPS_ALL, .n_instances = 1, .batch = BATCH, .plan_folder = kept_plans};
    struct engine *engine = NULL;
    struct engine_instance *instance = NULL;
    struct engine_notes notes;

    TRY(device_choose(0));
    TRY(engine_cuda_open(&cascade, &options, &engine));
    TRY(engine->instance_open(engine, &instance));
    TRY(run_pictures(instance, engine->batch, out));
out:
    if (instance != NULL)
        instance->close(instance);
    if (engine != NULL) {
        engine->read_notes(engine, &notes);
        out->n_halvings = notes.n_halvings;
        engine->close(engine);
    }
    return rc;
}

static struct outcome run_with(const char *call, int n, int error)
{
    struct outcome out = {0};

    sim_reset(NULL);
    if (call != NULL)
        sim_fault(call, n, error);
    out.status = live(&out);
    return out;
}

/* Of the first stage: so that some pictures go on and some do not. */
static void choose_threshold(void)
{
    struct outcome all = run_with(NULL, 0, 0);
    float sum = 0;

    assert_int_equal(all.status, STATUS_OK);
    for (int i = 0; i < N_PICTURES; i++)
        sum += all.scores[i][0];
    cascade.stages[0].threshold = sum / N_PICTURES;
}

/* Two small DenseNets with CBAM: every kind of step is in them but the depthwise one. */
static int open_cascade(void **state)
{
    (void)state;

    cascade = (struct cascade){.n_stages = 2, .size = NARROW_SIZE};
    for (int s = 0; s < 2; s++) {
        struct geometry geometry = narrow_geometry(ARCH_DENSENET, CBAM_TIMM, 2);
        struct stage *stage = &cascade.stages[s];
        geometry.layers[0] = 1;
        geometry.layers[1] = s == 0 ? 1 : 0;
        geometry.layers[2] = geometry.layers[3] = 0;
        *stage = (struct stage){.threshold = 0, .std = {0.2f, 0.2f, 0.2f}, .n_variants = 1};
        stage->variants[0].precision = PRECISION_F16;
        snprintf(stage->name, sizeof(stage->name), "stage%d", s);
        snprintf(stage->weights_path, sizeof(stage->weights_path), "%s",
                 narrow_write(&geometry, 90 + (uint64_t)s, stage->name));
        assert_int_equal(stage_open(stage, NARROW_SIZE, NULL, NULL), STATUS_OK);
    }
    for (int i = 0; i < N_PICTURES; i++)
        support_fill_pixels(500 + (uint64_t)i, pictures[i], PICTURE_BYTES);
    choose_threshold();
    return 0;
}

static double distance(const struct outcome *a, const struct outcome *b)
{
    double worst = 0;

    for (int i = 0; i < N_PICTURES; i++)
        for (int s = 0; s < 2; s++)
            if (!isnan(b->scores[i][s]) || !isnan(a->scores[i][s]))
                worst = fmax(worst, fabs((double)a->scores[i][s] - b->scores[i][s]));
    return worst;
}

struct tally {
    int n_runs, n_fine, n_halved, n_place, n_internal;
};

/* Fault the n-th `call` for every n until it does not happen any more. `internal`: may be taken for a bug. */
static struct tally fault_each(const char *call, int error, int stride, const struct outcome *undisturbed,
                               bool may_be_internal)
{
    struct tally t = {0};

    for (int n = 1;; n += stride) {
        struct outcome out = run_with(call, n, error);
        bool happened = sim_fault_happened();
        sim_fault(call, 0, 0);
        if (sim_count_leaks() != 0)
            fail_msg("%s number %d, error %d: something is left behind", call, n, error);
        t.n_runs++;
        t.n_fine += out.status == STATUS_OK && out.n_halvings == 0;
        t.n_halved += out.status == STATUS_OK && out.n_halvings > 0;
        t.n_place += out.status == STATUS_PLACE;
        t.n_internal += out.status == STATUS_INTERNAL;
        /* Another plan may be taken: one whose workspace there is room for, or that can be made. */
        bool may_round = error == cudaErrorMemoryAllocation || strcmp(call, "*") == 0;
        if (out.status == STATUS_OK && !(distance(&out, undisturbed) <= (may_round ? 5e-3 : 0)))
            fail_msg("%s number %d, error %d: other scores", call, n, error);
        if (out.status != STATUS_OK && out.status != STATUS_PLACE &&
            !(may_be_internal && out.status == STATUS_INTERNAL))
            fail_msg("%s number %d, error %d: answered %s", call, n, error, status_name(out.status));
        if (!happened)
            break;
    }
    print_message("           %-16s error %4d: %d runs: %d fine, %d with a smaller batch, %d given up\n",
                  call, error, t.n_runs, t.n_fine, t.n_halved, t.n_place + t.n_internal);
    return t;
}

/* From here on engines take their plans from a folder, where they are by now. */
static void keep_plans(void)
{
    kept_plans = support_path("plans");
    assert_int_equal(run_with(NULL, 0, 0).status, STATUS_OK);
}

static int stride_or(int fallback)
{
    const char *given = getenv("EYESORE_FAULT_STRIDE");
    return given == NULL ? fallback : atoi(given);
}

static void test_undisturbed(void **state)
{
    struct outcome a = run_with(NULL, 0, 0), b = run_with(NULL, 0, 0);
    int n_second = 0;
    (void)state;

    assert_int_equal(a.status, STATUS_OK);
    assert_int_equal(sim_count_leaks(), 0);
    for (int i = 0; i < N_PICTURES; i++)
        n_second += !isnan(a.scores[i][1]);
    assert_true(n_second > 0 && n_second < N_PICTURES);
    assert_memory_equal(a.scores, b.scores, sizeof(a.scores));
    print_message("           %d calls, %d of %d pictures went on\n", sim_count_calls(), n_second,
                  N_PICTURES);
}

static void test_any_call(void **state)
{
    struct outcome undisturbed = run_with(NULL, 0, 0);
    struct tally t = fault_each("*", 0, stride_or(47), &undisturbed, true);
    (void)state;

    assert_true(t.n_place > t.n_runs / 3);
    assert_int_equal(t.n_halved, 0);
}

static void test_out_of_memory(void **state)
{
    struct outcome undisturbed = run_with(NULL, 0, 0);
    struct tally t = fault_each("cudaMalloc", 2, 1, &undisturbed, false);
    (void)state;

    assert_true(t.n_halved > 0);
    assert_int_equal(t.n_place, 0); /* one allocation that fails is never the end */
    keep_plans();                   /* so that the launches are those of the three slots */
    t = fault_each("cudaGraphLaunch", 2, 1, &undisturbed, false);
    kept_plans = NULL;
    assert_int_equal(t.n_place, 0);
    assert_int_equal(t.n_halved, t.n_runs - 1);
}

static void test_sticky(void **state)
{
    struct outcome undisturbed = run_with(NULL, 0, 0);
    (void)state;

    keep_plans();
    for (int k = 0; k < 3; k++) {
        static const int errors[] = {cudaErrorIllegalAddress, cudaErrorECCUncorrectable,
                                     cudaErrorLaunchFailure};
        struct tally t = fault_each("exec", errors[k], stride_or(23), &undisturbed, false);
        assert_true(t.n_place >= t.n_runs - 2);
    }
    fault_each("launch", cudaErrorIllegalAddress, stride_or(3), &undisturbed, false);
    kept_plans = NULL;
}

/* Said where it happened, and remembered. */
static void test_named(void **state)
{
    char said[8000], fault[DEVICE_FAULT_SIZE];
    (void)state;

    support_capture();
    struct outcome out = run_with("exec", 40, cudaErrorIllegalAddress);
    support_captured(said, sizeof(said));
    assert_int_equal(out.status, STATUS_PLACE);
    assert_non_null(strstr(said, "CUDA: cudaErrorIllegalAddress"));
    assert_non_null(strstr(said, "GPU 0, Simulated GPU"));
    assert_non_null(strstr(said, "kernels/cuda/"));
    device_read_fault(fault);
    assert_true(fault[0] != '\0');
    assert_int_equal(sim_count_leaks(), 0);
    sim_reset(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_undisturbed),   cmocka_unit_test(test_any_call),
        cmocka_unit_test(test_out_of_memory), cmocka_unit_test(test_sticky),
        cmocka_unit_test(test_named),
    };
    log_set_level(LOG_ERROR);
    alarm(1500); /* a hang is a failure */
    return cmocka_run_group_tests_name("faults on the simulated device", tests, open_cascade, close_cascade);
}
