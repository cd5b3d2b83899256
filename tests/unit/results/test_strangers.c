/*
 * Files from strangers: a sweep.h5 and a part, each changed with the HDF5 API in one way that an attacker or
 * a broken tool might, are told to be wrong: no crash, no hang, no memory for what they only claim to have.
 * And files from earlier programs, which are read.
 */
#include "results/checksum.h"
#include "results/export.h"
#include "results/summary.h"
#include "results/sweep_file.h"
#include "results/verdict.h"
#include "sample.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define N_ROWS 100
#define MEMORY_MIB 600 /* of this process at its most; some of the files claim to have exabytes */

static char *folder;

static void run(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void run(const char *format, ...)
{
    char command[8192];
    va_list list;

    va_start(list, format);
    vsnprintf(command, sizeof(command), format, list);
    va_end(list);
    assert_int_equal(system(command), 0);
}

/* folder/sweep.h5 and folder/part-0.h5, the whole ones. */
static int set_up(void **state)
{
    (void)state;
    log_set_level(LOG_ERROR + 1); /* the errors are meant; quiet */
    h5_quiet();
    folder = sample_make_folder();
    run("%s -n 1 %s %s %d %d mixed > /dev/null", MPIEXEC, GATHER_PROBE, folder, N_ROWS, N_ROWS);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sample_remove_folder(folder);
    return 0;
}

/* How a dataset is made anew. */
struct remake {
    hid_t type;
    int rank;
    hsize_t dims[3];
    hid_t options; /* H5P_DEFAULT, or closed by remake */
};

static void remake(hid_t file, const char *path, struct remake as)
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

static void replace_attribute(hid_t file, const char *path, const char *key, hid_t type, int rank, hsize_t n,
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
    remake(file, "/stages/resnet50/score", (struct remake){H5T_IEEE_F64LE, 1, {N_ROWS}, H5P_DEFAULT});
}

static void ids_are_pointers(hid_t file)
{
    remake(file, "/items/id", (struct remake){string_type(H5T_VARIABLE), 1, {N_ROWS}, H5P_DEFAULT});
}

static void ids_are_huge(hid_t file)
{
    remake(file, "/items/id", (struct remake){string_type((size_t)1 << 30), 1, {N_ROWS}, H5P_DEFAULT});
}

static void statuses_are_a_matrix(hid_t file)
{
    remake(file, "/items/status", (struct remake){H5T_STD_U8LE, 2, {N_ROWS, 1 << 20}, H5P_DEFAULT});
}

static void statuses_are_nothing(hid_t file)
{
    remake(file, "/items/status", (struct remake){H5T_STD_U8LE, -1, {0}, H5P_DEFAULT});
}

/* 2^60 bytes that were never written: HDF5 would make zeros of them. */
static void uris_are_an_exabyte(hid_t file)
{
    remake(file, "/items/uri/bytes", (struct remake){H5T_STD_U8LE, 1, {(hsize_t)1 << 60}, H5P_DEFAULT});
}

/* As -1 reads in an unsigned file format. */
static void failures_are_negative(hid_t file)
{
    hid_t options = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(options, 1, &(hsize_t){1024});
    remake(file, "/failures/row", (struct remake){H5T_STD_U64LE, 1, {(hsize_t)INT64_MAX - 1}, options});
}

static void maps_without_number(hid_t file)
{
    hid_t options = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(options, 1, &(hsize_t){1024});
    remake(file, "/heatmaps/row", (struct remake){H5T_STD_U64LE, 1, {(hsize_t)1 << 40}, options});
}

/* Every dataset of rows as long as n_rows says: all agree, and none has any room in the file. */
static void rows_for_years(hid_t file)
{
    static const char *const bytes[] = {"/items/status", "/verdict", "/items/orientation", "/items/probed"};
    const hsize_t n = (hsize_t)1 << 44;

    replace_attribute(file, "/", "n_rows", H5T_STD_U64LE, 0, 1, &n);
    for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++)
        remake(file, bytes[i], (struct remake){H5T_STD_U8LE, 1, {n}, H5P_DEFAULT});
    remake(file, "/items/width", (struct remake){H5T_STD_I32LE, 1, {n}, H5P_DEFAULT});
    remake(file, "/items/height", (struct remake){H5T_STD_I32LE, 1, {n}, H5P_DEFAULT});
    remake(file, "/items/id", (struct remake){string_type(20), 1, {n}, H5P_DEFAULT});
    remake(file, "/items/uri/offset", (struct remake){H5T_STD_U64LE, 1, {n + 1}, H5P_DEFAULT});
}

