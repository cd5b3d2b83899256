/*
 * The kernels as the engine captures them: begin, then for each pass select and a while loop of {input, head,
 * advance}, in one graph. The network is the shortest there is: the head looks at the normalised pixels.
 */
#include "tests/cuda/sim/kernel_head.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 70      /* of a slot */
#define PASS_BATCH 16 /* of a pass: several turns of a loop */
#define SIZE 8
#define CHANNELS 8 /* the head's: two neighbouring places of the input's 4 */
#define N_PLACES (SIZE * SIZE * 4 / CHANNELS)
#define N_FEATURES (N_PLACES * CHANNELS)
#define N_STAGES 2
#define N_PASSES 3

static const int stage_of[N_PASSES] = {0, 0, 1}, variant_of[N_PASSES] = {0, 1, 0};

/* What the passes share. */
struct engine {
    struct head_rules rules[N_PASSES];
    struct stage_results results[N_STAGES];
    size_t results_bytes;
    struct slice values; /* of a pass: [PASS_BATCH, SIZE, SIZE, 4] */
    struct batch_slot *slot;
    struct pass_list *list;
    int *state;
    cudaStream_t body;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
};

static const float scale[3] = {0.02f, 0.01f, 0.03f}, shift[3] = {-2.5f, -1, -4};

static void capture_turn(struct engine *e, int pass, cudaGraphConditionalHandle loop)
{
    struct input_args input = {
        .slot = e->slot, .list = e->list, .out = e->values.map, .element = ELEMENT_F16};
    struct head_args head = head_args_make(&e->rules[pass], variant_of[pass], ELEMENT_F16);

    memcpy(input.scale, scale, sizeof(scale));
    memcpy(input.shift, shift, sizeof(shift));
    head.in = (struct device_map){e->values.map.data, PASS_BATCH, SIZE, SIZE / 2, CHANNELS, CHANNELS};
    head.stage = stage_of[pass];
    head.slot = e->slot;
    head.list = e->list;
    head.state = e->state;
    head.results = e->results[stage_of[pass]];
    assert_cuda(input_launch(&input, e->body));
    assert_cuda(head_launch(&head, e->body));
    assert_cuda(advance_launch(e->list, PASS_BATCH, loop, e->body));
}

static void capture_pass(struct engine *e, int pass)
{
    struct cudaGraphNodeParams how = {.type = cudaGraphNodeTypeConditional};
    cudaGraphConditionalHandle loop;
    enum cudaStreamCaptureStatus status;
    const cudaGraphNode_t *before;
    cudaGraphNode_t node;
    cudaGraph_t graph, ended;
    size_t n_before;

    assert_cuda(cudaGraphConditionalHandleCreate(&loop, e->graph, 0, cudaGraphCondAssignDefault));
    assert_cuda(select_launch(e->slot, e->state, stage_of[pass], variant_of[pass], BATCH, e->list, loop,
                              device_stream));
    how.conditional.handle = loop;
    how.conditional.type = cudaGraphCondTypeWhile;
    how.conditional.size = 1;
    assert_cuda(cudaStreamGetCaptureInfo(device_stream, &status, NULL, &graph, &before, NULL, &n_before));
    assert_cuda(cudaGraphAddNode(&node, graph, before, NULL, n_before, &how));
    assert_cuda(
        cudaStreamUpdateCaptureDependencies(device_stream, &node, NULL, 1, cudaStreamSetCaptureDependencies));
    assert_cuda(cudaStreamBeginCaptureToGraph(e->body, how.conditional.phGraph_out[0], NULL, NULL, 0,
                                              cudaStreamCaptureModeRelaxed));
    capture_turn(e, pass, loop);
    assert_cuda(cudaStreamEndCapture(e->body, &ended));
}

/* A gate of two variants (with weights of their own, so that it shows who had the last word), a class set. */
static void engine_open(struct engine *e, float band)
{
    cudaGraph_t ended;

    e->rules[0] = head_rules_make(CHANNELS, N_PLACES, 2, NULL, NULL, 0.5f, 41);
    e->rules[1] = head_rules_make(CHANNELS, N_PLACES, 2, NULL, NULL, 0.5f, 43);
    e->rules[2] = head_rules_make(CHANNELS, N_PLACES, 5, "1-3", NULL, 0.6f, 45);
    for (int variant = 0; variant < 2; variant++) {
        e->rules[variant].stage.n_variants = 2;
        e->rules[variant].stage.variants[0].band = band;
        e->rules[variant].maps = KERNEL_MAPS_PASSED;
    }
    for (int s = 0; s < N_STAGES; s++)
        e->results[s] = head_lay_out(&e->rules[s * 2], BATCH, &e->results_bytes);
    e->values = slice_random(ELEMENT_F16, (struct slice_shape){PASS_BATCH, SIZE, SIZE, 4, 4, 0}, 1, 0, 1);
    e->slot = device_copy(NULL, sizeof(*e->slot));
    e->list = device_copy(NULL, sizeof(*e->list));
    e->state = device_copy(NULL, BATCH * sizeof(*e->state));
    assert_cuda(cudaStreamCreateWithFlags(&e->body, cudaStreamNonBlocking));
    assert_cuda(cudaGraphCreate(&e->graph, 0));
    assert_cuda(
        cudaStreamBeginCaptureToGraph(device_stream, e->graph, NULL, NULL, 0, cudaStreamCaptureModeRelaxed));
    assert_cuda(begin_launch(e->slot, e->state, e->results, N_STAGES, BATCH, device_stream));
    for (int pass = 0; pass < N_PASSES; pass++)
        capture_pass(e, pass);
    assert_cuda(cudaStreamEndCapture(device_stream, &ended));
    assert_cuda(cudaGraphInstantiate(&e->exec, e->graph, 0));
}

