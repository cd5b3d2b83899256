#include "io/tar.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 512
#define LONG_NAME_LIMIT ((uint64_t)64 << 10)
#define PAX_LIMIT ((uint64_t)1 << 20)

/* POSIX ustar header. */
struct header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100], magic[6],
        version[2], user[32], group[32], major[8], minor[8], prefix[155], padding[12];
};
_Static_assert(sizeof(struct header) == BLOCK, "a tar header is one block");

struct walk {
    int fd;
    const char *path;
    uint64_t at;     /* of the next header */
    char *long_name; /* for the next member, from GNU L or pax path; owned */
    bool has_size;
    uint64_t pax_size; /* for the next member */
    char *reason;
    size_t reason_size;
};

const char *tar_plain_name(const char *name)
{
    for (;;) {
        if (name[0] == '.' && name[1] == '/')
            name += 2;
        else if (name[0] == '/')
            name += 1;
        else
            return name;
    }
}

enum status tar_read_at(int fd, const char *path, void *out, size_t n, uint64_t offset, size_t *n_read)
{
    size_t done = 0;

    while (done < n) {
        ssize_t got = pread(fd, (char *)out + done, n - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && status_is_place_errno(errno)) {
            log_error("%s: cannot read: %s", path, strerror(errno));
            return STATUS_PLACE;
        }
        if (got < 0)
            return STATUS_INPUT;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    *n_read = done;
    return STATUS_OK;
}

/* An octal field, or GNU's base-256. False where it is neither. */
static bool parse_number(const char *field, size_t n, uint64_t *value)
{
    const unsigned char *p = (const unsigned char *)field;
    uint64_t sum = 0;

    if ((p[0] & 0x80) != 0) {
        for (size_t i = 0; i < n; i++) {
            if (sum >> 55 != 0)
                return false;
            sum = sum << 8 | (i == 0 ? p[0] & 0x7f : p[i]);
        }
        *value = sum;
        return true;
    }
    size_t i = 0;
    while (i < n && p[i] == ' ')
        i++;
    for (; i < n && p[i] >= '0' && p[i] <= '7'; i++)
        sum = sum << 3 | (uint64_t)(p[i] - '0');
    *value = sum;
    return i == n || p[i] == ' ' || p[i] == '\0';
}

static bool checksum_holds(const struct header *h)
{
    const unsigned char *bytes = (const unsigned char *)h;
    uint64_t told, sum = 0;

    for (size_t i = 0; i < BLOCK; i++)
        sum += i >= offsetof(struct header, checksum) && i < offsetof(struct header, type) ? ' ' : bytes[i];
    return parse_number(h->checksum, sizeof(h->checksum), &told) && told == sum;
}

/* Read the whole of a special member (a long name, pax records), with a NUL behind it. */
static enum status read_special(struct walk *w, uint64_t offset, uint64_t size, uint64_t limit, char **text)
{
    enum status rc = STATUS_OK;
    size_t n_read = 0;
    char *buffer = NULL;

    if (size > limit) {
        snprintf(w->reason, w->reason_size, "a name of %llu bytes at byte %llu", (unsigned long long)size,
                 (unsigned long long)offset);
        rc = STATUS_INPUT;
        goto out;
    }
    buffer = calloc(1, (size_t)size + 1);
    if (buffer == NULL)
        FAIL(STATUS_MEMORY, "no memory for a tar header");
    TRY(tar_read_at(w->fd, w->path, buffer, (size_t)size, offset, &n_read));
    *text = buffer;
    buffer = NULL;
out:
    free(buffer);
    return rc;
}

static void set_long_name(struct walk *w, char *name)
{
    free(w->long_name);
    w->long_name = name;
}

/* A number of nothing but digits: where it ends, or NULL where there is none or it is too large. */
static const char *parse_decimal(const char *p, const char *end, uint64_t *value)
{
    const char *begin = p;
    uint64_t sum = 0;

    for (; p < end && *p >= '0' && *p <= '9'; p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        if (sum > (UINT64_MAX - digit) / 10)
            return NULL;
        sum = 10 * sum + digit;
    }
    *value = sum;
    return p == begin ? NULL : p;
}

struct pax_record {
    const char *key, *value; /* not NUL-terminated */
    size_t n_key, n_value;
};

/* Split the record at p: where the next one begins, or NULL where it is broken. */
static const char *parse_pax_record(const char *p, const char *end, struct pax_record *record)
{
    uint64_t length;
    const char *space = parse_decimal(p, end, &length);

    if (space == NULL || length < 5 || length > (uint64_t)(end - p))
        return NULL;
    const char *newline = p + length - 1;
    if (space >= newline || *space != ' ' || *newline != '\n')
        return NULL;
    const char *key = space + 1, *equals = memchr(key, '=', (size_t)(newline - key));
    if (equals == NULL)
        return NULL;
    *record = (struct pax_record){key, equals + 1, (size_t)(equals - key), (size_t)(newline - equals - 1)};
    return newline + 1;
}

/* pax records: `LENGTH KEY=VALUE\n`, LENGTH counting the whole record. */
static enum status parse_pax(struct walk *w, const char *text, uint64_t size)
{
    enum status rc = STATUS_OK;
    const char *end = text + size;
    struct pax_record r;

