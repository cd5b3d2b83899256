/*
 * The null engine: what is around an engine, without one. A score is a hash of the crop and of the stage's
 * name, even over 0..1, so that about 1 - threshold of the pictures pass a stage, always the same ones.
 */
#include "kernels/engine.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct null_stage {
    struct stage rules; /* copy of the cascade's, without weights and graph */
    uint64_t seed;
    double time_s;
};

struct null_engine {
    struct engine base;
    struct null_stage stages[CASCADE_MAX_STAGES];
    int n_stages;
    size_t crop_bytes;
    enum map_policy maps;
};

struct null_instance {
    struct engine_instance base;
    const struct null_engine *engine;
    uint8_t *pixels;
    float *maps[CASCADE_MAX_STAGES];
    float *logits[CASCADE_MAX_STAGES];
    struct engine_result result;
};

/* The finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
 * 2014). */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static uint64_t hash_bytes(const void *bytes, size_t n, uint64_t seed)
{
    uint64_t hash = mix(seed ^ n);

    for (size_t i = 0; i < n; i += sizeof(uint64_t)) {
        uint64_t word = 0;
        memcpy(&word, (const char *)bytes + i, n - i < sizeof(word) ? n - i : sizeof(word));
        hash = mix(hash ^ word);
    }
    return hash;
}

/* 0 <= x < 1, in steps that float32 holds exactly. */
static float unit(uint64_t hash)
{
    return (float)(hash >> 40) * 0x1p-24f;
}

static void engine_close(struct engine *base)
{
    free(base);
}

static uint8_t *instance_slot(struct engine_instance *base, int slot)
{
    (void)slot; /* there is one */
    return ((struct null_instance *)(void *)base)->pixels;
}

static void pretend(double time_s)
{
    struct timespec left = {(time_t)time_s, (long)(1e9 * (time_s - floor(time_s)))};

    while (time_s > 0 && nanosleep(&left, &left) != 0)
        ;
}

/* Does the picture pass? */
static bool run_stage(struct null_instance *in, int s, uint64_t crop)
{
    const struct null_stage *stage = &in->engine->stages[s];
    uint64_t hash = mix(crop ^ stage->seed);
    float score = unit(hash);
    bool passed = score >= stage->rules.threshold;

    pretend(stage->time_s);
    for (int k = 0; k < stage->rules.classes.n_classes; k++)
        in->logits[s][k] = unit(mix(hash + (uint64_t)k));
    in->result.score[s] = score;
    in->result.logits[s] = in->logits[s];
    if (in->engine->maps == MAPS_ALL || (in->engine->maps == MAPS_PASSED && passed)) {
        for (int i = 0; i < stage->rules.map_height * stage->rules.map_width; i++)
            in->maps[s][i] = unit(mix(hash - (uint64_t)i));
        in->result.map[s] = in->maps[s];
    }
    return passed;
}

static enum status instance_submit(struct engine_instance *base, int slot, int n,
                                   const struct engine_request *requests)
{
    enum status rc = STATUS_OK;
    struct null_instance *in = (struct null_instance *)(void *)base;
    bool wanted = true;

    (void)slot;
    if (n != 1)
        FAIL(STATUS_INTERNAL, "the null engine takes one picture at a time, not %d", n);
    uint64_t crop = hash_bytes(in->pixels, in->engine->crop_bytes, 0);
    in->result = (struct engine_result){0};
    for (int s = 0; s < in->engine->n_stages; s++) {
        in->result.score[s] = NAN;
        if (wanted && (requests[0].stages >> s & 1) != 0)
            wanted = run_stage(in, s, crop) || requests[0].exhaustive;
    }
out:
    return rc;
}

static enum status instance_collect(struct engine_instance *base, int slot, struct engine_result *results)
{
    (void)slot;
    results[0] = ((struct null_instance *)(void *)base)->result;
    return STATUS_OK;
}

static void instance_close(struct engine_instance *base)
{
    struct null_instance *in = (struct null_instance *)(void *)base;

    if (in == NULL)
        return;
    for (int s = 0; s < CASCADE_MAX_STAGES; s++) {
        free(in->maps[s]);
        free(in->logits[s]);
    }
    free(in->pixels);
    free(in);
}

static enum status instance_open(struct engine *base, struct engine_instance **out)
{
    enum status rc = STATUS_OK;
    const struct null_engine *e = (struct null_engine *)(void *)base;
    struct null_instance *in = calloc(1, sizeof(*in));

    if (in == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    in->engine = e;
    in->base = (struct engine_instance){1, instance_slot, instance_submit, instance_collect, instance_close};
    in->pixels = malloc(e->crop_bytes);
    if (in->pixels == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    for (int s = 0; s < e->n_stages; s++) {
        const struct stage *rules = &e->stages[s].rules;
        in->maps[s] = calloc((size_t)rules->map_height * (size_t)rules->map_width + 1, sizeof(float));
        in->logits[s] = calloc((size_t)rules->classes.n_classes, sizeof(float));
        if (in->maps[s] == NULL || in->logits[s] == NULL)
            FAIL(STATUS_MEMORY, "no memory");
    }
    *out = &in->base;
    in = NULL;
out:
    instance_close((struct engine_instance *)(void *)in);
    return rc;
}

enum status engine_null_open(const struct cascade *cascade, const struct engine_options *options,
                             struct engine **out)
{
    enum status rc = STATUS_OK;
    struct null_engine *e = calloc(1, sizeof(*e));

    if (e == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    e->base = (struct engine){.name = "null",
                              .batch = 1,
                              .max_instances = 4096,
                              .instance_open = instance_open,
                              .close = engine_close};
    snprintf(e->base.device, sizeof(e->base.device), "nothing: scores are hashes");
    e->n_stages = cascade->n_stages;
    e->maps = options->maps;
    e->crop_bytes = (size_t)cascade->size * (size_t)cascade->size * 3;
    for (int s = 0; s < cascade->n_stages; s++) {
        struct null_stage *stage = &e->stages[s];
        stage->rules = cascade->stages[s];
        stage->rules.weights = NULL;
        stage->rules.plain = (struct graph){0};
        stage->seed = hash_bytes(stage->rules.name, strlen(stage->rules.name), 1);
        if (options->null_gmac_per_s > 0)
            stage->time_s = 1e-9 * (double)stage->rules.macs / (double)options->null_gmac_per_s;
    }
    *out = &e->base;
out:
    return rc;
}
