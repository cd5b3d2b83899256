/*
 * A shard that failed on --set-aside-after hosts: its rows are given up, so that the rest can be finished.
 */
#ifndef EYESORE_JOB_SET_ASIDE_H
#define EYESORE_JOB_SET_ASIDE_H

#include "job/load.h"

/*
 * Make its work, done: every row has the status set_aside. First a few pictures of other shards are read: if
 * they cannot be read either, it is the pool that is at fault, not the shard, and the answer is STATUS_PLACE.
 * OUT work: work_free.
 */
enum status set_aside_make(const struct run *run, struct manifest *manifest, uint64_t shard,
                           struct work **out);

#endif
