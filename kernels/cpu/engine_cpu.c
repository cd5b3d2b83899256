/*
 * The CPU engine. An instance is one core that takes one picture from pixels to scores: single-threaded
 * primitives, batch one, no queues. Two cores on their own pictures are as fast as two cores on one batch,
 * and activations stay in the core's cache.
 */
#include "kernels/cpu/program.h"
#include "kernels/engine.h"
#include "kernels/gradcam.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 64

struct cpu_stage {
    struct stage rules; /* copy of the cascade's, without weights and graph */
    struct program programs[STAGE_MAX_VARIANTS];
    float *head_weight, *head_bias; /* [n_classes, c], [n_classes]; owned */
    int c, n_places;
};

struct cpu_engine {
    struct engine base;
    dnnl_engine_t onednn;
    struct cpu_stage stages[CASCADE_MAX_STAGES];
    int n_stages, size;
    enum map_policy maps;
    size_t arena_bytes, scratch_bytes, feature_floats, mean_floats;
};

struct cpu_instance {
    struct engine_instance base;
    const struct cpu_engine *engine;
    dnnl_stream_t stream;
    struct runner runners[CASCADE_MAX_STAGES][STAGE_MAX_VARIANTS];
    unsigned char *arena, *scratch;
    uint8_t *pixels;
    float *features, *means;
    float *direction, *logits[CASCADE_MAX_STAGES], *shares, *maps[CASCADE_MAX_STAGES];
    struct engine_result result;
};

