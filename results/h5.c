#include "results/h5.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFLATE_RATIO_MAX 1040                /* zlib says at most 1032:1 */
#define CHUNK_BYTES_MAX ((uint64_t)256 << 20) /* of a repacked file: a chunk is read whole */

void h5_begin(void)
{
    (void)H5dont_atexit();
    (void)H5open();
}

void h5_quiet(void)
{
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

struct cause {
    char text[256]; /* of the innermost call */
    int error;      /* errno, where a description tells it */
};

/* H5Ewalk2 wants a void pointer here. */
static herr_t note_cause(unsigned n, const H5E_error2_t *error, void *data)
{
    struct cause *cause = data;
    const char *found = error->desc == NULL ? NULL : strstr(error->desc, "errno = ");

    if (n == 0 && error->desc != NULL)
        snprintf(cause->text, sizeof(cause->text), "%s", error->desc);
    if (found != NULL && cause->error == 0)
        cause->error = (int)strtol(found + strlen("errno = "), NULL, 10);
    return 0;
}

enum status h5_fault(enum status otherwise, const char *file, const char *what)
{
    struct cause cause = {.text = "HDF5 gave no cause", .error = 0};

    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, note_cause, &cause);
    if (cause.error != 0)
        log_error("%s: %s: %s", file, what, strerror(cause.error));
    else
        log_error("%s: %s: %s", file, what, cause.text);
    return status_is_place_errno(cause.error) ? STATUS_PLACE : otherwise;
}

bool h5_has(hid_t file, const char *path)
{
    char part[FIELD_PATH_SIZE + SWEEP_COLUMN_NAME_SIZE];
    H5L_info_t info;
    size_t size = strlen(path);

    if (strcmp(path, "/") == 0)
        return true;
    if (path[0] != '/' || size >= sizeof(part))
        return false;
    for (size_t i = 1; i <= size; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (H5Lexists(file, part, H5P_DEFAULT) <= 0 || H5Lget_info(file, part, &info, H5P_DEFAULT) < 0 ||
            info.type != H5L_TYPE_HARD)
            return false;
    }
    return true;
}

enum status h5_file_open(const char *path, hid_t *file)
{
    enum status rc = STATUS_OK;
    hid_t opened;
    struct stat st;

    h5_quiet();
    if (access(path, R_OK) != 0 || stat(path, &st) != 0)
        FAIL(status_is_place_errno(errno) ? STATUS_PLACE : STATUS_INPUT, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode)) /* a FIFO would keep us for ever */
        FAIL(STATUS_INPUT, "%s: not a regular file", path);
    opened = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    H5_TRY(opened, STATUS_INPUT, path, "not a whole HDF5 file");
    *file = opened;
out:
    return rc;
}

void h5_file_close(hid_t file)
{
    if (file >= 0)
        H5Fclose(file);
}

void h5_file_give_up(hid_t file)
{
    int *handle;

    if (file < 0)
        return;
    int nowhere = memfd_create("given up", MFD_CLOEXEC);
    if (nowhere >= 0 && H5Fget_vfd_handle(file, H5P_DEFAULT, (void **)&handle) >= 0)
        dup2(nowhere, *handle);
    if (nowhere >= 0)
        close(nowhere);
    h5_file_close(file);
}

static hid_t make_enum(enum field_type type)
{
    hid_t made = H5Tenum_create(H5T_STD_U8LE);
    uint8_t value;

    if (made < 0)
        return made;
    if (type == TYPE_STATUS) {
        for (value = 0; value < ITEM_STATUS_COUNT; value++)
            H5Tenum_insert(made, item_status_name((enum item_status)value), &value);
    } else {
        for (value = 0; value < SWEEP_VERDICT_COUNT; value++)
            H5Tenum_insert(made, sweep_verdict_name((enum sweep_verdict)value), &value);
    }
    return made;
}

/* IEEE binary16, made of binary32: HDF5 1.10 has no name for it. The order of calls matters: fields first,
 * since a type may not be made smaller than they reach. */
static hid_t make_half(void)
{
    hid_t made = H5Tcopy(H5T_IEEE_F32LE);

    if (made < 0 || H5Tset_fields(made, 15, 10, 5, 0, 10) < 0 || H5Tset_size(made, 2) < 0 ||
        H5Tset_ebias(made, 15) < 0) {
        if (made >= 0)
            H5Tclose(made);
        return -1;
    }
    return made;
}

static hid_t make_string(size_t size)
{
    hid_t made = H5Tcopy(H5T_C_S1);

    if (made < 0 || H5Tset_size(made, size) < 0 || H5Tset_strpad(made, H5T_STR_NULLPAD) < 0 ||
        H5Tset_cset(made, H5T_CSET_UTF8) < 0) {
        if (made >= 0)
            H5Tclose(made);
        return -1;
    }
    return made;
}

