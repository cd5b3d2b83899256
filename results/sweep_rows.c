/* Rows of results/sweep_file.h, some at a time. */
#include "results/sweep_file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BLOBS_BYTES_MAX ((uint64_t)64 << 20) /* of one read, all blobs together */

enum status sweep_rows_make(const struct sweep_file *file, uint64_t capacity, struct sweep_rows *rows)
{
    enum status rc = STATUS_OK;
    const struct sweep_layout *layout = &file->layout;
    bool ok;

    memset(rows, 0, sizeof(*rows));
    rows->capacity = capacity;
    rows->id = calloc(capacity, layout->id_width);
    rows->status = calloc(capacity, 1);
    rows->verdict = calloc(capacity, 1);
    rows->width = calloc(capacity, sizeof(*rows->width));
    rows->height = calloc(capacity, sizeof(*rows->height));
    rows->columns = calloc(layout->n_columns + 1, sizeof(*rows->columns));
    rows->offset = calloc(layout->n_blobs, sizeof(*rows->offset));
    rows->bytes = calloc(layout->n_blobs, sizeof(*rows->bytes));
    rows->scores = calloc(capacity * (layout->n_stages + 1), sizeof(*rows->scores));
    ok = rows->id != NULL && rows->status != NULL && rows->verdict != NULL && rows->width != NULL &&
         rows->height != NULL && rows->columns != NULL && rows->offset != NULL && rows->bytes != NULL &&
         rows->scores != NULL;
    for (uint32_t i = 0; ok && i < layout->n_columns; i++)
        if (layout->columns[i].width > 0)
            ok = (rows->columns[i] = calloc(capacity, layout->columns[i].width)) != NULL;
    for (uint32_t i = 0; ok && i < layout->n_blobs; i++)
        ok = (rows->offset[i] = calloc(capacity + 1, sizeof(uint64_t))) != NULL;
    if (!ok)
        FAIL(STATUS_MEMORY, "no memory for %" PRIu64 " rows", capacity);
out:
    if (rc != STATUS_OK)
        sweep_rows_free(file, rows);
    return rc;
}

void sweep_rows_free(const struct sweep_file *file, struct sweep_rows *rows)
{
    if (rows->columns != NULL)
        for (uint32_t i = 0; i < file->layout.n_columns; i++)
            free(rows->columns[i]);
    for (uint32_t i = 0; file != NULL && i < file->layout.n_blobs; i++) {
        if (rows->offset != NULL)
            free(rows->offset[i]);
        if (rows->bytes != NULL)
            free(rows->bytes[i]);
    }
    free(rows->id);
    free(rows->status);
    free(rows->verdict);
    free(rows->width);
    free(rows->height);
    free(rows->columns);
    free(rows->offset);
    free(rows->bytes);
    free(rows->scores);
    memset(rows, 0, sizeof(*rows));
}

/* Offsets of rows->n rows of every blob; rows->n shrinks to what fits. Together: a crafted file can have a
 * thousand columns that are one and the same blob. */
static enum status read_offsets(const struct sweep_file *file, struct sweep_rows *rows)
{
    enum status rc = STATUS_OK;
    uint64_t share = BLOBS_BYTES_MAX / file->layout.n_blobs;
    uint64_t bytes = 0;

    for (uint32_t blob = 0; blob < file->layout.n_blobs; blob++) {
        uint64_t *offset = rows->offset[blob];
        TRY(sweep_file_read(file, FIELD_BLOB_OFFSET, blob, rows->first, rows->n + 1, offset));
        for (uint64_t i = 0; i < rows->n; i++) {
            if (offset[i + 1] < offset[i] || offset[i + 1] > file->blob_bytes[blob])
                FAIL(STATUS_INPUT, "%s: row %" PRIu64 ": an offset of blob %u goes back or beyond the end",
                     file->path, rows->first + i, blob);
            if (offset[i + 1] - offset[0] > share)
                rows->n = i == 0 ? 1 : i; /* one row may have more than its share */
        }
    }
    for (uint32_t blob = 0; blob < file->layout.n_blobs; blob++)
        bytes += rows->offset[blob][rows->n] - rows->offset[blob][0];
    if (bytes > BLOBS_BYTES_MAX)
        FAIL(STATUS_INPUT, "%s: row %" PRIu64 ": strings of more than 64 MiB", file->path, rows->first);
out:
    return rc;
}

