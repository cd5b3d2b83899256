#include "strange.h"

#include "base/item.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

const char *strange_folder;

void strange_remake(hid_t file, const char *path, struct remake as)
{
    hid_t space = as.rank < 0 ? H5Screate(H5S_NULL) : H5Screate_simple(as.rank, as.dims, NULL);

    assert_true(H5Ldelete(file, path, H5P_DEFAULT) >= 0);
    hid_t made = H5Dcreate2(file, path, as.type, space, H5P_DEFAULT, as.options, H5P_DEFAULT);
    if (made < 0)
        fail_msg("%s cannot be made anew", path);
    H5Dclose(made);
    H5Sclose(space);
    if (as.options != H5P_DEFAULT)
        H5Pclose(as.options);
}

static hid_t string_type(size_t size)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, size);
    H5Tset_strpad(type, H5T_STR_NULLPAD);
    return type;
}

void strange_attribute(hid_t file, const char *path, const char *key, hid_t type, int rank, hsize_t n,
                       const void *value)
{
    hid_t object = H5Oopen(file, path, H5P_DEFAULT);
    hid_t space = rank == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &n, NULL);

    if (H5Aexists(object, key) > 0)
        H5Adelete(object, key);
    hid_t made = H5Acreate2(object, key, type, space, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(made >= 0);
    if (value != NULL)
        assert_true(H5Awrite(made, type, value) >= 0);
    H5Aclose(made);
    H5Sclose(space);
    H5Oclose(object);
}

static void no_verdict(hid_t file)
{
    H5Ldelete(file, "/verdict", H5P_DEFAULT);
}

static void no_items(hid_t file)
{
    H5Ldelete(file, "/items", H5P_DEFAULT);
}

static void no_format(hid_t file)
{
    H5Adelete(file, "format");
}

static void scores_are_doubles(hid_t file)
{
    strange_remake(file, "/stages/resnet50/score",
                   (struct remake){H5T_IEEE_F64LE, 1, {STRANGE_ROWS}, H5P_DEFAULT});
}

static void ids_are_pointers(hid_t file)
{
    strange_remake(file, "/items/id",
                   (struct remake){string_type(H5T_VARIABLE), 1, {STRANGE_ROWS}, H5P_DEFAULT});
}

static void ids_are_huge(hid_t file)
{
    strange_remake(file, "/items/id",
                   (struct remake){string_type((size_t)1 << 30), 1, {STRANGE_ROWS}, H5P_DEFAULT});
}

static void statuses_are_a_matrix(hid_t file)
{
    strange_remake(file, "/items/status",
                   (struct remake){H5T_STD_U8LE, 2, {STRANGE_ROWS, 1 << 20}, H5P_DEFAULT});
}

static void statuses_are_nothing(hid_t file)
{
    strange_remake(file, "/items/status", (struct remake){H5T_STD_U8LE, -1, {0}, H5P_DEFAULT});
}

/* 2^60 bytes that were never written: HDF5 would make zeros of them. */
static void uris_are_an_exabyte(hid_t file)
{
    strange_remake(file, "/items/uri/bytes",
                   (struct remake){H5T_STD_U8LE, 1, {(hsize_t)1 << 60}, H5P_DEFAULT});
}

/* As -1 reads in an unsigned file format. */
static void failures_are_negative(hid_t file)
{
    hid_t options = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(options, 1, &(hsize_t){1024});
    strange_remake(file, "/failures/row",
                   (struct remake){H5T_STD_U64LE, 1, {(hsize_t)INT64_MAX - 1}, options});
}

static void maps_without_number(hid_t file)
{
    hid_t options = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(options, 1, &(hsize_t){1024});
    strange_remake(file, "/heatmaps/row", (struct remake){H5T_STD_U64LE, 1, {(hsize_t)1 << 40}, options});
}

