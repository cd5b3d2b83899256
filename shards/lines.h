/*
 * The lines of a file, with their offsets and numbers, in bounded memory (one buffer of 4 MiB), and the
 * XXH3-128 of the bytes gone by. Knows nothing of manifests.
 */
#ifndef EYESORE_SHARDS_LINES_H
#define EYESORE_SHARDS_LINES_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

#define LINE_BYTES_MAX ((size_t)1 << 20)
#define LINES_HASH_SIZE 33 /* 32 hex digits and the NUL */

struct lines;

struct line {
    const char *bytes;     /* valid until the next call on the same `struct lines`; not NUL-terminated */
    size_t size;           /* without the line's end (LF or CRLF) */
    size_t whole_size;     /* with it; equal to size where the file ends without one */
    uint64_t offset_bytes; /* of the first byte in the file */
    uint64_t number;       /* 1 is the file's first line */
    bool too_long;         /* over LINE_BYTES_MAX: it was skipped, bytes holds nothing */
};

/*
 * Open a regular file (a pipe is refused: the manifest is read more than once).
 * IN hashing: keep a hash of the bytes read; then seeking is refused. OUT out: lines_close.
 * A UTF-8 byte order mark at the start is passed over (but hashed).
 */
enum status lines_open(const char *path, bool hashing, struct lines **out);
void lines_close(struct lines *lines);

/* Go to an offset that begins line `number`. */
enum status lines_seek(struct lines *lines, uint64_t offset_bytes, uint64_t number);

/* OUT more: false at the end of the file; then `line` is not written. STATUS_PLACE, STATUS_INPUT on I/O
 * errors. */
enum status lines_next(struct lines *lines, struct line *line, bool *more);

/* The offset just behind the last line given. */
uint64_t lines_offset_bytes(const struct lines *lines);

/* XXH3-128, in hex (canonical, big-endian), of the bytes before lines_offset_bytes. Reading may go on after.
 */
enum status lines_hash(struct lines *lines, char hex[LINES_HASH_SIZE]);

/*
 * Hash the first `size_bytes` bytes of a file as lines_hash would. OUT file_bytes: how large the file is;
 * where it is smaller than size_bytes the hash is of what there is.
 */
enum status lines_hash_file(const char *path, uint64_t size_bytes, char hex[LINES_HASH_SIZE],
                            uint64_t *file_bytes);

#endif
