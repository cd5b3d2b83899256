#include "shards/utf8.h"

#include <stdint.h>
#include <string.h>

/* Length of the sequence at p (1 to 4), or 0 where it is not UTF-8. Table 3-7 of the Unicode standard. */
static size_t sequence_bytes(const unsigned char *p, size_t left)
{
    unsigned char low = 0x80, high = 0xBF;
    size_t size;

    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xC2 || p[0] > 0xF4)
        return 0;
    size = p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
    if (left < size)
        return 0;
    if (p[0] == 0xE0)
        low = 0xA0; /* overlong */
    else if (p[0] == 0xED)
        high = 0x9F; /* surrogates */
    else if (p[0] == 0xF0)
        low = 0x90; /* overlong */
    else if (p[0] == 0xF4)
        high = 0x8F; /* above U+10FFFF */
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < size; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    return size;
}

size_t utf8_valid_bytes(const char *bytes, size_t size)
{
    const unsigned char *p = (const unsigned char *)bytes;
    size_t at = 0;

    while (at < size) {
        uint64_t eight;

        /* Manifests are mostly ASCII: eight bytes at a time. */
        while (size - at >= sizeof(eight)) {
            memcpy(&eight, p + at, sizeof(eight));
            if ((eight & UINT64_C(0x8080808080808080)) != 0)
                break;
            at += sizeof(eight);
        }
        if (at == size)
            break;
        size_t n = sequence_bytes(p + at, size - at);
        if (n == 0)
            break;
        at += n;
    }
    return at;
}
