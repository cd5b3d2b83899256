#include "shards/duplicates.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#define BUCKET_BITS 9
#define N_BUCKETS (1u << BUCKET_BITS)
#define CHUNK_ENTRIES 5461 /* 128 KiB less 8 bytes: few enough reads for a disk that seeks */
#define FIRST_SLOTS 4096   /* of the table, which grows with the different ids of a bucket */

struct entry {
    uint64_t low, high; /* the id's XXH3-128 */
    uint64_t line;      /* 0: an empty slot of the table */
};

#define CHUNK_BYTES (sizeof(struct entry) * CHUNK_ENTRIES)

struct bucket {
    struct entry *entries; /* [CHUNK_ENTRIES] */
    size_t n;              /* in entries */
};

struct duplicates {
    char *scratch;
    int fd; /* of the scratch file; -1: none needed so far */
    struct bucket buckets[N_BUCKETS];
    struct entry *entries; /* [N_BUCKETS * CHUNK_ENTRIES] behind all buckets */
    uint16_t *chunks;      /* [n_chunks] whose the k-th chunk of the file is */
    size_t n_chunks, chunks_room;

    struct entry *table; /* [n_slots], a power of two */
    size_t n_slots, n_used;
    struct duplicate shown[DUPLICATES_SHOWN];
    size_t n_shown;
    uint64_t n_total;
};

enum status duplicates_open(const char *scratch, struct duplicates **out)
{
    enum status rc = STATUS_OK;
    struct duplicates *d = calloc(1, sizeof(*d));

