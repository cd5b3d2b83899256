/*
 * parity FOLDER [NETWORK...]: the CUDA engine beside the plain list executed plainly (reference.h), for
 * untrained networks that it makes itself (in FOLDER, kept there): densenet161, resnet50, mobilenet_v2, plain
 * and with CBAM, at 224x224. Needs a device and nothing else: no MPI, no oneDNN, no test library. Exits 77
 * where there is no GPU.
 *
 * For each network in float16 and bf16: scores within 5e-3 (bf16: 4e-2), heat maps' normalised mean square
 * error under 1e-4 (bf16: 6e-3), the same bits in other rows, in a shorter batch and with plans read back;
 * then a second stage that loops, and one that never runs. Then the time of full batches, for the record.
 */
#include "base/clock.h"
#include "kernels/cuda/device.h"
#include "kernels/engine.h"
#include "kernels/gradcam.h"
#include "kernels/networks.h"
#include "kernels/reference.h"
#include "kernels/weights_init.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_SKIPPED 77
#define SIZE 224
#define PICTURE_BYTES ((size_t)SIZE * SIZE * 3)
#define N_PICTURES 3 /* compared: one less than a batch */
#define BATCH 4
#define PLACES 49
#define N_CLASSES 2

struct network {
    const char *name, *arch;
    enum cbam_layout attention;
};

static const struct network networks[] = {
    {"mobilenet_v2", "mobilenet_v2", CBAM_NONE}, {"mobilenet_v2+cbam", "mobilenet_v2", CBAM_TIMM},
    {"resnet50", "resnet50", CBAM_NONE},         {"resnet50+cbam", "resnet50", CBAM_TIMM},
    {"densenet161", "densenet161", CBAM_NONE},   {"densenet161+cbam", "densenet161", CBAM_TIMM},
};

struct answer {
    float score, map[PLACES];
};

static const float mean[3] = {0.485f, 0.456f, 0.406f}, deviation[3] = {0.229f, 0.224f, 0.225f};

static enum status open_stage(const struct network *network, const char *folder, struct stage *stage)
{
    enum status rc = STATUS_OK;
    struct geometry geometry;

    *stage = (struct stage){.threshold = 0.5f, .n_variants = 1};
    memcpy(stage->mean, mean, sizeof(mean));
    memcpy(stage->std, deviation, sizeof(deviation));
    snprintf(stage->name, sizeof(stage->name), "parity");
    snprintf(stage->weights_path, sizeof(stage->weights_path), "%s/%s.safetensors", folder, network->name);
    if (access(stage->weights_path, R_OK) != 0) {
        TRY(network_geometry(network->arch, network->attention, N_CLASSES, &geometry));
        TRY(weights_init(&geometry, 2026, stage->weights_path));
    }
    TRY(stage_open(stage, SIZE, NULL, NULL));
out:
    return rc;
}

/* What the plain list says, in float32. */
static enum status run_reference(const struct stage *stage, const uint8_t *pixels, struct answer *answers)
{
    enum status rc = STATUS_OK;
    const struct op *head = &stage->plain.ops[stage->plain.n_ops - 1];
    int c = stage->plain.ops[head->input[0]].shape.c;
    struct reference_result result = {0};
    float *input = malloc(N_PICTURES * PICTURE_BYTES * sizeof(float)), *weight = NULL, *direction = NULL,
          shares[N_CLASSES];

