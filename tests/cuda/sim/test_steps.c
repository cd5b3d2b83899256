/*
 * Every op of every kind of network (narrow ones), on the simulated device in float16 and bf16, beside the
 * CPU engine in float32: the same lowered list, value by value, by their normalised mean square error; then
 * the last feature map, which must be within 1e-4 in float16.
 */
#include "tests/cuda/sim/device_support.h"

#include "kernels/cpu/program.h"
#include "tests/unit/kernels/support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define N_PICTURES 2
#define BATCH 3 /* a picture less than the batch: padding must not matter */
#define PIXELS ((size_t)NARROW_SIZE * NARROW_SIZE * 3)

/* The CPU engine's program on one picture, all of its values at hand. */
struct cpu_side {
    struct program program;
    struct runner runner;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    unsigned char *arena, *scratch;
};

static void cpu_open(struct cpu_side *cpu, const struct stage *stage)
{
    *cpu = (struct cpu_side){0};
    assert_int_equal(dnnl_engine_create(&cpu->engine, dnnl_cpu, 0), dnnl_success);
    assert_int_equal(dnnl_stream_create(&cpu->stream, cpu->engine, dnnl_stream_default_flags), dnnl_success);
    assert_int_equal(program_open(stage, PRECISION_F32, cpu->engine, &cpu->program), STATUS_OK);
    cpu->arena = aligned_alloc(64, (cpu->program.arena_bytes + 64) / 64 * 64);
    size_t scratch = cpu->program.scratch_bytes + cpu->program.scratch_floats * sizeof(float);
    cpu->scratch = aligned_alloc(64, (scratch + 64) / 64 * 64);
    assert_true(cpu->arena != NULL && cpu->scratch != NULL);
    assert_int_equal(runner_open(&cpu->program, cpu->arena, cpu->scratch, &cpu->runner), STATUS_OK);
}

static void cpu_close(struct cpu_side *cpu)
{
    runner_close(&cpu->runner);
    program_close(&cpu->program);
    dnnl_stream_destroy(cpu->stream);
    dnnl_engine_destroy(cpu->engine);
    free(cpu->arena);
    free(cpu->scratch);
}

/* Add what differs between op `index` of the CPU and the picture's share of the device's value. */
static void compare(const struct cpu_side *cpu, int index, const struct device_value *device, int picture,
                    struct nmse *sum)
{
    struct ops_map map = runner_map(&cpu->runner, index);
    bool planar = cpu->program.graph.ops[index].kind == OP_INPUT;
    const float *values = device->values + (size_t)picture * (size_t)(device->places * device->c);

    assert_int_equal(map.h * map.w, device->places);
    for (int p = 0; p < device->places; p++) {
        for (int c = 0; c < map.c; c++) { /* the input's padding channel has no partner */
            double want = support_map_get(&map, planar ? 0 : cpu->program.ops->block, c, p);
            double got = values[p * device->c + c];
            sum->error += (got - want) * (got - want);
            sum->power += want * want;
        }
    }
}

struct limits {
    enum precision precision;
    double each, last; /* NMSE of an op's value, and of the last feature map */
};

/* The whole CPU program up to and with op `last`. */
static void cpu_run(const struct cpu_side *cpu, const uint8_t *pixels, int first, int last)
{
    for (int i = first; i <= last; i++)
        assert_int_equal(runner_step(&cpu->runner, cpu->stream, pixels, i), STATUS_OK);
}

static void compare_steps(const struct stage *stage, const struct limits *limits, const uint8_t *pixels)
{
    struct bench_program b;
    struct cpu_side cpu[N_PICTURES];
    double worst = 0;
    int done = 0;

    bench_open(&b, stage, limits->precision, BATCH, pixels, N_PICTURES, NARROW_SIZE);
    for (int picture = 0; picture < N_PICTURES; picture++)
        cpu_open(&cpu[picture], stage);
    for (int i = 0; i < b.program.steps.n; i++) {
        const struct device_step *step = &b.program.steps.items[i];
        struct nmse sum = {0};
        bench_step(&b, i);
        if (step->kind == STEP_HEAD)
            continue;
        struct device_value value = bench_read(&b, &step->out);
        for (int picture = 0; picture < N_PICTURES; picture++) {
            cpu_run(&cpu[picture], pixels + (size_t)picture * PIXELS, done, step->op);
            compare(&cpu[picture], step->op, &value, picture, &sum);
        }
        done = step->op + 1;
        free(value.values);
        worst = fmax(worst, nmse_of(&sum));
        if (!(nmse_of(&sum) <= limits->each))
            fail_msg("%s: NMSE %.2e", b.program.steps.graph.ops[step->op].name, nmse_of(&sum));
    }
    printf("           %s+%s %s: %d steps, worst NMSE %.1e\n", stage->arch, stage->attention,
           precision_name(limits->precision), b.program.steps.n, worst);
    for (int picture = 0; picture < N_PICTURES; picture++)
        cpu_close(&cpu[picture]);
    bench_close(&b);
}

