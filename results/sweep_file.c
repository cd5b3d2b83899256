#include "results/sweep_file.h"

#include "results/checksum.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static enum status read_counts(hid_t file, const char *path, bool *is_part, struct part_counts *counts)
{
    enum status rc = STATUS_OK;
    char format[32];
    uint64_t version;

    memset(counts, 0, sizeof(*counts));
    if (!h5_has_attribute(file, "/", "format"))
        FAIL(STATUS_INPUT, "%s: is not a sweep.h5 or part file of eyesore (no attribute `format`)", path);
    TRY(h5_get_string(file, path, "/", "format", format, sizeof(format)));
    *is_part = strcmp(format, PART_FORMAT) == 0;
    if (!*is_part && strcmp(format, SWEEP_FORMAT) != 0)
        FAIL(STATUS_INPUT, "%s: is not a sweep.h5 or part file of eyesore (format `%s`)", path, format);
    if (*is_part)
        TRY(checksum_check_root(file, path));
    TRY(h5_get_u64s(file, path, "/", "format_version", &version, 1));
    if (version != SWEEP_FORMAT_VERSION)
        FAIL(STATUS_INPUT,
             "%s: format version %" PRIu64 ", this program reads %d: use the program that wrote it", path,
             version, SWEEP_FORMAT_VERSION);
    TRY(h5_get_string(file, path, "/", "run_fingerprint", counts->run_fingerprint,
                      sizeof(counts->run_fingerprint)));
    TRY(h5_get_u64s(file, path, "/", "n_rows", &counts->n_rows, 1));
    if (counts->n_rows >= UINT64_MAX / 4096)
        FAIL(STATUS_INPUT, "%s: attribute n_rows is %" PRIu64, path, counts->n_rows);
    /* Earlier programs knew fewer statuses: there were no rows of the others. */
    TRY(h5_get_u64s_upto(file, path, "/", "counts_by_status", counts->by_status, ITEM_STATUS_COUNT));
    TRY(h5_get_u64s(file, path, "/", "counts_by_verdict", counts->by_verdict, SWEEP_VERDICT_COUNT));
    if (*is_part) {
        TRY(h5_get_u64s(file, path, "/", "shard", &counts->shard, 1));
        TRY(h5_get_u64s(file, path, "/", "first_row", &counts->first_row, 1));
        if (counts->first_row >= UINT64_MAX / 4096)
            FAIL(STATUS_INPUT, "%s: attribute first_row is %" PRIu64, path, counts->first_row);
    }
out:
    return rc;
}

enum status part_read_counts(const char *path, struct part_counts *counts)
{
    enum status rc = STATUS_OK;
    hid_t file = -1;
    bool is_part = false;

    TRY(h5_file_open(path, &file));
    TRY(read_counts(file, path, &is_part, counts));
    if (!is_part)
        FAIL(STATUS_INPUT, "%s: is a whole sweep, not a part", path);
out:
    h5_file_close(file);
    return rc;
}

/* How many entries a dataset must have; *known is set by the first dataset of an axis that is free. */
static enum status check_count(struct sweep_file *file, size_t i, bool *failures_known, bool *maps_known)
{
    enum status rc = STATUS_OK;
    const struct field *field = &file->table.fields[i];
    uint64_t expected = file->n[i];

    switch (field->axis) {
    case AXIS_ROW:
        expected = file->counts.n_rows;
        break;
    case AXIS_OFFSET:
        expected = file->counts.n_rows + 1;
        break;
    case AXIS_BLOB:
        file->blob_bytes[field->index] = file->n[i];
        break;
    case AXIS_FAILURE:
        expected = *failures_known ? file->n_failures : file->n[i];
        file->n_failures = expected;
        *failures_known = true;
        break;
    case AXIS_MAP:
        expected = *maps_known ? file->n_maps : file->n[i];
        file->n_maps = expected;
        *maps_known = true;
        break;
    }
    if (file->n_failures > file->counts.n_rows || file->n_maps > file->counts.n_rows)
        FAIL(STATUS_INPUT, "%s: %s has %" PRIu64 " entries, more than the %" PRIu64 " rows", file->path,
             field->path, file->n[i], file->counts.n_rows);
    if (file->n[i] != expected)
        FAIL(STATUS_INPUT, "%s: %s has %" PRIu64 " entries, expected %" PRIu64, file->path, field->path,
             file->n[i], expected);
out:
    return rc;
}

static enum status open_datasets(struct sweep_file *file)
{
    enum status rc = STATUS_OK;
    bool failures_known = false;
    bool maps_known = false;

    file->datasets = malloc(file->table.n * sizeof(*file->datasets));
    file->n = calloc(file->table.n, sizeof(*file->n));
    file->blob_bytes = calloc(file->layout.n_blobs, sizeof(*file->blob_bytes));
    for (size_t i = 0; file->datasets != NULL && i < file->table.n; i++)
        file->datasets[i] = -1; /* whatever fails below, sweep_file_close looks at them all */
    if (file->datasets == NULL || file->n == NULL || file->blob_bytes == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    for (size_t i = 0; i < file->table.n; i++) {
        TRY(h5_dataset_open(file->file, file->path, &file->table.fields[i], &file->datasets[i], &file->n[i]));
        TRY(check_count(file, i, &failures_known, &maps_known));
    }
out:
    return rc;
}

enum status sweep_file_open(const char *path, struct sweep_file **file)
{
    enum status rc = STATUS_OK;
    struct sweep_file *made = calloc(1, sizeof(*made));

    if (made == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    made->file = -1;
    made->path = strdup(path);
    if (made->path == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    TRY(h5_file_open(path, &made->file));
    TRY(read_counts(made->file, path, &made->is_part, &made->counts));
    TRY(sweep_layout_read(made->file, path, &made->layout));
    TRY(field_table_make(&made->layout, made->is_part, &made->table));
    TRY(open_datasets(made));
    *file = made;
    made = NULL;
out:
    sweep_file_close(made);
    return rc;
}

void sweep_file_close(struct sweep_file *file)
{
    if (file == NULL)
        return;
    if (file->datasets != NULL)
        for (size_t i = 0; i < file->table.n; i++)
            if (file->datasets[i] >= 0)
                H5Dclose(file->datasets[i]);
    h5_file_close(file->file);
    free(file->datasets);
    free(file->n);
    free(file->blob_bytes);
    field_table_free(&file->table);
    sweep_layout_free(&file->layout);
    free(file->path);
    free(file);
}

size_t sweep_file_find(const struct sweep_file *file, enum field_what what, uint32_t index)
{
    const struct field *field = field_table_find(&file->table, what, index);

    return field == NULL ? file->table.n : (size_t)(field - file->table.fields);
}

enum status sweep_file_read(const struct sweep_file *file, enum field_what what, uint32_t index,
                            uint64_t start, uint64_t count, void *buffer)
{
    enum status rc = STATUS_OK;
    size_t i = sweep_file_find(file, what, index);

    if (i == file->table.n)
        FAIL(STATUS_INTERNAL, "%s: no such dataset (%d, %u)", file->path, (int)what, index);
    if (start > file->n[i] || count > file->n[i] - start)
        FAIL(STATUS_INPUT, "%s: %s ends early", file->path, file->table.fields[i].path);
    TRY(h5_slab_read(file->datasets[i], file->path, &file->table.fields[i], start, count, buffer));
out:
    return rc;
}