    if (d == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    d->fd = -1;
    d->scratch = strdup(scratch);
    d->entries = malloc(sizeof(*d->entries) * N_BUCKETS * CHUNK_ENTRIES);
    if (d->scratch == NULL || d->entries == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    for (size_t i = 0; i < N_BUCKETS; i++)
        d->buckets[i].entries = d->entries + i * CHUNK_ENTRIES;
    *out = d;
    d = NULL;
out:
    duplicates_close(d);
    return rc;
}

void duplicates_close(struct duplicates *duplicates)
{
    if (duplicates == NULL)
        return;
    if (duplicates->fd >= 0)
        close(duplicates->fd);
    free(duplicates->table);
    free(duplicates->chunks);
    free(duplicates->entries);
    free(duplicates->scratch);
    free(duplicates);
}

/* A file without a name. */
static enum status open_scratch(struct duplicates *d)
{
    enum status rc = STATUS_OK;
    char path[4096];
    int n = snprintf(path, sizeof(path), "%s/ids-XXXXXX", d->scratch);

    if (n < 0 || (size_t)n >= sizeof(path))
        FAIL(STATUS_INPUT, "%s: the path is too long", d->scratch);
    d->fd = mkostemp(path, O_CLOEXEC);
    if (d->fd < 0)
        FAIL(status_is_place_errno(errno) ? STATUS_PLACE : STATUS_INPUT, "%s: cannot make a scratch file: %s",
             d->scratch, strerror(errno));
    unlink(path);
out:
    return rc;
}

static enum status write_chunk(struct duplicates *d, size_t bucket)
{
    enum status rc = STATUS_OK;
    const char *bytes = (const char *)d->buckets[bucket].entries;

    if (d->fd < 0)
        TRY(open_scratch(d));
    if (d->n_chunks == d->chunks_room) {
        size_t room = d->chunks_room == 0 ? 4096 : 2 * d->chunks_room;
        uint16_t *chunks = realloc(d->chunks, room * sizeof(*chunks));
        if (chunks == NULL)
            FAIL(STATUS_MEMORY, "no memory");
        d->chunks = chunks;
        d->chunks_room = room;
    }
    for (size_t done = 0; done < CHUNK_BYTES;) {
        ssize_t n =
            pwrite(d->fd, bytes + done, CHUNK_BYTES - done, (off_t)(d->n_chunks * CHUNK_BYTES + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            FAIL(STATUS_PLACE, "%s: cannot write the scratch file (24 bytes a row of the manifest): %s",
                 d->scratch, strerror(errno));
        done += (size_t)n;
    }
    d->chunks[d->n_chunks++] = (uint16_t)bucket;
    d->buckets[bucket].n = 0;
out:
    return rc;
}

enum status duplicates_add(struct duplicates *duplicates, const char *id, size_t size, uint64_t line)
{
    enum status rc = STATUS_OK;
    XXH128_hash_t hash = XXH3_128bits(id, size);
    size_t index = (size_t)(hash.high64 >> (64 - BUCKET_BITS));
    struct bucket *bucket = &duplicates->buckets[index];

    if (bucket->n == CHUNK_ENTRIES)
        TRY(write_chunk(duplicates, index));
    bucket->entries[bucket->n++] = (struct entry){.low = hash.low64, .high = hash.high64, .line = line};
out:
    return rc;
}

static void show(struct duplicates *d, uint64_t line, uint64_t first_line)
{
    size_t at = d->n_shown;

    d->n_total++;
    while (at > 0 && d->shown[at - 1].line > line)
        at--;
    if (at == DUPLICATES_SHOWN)
        return;
    if (d->n_shown < DUPLICATES_SHOWN)
        d->n_shown++;
    memmove(&d->shown[at + 1], &d->shown[at], (d->n_shown - 1 - at) * sizeof(d->shown[0]));
    d->shown[at] = (struct duplicate){.line = line, .first_line = first_line};
}

/* Where the entry is, or the empty slot where it belongs. */
static struct entry *find_slot(const struct duplicates *d, const struct entry *entry)
{
    for (size_t at = entry->low & (d->n_slots - 1);; at = (at + 1) & (d->n_slots - 1)) {
        struct entry *slot = &d->table[at];
        if (slot->line == 0 || (slot->low == entry->low && slot->high == entry->high))
            return slot;
    }
}

static enum status double_table(struct duplicates *d)
{
    enum status rc = STATUS_OK;
    struct entry *old = d->table;
    size_t n_old = d->n_slots;
    struct entry *table = calloc(2 * n_old, sizeof(*table));

    if (table == NULL)
        FAIL(STATUS_MEMORY, "no memory to look for duplicate ids");
    d->table = table;
    d->n_slots = 2 * n_old;
    for (size_t i = 0; i < n_old; i++)
        if (old[i].line != 0)
            *find_slot(d, &old[i]) = old[i];
    free(old);
out:
    return rc;
}

/* Entries of a bucket come in ascending order of line: what is in the table stood before. */
static enum status look_up(struct duplicates *d, const struct entry *entries, size_t n)
{
    enum status rc = STATUS_OK;

    for (size_t i = 0; i < n; i++) {
        struct entry *slot = find_slot(d, &entries[i]);
        if (slot->line != 0) {
            show(d, entries[i].line, slot->line);
            continue;
        }
        *slot = entries[i];
        d->n_used++;
        if (d->n_used > d->n_slots / 8 * 5)
            TRY(double_table(d));
    }
out:
    return rc;
}

static enum status read_chunk(const struct duplicates *d, size_t chunk, struct entry entries[CHUNK_ENTRIES])
{
    enum status rc = STATUS_OK;

    for (size_t done = 0; done < CHUNK_BYTES;) {
        ssize_t n =
            pread(d->fd, (char *)entries + done, CHUNK_BYTES - done, (off_t)(chunk * CHUNK_BYTES + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            FAIL(STATUS_PLACE, "%s: cannot read the scratch file: %s", d->scratch,
                 n < 0 ? strerror(errno) : "it is shorter than what was written");
        done += (size_t)n;
    }
out:
    return rc;
}

static enum status search_bucket(struct duplicates *d, size_t index, const size_t *chunks, size_t n_chunks,
                                 struct entry buffer[CHUNK_ENTRIES])
{
    enum status rc = STATUS_OK;
    const struct bucket *bucket = &d->buckets[index];

    memset(d->table, 0, d->n_slots * sizeof(*d->table));
    d->n_used = 0;
    for (size_t i = 0; i < n_chunks; i++) /* all at once, so that the disk can order them */
        posix_fadvise(d->fd, (off_t)(chunks[i] * CHUNK_BYTES), CHUNK_BYTES, POSIX_FADV_WILLNEED);
    for (size_t i = 0; i < n_chunks; i++) {
        TRY(read_chunk(d, chunks[i], buffer));
        TRY(look_up(d, buffer, CHUNK_ENTRIES));
    }
    TRY(look_up(d, bucket->entries, bucket->n));
out:
    return rc;
}

enum status duplicates_find(struct duplicates *duplicates, struct duplicate shown[DUPLICATES_SHOWN],
                            size_t *n_shown, uint64_t *n_total)
{
    enum status rc = STATUS_OK;
    struct duplicates *d = duplicates;
    struct entry *buffer = malloc(sizeof(*buffer) * CHUNK_ENTRIES);
    size_t *ordered = malloc((d->n_chunks + 1) * sizeof(*ordered)); /* chunks, bucket by bucket */
    size_t starts[N_BUCKETS + 1] = {0};

    d->table = malloc(FIRST_SLOTS * sizeof(*d->table)); /* each search clears it */
    if (buffer == NULL || ordered == NULL || d->table == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    d->n_slots = FIRST_SLOTS;
    for (size_t i = 0; i < d->n_chunks; i++)
        starts[d->chunks[i] + 1]++;
    for (size_t i = 0; i < N_BUCKETS; i++)
        starts[i + 1] += starts[i];
    size_t next[N_BUCKETS];
    memcpy(next, starts, sizeof(next));
    for (size_t i = 0; i < d->n_chunks; i++)
        ordered[next[d->chunks[i]]++] = i;
    for (size_t i = 0; i < N_BUCKETS; i++)
        TRY(search_bucket(d, i, ordered + starts[i], starts[i + 1] - starts[i], buffer));
    memcpy(shown, d->shown, sizeof(d->shown));
    *n_shown = d->n_shown;
    *n_total = d->n_total;
out:
    free(ordered);
    free(buffer);
    return rc;
}

uint64_t duplicates_scratch_bytes(const struct duplicates *duplicates)
{
    return (uint64_t)duplicates->n_chunks * CHUNK_BYTES;
}
