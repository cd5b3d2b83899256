/*
 * How near the CPU engine comes to its bound: images/s of each network beside the same convolutions as bare
 * oneDNN primitives (fused bias and ReLU, dense memory that stays in cache), timed in turn in one run on the
 * same threads.
 *
 *     build/bench/networks [THREADS] [ROUNDS] [NAME...]      NAME: resnet50, resnet50-none-bf16, ...
 *
 * Two bounds: of the convolutions as the network is written, and of those the engine runs (DenseNet's
 * transitions pool before they convolve, which takes 9% of the work away).
 */
#include "kernels/networks.h"
#include "base/clock.h"
#include "kernels/cpu/program.h"
#include "kernels/engine.h"

#include <omp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE 224
#define BLOCK_BYTES (32u << 20) /* more than any activation of these networks */

/* Values that keep activations ordinary numbers: He-scaled weights, batch norms that change nothing. */
static void fill_weights(const struct weights *w)
{
    uint32_t state = 1;

    for (int i = 0; i < w->n_tensors; i++) {
        struct tensor *t = w->tensors[i];
        double fan = t->n_dims > 1 ? (double)t->n_elements / (double)t->dim[0] : 1;
        bool ones = t->n_dims == 1 && (strstr(t->name, ".weight") || strstr(t->name, "running_var"));
        for (int64_t k = 0; k < t->n_elements; k++) {
            state = state * 1664525u + 1013904223u;
            t->own[k] = ones ? 1 : t->n_dims > 1 ? (float)((state / 4294967296.0 - 0.5) * 3.4 / fan) : 0;
        }
    }
}

/* The convolutions of a list, bare. */
struct bare {
    dnnl_engine_t engine;
    struct primitive *primitives;
    int n;
};

static enum status bare_open(struct bare *b, const struct graph *g, enum precision precision)
{
    enum status rc = STATUS_OK;
    float *weights = calloc(1, BLOCK_BYTES), *bias = calloc(4096, sizeof(float));

    b->primitives = calloc((size_t)g->n_ops, sizeof(*b->primitives));
    if (weights == NULL || bias == NULL || b->primitives == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    for (size_t i = 0; i < BLOCK_BYTES / sizeof(float); i++)
        weights[i] = 0.01f;
    for (int i = 0; i < g->n_ops; i++) {
        const struct op *op = &g->ops[i];
        if (op->kind != OP_CONV)
            continue;
        struct primitive_spec spec = {
            .kind = OP_CONV,
            .precision = precision,
            .in = g->ops[op->input[0]].shape,
            .out = op->shape,
            .kernel = op->kernel,
            .stride = op->stride,
            .pad = op->pad,
            .groups = op->groups,
            .bias = true,
            .activation = ACTIVATION_RELU,
            .planar_input = g->ops[op->input[0]].kind == OP_INPUT,
            .block = ops_choose()->block,
        };
        TRY(primitive_open(b->engine, &spec, op->name, weights, bias, &b->primitives[b->n]));
        b->n++;
    }
out:
    free(weights);
    free(bias);
    return rc;
}

/* One thread's share of a measurement: the bare convolutions, or the engine. */
struct runner_thread {
    pthread_t thread;
    const struct bare *bare;
    struct primitive_call *calls;
    dnnl_stream_t stream;
    unsigned char *memory[3];
    struct engine_instance *instance;
    int n_pictures;
    bool failed;
};

static void *bare_main(void *argument)
{
    struct runner_thread *t = argument;

    omp_set_num_threads(1);
    for (int p = 0; p < t->n_pictures; p++)
        for (int i = 0; i < t->bare->n; i++)
            t->failed |= call_execute(&t->calls[i], t->stream, "a bare convolution") != STATUS_OK;
    return NULL;
}

static void *engine_main(void *argument)
{
    struct runner_thread *t = argument;
    struct engine_request request = {UINT32_MAX, true};

    for (int p = 0; p < t->n_pictures; p++)
        t->failed |= t->instance->submit(t->instance, 0, 1, &request) != STATUS_OK;
    return NULL;
}

/* Images per second of n_threads running `entry`. */
static double measure(struct runner_thread *threads, int n_threads, void *(*entry)(void *), int n_pictures)
{
    double start = clock_seconds();

    for (int i = 0; i < n_threads; i++) {
        threads[i].n_pictures = n_pictures;
        pthread_create(&threads[i].thread, NULL, entry, &threads[i]);
    }
    for (int i = 0; i < n_threads; i++)
        pthread_join(threads[i].thread, NULL);
    return n_threads * n_pictures / (clock_seconds() - start);
}

static enum status bind_bare(const struct bare *bare, struct runner_thread *t)
{
    enum status rc = STATUS_OK;

