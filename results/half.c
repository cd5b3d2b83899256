#include "results/half.h"

#include <string.h>

uint16_t half_from_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    uint32_t sign = (bits >> 16) & 0x8000u;
    uint32_t magnitude = bits & 0x7fffffffu;

    if (magnitude > 0x7f800000u) /* NaN */
        return (uint16_t)(sign | HALF_NAN | ((magnitude >> 13) & 0x3ffu));
    if (magnitude >= 0x47800000u) /* 65536 and more */
        return (uint16_t)(sign | 0x7c00u);
    if (magnitude < 0x33000000u) /* below 2^-25, half of the smallest: zero (2^-25 itself ties to zero) */
        return (uint16_t)sign;

    uint32_t exponent = magnitude >> 23;
    uint32_t dropped = 13; /* mantissa bits that do not fit */
    uint32_t half;         /* before rounding */
    uint32_t mantissa = magnitude & 0x7fffffu;
    if (exponent >= 113) { /* normal in half: exponent 127 - 14 and up */
        half = ((exponent - 112) << 10) | (mantissa >> 13);
    } else {
        mantissa |= 0x800000u;
        dropped = 13 + (113 - exponent);
        half = mantissa >> dropped;
    }
    uint32_t rest = mantissa & ((1u << dropped) - 1);
    uint32_t middle = 1u << (dropped - 1);
    if (rest > middle || (rest == middle && (half & 1u) != 0))
        half++; /* a carry moves into the exponent, up to infinity, which is right */
    return (uint16_t)(sign | half);
}

float half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t exponent = (half >> 10) & 0x1fu;
    uint32_t mantissa = half & 0x3ffu;
    uint32_t bits;
    float value;

    if (exponent == 0x1f) {
        bits = sign | 0x7f800000u | (mantissa << 13);
    } else if (exponent != 0) {
        bits = sign | ((exponent + 112) << 23) | (mantissa << 13);
    } else {
        float small = (float)mantissa * 0x1p-24f; /* subnormal in half, normal in float: exact */
        memcpy(&bits, &small, sizeof(bits));
        bits |= sign;
    }
    memcpy(&value, &bits, sizeof(value));
    return value;
}
