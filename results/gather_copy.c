/* The bytes of a gather: opening parts, making the file, copying, recounting. */
#include "results/gather_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_BYTES ((size_t)32 << 20) /* held at a time; well under H5_SLAB_BYTES_MAX */

void gather_add_part(const struct sweep_file *part, uint64_t *sums)
{
    sums[SUM_ROWS] += part->counts.n_rows;
    sums[SUM_FAILURES] += part->n_failures;
    sums[SUM_MAPS] += part->n_maps;
    for (uint32_t i = 0; i < ITEM_STATUS_COUNT; i++)
        sums[SUM_STATUS + i] += part->counts.by_status[i];
    for (uint32_t i = 0; i < SWEEP_VERDICT_COUNT; i++)
        sums[SUM_VERDICT + i] += part->counts.by_verdict[i];
    for (uint32_t i = 0; i < part->layout.n_blobs; i++)
        sums[SUM_BLOBS + i] += part->blob_bytes[i];
}

enum status gather_open_part(const struct gather *gather, size_t i, struct sweep_file **part)
{
    enum status rc = STATUS_OK;
    const struct gather_part *planned = &gather->plan->parts[i];
    struct sweep_file *opened = NULL;
    char difference[256];

    if (access(planned->path, F_OK) != 0 && errno == ENOENT)
        FAIL(STATUS_UNRECONCILED,
             "%s: the part of shard %" PRIu64 " is missing: run scan again, it does what is missing",
             planned->path, planned->shard);
    rc = sweep_file_open(planned->path, &opened);
    if (rc == STATUS_INPUT)
        FAIL(STATUS_INPUT,
             "%s: the part of shard %" PRIu64 " is damaged: remove it and run scan again, it does this shard",
             planned->path, planned->shard);
    TRY(rc);
    if (strcmp(opened->counts.run_fingerprint, gather->plan->run_fingerprint) != 0)
        FAIL(STATUS_MISMATCH, "%s: belongs to another run (its fingerprint is %.12s..., this run's %.12s...)",
             planned->path, opened->counts.run_fingerprint, gather->plan->run_fingerprint);
    if (!opened->is_part || opened->counts.shard != planned->shard ||
        opened->counts.first_row != planned->first_row || opened->counts.n_rows != planned->n_rows)
        FAIL(STATUS_MISMATCH,
             "%s: is shard %" PRIu64 " with %" PRIu64 " rows from %" PRIu64 ", planned is shard %" PRIu64
             " with %" PRIu64 " from %" PRIu64,
             planned->path, opened->counts.shard, opened->counts.n_rows, opened->counts.first_row,
             planned->shard, planned->n_rows, planned->first_row);
    if (sweep_layout_difference(gather->plan->layout, &opened->layout, difference, sizeof(difference)))
        FAIL(STATUS_MISMATCH, "%s: is laid out for another run: %s", planned->path, difference);
    *part = opened;
    opened = NULL;
out:
    sweep_file_close(opened);
    return rc;
}

static uint64_t total_of(const struct gather *gather, const struct field *field)
{
    switch (field->axis) {
    case AXIS_ROW:
        return gather->total[SUM_ROWS];
    case AXIS_OFFSET:
        return gather->total[SUM_ROWS] + 1;
    case AXIS_BLOB:
        return gather->total[SUM_BLOBS + field->index];
    case AXIS_FAILURE:
        return gather->total[SUM_FAILURES];
    case AXIS_MAP:
        return gather->total[SUM_MAPS];
    }
    return 0;
}

static enum status write_attributes(const struct gather *gather, hid_t file)
{
    enum status rc = STATUS_OK;
    const char *name = gather->temp;
    const uint64_t *total = gather->total;

