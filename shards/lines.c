#include "shards/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define BUFFER_BYTES ((size_t)4 << 20)

struct lines {
    int fd;
    char *path;
    char *buffer;          /* [BUFFER_BYTES] */
    size_t start, end;     /* the unread bytes in buffer */
    size_t hashed;         /* buffer up to here is in the hash; at most start */
    uint64_t offset_bytes; /* of buffer[start] in the file */
    uint64_t number;       /* of the line at start */
    bool at_end;           /* read(2) said so */
    XXH3_state_t *hash;    /* NULL: not hashing */
};

static enum status open_regular(const char *path, int *out_fd, uint64_t *file_bytes)
{
    enum status rc = STATUS_OK;
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0 || fstat(fd, &st) != 0)
        FAIL(status_is_place_errno(errno) ? STATUS_PLACE : STATUS_INPUT, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        FAIL(STATUS_INPUT,
             "%s: not a regular file: a manifest is read more than once, so save it to a file first", path);
    *file_bytes = (uint64_t)st.st_size;
    *out_fd = fd;
    fd = -1;
out:
    if (fd >= 0)
        close(fd);
    return rc;
}

/* read(2), repeated where interrupted. OUT got: 0 at the end of the file. */
static enum status read_some(int fd, const char *path, char *bytes, size_t room, size_t *got)
{
    enum status rc = STATUS_OK;
    ssize_t n;

    do {
        n = read(fd, bytes, room);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        FAIL(status_is_place_errno(errno) ? STATUS_PLACE : STATUS_INPUT, "%s: cannot read: %s", path,
             strerror(errno));
    *got = (size_t)n;
out:
    return rc;
}

static void hash_consumed(struct lines *lines)
{
    if (lines->hash != NULL)
        XXH3_128bits_update(lines->hash, lines->buffer + lines->hashed, lines->start - lines->hashed);
    lines->hashed = lines->start;
}

static enum status refill(struct lines *lines)
{
    enum status rc = STATUS_OK;
    size_t got = 0;

    hash_consumed(lines);
    memmove(lines->buffer, lines->buffer + lines->start, lines->end - lines->start);
    lines->end -= lines->start;
    lines->start = 0;
    lines->hashed = 0;
    TRY(read_some(lines->fd, lines->path, lines->buffer + lines->end, BUFFER_BYTES - lines->end, &got));
    lines->end += got;
    lines->at_end = got == 0;
out:
    return rc;
}

static void consume(struct lines *lines, size_t size)
{
    lines->start += size;
    lines->offset_bytes += size;
}

static enum status skip_byte_order_mark(struct lines *lines)
{
    enum status rc = STATUS_OK;

    while (!lines->at_end && lines->end - lines->start < 3)
        TRY(refill(lines));
    if (lines->end - lines->start >= 3 && memcmp(lines->buffer + lines->start, "\xEF\xBB\xBF", 3) == 0)
        consume(lines, 3);
out:
    return rc;
}

enum status lines_open(const char *path, bool hashing, struct lines **out)
{
    enum status rc = STATUS_OK;
    uint64_t file_bytes;
    struct lines *lines = calloc(1, sizeof(*lines));

