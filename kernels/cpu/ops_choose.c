#include "kernels/cpu/ops.h"

const struct ops *ops_choose(void)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
    __builtin_cpu_init();
#pragma GCC diagnostic pop
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return &ops_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &ops_avx2;
    return &ops_sse2;
}

size_t ops_cbam_scratch(struct shape shape, const struct ops_cbam *cbam)
{
    size_t c = ((size_t)shape.c + 15) / 16 * 16, pad = (size_t)cbam->kernel - 1;
    size_t padded = ((size_t)shape.h + pad) * ((size_t)shape.w + pad + 16);
    return 3 * c + 2 * (size_t)cbam->reduced + 2 * padded + (size_t)shape.h * ((size_t)shape.w + 16) + 64;
}
