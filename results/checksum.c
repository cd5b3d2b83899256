#include "results/checksum.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define ROOT_VALUE_BYTES_MAX ((size_t)65536) /* of one attribute; ours are far smaller */
#define ROOT_ATTRIBUTES_MAX 256

uint64_t checksum_bytes(const void *bytes, size_t size)
{
    return XXH3_64bits(size == 0 ? "" : bytes, size);
}

enum status checksum_put(hid_t dataset, const char *name, const char *path, uint64_t sum)
{
    enum status rc = STATUS_OK;
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t attribute = H5Acreate2(dataset, CHECKSUM_ATTRIBUTE, H5T_STD_U64LE, space, H5P_DEFAULT, H5P_DEFAULT);

    H5_TRY(attribute, STATUS_INTERNAL, name, path);
    H5_TRY(H5Awrite(attribute, H5T_NATIVE_UINT64, &sum), STATUS_INTERNAL, name, path);
out:
    if (attribute >= 0)
        H5Aclose(attribute);
    H5Sclose(space);
    return rc;
}

enum status checksum_get(hid_t file, const char *name, const char *path, uint64_t *sum)
{
    enum status rc = STATUS_OK;

    if (!h5_has_attribute(file, path, CHECKSUM_ATTRIBUTE))
        FAIL(STATUS_INPUT, "%s: %s has no checksum: cut off, changed, or of an earlier program", name, path);
    TRY(h5_get_u64s(file, name, path, CHECKSUM_ATTRIBUTE, sum, 1));
out:
    return rc;
}

/* The digest of the root's attributes while it is made. */
struct root_digest {
    XXH3_state_t *state; /* owned */
    char *value;         /* [ROOT_VALUE_BYTES_MAX], owned */
    unsigned n;
};

/* Variable-length values are refused: their bytes are pointers, and HDF5 crashes on damaged ones. */
static bool add_value(struct root_digest *digest, const char *key, hid_t attribute, hid_t type, hid_t space)
{
    hssize_t n = H5Sget_simple_extent_npoints(space);
    size_t size = H5Tget_size(type);
    H5T_class_t class = H5Tget_class(type);

    if ((class != H5T_INTEGER && class != H5T_FLOAT && class != H5T_STRING) || size == 0 || n < 0 ||
        size > ROOT_VALUE_BYTES_MAX || (uint64_t)n > ROOT_VALUE_BYTES_MAX / size ||
        (class == H5T_STRING && H5Tis_variable_str(type) != 0))
        return false;
    uint64_t head[3] = {(uint64_t) class, size, (uint64_t)n};
    if (n > 0 && H5Aread(attribute, type, digest->value) < 0)
        return false;
    XXH3_64bits_update(digest->state, key, strlen(key) + 1);
    XXH3_64bits_update(digest->state, head, sizeof(head));
    XXH3_64bits_update(digest->state, digest->value, size * (size_t)n);
    return true;
}

/* H5Aiterate2 wants a void pointer here. */
static herr_t add_attribute(hid_t root, const char *key, const H5A_info_t *info, void *data)
{
    struct root_digest *digest = data;
    bool added = false;

    (void)info;
    if (strcmp(key, CHECKSUM_ATTRIBUTE) == 0)
        return 0;
    if (digest->n++ >= ROOT_ATTRIBUTES_MAX)
        return -1;
    hid_t attribute = H5Aopen(root, key, H5P_DEFAULT);
    hid_t type = attribute < 0 ? -1 : H5Aget_type(attribute);
    hid_t space = attribute < 0 ? -1 : H5Aget_space(attribute);
    if (type >= 0 && space >= 0)
        added = add_value(digest, key, attribute, type, space);
    if (space >= 0)
        H5Sclose(space);
    if (type >= 0)
        H5Tclose(type);
    if (attribute >= 0)
        H5Aclose(attribute);
    return added ? 0 : -1;
}

static enum status digest_root(hid_t file, const char *name, uint64_t *sum)
{
    enum status rc = STATUS_OK;
    struct root_digest digest = {.state = XXH3_createState(), .value = malloc(ROOT_VALUE_BYTES_MAX)};

    if (digest.state == NULL || digest.value == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    XXH3_64bits_reset(digest.state);
    H5_TRY(
        H5Aiterate_by_name(file, "/", H5_INDEX_NAME, H5_ITER_INC, NULL, add_attribute, &digest, H5P_DEFAULT),
        STATUS_INPUT, name, "attributes of the root that cannot be read");
    *sum = XXH3_64bits_digest(digest.state);
out:
    free(digest.value);
    XXH3_freeState(digest.state);
    return rc;
}

enum status checksum_seal_root(hid_t file, const char *name)
{
    enum status rc = STATUS_OK;
    uint64_t sum = 0;

    TRY(digest_root(file, name, &sum));
    TRY(h5_put_u64(file, name, "/", CHECKSUM_ATTRIBUTE, sum));
out:
    return rc;
}

enum status checksum_check_root(hid_t file, const char *name)
{
    enum status rc = STATUS_OK;
    uint64_t stored = 0, found = 0;

    TRY(checksum_get(file, name, "/", &stored));
    TRY(digest_root(file, name, &found));
    if (stored != found)
        FAIL(STATUS_INPUT, "%s: its attributes have the checksum %016llx where %016llx is written: changed",
             name, (unsigned long long)found, (unsigned long long)stored);
out:
    return rc;
}
