/*
 * What is done: the set of part files, and nothing else. A part is there whole or not at all, so a shard is
 * done when
 *
 *     OUT/parts/<shard / 1000, 4 digits>/shard-<shard, 8 digits>-<16 hex digits of the run's fingerprint>.h5
 *
 * is there. Attempts that died leave `<part>.tmp-*` files, which count for nothing.
 */
#ifndef EYESORE_SHARDS_LEDGER_H
#define EYESORE_SHARDS_LEDGER_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

#define LEDGER_PATH_SIZE 4096
#define LEDGER_NAME_SIZE 64 /* of a part's file name */

struct ledger {
    uint64_t n_shards, n_done;
    uint64_t n_leftover; /* temporary files of dead (or running) attempts */
    uint8_t *bits;       /* one a shard; owned */
};

/* IN run_fingerprint: hex, of which the first 16 digits are used. */
enum status ledger_part_path(const char *out_folder, uint64_t shard, const char *run_fingerprint,
                             char path[LEDGER_PATH_SIZE]);

/* The folder a shard's part is in, for file_make_folders. */
enum status ledger_part_folder(const char *out_folder, uint64_t shard, char path[LEDGER_PATH_SIZE]);

/*
 * Look which parts are there. No OUT/parts yet is fine: nothing is done.
 * OUT ledger: ledger_free.
 * OUT foreign: on STATUS_MISMATCH, the path of a part of another run (the caller says in what the runs
 * differ) or of a shard that the plan does not have; else "". STATUS_PLACE where a folder cannot be read.
 */
enum status ledger_scan(const char *out_folder, const char *run_fingerprint, uint64_t n_shards,
                        struct ledger *ledger, char foreign[LEDGER_PATH_SIZE]);
void ledger_free(struct ledger *ledger);

bool ledger_is_done(const struct ledger *ledger, uint64_t shard);

/* The shard's part turned out not to count: it is to be done. */
void ledger_forget(struct ledger *ledger, uint64_t shard);

/* The shards not done, ascending. OUT missing: [n_missing], the caller frees; NULL where none is missing. */
enum status ledger_missing(const struct ledger *ledger, uint64_t **missing, uint64_t *n_missing);

/*
 * Move a shard's part that turned out to be none (torn, changed, foreign) to
 *
 *     OUT/set-aside/<its name>.<UTC, 20261125T071342Z>-<16 hex digits, random>
 *
 * by rename: nothing is deleted, and somebody may want to see what happened to it. Logs its name and `reason`
 * ("it is cut short"). Where another rank was faster and it is gone, there is nothing to do. STATUS_PLACE: it
 * cannot be moved, and still counts as done.
 */
enum status ledger_set_aside(const char *out_folder, uint64_t shard, const char *run_fingerprint,
                             const char *reason);

/*
 * Remove the temporary files of dead attempts under OUT/parts. Only when no other job can be writing there.
 * OUT n_removed: may be NULL.
 */
enum status ledger_remove_leftovers(const char *out_folder, uint64_t *n_removed);

#endif