static void *allocate(size_t bytes)
{
    return aligned_alloc(ALIGNMENT, (bytes + ALIGNMENT) / ALIGNMENT * ALIGNMENT);
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static enum status open_stage(struct cpu_engine *e, const struct stage *stage, struct cpu_stage *out)
{
    enum status rc = STATUS_OK;

    out->rules = *stage;
    out->rules.weights = NULL;
    out->rules.plain = (struct graph){0};
    for (int v = 0; v < stage->n_variants; v++) {
        struct program *p = &out->programs[v];
        TRY(program_open(stage, stage->variants[v].precision, e->onednn, p));
        e->arena_bytes = larger(e->arena_bytes, p->arena_bytes);
        e->scratch_bytes =
            larger(e->scratch_bytes, larger(p->scratch_bytes, p->scratch_floats * sizeof(float)));
    }
    const struct graph *g = &out->programs[0].graph;
    const struct op *head = &g->ops[g->n_ops - 1];
    struct shape features = g->ops[head->input[0]].shape;
    size_t block = (size_t)out->programs[0].ops->block;
    out->c = features.c;
    out->n_places = features.h * features.w;
    out->head_weight = head->param[HEAD_WEIGHT]->own;
    out->head_bias = head->param[HEAD_BIAS]->own;
    size_t padded = ((size_t)features.c + block - 1) / block * block;
    e->mean_floats = larger(e->mean_floats, padded);
    e->feature_floats = larger(e->feature_floats, padded * (size_t)out->n_places);
out:
    return rc;
}

static void engine_close(struct engine *base)
{
    struct cpu_engine *e = (struct cpu_engine *)(void *)base;

    for (int s = 0; s < e->n_stages; s++)
        for (int v = 0; v < STAGE_MAX_VARIANTS; v++)
            program_close(&e->stages[s].programs[v]);
    if (e->onednn != NULL)
        dnnl_engine_destroy(e->onednn);
    free(e);
}

static uint8_t *instance_slot(struct engine_instance *base, int slot)
{
    (void)slot; /* there is one */
    return ((struct cpu_instance *)(void *)base)->pixels;
}

static void compute_logits(const struct cpu_stage *stage, const float *means, float *logits)
{
    for (int k = 0; k < stage->rules.classes.n_classes; k++) {
        const float *row = stage->head_weight + (size_t)k * (size_t)stage->c;
        double sum = 0;
        for (int i = 0; i < stage->c; i++)
            sum += (double)row[i] * means[i];
        logits[k] = (float)(sum + stage->head_bias[k]);
    }
}

static bool map_is_finite(const float *map, int n)
{
    for (int i = 0; i < n; i++)
        if (!isfinite(map[i]))
            return false;
    return true;
}

static void make_map(struct cpu_instance *in, int s)
{
    const struct cpu_stage *stage = &in->engine->stages[s];

    gradcam_direction(stage->head_weight, in->shares, stage->rules.classes.n_classes, stage->c,
                      stage->n_places, in->direction);
    gradcam_raw(in->features, in->direction, stage->c, stage->programs[0].ops->block, stage->n_places,
                in->maps[s]);
    gradcam_rectify(in->maps[s], stage->n_places);
    in->result.map[s] = in->maps[s];
    if (!map_is_finite(in->maps[s], stage->n_places))
        in->result.numeric_error = true;
}

/* One stage on the picture in hand, through its variants. OUT passed: whether the next stage should see it.
 */
static enum status run_stage(struct cpu_instance *in, int s, bool *passed)
{
    enum status rc = STATUS_OK;
    const struct cpu_stage *stage = &in->engine->stages[s];
    enum stage_answer answer = STAGE_SCORE_AGAIN;

    for (int v = 0; answer == STAGE_SCORE_AGAIN && v < stage->rules.n_variants; v++) {
        TRY(runner_execute(&in->runners[s][v], in->stream, in->pixels, in->features, in->means));
        compute_logits(stage, in->means, in->logits[s]);
        struct score score = score_logits(&stage->rules.classes, in->logits[s], in->shares);
        in->result.score[s] = score.score;
        in->result.logits[s] = in->logits[s];
        answer = cascade_answer(&stage->rules, v, score);
    }
    *passed = answer == STAGE_PASS;
    in->result.numeric_error |= answer == STAGE_NUMERIC_ERROR;
    if (in->engine->maps == MAPS_ALL || (in->engine->maps == MAPS_PASSED && answer == STAGE_PASS))
        make_map(in, s);
out:
    return rc;
}

static enum status instance_submit(struct engine_instance *base, int slot, int n,
                                   const struct engine_request *requests)
{
    enum status rc = STATUS_OK;
    struct cpu_instance *in = (struct cpu_instance *)(void *)base;
    bool wanted = true;

    (void)slot;
    if (n != 1)
        FAIL(STATUS_INTERNAL, "the cpu engine takes one picture at a time, not %d", n);
    omp_set_num_threads(1); /* per thread: whichever thread runs this instance is its one core */
    in->result = (struct engine_result){0};
    for (int s = 0; s < in->engine->n_stages; s++) {
        bool passed = true;
        in->result.score[s] = NAN;
        if (!wanted || (requests[0].stages >> s & 1) == 0)
            continue;
        TRY(run_stage(in, s, &passed));
        wanted = passed || requests[0].exhaustive;
    }
out:
    return rc;
}

static enum status instance_collect(struct engine_instance *base, int slot, struct engine_result *results)
{
    (void)slot;
    results[0] = ((struct cpu_instance *)(void *)base)->result;
    return STATUS_OK;
}

static void instance_close(struct engine_instance *base)
{
    struct cpu_instance *in = (struct cpu_instance *)(void *)base;

    if (in == NULL)
        return;
    for (int s = 0; s < CASCADE_MAX_STAGES; s++) {
        for (int v = 0; v < STAGE_MAX_VARIANTS; v++)
            runner_close(&in->runners[s][v]);
        free(in->logits[s]);
        free(in->maps[s]);
    }
    if (in->stream != NULL)
        dnnl_stream_destroy(in->stream);
    free(in->arena);
    free(in->scratch);
    free(in->pixels);
    free(in->features);
    free(in->means);
    free(in->direction);
    free(in->shares);
    free(in);
}

static enum status allocate_instance(struct cpu_instance *in)
{
    enum status rc = STATUS_OK;
    const struct cpu_engine *e = in->engine;
    size_t most_classes = 0;

    for (int s = 0; s < e->n_stages; s++) {
        size_t n_classes = (size_t)e->stages[s].rules.classes.n_classes;
        most_classes = larger(most_classes, n_classes);
        in->logits[s] = allocate(n_classes * sizeof(float));
        in->maps[s] = allocate((size_t)e->stages[s].n_places * sizeof(float));
        if (in->logits[s] == NULL || in->maps[s] == NULL)
            FAIL(STATUS_MEMORY, "no memory for an instance of the cpu engine");
    }
    in->arena = allocate(e->arena_bytes);
    in->scratch = allocate(e->scratch_bytes);
    in->pixels = allocate((size_t)e->size * (size_t)e->size * 3);
    in->features = allocate(e->feature_floats * sizeof(float));
    in->means = allocate(e->mean_floats * sizeof(float));
    in->direction = allocate(e->mean_floats * sizeof(float));
    in->shares = allocate(most_classes * sizeof(float));
    if (in->arena == NULL || in->scratch == NULL || in->pixels == NULL || in->features == NULL ||
        in->means == NULL || in->direction == NULL || in->shares == NULL)
        FAIL(STATUS_MEMORY, "no memory for an instance of the cpu engine (%zu MiB)", e->arena_bytes >> 20);
    memset(in->arena, 0, e->arena_bytes);
out:
    return rc;
}

static enum status instance_open(struct engine *base, struct engine_instance **out)
{
    enum status rc = STATUS_OK;
    const struct cpu_engine *e = (struct cpu_engine *)(void *)base;
    struct cpu_instance *in = calloc(1, sizeof(*in));

    if (in == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    in->engine = e;
    in->base = (struct engine_instance){1, instance_slot, instance_submit, instance_collect, instance_close};
    TRY(allocate_instance(in));
    TRY(onednn_check(dnnl_stream_create(&in->stream, e->onednn, dnnl_stream_default_flags), "a stream"));
    for (int s = 0; s < e->n_stages; s++)
        for (int v = 0; v < e->stages[s].rules.n_variants; v++)
            TRY(runner_open(&e->stages[s].programs[v], in->arena, in->scratch, &in->runners[s][v]));
    *out = &in->base;
    in = NULL;
out:
    instance_close((struct engine_instance *)(void *)in);
    return rc;
}

bool engine_cpu_has_bf16(void)
{
    /* Newer instruction sets (AMX, AVX10) hold the bits of those they include. */
    unsigned int isa = (unsigned int)dnnl_get_effective_cpu_isa(),
                 bf16 = (unsigned int)dnnl_cpu_isa_avx512_core_bf16;
    return (isa & bf16) == bf16;
}

static void describe_device(char *text, size_t size)
{
    char version[32];
    onednn_format_version(version, sizeof(version));
    snprintf(text, size, "%s%s, oneDNN %s", ops_choose()->name, engine_cpu_has_bf16() ? "+bf16" : "",
             version);
}

enum status engine_cpu_open(const struct cascade *cascade, const struct engine_options *options,
                            struct engine **out)
{
    enum status rc = STATUS_OK;
    struct cpu_engine *e = calloc(1, sizeof(*e));
    int threads = omp_get_max_threads();

    if (e == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    e->base = (struct engine){.name = "cpu",
                              .batch = 1,
                              .max_instances = 4096,
                              .instance_open = instance_open,
                              .close = engine_close};
    describe_device(e->base.device, sizeof(e->base.device));
    e->size = cascade->size;
    e->maps = options->maps;
    TRY(onednn_check(dnnl_engine_create(&e->onednn, dnnl_cpu, 0), "the CPU engine"));
    omp_set_num_threads(1); /* primitives are made for as many threads as there are now */
    for (int s = 0; s < cascade->n_stages; s++) {
        e->n_stages = s + 1;
        TRY(open_stage(e, &cascade->stages[s], &e->stages[s]));
    }
    *out = &e->base;
    e = NULL;
out:
    omp_set_num_threads(threads);
    if (e != NULL)
        engine_close(&e->base);
    return rc;
}
