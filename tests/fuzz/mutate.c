#include "mutate.h"

#include <stdbool.h>
#include <string.h>

#define CHANGES_MOST 6

/* splitmix64 (Steele, Lea, Flood 2014): any seed is a good one, 0 too. */
static uint64_t next(struct mutation *m)
{
    uint64_t z = m->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint64_t mutation_below(struct mutation *m, uint64_t n)
{
    return next(m) % n; /* the bias is of no matter here */
}

static void flip_bits(struct mutation *m, uint8_t *bytes, size_t n)
{
    uint64_t flips = 1 + mutation_below(m, 16);

    for (uint64_t i = 0; i < flips; i++)
        bytes[mutation_below(m, n)] ^= (uint8_t)(1u << mutation_below(m, 8));
}

/* Headers are at the start: half of what is overwritten is there. */
static void overwrite(struct mutation *m, uint8_t *bytes, size_t n)
{
    static const uint8_t telling[] = {0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff};
    size_t reach = mutation_below(m, 2) == 0 && n > 64 ? 64 : n;
    size_t at = mutation_below(m, reach), size = 1 + mutation_below(m, 4);

    for (size_t i = at; i < n && i < at + size; i++)
        bytes[i] = mutation_below(m, 2) == 0 ? telling[mutation_below(m, sizeof(telling))]
                                             : (uint8_t)mutation_below(m, 256);
}

static size_t cut(struct mutation *m, size_t n)
{
    size_t left = mutation_below(m, 2) == 0 ? mutation_below(m, n) : n - mutation_below(m, n < 64 ? n : 64);

    return left < 1 ? 1 : left;
}

static size_t remove_some(struct mutation *m, uint8_t *bytes, size_t n)
{
    size_t at = mutation_below(m, n), size = 1 + mutation_below(m, mutation_below(m, 2) == 0 ? 16 : n);

    if (size > n - at)
        size = n - at;
    if (size == n)
        return n;
    memmove(bytes + at, bytes + at + size, n - at - size);
    return n - size;
}

static size_t repeat_some(struct mutation *m, uint8_t *bytes, size_t n, size_t capacity)
{
    size_t at = mutation_below(m, n), size = 1 + mutation_below(m, n - at);

    if (size > capacity - n)
        size = capacity - n;
    memmove(bytes + at + size, bytes + at, n - at);
    return n + size;
}

static void move_some(struct mutation *m, uint8_t *bytes, size_t n)
{
    size_t from = mutation_below(m, n), to = mutation_below(m, n);
    size_t most = n - (from > to ? from : to);

    memmove(bytes + to, bytes + from, 1 + mutation_below(m, most));
}

/* The start of this file and the end of the other, or a piece of the other within this one. */
static size_t splice(struct mutation *m, uint8_t *bytes, size_t n, size_t capacity, const uint8_t *other,
                     size_t n_other)
{
    size_t at = mutation_below(m, n), from = mutation_below(m, n_other);
    size_t size = n_other - from;
    bool to_the_end = mutation_below(m, 2) == 0;

    if (!to_the_end)
        size = 1 + mutation_below(m, size);
    if (size > capacity - at)
        size = capacity - at;
    memcpy(bytes + at, other + from, size);
    return to_the_end || at + size > n ? at + size : n;
}

static size_t change(struct mutation *m, uint8_t *bytes, size_t n, size_t capacity, const uint8_t *other,
                     size_t n_other)
{
    size_t changed;

    switch (mutation_below(m, 16)) {
    case 0:
    case 1:
        flip_bits(m, bytes, n);
        return n;
    case 2:
    case 3:
        overwrite(m, bytes, n);
        return n;
    case 4:
        return cut(m, n);
    case 5:
        return remove_some(m, bytes, n);
    case 6:
        return repeat_some(m, bytes, n, capacity);
    case 7:
        move_some(m, bytes, n);
        return n;
    case 8:
        return n_other == 0 ? n : splice(m, bytes, n, capacity, other, n_other);
    default:
        changed = mutate_structure(m, bytes, n, capacity);
        return changed == 0 ? n : changed;
    }
}

size_t mutate(struct mutation *m, uint8_t *bytes, size_t n, size_t capacity, const uint8_t *other,
              size_t n_other)
{
    /* mostly one or two: after many, nothing past the header is reached */
    uint64_t changes = 1 + mutation_below(m, 1 + mutation_below(m, CHANGES_MOST));

    for (uint64_t i = 0; i < changes; i++)
        n = change(m, bytes, n, capacity, other, n_other);
    return n;
}
