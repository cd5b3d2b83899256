/*
 * test_network FOLDER CROPS GOLDEN RESULTS RESULTS_BF16: the CPU engine beside PyTorch's stored answers
 * (golden.safetensors, by make_golden.py from the same weights and crops), network by network; its own
 * answers are written to RESULTS, for live.py. Exits 77 where there are no crops.
 *
 * Tolerances (f32): logits and sums 1e-3 * max(1, max|z|), maps 1e-3 of the picture's maximum. bf16: scores
 * 0.02, maps 5% of the maximum.
 */
#include "kernels/engine.h"
#include "kernels/weights.h"
#include "tests/parity/answers.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define EXIT_SKIPPED 77
#define TOLERANCE 1e-3
#define BF16_SCORE_TOLERANCE 0.02
#define BF16_MAP_TOLERANCE 0.05

struct context {
    const char *folder;
    uint8_t *crops;
    struct weights *golden, *results, *results_bf16;
};

/* A test's state: one network, with what all share. */
struct test_state {
    const struct parity_network *network;
    struct context *context;
};

struct golden {
    int n_places;
    float logits[PARITY_PICTURES * PARITY_CLASSES]; /* [n, k] */
    float maps[PARITY_PICTURES][PARITY_MAX_PLACES];
    float raw_sum[PARITY_PICTURES];
};

static const struct tensor *golden_tensor(const struct weights *file, const char *name, const char *key,
                                          int n_dims)
{
    char full[TENSOR_NAME_SIZE];
    snprintf(full, sizeof(full), "%s.%s", name, key);
    const struct tensor *t = weights_find(file, full);
    if (t == NULL)
        fail_msg("no %s in the golden values: run make_golden.py", full);
    assert_int_equal(t->n_dims, n_dims);
    assert_int_equal(t->dim[0], PARITY_PICTURES);
    return t;
}

static void read_golden(const struct weights *file, const char *name, struct golden *out)
{
    const struct tensor *logits = golden_tensor(file, name, "logits", 2);
    const struct tensor *maps = golden_tensor(file, name, "maps", 3);
    const struct tensor *sums = golden_tensor(file, name, "raw_sum", 1);
    float packed[PARITY_PICTURES * PARITY_MAX_PLACES];

    assert_int_equal(logits->dim[1], PARITY_CLASSES);
    out->n_places = (int)(maps->dim[1] * maps->dim[2]);
    assert_in_range(out->n_places, 1, PARITY_MAX_PLACES);
    tensor_to_f32(logits, out->logits);
    tensor_to_f32(sums, out->raw_sum);
    tensor_to_f32(maps, packed);
    for (int i = 0; i < PARITY_PICTURES; i++)
        memcpy(out->maps[i], packed + i * out->n_places, (size_t)out->n_places * sizeof(float));
}

static double map_maximum(const float *map, int n)
{
    double top = 0;
    for (int p = 0; p < n; p++)
        top = fmax(top, map[p]);
    return top;
}

/* Values that a wrong program could not meet by chance: spread logits, maps that are not all zero. */
static void check_golden_is_telling(const struct golden *golden)
{
    int n_not_zero = 0;

    for (int k = 0; k < PARITY_CLASSES; k++) {
        double sum = 0, squares = 0;
        for (int i = 0; i < PARITY_PICTURES; i++) {
            sum += golden->logits[i * PARITY_CLASSES + k];
            squares +=
                (double)golden->logits[i * PARITY_CLASSES + k] * golden->logits[i * PARITY_CLASSES + k];
        }
        double mean = sum / PARITY_PICTURES;
        assert_true(sqrt(squares / PARITY_PICTURES - mean * mean) > 1);
    }
    for (int i = 0; i < PARITY_PICTURES; i++)
        n_not_zero += map_maximum(golden->maps[i], golden->n_places) > 0;
    assert_true(2 * n_not_zero >= PARITY_PICTURES);
}

static double largest_logit(const struct golden *golden)
{
    double top = 1;
    for (int i = 0; i < PARITY_PICTURES * PARITY_CLASSES; i++)
        top = fmax(top, fabs((double)golden->logits[i]));
    return top;
}

