#include "io/passes.h"

#include <string.h>

/* Sanitizers' start-up runs after the resolvers of cloned functions: no clones there. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) &&     \
    !defined(__SANITIZE_THREAD__)
#define CLONED __attribute__((target_clones("arch=x86-64-v4", "avx2", "sse4.1", "default")))
#else
#define CLONED
#endif

#define HALF (1 << (AXIS_WEIGHT_BITS - 1))
#define CHUNK 64 /* bytes of a row that pass_down sums at a time: 4 registers of 16 sums with AVX-512 */

typedef int32_t sums4 __attribute__((vector_size(16)));
typedef uint8_t bytes4 __attribute__((vector_size(4)));

static inline uint8_t clip(int32_t sum)
{
    int32_t value = sum >> AXIS_WEIGHT_BITS;
    return (uint8_t)(value < 0 ? 0 : (value > 255 ? 255 : value));
}

CLONED void pass_across(const struct axis *axis, const uint8_t *source, uint8_t *out)
{
    for (int i = axis->valid_begin; i < axis->valid_end; i++) {
        const struct axis_tap *tap = &axis->taps[i];
        const uint8_t *p = source + 4 * (size_t)(tap->first - axis->begin);
        const int32_t *weights = axis->weights + tap->weights;
        sums4 sum = {HALF, HALF, HALF, HALF};
        for (int k = 0; k < tap->count; k++) {
            bytes4 sample;
            memcpy(&sample, p + 4 * k, 4);
            sum += __builtin_convertvector(sample, sums4) * weights[k];
        }
        sum >>= AXIS_WEIGHT_BITS;
        sums4 above = sum > 255;
        sum = ((sum & ~above) | (above & 255)) & (sum >= 0);
        bytes4 rounded = __builtin_convertvector(sum, bytes4);
        memcpy(out + 4 * (size_t)i, &rounded, 4);
    }
}

CLONED void pass_down(const struct pass_ring *ring, const int32_t *weights, int count, uint8_t *out)
{
    for (size_t at = 0; at < ring->bytes; at += CHUNK) {
        size_t n = ring->bytes - at < CHUNK ? ring->bytes - at : CHUNK;
        int32_t sums[CHUNK];
        int slot = ring->first;
        for (int j = 0; j < CHUNK; j++)
            sums[j] = HALF;
        for (int k = 0; k < count; k++) {
            const uint8_t *row = ring->rows + (size_t)slot * ring->bytes + at;
            int32_t weight = weights[k];
            if (n == CHUNK)
                for (int j = 0; j < CHUNK; j++)
                    sums[j] += weight * row[j];
            else
                for (size_t j = 0; j < n; j++)
                    sums[j] += weight * row[j];
            slot = slot + 1 == ring->n ? 0 : slot + 1;
        }
        for (size_t j = 0; j < n; j++)
            out[at + j] = clip(sums[j]);
    }
}
