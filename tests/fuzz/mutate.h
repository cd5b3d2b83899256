/*
 * Damage to picture files: bytes flipped, cut, moved and mixed as on a bad disk or line, and what only
 * somebody who knows the formats does (lengths, sizes and counts that lie, with checksums made good again).
 */
#ifndef EYESORE_TESTS_FUZZ_MUTATE_H
#define EYESORE_TESTS_FUZZ_MUTATE_H

#include <stddef.h>
#include <stdint.h>

struct mutation {
    uint64_t random; /* IN the seed: the same one and the same bytes give the same file */
};

/* A number in 0 .. n-1; n at least 1. */
uint64_t mutation_below(struct mutation *m, uint64_t n);

/*
 * One to six changes of bytes, in place: [n] of [capacity]. other: [n_other], a file to mix in; may be NULL
 * with n_other 0. Answers the new length, 1..capacity; n and capacity are at least 1.
 */
size_t mutate(struct mutation *m, uint8_t *bytes, size_t n, size_t capacity, const uint8_t *other,
              size_t n_other);

/* One change that knows the format, told by the first bytes. Answers the new length, or 0 where it knows
 * none. */
size_t mutate_structure(struct mutation *m, uint8_t *bytes, size_t n, size_t capacity);

#endif
