/*
 * The files a run reads: are they still those that it was planned with?
 */
#ifndef EYESORE_JOB_INPUTS_H
#define EYESORE_JOB_INPUTS_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct run;

/* What changes when a file is replaced or written to. All 0: not known. */
struct input_stamp {
    uint64_t device, inode, size_bytes, modified_ns;
};

/* STATUS_INPUT or STATUS_PLACE where the file is not there. */
enum status input_stamp_read(const char *path, struct input_stamp *stamp);

bool input_stamp_equal(const struct input_stamp *a, const struct input_stamp *b);

/*
 * Is the manifest still the one of the plan? Any rank, before it reads a shard. Where its stamp differs from
 * run->manifest_stamp, it is hashed again: STATUS_MISMATCH, with the difference, where it was changed.
 */
enum status inputs_check_manifest(struct run *run);

/*
 * Collective; rank 0 looks, after the last shard: the manifest, and by stamp and SHA-256 the weights.
 */
enum status inputs_check(struct run *run);

#endif
