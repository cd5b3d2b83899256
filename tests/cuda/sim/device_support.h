/* What the tests on the simulated device share: a stage's program run step by step, and values read back. */
#ifndef EYESORE_TESTS_CUDA_DEVICE_SUPPORT_H
#define EYESORE_TESTS_CUDA_DEVICE_SUPPORT_H

#include "kernels/cuda/device_program.h"
#include "tests/cuda/sim/sim.h"

/* A program with everything it needs on the device, for a batch of `batch` pictures of which `n` are there.
 */
struct bench_program {
    struct device_program program;
    struct program_memory memory;
    struct program_pass pass;
    cudnnHandle_t handle;
    cudaStream_t stream;
    void *owned[16]; /* device memory */
    int n_owned;
};

/* IN pixels: [n, size, size, 3]. Asserts. */
void bench_open(struct bench_program *b, const struct stage *stage, enum precision precision, int batch,
                const uint8_t *pixels, int n, int size);
void bench_close(struct bench_program *b);

/* Run step `index` and wait. */
void bench_step(struct bench_program *b, int index);

/* A value's element, [picture, place, channel], as float. */
struct device_value {
    float *values; /* [n, h * w, c]; owned */
    int n, places, c;
};
struct device_value bench_read(const struct bench_program *b, const struct operand *operand);

/* The head's input as the head sees it: DenseNet's last norm is its prologue. In place. */
void bench_activate(const struct stage *stage, struct device_value *features);

/* sum (a - b)^2 / sum b^2 */
struct nmse {
    double error, power;
};
double nmse_of(const struct nmse *sum);

#endif
