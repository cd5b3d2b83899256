#include "tests/cuda/sim/cascade_support.h"

#include "kernels/cuda/device.h"

#include <stdio.h>
#include <string.h>

static uint8_t pictures[CASCADE_PICTURES][NARROW_SIZE * NARROW_SIZE * 3];

/* Pictures that differ more than noise does: blocks of random colour under noise. */
static void draw(int index)
{
    uint64_t seed = 1000 + (uint64_t)index;
    uint8_t colours[16][3];

    support_fill_pixels(seed, &colours[0][0], sizeof(colours));
    support_fill_pixels(seed + 77, pictures[index], PICTURE_BYTES);
    for (int p = 0; p < NARROW_SIZE * NARROW_SIZE; p++) {
        int block = p / NARROW_SIZE / 16 * 4 + p % NARROW_SIZE / 16;
        for (int c = 0; c < 3; c++)
            pictures[index][p * 3 + c] = (uint8_t)((3 * colours[block][c] + pictures[index][p * 3 + c]) / 4);
    }
}

void cascade_make(struct cascade *cascade, enum precision precision)
{
    static const char *const names[] = {"first", "second", "third"};
    static const enum arch archs[] = {ARCH_RESNET, ARCH_DENSENET, ARCH_MOBILENET_V2};
    static const float thresholds[] = {0.5f, 0.5f, 0.5f};

    *cascade = (struct cascade){.n_stages = 3, .size = NARROW_SIZE};
    for (int s = 0; s < 3; s++) {
        struct geometry geometry = narrow_geometry(archs[s], (enum cbam_layout)(s + 1), s == 2 ? 4 : 2);
        struct stage *stage = &cascade->stages[s];
        *stage = (struct stage){.threshold = thresholds[s],
                                .mean = {0.485f, 0.456f, 0.406f},
                                .std = {0.229f, 0.224f, 0.225f},
                                .n_variants = 1};
        stage->variants[0].precision = precision;
        snprintf(stage->name, sizeof(stage->name), "%s", names[s]);
        snprintf(stage->weights_path, sizeof(stage->weights_path), "%s",
                 narrow_write(&geometry, 40 + (uint64_t)s, names[s]));
        assert_int_equal(stage_open(stage, NARROW_SIZE, s == 2 ? "1,3" : NULL, NULL), STATUS_OK);
    }
    for (int i = 0; i < CASCADE_PICTURES; i++)
        draw(i);
}

void cascade_free(struct cascade *cascade)
{
    for (int s = 0; s < cascade->n_stages; s++)
        stage_close(&cascade->stages[s]);
}

const uint8_t *cascade_picture(int index)
{
    return pictures[index];
}

struct engine_request request_all(int index)
{
    (void)index;
    return (struct engine_request){.stages = 7};
}

enum status cascade_open_cuda(const struct cascade *cascade, enum map_policy maps, int batch,
                              struct engine **out)
{
    enum status rc = STATUS_OK;
    struct engine_options options = {
        .maps = maps, .n_instances = 1, .batch = batch, .plan_folder = support_path("plans")};

    TRY(device_choose(0));
    TRY(engine_cuda_open(cascade, &options, out));
out:
    return rc;
}

static void keep(const struct engine_result *from, const struct cascade *cascade, struct kept_result *to)
{
    to->result = *from;
    for (int s = 0; s < 3; s++) {
        int places = cascade->stages[s].map_height * cascade->stages[s].map_width;
        if (from->logits[s] != NULL)
            memcpy(to->logits[s], from->logits[s],
                   (size_t)cascade->stages[s].classes.n_classes * sizeof(float));
        if (from->map[s] != NULL)
            memcpy(to->maps[s], from->map[s], (size_t)places * sizeof(float));
    }
}

static enum status collect(const struct cascade *cascade, struct engine_instance *instance, int slot,
                           int first, int n, struct kept_result *results)
{
    enum status rc = STATUS_OK;
    struct engine_result got[CASCADE_PICTURES];

    TRY(instance->collect(instance, slot, got));
    for (int i = 0; i < n; i++)
        keep(&got[i], cascade, &results[first + i]);
out:
    return rc;
}

static enum status submit(struct engine_instance *instance, int slot, int first, int n,
                          struct engine_request (*request)(int))
{
    struct engine_request requests[CASCADE_PICTURES];

    for (int i = 0; i < n; i++) {
        memcpy(instance->slot(instance, slot) + (size_t)i * PICTURE_BYTES, pictures[first + i],
               PICTURE_BYTES);
        requests[i] = request(first + i);
    }
    return instance->submit(instance, slot, n, requests);
}

enum status cascade_run(const struct cascade *cascade, struct engine *engine, int n, int batch,
                        struct engine_request (*request)(int), struct kept_result *results)
{
    enum status rc = STATUS_OK;
    struct engine_instance *instance = NULL;
    int n_batches = (n + batch - 1) / batch;

    TRY(engine->instance_open(engine, &instance));
    for (int k = 0; k < n_batches + instance->n_slots; k++) {
        int done = k - instance->n_slots; /* its slot is the one to be filled next */
        if (done >= 0 && done < n_batches)
            TRY(collect(cascade, instance, done % instance->n_slots, done * batch,
                        done == n_batches - 1 ? n - done * batch : batch, results));
        if (k < n_batches)
            TRY(submit(instance, k % instance->n_slots, k * batch, k == n_batches - 1 ? n - k * batch : batch,
                       request));
    }
out:
    if (instance != NULL)
        instance->close(instance);
    return rc;
}
