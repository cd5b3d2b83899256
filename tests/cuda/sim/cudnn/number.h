/* float16 and bfloat16 as stored, rounded to nearest even. */
#ifndef EYESORE_SIM_CUDNN_NUMBER_H
#define EYESORE_SIM_CUDNN_NUMBER_H

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline float number_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static inline uint32_t number_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static inline float number_of_half(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, magnitude = half & 0x7fff;

    if (magnitude < 0x0400) /* zero and the numbers below the smallest normal one */
        return number_of_bits(sign | number_bits((float)magnitude * 0x1p-24F));
    if (magnitude >= 0x7c00)
        return number_of_bits(sign | 0x7f800000 | (magnitude & 0x3ff) << 13);
    return number_of_bits(sign | ((magnitude << 13) + (112U << 23)));
}

static inline uint16_t number_to_half(float value)
{
    uint32_t bits = number_bits(value), magnitude = bits & 0x7fffffff, sign = bits >> 16 & 0x8000;

    if (magnitude > 0x7f800000)
        return (uint16_t)(sign | 0x7e00);
    if (magnitude >= 0x477ff000) /* 65520 and more round to infinity */
        return (uint16_t)(sign | 0x7c00);
    if (magnitude < 0x38800000) /* adding 0.5 leaves 24 bits down to 2^-24, rounded by the processor */
        return (uint16_t)(sign | (number_bits(number_of_bits(magnitude) + 0.5F) - number_bits(0.5F)));
    return (uint16_t)(sign | (magnitude - (112U << 23) + 0xfff + (magnitude >> 13 & 1)) >> 13);
}

static inline float number_of_bf16(uint16_t stored)
{
    return number_of_bits((uint32_t)stored << 16);
}

static inline uint16_t number_to_bf16(float value)
{
    uint32_t bits = number_bits(value);

    if ((bits & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

#endif
