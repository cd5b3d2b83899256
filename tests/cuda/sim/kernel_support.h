/* What the tests of the own kernels share: values on the host and on the (simulated) device. */
#ifndef EYESORE_TESTS_KERNEL_SUPPORT_H
#define EYESORE_TESTS_KERNEL_SUPPORT_H

#include "kernels/cuda/launch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define assert_cuda(call) assert_int_equal((call), cudaSuccess)

/* The stream that everything runs on. */
extern cudaStream_t device_stream;

/* Group setup: a fresh device. Group teardown: nothing may be left on it. Teardown of each test: its memory.
 */
int device_open(void **state);
int device_close(void **state);
int device_free_all(void **state);

/* Device memory with a copy of `host` (NULL: bytes of 0xff, a NaN in every type). device_free_all frees. */
void *device_copy(const void *host, size_t bytes);
float *device_floats(const float *host, size_t n);

/* Wait for the stream, then copy back. */
void device_read(const void *device, void *host, size_t bytes);

/* Uniform in [low, high), the same for the same seed. random_floats: of its own memory; free frees. */
float random_float(uint64_t *state, float low, float high);
float *random_floats(uint64_t seed, float low, float high, size_t n);

/* To the nearest value of the element type, and the float of its bits. */
uint16_t element_bits(enum element element, float value);
float element_value(enum element element, uint16_t bits);

/* What rounding to the element may change of a value, relative to it. */
float element_precision(enum element element);

/*
 * A slice of a wider device buffer, with its values on the host: [n, h, w, c], as the element type holds
 * them. The buffer around the slice has a pattern that nobody may change.
 */
struct slice {
    struct device_map map;
    enum element element;
    int first_channel;
    float *values;   /* free frees */
    uint16_t *whole; /* of the buffer, as last written or read; free frees */
    void *buffer;
};

struct slice_shape {
    int n, h, w, c, pitch, first_channel;
};

/* Random values from [low, high). */
struct slice slice_random(enum element element, struct slice_shape shape, uint64_t seed, float low,
                          float high);

/* Write `values` to the device, or read them back and check that the pattern around them is whole. */
void slice_write(struct slice *slice);
void slice_read(struct slice *slice);
void slice_free(struct slice *slice);

/* values[n, y, x, c] */
float *slice_at(const struct slice *slice, int n, int y, int x, int c);

/* NaN equals NaN; else |got - expected| <= relative * |expected| + absolute. `what` names the value. */
void assert_near(float got, float expected, float relative, float absolute, const char *what, size_t index);

#endif