    TRY(h5_put_string(file, name, "/run", "note", "differs from run to run; the rest of the file does not"));
    TRY(h5_put_string(file, name, "/", "format", SWEEP_FORMAT));
    TRY(h5_put_u64(file, name, "/", "format_version", SWEEP_FORMAT_VERSION));
    TRY(h5_put_string(file, name, "/", "program_version", EYESORE_VERSION));
    TRY(h5_put_string(file, name, "/", "run_fingerprint", gather->plan->run_fingerprint));
    TRY(h5_put_u64(file, name, "/", "n_rows", total[SUM_ROWS]));
    TRY(h5_put_u64s(file, name, "/", "counts_by_status", total + SUM_STATUS, ITEM_STATUS_COUNT));
    TRY(h5_put_u64s(file, name, "/", "counts_by_verdict", total + SUM_VERDICT, SWEEP_VERDICT_COUNT));
    TRY(sweep_layout_write(file, name, gather->plan->layout));
    TRY(sweep_attributes_write(file, name, &gather->plan->attributes));
out:
    return rc;
}

/* The last offset of each blob belongs to no row; it is written here. */
static enum status write_last_offset(const struct gather *gather, hid_t file, const struct field *field)
{
    enum status rc = STATUS_OK;
    uint64_t last = gather->total[SUM_BLOBS + field->index];
    uint64_t count;
    hid_t dataset = -1;

    TRY(h5_dataset_open(file, gather->temp, field, &dataset, &count));
    TRY(h5_slab_write(dataset, gather->temp, field, count - 1, 1, &last));
out:
    if (dataset >= 0)
        H5Dclose(dataset);
    return rc;
}

/* A sparse file would meet the full disk in the middle of a parallel write. */
static enum status ask_for_room(const char *path)
{
    enum status rc = STATUS_OK;
    struct stat st;
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &st) != 0)
        FAIL(STATUS_PLACE, "%s: %s", path, strerror(errno));
    if (st.st_size > 0 && fallocate(fd, 0, 0, st.st_size) != 0 && errno != EOPNOTSUPP && errno != ENOSYS &&
        errno != EINTR)
        FAIL(STATUS_PLACE, "%s: %s: needs %.3f GB: make room and run again, the parts are kept", path,
             strerror(errno), (double)st.st_size / 1e9);
out:
    if (fd >= 0)
        close(fd);
    return rc;
}

enum status gather_create(const struct gather *gather)
{
    enum status rc = STATUS_OK;
    hid_t options = H5Pcreate(H5P_FILE_ACCESS);
    hid_t file = -1;

    if (options < 0 || H5Pset_libver_bounds(options, H5F_LIBVER_V18, H5F_LIBVER_LATEST) < 0) {
        rc = h5_fault(STATUS_INTERNAL, gather->temp, "HDF5 options");
        goto out;
    }
    file = H5Fcreate(gather->temp, H5F_ACC_EXCL, H5P_DEFAULT, options);
    H5_TRY(file, STATUS_INPUT, gather->temp, "cannot create");
    for (size_t i = 0; i < gather->table.n; i++) {
        const struct field *field = &gather->table.fields[i];
        TRY(h5_dataset_create(file, gather->temp, field, total_of(gather, field)));
        if (field->axis == AXIS_OFFSET)
            TRY(write_last_offset(gather, file, field));
    }
    TRY(write_attributes(gather, file));
    H5_TRY(H5Fclose(file), STATUS_PLACE, gather->temp, "cannot close");
    file = -1;
    TRY(ask_for_room(gather->temp));
out:
    h5_file_close(file);
    if (options >= 0)
        H5Pclose(options);
    return rc;
}

/* Where one field of one part is being copied. */
struct copy {
    const struct sweep_file *part;
    const struct field *field;
    uint64_t base;     /* first entry in the sweep */
    uint64_t count;    /* entries of this part */
    uint64_t blob;     /* AXIS_OFFSET: where the part's bytes start in the sweep */
    uint64_t previous; /* last value seen of offsets or row numbers */
    bool started;
};