    t->bare = bare;
    t->calls = calloc((size_t)bare->n, sizeof(*t->calls));
    for (int i = 0; i < 3; i++) {
        t->memory[i] = aligned_alloc(64, BLOCK_BYTES);
        if (t->memory[i] == NULL || t->calls == NULL)
            FAIL(STATUS_MEMORY, "no memory");
        memset(t->memory[i], 0, BLOCK_BYTES);
    }
    TRY(onednn_check(dnnl_stream_create(&t->stream, bare->engine, dnnl_stream_default_flags), "a stream"));
    for (int i = 0; i < bare->n; i++)
        TRY(call_open(&bare->primitives[i], t->memory[i % 2], t->memory[(i + 1) % 2], t->memory[2],
                      &t->calls[i]));
out:
    return rc;
}

static void release_bare(struct bare *bare, struct runner_thread *threads, int n_threads)
{
    for (int k = 0; k < n_threads; k++) {
        for (int i = 0; threads[k].calls != NULL && i < bare->n; i++)
            call_close(&threads[k].calls[i]);
        free(threads[k].calls);
        for (int i = 0; i < 3; i++)
            free(threads[k].memory[i]);
        if (threads[k].stream != NULL)
            dnnl_stream_destroy(threads[k].stream);
    }
    for (int i = 0; i < bare->n; i++)
        primitive_close(&bare->primitives[i]);
    free(bare->primitives);
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof(*values), compare_doubles);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

#define MAX_ROUNDS 99

/* Rounds of bound, bound, engine in turn; prints a line of medians. */
static enum status compare(const struct stage *stage, struct runner_thread *engine_threads,
                           const struct graph *lowered, dnnl_engine_t onednn, int n_threads, int n_rounds)
{
    enum status rc = STATUS_OK;
    struct bare written = {.engine = onednn}, run = {.engine = onednn};
    struct runner_thread w[64] = {0}, r[64] = {0};
    double rate[3][MAX_ROUNDS], ratio[2][MAX_ROUNDS];
    enum precision precision = stage->variants[0].precision;

    omp_set_num_threads(1);
    TRY(bare_open(&written, &stage->plain, precision));
    TRY(bare_open(&run, lowered, precision));
    for (int i = 0; i < n_threads; i++) {
        TRY(bind_bare(&written, &w[i]));
        TRY(bind_bare(&run, &r[i]));
    }
    double once = measure(engine_threads, n_threads, engine_main, 2);
    int n_pictures = (int)(once / n_threads * 0.7) + 1; /* about 0.7 s a measurement */
    for (int i = 0; i < n_rounds; i++) {
        rate[0][i] = measure(w, n_threads, bare_main, n_pictures);
        rate[1][i] = measure(r, n_threads, bare_main, n_pictures);
        rate[2][i] = measure(engine_threads, n_threads, engine_main, n_pictures);
        ratio[0][i] = rate[2][i] / rate[0][i];
        ratio[1][i] = rate[2][i] / rate[1][i];
    }
    printf("%-14s %-9s %-5s %9.1f %9.1f %9.1f %10.2f %10.2f\n", stage->arch, stage->attention,
           precision_name(precision), median(rate[0], n_rounds), median(rate[1], n_rounds),
           median(rate[2], n_rounds), median(ratio[0], n_rounds), median(ratio[1], n_rounds));
    fflush(stdout);
out:
    release_bare(&written, w, n_threads);
    release_bare(&run, r, n_threads);
    return rc;
}

static enum status bench_network(const char *arch, enum cbam_layout layout, enum precision precision,
                                 int n_threads, int n_rounds)
{
    enum status rc = STATUS_OK;
    static const float mean[3] = {0.485f, 0.456f, 0.406f}, std[3] = {0.229f, 0.224f, 0.225f};
    struct cascade cascade = {.n_stages = 1, .size = SIZE};
    struct stage *stage = &cascade.stages[0];
    struct geometry geometry;
    struct program program = {0};
    struct engine *engine = NULL;
    struct runner_thread threads[64] = {0};
    struct engine_options options = {.maps = MAPS_PASSED, .n_instances = n_threads};
    dnnl_engine_t onednn = NULL;

    TRY(onednn_check(dnnl_engine_create(&onednn, dnnl_cpu, 0), "the CPU engine"));
    snprintf(stage->arch, sizeof(stage->arch), "%s", arch);
    snprintf(stage->attention, sizeof(stage->attention), "%s", cbam_layout_name(layout));
    stage->threshold = 0.5f;
    stage->n_variants = 1;
    stage->variants[0].precision = precision;
    memcpy(stage->mean, mean, sizeof(mean));
    memcpy(stage->std, std, sizeof(std));
    TRY(network_geometry(arch, layout, 2, &geometry));
    TRY(weights_declare(&stage->weights));
    TRY(network_build(&geometry, stage->weights, SIZE, &stage->plain));
    fill_weights(stage->weights);
    TRY(class_set_parse(arch, NULL, NULL, 2, &stage->classes));
    TRY(engine_cpu_open(&cascade, &options, &engine));
    TRY(program_open(stage, precision, onednn, &program)); /* for its lowered list */
    for (int i = 0; i < n_threads; i++) {
        TRY(engine->instance_open(engine, &threads[i].instance));
        memset(threads[i].instance->slot(threads[i].instance, 0), 100 + i, (size_t)SIZE * SIZE * 3);
    }
    TRY(compare(stage, threads, &program.graph, onednn, n_threads, n_rounds));
out:
    for (int i = 0; i < n_threads; i++)
        if (threads[i].instance != NULL)
            threads[i].instance->close(threads[i].instance);
    program_close(&program);
    if (engine != NULL)
        engine->close(engine);
    stage_close(stage);
    if (onednn != NULL)
        dnnl_engine_destroy(onednn);
    return rc;
}

/* Is this one asked for, by the beginning of its name ("resnet50-none-bf16")? None named means all. */
static bool is_wanted(const char *arch, enum cbam_layout layout, enum precision precision, int n_names,
                      char *const *names)
{
    char name[64];

    snprintf(name, sizeof(name), "%s-%s-%s", arch, cbam_layout_name(layout), precision_name(precision));
    for (int i = 0; i < n_names; i++)
        if (strncmp(name, names[i], strlen(names[i])) == 0)
            return true;
    return n_names == 0;
}

static enum status bench_all(int n_threads, int n_rounds, int n_names, char *const *names)
{
    static const char *const archs[] = {"densenet161", "resnet50", "mobilenet_v2"};
    static const enum cbam_layout layouts[] = {CBAM_NONE, CBAM_TIMM};
    enum status rc = STATUS_OK;
    int last_precision = engine_cpu_has_bf16() ? PRECISION_BF16 : PRECISION_F32;

