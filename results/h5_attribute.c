/* The attributes of results/h5.h. */
#include "results/h5.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STRING_BYTES_MAX 65536 /* that we read */
#define NUMBER_BYTES_MAX 16    /* HDF5 has integers of any size */

static enum status open_object(hid_t file, const char *name, const char *path, bool make, hid_t *object)
{
    enum status rc = STATUS_OK;
    hid_t links = -1;

    if (make && !h5_has(file, path)) {
        links = H5Pcreate(H5P_LINK_CREATE);
        if (links < 0 || H5Pset_create_intermediate_group(links, 1) < 0 ||
            H5Pset_char_encoding(links, H5T_CSET_UTF8) < 0) {
            rc = h5_fault(STATUS_INTERNAL, name, path);
            goto out;
        }
        *object = H5Gcreate2(file, path, links, H5P_DEFAULT, H5P_DEFAULT);
        H5_TRY(*object, STATUS_INTERNAL, name, path);
        goto out;
    }
    if (!h5_has(file, path))
        FAIL(STATUS_INPUT, "%s: has no %s: is this a file of eyesore, whole?", name, path);
    *object = H5Oopen(file, path, H5P_DEFAULT);
    H5_TRY(*object, STATUS_INPUT, name, path);
out:
    if (links >= 0)
        H5Pclose(links);
    return rc;
}

static enum status put(hid_t file, const char *name, const char *path, const char *key, hid_t type, size_t n,
                       const void *values)
{
    enum status rc = STATUS_OK;
    hsize_t dims[1] = {n};
    hid_t object = -1;
    hid_t attribute = -1;
    hid_t space = n == 1 ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, dims, NULL);

    TRY(open_object(file, name, path, true, &object));
    if (H5Aexists(object, key) > 0)
        H5_TRY(H5Adelete(object, key), STATUS_INTERNAL, name, key);
    attribute = H5Acreate2(object, key, type, space, H5P_DEFAULT, H5P_DEFAULT);
    H5_TRY(attribute, STATUS_INTERNAL, name, key);
    H5_TRY(H5Awrite(attribute, type, values), STATUS_INTERNAL, name, key);
out:
    if (attribute >= 0)
        H5Aclose(attribute);
    if (object >= 0)
        H5Oclose(object);
    if (space >= 0)
        H5Sclose(space);
    return rc;
}

/* Fixed-length: variable-length text goes through HDF5's global heap, whose reader (1.10.8) crashes on
 * damaged files. */
enum status h5_put_string(hid_t file, const char *name, const char *path, const char *key, const char *value)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    enum status rc = STATUS_OK;

    if (type < 0 || H5Tset_size(type, strlen(value) + 1) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0)
        rc = h5_fault(STATUS_INTERNAL, name, key);
    else
        rc = put(file, name, path, key, type, 1, value);
    if (type >= 0)
        H5Tclose(type);
    return rc;
}

enum status h5_put_u64s(hid_t file, const char *name, const char *path, const char *key,
                        const uint64_t *values, size_t n)
{
    return put(file, name, path, key, H5T_STD_U64LE, n, values);
}

enum status h5_put_u64(hid_t file, const char *name, const char *path, const char *key, uint64_t value)
{
    return put(file, name, path, key, H5T_STD_U64LE, 1, &value);
}

enum status h5_put_u8(hid_t file, const char *name, const char *path, const char *key, uint8_t value)
{
    return put(file, name, path, key, H5T_STD_U8LE, 1, &value);
}

enum status h5_put_f32(hid_t file, const char *name, const char *path, const char *key, float value)
{
    return put(file, name, path, key, H5T_IEEE_F32LE, 1, &value);
}

enum status h5_put_f64(hid_t file, const char *name, const char *path, const char *key, double value)
{
    return put(file, name, path, key, H5T_IEEE_F64LE, 1, &value);
}

bool h5_has_attribute(hid_t file, const char *path, const char *key)
{
    return h5_has(file, path) && H5Aexists_by_name(file, path, key, H5P_DEFAULT) > 0;
}

enum status h5_find_attribute(hid_t file, const char *name, const char *path, const char *key, bool *found)
{
    enum status rc = STATUS_OK;
    htri_t there = 0;

    if (h5_has(file, path))
        there = H5Aexists_by_name(file, path, key, H5P_DEFAULT);
    H5_TRY(there, STATUS_INPUT, name, path);
    *found = there > 0;
out:
    return rc;
}