static void rows_overflow(hid_t file)
{
    replace_attribute(file, "/", "n_rows", H5T_STD_U64LE, 0, 1, &(uint64_t){UINT64_MAX});
}

static void offsets_overflow(hid_t file)
{
    uint64_t offsets[N_ROWS + 1] = {0};
    hid_t dataset = H5Dopen2(file, "/items/uri/offset", H5P_DEFAULT);

    for (int i = 1; i <= N_ROWS; i++)
        offsets[i] = UINT64_MAX - (uint64_t)N_ROWS + (uint64_t)i;
    assert_true(H5Dwrite(dataset, H5T_NATIVE_UINT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, offsets) >= 0);
    H5Dclose(dataset);
}

static void statuses_outside(hid_t file)
{
    uint8_t values[N_ROWS];
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

    snprintf(path, sizeof(path), "%s/sweep.h5", folder); /* any file with enough bytes */
    H5Pset_external(options, path, 0, N_ROWS);
    remake(file, "/verdict", (struct remake){H5T_STD_U8LE, 1, {N_ROWS}, options});
}

static void virtual_bytes(hid_t file)
{
    hid_t options = H5Pcreate(H5P_DATASET_CREATE);
    hid_t space = H5Screate_simple(1, &(hsize_t){N_ROWS}, NULL);

    H5Pset_virtual(options, space, "sweep.h5", "/verdict", space);
    remake(file, "/verdict", (struct remake){H5T_STD_U8LE, 1, {N_ROWS}, options});
    H5Sclose(space);
}

static void one_huge_chunk(hid_t file)
{
    hid_t options = H5Pcreate(H5P_DATASET_CREATE);

    H5Pset_chunk(options, 1, &(hsize_t){(hsize_t)1 << 31});
    H5Pset_deflate(options, 9);
    hid_t space = H5Screate_simple(1, &(hsize_t){N_ROWS}, &(hsize_t){H5S_UNLIMITED});
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
    replace_attribute(file, "/", "run_fingerprint", string_type(H5T_VARIABLE), 0, 1, &text);
}

static void a_huge_attribute(hid_t file)
{
    replace_attribute(file, "/", "heatmaps", string_type((size_t)1 << 20), 0, 1, NULL);
}

static void huge_integers(hid_t file)
{
    hid_t type = H5Tcopy(H5T_STD_U64LE);
    H5Tset_size(type, 60000);
    replace_attribute(file, "/", "n_rows", type, 0, 1, NULL);
}

static void too_many_statuses(hid_t file)
{
    uint64_t counts[ITEM_STATUS_COUNT + 1] = {N_ROWS};
    replace_attribute(file, "/", "counts_by_status", H5T_STD_U64LE, 1, ITEM_STATUS_COUNT + 1, counts);
}

static void maps_of_a_gigacell(hid_t file)
{
    replace_attribute(file, "/stages/resnet50", "map_height", H5T_STD_U64LE, 0, 1, &(uint64_t){1u << 30});
}

static void maps_below_zero(hid_t file)
{
    replace_attribute(file, "/stages/resnet50", "map_width", H5T_STD_I64LE, 0, 1, &(int64_t){-2});
}

