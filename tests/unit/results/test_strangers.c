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
#include "strange.h"

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
    strange_folder = folder;
    run("%s -n 1 %s %s %d %d mixed > /dev/null", MPIEXEC, GATHER_PROBE, folder, STRANGE_ROWS, STRANGE_ROWS);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sample_remove_folder(folder);
    return 0;
}

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
    for (size_t i = 0; i < strange_n_changes; i++) {
        run("cp %s %s", sweep, path);
        hid_t file = open_to_change(path);
        strange_changes[i].change(file);
        assert_true(H5Fclose(file) >= 0);
        enum status rc = read_all(path);
        if (rc != STATUS_INPUT)
            fail_msg("%s: %s", strange_changes[i].name, status_name(rc));
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
    for (size_t i = 0; i < strange_n_changes; i++) {
        run("cp %s %s", part, path);
        hid_t file = open_to_change(path);
        strange_changes[i].change(file);
        (void)checksum_seal_root(file, path); /* refused where the root has what it cannot read */
        assert_true(H5Fclose(file) >= 0);
        enum status rc = part_verify(path, &counts);
        if (rc != STATUS_INPUT)
            fail_msg("%s: %s", strange_changes[i].name, status_name(rc));
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
    uint8_t values[STRANGE_ROWS];
    struct sweep_file *opened;

    (void)state;
    run("cp %s %s", sweep, path);
    hid_t file = open_to_change(path);
    assert_int_equal(h5_get_u64s(file, path, "/", "counts_by_status", counts, ITEM_STATUS_COUNT), STATUS_OK);
    strange_attribute(file, "/", "counts_by_status", H5T_STD_U64LE, 1, 9, counts);
    hid_t dataset = H5Dopen2(file, "/items/status", H5P_DEFAULT);
    hid_t type = H5Dget_type(dataset);
    assert_true(H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Dclose(dataset);
    H5Tclose(type);
    hid_t earlier = H5Tenum_create(H5T_STD_U8LE);
    for (uint8_t i = 0; i < 9; i++)
        H5Tenum_insert(earlier, item_status_name((enum item_status)i), &i);
    strange_remake(file, "/items/status", (struct remake){earlier, 1, {STRANGE_ROWS}, H5P_DEFAULT});
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
