#define XXH_STATIC_LINKING_ONLY /* struct XXH3_state_s by its name */
#include "results/part_check.h"

#include "results/checksum.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define SLAB_BYTES ((size_t)8 << 20) /* a row is at most 1024 x 1024 half-precision cells: 2 MiB */

enum status part_check_begin(const struct sweep_file *part, const struct field *field,
                             struct part_check *check)
{
    enum status rc = STATUS_OK;

    *check = (struct part_check){.part = part, .field = field, .state = XXH3_createState()};
    if (check->state == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    XXH3_64bits_reset(check->state);
out:
    return rc;
}

void part_check_free(struct part_check *check)
{
    XXH3_freeState(check->state);
    *check = (struct part_check){0};
}

/* n_rows + 1 offsets: from 0 to the blob's size, never back. */
static enum status check_offsets(struct part_check *check, const uint64_t *offsets, uint64_t n)
{
    enum status rc = STATUS_OK;
    uint64_t most = check->part->blob_bytes[check->field->index];

    for (uint64_t i = 0; i < n; i++) {
        uint64_t at = check->checked + i;
        if (offsets[i] < check->previous || offsets[i] > most || (at == 0 && offsets[i] != 0) ||
            (at == check->part->counts.n_rows && offsets[i] != most))
            FAIL(STATUS_INPUT, "%s: %s is damaged (%" PRIu64 " after %" PRIu64 " of %" PRIu64 ")",
                 check->part->path, check->field->path, offsets[i], check->previous, most);
        check->previous = offsets[i];
    }
out:
    return rc;
}

/* Row numbers ascend and are of this part; with `all`, they are all of it. */
static enum status check_row_numbers(struct part_check *check, const uint64_t *rows, uint64_t n, bool all)
{
    enum status rc = STATUS_OK;
    uint64_t first = check->part->counts.first_row;
    uint64_t n_rows = check->part->counts.n_rows;

    for (uint64_t i = 0; i < n; i++) {
        uint64_t next = check->checked + i == 0 ? first : check->previous + 1;
        if (rows[i] < next || rows[i] - first >= n_rows || (all && rows[i] != next))
            FAIL(STATUS_INPUT, "%s: %s is damaged (row %" PRIu64 " where %" PRIu64 " or more was expected)",
                 check->part->path, check->field->path, rows[i], next);
        check->previous = rows[i];
    }
out:
    return rc;
}

static enum status check_enum(const struct part_check *check, const uint8_t *values, uint64_t n,
                              unsigned most)
{
    enum status rc = STATUS_OK;

    for (uint64_t i = 0; i < n; i++)
        if (values[i] >= most)
            FAIL(STATUS_INPUT, "%s: %s is damaged (value %u)", check->part->path, check->field->path,
                 values[i]);
out:
    return rc;
}

static enum status check_values(struct part_check *check, const void *slab, uint64_t n)
{
    switch (check->field->what) {
    case FIELD_BLOB_OFFSET:
        return check_offsets(check, slab, n);
    case FIELD_FAILURE_ROW:
    case FIELD_MAP_ROW:
        return check_row_numbers(check, slab, n, false);
    case FIELD_ROW:
        return check_row_numbers(check, slab, n, true);
    case FIELD_STATUS:
        return check_enum(check, slab, n, ITEM_STATUS_COUNT);
    case FIELD_VERDICT:
        return check_enum(check, slab, n, SWEEP_VERDICT_COUNT);
    default:
        return STATUS_OK;
    }
}

enum status part_check_slab(struct part_check *check, const void *slab, uint64_t n)
{
    enum status rc = STATUS_OK;

    XXH3_64bits_update(check->state, slab, (size_t)n * field_record_bytes(check->field));
    TRY(check_values(check, slab, n));
    check->checked += n;
out:
    return rc;
}

enum status part_check_end(struct part_check *check)
{
    enum status rc = STATUS_OK;
    const struct sweep_file *part = check->part;
    uint64_t found = XXH3_64bits_digest(check->state);
    uint64_t stored;

    TRY(checksum_get(part->file, part->path, check->field->path, &stored));
    if (found != stored)
        FAIL(STATUS_INPUT, "%s: %s has the checksum %016" PRIx64 " where %016" PRIx64 " is written: damaged",
             part->path, check->field->path, found, stored);
out:
    return rc;
}

enum status part_check_field(const struct sweep_file *part, const struct field *field, void *slab,
                             size_t slab_bytes)
{
    enum status rc = STATUS_OK;
    struct part_check check = {0};
    uint64_t count = part->n[sweep_file_find(part, field->what, field->index)];
    uint64_t step = slab_bytes / field_record_bytes(field);

    TRY(part_check_begin(part, field, &check));
    while (check.checked < count) {
        uint64_t n = count - check.checked < step ? count - check.checked : step;
        TRY(sweep_file_read(part, field->what, field->index, check.checked, n, slab));
        TRY(part_check_slab(&check, slab, n));
    }
    TRY(part_check_end(&check));
out:
    part_check_free(&check);
    return rc;
}

enum status part_verify(const char *path, struct part_counts *counts)
{
    enum status rc = STATUS_OK;
    struct sweep_file *part = NULL;
    char *slab = malloc(SLAB_BYTES);

    if (slab == NULL)
        FAIL(STATUS_MEMORY, "no memory for %zu bytes", SLAB_BYTES);
    TRY(sweep_file_open(path, &part));
    if (!part->is_part)
        FAIL(STATUS_INPUT, "%s: is a whole sweep, not a part", path);
    for (size_t i = 0; i < part->table.n; i++)
        TRY(part_check_field(part, &part->table.fields[i], slab, SLAB_BYTES));
    *counts = part->counts;
out:
    sweep_file_close(part);
    free(slab);
    return rc;
}
