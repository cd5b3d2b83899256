/*
 * Ids that stand twice among a billion, in bounded memory.
 *
 * Each id becomes 24 bytes: its XXH3-128 (two different ids of a billion share one with probability 10^-21)
 * and its line. The hash's top bits choose one of 512 buckets; full chunks of a bucket go to one scratch
 * file, which has no name (it is gone whatever ends the process). Afterwards each bucket alone is put through
 * a hash table. Memory: up to 67 MB of buffers, then a table over one bucket's different ids: 12 MB at 10^8
 * rows, 96 MB at 10^9.
 */
#ifndef EYESORE_SHARDS_DUPLICATES_H
#define EYESORE_SHARDS_DUPLICATES_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

#define DUPLICATES_SHOWN 10

struct duplicates;

struct duplicate {
    uint64_t line, first_line; /* the id of `line` stood at first_line before */
};

/* IN scratch: a folder; nothing is written there before the buffers are full. OUT out: duplicates_close. */
enum status duplicates_open(const char *scratch, struct duplicates **out);
void duplicates_close(struct duplicates *duplicates);

/* IN line: at least 1, ascending from call to call. STATUS_PLACE where the scratch file cannot be written. */
enum status duplicates_add(struct duplicates *duplicates, const char *id, size_t size, uint64_t line);

/*
 * OUT shown: the n_shown duplicates of lowest line, in order of line. OUT n_total: all rows whose id stood
 * before. Call once, at the end.
 */
enum status duplicates_find(struct duplicates *duplicates, struct duplicate shown[DUPLICATES_SHOWN],
                            size_t *n_shown, uint64_t *n_total);

/* Bytes written to the scratch file so far. */
uint64_t duplicates_scratch_bytes(const struct duplicates *duplicates);

#endif
