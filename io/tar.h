/*
 * Walk the headers of a tar file: ustar, GNU (long names, base-256 numbers), pax (path, size).
 *
 * Own code rather than libarchive, which does not tell at which byte a member's data lie: that is what an
 * index is made of. Sources: POSIX.1-2017 pax; GNU tar manual, "Basic Tar Format".
 */
#ifndef EYESORE_IO_TAR_H
#define EYESORE_IO_TAR_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* A regular file in the tar. `name` (leading "./" removed) lasts for the call. */
struct tar_member {
    const char *name;
    uint64_t offset, size; /* of its bytes in the tar */
};

/* Answer anything but STATUS_OK to stop. */
typedef enum status tar_visit(void *context, const struct tar_member *member);

/*
 * Call visit for every regular file, in the order of the tar. Memory: a header and what names the next
 * member: GNU's long name (64 KiB at most) or pax records (1 MiB at most); a longer one is STATUS_INPUT.
 * OUT reason [size]: where STATUS_INPUT is answered: why this is not a tar file, or where it is broken. A tar
 * that ends early is walked as far as it goes: *ended_early is set. STATUS_PLACE on an I/O error (logged).
 */
enum status tar_walk(int fd, const char *path, tar_visit *visit, void *context, bool *ended_early,
                     char *reason, size_t size);

/* The name without leading "./" and "/": how a member is looked up. */
const char *tar_plain_name(const char *name);

/* pread until n bytes or the end of the file. STATUS_PLACE (logged), STATUS_INPUT (not logged), or OK. */
enum status tar_read_at(int fd, const char *path, void *out, size_t n, uint64_t offset, size_t *n_read);

#endif