static hid_t make_type(const struct field *field)
{
    switch (field->type) {
    case TYPE_U8:
        return H5Tcopy(H5T_STD_U8LE);
    case TYPE_I32:
        return H5Tcopy(H5T_STD_I32LE);
    case TYPE_U64:
        return H5Tcopy(H5T_STD_U64LE);
    case TYPE_F32:
        return H5Tcopy(H5T_IEEE_F32LE);
    case TYPE_F16:
        return make_half();
    case TYPE_STRING:
        return make_string(field->string_size);
    case TYPE_STATUS:
    case TYPE_VERDICT:
        return make_enum(field->type);
    }
    return -1;
}

static hid_t make_space(const struct field *field, uint64_t count)
{
    hsize_t dims[3] = {count, field->inner[0], field->inner[1]};

    return H5Screate_simple(1 + (int)field->n_inner, dims, NULL);
}

/* The groups on the way to `path`. H5Pset_create_intermediate_group would give them times, and no two files
 * were alike. */
static enum status make_groups(hid_t file, const char *name, const char *path, hid_t links)
{
    enum status rc = STATUS_OK;
    char group[FIELD_PATH_SIZE];
    hid_t options = H5Pcreate(H5P_GROUP_CREATE);

    if (options < 0 || H5Pset_obj_track_times(options, false) < 0) {
        rc = h5_fault(STATUS_INTERNAL, name, path);
        goto out;
    }
    for (const char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        snprintf(group, sizeof(group), "%.*s", (int)(slash - path), path);
        if (H5Lexists(file, group, H5P_DEFAULT) > 0)
            continue;
        hid_t made = H5Gcreate2(file, group, links, options, H5P_DEFAULT);
        H5_TRY(made, STATUS_INTERNAL, name, group);
        H5Gclose(made);
    }
out:
    if (options >= 0)
        H5Pclose(options);
    return rc;
}

enum status h5_dataset_create(hid_t file, const char *name, const struct field *field, uint64_t count)
{
    enum status rc = STATUS_OK;
    hid_t type = make_type(field);
    hid_t space = make_space(field, count);
    hid_t links = H5Pcreate(H5P_LINK_CREATE);
    hid_t options = H5Pcreate(H5P_DATASET_CREATE);
    hid_t dataset = -1;

    if (type < 0 || space < 0 || links < 0 || options < 0 || H5Pset_char_encoding(links, H5T_CSET_UTF8) < 0 ||
        H5Pset_layout(options, H5D_CONTIGUOUS) < 0 || H5Pset_fill_time(options, H5D_FILL_TIME_NEVER) < 0 ||
        H5Pset_alloc_time(options, H5D_ALLOC_TIME_EARLY) < 0 || H5Pset_obj_track_times(options, false) < 0) {
        rc = h5_fault(STATUS_INTERNAL, name, field->path);
        goto out;
    }
    TRY(make_groups(file, name, field->path, links));
    dataset = H5Dcreate2(file, field->path, type, space, links, options, H5P_DEFAULT);
    H5_TRY(dataset, STATUS_INTERNAL, name, field->path);
    H5_TRY(H5Dclose(dataset), STATUS_INTERNAL, name, field->path);
out:
    H5Pclose(options);
    H5Pclose(links);
    H5Sclose(space);
    H5Tclose(type);
    return rc;
}

/* Does a file's type hold the field's bytes as they are? Enums may be plain uint8 (a tool rewrote them) and
 * strings padded otherwise. */
static bool type_fits(hid_t type, const struct field *field)
{
    H5T_class_t class = H5Tget_class(type);
    struct field plain = *field;
    hid_t wanted;
    bool fits;

    plain.n_inner = 0;
    if (H5Tget_size(type) != field_record_bytes(&plain))
        return false;
    switch (field->type) {
    case TYPE_STRING:
        return class == H5T_STRING && H5Tis_variable_str(type) == 0;
    case TYPE_STATUS:
    case TYPE_VERDICT:
        return class == H5T_ENUM || class == H5T_INTEGER;
    default:
        wanted = make_type(field);
        fits = wanted >= 0 && H5Tequal(type, wanted) > 0;
        H5Tclose(wanted);
        return fits;
    }
}

/* Is there about as much in the file as the shape says? A dataset whose room was never allocated is read as
 * fill values, so that a file of a kilobyte could have rows for years of reading. */
static bool room_is_fine(hid_t dataset, const struct field *field, H5D_layout_t layout, uint64_t count)
{
    uint64_t stored = H5Dget_storage_size(dataset);
    size_t record = field_record_bytes(field);

    if (count > UINT64_MAX / 2 / record)
        return false;
    if (layout == H5D_CHUNKED) /* compressed */
        return stored >= count * record / DEFLATE_RATIO_MAX;
    return stored == count * record;
}

