/*
 * Open tar files and their indices, shared by all fetchers of a process. Thread-safe.
 *
 * A tar is walked once, at its first use: headers only, one pread each. Its index keeps 32 bytes a member (a
 * 128-bit hash of the name, offset, size). The least recently used tars are closed and forgotten when there
 * are more than max_tars, or their indices hold more than max_bytes.
 */
#ifndef EYESORE_IO_TAR_CACHE_H
#define EYESORE_IO_TAR_CACHE_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

struct tar_cache;

/* max_tars: also the descriptors held, at least 1. STATUS_MEMORY, or OK. */
enum status tar_cache_open(size_t max_tars, size_t max_bytes, struct tar_cache **out);

/* No thread may use it any more. */
void tar_cache_close(struct tar_cache *cache);

/* A tar in use: as long as it is held it stays open, whatever the cache forgets. */
struct tar_file;

/*
 * Open and index `path`, or find it, and hold it. OUT *held: NULL where this is not a tar that can be used,
 * and why: *error is the errno of its open_regular(path, n_root), or 0 with reason [size]. A file that was
 * found to be no tar is not walked again while its mtime and size stay as they are. Threads that ask for a
 * tar which another one is indexing wait for it. STATUS_PLACE (logged), STATUS_MEMORY, or OK.
 */
enum status tar_cache_hold(struct tar_cache *cache, const char *path, size_t n_root, struct tar_file **held,
                           int *error, char *reason, size_t size);

void tar_cache_release(struct tar_cache *cache, struct tar_file *held);

/* Where a member lies; false where there is none of this name. Of two with one name the last counts, as in
 * tar. */
bool tar_file_find(const struct tar_file *tar, const char *name, uint64_t *offset, uint64_t *n);

int tar_file_descriptor(const struct tar_file *tar);

/* How many tars are known now, and what their indices take: for tests and logs. */
void tar_cache_usage(struct tar_cache *cache, size_t *n_tars, size_t *n_bytes);

#endif
