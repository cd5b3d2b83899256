#include "io/passes.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* Sanitizers' start-up runs after the resolvers of cloned functions: no clones there. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) &&     \
    !defined(__SANITIZE_THREAD__)
#define CLONED __attribute__((target_clones("arch=x86-64-v4", "avx2", "sse4.1", "default")))
#else
#define CLONED
#endif

#define HALF (1 << (AXIS_WEIGHT_BITS - 1))
#define CHUNK 64 /* bytes of a row that pass_down sums at a time: 4 registers of 16 sums with AVX-512 */

static inline uint8_t clip(int32_t sum)
{
    int32_t value = sum >> AXIS_WEIGHT_BITS;
    return (uint8_t)(value < 0 ? 0 : (value > 255 ? 255 : value));
}

typedef void across(const struct axis *axis, const uint8_t *source, uint8_t *out);

static void pass_across_plain(const struct axis *axis, const uint8_t *source, uint8_t *out)
{
    for (int i = axis->valid_begin; i < axis->valid_end; i++) {
        const struct axis_tap *tap = &axis->taps[i];
        const uint8_t *p = source + 4 * (size_t)(tap->first - axis->begin);
        const int32_t *weights = axis->weights + tap->weights;
        int32_t sums[4] = {HALF, HALF, HALF, HALF};
        for (int k = 0; k < tap->count; k++)
            for (int c = 0; c < 4; c++)
                sums[c] += weights[k] * p[4 * k + c];
        for (int c = 0; c < 4; c++)
            out[4 * (size_t)i + (size_t)c] = clip(sums[c]);
    }
}

#if defined(__x86_64__)
/* By hand, since GCC 12 takes bytes apart one by one: two samples a step, one in each half of a register. */
__attribute__((target("avx2"))) static void pass_across_avx2(const struct axis *axis, const uint8_t *source,
                                                             uint8_t *out)
{
    const __m256i half = _mm256_setr_epi32(HALF, HALF, HALF, HALF, 0, 0, 0, 0);

    for (int i = axis->valid_begin; i < axis->valid_end; i++) {
        const struct axis_tap *tap = &axis->taps[i];
        const uint8_t *p = source + 4 * (size_t)(tap->first - axis->begin);
        const int32_t *pairs = axis->pairs + 4 * tap->weights;
        __m256i sum = half;
        for (int k = 0; k < tap->count; k += 2) {
            __m256i samples = _mm256_cvtepu8_epi32(_mm_loadu_si64(p + 4 * k));
            __m256i weights = _mm256_loadu_si256((const __m256i *)(const void *)(pairs + 4 * k));
            sum = _mm256_add_epi32(sum, _mm256_mullo_epi32(samples, weights));
        }
        __m128i both = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
        __m128i words = _mm_packs_epi32(_mm_srai_epi32(both, AXIS_WEIGHT_BITS), _mm_setzero_si128());
        _mm_storeu_si32(out + 4 * (size_t)i, _mm_packus_epi16(words, words));
    }
}

static across *choose_across(void)
{
    return __builtin_cpu_supports("avx2") ? pass_across_avx2 : pass_across_plain;
}
#else
static across *choose_across(void)
{
    return pass_across_plain;
}
#endif

void pass_across(const struct axis *axis, const uint8_t *source, uint8_t *out)
{
    choose_across()(axis, source, out);
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