    for (int a = 0; a < 3; a++)
        for (int l = 0; l < 2; l++)
            for (int p = PRECISION_F32; p <= last_precision; p++)
                if (is_wanted(archs[a], layouts[l], (enum precision)p, n_names, names))
                    TRY(bench_network(archs[a], layouts[l], (enum precision)p, n_threads, n_rounds));
out:
    return rc;
}

int main(int argc, char **argv)
{
    int n_threads = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 2;
    int n_rounds = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 7;
    char version[32];

    if (n_threads < 1 || n_threads > 64 || n_rounds < 1 || n_rounds > MAX_ROUNDS) {
        fprintf(stderr, "usage: networks [THREADS 1-64] [ROUNDS 1-%d] [NAME...]\n", MAX_ROUNDS);
        return 2;
    }
    onednn_format_version(version, sizeof(version));
    printf("oneDNN %s, %d threads, medians of %d rounds in turn; images/s\n", version, n_threads, n_rounds);
    printf("%-14s %-9s %-5s %9s %9s %9s %10s %10s\n", "network", "attention", "type", "written", "as run",
           "engine", "/written", "/as run");
    return bench_all(n_threads, n_rounds, argc > 3 ? argc - 3 : 0, argv + 3) == STATUS_OK ? 0 : 1;
}
