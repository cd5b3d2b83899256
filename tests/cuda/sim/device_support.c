#include "tests/cuda/sim/device_support.h"

#include "kernels/lower.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void *device_new(struct bench_program *b, const void *content, size_t n_bytes)
{
    void *memory = NULL;

    assert_int_equal(cudaMalloc(&memory, n_bytes), cudaSuccess);
    if (content != NULL)
        assert_int_equal(cudaMemcpy(memory, content, n_bytes, cudaMemcpyHostToDevice), cudaSuccess);
    b->owned[b->n_owned++] = memory;
    return memory;
}

/* As the head and the passes want them: room for one stage's results. */
static struct stage_results lay_out_results(const struct stage *stage, int batch)
{
    size_t n = (size_t)batch, logits = 4 * n * (size_t)stage->classes.n_classes;
    return (struct stage_results){.rows = 0, .logits = 8 * n, .maps = 8 * n + logits};
}

static void make_pass(struct bench_program *b, const struct stage *stage, int batch, const uint8_t *pixels,
                      int n, int size)
{
    struct batch_control control = {.n = n};
    struct stage_results results = lay_out_results(stage, batch);
    size_t results_bytes = results.maps + 4 * (size_t)batch * (size_t)(stage->map_height * stage->map_width);

    for (int i = 0; i < n; i++)
        control.rows[i].stages = 1;
    struct batch_slot slot = {
        .pixels = device_new(b, pixels, (size_t)n * (size_t)size * (size_t)size * 3),
        .control = device_new(b, &control, sizeof(control)),
        .results = device_new(b, NULL, results_bytes),
    };
    struct pass_list *list = device_new(b, NULL, sizeof(*list));
    b->pass = (struct program_pass){
        .slot = device_new(b, &slot, sizeof(slot)),
        .list = list,
        .state = device_new(b, NULL, (size_t)batch * sizeof(int)),
        .results = results,
        .rules = stage,
        .maps = KERNEL_MAPS_ALL,
        .size = size,
    };
    assert_int_equal(begin_launch(b->pass.slot, b->pass.state, &b->pass.results, 1, batch, b->stream),
                     cudaSuccess);
    assert_int_equal(select_launch(b->pass.slot, b->pass.state, 0, 0, batch, list, 0, b->stream),
                     cudaSuccess);
}

void bench_open(struct bench_program *b, const struct stage *stage, enum precision precision, int batch,
                const uint8_t *pixels, int n, int size)
{
    struct plan_store store;

    *b = (struct bench_program){0};
    assert_int_equal(cudaStreamCreateWithFlags(&b->stream, cudaStreamNonBlocking), cudaSuccess);
    assert_int_equal(cudnnCreate(&b->handle), CUDNN_STATUS_SUCCESS);
    assert_int_equal(device_program_load(stage, precision, &b->program), STATUS_OK);
    device_program_set_batch(&b->program, batch);
    b->memory.arena = device_new(b, NULL, b->program.arena_bytes);
    b->memory.scratch = device_new(b, NULL, b->program.scratch_bytes + 1);
    assert_int_equal(plan_store_open(NULL, NULL, "", 0, &store), STATUS_OK);
    assert_int_equal(
        device_program_choose_plans(&b->program, b->handle, b->stream, &store, false, &b->memory), STATUS_OK);
    b->memory.workspace = device_new(b, NULL, b->program.workspace_bytes + 1);
    make_pass(b, stage, batch, pixels, n, size);
    assert_int_equal(cudaStreamSynchronize(b->stream), cudaSuccess);
}

void bench_close(struct bench_program *b)
{
    while (b->n_owned > 0)
        assert_int_equal(cudaFree(b->owned[--b->n_owned]), cudaSuccess);
    device_program_close(&b->program);
    cudnnDestroy(b->handle);
    cudaStreamDestroy(b->stream);
}

void bench_step(struct bench_program *b, int index)
{
    assert_int_equal(
        device_program_enqueue_step(&b->program, index, &b->memory, &b->pass, b->handle, b->stream),
        STATUS_OK);
    assert_int_equal(cudaStreamSynchronize(b->stream), cudaSuccess);
}

static float to_float(enum element element, uint16_t raw)
{
    float value;

    if (element == ELEMENT_BF16) {
        uint32_t bits = (uint32_t)raw << 16;
        memcpy(&value, &bits, sizeof(value));
        return value;
    }
    __extension__ _Float16 half;
    memcpy(&half, &raw, sizeof(half));
    return (float)half;
}

struct device_value bench_read(const struct bench_program *b, const struct operand *operand)
{
    struct device_map map = device_program_map(&b->program, operand, &b->memory);
    struct device_value out = {.n = map.n, .places = map.h * map.w, .c = map.c};
    size_t rows = (size_t)map.n * (size_t)out.places, pitch = (size_t)map.pitch;
    size_t n_elements = (rows - 1) * pitch + (size_t)map.c;
    uint16_t *raw = malloc(n_elements * sizeof(*raw));

    out.values = malloc(rows * (size_t)map.c * sizeof(float));
    assert_true(raw != NULL && out.values != NULL);
    assert_int_equal(cudaMemcpy(raw, map.data, n_elements * sizeof(*raw), cudaMemcpyDeviceToHost),
                     cudaSuccess);
    for (size_t row = 0; row < rows; row++)
        for (size_t c = 0; c < (size_t)map.c; c++)
            out.values[row * (size_t)map.c + c] = to_float(b->program.element, raw[row * pitch + c]);
    free(raw);
    return out;
}

void bench_activate(const struct stage *stage, struct device_value *features)
{
    struct graph lowered;

    assert_int_equal(lower_inference(&stage->plain, CUDA_CHANNEL_ALIGN, &lowered), STATUS_OK);
    const struct op *op = &lowered.ops[lowered.ops[lowered.n_ops - 1].input[0]];
    for (int i = 0; op->kind == OP_SCALE && i < features->n * features->places * features->c; i++) {
        int c = i % features->c;
        float v = op->param[SCALE_SCALE]->own[c] * features->values[i] + op->param[SCALE_SHIFT]->own[c];
        features->values[i] = v < 0 ? 0 : v;
    }
    graph_free(&lowered);
}

double nmse_of(const struct nmse *sum)
{
    return sum->power > 0 ? sum->error / sum->power : sum->error;
}