static double largest(double a, double b)
{
    return b > a || isnan(b) ? b : a; /* unlike fmax, a NaN stays */
}

static double logit_deviation(const struct answers *ours, const struct golden *golden)
{
    double deviation = 0;
    for (int i = 0; i < PARITY_PICTURES * PARITY_CLASSES; i++)
        deviation = largest(deviation, fabs((double)ours->logits[i] - golden->logits[i]));
    return deviation / largest_logit(golden);
}

/* The sums of the raw maps beside PyTorch's, and beside our own logit minus bias. */
static double sum_deviation(const struct answers *ours, const struct golden *golden)
{
    double deviation = 0;
    for (int i = 0; i < PARITY_PICTURES; i++) {
        deviation = largest(deviation, fabs((double)ours->raw_sum[i] - golden->raw_sum[i]));
        deviation = largest(deviation, fabs((double)ours->raw_sum[i] -
                                            (ours->logits[i * PARITY_CLASSES + 1] - ours->head_bias)));
    }
    return deviation / largest_logit(golden);
}

/* As a share of each picture's maximum; of all pictures' where the picture's own map is zero. */
static double map_deviation(const struct answers *ours, const struct golden *golden)
{
    double deviation = 0, top_of_all = 0;

    for (int i = 0; i < PARITY_PICTURES; i++)
        top_of_all = fmax(top_of_all, map_maximum(golden->maps[i], golden->n_places));
    for (int i = 0; i < PARITY_PICTURES; i++) {
        double top = map_maximum(golden->maps[i], golden->n_places);
        for (int p = 0; p < golden->n_places; p++)
            deviation = largest(deviation, fabs((double)ours->maps[i][p] - golden->maps[i][p]) /
                                               (top > 0 ? top : top_of_all));
    }
    return deviation;
}

static double score_deviation(const struct answers *ours, const struct golden *golden)
{
    double deviation = 0;
    for (int i = 0; i < PARITY_PICTURES; i++) {
        double theirs =
            1 /
            (1 + exp((double)golden->logits[i * PARITY_CLASSES] - golden->logits[i * PARITY_CLASSES + 1]));
        deviation = largest(deviation, fabs(ours->score[i] - theirs));
    }
    return deviation;
}

static void keep(struct weights *results, const char *name, const char *key, const float *values,
                 size_t stride, const int64_t *dims, int n_dims)
{
    char full[TENSOR_NAME_SIZE];
    struct tensor *t;

    snprintf(full, sizeof(full), "%s.%s", name, key);
    assert_int_equal(weights_take(results, full, dims, n_dims, &t), STATUS_OK);
    size_t row = (size_t)t->n_elements / PARITY_PICTURES;
    for (size_t i = 0; i < PARITY_PICTURES; i++)
        memcpy(t->own + i * row, values + i * stride, row * sizeof(float));
}

static void keep_answers(struct weights *results, const char *name, const struct answers *ours)
{
    int side = (int)lround(sqrt(ours->n_places));
    const int64_t logits[] = {PARITY_PICTURES, PARITY_CLASSES}, maps[] = {PARITY_PICTURES, side, side};

    keep(results, name, "logits", ours->logits, PARITY_CLASSES, logits, 2);
    keep(results, name, "maps", ours->maps[0], PARITY_MAX_PLACES, maps, 3);
    keep(results, name, "raw_sum", ours->raw_sum, 1, maps, 1);
}

static void check_bf16(const struct context *context, const char *name, const char *path,
                       const struct golden *golden)
{
    struct answers ours;

    if (!engine_cpu_has_bf16()) {
        printf("           %s: bf16 skipped, this CPU has none\n", name);
        return;
    }
    assert_int_equal(answers_compute(path, context->crops, PRECISION_BF16, &ours), STATUS_OK);
    keep_answers(context->results_bf16, name, &ours);
    double score = score_deviation(&ours, golden), maps = map_deviation(&ours, golden);
    printf("           %-22s bf16: scores %.4f, maps %.4f\n", name, score, maps);
    assert_true(score <= BF16_SCORE_TOLERANCE);
    assert_true(maps <= BF16_MAP_TOLERANCE);
}