/* Every dataset of rows as long as n_rows says: all agree, and none has any room in the file. */
static void rows_for_years(hid_t file)
{
    static const char *const bytes[] = {"/items/status", "/verdict", "/items/orientation", "/items/probed"};
    const hsize_t n = (hsize_t)1 << 44;

    strange_attribute(file, "/", "n_rows", H5T_STD_U64LE, 0, 1, &n);
    for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++)
        strange_remake(file, bytes[i], (struct remake){H5T_STD_U8LE, 1, {n}, H5P_DEFAULT});
    strange_remake(file, "/items/width", (struct remake){H5T_STD_I32LE, 1, {n}, H5P_DEFAULT});
    strange_remake(file, "/items/height", (struct remake){H5T_STD_I32LE, 1, {n}, H5P_DEFAULT});
    strange_remake(file, "/items/id", (struct remake){string_type(20), 1, {n}, H5P_DEFAULT});
    strange_remake(file, "/items/uri/offset", (struct remake){H5T_STD_U64LE, 1, {n + 1}, H5P_DEFAULT});
}

static void rows_overflow(hid_t file)
{
    strange_attribute(file, "/", "n_rows", H5T_STD_U64LE, 0, 1, &(uint64_t){UINT64_MAX});
}

static void offsets_overflow(hid_t file)
{
    uint64_t offsets[STRANGE_ROWS + 1] = {0};
    hid_t dataset = H5Dopen2(file, "/items/uri/offset", H5P_DEFAULT);

    for (int i = 1; i <= STRANGE_ROWS; i++)
        offsets[i] = UINT64_MAX - (uint64_t)STRANGE_ROWS + (uint64_t)i;
    assert_true(H5Dwrite(dataset, H5T_NATIVE_UINT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, offsets) >= 0);
    H5Dclose(dataset);
}

