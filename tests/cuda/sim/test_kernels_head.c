/* The head's kernel against the CPU engine's rules. */
#include "tests/cuda/sim/kernel_head.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 6
#define IN_HAND 4

/* In hand are the rows 1, 5 and 0; the fourth place of the pass is beyond the list's end. */
static const struct pass_list list = {.count = 4, .first = 1, .row = {4, 1, 5, 0}};
#define N_IN_HAND 3

/* A head on the device, with a batch around it. */
struct bench {
    struct head_rules rules;
    struct slice features;
    struct stage_results at;
    size_t results_bytes;
    unsigned char *results; /* on the host */
    struct batch_control control;
    struct batch_slot slot;
    struct head_args args;
};

static struct slice features_make(enum element element, int h, int w, int c)
{
    return slice_random(element, (struct slice_shape){IN_HAND, h, w, c, c + 16, 8}, 11, -1, 2);
}

/* Rows 1 and 4 are exhaustive. */
static void bench_open(struct bench *b, int variant)
{
    b->control.n = BATCH;
    b->control.rows[1].exhaustive = b->control.rows[4].exhaustive = 1;
    b->results_bytes = 0;
    b->at = head_lay_out(&b->rules, BATCH, &b->results_bytes);
    b->results = malloc(b->results_bytes);
    assert_non_null(b->results);
    b->slot.control = device_copy(&b->control, sizeof(b->control));
    b->slot.results = device_copy(NULL, b->results_bytes);
    b->args = head_args_make(&b->rules, variant, b->features.element);
    b->args.in = b->features.map;
    b->args.slot = device_copy(&b->slot, sizeof(b->slot));
    b->args.list = device_copy(&list, sizeof(list));
    b->args.state = device_copy(NULL, BATCH * sizeof(int));
    b->args.results = b->at;
}

static void bench_close(struct bench *b)
{
    head_rules_free(&b->rules);
    slice_free(&b->features);
    free(b->results);
}

/* Rows that are not in hand keep their bytes of 0xff. */
static void assert_untouched(const struct bench *b, const int *states, int row)
{
    size_t n_classes = (size_t)b->rules.stage.classes.n_classes, places = (size_t)b->rules.n_places,
           at = (size_t)row;
    const unsigned char *rows = b->results + b->at.rows + at * sizeof(struct row_result);
    const unsigned char *logits = b->results + b->at.logits + at * n_classes * sizeof(float);
    const unsigned char *map = b->results + b->at.maps + at * places * sizeof(float);

    assert_int_equal(states[row], -1);
    for (size_t i = 0; i < sizeof(struct row_result); i++)
        assert_int_equal(rows[i], 0xff);
    for (size_t i = 0; i < n_classes * sizeof(float); i++)
        assert_int_equal(logits[i], 0xff);
    for (size_t i = 0; i < places * sizeof(float); i++)
        assert_int_equal(map[i], 0xff);
}

/* Launch, then compare every row. OUT n_answers: how many rows ended in each state. */
static void bench_check(struct bench *b, int variant, int n_states[3])
{
    bool touched[BATCH] = {false};
    int states[BATCH];
    float *features = b->features.values;
    size_t picture = (size_t)b->rules.c * (size_t)b->rules.n_places;

    assert_cuda(head_launch(&b->args, device_stream));
    device_read(b->args.state, states, sizeof(states));
    device_read(b->slot.results, b->results, b->results_bytes);
    memset(n_states, 0, 3 * sizeof(*n_states));
    for (int j = 0; j < N_IN_HAND; j++) {
        int row = list.row[list.first + j];
        struct head_expected expected = head_expect(&b->rules, variant, b->control.rows[row].exhaustive != 0,
                                                    features + (size_t)j * picture);
        head_assert_row(&b->rules, b->results, b->at, row, &expected);
        assert_int_equal(states[row], expected.state);
        n_states[expected.state]++;
        touched[row] = true;
        head_expected_free(&expected);
    }
    for (int row = 0; row < BATCH; row++)
        if (!touched[row])
            assert_untouched(b, states, row);
}

struct example {
    enum element element;
    int h, w, c, n_classes;
    const char *classes, *kind;
    float threshold;
    enum kernel_maps maps;
    bool has_prologue;
    enum kernel_activation activation;
};

static void check(const struct example *e)
{
    struct bench b = {
        .rules = head_rules_make(e->c, e->h * e->w, e->n_classes, e->classes, e->kind, e->threshold, 21),
        .features = features_make(e->element, e->h, e->w, e->c)};
    int n_states[3];

    b.rules.maps = e->maps;
    b.rules.activation = e->activation;
    if (e->has_prologue) {
        b.rules.scale = random_floats(31, 0.5f, 2, (size_t)e->c);
        b.rules.shift = random_floats(32, -1, 1, (size_t)e->c);
    }
    bench_open(&b, 0);
    bench_check(&b, 0, n_states);
    bench_close(&b);
}

