#include "tests/cuda/sim/kernel_support.h"

#include "tests/cuda/sim/sim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ALLOCATIONS 256
#define PATTERN 0x3a5c /* a harmless number in both element types */

cudaStream_t device_stream;

static void *allocations[MAX_ALLOCATIONS];
static int n_allocations;

int device_open(void **state)
{
    (void)state;
    sim_reset(NULL);
    return cudaStreamCreateWithFlags(&device_stream, cudaStreamNonBlocking) != cudaSuccess;
}

int device_close(void **state)
{
    (void)state;
    if (cudaStreamDestroy(device_stream) != cudaSuccess)
        return 1;
    return sim_count_leaks();
}

int device_free_all(void **state)
{
    int failed = cudaStreamSynchronize(device_stream) != cudaSuccess;

    (void)state;
    while (n_allocations > 0)
        failed |= cudaFree(allocations[--n_allocations]) != cudaSuccess;
    return failed;
}

void *device_copy(const void *host, size_t bytes)
{
    void *device;

    assert_true(n_allocations < MAX_ALLOCATIONS);
    assert_cuda(cudaMalloc(&device, bytes));
    allocations[n_allocations++] = device;
    if (host == NULL)
        assert_cuda(cudaMemset(device, 0xff, bytes));
    else
        assert_cuda(cudaMemcpy(device, host, bytes, cudaMemcpyHostToDevice));
    assert_cuda(cudaDeviceSynchronize()); /* the stream does not wait for the default one */
    return device;
}

float *device_floats(const float *host, size_t n)
{
    return device_copy(host, n * sizeof(float));
}

void device_read(const void *device, void *host, size_t bytes)
{
    assert_cuda(cudaStreamSynchronize(device_stream));
    assert_cuda(cudaMemcpy(host, device, bytes, cudaMemcpyDeviceToHost));
}

/* SplitMix64 (Steele, Lea, Flood 2014). */
float random_float(uint64_t *state, float low, float high)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return low + (high - low) * (float)((z ^ z >> 31) >> 40) * 0x1p-24f;
}

float *random_floats(uint64_t seed, float low, float high, size_t n)
{
    float *values = malloc(n * sizeof(*values));

    assert_non_null(values);
    for (size_t i = 0; i < n; i++)
        values[i] = random_float(&seed, low, high);
    return values;
}

uint16_t element_bits(enum element element, float value)
{
    uint32_t wide;
    uint16_t bits;

    if (element == ELEMENT_F16) {
        __extension__ _Float16 half = (_Float16)value;
        memcpy(&bits, &half, sizeof(bits));
        return bits;
    }
    memcpy(&wide, &value, sizeof(wide));
    if (isnan(value))
        return 0x7fff;
    return (uint16_t)((wide + 0x7fffu + (wide >> 16 & 1u)) >> 16);
}

float element_value(enum element element, uint16_t bits)
{
    uint32_t wide = (uint32_t)bits << 16;
    float value;

    if (element == ELEMENT_F16) {
        __extension__ _Float16 half;
        memcpy(&half, &bits, sizeof(half));
        return (float)half;
    }
    memcpy(&value, &wide, sizeof(value));
    return value;
}

float element_precision(enum element element)
{
    return element == ELEMENT_F16 ? 0x1p-10f : 0x1p-7f;
}

static size_t n_places(const struct device_map *map)
{
    return (size_t)map->n * (size_t)map->h * (size_t)map->w;
}

struct slice slice_random(enum element element, struct slice_shape shape, uint64_t seed, float low,
                          float high)
{
    struct slice s = {.map = {.n = shape.n, .h = shape.h, .w = shape.w, .c = shape.c, .pitch = shape.pitch},
                      .element = element,
                      .first_channel = shape.first_channel};
    size_t n_whole = n_places(&s.map) * (size_t)shape.pitch;

    assert_true(shape.first_channel + shape.c <= shape.pitch);
    s.values = random_floats(seed, low, high, n_places(&s.map) * (size_t)shape.c);
    s.whole = malloc(n_whole * sizeof(*s.whole));
    assert_non_null(s.whole);
    for (size_t i = 0; i < n_whole; i++)
        s.whole[i] = PATTERN;
    s.buffer = device_copy(s.whole, n_whole * sizeof(*s.whole));
    s.map.data = (uint16_t *)s.buffer + shape.first_channel;
    slice_write(&s);
    return s;
}

/* Each channel of each place: between the values and the buffer as it is on the host. */
static void slice_pass(struct slice *s, bool to_device)
{
    size_t c = (size_t)s->map.c, pitch = (size_t)s->map.pitch, first = (size_t)s->first_channel;

    for (size_t place = 0; place < n_places(&s->map); place++) {
        for (size_t k = 0; k < pitch; k++) {
            uint16_t *bits = &s->whole[place * pitch + k];
            if (k < first || k >= first + c) {
                assert_int_equal(*bits, PATTERN);
                continue;
            }
            float *value = &s->values[place * c + k - first];
            if (to_device)
                *bits = element_bits(s->element, *value);
            *value = element_value(s->element, *bits);
        }
    }
}

void slice_write(struct slice *s)
{
    size_t bytes = n_places(&s->map) * (size_t)s->map.pitch * sizeof(*s->whole);

    slice_pass(s, true);
    assert_cuda(cudaMemcpy(s->buffer, s->whole, bytes, cudaMemcpyHostToDevice));
    assert_cuda(cudaDeviceSynchronize());
}

void slice_read(struct slice *s)
{
    device_read(s->buffer, s->whole, n_places(&s->map) * (size_t)s->map.pitch * sizeof(*s->whole));
    slice_pass(s, false);
}

void slice_free(struct slice *s)
{
    free(s->values);
    free(s->whole);
}

float *slice_at(const struct slice *s, int n, int y, int x, int c)
{
    size_t place = ((size_t)n * (size_t)s->map.h + (size_t)y) * (size_t)s->map.w + (size_t)x;
    return &s->values[place * (size_t)s->map.c + (size_t)c];
}

void assert_near(float got, float expected, float relative, float absolute, const char *what, size_t index)
{
    if (isnan(got) && isnan(expected))
        return;
    if (got == expected || fabsf(got - expected) <= relative * fabsf(expected) + absolute)
        return;
    fail_msg("%s[%zu] is %.9g, expected %.9g", what, index, (double)got, (double)expected);
}
