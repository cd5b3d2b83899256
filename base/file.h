/*
 * Files that appear whole or not at all, and folders made on the way.
 */
#ifndef EYESORE_BASE_FILE_H
#define EYESORE_BASE_FILE_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Give the name of a temporary file beside `path` (same folder, so that rename is atomic; unpredictable
 * suffix). The file is not made. OUT temp: at most temp_size bytes.
 */
enum status file_temp_name(const char *path, char *temp, size_t temp_size);

/* fsync `temp`, rename it to `path`, fsync the folder. On failure `temp` is removed. STATUS_PLACE on I/O
 * errors. */
enum status file_commit(const char *temp, const char *path);

/* Write `size` bytes to `path` by way of a temporary file and file_commit. */
enum status file_write(const char *path, const void *bytes, size_t size);

/* The same, unless something is at `path` already. OUT made: it was not. */
enum status file_write_new(const char *path, const void *bytes, size_t size, bool *made);

/*
 * Read a whole small file (at most `limit` bytes) into memory, with a NUL behind it that is not counted.
 * OUT bytes: the caller frees. STATUS_INPUT where there is none or it is larger.
 */
enum status file_read(const char *path, size_t limit, char **bytes, size_t *size);

/* mkdir -p. An existing folder is fine. */
enum status file_make_folders(const char *path);

#endif
