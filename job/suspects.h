/*
 * Shards that failed in earlier attempts, and where: what OUT/attempts has to say of the missing ones.
 */
#ifndef EYESORE_JOB_SUSPECTS_H
#define EYESORE_JOB_SUSPECTS_H

#include "job/run.h"
#include "shards/claim.h"

/*
 * A shard failed on a host when a rank noted so (`shard_failed`), or when a rank had claimed it and nothing
 * more was heard of the attempt, which committed no part at all: the shard may have killed the rank without a
 * word (out of memory). An attempt that committed parts, or said what ended it, accuses nobody by its
 * silence: its shards in flight were lost with it.
 *
 * OUT failures: [n], the caller frees; of missing shards alone. A file that cannot be read is warned of.
 */
enum status suspects_find(const struct run *run, const struct ledger *ledger, struct claim_failure **failures,
                          size_t *n);

#endif