static enum status shift_offsets(struct copy *copy, uint64_t *offsets, uint64_t n)
{
    enum status rc = STATUS_OK;
    uint64_t most = copy->part->blob_bytes[copy->field->index];

    for (uint64_t i = 0; i < n; i++) {
        if (offsets[i] < copy->previous || offsets[i] > most || (!copy->started && offsets[i] != 0))
            FAIL(STATUS_INPUT, "%s: %s is damaged (%" PRIu64 " after %" PRIu64 " of %" PRIu64 ")",
                 copy->part->path, copy->field->path, offsets[i], copy->previous, most);
        copy->started = true;
        copy->previous = offsets[i];
        offsets[i] += copy->blob;
    }
out:
    return rc;
}

/* Row numbers ascend and are of this part; with `all`, they are all of it. */
static enum status check_row_numbers(struct copy *copy, const uint64_t *rows, uint64_t n, bool all)
{
    enum status rc = STATUS_OK;
    uint64_t first = copy->part->counts.first_row;
    uint64_t end = first + copy->part->counts.n_rows;

    for (uint64_t i = 0; i < n; i++) {
        uint64_t next = copy->started ? copy->previous + 1 : first;
        if (rows[i] < next || rows[i] >= end || (all && rows[i] != next))
            FAIL(STATUS_INPUT, "%s: %s is damaged (row %" PRIu64 " where %" PRIu64 " or more was expected)",
                 copy->part->path, copy->field->path, rows[i], next);
        copy->started = true;
        copy->previous = rows[i];
    }
out:
    return rc;
}

static enum status check_enum(const struct copy *copy, const uint8_t *values, uint64_t n, unsigned most)
{
    enum status rc = STATUS_OK;

    for (uint64_t i = 0; i < n; i++)
        if (values[i] >= most)
            FAIL(STATUS_INPUT, "%s: %s is damaged (value %u)", copy->part->path, copy->field->path,
                 values[i]);
out:
    return rc;
}

/* Check a slab, and turn the part's offsets into the sweep's. */
static enum status convert(struct copy *copy, char *slab, uint64_t n)
{
    switch (copy->field->what) {
    case FIELD_BLOB_OFFSET:
        return shift_offsets(copy, (uint64_t *)(void *)slab, n);
    case FIELD_FAILURE_ROW:
    case FIELD_MAP_ROW:
        return check_row_numbers(copy, (const uint64_t *)(const void *)slab, n, false);
    case FIELD_ROW:
        return check_row_numbers(copy, (const uint64_t *)(const void *)slab, n, true);
    case FIELD_STATUS:
        return check_enum(copy, (const uint8_t *)slab, n, ITEM_STATUS_COUNT);
    case FIELD_VERDICT:
        return check_enum(copy, (const uint8_t *)slab, n, SWEEP_VERDICT_COUNT);
    default:
        return STATUS_OK;
    }
}

/* dataset: where to, or negative to check alone. */
static enum status copy_field(struct copy *copy, hid_t dataset, const char *name, char *slab)
{
    enum status rc = STATUS_OK;
    const struct field *field = copy->field;
    uint64_t step = COPY_BYTES / field_record_bytes(field);

    for (uint64_t done = 0; done < copy->count;) {
        uint64_t n = copy->count - done < step ? copy->count - done : step;
        TRY(sweep_file_read(copy->part, field->what, field->index, done, n, slab));
        TRY(convert(copy, slab, n));
        if (dataset >= 0)
            TRY(h5_slab_write(dataset, name, field, copy->base + done, n, slab));
        done += n;
    }
out:
    return rc;
}