static void test_parity(void **state)
{
    static const struct example examples[] = {
        {ELEMENT_F16, 7, 7, 16, 2, NULL, NULL, 0.5f, KERNEL_MAPS_ALL, false, KERNEL_NONE},
        {ELEMENT_BF16, 7, 7, 48, 1, NULL, NULL, 0.3f, KERNEL_MAPS_ALL, true, KERNEL_RELU},
        {ELEMENT_F16, 7, 7, 2208, 2, "0", NULL, 0.4f, KERNEL_MAPS_PASSED, true, KERNEL_RELU},
        {ELEMENT_BF16, 7, 7, 1280, 2, NULL, NULL, 0.9f, KERNEL_MAPS_NONE, false, KERNEL_RELU6},
        {ELEMENT_F16, 13, 13, 208, 1000, "300-326", NULL, 0.01f, KERNEL_MAPS_ALL, true, KERNEL_RELU},
        {ELEMENT_F16, 13, 13, 208, 1000, "0,7,990-999", NULL, 0.02f, KERNEL_MAPS_PASSED, false, KERNEL_NONE},
        {ELEMENT_BF16, 7, 7, 520, 10, "1,4,5", "sigmoid", 0.6f, KERNEL_MAPS_ALL, false, KERNEL_NONE},
        {ELEMENT_F16, 7, 7, 520, 10, "0-9", "sigmoid", 0.6f, KERNEL_MAPS_PASSED, true, KERNEL_RELU6},
        {ELEMENT_F16, 2, 3, 5120, 3, "2", "sigmoid", 0.5f, KERNEL_MAPS_ALL, false, KERNEL_RELU},
        {ELEMENT_F16, 32, 32, 8, 3, "1-2", NULL, 0.5f, KERNEL_MAPS_ALL, false, KERNEL_NONE},
        {ELEMENT_F16, 1, 1, 64, 40, "3-30", NULL, 0.5f, KERNEL_MAPS_ALL, false, KERNEL_NONE},
    };

    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        check(&examples[i]);
        device_free_all(state);
    }
}

/* A band around the threshold hands rows to the next variant, which makes the last word. */
static void test_bands(void **state)
{
    static const float bands[] = {0.01f, 0.6f, 100};
    int n_again = 0, n_decided = 0, n_states[3];

    for (size_t i = 0; i < 3; i++) {
        for (int variant = 0; variant < 2; variant++) {
            struct bench b = {.rules = head_rules_make(48, 49, 2, NULL, NULL, 0.5f, 22),
                              .features = features_make(ELEMENT_F16, 7, 7, 48)};
            b.rules.stage.n_variants = 2;
            b.rules.stage.variants[0].band = bands[i];
            bench_open(&b, variant);
            bench_check(&b, variant, n_states);
            bench_close(&b);
            device_free_all(state);
            if (variant == 1)
                assert_int_equal(n_states[ROW_AGAIN], 0);
            n_again += n_states[ROW_AGAIN];
            n_decided += n_states[ROW_OFF] + n_states[ROW_WANTED];
        }
    }
    assert_true(n_again >= N_IN_HAND && n_decided > N_IN_HAND);
}

/* Whatever is not finite: NaN and infinity in features, logits of either kind of head, watched or not. */
static void test_not_finite(void **state)
{
    static const char *const kinds[] = {"softmax", "sigmoid"}, *const classes[] = {"1", "1-2"};
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    int n_states[3];

    for (int i = 0; i < 3 * 2 * 2 * 3; i++) {
        struct bench b = {.rules = head_rules_make(48, 49, 4, classes[i / 3 % 2], kinds[i / 6 % 2], 0.5f, 23),
                          .features = features_make(ELEMENT_F16, 7, 7, 48)};
        int where = i / 12;
        if (where == 0)
            *slice_at(&b.features, 1, 2, 3, 40) = bad[i % 3];
        else
            b.rules.bias[where == 1 ? 3 : 1] = bad[i % 3]; /* of a class not watched, and of one that is */
        slice_write(&b.features);
        bench_open(&b, 0);
        bench_check(&b, 0, n_states);
        bench_close(&b);
        device_free_all(state);
    }
}

/*
 * A map that overflows behind a score that does not: two channels add up where they meet. Several times,
 * since the threads of a block run in another order each time.
 */
static void test_map_overflow(void **state)
{
    int n_states[3];

    for (int i = 0; i < 8; i++) {
        struct bench b = {.rules = head_rules_make(16, 49, 1, NULL, NULL, 0.5f, 27),
                          .features = features_make(ELEMENT_BF16, 7, 7, 16)};
        memset(b.features.values, 0, IN_HAND * 49 * 16 * sizeof(float));
        *slice_at(&b.features, 0, 6, i % 7, 0) = *slice_at(&b.features, 0, 6, i % 7, 2) = 2e38f;
        *slice_at(&b.features, 0, 1, 0, 1) = 2e38f;
        b.rules.weight[0] = b.rules.weight[2] = 49 * 0.9f;
        b.rules.weight[1] = -49 * 0.9f;
        slice_write(&b.features);
        bench_open(&b, 0);
        bench_check(&b, 0, n_states);
        const struct row_result *row = (const struct row_result *)(const void *)(b.results + b.at.rows) + 1;
        assert_true(row->score == 1);
        assert_int_equal(row->flags, RESULT_RAN | RESULT_MAP | RESULT_NUMERIC_ERROR);
        bench_close(&b);
        device_free_all(state);
    }
}