    weight = malloc((size_t)(N_CLASSES * c) * sizeof(float));
    direction = malloc((size_t)c * sizeof(float));
    if (input == NULL || weight == NULL || direction == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    for (size_t i = 0; i < N_PICTURES * PICTURE_BYTES; i++) {
        size_t picture = i / PICTURE_BYTES, channel = i / (SIZE * SIZE) % 3, place = i % (SIZE * SIZE);
        float level = pixels[picture * PICTURE_BYTES + place * 3 + channel];
        input[i] = (level / 255 - mean[channel]) / deviation[channel];
    }
    TRY(reference_execute(&stage->plain, input, N_PICTURES, false, &result));
    tensor_to_f32(head->param[HEAD_WEIGHT], weight);
    for (int i = 0; i < N_PICTURES; i++) {
        answers[i].score = score_logits(&stage->classes, result.logits + i * N_CLASSES, shares).score;
        gradcam_direction(weight, shares, N_CLASSES, c, PLACES, direction);
        gradcam_raw(result.features + (size_t)i * (size_t)(c * PLACES), direction, c, 1, PLACES,
                    answers[i].map);
        gradcam_rectify(answers[i].map, PLACES);
    }
out:
    reference_free(&result);
    free(input);
    free(weight);
    free(direction);
    return rc;
}

/* n pictures as one batch. */
static enum status run_batch(struct engine_instance *instance, const uint8_t *pixels, int n,
                             struct answer *answers)
{
    enum status rc = STATUS_OK;
    struct engine_request requests[BATCH];
    struct engine_result results[BATCH];

    memcpy(instance->slot(instance, 0), pixels, (size_t)n * PICTURE_BYTES);
    for (int i = 0; i < n; i++)
        requests[i] = (struct engine_request){.stages = 1};
    TRY(instance->submit(instance, 0, n, requests));
    TRY(instance->collect(instance, 0, results));
    for (int i = 0; i < n; i++) {
        if (results[i].map[0] == NULL || results[i].numeric_error)
            FAIL(STATUS_INTERNAL, "picture %d has no finite score and map", i);
        answers[i].score = results[i].score[0];
        memcpy(answers[i].map, results[i].map[0], sizeof(answers[i].map));
    }
out:
    return rc;
}

/* Full batches of the size that fits, as fast as they go, copies included. */
static enum status measure_speed(const struct cascade *cascade, const uint8_t *pixels)
{
    enum status rc = STATUS_OK;
    struct engine_options how = {.maps = MAPS_PASSED, .n_instances = 1};
    struct engine *engine = NULL;
    struct engine_instance *instance = NULL;
    struct engine_request requests[256];
    struct engine_result results[256];
    double start = 0;

    TRY(engine_cuda_fit_batch(cascade, &how, &how.batch));
    TRY(engine_cuda_open(cascade, &how, &engine));
    TRY(engine->instance_open(engine, &instance));
    for (int i = 0; i < how.batch; i++)
        requests[i] = (struct engine_request){.stages = 1};
    for (int slot = 0; slot < instance->n_slots; slot++)
        for (int i = 0; i < how.batch; i++)
            memcpy(instance->slot(instance, slot) + (size_t)i * PICTURE_BYTES,
                   pixels + (size_t)(i % N_PICTURES) * PICTURE_BYTES, PICTURE_BYTES);
    for (int k = 0; k < 24 + instance->n_slots; k++) {
        int slot = k % instance->n_slots;
        if (k >= instance->n_slots)
            TRY(instance->collect(instance, slot, results));
        if (k == 2 * instance->n_slots) /* warm by now */
            start = clock_seconds();
        if (k < 24)
            TRY(instance->submit(instance, slot, how.batch, requests));
    }
    printf("    batches of %d: %.0f images/s, copies included, decoding not\n", how.batch,
           (24 - instance->n_slots) * how.batch / (clock_seconds() - start));
out:
    if (instance != NULL)
        instance->close(instance);
    if (engine != NULL)
        engine->close(engine);
    return rc;
}

static enum status compare(const struct answer *got, const struct answer *want, enum precision precision)
{
    enum status rc = STATUS_OK;
    double worst = 0, error = 0, power = 0, scores = precision == PRECISION_F16 ? 5e-3 : 4e-2;
    double maps = precision == PRECISION_F16 ? 1e-4 : 6e-3;

