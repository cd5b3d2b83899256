/*
 * Changes that follow a file's structure: a list of its blocks is made, one is chosen, and its length, its
 * content or its place is changed; then the checksums are made good (most of the time), so that the decoders
 * look at the damage.
 */
#include "mutate.h"

#include <stdbool.h>
#include <string.h>

#define BLOCKS_MOST 512

/* A block: [at, at + size), whose length field is [length_at, length_at + length_bytes) and payload [data,
 * data_size). */
struct block {
    size_t at, size, length_at, data, data_size;
};

struct format {
    struct block blocks[BLOCKS_MOST];
    size_t n;
    size_t length_bytes;
    bool big_endian;
};

static uint32_t read_number(const uint8_t *p, size_t n, bool big_endian)
{
    uint32_t value = 0;

    for (size_t i = 0; i < n; i++)
        value = value << 8 | p[big_endian ? i : n - 1 - i];
    return value;
}

static void write_number(uint8_t *p, size_t n, bool big_endian, uint32_t value)
{
    for (size_t i = 0; i < n; i++, value >>= 8)
        p[big_endian ? n - 1 - i : i] = (uint8_t)value;
}

static void add_block(struct format *f, size_t at, size_t size, size_t length_at, size_t data,
                      size_t data_size)
{
    if (f->n < BLOCKS_MOST)
        f->blocks[f->n++] = (struct block){at, size, length_at, data, data_size};
}

/* Marker segments up to the first scan, and behind it each marker that stands in the coded data. */
static void find_jpeg(struct format *f, const uint8_t *bytes, size_t n)
{
    f->length_bytes = 2;
    f->big_endian = true;
    for (size_t at = 2; at + 4 <= n;) {
        uint8_t marker = bytes[at + 1];
        if (bytes[at] != 0xff || marker < 0xc0 || (marker >= 0xd0 && marker <= 0xd9)) {
            const uint8_t *found = memchr(bytes + at + 1, 0xff, n - at - 1);
            if (found == NULL)
                break;
            at = (size_t)(found - bytes);
            continue;
        }
        size_t size = 2 + read_number(bytes + at + 2, 2, true);
        if (size < 4 || size > n - at)
            break;
        add_block(f, at, size, at + 2, at + 4, size - 4);
        at += size;
    }
}

static void find_png(struct format *f, const uint8_t *bytes, size_t n)
{
    f->length_bytes = 4;
    f->big_endian = true;
    for (size_t at = 8; at + 12 <= n;) {
        size_t size = read_number(bytes + at, 4, true);
        if (size > n - at - 12)
            break;
        add_block(f, at, size + 12, at, at + 8, size);
        at += size + 12;
    }
}

static void find_riff(struct format *f, const uint8_t *bytes, size_t n)
{
    f->length_bytes = 4;
    f->big_endian = false;
    for (size_t at = 12; at + 8 <= n;) {
        size_t size = read_number(bytes + at + 4, 4, false);
        if (size > n - at - 8)
            break;
        add_block(f, at, size + 8, at + 4, at + 8, size);
        if (memcmp(bytes + at, "ANMF", 4) == 0 && size > 24) { /* the chunks of its frame */
            at += 24;
            continue;
        }
        at += size + 8 + size % 2;
    }
}

/* Data sub-blocks of 255 bytes at most; a length of 0 ends them. */
static size_t find_gif_data(struct format *f, const uint8_t *bytes, size_t n, size_t at)
{
    while (at < n && bytes[at] != 0) {
        size_t size = bytes[at];
        if (size > n - at - 1)
            return n;
        add_block(f, at, size + 1, at, at + 1, size);
        at += size + 1;
    }
    return at + 1;
}

static void find_gif(struct format *f, const uint8_t *bytes, size_t n)
{
    f->length_bytes = 1;
    size_t at = n < 13 ? n : 13 + (bytes[10] & 0x80 ? (size_t)6 << (bytes[10] & 7) : 0);
    while (at + 10 < n) {
        if (bytes[at] == 0x21) {
            at = find_gif_data(f, bytes, n, at + 2);
        } else if (bytes[at] == 0x2c) {
            size_t colors = bytes[at + 9] & 0x80 ? (size_t)6 << (bytes[at + 9] & 7) : 0;
            add_block(f, at, 10, at + 1, at + 1, 9); /* place, size and flags of the frame */
            at = find_gif_data(f, bytes, n, at + 11 + colors);
        } else {
            break;
        }
    }
}