static void compare_features(const struct stage *stage, const struct limits *limits, const uint8_t *pixels)
{
    struct bench_program b;
    struct cpu_side cpu;
    struct nmse sum = {0};

    bench_open(&b, stage, limits->precision, BATCH, pixels, N_PICTURES, NARROW_SIZE);
    for (int i = 0; i < b.program.steps.n; i++)
        bench_step(&b, i);
    struct device_value value = bench_read(&b, &b.program.steps.items[b.program.steps.n - 1].in);
    bench_activate(stage, &value);
    cpu_open(&cpu, stage);
    int head = cpu.program.graph.n_ops - 1, last = cpu.program.graph.ops[head].input[0];
    for (int picture = 0; picture < N_PICTURES; picture++) {
        cpu_run(&cpu, pixels + (size_t)picture * PIXELS, 0, last);
        compare(&cpu, last, &value, picture, &sum);
    }
    cpu_close(&cpu);
    free(value.values);
    bench_close(&b);
    printf("           %s+%s %s: last feature map, NMSE %.1e\n", stage->arch, stage->attention,
           precision_name(limits->precision), nmse_of(&sum));
    assert_true(sum.power > 0);
    assert_true(nmse_of(&sum) <= limits->last);
}

/*
 * MobileNetV2's projections have no activation behind them: at random weights their sums grow to many times
 * what ReLU6 lets through, and rounding errors with them. Trained ones do not; damp them.
 */
static const char *write_weights(const struct geometry *geometry, uint64_t seed)
{
    const char *path = support_path("narrow.safetensors");
    struct weights *weights;
    struct graph graph;

    narrow_build(geometry, seed, &weights, &graph);
    for (int i = 0; geometry->arch == ARCH_MOBILENET_V2 && i + 1 < graph.n_ops; i++) {
        const struct op *op = &graph.ops[i];
        if (op->kind != OP_BATCH_NORM || graph.ops[i + 1].kind == OP_RELU6)
            continue;
        for (int k = BN_WEIGHT; k <= BN_BIAS; k++)
            for (int64_t c = 0; c < op->param[k]->n_elements; c++)
                op->param[k]->own[c] *= 0.2f;
    }
    assert_int_equal(weights_write(weights, path, "a test"), STATUS_OK);
    graph_free(&graph);
    weights_close(weights);
    return path;
}

static void run_arch(enum arch arch)
{
    static const struct limits limits[] = {{PRECISION_F16, 1e-4, 1e-4}, {PRECISION_BF16, 4e-3, 4e-3}};
    static uint8_t pixels[N_PICTURES * NARROW_SIZE * NARROW_SIZE * 3];

    support_fill_pixels(7, pixels, sizeof(pixels));
    for (int attention = CBAM_NONE; attention <= CBAM_LUUUYI; attention++) {
        struct geometry geometry = narrow_geometry(arch, (enum cbam_layout)attention, 2);
        struct stage stage = {.name = "narrow",
                              .threshold = 0.5f,
                              .mean = {0.485f, 0.456f, 0.406f},
                              .std = {0.229f, 0.224f, 0.225f},
                              .n_variants = 1};
        snprintf(stage.weights_path, sizeof(stage.weights_path), "%s",
                 write_weights(&geometry, 70 + (uint64_t)arch));
        assert_int_equal(stage_open(&stage, NARROW_SIZE, NULL, NULL), STATUS_OK);
        for (int k = 0; k < 2; k++) {
            compare_steps(&stage, &limits[k], pixels);
            compare_features(&stage, &limits[k], pixels);
        }
        stage_close(&stage);
    }
    assert_int_equal(sim_count_leaks(), 0);
}

static void test_densenet(void **state)
{
    (void)state;
    run_arch(ARCH_DENSENET);
}

static void test_resnet(void **state)
{
    (void)state;
    run_arch(ARCH_RESNET);
}

static void test_mobilenet(void **state)
{
    (void)state;
    run_arch(ARCH_MOBILENET_V2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_densenet),
        cmocka_unit_test(test_resnet),
        cmocka_unit_test(test_mobilenet),
    };
    return cmocka_run_group_tests_name("every op on the simulated device", tests, NULL, support_teardown);
}
