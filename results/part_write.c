/*
 * A part becomes a file. HDF5 builds it in memory (the core driver) and base/file writes it: a full disk is
 * then an errno of write(2), not a half-closed HDF5 file, and HDF5 is held for milliseconds.
 */
#include "base/file.h"
#include "results/attribute.h"
#include "results/checksum.h"
#include "results/half.h"
#include "results/part.h"
#include "results/superblock.h"

#include <stdlib.h>
#include <string.h>

#define IMAGE_STEP_BYTES ((size_t)1 << 20)
#define ROOT_ATTRIBUTES 16 /* kept in the root's header; more would go to a heap */

static uint64_t count_set(char *const *pointers, uint64_t n)
{
    uint64_t set = 0;

    for (uint64_t i = 0; i < n; i++)
        set += pointers[i] != NULL;
    return set;
}

static uint64_t count_maps(const struct part *part)
{
    uint64_t set = 0;

    for (uint64_t i = 0; i < part->n_rows; i++)
        set += part->maps[i] != NULL;
    return set;
}

static uint64_t blob_bytes(const struct part *part, uint32_t blob)
{
    uint64_t bytes = 0;

    for (uint64_t i = 0; i < part->n_rows; i++)
        bytes += part->blob[i * part->layout->n_blobs + blob].size;
    return bytes;
}

static uint64_t count_of(const struct part *part, const struct field *field)
{
    switch (field->axis) {
    case AXIS_ROW:
        return part->n_rows;
    case AXIS_OFFSET:
        return part->n_rows + 1;
    case AXIS_BLOB:
        return blob_bytes(part, field->index);
    case AXIS_FAILURE:
        return count_set(part->messages, part->n_rows);
    case AXIS_MAP:
        return count_maps(part);
    }
    return 0;
}

/* Arrays that stand in memory as they are written; NULL where they have to be packed. */
static const void *direct_source(const struct part *part, const struct field *field)
{
    switch (field->what) {
    case FIELD_ID:
        return part->id;
    case FIELD_STATUS:
        return part->status;
    case FIELD_VERDICT:
        return part->verdict;
    case FIELD_WIDTH:
        return part->width;
    case FIELD_HEIGHT:
        return part->height;
    case FIELD_ORIENTATION:
        return part->orientation;
    case FIELD_HASH:
        return part->hash;
    case FIELD_PROBED:
        return part->probed;
    case FIELD_COLUMN:
        return part->columns[field->index];
    case FIELD_SCORE:
        return part->scores + field->index * part->n_rows;
    default:
        return NULL;
    }
}

static void pack_offsets(const struct part *part, uint32_t blob, uint64_t *offsets)
{
    offsets[0] = 0;
    for (uint64_t i = 0; i < part->n_rows; i++)
        offsets[i + 1] = offsets[i] + part->blob[i * part->layout->n_blobs + blob].size;
}

static void pack_bytes(const struct part *part, uint32_t blob, char *bytes)
{
    for (uint64_t i = 0; i < part->n_rows; i++) {
        const struct part_text *text = &part->blob[i * part->layout->n_blobs + blob];
        if (text->size > 0)
            memcpy(bytes, text->bytes, text->size);
        bytes += text->size;
    }
}

static void pack_messages(const struct part *part, char *messages)
{
    for (uint64_t i = 0; i < part->n_rows; i++) {
        if (part->messages[i] == NULL)
            continue;
        memcpy(messages, part->messages[i], SWEEP_MESSAGE_WIDTH);
        messages += SWEEP_MESSAGE_WIDTH;
    }
}

/* The numbers of all rows, of those with a message or of those with heat maps. */
static void pack_rows(const struct part *part, enum field_what what, uint64_t *rows)
{
    for (uint64_t i = 0; i < part->n_rows; i++)
        if (what == FIELD_ROW || (what == FIELD_FAILURE_ROW && part->messages[i] != NULL) ||
            (what == FIELD_MAP_ROW && part->maps[i] != NULL))
            *rows++ = part->first_row + i;
}

static void pack_maps(const struct part *part, uint32_t stage, uint16_t *maps)
{
    const struct sweep_stage *stages = part->layout->stages;
    size_t cells = (size_t)stages[stage].map_height * stages[stage].map_width;
    size_t before = 0;

    for (uint32_t i = 0; i < stage; i++)
        before += (size_t)stages[i].map_height * stages[i].map_width;
    for (uint64_t i = 0; i < part->n_rows; i++) {
        if (part->maps[i] == NULL)
            continue;
        memcpy(maps, part->maps[i] + before, cells * sizeof(*maps));
        maps += cells;
    }
}

static void pack(const struct part *part, const struct field *field, void *packed)
{
    switch (field->what) {
    case FIELD_BLOB_OFFSET:
        pack_offsets(part, field->index, packed);
        break;
    case FIELD_BLOB_BYTES:
        pack_bytes(part, field->index, packed);
        break;
    case FIELD_FAILURE_MESSAGE:
        pack_messages(part, packed);
        break;
    case FIELD_MAP:
        pack_maps(part, field->index, packed);
        break;
    default:
        pack_rows(part, field->what, packed);
        break;
    }
}