    for (int i = 0; i < N_PICTURES; i++) {
        worst = fmax(worst, fabs((double)got[i].score - want[i].score));
        for (int p = 0; p < PLACES; p++) {
            error += ((double)got[i].map[p] - want[i].map[p]) * ((double)got[i].map[p] - want[i].map[p]);
            power += (double)want[i].map[p] * want[i].map[p];
        }
    }
    printf("    %-4s scores differ by at most %.1e, maps' NMSE %.1e\n", precision_name(precision), worst,
           error / power);
    if (!(worst <= scores) || !(power > 0) || !(error / power <= maps))
        FAIL(STATUS_INTERNAL, "too far from the reference: scores %.1e, maps %.1e are allowed", scores, maps);
out:
    return rc;
}

/* The same pictures in other rows of a batch, and fewer of them: the same bits for each. */
static enum status check_rows(struct engine_instance *instance, const uint8_t *pixels,
                              const struct answer *got)
{
    enum status rc = STATUS_OK;
    struct answer again[BATCH];
    static uint8_t turned[N_PICTURES * PICTURE_BYTES];

    TRY(run_batch(instance, pixels, N_PICTURES - 1, again));
    if (memcmp(got, again, (N_PICTURES - 1) * sizeof(got[0])) != 0)
        FAIL(STATUS_INTERNAL, "the same pictures in a shorter batch got other bits");
    for (int i = 0; i < N_PICTURES; i++)
        memcpy(turned + (size_t)i * PICTURE_BYTES, pixels + (size_t)(N_PICTURES - 1 - i) * PICTURE_BYTES,
               PICTURE_BYTES);
    TRY(run_batch(instance, turned, N_PICTURES, again));
    for (int i = 0; i < N_PICTURES; i++)
        if (memcmp(&got[i], &again[N_PICTURES - 1 - i], sizeof(got[0])) != 0)
            FAIL(STATUS_INTERNAL, "picture %d in another row of the batch got other bits", i);
out:
    return rc;
}

static enum status open_instance(const struct cascade *cascade, const struct engine_options *how,
                                 struct engine **engine, struct engine_instance **instance)
{
    enum status rc = STATUS_OK;
    TRY(engine_cuda_open(cascade, how, engine));
    TRY((*engine)->instance_open(*engine, instance));
out:
    return rc;
}

static void close_instance(struct engine **engine, struct engine_instance **instance)
{
    if (*instance != NULL)
        (*instance)->close(*instance);
    if (*engine != NULL)
        (*engine)->close(*engine);
    *instance = NULL;
    *engine = NULL;
}

/* Beside the reference; in other rows; and from plans read from `plans`, where the first engine kept them. */
static enum status check_precision(struct cascade *cascade, enum precision precision, const char *plans,
                                   const uint8_t *pixels, const struct answer *want)
{
    enum status rc = STATUS_OK;
    const struct engine_options how = {
        .maps = MAPS_ALL, .n_instances = 1, .batch = BATCH, .plan_folder = plans};
    struct answer got[BATCH], again[BATCH];
    struct engine *engine = NULL;
    struct engine_instance *instance = NULL;

    cascade->stages[0].variants[0].precision = precision;
    TRY(open_instance(cascade, &how, &engine, &instance));
    TRY(run_batch(instance, pixels, N_PICTURES, got));
    TRY(compare(got, want, precision));
    TRY(check_rows(instance, pixels, got));
    close_instance(&engine, &instance);
    TRY(open_instance(cascade, &how, &engine, &instance));
    TRY(run_batch(instance, pixels, N_PICTURES, again));
    if (memcmp(got, again, N_PICTURES * sizeof(got[0])) != 0)
        FAIL(STATUS_INTERNAL, "with the plans kept by an earlier engine the bits are others");
out:
    close_instance(&engine, &instance);
    return rc;
}

/*
 * Two stages, the same network: the second, one picture at a time, turns its loop once for each picture that
 * the first lets through: for all, and for none.
 */
static enum status check_cascade(const struct cascade *one, const char *plans, const uint8_t *pixels)
{
    enum status rc = STATUS_OK;
    const struct engine_options how = {
        .maps = MAPS_ALL, .n_instances = 1, .batch = BATCH, .later_batch = 1, .plan_folder = plans};
    struct cascade two = *one;
    struct engine *engine = NULL;
    struct engine_instance *instance = NULL;
    const struct engine_request requests[N_PICTURES] = {{.stages = 3}, {.stages = 3}, {.stages = 3}};
    struct engine_result results[N_PICTURES];