static uint32_t crc32_of(const uint8_t *bytes, size_t n)
{
    uint32_t crc = 0xffffffff;

    for (size_t i = 0; i < n; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

static void mend_png(uint8_t *bytes, size_t n)
{
    for (size_t at = 8; at + 12 <= n;) {
        size_t size = read_number(bytes + at, 4, true);
        if (size > n - at - 12)
            break;
        write_number(bytes + at + 8 + size, 4, true, crc32_of(bytes + at + 4, size + 4));
        at += size + 12;
    }
}

static void change_length(struct mutation *m, const struct format *f, const struct block *b, uint8_t *bytes)
{
    static const uint32_t telling[] = {0,      1,      2,          0x7f,       0xff,
                                       0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff};
    uint32_t length = read_number(bytes + b->length_at, f->length_bytes, f->big_endian);

    if (mutation_below(m, 2) == 0)
        length += (uint32_t)mutation_below(m, 33) - 16;
    else
        length = telling[mutation_below(m, sizeof(telling) / sizeof(telling[0]))];
    write_number(bytes + b->length_at, f->length_bytes, f->big_endian, length);
}

/* Tables and frame headers are small: a byte or a number of two or four within the payload. */
static void change_data(struct mutation *m, const struct format *f, const struct block *b, uint8_t *bytes)
{
    static const uint32_t telling[] = {0, 1, 0xff, 0x8000, 0xffff, 0x4000, 0x7fffffff, 0xffffffff, 3, 255};
    size_t reach = b->data_size < 32 || mutation_below(m, 3) == 0 ? b->data_size : 32;

    if (reach == 0)
        return;
    uint8_t *at = bytes + b->data + mutation_below(m, reach);
    size_t room = (size_t)(bytes + b->data + b->data_size - at), size = (size_t)1 << mutation_below(m, 3);
    if (size > room || mutation_below(m, 2) == 0)
        *at = (uint8_t)mutation_below(m, 256);
    else
        write_number(at, size, f->big_endian,
                     telling[mutation_below(m, sizeof(telling) / sizeof(telling[0]))]);
}

/* Put a copy of the block before another. */
static size_t copy_block(const struct block *b, size_t to, uint8_t *bytes, size_t n, size_t capacity)
{
    if (b->size > capacity - n)
        return n;
    size_t from = b->at >= to ? b->at + b->size : b->at; /* where it will be once there is a gap */
    memmove(bytes + to + b->size, bytes + to, n - to);
    if (b->at < to && b->at + b->size > to)
        return n + b->size; /* nested frames: the gap is in the block itself */
    memcpy(bytes + to, bytes + from, b->size);
    return n + b->size;
}

static size_t drop_block(const struct block *b, uint8_t *bytes, size_t n)
{
    if (b->size >= n)
        return n;
    memmove(bytes + b->at, bytes + b->at + b->size, n - b->at - b->size);
    return n - b->size;
}

/* Which format, and the list of its blocks. False for none that is known, or where none is left to change. */
static bool find_blocks(struct format *f, const uint8_t *bytes, size_t n, bool *png, bool *riff)
{
    if (n >= 4 && memcmp(bytes, "\xff\xd8", 2) == 0) {
        find_jpeg(f, bytes, n);
    } else if (n >= 20 && memcmp(bytes, "\x89PNG\r\n\x1a\n", 8) == 0) {
        find_png(f, bytes, n);
        *png = true;
    } else if (n >= 20 && memcmp(bytes, "RIFF", 4) == 0) {
        find_riff(f, bytes, n);
        *riff = true;
    } else if (n >= 13 && memcmp(bytes, "GIF8", 4) == 0) {
        find_gif(f, bytes, n);
    }
    return f->n > 0;
}

size_t mutate_structure(struct mutation *m, uint8_t *bytes, size_t n, size_t capacity)
{
    struct format f = {.n = 0};
    bool png = false, riff = false;

    if (!find_blocks(&f, bytes, n, &png, &riff))
        return 0;
    const struct block *b = &f.blocks[mutation_below(m, f.n)];
    switch (mutation_below(m, 8)) {
    case 0:
    case 1:
        change_length(m, &f, b, bytes);
        break;
    case 2:
        n = copy_block(b, f.blocks[mutation_below(m, f.n)].at, bytes, n, capacity);
        break;
    case 3:
        n = drop_block(b, bytes, n);
        break;
    default:
        change_data(m, &f, b, bytes);
        break;
    }
    if (png && mutation_below(m, 8) != 0)
        mend_png(bytes, n);
    if (riff && n >= 12 && mutation_below(m, 2) == 0)
        write_number(bytes + 4, 4, false, (uint32_t)(n - 8));
    return n;
}
