/* A cascade of three narrow networks, pictures for it, and whole batches through the CUDA engine on the
 * simulated device. */
#ifndef EYESORE_TESTS_CUDA_CASCADE_SUPPORT_H
#define EYESORE_TESTS_CUDA_CASCADE_SUPPORT_H

#include "kernels/engine.h"
#include "tests/unit/kernels/support.h"

#define CASCADE_PICTURES 24
#define PICTURE_BYTES ((size_t)NARROW_SIZE * NARROW_SIZE * 3)

/* ResNet, DenseNet, MobileNetV2, each with another attention; thresholds that pass a part of the pictures. */
void cascade_make(struct cascade *cascade, enum precision precision);
void cascade_free(struct cascade *cascade);

const uint8_t *cascade_picture(int index);

/* A result whose logits and maps are its own. */
struct kept_result {
    struct engine_result result;
    float logits[3][4], maps[3][64];
};

/*
 * Pictures [0, n) through an engine, `batch` a slot, slots in turn, all submitted before the first is
 * collected as far as there are slots. `request(i)` says what is asked of picture i. OUT results: [n]. The
 * first failure ends it.
 */
enum status cascade_run(const struct cascade *cascade, struct engine *engine, int n, int batch,
                        struct engine_request (*request)(int), struct kept_result *results);

struct engine_request request_all(int index); /* every stage, as the cascade goes */

/* The engine on the simulated device; its plans are kept for the next. */
enum status cascade_open_cuda(const struct cascade *cascade, enum map_policy maps, int batch,
                              struct engine **out);

#endif