static enum status write_field(hid_t file, const char *name, const struct part *part,
                               const struct field *field)
{
    enum status rc = STATUS_OK;
    uint64_t count = count_of(part, field);
    uint64_t made;
    const void *source = direct_source(part, field);
    void *packed = NULL;
    hid_t dataset = -1;

    if (source == NULL) {
        packed = calloc(count == 0 ? 1 : count, field_record_bytes(field));
        if (packed == NULL)
            FAIL(STATUS_MEMORY, "no memory to write %s", name);
        pack(part, field, packed);
        source = packed;
    }
    TRY(h5_dataset_create(file, name, field, count));
    TRY(h5_dataset_open(file, name, field, &dataset, &made));
    TRY(h5_slab_write(dataset, name, field, 0, count, source));
    TRY(checksum_put(dataset, name, field->path,
                     checksum_bytes(source, (size_t)count * field_record_bytes(field))));
out:
    if (dataset >= 0)
        H5Dclose(dataset);
    free(packed);
    return rc;
}

static enum status write_attributes(hid_t file, const char *name, const struct part *part,
                                    const char *run_fingerprint)
{
    enum status rc = STATUS_OK;
    uint64_t by_status[ITEM_STATUS_COUNT] = {0};
    uint64_t by_verdict[SWEEP_VERDICT_COUNT] = {0};

    for (uint64_t i = 0; i < part->n_rows; i++) {
        if (part->status[i] == PART_NOT_DONE)
            FAIL(STATUS_INTERNAL, "%s: row %llu was not done", name,
                 (unsigned long long)(part->first_row + i));
        by_status[part->status[i]]++;
        by_verdict[part->verdict[i]]++;
    }
    TRY(h5_put_string(file, name, "/", "format", PART_FORMAT));
    TRY(h5_put_u64(file, name, "/", "format_version", SWEEP_FORMAT_VERSION));
    TRY(h5_put_string(file, name, "/", "program_version", EYESORE_VERSION));
    TRY(h5_put_string(file, name, "/", "run_fingerprint", run_fingerprint));
    TRY(h5_put_u64(file, name, "/", "shard", part->shard));
    TRY(h5_put_u64(file, name, "/", "first_row", part->first_row));
    TRY(h5_put_u64(file, name, "/", "n_rows", part->n_rows));
    TRY(h5_put_u64s(file, name, "/", "counts_by_status", by_status, ITEM_STATUS_COUNT));
    TRY(h5_put_u64s(file, name, "/", "counts_by_verdict", by_verdict, SWEEP_VERDICT_COUNT));
    TRY(sweep_layout_write(file, name, part->layout));
    TRY(checksum_seal_root(file, name));
out:
    return rc;
}

/*
 * An HDF5 file in memory, of the format of HDF5 1.8: its metadata have checksums, and HDF5 (1.10.8) crashes
 * on damaged metadata that have none.
 */
static enum status make_file(const char *path, hid_t *file)
{
    enum status rc = STATUS_OK;
    hid_t options = H5Pcreate(H5P_FILE_ACCESS);
    hid_t root = H5Pcreate(H5P_FILE_CREATE);

    if (options < 0 || root < 0 || H5Pset_fapl_core(options, IMAGE_STEP_BYTES, false) < 0 ||
        H5Pset_libver_bounds(options, H5F_LIBVER_V18, H5F_LIBVER_V18) < 0 ||
        H5Pset_attr_phase_change(root, ROOT_ATTRIBUTES, 0) < 0 || H5Pset_obj_track_times(root, false) < 0) {
        rc = h5_fault(STATUS_INTERNAL, path, "HDF5 options");
        goto out;
    }
    *file = H5Fcreate(path, H5F_ACC_TRUNC, root, options); /* the path is a name only */
    H5_TRY(*file, STATUS_INTERNAL, path, "HDF5 file in memory");
out:
    if (root >= 0)
        H5Pclose(root);
    if (options >= 0)
        H5Pclose(options);
    return rc;
}

static enum status take_image(hid_t file, const char *name, char **image, size_t *size)
{
    enum status rc = STATUS_OK;
    char *bytes = NULL;
    ssize_t n;

    H5_TRY(H5Fflush(file, H5F_SCOPE_GLOBAL), STATUS_INTERNAL, name, "flush");
    n = H5Fget_file_image(file, NULL, 0);
    H5_TRY(n, STATUS_INTERNAL, name, "image");
    bytes = malloc((size_t)n);
    if (bytes == NULL)
        FAIL(STATUS_MEMORY, "no memory to write %s", name);
    H5_TRY(H5Fget_file_image(file, bytes, (size_t)n), STATUS_INTERNAL, name, "image");
    TRY(superblock_repair(bytes, (size_t)n));
    *image = bytes;
    *size = (size_t)n;
    bytes = NULL;
out:
    free(bytes);
    return rc;
}

/* file_write_new, but a part that is there already is no fault. */
static enum status put_in_place(const char *path, const char *image, size_t size, bool *existed)
{
    bool made = false;
    enum status rc = file_write_new(path, image, size, &made);

    *existed = !made;
    return rc;
}

enum status part_write(const struct part *part, const char *path, const char *run_fingerprint, bool *existed)
{
    enum status rc = STATUS_OK;
    struct field_table table = {0};
    hid_t file = -1;
    char *image = NULL;
    size_t size = 0;

    h5_quiet();
    TRY(field_table_make(part->layout, true, &table));
    TRY(make_file(path, &file));
    for (size_t i = 0; i < table.n; i++)
        TRY(write_field(file, path, part, &table.fields[i]));
    TRY(write_attributes(file, path, part, run_fingerprint));
    TRY(take_image(file, path, &image, &size));
    h5_file_close(file);
    file = -1;
    TRY(put_in_place(path, image, size, existed));
out:
    free(image);
    h5_file_close(file);
    field_table_free(&table);
    return rc;
}