/* Logits so far apart that exponentials vanish. */
static void test_extremes(void **state)
{
    int n_states[3];

    for (int i = 0; i < 4; i++) {
        struct bench b = {.rules = head_rules_make(16, 49, 6, i % 2 == 0 ? "2,4" : "2", NULL, 0.5f, 24),
                          .features = features_make(ELEMENT_BF16, 7, 7, 16)};
        b.rules.bias[0] = i < 2 ? 2000 : -3e38f;
        b.rules.bias[2] = -900;
        bench_open(&b, 0);
        bench_check(&b, 0, n_states);
        bench_close(&b);
        device_free_all(state);
    }
}

/* Ties between watched classes of a sigmoid head go to the first. */
static void test_ties(void **state)
{
    struct bench b = {.rules = head_rules_make(16, 49, 40, "3,7,35-39", "sigmoid", 0.5f, 25),
                      .features = features_make(ELEMENT_F16, 7, 7, 16)};
    int n_states[3];
    (void)state;

    for (int k = 0; k < 40; k++)
        for (int c = 0; c < 16; c++) /* no weight reaches the logits: features are zero where it is not 0 */
            b.rules.weight[k * 16 + c] = c < 8 ? 0 : (float)(k + 1);
    for (int i = 0; i < IN_HAND * 49 * 16; i++)
        b.features.values[i] = i % 16 < 8 ? b.features.values[i] : 0;
    *slice_at(&b.features, 0, 0, 0, 8) = 1;
    *slice_at(&b.features, 0, 0, 1, 8) = -1;
    slice_write(&b.features);
    for (int k = 0; k < 40; k++)
        b.rules.bias[k] = 0.25f;
    bench_open(&b, 0);
    bench_check(&b, 0, n_states);
    bench_close(&b);
}

/* The same picture alone, and among others in another place: the same bits. */
static void test_independence(void **state)
{
    struct pass_list one = {.count = 1, .first = 0, .row = {2}};
    unsigned char *alone;
    struct bench b = {.rules = head_rules_make(208, 49, 10, "2-4", NULL, 0.5f, 26),
                      .features = features_make(ELEMENT_F16, 7, 7, 208)};
    int n_states[3];
    size_t logits = 10 * sizeof(float), map = 49 * sizeof(float);
    (void)state;

    bench_open(&b, 0);
    bench_check(&b, 0, n_states);
    memcpy(b.features.values, slice_at(&b.features, 2, 0, 0, 0), 49 * 208 * sizeof(float)); /* of row 0 */
    slice_write(&b.features);
    b.args.in.n = 1;
    b.args.list = device_copy(&one, sizeof(one));
    assert_cuda(head_launch(&b.args, device_stream));
    alone = malloc(b.results_bytes);
    assert_non_null(alone);
    device_read(b.slot.results, alone, b.results_bytes);
    assert_memory_equal(alone + b.at.rows + 2 * sizeof(struct row_result), b.results + b.at.rows,
                        sizeof(struct row_result));
    assert_memory_equal(alone + b.at.logits + 2 * logits, b.results + b.at.logits, logits);
    assert_memory_equal(alone + b.at.maps + 2 * map, b.results + b.at.maps, map);
    free(alone);
    bench_close(&b);
}

/* Nothing in hand: nothing is touched, also with the largest feature map and its shared memory. */
static void test_limits(void **state)
{
    static const struct pass_list none = {.count = 0};
    struct head_args args = {.in = {NULL, 2, 32, 32, HEAD_MAX_CHANNELS, HEAD_MAX_CHANNELS}};
    (void)state;

    args.list = device_copy(&none, sizeof(none));
    assert_cuda(head_launch(&args, device_stream));
    assert_cuda(cudaStreamSynchronize(device_stream));
    args.in.c = HEAD_MAX_CHANNELS + 8;
    assert_int_equal(head_launch(&args, device_stream), cudaErrorInvalidValue);
    args.in.c = 8;
    args.in.h = 33;
    assert_int_equal(head_launch(&args, device_stream), cudaErrorInvalidValue);
    args.in.h = 1;
    args.in.c = 12;
    assert_int_equal(head_launch(&args, device_stream), cudaErrorInvalidValue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_parity, device_free_all),
        cmocka_unit_test_teardown(test_bands, device_free_all),
        cmocka_unit_test_teardown(test_not_finite, device_free_all),
        cmocka_unit_test_teardown(test_map_overflow, device_free_all),
        cmocka_unit_test_teardown(test_extremes, device_free_all),
        cmocka_unit_test_teardown(test_ties, device_free_all),
        cmocka_unit_test_teardown(test_independence, device_free_all),
        cmocka_unit_test_teardown(test_limits, device_free_all),
    };
    return cmocka_run_group_tests(tests, device_open, device_close);
}
