/*
 * Is a part what was written? One dataset at a time, slab by slab while it is read for any purpose: its
 * checksum, and what its values must be (rows that are the shard's, offsets that ascend, values of the
 * enums). The gather checks with this what it copies; part_verify does nothing else.
 */
#ifndef EYESORE_RESULTS_PART_CHECK_H
#define EYESORE_RESULTS_PART_CHECK_H

#include "results/sweep_file.h"

struct part_check {
    const struct sweep_file *part; /* borrowed */
    const struct field *field;     /* borrowed */
    struct XXH3_state_s *state;    /* owned */
    uint64_t checked;              /* entries seen */
    uint64_t previous;             /* last value seen of offsets or row numbers */
};

/* Start with a dataset; all its entries are to follow. part_check_free in any case. */
enum status part_check_begin(const struct sweep_file *part, const struct field *field,
                             struct part_check *check);

/* The next n entries, as stored. STATUS_INPUT names what is wrong. */
enum status part_check_slab(struct part_check *check, const void *slab, uint64_t n);

/* After the last: the checksum. STATUS_INPUT where it differs from what is written. */
enum status part_check_end(struct part_check *check);

void part_check_free(struct part_check *check);

/* The dataset as a whole, by way of `slab`, which has room for slab_bytes (at least one entry). */
enum status part_check_field(const struct sweep_file *part, const struct field *field, void *slab,
                             size_t slab_bytes);

#endif