static void statuses_outside(hid_t file)
{
    uint8_t values[STRANGE_ROWS];
    hid_t dataset = H5Dopen2(file, "/items/status", H5P_DEFAULT);
    hid_t type = H5Dget_type(dataset);

    memset(values, 200, sizeof(values));
    assert_true(H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Tclose(type);
    H5Dclose(dataset);
}

static void other_bytes(hid_t file)
{
    char path[4096];
    hid_t options = H5Pcreate(H5P_DATASET_CREATE);

    snprintf(path, sizeof(path), "%s/sweep.h5", strange_folder); /* any file with enough bytes */
    H5Pset_external(options, path, 0, STRANGE_ROWS);
    strange_remake(file, "/verdict", (struct remake){H5T_STD_U8LE, 1, {STRANGE_ROWS}, options});
}

static void virtual_bytes(hid_t file)
{
    hid_t options = H5Pcreate(H5P_DATASET_CREATE);
    hid_t space = H5Screate_simple(1, &(hsize_t){STRANGE_ROWS}, NULL);

    H5Pset_virtual(options, space, "sweep.h5", "/verdict", space);
    strange_remake(file, "/verdict", (struct remake){H5T_STD_U8LE, 1, {STRANGE_ROWS}, options});
    H5Sclose(space);
}

static void one_huge_chunk(hid_t file)
{
    hid_t options = H5Pcreate(H5P_DATASET_CREATE);

    H5Pset_chunk(options, 1, &(hsize_t){(hsize_t)1 << 31});
    H5Pset_deflate(options, 9);
    hid_t space = H5Screate_simple(1, &(hsize_t){STRANGE_ROWS}, &(hsize_t){H5S_UNLIMITED});
    H5Ldelete(file, "/verdict", H5P_DEFAULT);
    hid_t made = H5Dcreate2(file, "/verdict", H5T_STD_U8LE, space, H5P_DEFAULT, options, H5P_DEFAULT);
    assert_true(made >= 0);
    H5Dclose(made);
    H5Sclose(space);
    H5Pclose(options);
}

static void soft_link(hid_t file)
{
    assert_true(H5Lmove(file, "/verdict", file, "/elsewhere", H5P_DEFAULT, H5P_DEFAULT) >= 0);
    assert_true(H5Lcreate_soft("/elsewhere", file, "/verdict", H5P_DEFAULT, H5P_DEFAULT) >= 0);
}

static void soft_group(hid_t file)
{
    assert_true(H5Lmove(file, "/items", file, "/elsewhere", H5P_DEFAULT, H5P_DEFAULT) >= 0);
    assert_true(H5Lcreate_soft("/elsewhere", file, "/items", H5P_DEFAULT, H5P_DEFAULT) >= 0);
}

static void external_link(hid_t file)
{
    H5Ldelete(file, "/verdict", H5P_DEFAULT);
    assert_true(H5Lcreate_external("sweep.h5", "/verdict", file, "/verdict", H5P_DEFAULT, H5P_DEFAULT) >= 0);
}

static void soft_stages(hid_t file)
{
    assert_true(H5Lmove(file, "/stages", file, "/elsewhere", H5P_DEFAULT, H5P_DEFAULT) >= 0);
    assert_true(H5Lcreate_soft("/elsewhere", file, "/stages", H5P_DEFAULT, H5P_DEFAULT) >= 0);
}

static void external_stage(hid_t file)
{
    H5Ldelete(file, "/stages/resnet50", H5P_DEFAULT);
    assert_true(H5Lcreate_external("sweep.h5", "/stages/resnet50", file, "/stages/resnet50", H5P_DEFAULT,
                                   H5P_DEFAULT) >= 0);
}

static void pointer_in_an_attribute(hid_t file)
{
    const char *text = "0123";
    strange_attribute(file, "/", "run_fingerprint", string_type(H5T_VARIABLE), 0, 1, &text);
}

static void a_huge_attribute(hid_t file)
{
    strange_attribute(file, "/", "heatmaps", string_type((size_t)1 << 20), 0, 1, NULL);
}

static void huge_integers(hid_t file)
{
    hid_t type = H5Tcopy(H5T_STD_U64LE);
    H5Tset_size(type, 60000);
    strange_attribute(file, "/", "n_rows", type, 0, 1, NULL);
}

static void too_many_statuses(hid_t file)
{
    uint64_t counts[ITEM_STATUS_COUNT + 1] = {STRANGE_ROWS};
    strange_attribute(file, "/", "counts_by_status", H5T_STD_U64LE, 1, ITEM_STATUS_COUNT + 1, counts);
}

static void maps_of_a_gigacell(hid_t file)
{
    strange_attribute(file, "/stages/resnet50", "map_height", H5T_STD_U64LE, 0, 1, &(uint64_t){1u << 30});
}

static void maps_below_zero(hid_t file)
{
    strange_attribute(file, "/stages/resnet50", "map_width", H5T_STD_I64LE, 0, 1, &(int64_t){-2});
}

static void thousands_of_stages(hid_t file)
{
    char path[64];

    for (int i = 0; i < 3000; i++) {
        snprintf(path, sizeof(path), "/stages/s%d", i);
        H5Gclose(H5Gcreate2(file, path, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    }
}

const struct strange_change strange_changes[] = {
#define C(name)                                                                                              \
    {                                                                                                        \
#name, name                                                                                          \
    }
    C(no_verdict),
    C(no_items),
    C(no_format),
    C(scores_are_doubles),
    C(ids_are_pointers),
    C(ids_are_huge),
    C(statuses_are_a_matrix),
    C(statuses_are_nothing),
    C(uris_are_an_exabyte),
    C(failures_are_negative),
    C(maps_without_number),
    C(rows_for_years),
    C(rows_overflow),
    C(offsets_overflow),
    C(statuses_outside),
    C(other_bytes),
    C(virtual_bytes),
    C(one_huge_chunk),
    C(soft_link),
    C(soft_group),
    C(soft_stages),
    C(external_link),
    C(external_stage),
    C(pointer_in_an_attribute),
    C(a_huge_attribute),
    C(huge_integers),
    C(too_many_statuses),
    C(maps_of_a_gigacell),
    C(maps_below_zero),
    C(thousands_of_stages),
#undef C
};

const size_t strange_n_changes = sizeof(strange_changes) / sizeof(strange_changes[0]);
