/*
 * Files that appear whole or not at all, and folders made on the way.
 *
 * What is made here has the mode 0640 less the umask: results are for their owner and group. Temporary names
 * end in 64 random bits and are opened O_EXCL and O_NOFOLLOW, so that nobody who shares the folder can put a
 * file or link of theirs in the way.
 */
#ifndef EYESORE_BASE_FILE_H
#define EYESORE_BASE_FILE_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Give the name of a temporary file beside `path` (same folder, so that rename is atomic; unpredictable
 * suffix). The file is not made. OUT temp: at most temp_size bytes.
 */
enum status file_temp_name(const char *path, char *temp, size_t temp_size);

/* Such a file, made and opened for writing. OUT fd: the caller closes; on success the file is the caller's to
 * commit or unlink. */
enum status file_temp_open(const char *path, char *temp, size_t temp_size, int *fd);

/* 64 bits that nobody can foresee (getrandom). */
enum status file_random(uint64_t *bits);

/* fsync `temp`, rename it to `path`, fsync the folder. On failure `temp` is removed. STATUS_PLACE on I/O
 * errors. */
enum status file_commit(const char *temp, const char *path);

/*
 * The same, but what is at `path` already stays: the first one wins, also between hosts. OUT existed: there
 * was something, and `temp` is gone. By renameat2(RENAME_NOREPLACE); where the file system lacks it (NFS), by
 * link and unlink. STATUS_INPUT where it has neither.
 */
enum status file_commit_new(const char *temp, const char *path, bool *existed);

/* Write `size` bytes to `path` by way of a temporary file and file_commit. */
enum status file_write(const char *path, const void *bytes, size_t size);

/* The same, by file_commit_new. OUT made: nothing was at `path`. */
enum status file_write_new(const char *path, const void *bytes, size_t size, bool *made);

/*
 * Read a whole small file (at most `limit` bytes) into memory, with a NUL behind it that is not counted.
 * OUT bytes: the caller frees. STATUS_INPUT where there is none or it is larger.
 */
enum status file_read(const char *path, size_t limit, char **bytes, size_t *size);

/* mkdir -p. An existing folder is fine. */
enum status file_make_folders(const char *path);

#endif