    if (lines == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    lines->fd = -1;
    lines->number = 1;
    TRY(open_regular(path, &lines->fd, &file_bytes));
    lines->path = strdup(path);
    lines->buffer = malloc(BUFFER_BYTES);
    if (lines->path == NULL || lines->buffer == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    if (hashing) {
        lines->hash = XXH3_createState();
        if (lines->hash == NULL)
            FAIL(STATUS_MEMORY, "no memory");
        XXH3_128bits_reset(lines->hash);
    }
    TRY(skip_byte_order_mark(lines));
    *out = lines;
    lines = NULL;
out:
    lines_close(lines);
    return rc;
}

void lines_close(struct lines *lines)
{
    if (lines == NULL)
        return;
    if (lines->fd >= 0)
        close(lines->fd);
    XXH3_freeState(lines->hash);
    free(lines->buffer);
    free(lines->path);
    free(lines);
}

enum status lines_seek(struct lines *lines, uint64_t offset_bytes, uint64_t number)
{
    enum status rc = STATUS_OK;

    if (lines->hash != NULL)
        FAIL(STATUS_INTERNAL, "%s: a manifest cannot be hashed and sought in at once", lines->path);
    if (lseek(lines->fd, (off_t)offset_bytes, SEEK_SET) < 0)
        FAIL(STATUS_INPUT, "%s: cannot go to byte %llu: %s", lines->path, (unsigned long long)offset_bytes,
             strerror(errno));
    lines->start = lines->end = lines->hashed = 0;
    lines->offset_bytes = offset_bytes;
    lines->number = number;
    lines->at_end = false;
    if (offset_bytes == 0)
        TRY(skip_byte_order_mark(lines));
out:
    return rc;
}

/* Drop bytes up to and with the next LF, in bounded memory. */
static enum status skip_line(struct lines *lines)
{
    enum status rc = STATUS_OK;

    for (;;) {
        char *unread = lines->buffer + lines->start;
        char *end = memchr(unread, '\n', lines->end - lines->start);

        consume(lines, end != NULL ? (size_t)(end - unread) + 1 : lines->end - lines->start);
        if (end != NULL || lines->at_end)
            break;
        TRY(refill(lines));
    }
out:
    return rc;
}

enum status lines_next(struct lines *lines, struct line *line, bool *more)
{
    enum status rc = STATUS_OK;
    char *end;
    size_t size;

    for (;;) {
        size = lines->end - lines->start;
        end = memchr(lines->buffer + lines->start, '\n', size);
        if (end != NULL || lines->at_end || size > LINE_BYTES_MAX + 2)
            break;
        TRY(refill(lines));
    }
    if (end == NULL && size == 0) {
        *more = false;
        goto out;
    }
    struct line got = {
        .bytes = lines->buffer + lines->start, .offset_bytes = lines->offset_bytes, .number = lines->number};
    got.whole_size = end != NULL ? (size_t)(end - got.bytes) + 1 : size;
    got.size = end != NULL ? got.whole_size - 1 : size;
    if (got.size > 0 && got.bytes[got.size - 1] == '\r')
        got.size--;
    if (got.size > LINE_BYTES_MAX) {
        got = (struct line){.offset_bytes = got.offset_bytes, .number = got.number, .too_long = true};
        TRY(skip_line(lines));
    } else {
        consume(lines, got.whole_size);
    }
    lines->number++;
    *line = got;
    *more = true;
out:
    return rc;
}

uint64_t lines_offset_bytes(const struct lines *lines)
{
    return lines->offset_bytes;
}

static void hash_to_hex(const XXH3_state_t *state, char hex[LINES_HASH_SIZE])
{
    XXH128_canonical_t canonical;

    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state));
    for (size_t i = 0; i < sizeof(canonical.digest); i++)
        snprintf(hex + 2 * i, 3, "%02x", canonical.digest[i]);
}

enum status lines_hash(struct lines *lines, char hex[LINES_HASH_SIZE])
{
    enum status rc = STATUS_OK;

    if (lines->hash == NULL)
        FAIL(STATUS_INTERNAL, "%s: opened without hashing", lines->path);
    hash_consumed(lines);
    hash_to_hex(lines->hash, hex);
out:
    return rc;
}

enum status lines_hash_file(const char *path, uint64_t size_bytes, char hex[LINES_HASH_SIZE],
                            uint64_t *file_bytes)
{
    enum status rc = STATUS_OK;
    XXH3_state_t *state = XXH3_createState();
    char *buffer = malloc(BUFFER_BYTES);
    int fd = -1;

    if (state == NULL || buffer == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    XXH3_128bits_reset(state);
    TRY(open_regular(path, &fd, file_bytes));
    for (uint64_t left = size_bytes; left > 0;) {
        size_t got = 0;
        TRY(read_some(fd, path, buffer, left < BUFFER_BYTES ? (size_t)left : BUFFER_BYTES, &got));
        if (got == 0)
            break;
        XXH3_128bits_update(state, buffer, got);
        left -= got;
    }
    hash_to_hex(state, hex);
out:
    if (fd >= 0)
        close(fd);
    free(buffer);
    XXH3_freeState(state);
    return rc;
}
