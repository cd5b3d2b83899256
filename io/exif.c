#include "io/exif.h"

#include <stdbool.h>
#include <string.h>

#define TAG_ORIENTATION 0x0112

struct block {
    const uint8_t *bytes;
    size_t n;
    bool big_endian;
};

static uint32_t block_u16(const struct block *b, size_t at)
{
    const uint8_t *p = b->bytes + at;
    return b->big_endian ? (uint32_t)(p[0] << 8 | p[1]) : (uint32_t)(p[1] << 8 | p[0]);
}

static uint32_t block_u32(const struct block *b, size_t at)
{
    uint32_t first = block_u16(b, at), second = block_u16(b, at + 2);
    return b->big_endian ? first << 16 | second : second << 16 | first;
}

/* The value of a directory entry of 12 bytes, where it is a whole number of 16 or 32 bits. */
static int32_t entry_value(const struct block *b, size_t at)
{
    uint32_t type = block_u16(b, at + 2), count = block_u32(b, at + 4);
    uint32_t value;

    if (count != 1)
        return -1;
    if (type == 3 || type == 8) /* SHORT, SSHORT */
        value = block_u16(b, at + 8);
    else if (type == 4 || type == 9) /* LONG, SLONG */
        value = block_u32(b, at + 8);
    else
        return -1;
    return value <= INT32_MAX ? (int32_t)value : -1;
}

int32_t exif_orientation(const uint8_t *bytes, size_t n)
{
    static const uint8_t prefix[6] = {'E', 'x', 'i', 'f', 0, 0};
    int32_t found = -1;

    /* twice: some writers put it there once more than they should */
    for (int i = 0; i < 2 && n >= sizeof(prefix) && memcmp(bytes, prefix, sizeof(prefix)) == 0; i++) {
        bytes += sizeof(prefix);
        n -= sizeof(prefix);
    }
    if (n < 8)
        return -1;
    struct block b = {bytes, n, bytes[0] == 'M'};
    if (memcmp(bytes, b.big_endian ? "MM" : "II", 2) != 0 || block_u16(&b, 2) != 42)
        return -1;
    size_t at = block_u32(&b, 4);
    if (at > n || n - at < 2)
        return -1;
    size_t n_entries = block_u16(&b, at);
    at += 2;
    for (size_t i = 0; i < n_entries && n - at >= 12; i++, at += 12)
        if (block_u16(&b, at) == TAG_ORIENTATION)
            found = entry_value(&b, at); /* the last one counts, as in Pillow's dictionary */
    return found;
}

int32_t exif_xmp_orientation(const uint8_t *bytes, size_t n)
{
    static const char key[] = "tiff:Orientation";
    const size_t n_key = sizeof(key) - 1;

    for (size_t at = 0; at + n_key < n;) {
        const uint8_t *p = memmem(bytes + at, n - at, key, n_key);
        if (p == NULL)
            break;
        size_t value = (size_t)(p - bytes) + n_key;
        if (value < n && bytes[value] == '>')
            value += 1;
        else if (value + 1 < n && bytes[value] == '=' && bytes[value + 1] == '"')
            value += 2;
        else
            value = n;
        if (value < n && bytes[value] >= '0' && bytes[value] <= '9')
            return bytes[value] - '0';
        at = (size_t)(p - bytes) + n_key;
    }
    return -1;
}

int32_t exif_choose(int32_t exif, int32_t xmp)
{
    int32_t value = exif >= 0 ? exif : xmp;
    return value >= 1 && value <= 8 ? value : 1;
}
