#include "shards/split.h"

#include <stdlib.h>

#define TAPER 16
/* The taper spans fewer than TAPER full shards of fewer than 2 * TAPER granules each. */
#define RING ((uint64_t)2 * TAPER * TAPER)

struct split {
    uint64_t shard_rows, granule, full;
    struct split_start *fulls; /* [n_fulls]: rows 0, full, 2 full, ... */
    uint64_t n_fulls, room;
    struct split_start ring[RING]; /* of granule g at g % RING */
};

static uint64_t round_down(uint64_t value, uint64_t unit)
{
    return value - value % unit;
}

uint64_t split_granule(uint64_t shard_rows)
{
    return shard_rows < TAPER ? 1 : shard_rows / TAPER;
}

uint64_t split_size(uint64_t shard_rows, uint64_t remaining)
{
    uint64_t granule = split_granule(shard_rows);
    uint64_t size = remaining / TAPER < shard_rows ? remaining / TAPER : shard_rows;

    size = round_down(size, granule);
    if (size < granule)
        size = granule;
    return size < remaining ? size : remaining;
}

enum status split_open(uint64_t shard_rows, struct split **out)
{
    enum status rc = STATUS_OK;
    struct split *split = NULL;

    if (shard_rows == 0)
        FAIL(STATUS_USAGE, "shard-rows is 0: a shard has at least one row");
    split = calloc(1, sizeof(*split));
    if (split == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    split->shard_rows = shard_rows;
    split->granule = split_granule(shard_rows);
    split->full = round_down(shard_rows, split->granule);
    *out = split;
out:
    return rc;
}

void split_close(struct split *split)
{
    if (split == NULL)
        return;
    free(split->fulls);
    free(split);
}

static enum status add_full(struct split *split, const struct split_start *start)
{
    enum status rc = STATUS_OK;

    if (split->n_fulls == SPLIT_SHARDS_MAX)
        FAIL(STATUS_USAGE,
             "shard-rows %llu cuts this manifest into more than %d shards, each a file: give a larger one",
             (unsigned long long)split->shard_rows, SPLIT_SHARDS_MAX);
    if (split->n_fulls == split->room) {
        uint64_t room = split->room == 0 ? 64 : 2 * split->room;
        struct split_start *fulls = realloc(split->fulls, room * sizeof(*fulls));
        if (fulls == NULL)
            FAIL(STATUS_MEMORY, "no memory for the shards' starts");
        split->fulls = fulls;
        split->room = room;
    }
    split->fulls[split->n_fulls++] = *start;
out:
    return rc;
}

enum status split_row(struct split *split, uint64_t row, uint64_t offset_bytes, uint64_t line)
{
    enum status rc = STATUS_OK;
    struct split_start start = {.first_row = row, .offset_bytes = offset_bytes, .line = line};

    if (row % split->granule != 0)
        goto out;
    split->ring[row / split->granule % RING] = start;
    if (row % split->full == 0)
        TRY(add_full(split, &start));
out:
    return rc;
}

static const struct split_start *find_start(const struct split *split, uint64_t row)
{
    const struct split_start *start = &split->ring[row / split->granule % RING];

    if (start->first_row == row)
        return start;
    if (row % split->full == 0 && row / split->full < split->n_fulls)
        return &split->fulls[row / split->full];
    return NULL;
}

enum status split_finish(struct split *split, uint64_t n_rows, struct split_start **starts,
                         uint64_t *n_starts)
{
    enum status rc = STATUS_OK;
    struct split_start *list = NULL;
    uint64_t n = 0;

    for (uint64_t row = 0; row < n_rows; row += split_size(split->shard_rows, n_rows - row))
        n++;
    list = malloc((n + 1) * sizeof(*list));
    if (list == NULL)
        FAIL(STATUS_MEMORY, "no memory for the shards' starts");
    n = 0;
    for (uint64_t row = 0; row < n_rows; row += split_size(split->shard_rows, n_rows - row)) {
        const struct split_start *start = find_start(split, row);
        if (start == NULL)
            FAIL(STATUS_INTERNAL, "the start of row %llu was not kept", (unsigned long long)row);
        list[n++] = *start;
    }
    *starts = list;
    *n_starts = n;
    list = NULL;
out:
    free(list);
    return rc;
}
