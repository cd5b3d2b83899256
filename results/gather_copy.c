/* The bytes of a gather: opening parts, making the file, copying, recounting. */
#include "results/gather_internal.h"
#include "results/part_check.h"

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
    struct stat st;

    if (lstat(planned->path, &st) != 0 && errno == ENOENT) /* a link to nowhere is a bad part, not none */
        FAIL(STATUS_UNRECONCILED,
             "%s: the part of shard %" PRIu64 " is missing: run scan again, it does what is missing",
             planned->path, planned->shard);
    rc = sweep_file_open(planned->path, &opened);
    if (rc == STATUS_INPUT)
        FAIL(STATUS_INPUT, "%s: the part of shard %" PRIu64 " is damaged", planned->path, planned->shard);
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

/* Where a part's dataset goes; table.n for /items/row, which a sweep has not. */
static size_t gather_find(const struct gather *gather, const struct field *field)
{
    const struct field *found = field_table_find(&gather->table, field->what, field->index);

    return found == NULL ? gather->table.n : (size_t)(found - gather->table.fields);
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
    hid_t closing = dataset; /* what HDF5 keeps back of a small write goes out only now */
    dataset = -1;
    H5_TRY(H5Dclose(closing), STATUS_PLACE, gather->temp, field->path);
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

/* Where the dataset's bytes begin in the file. One without entries has none, and nothing is written to it. */
static enum status find_offset(const struct gather *gather, hid_t file, size_t i, uint64_t *offset)
{
    enum status rc = STATUS_OK;
    const struct field *field = &gather->table.fields[i];
    uint64_t count;
    hid_t dataset = -1;

    TRY(h5_dataset_open(file, gather->temp, field, &dataset, &count));
    haddr_t address = H5Dget_offset(dataset);
    if (address == HADDR_UNDEF && count > 0) {
        rc = h5_fault(STATUS_INTERNAL, gather->temp, field->path);
        goto out;
    }
    *offset = address == HADDR_UNDEF ? 0 : address;
out:
    if (dataset >= 0)
        H5Dclose(dataset);
    return rc;
}

enum status gather_create(struct gather *gather)
{
    enum status rc = STATUS_OK;
    hid_t options = H5Pcreate(H5P_FILE_ACCESS);
    hid_t file = -1;

    if (options < 0 || H5Pset_libver_bounds(options, H5F_LIBVER_V18, H5F_LIBVER_LATEST) < 0) {
        rc = h5_fault(STATUS_INTERNAL, gather->temp, "HDF5 options");
        goto out;
    }
    file = H5Fcreate(gather->temp, H5F_ACC_TRUNC, /* the one that rank 0 made */
                     H5P_DEFAULT, options);
    H5_TRY(file, STATUS_INPUT, gather->temp, "cannot create");
    for (size_t i = 0; i < gather->table.n; i++) {
        const struct field *field = &gather->table.fields[i];
        TRY(h5_dataset_create(file, gather->temp, field, total_of(gather, field)));
        if (field->axis == AXIS_OFFSET)
            TRY(write_last_offset(gather, file, field));
        TRY(find_offset(gather, file, i, &gather->offsets[i]));
    }
    TRY(write_attributes(gather, file));
    H5_TRY(H5Fflush(file, H5F_SCOPE_GLOBAL), STATUS_PLACE, gather->temp, "cannot write");
    hid_t closing = file; /* HDF5 does not survive a second try */
    file = -1;
    H5_TRY(H5Fclose(closing), STATUS_PLACE, gather->temp, "cannot close");
    TRY(ask_for_room(gather->temp));
out:
    h5_file_give_up(file);
    if (options >= 0)
        H5Pclose(options);
    return rc;
}

/* Where one field of one part goes. */
struct copy {
    const struct sweep_file *part;
    const struct field *field;
    uint64_t base;  /* first entry in the sweep */
    uint64_t count; /* entries that are copied */
    uint64_t shift; /* AXIS_OFFSET: where the part's bytes start in the sweep */
};

static struct copy place_field(const struct sweep_file *part, const struct field *field, const uint64_t *sums)
{
    struct copy copy = {.part = part, .field = field};

    switch (field->axis) {
    case AXIS_OFFSET: /* without the last, which is the next part's first */
        copy.shift = sums[SUM_BLOBS + field->index];
        copy.base = sums[SUM_ROWS];
        copy.count = part->counts.n_rows;
        break;
    case AXIS_ROW:
        copy.base = sums[SUM_ROWS];
        copy.count = part->counts.n_rows;
        break;
    case AXIS_BLOB:
        copy.base = sums[SUM_BLOBS + field->index];
        copy.count = part->blob_bytes[field->index];
        break;
    case AXIS_FAILURE:
        copy.base = sums[SUM_FAILURES];
        copy.count = part->n_failures;
        break;
    case AXIS_MAP:
        copy.base = sums[SUM_MAPS];
        copy.count = part->n_maps;
        break;
    }
    return copy;
}

static void shift_offsets(const struct copy *copy, char *slab, uint64_t n)
{
    uint64_t *offsets = (uint64_t *)(void *)slab;

    for (uint64_t i = 0; copy->field->axis == AXIS_OFFSET && i < n; i++)
        offsets[i] += copy->shift;
}

static enum status write_slab(const struct gather *gather, uint64_t offset, const char *bytes, size_t size)
{
    enum status rc = STATUS_OK;

    for (size_t done = 0; done < size;) {
        ssize_t n = pwrite(gather->fd, bytes + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            FAIL(STATUS_PLACE, "%s: cannot write: %s: mend it and run again, the parts are kept",
                 gather->temp, n == 0 ? "nothing is taken" : strerror(errno));
        done += (size_t)n;
    }
out:
    return rc;
}

/* Check every entry of the part and copy those that are copied. IN offset: of the dataset in the file. */
static enum status copy_field(const struct gather *gather, const struct copy *copy, uint64_t offset,
                              char *slab)
{
    enum status rc = STATUS_OK;
    struct part_check check = {0};
    const struct field *field = copy->field;
    uint64_t entries = copy->count + (field->axis == AXIS_OFFSET);
    uint64_t step = COPY_BYTES / field_record_bytes(field);

    TRY(part_check_begin(copy->part, field, &check));
    for (uint64_t done = 0, n; done < entries; done += n) {
        n = entries - done < step ? entries - done : step;
        TRY(sweep_file_read(copy->part, field->what, field->index, done, n, slab));
        TRY(part_check_slab(&check, slab, n));
        uint64_t left = copy->count - done; /* at least n - 1 */
        shift_offsets(copy, slab, n);
        size_t record = field_record_bytes(field);
        TRY(write_slab(gather, offset + (copy->base + done) * record, slab,
                       (size_t)(n < left ? n : left) * record));
    }
    TRY(part_check_end(&check));
out:
    part_check_free(&check);
    return rc;
}

/* One part, opened. write: else it is checked alone. */
static enum status copy_part(const struct gather *gather, const struct sweep_file *part, bool write,
                             char *slab)
{
    enum status rc = STATUS_OK;

    for (size_t i = 0; i < part->table.n; i++) {
        const struct field *field = &part->table.fields[i];
        size_t to = gather_find(gather, field);
        if (!write || to == gather->table.n) {
            TRY(part_check_field(part, field, slab, COPY_BYTES));
            continue;
        }
        struct copy copy = place_field(part, field, gather->at);
        TRY(copy_field(gather, &copy, gather->offsets[to], slab));
    }
out:
    return rc;
}

static bool is_noted(const struct gather *gather, size_t part)
{
    for (size_t i = 0; i < gather->bad.n; i++)
        if (gather->bad.list[i].part == part)
            return true;
    return false;
}

enum status gather_copy(struct gather *gather, bool write)
{
    enum status rc = STATUS_OK;
    struct sweep_file *part = NULL;
    char *slab = malloc(COPY_BYTES);

    if (slab == NULL)
        FAIL(STATUS_MEMORY, "no memory for %zu bytes", COPY_BYTES);
    memcpy(gather->at, gather->before, gather->n_sums * sizeof(*gather->at));
    for (size_t i = gather->first_part; i < gather->first_part + gather->n_parts; i++) {
        if (is_noted(gather, i))
            continue;
        enum status own = gather_open_part(gather, i, &part);
        if (own == STATUS_OK)
            own = copy_part(gather, part, write, slab);
        if (own == STATUS_OK)
            gather_add_part(part, gather->at);
        sweep_file_close(part);
        part = NULL;
        own = gather_note(gather, i, own);
        write = write && own == STATUS_OK; /* with a bad part there is no sweep: the rest is checked alone */
        rc = own > rc ? own : rc;
        if (own != STATUS_OK && own != STATUS_RESUME)
            goto out;
    }
    for (size_t i = 0; write && i < gather->n_sums; i++)
        if (gather->at[i] != gather->before[i] + gather->own[i])
            FAIL(STATUS_UNRECONCILED,
                 "the parts changed while they were gathered: run the same command again");
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
