/*
 * The plan of a sweep: how the manifest's rows are cut into shards. Made once, by one rank, in one pass over
 * the manifest that also refuses a bad one; written to OUT/plan; a resume reads it there.
 *
 *     OUT/plan/shards.tsv   shard, first_row, n_rows, offset_bytes, line   (written first)
 *     OUT/plan/plan.json    everything else; where it is, the plan is whole
 *
 * A plan takes 24 bytes of memory a shard. See split.h for the rule that cuts, duplicates.h for the memory
 * and scratch that validation takes (24 bytes a row).
 */
#ifndef EYESORE_SHARDS_PLAN_H
#define EYESORE_SHARDS_PLAN_H

#include "base/status.h"
#include "shards/manifest.h"
#include "shards/problems.h"

#include <stddef.h>
#include <stdint.h>

#define PLAN_VERSION 1
#define PLAN_HASH_SIZE 33 /* 32 hex digits and the NUL */

/* What the user chose. */
struct plan_options {
    enum manifest_format format;
    const char *carry;   /* as in manifest_open; NULL: all */
    uint64_t limit;      /* take the first rows only; 0: all */
    uint64_t shard_rows; /* at least 1 */
};

struct plan_column {
    char *name;
    uint64_t longest_bytes; /* of its values */
};

struct shard {
    uint64_t index, first_row, n_rows;
    uint64_t offset_bytes, line; /* what manifest_seek takes to read its first row */
};

struct split_start;

struct plan {
    enum manifest_format format;        /* never MANIFEST_AUTO */
    char manifest_hash[PLAN_HASH_SIZE]; /* XXH3-128 of its first manifest_bytes bytes, in hex */
    uint64_t manifest_bytes;            /* all of it, or, with a limit, to the end of the last row taken */
    uint64_t n_rows, limit, shard_rows;
    struct plan_column *columns; /* [n_columns]: id, uri, then the carried ones in their order; owned */
    size_t n_columns;            /* at least 2 */
    uint64_t n_shards;
    struct split_start *starts; /* [n_shards]; owned; use plan_shard */
};

/*
 * Read the manifest once, validate every row taken, hash, measure and cut it.
 * IN scratch: an existing folder on a local or parallel file system.
 * OUT plan: plan_free. STATUS_INPUT: the manifest has faults, or no rows; the first ten are logged with their
 * lines. OUT problems: may be NULL; where faults were found, what was logged (on any other outcome, left
 * empty).
 */
enum status plan_make(const char *manifest_path, const struct plan_options *options, const char *scratch,
                      struct plan *plan, struct problems *problems);
void plan_free(struct plan *plan);

/* IN index: below plan->n_shards. */
struct shard plan_shard(const struct plan *plan, uint64_t index);

/* Is there a whole plan in OUT/plan? */
bool plan_exists(const char *out_folder);

/* Write OUT/plan, making folders on the way. Whole or (as plan_exists tells) not at all. */
enum status plan_write(const struct plan *plan, const char *out_folder);

/* OUT plan: plan_free. STATUS_INPUT where a file of the plan is not what plan_write wrote. */
enum status plan_load(const char *out_folder, struct plan *plan);

/*
 * Before a resume: do these options and this manifest (which is hashed again) give this plan? STATUS_MISMATCH
 * names the field that differs, both values, and what to do.
 */
enum status plan_check(const struct plan *plan, const char *manifest_path,
                       const struct plan_options *options);

#endif