static enum status read_blobs(const struct sweep_file *file, struct sweep_rows *rows)
{
    enum status rc = STATUS_OK;

    for (uint32_t blob = 0; blob < file->layout.n_blobs; blob++) {
        uint64_t *offset = rows->offset[blob];
        uint64_t start = offset[0];
        uint64_t size = offset[rows->n] - start;
        char *grown = realloc(rows->bytes[blob], size == 0 ? 1 : size);
        if (grown == NULL)
            FAIL(STATUS_MEMORY, "no memory");
        rows->bytes[blob] = grown;
        TRY(sweep_file_read(file, FIELD_BLOB_BYTES, blob, start, size, grown));
        for (uint64_t i = 0; i <= rows->n; i++)
            offset[i] -= start;
    }
out:
    return rc;
}

enum status sweep_rows_read(const struct sweep_file *file, uint64_t first, struct sweep_rows *rows)
{
    enum status rc = STATUS_OK;
    uint64_t left = first < file->counts.n_rows ? file->counts.n_rows - first : 0;

    rows->first = first;
    rows->n = left < rows->capacity ? left : rows->capacity;
    TRY(read_offsets(file, rows));
    TRY(read_blobs(file, rows));
    TRY(sweep_file_read(file, FIELD_ID, 0, first, rows->n, rows->id));
    TRY(sweep_file_read(file, FIELD_STATUS, 0, first, rows->n, rows->status));
    TRY(sweep_file_read(file, FIELD_VERDICT, 0, first, rows->n, rows->verdict));
    TRY(sweep_file_read(file, FIELD_WIDTH, 0, first, rows->n, rows->width));
    TRY(sweep_file_read(file, FIELD_HEIGHT, 0, first, rows->n, rows->height));
    for (uint32_t i = 0; i < file->layout.n_columns; i++)
        if (file->layout.columns[i].width > 0)
            TRY(sweep_file_read(file, FIELD_COLUMN, i, first, rows->n, rows->columns[i]));
    for (uint32_t i = 0; i < file->layout.n_stages; i++)
        TRY(sweep_file_read(file, FIELD_SCORE, i, first, rows->n, rows->scores + i * rows->capacity));
    for (uint64_t i = 0; i < rows->n; i++)
        if (rows->status[i] >= ITEM_STATUS_COUNT || rows->verdict[i] >= SWEEP_VERDICT_COUNT)
            FAIL(STATUS_INPUT, "%s: row %" PRIu64 ": status %u, verdict %u: no such values", file->path,
                 first + i, rows->status[i], rows->verdict[i]);
out:
    return rc;
}

static struct part_text fixed_text(const char *bytes, size_t width)
{
    while (width > 0 && bytes[width - 1] == '\0')
        width--;
    return (struct part_text){bytes, width};
}

static struct part_text blob_text(const struct sweep_rows *rows, uint32_t blob, uint64_t i)
{
    const uint64_t *offset = rows->offset[blob];

    return (struct part_text){rows->bytes[blob] + offset[i], (size_t)(offset[i + 1] - offset[i])};
}

struct part_text sweep_rows_id(const struct sweep_file *file, const struct sweep_rows *rows, uint64_t i)
{
    return fixed_text(rows->id + i * file->layout.id_width, file->layout.id_width);
}

struct part_text sweep_rows_uri(const struct sweep_rows *rows, uint64_t i)
{
    return blob_text(rows, 0, i);
}

struct part_text sweep_rows_column(const struct sweep_file *file, const struct sweep_rows *rows,
                                   uint32_t column, uint64_t i)
{
    const struct sweep_column *carried = &file->layout.columns[column];

    if (carried->width == 0)
        return blob_text(rows, carried->blob, i);
    return fixed_text(rows->columns[column] + i * carried->width, carried->width);
}