    two.n_stages = 2;
    two.stages[1] = two.stages[0];
    for (int pass = 1; pass >= 0; pass--) {
        two.stages[0].threshold = pass == 1 ? 0 : 1;
        TRY(open_instance(&two, &how, &engine, &instance));
        memcpy(instance->slot(instance, 0), pixels, N_PICTURES * PICTURE_BYTES);
        TRY(instance->submit(instance, 0, N_PICTURES, requests));
        TRY(instance->collect(instance, 0, results));
        for (int i = 0; i < N_PICTURES; i++)
            if (pass == 1 ? !(fabsf(results[i].score[0] - results[i].score[1]) <= 5e-3f)
                          : !isnan(results[i].score[1]))
                FAIL(STATUS_INTERNAL,
                     "picture %d, of which the first stage lets %s through: scores %g and %g", i,
                     pass == 1 ? "all" : "none", (double)results[i].score[0], (double)results[i].score[1]);
        close_instance(&engine, &instance);
    }
    printf("    two stages: looped for all, and for none\n");
out:
    close_instance(&engine, &instance);
    return rc;
}

static enum status check_network(const struct network *network, const char *folder, const uint8_t *pixels,
                                 bool timed)
{
    enum status rc = STATUS_OK;
    struct cascade cascade = {.n_stages = 1, .size = SIZE};
    struct answer want[N_PICTURES];
    char plans[4096];

    printf("%s\n", network->name);
    TRY(open_stage(network, folder, &cascade.stages[0]));
    TRY(run_reference(&cascade.stages[0], pixels, want));
    snprintf(plans, sizeof(plans), "%s/plans", folder);
    TRY(check_precision(&cascade, PRECISION_F16, plans, pixels, want));
    TRY(check_precision(&cascade, PRECISION_BF16, plans, pixels, want));
    cascade.stages[0].variants[0].precision = PRECISION_F16;
    TRY(check_cascade(&cascade, plans, pixels));
    if (timed)
        TRY(measure_speed(&cascade, pixels));
out:
    stage_close(&cascade.stages[0]);
    printf("    %s\n", rc == STATUS_OK ? "ok" : "FAILED");
    fflush(stdout);
    return rc;
}

static bool is_asked(const char *name, int n, char **names)
{
    bool asked = n == 0;

    for (int i = 0; i < n; i++)
        asked = asked || strcmp(names[i], name) == 0;
    return asked;
}

int main(int argc, char **argv)
{
    char why[DEVICE_REASON_SIZE];
    int n_failed = 0, n_passed = 0;
    static uint8_t pixels[N_PICTURES * PICTURE_BYTES];

    if (argc < 2) {
        fprintf(stderr, "usage: parity FOLDER [NETWORK...]\n");
        return EXIT_USAGE;
    }
    if (device_count(why) == 0 || device_choose(0) != STATUS_OK) {
        printf("skipped: no GPU here: %s\n", why);
        return EXIT_SKIPPED;
    }
    printf("device: %s\n", device_label());
    for (int i = 0; i < N_PICTURES; i++)
        weights_init_picture(900 + (uint64_t)i, SIZE, pixels + (size_t)i * PICTURE_BYTES);
    for (size_t i = 0; i < sizeof(networks) / sizeof(networks[0]); i++) {
        if (!is_asked(networks[i].name, argc - 2, argv + 2))
            continue;
        bool ok = check_network(&networks[i], argv[1], pixels, getenv("EYESORE_PARITY_UNTIMED") == NULL) ==
                  STATUS_OK;
        n_passed += ok;
        n_failed += !ok;
    }
    printf("%d passed, %d failed\n", n_passed, n_failed);
    return n_failed > 0 || n_passed == 0;
}
