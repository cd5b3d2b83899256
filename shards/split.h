/*
 * How rows become shards. The rule depends on the number of rows and shard_rows alone:
 *
 *     granule = max(1, shard_rows / 16)
 *     size    = max(granule, round_down(min(shard_rows, remaining / 16), granule)), at most `remaining`
 *
 * with integer divisions, from the first row on. So shards have shard_rows rows (rounded down to the granule:
 * 992 of 1000), until the last sixteen shards' worth of rows, where they taper down to a granule, so that no
 * rank idles long while another finishes the last shard. All starts are multiples of the granule.
 */
#ifndef EYESORE_SHARDS_SPLIT_H
#define EYESORE_SHARDS_SPLIT_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

#define SPLIT_SHARDS_MAX 4000000 /* each is a file: more would hurt any file system */

struct split_start {
    uint64_t first_row, offset_bytes, line;
};

struct split;

/* IN shard_rows: at least 1. */
uint64_t split_granule(uint64_t shard_rows);
uint64_t split_size(uint64_t shard_rows, uint64_t remaining);

/*
 * Remember where shards may begin while the rows go by, not yet knowing how many there are: every full
 * shard's start, and every granule's of the last few shards. 24 bytes a shard, not a granule. OUT out:
 * split_close.
 */
enum status split_open(uint64_t shard_rows, struct split **out);
void split_close(struct split *split);

/* Tell of a row; rows come in order, from 0. STATUS_USAGE where shard_rows makes more than SPLIT_SHARDS_MAX
 * shards. */
enum status split_row(struct split *split, uint64_t row, uint64_t offset_bytes, uint64_t line);

/* OUT starts: [n_starts], the caller frees. */
enum status split_finish(struct split *split, uint64_t n_rows, struct split_start **starts,
                         uint64_t *n_starts);

#endif