static void thousands_of_stages(hid_t file)
{
    char path[64];

    for (int i = 0; i < 3000; i++) {
        snprintf(path, sizeof(path), "/stages/s%d", i);
        H5Gclose(H5Gcreate2(file, path, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    }
}

typedef void change(hid_t file);

static const struct {
    const char *name;
    change *change;
} changes[] = {
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

static hid_t open_to_change(const char *path)
{
    hid_t options = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_libver_bounds(options, H5F_LIBVER_V18, H5F_LIBVER_LATEST);
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, options);
    assert_true(file >= 0);
    H5Pclose(options);
    return file;
}

/* The worst of what the readers of a sweep.h5 answer. */
static enum status read_all(const char *path)
{
    struct summary summary;
    struct verdict_report report;
    struct verdict_threshold threshold = {.stage = "resnet50", .threshold = 0.25f};
    struct export_options options = {.rows = EXPORT_ALL, .format = EXPORT_JSONL};
    FILE *nowhere = fopen("/dev/null", "w");
    char *copy = sample_path(folder, "copy.h5");
    enum status rc[4];

    assert_non_null(nowhere);
    rc[0] = summary_read(path, &summary);
    rc[1] = export_write(nowhere, &path, 1, &options, NULL);
    rc[2] = verdict_recompute(path, &threshold, 1, NULL, &report);
    rc[3] = verdict_recompute(path, &threshold, 1, copy, &report);
    unlink(copy);
    free(copy);
    fclose(nowhere);
    for (int i = 1; i < 4; i++)
        rc[0] = rc[i] > rc[0] ? rc[i] : rc[0];
    return rc[0];
}

static void assert_little_memory(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    assert_true(usage.ru_maxrss < MEMORY_MIB * 1024L);
}

static void changed_sweeps_are_told(void **state)
{
    char *sweep = sample_path(folder, "sweep.h5");
    char *path = sample_path(folder, "changed.h5");

    (void)state;
    assert_int_equal(read_all(sweep), STATUS_OK);
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        run("cp %s %s", sweep, path);
        hid_t file = open_to_change(path);
        changes[i].change(file);
        assert_true(H5Fclose(file) >= 0);
        enum status rc = read_all(path);
        if (rc != STATUS_INPUT)
            fail_msg("%s: %s", changes[i].name, status_name(rc));
        assert_little_memory();
    }
    free(sweep);
    free(path);
}

/* The same of a part, with the root's checksum as it must be. */
static void changed_parts_are_told(void **state)
{
    char *part = sample_path(folder, "part-0.h5");
    char *path = sample_path(folder, "changed.h5");
    struct part_counts counts;

    (void)state;
    assert_int_equal(part_verify(part, &counts), STATUS_OK);
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        run("cp %s %s", part, path);
        hid_t file = open_to_change(path);
        changes[i].change(file);
        (void)checksum_seal_root(file, path); /* refused where the root has what it cannot read */
        assert_true(H5Fclose(file) >= 0);
        enum status rc = part_verify(path, &counts);
        if (rc != STATUS_INPUT)
            fail_msg("%s: %s", changes[i].name, status_name(rc));
        assert_little_memory();
    }
    free(part);
    free(path);
}

static void not_even_files(void **state)
{
    char *path = sample_path(folder, "fifo.h5");
    struct part_counts counts;
    struct sweep_file *file;

    (void)state;
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(sweep_file_open(path, &file), STATUS_INPUT); /* and does not wait for a writer */
    assert_int_equal(part_read_counts(path, &counts), STATUS_INPUT);
    assert_int_equal(sweep_file_open(folder, &file), STATUS_INPUT);
    assert_int_equal(sweep_file_open("/dev/zero", &file), STATUS_INPUT);
    free(path);
}

/* Before decoder_crashed, decoder_timeout and set_aside were, there were 9 statuses. */
static void earlier_sweeps_are_read(void **state)
{
    char *sweep = sample_path(folder, "sweep.h5");
    char *path = sample_path(folder, "earlier.h5");
    struct summary now, then;
    uint64_t counts[ITEM_STATUS_COUNT];
    uint8_t values[N_ROWS];
    struct sweep_file *opened;

    (void)state;
    run("cp %s %s", sweep, path);
    hid_t file = open_to_change(path);
    assert_int_equal(h5_get_u64s(file, path, "/", "counts_by_status", counts, ITEM_STATUS_COUNT), STATUS_OK);
    replace_attribute(file, "/", "counts_by_status", H5T_STD_U64LE, 1, 9, counts);
    hid_t dataset = H5Dopen2(file, "/items/status", H5P_DEFAULT);
    hid_t type = H5Dget_type(dataset);
    assert_true(H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Dclose(dataset);
    H5Tclose(type);
    hid_t earlier = H5Tenum_create(H5T_STD_U8LE);
    for (uint8_t i = 0; i < 9; i++)
        H5Tenum_insert(earlier, item_status_name((enum item_status)i), &i);
    remake(file, "/items/status", (struct remake){earlier, 1, {N_ROWS}, H5P_DEFAULT});
    dataset = H5Dopen2(file, "/items/status", H5P_DEFAULT);
    assert_true(H5Dwrite(dataset, earlier, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Dclose(dataset);
    H5Tclose(earlier);
    H5Fclose(file);

    assert_int_equal(read_all(path), STATUS_OK);
    assert_int_equal(sweep_file_open(path, &opened), STATUS_OK);
    assert_memory_equal(opened->counts.by_status, counts, sizeof(counts));
    sweep_file_close(opened);
    assert_int_equal(summary_read(sweep, &now), STATUS_OK);
    assert_int_equal(summary_read(path, &then), STATUS_OK);
    assert_memory_equal(now.by_status, then.by_status, sizeof(now.by_status));
    assert_int_equal(then.by_status[ITEM_SET_ASIDE], 0);
    free(sweep);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changed_sweeps_are_told),
        cmocka_unit_test(changed_parts_are_told),
        cmocka_unit_test(not_even_files),
        cmocka_unit_test(earlier_sweeps_are_read),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
