/* Simulated NCCL (a test instrument): the arithmetic of reductions. */
#include "tests/cuda/sim/nccl/parts.h"

size_t ncclsim_type_bytes(ncclDataType_t type)
{
    switch (type) {
    case ncclInt8:
    case ncclUint8:
        return 1;
    case ncclFloat16:
    case ncclBfloat16:
        return 2;
    case ncclInt32:
    case ncclUint32:
    case ncclFloat32:
        return 4;
    case ncclInt64:
    case ncclUint64:
    case ncclFloat64:
        return 8;
    default:
        return 0;
    }
}

bool ncclsim_can_reduce(ncclDataType_t type, ncclRedOp_t reduction)
{
    bool is_half = type == ncclFloat16 || type == ncclBfloat16;

    return ncclsim_type_bytes(type) > 0 && !is_half &&
           (reduction == ncclSum || reduction == ncclMax || reduction == ncclMin);
}

/* Signed sums wrap around, as on the device. */
#define REDUCE(name, type, wide)                                                                             \
    static void name(void *to_bytes, const void *from_bytes, size_t n, ncclRedOp_t reduction)                \
    {                                                                                                        \
        type *to = to_bytes;                                                                                 \
        const type *from = from_bytes;                                                                       \
        for (size_t i = 0; i < n; i++) {                                                                     \
            if (reduction == ncclSum)                                                                        \
                to[i] = (type)((wide)to[i] + (wide)from[i]);                                                 \
            else if (reduction == ncclMax ? from[i] > to[i] : from[i] < to[i])                               \
                to[i] = from[i];                                                                             \
        }                                                                                                    \
    }

REDUCE(reduce_int8, int8_t, uint32_t)
REDUCE(reduce_uint8, uint8_t, uint32_t)
REDUCE(reduce_int32, int32_t, uint32_t)
REDUCE(reduce_uint32, uint32_t, uint32_t)
REDUCE(reduce_int64, int64_t, uint64_t)
REDUCE(reduce_uint64, uint64_t, uint64_t)
REDUCE(reduce_float, float, float)
REDUCE(reduce_double, double, double)

void ncclsim_reduce(void *to, const void *from, size_t n, ncclDataType_t type, ncclRedOp_t reduction)
{
    switch (type) {
    case ncclInt8:
        reduce_int8(to, from, n, reduction);
        break;
    case ncclUint8:
        reduce_uint8(to, from, n, reduction);
        break;
    case ncclInt32:
        reduce_int32(to, from, n, reduction);
        break;
    case ncclUint32:
        reduce_uint32(to, from, n, reduction);
        break;
    case ncclInt64:
        reduce_int64(to, from, n, reduction);
        break;
    case ncclUint64:
        reduce_uint64(to, from, n, reduction);
        break;
    case ncclFloat32:
        reduce_float(to, from, n, reduction);
        break;
    default: /* can_reduce leaves no other */
        reduce_double(to, from, n, reduction);
        break;
    }
}
