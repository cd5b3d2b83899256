#include "tests/parity/answers.h"

#include "kernels/cpu/program.h"
#include "kernels/engine.h"
#include "kernels/gradcam.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CROP_BYTES ((size_t)PARITY_SIZE * PARITY_SIZE * 3)

static enum status run_engine(const struct cascade *cascade, const uint8_t *crops, struct answers *out)
{
    enum status rc = STATUS_OK;
    const struct engine_options options = {.maps = MAPS_ALL, .n_instances = 1};
    const struct engine_request request = {.stages = 1};
    struct engine *engine = NULL;
    struct engine_instance *instance = NULL;

    TRY(engine_cpu_open(cascade, &options, &engine));
    TRY(engine->instance_open(engine, &instance));
    for (int i = 0; i < PARITY_PICTURES; i++) {
        struct engine_result result;
        memcpy(instance->slot(instance, 0), crops + (size_t)i * CROP_BYTES, CROP_BYTES);
        TRY(instance->submit(instance, 0, 1, &request));
        TRY(instance->collect(instance, 0, &result));
        if (result.numeric_error || result.map[0] == NULL)
            FAIL(STATUS_INTERNAL, "picture %d has no finite score and map", i);
        out->score[i] = result.score[0];
        memcpy(out->logits + (size_t)i * PARITY_CLASSES, result.logits[0], PARITY_CLASSES * sizeof(float));
        memcpy(out->maps[i], result.map[0], (size_t)out->n_places * sizeof(float));
    }
out:
    if (instance != NULL)
        instance->close(instance);
    if (engine != NULL)
        engine->close(engine);
    return rc;
}

static enum status run_program(const struct program *program, dnnl_engine_t onednn, const uint8_t *crops,
                               struct answers *out)
{
    enum status rc = STATUS_OK;
    const struct op *head = &program->graph.ops[program->graph.n_ops - 1];
    struct shape s = program->graph.ops[head->input[0]].shape;
    const float shares[PARITY_CLASSES] = {0, 1};
    size_t padded = ((size_t)s.c + 15) / 16 * 16, places = (size_t)out->n_places;
    size_t scratch_bytes = program->scratch_bytes + program->scratch_floats * sizeof(float);
    unsigned char *arena = aligned_alloc(64, (program->arena_bytes + 63) / 64 * 64);
    unsigned char *scratch = aligned_alloc(64, (scratch_bytes + 64) / 64 * 64);
    float *features = calloc(padded * (places + 2), sizeof(float));
    dnnl_stream_t stream = NULL;
    struct runner runner = {0};

    if (arena == NULL || scratch == NULL || features == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    float *means = features + padded * places, *direction = means + padded;
    TRY(onednn_check(dnnl_stream_create(&stream, onednn, dnnl_stream_default_flags), "a stream"));
    TRY(runner_open(program, arena, scratch, &runner));
    gradcam_direction(head->param[HEAD_WEIGHT]->own, shares, PARITY_CLASSES, s.c, out->n_places, direction);
    out->head_bias = head->param[HEAD_BIAS]->own[1];
    for (int i = 0; i < PARITY_PICTURES; i++) {
        float raw[PARITY_MAX_PLACES];
        TRY(runner_execute(&runner, stream, crops + (size_t)i * CROP_BYTES, features, means));
        gradcam_raw(features, direction, s.c, program->ops->block, out->n_places, raw);
        double sum = 0;
        for (int p = 0; p < out->n_places; p++)
            sum += (double)raw[p];
        out->raw_sum[i] = (float)sum;
    }
out:
    runner_close(&runner);
    if (stream != NULL)
        dnnl_stream_destroy(stream);
    free(features);
    free(scratch);
    free(arena);
    return rc;
}

static enum status open_and_run_program(const struct stage *stage, const uint8_t *crops, struct answers *out)
{
    enum status rc = STATUS_OK;
    dnnl_engine_t onednn = NULL;
    struct program program = {0};

    omp_set_num_threads(1);
    TRY(onednn_check(dnnl_engine_create(&onednn, dnnl_cpu, 0), "the CPU engine"));
    TRY(program_open(stage, stage->variants[0].precision, onednn, &program));
    TRY(run_program(&program, onednn, crops, out));
out:
    program_close(&program);
    if (onednn != NULL)
        dnnl_engine_destroy(onednn);
    return rc;
}

enum status answers_compute(const char *path, const uint8_t *crops, enum precision precision,
                            struct answers *out)
{
    enum status rc = STATUS_OK;
    /* ImageNet's statistics, as in networks.py. */
    struct cascade cascade = {.n_stages = 1,
                              .size = PARITY_SIZE,
                              .stages = {{.name = "parity",
                                          .threshold = 0.5f,
                                          .mean = {0.485f, 0.456f, 0.406f},
                                          .std = {0.229f, 0.224f, 0.225f},
                                          .variants = {{.precision = precision}},
                                          .n_variants = 1}}};
    struct stage *stage = &cascade.stages[0];

    snprintf(stage->weights_path, sizeof(stage->weights_path), "%s", path);
    TRY(stage_open(stage, PARITY_SIZE, NULL, NULL));
    out->n_places = stage->map_height * stage->map_width;
    if (out->n_places > PARITY_MAX_PLACES)
        FAIL(STATUS_INTERNAL, "a map of %d places", out->n_places);
    TRY(run_engine(&cascade, crops, out));
    TRY(open_and_run_program(stage, crops, out));
out:
    stage_close(stage);
    return rc;
}