    for (const char *p = text; p < end;) {
        p = parse_pax_record(p, end, &r);
        if (p == NULL)
            break; /* a broken record: the header's own fields stand */
        if (r.n_key == 4 && memcmp(r.key, "path", 4) == 0) {
            char *name = strndup(r.value, r.n_value);
            if (name == NULL)
                FAIL(STATUS_MEMORY, "no memory for a tar header");
            set_long_name(w, name);
        } else if (r.n_key == 4 && memcmp(r.key, "size", 4) == 0) {
            uint64_t number;
            if (parse_decimal(r.value, r.value + r.n_value, &number) != r.value + r.n_value)
                break;
            w->pax_size = number;
            w->has_size = true;
        }
    }
out:
    return rc;
}

static enum status visit_file(struct walk *w, const struct header *h, uint64_t size, tar_visit *visit,
                              void *context)
{
    char name[sizeof(h->prefix) + sizeof(h->name) + 2];
    bool ustar = memcmp(h->magic, "ustar\0", 6) == 0 && h->prefix[0] != '\0';

    /* the tail of prefix means something else in GNU's own format, whose magic is "ustar " */
    if (ustar)
        snprintf(name, sizeof(name), "%.*s/%.*s", (int)sizeof(h->prefix), h->prefix, (int)sizeof(h->name),
                 h->name);
    else
        snprintf(name, sizeof(name), "%.*s", (int)sizeof(h->name), h->name);
    struct tar_member member = {tar_plain_name(w->long_name != NULL ? w->long_name : name), w->at, size};
    size_t n = strlen(member.name);
    if (n == 0 || member.name[n - 1] == '/') /* an old way to write a folder */
        return STATUS_OK;
    return visit(context, &member);
}

/* One header at w->at; moves w->at behind its member. */
static enum status walk_member(struct walk *w, const struct header *h, tar_visit *visit, void *context)
{
    enum status rc = STATUS_OK;
    char *text = NULL;
    uint64_t size;

    if (!checksum_holds(h) || !parse_number(h->size, sizeof(h->size), &size)) {
        snprintf(w->reason, w->reason_size,
                 "no tar header at byte %llu: not a tar file, a compressed one, or broken",
                 (unsigned long long)w->at);
        rc = STATUS_INPUT;
        goto out;
    }
    w->at += BLOCK;
    if (h->type == 'L') {
        TRY(read_special(w, w->at, size, LONG_NAME_LIMIT, &text));
        set_long_name(w, text);
        text = NULL;
    } else if (h->type == 'x') {
        TRY(read_special(w, w->at, size, PAX_LIMIT, &text));
        TRY(parse_pax(w, text, size));
    } else if (h->type != 'K' && h->type != 'g') {
        size = w->has_size ? w->pax_size : size;
        if (h->type == '0' || h->type == '\0' || h->type == '7')
            TRY(visit_file(w, h, size, visit, context));
        set_long_name(w, NULL);
        w->has_size = false;
    }
    if (size > INT64_MAX - w->at - BLOCK) {
        snprintf(w->reason, w->reason_size, "a member of %llu bytes at byte %llu", (unsigned long long)size,
                 (unsigned long long)w->at);
        rc = STATUS_INPUT;
        goto out;
    }
    w->at += (size + BLOCK - 1) / BLOCK * BLOCK;
out:
    free(text);
    return rc;
}

enum status tar_walk(int fd, const char *path, tar_visit *visit, void *context, bool *ended_early,
                     char *reason, size_t size)
{
    enum status rc = STATUS_OK;
    struct walk w = {.fd = fd, .path = path, .reason = reason, .reason_size = size};
    static const struct header zeros;
    struct header h;
    size_t n_read = 0;

    *ended_early = false;
    snprintf(reason, size, "cannot be read");
    for (;;) {
        TRY(tar_read_at(fd, path, &h, BLOCK, w.at, &n_read));
        if (n_read < BLOCK && w.at == 0) {
            snprintf(reason, size, "not a tar file: it has %zu bytes", n_read);
            rc = STATUS_INPUT;
            goto out;
        }
        *ended_early = n_read < BLOCK;
        if (n_read < BLOCK || memcmp(&h, &zeros, BLOCK) == 0)
            break;
        TRY(walk_member(&w, &h, visit, context));
    }
out:
    free(w.long_name);
    return rc;
}
