/* What the kernels share: 8 elements as one 16-byte access, float32 in between, and sums in a fixed order. */
#ifndef EYESORE_KERNELS_CUDA_VECTOR_CUH
#define EYESORE_KERNELS_CUDA_VECTOR_CUH

#include "cuda_code.h"
#include "kernels/cuda/launch.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#define VECTOR 8 /* elements in 16 bytes */

struct floats8 {
    float at[VECTOR];
};

DEVICE float to_float(__half value)
{
    return __half2float(value);
}

DEVICE float to_float(__nv_bfloat16 value)
{
    return __bfloat162float(value);
}

DEVICE void from_float(float value, __half *element)
{
    *element = __float2half_rn(value);
}

DEVICE void from_float(float value, __nv_bfloat16 *element)
{
    *element = __float2bfloat16_rn(value);
}

template <typename T> DEVICE struct floats8 vector_unpack(uint4 raw)
{
    T element[VECTOR];
    struct floats8 value;

    memcpy(static_cast<void *>(element), &raw, sizeof(raw));
    for (int e = 0; e < VECTOR; e++)
        value.at[e] = to_float(element[e]);
    return value;
}

template <typename T> DEVICE struct floats8 vector_load(const T *from)
{
    return vector_unpack<T>(*reinterpret_cast<const uint4 *>(from));
}

template <typename T> DEVICE void vector_store(T *to, const struct floats8 &value)
{
    T element[VECTOR];
    uint4 raw;

    for (int e = 0; e < VECTOR; e++)
        from_float(value.at[e], &element[e]);
    memcpy(&raw, element, sizeof(raw));
    *reinterpret_cast<uint4 *>(to) = raw;
}

DEVICE struct floats8 floats8_load(const float *from)
{
    float4 low = reinterpret_cast<const float4 *>(from)[0], high = reinterpret_cast<const float4 *>(from)[1];
    return {{low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w}};
}

DEVICE void floats8_store(float *to, const struct floats8 &value)
{
    const float *v = value.at;
    reinterpret_cast<float4 *>(to)[0] = make_float4(v[0], v[1], v[2], v[3]);
    reinterpret_cast<float4 *>(to)[1] = make_float4(v[4], v[5], v[6], v[7]);
}

DEVICE struct floats8 floats8_fill(float value)
{
    struct floats8 filled;
    for (int e = 0; e < VECTOR; e++)
        filled.at[e] = value;
    return filled;
}

/* The first element of a place. `place` counts from the map's first picture on, or from `picture`. */
template <typename T> DEVICE T *map_place(const struct device_map &map, int picture, int place)
{
    size_t at = (size_t)picture * (size_t)(map.h * map.w) + (size_t)place;
    return static_cast<T *>(map.data) + at * (size_t)map.pitch;
}

/* Comparisons are written so that a NaN stays one. */
DEVICE float activate(float x, enum kernel_activation activation)
{
    if (activation != KERNEL_NONE)
        x = x < 0 ? 0 : x;
    if (activation == KERNEL_RELU6)
        x = x > 6 ? 6 : x;
    return x;
}

DEVICE float larger(float a, float b)
{
    return b > a || b != b ? b : a;
}

DEVICE bool is_finite(float x)
{
    return fabsf(x) < INFINITY;
}

DEVICE float sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

/* Of groups of `width` neighbouring lanes (a power of two): every lane gets its group's sum. */
template <typename T> DEVICE T group_sum(T value, int width)
{
    for (int mask = 1; mask < width; mask *= 2)
        value += warp_shuffle_xor(value, mask);
    return value;
}

template <typename T> DEVICE T warp_sum(T value)
{
    return group_sum(value, WARP);
}

DEVICE float group_max(float value, int width)
{
    for (int mask = 1; mask < width; mask *= 2)
        value = larger(value, warp_shuffle_xor(value, mask));
    return value;
}

DEVICE int thread_index()
{
    return (int)(blockIdx.x * blockDim.x + threadIdx.x);
}

/* On the host: so many blocks of `threads` for `items`; 0 where they are too many for an int to count. */
static inline unsigned blocks_for(long long items, int threads)
{
    return items > INT_MAX - threads ? 0 : (unsigned)((items + threads - 1) / threads);
}

/* On the host: the smallest power of two that is not below n, 32 at most. */
static inline int lanes_for(int n)
{
    int lanes = 1;
    while (lanes < n && lanes < WARP)
        lanes *= 2;
    return lanes;
}

#endif