static void place_field(const struct sweep_file *part, const struct field *field, const uint64_t *sums,
                        struct copy *copy)
{
    memset(copy, 0, sizeof(*copy));
    copy->part = part;
    copy->field = field;
    switch (field->axis) {
    case AXIS_OFFSET:
        copy->blob = sums[SUM_BLOBS + field->index];
        copy->base = sums[SUM_ROWS];
        copy->count = part->counts.n_rows;
        break;
    case AXIS_ROW:
        copy->base = sums[SUM_ROWS];
        copy->count = part->counts.n_rows;
        break;
    case AXIS_BLOB:
        copy->base = sums[SUM_BLOBS + field->index];
        copy->count = part->blob_bytes[field->index];
        break;
    case AXIS_FAILURE:
        copy->base = sums[SUM_FAILURES];
        copy->count = part->n_failures;
        break;
    case AXIS_MAP:
        copy->base = sums[SUM_MAPS];
        copy->count = part->n_maps;
        break;
    }
}

/* A part's last offset is its blob's size: it is not copied, but must be right. */
static enum status check_last_offsets(const struct sweep_file *part)
{
    enum status rc = STATUS_OK;
    uint64_t last;

    for (uint32_t i = 0; i < part->layout.n_blobs; i++) {
        TRY(sweep_file_read(part, FIELD_BLOB_OFFSET, i, part->counts.n_rows, 1, &last));
        if (last != part->blob_bytes[i])
            FAIL(STATUS_INPUT, "%s: blob %u ends at %" PRIu64 " and has %" PRIu64 " bytes: damaged",
                 part->path, i, last, part->blob_bytes[i]);
    }
out:
    return rc;
}

enum status gather_copy(struct gather *gather)
{
    enum status rc = STATUS_OK;
    struct sweep_file *part = NULL;
    struct copy copy;
    uint64_t *sums = gather->before; /* moves on with every part */
    char *slab = malloc(COPY_BYTES);

    if (slab == NULL)
        FAIL(STATUS_MEMORY, "no memory for %zu bytes", COPY_BYTES);
    for (size_t i = gather->first_part; i < gather->first_part + gather->n_parts; i++) {
        TRY(gather_open_part(gather, i, &part));
        TRY(check_last_offsets(part));
        place_field(part, field_table_find(&part->table, FIELD_ROW, 0), sums, &copy);
        TRY(copy_field(&copy, -1, gather->temp, slab));
        for (size_t j = 0; j < gather->table.n; j++) {
            place_field(part, &gather->table.fields[j], sums, &copy);
            TRY(copy_field(&copy, gather->datasets[j], gather->temp, slab));
        }
        gather_add_part(part, sums);
        sweep_file_close(part);
        part = NULL;
    }
out:
    sweep_file_close(part);
    free(slab);
    return rc;
}

enum status gather_recount(const struct gather *gather, uint64_t *counts)
{
    enum status rc = STATUS_OK;
    struct sweep_file *file = NULL;
    uint8_t values[65536];
    /* Not the rows this rank wrote: the next one's, so that no cache of its own answers. */
    uint64_t n_rows = gather->total[SUM_ROWS];
    uint64_t turn = ((uint64_t)gather->rank + 1) % (uint64_t)gather->n_ranks;
    uint64_t start = n_rows / (uint64_t)gather->n_ranks * turn;
    uint64_t end =
        turn + 1 == (uint64_t)gather->n_ranks ? n_rows : start + n_rows / (uint64_t)gather->n_ranks;

    TRY(sweep_file_open(gather->temp, &file));
    while (start < end) {
        uint64_t n = end - start < sizeof(values) ? end - start : sizeof(values);
        TRY(sweep_file_read(file, FIELD_STATUS, 0, start, n, values));
        for (uint64_t i = 0; i < n; i++)
            if (values[i] < ITEM_STATUS_COUNT) /* else it is missing from the sum, and told so */
                counts[SUM_STATUS + values[i]]++;
        TRY(sweep_file_read(file, FIELD_VERDICT, 0, start, n, values));
        for (uint64_t i = 0; i < n; i++)
            if (values[i] < SWEEP_VERDICT_COUNT)
                counts[SUM_VERDICT + values[i]]++;
        start += n;
    }
out:
    sweep_file_close(file);
    return rc;
}