static void test_against_golden(void **state)
{
    const struct test_state *test = *state;
    const struct context *context = test->context;
    char name[64], path[4096];
    struct answers ours;
    struct golden golden;

    parity_name(test->network, name, sizeof(name));
    snprintf(path, sizeof(path), "%s/%s.safetensors", context->folder, name);
    assert_int_equal(answers_compute(path, context->crops, PRECISION_F32, &ours), STATUS_OK);
    keep_answers(context->results, name, &ours); /* first of all: live.py needs them whatever is found here */
    read_golden(context->golden, name, &golden);
    assert_int_equal(ours.n_places, golden.n_places);
    check_golden_is_telling(&golden);
    double logits = logit_deviation(&ours, &golden), sums = sum_deviation(&ours, &golden);
    double maps = map_deviation(&ours, &golden);
    printf("           %-22s f32: logits %.1e, sums %.1e, maps %.1e\n", name, logits, sums, maps);
    if (!(logits <= TOLERANCE))
        fail_msg("where kernels/weights_init.c has changed, the golden values must be made anew: see "
                 "CMakeLists.txt");
    assert_true(sums <= TOLERANCE);
    assert_true(maps <= TOLERANCE);
    check_bf16(context, name, path, &golden);
}

static enum status read_crops(const char *path, uint8_t **out)
{
    enum status rc = STATUS_OK;
    struct weights *file = NULL;
    float *values = NULL;
    uint8_t *crops = NULL;

    TRY(weights_open(path, &file));
    const struct tensor *t = weights_find(file, "crops");
    if (t == NULL || t->n_elements != (int64_t)PARITY_PICTURES * PARITY_SIZE * PARITY_SIZE * 3)
        FAIL(STATUS_INPUT, "%s: no tensor crops of %d pictures", path, PARITY_PICTURES);
    values = malloc((size_t)t->n_elements * sizeof(float));
    crops = malloc((size_t)t->n_elements);
    if (values == NULL || crops == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    tensor_to_f32(t, values);
    for (int64_t i = 0; i < t->n_elements; i++)
        crops[i] = (uint8_t)values[i];
    *out = crops;
    crops = NULL;
out:
    free(crops);
    free(values);
    weights_close(file);
    return rc;
}

static int run_networks(struct context *context)
{
    struct CMUnitTest tests[PARITY_NETWORKS];
    struct test_state states[PARITY_NETWORKS];
    char names[PARITY_NETWORKS][64];

    for (int i = 0; i < PARITY_NETWORKS; i++) {
        parity_name(&parity_networks[i], names[i], sizeof(names[i]));
        states[i] = (struct test_state){&parity_networks[i], context};
        tests[i] = (struct CMUnitTest){
            .name = names[i], .test_func = test_against_golden, .initial_state = &states[i]};
    }
    return cmocka_run_group_tests_name("networks beside PyTorch", tests, NULL, NULL);
}

int main(int argc, char **argv)
{
    enum status rc = STATUS_OK;
    struct context context = {0};
    int n_failed = 1;

    if (argc != 6)
        FAIL(STATUS_USAGE, "usage: test_network FOLDER CROPS GOLDEN RESULTS RESULTS_BF16");
    if (access(argv[2], R_OK) != 0) {
        printf("skipped: no crops (Debian package tuxpaint-stamps-default)\n");
        return EXIT_SKIPPED;
    }
    context.folder = argv[1];
    TRY(read_crops(argv[2], &context.crops));
    TRY(weights_declare(&context.results));
    TRY(weights_declare(&context.results_bf16));
    TRY(weights_open(argv[3], &context.golden));
    n_failed = run_networks(&context);
    if (context.results->n_tensors > 0)
        TRY(weights_write(context.results, argv[4], "f32"));
    if (context.results_bf16->n_tensors > 0)
        TRY(weights_write(context.results_bf16, argv[5], "bf16"));
out:
    weights_close(context.golden);
    weights_close(context.results);
    weights_close(context.results_bf16);
    free(context.crops);
    return n_failed != 0 || rc != STATUS_OK;
}
