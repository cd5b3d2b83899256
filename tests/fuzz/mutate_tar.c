/* libFuzzer's changes to tar files, with the headers' checksums made good again (mostly). */
#include "target.h"

#include <string.h>

#define BLOCK 512
#define CHECKSUM_AT 148
#define CHECKSUM_BYTES 8

static void mend(uint8_t *header)
{
    unsigned int sum = 0;
    char text[CHECKSUM_BYTES + 1];

    memset(header + CHECKSUM_AT, ' ', CHECKSUM_BYTES);
    for (size_t i = 0; i < BLOCK; i++)
        sum += header[i];
    snprintf(text, sizeof(text), "%06o", sum);
    memcpy(header + CHECKSUM_AT, text, CHECKSUM_BYTES - 1); /* six digits, a NUL, a space */
}

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t n, size_t capacity, unsigned int seed)
{
    n = LLVMFuzzerMutate(bytes, n, capacity);
    if (seed % 8 == 0)
        return n;
    for (size_t at = 0; at + BLOCK <= n; at += BLOCK)
        if (memcmp(bytes + at + 257, "ustar", 5) == 0)
            mend(bytes + at);
    return n;
}