struct opened {
    hid_t attribute, type;
    H5T_class_t class;
    uint64_t n;
};

static void close_attribute(struct opened *opened)
{
    if (opened->type >= 0)
        H5Tclose(opened->type);
    if (opened->attribute >= 0)
        H5Aclose(opened->attribute);
}

static enum status open_attribute(hid_t file, const char *name, const char *path, const char *key,
                                  struct opened *opened)
{
    enum status rc = STATUS_OK;
    hid_t space = -1;
    hssize_t n;

    *opened = (struct opened){.attribute = -1, .type = -1, .class = H5T_NO_CLASS};
    if (!h5_has_attribute(file, path, key))
        FAIL(STATUS_INPUT, "%s: has no attribute `%s` on %s: is this a file of eyesore, whole?", name, key,
             path);
    opened->attribute = H5Aopen_by_name(file, path, key, H5P_DEFAULT, H5P_DEFAULT);
    H5_TRY(opened->attribute, STATUS_INPUT, name, key);
    opened->type = H5Aget_type(opened->attribute);
    H5_TRY(opened->type, STATUS_INPUT, name, key);
    space = H5Aget_space(opened->attribute);
    H5_TRY(space, STATUS_INPUT, name, key);
    n = H5Sget_simple_extent_npoints(space);
    H5_TRY(n, STATUS_INPUT, name, key);
    opened->n = (uint64_t)n;
    opened->class = H5Tget_class(opened->type);
out:
    if (space >= 0)
        H5Sclose(space);
    return rc;
}

enum status h5_get_string(hid_t file, const char *name, const char *path, const char *key, char *value,
                          size_t size)
{
    enum status rc = STATUS_OK;
    struct opened opened;
    char *text = NULL;
    size_t bytes;

    TRY(open_attribute(file, name, path, key, &opened));
    if (opened.class != H5T_STRING || opened.n != 1 || H5Tis_variable_str(opened.type) != 0)
        FAIL(STATUS_INPUT, "%s: attribute `%s` of %s is not a fixed-length string", name, key, path);
    bytes = H5Tget_size(opened.type);
    if (bytes > STRING_BYTES_MAX)
        FAIL(STATUS_INPUT, "%s: attribute `%s` of %s is too large", name, key, path);
    text = calloc(1, bytes + 1);
    if (text == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    H5_TRY(H5Aread(opened.attribute, opened.type, text), STATUS_INPUT, name, key);
    snprintf(value, size, "%s", text);
out:
    free(text);
    close_attribute(&opened);
    return rc;
}

static enum status get_u64s(hid_t file, const char *name, const char *path, const char *key, uint64_t *values,
                            size_t least, size_t most)
{
    enum status rc = STATUS_OK;
    struct opened opened;

    TRY(open_attribute(file, name, path, key, &opened));
    if (opened.class != H5T_INTEGER || H5Tget_size(opened.type) > NUMBER_BYTES_MAX || opened.n < least ||
        opened.n > most)
        FAIL(STATUS_INPUT, "%s: attribute `%s` of %s is not %zu integers", name, key, path, most);
    memset(values, 0, most * sizeof(*values));
    H5_TRY(H5Aread(opened.attribute, H5T_NATIVE_UINT64, values), STATUS_INPUT, name, key);
out:
    close_attribute(&opened);
    return rc;
}

enum status h5_get_u64s(hid_t file, const char *name, const char *path, const char *key, uint64_t *values,
                        size_t n)
{
    return get_u64s(file, name, path, key, values, n, n);
}

enum status h5_get_u64s_upto(hid_t file, const char *name, const char *path, const char *key,
                             uint64_t *values, size_t n)
{
    return get_u64s(file, name, path, key, values, 1, n);
}

enum status h5_get_f64(hid_t file, const char *name, const char *path, const char *key, double *value)
{
    enum status rc = STATUS_OK;
    struct opened opened;

    TRY(open_attribute(file, name, path, key, &opened));
    if (opened.class != H5T_FLOAT || H5Tget_size(opened.type) > NUMBER_BYTES_MAX || opened.n != 1)
        FAIL(STATUS_INPUT, "%s: attribute `%s` of %s is not a number", name, key, path);
    H5_TRY(H5Aread(opened.attribute, H5T_NATIVE_DOUBLE, value), STATUS_INPUT, name, key);
out:
    close_attribute(&opened);
    return rc;
}