/* Contiguous as written, or chunked in moderate chunks as h5repack leaves it; no bytes from other files. */
static bool storage_is_fine(hid_t dataset, const struct field *field, uint64_t count)
{
    hid_t options = H5Dget_create_plist(dataset);
    H5D_layout_t layout = options < 0 ? H5D_LAYOUT_ERROR : H5Pget_layout(options);
    hsize_t chunk[H5S_MAX_RANK];
    bool fine = layout == H5D_CONTIGUOUS || layout == H5D_COMPACT;

    if (layout == H5D_CHUNKED) {
        int rank = H5Pget_chunk(options, H5S_MAX_RANK, chunk);
        struct field plain = *field;
        plain.n_inner = 0;
        uint64_t bytes = field_record_bytes(&plain);
        fine = rank == 1 + (int)field->n_inner;
        for (int i = 0; fine && i < rank; i++) {
            fine = chunk[i] > 0 && chunk[i] <= CHUNK_BYTES_MAX && bytes * chunk[i] <= CHUNK_BYTES_MAX;
            bytes *= chunk[i];
        }
    }
    fine = fine && H5Pget_external_count(options) == 0 && room_is_fine(dataset, field, layout, count);
    if (options >= 0)
        H5Pclose(options);
    return fine;
}

enum status h5_dataset_open(hid_t file, const char *name, const struct field *field, hid_t *dataset,
                            uint64_t *count)
{
    enum status rc = STATUS_OK;
    hid_t opened = -1;
    hid_t type = -1;
    hid_t space = -1;
    hsize_t dims[H5S_MAX_RANK];

    if (!h5_has(file, field->path))
        FAIL(STATUS_INPUT, "%s: has no dataset %s: is this a file of eyesore, whole?", name, field->path);
    opened = H5Dopen2(file, field->path, H5P_DEFAULT);
    H5_TRY(opened, STATUS_INPUT, name, field->path);
    type = H5Dget_type(opened);
    space = H5Dget_space(opened);
    if (type < 0 || space < 0 || !type_fits(type, field))
        FAIL(STATUS_INPUT, "%s: %s is not of the type in results/schema.h", name, field->path);
    if (H5Sget_simple_extent_type(space) != H5S_SIMPLE ||
        H5Sget_simple_extent_ndims(space) != 1 + (int)field->n_inner ||
        H5Sget_simple_extent_dims(space, dims, NULL) < 0)
        FAIL(STATUS_INPUT, "%s: %s has not %u dimensions", name, field->path, 1 + field->n_inner);
    for (uint32_t i = 0; i < field->n_inner; i++)
        if (dims[1 + i] != field->inner[i])
            FAIL(STATUS_INPUT, "%s: %s: dimension %u is %llu, expected %u", name, field->path, 1 + i,
                 (unsigned long long)dims[1 + i], field->inner[i]);
    if (!storage_is_fine(opened, field, dims[0]))
        FAIL(STATUS_INPUT,
             "%s: %s is stored in a way that is not read (external, virtual, huge chunks, or less of it than "
             "its "
             "shape says)",
             name, field->path);
    *count = dims[0];
    *dataset = opened;
    opened = -1;
out:
    if (space >= 0)
        H5Sclose(space);
    if (type >= 0)
        H5Tclose(type);
    if (opened >= 0)
        H5Dclose(opened);
    return rc;
}

/* One of the two buffers is NULL and says which way the bytes go. */
static enum status move_slab(hid_t dataset, const char *name, const struct field *field,
                             const uint64_t range[2], void *in, const void *from)
{
    enum status rc = STATUS_OK;
    hsize_t start[3] = {range[0], 0, 0};
    hsize_t count[3] = {range[1], field->inner[0], field->inner[1]};
    hid_t memory = make_space(field, range[1]);
    hid_t space = H5Dget_space(dataset);
    hid_t type = H5Dget_type(dataset); /* the file's own: the bytes move as they are */

    if (range[1] > H5_SLAB_BYTES_MAX / field_record_bytes(field))
        FAIL(STATUS_INTERNAL, "%s: %s: a slab over 1 GiB", name, field->path);
    if (memory < 0 || space < 0 || type < 0 ||
        H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) < 0) {
        rc = h5_fault(STATUS_INTERNAL, name, field->path);
        goto out;
    }
    if (in != NULL)
        H5_TRY(H5Dread(dataset, type, memory, space, H5P_DEFAULT, in), STATUS_INPUT, name, field->path);
    else
        H5_TRY(H5Dwrite(dataset, type, memory, space, H5P_DEFAULT, from), STATUS_PLACE, name, field->path);
out:
    if (type >= 0)
        H5Tclose(type);
    if (space >= 0)
        H5Sclose(space);
    if (memory >= 0)
        H5Sclose(memory);
    return rc;
}

enum status h5_slab_read(hid_t dataset, const char *name, const struct field *field, uint64_t start,
                         uint64_t count, void *buffer)
{
    return count == 0 ? STATUS_OK
                      : move_slab(dataset, name, field, (const uint64_t[]){start, count}, buffer, NULL);
}

enum status h5_slab_write(hid_t dataset, const char *name, const struct field *field, uint64_t start,
                          uint64_t count, const void *buffer)
{
    return count == 0 ? STATUS_OK
                      : move_slab(dataset, name, field, (const uint64_t[]){start, count}, NULL, buffer);
}