static void engine_close(struct engine *e)
{
    assert_cuda(cudaGraphExecDestroy(e->exec));
    assert_cuda(cudaGraphDestroy(e->graph));
    assert_cuda(cudaStreamDestroy(e->body));
    for (int pass = 0; pass < N_PASSES; pass++)
        head_rules_free(&e->rules[pass]);
    slice_free(&e->values);
}

/* A batch of the host's. */
struct batch {
    struct batch_control control;
    uint8_t pixels[BATCH][SIZE * SIZE][3];
    unsigned char *results;
};

static struct batch *batch_make(int n, uint64_t seed)
{
    struct batch *b = calloc(1, sizeof(*b));

    assert_non_null(b);
    b->control.n = n;
    for (int i = 0; i < BATCH; i++) {
        int top = (int)random_float(&seed, 32, 256); /* so that pictures differ in their means, and scores */
        b->control.rows[i].stages =
            random_float(&seed, 0, 1) < 0.8f ? 3 : (uint32_t)random_float(&seed, 0, 4);
        b->control.rows[i].exhaustive = random_float(&seed, 0, 1) < 0.2f;
        for (int p = 0; p < SIZE * SIZE; p++)
            for (int c = 0; c < 3; c++)
                b->pixels[i][p][c] = (uint8_t)random_float(&seed, 0, (float)top);
    }
    return b;
}

static void batch_run(const struct engine *e, struct batch *b)
{
    struct batch_slot slot = {.pixels = device_copy(b->pixels, sizeof(b->pixels)),
                              .control = device_copy(&b->control, sizeof(b->control)),
                              .results = device_copy(NULL, e->results_bytes)};

    b->results = malloc(e->results_bytes);
    assert_non_null(b->results);
    assert_cuda(cudaMemcpyAsync(e->slot, &slot, sizeof(slot), cudaMemcpyHostToDevice, device_stream));
    assert_cuda(cudaGraphLaunch(e->exec, device_stream));
    device_read(slot.results, b->results, e->results_bytes);
}

static void make_features(const struct batch *b, int row, float features[N_FEATURES])
{
    for (int i = 0; i < N_FEATURES; i++) {
        int c = i % 4;
        float value = c == 3 ? 0 : (float)b->pixels[row][i / 4][c] * scale[c] + shift[c];
        features[i] = element_value(ELEMENT_F16, element_bits(ELEMENT_F16, value));
    }
}

static void assert_not_run(const struct engine *e, const struct batch *b, int stage, int row)
{
    const struct row_result *rows = (const void *)(b->results + e->results[stage].rows);

    assert_true(isnan(rows[row].score));
    assert_int_equal(rows[row].flags, 0);
}

/* As engine_cpu.c's instance_submit. Counts rows by what became of them. */
struct counts {
    int again, rejected, passed, second;
};

static void check_row(const struct engine *e, const struct batch *b, int row, struct counts *counts)
{
    bool exhaustive = b->control.rows[row].exhaustive != 0;
    int state = row < b->control.n ? ROW_WANTED : ROW_OFF;
    float features[N_FEATURES];

    make_features(b, row, features);
    for (int s = 0; s < N_STAGES; s++) {
        int pass = s * 2;
        if (state != ROW_WANTED || (b->control.rows[row].stages >> s & 1) == 0) {
            assert_not_run(e, b, s, row);
            continue;
        }
        struct head_expected expected = head_expect(&e->rules[pass], 0, exhaustive, features);
        if (expected.state == ROW_AGAIN) {
            counts->again++;
            head_expected_free(&expected);
            expected = head_expect(&e->rules[++pass], 1, exhaustive, features);
        }
        head_assert_row(&e->rules[pass], b->results, e->results[s], row, &expected);
        state = expected.state;
        counts->rejected += state == ROW_OFF;
        counts->passed += state == ROW_WANTED;
        counts->second += s;
        head_expected_free(&expected);
    }
}

/* Behind the last turn of the last pass: no turn too many. */
static void assert_turns(const struct engine *e)
{
    struct pass_list list;

    device_read(e->list, &list, sizeof(list));
    assert_int_equal(list.first, (list.count + PASS_BATCH - 1) / PASS_BATCH * PASS_BATCH);
}

static void test_cascade(void **state)
{
    static const int sizes[] = {BATCH, 67, PASS_BATCH, 1, 0};
    struct engine e = {0};
    struct counts counts = {0};
    (void)state;

    engine_open(&e, 0.4f);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct batch *b = batch_make(sizes[i], 50 + i);
        if (sizes[i] == PASS_BATCH) /* every stage sees all: a list that ends with a turn */
            for (int row = 0; row < PASS_BATCH; row++)
                b->control.rows[row] = (struct row_request){.stages = 3, .exhaustive = 1};
        batch_run(&e, b);
        assert_turns(&e);
        for (int row = 0; row < BATCH; row++)
            check_row(&e, b, row, &counts);
        free(b->results);
        free(b);
    }
    /* Enough of each kind to mean something; more than a turn's of those scored again. */
    assert_true(counts.again > PASS_BATCH && counts.rejected > 10 && counts.passed > 10);
    assert_true(counts.second > 2 * PASS_BATCH);
    engine_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_cascade, device_free_all),
    };
    return cmocka_run_group_tests(tests, device_open, device_close);
}
