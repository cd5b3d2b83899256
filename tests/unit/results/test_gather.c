/*
 * The gather with 1, 2 and 4 real ranks: contents do not depend on ranks or shards, and what does not belong
 * is named. Runs gather_probe under mpirun (both from CMake), compares with h5diff.
 */
#include "base/clock.h"
#include "results/half.h"
#include "results/sweep_file.h"
#include "sample.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define OUTPUT_SIZE 65536

/* Run a command, its two streams into `output`; its exit status. */
static int run(char output[OUTPUT_SIZE], const char *format, ...) __attribute__((format(printf, 2, 3)));

static int run(char output[OUTPUT_SIZE], const char *format, ...)
{
    char command[8192];
    va_list list;

    va_start(list, format);
    vsnprintf(command, sizeof(command), format, list);
    va_end(list);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t n = fread(output, 1, OUTPUT_SIZE - 1, pipe);
    output[n] = '\0';
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int gather(char output[OUTPUT_SIZE], const char *folder, int ranks, int n_rows, int shard_rows,
                  const char *kind, const char *fault)
{
    return run(output, "timeout 120 %s -n %d --oversubscribe %s %s %d %d %s %s 2>&1", MPIEXEC, ranks,
               GATHER_PROBE, folder, n_rows, shard_rows, kind, fault);
}

static void assert_same(const char *a, const char *b)
{
    char output[OUTPUT_SIZE];
    int rc = run(output, "%s --exclude-path /run %s/sweep.h5 %s/sweep.h5 2>&1", H5DIFF, a, b);

    if (rc != 0 || strstr(output, "not comparable") != NULL)
        fail_msg("h5diff: %d\n%s", rc, output);
}

/* Every value of the sweep against the sample it was made of. */
static void check_values(const char *folder, enum sample_kind kind, uint64_t n_rows)
{
    char *path = sample_path(folder, "sweep.h5");
    struct sweep_file *file;
    struct sweep_rows rows;
    uint64_t n_flagged = 0;
    uint64_t map_row;
    uint16_t map[6];

    assert_int_equal(sweep_file_open(path, &file), STATUS_OK);
    assert_false(file->is_part);
    assert_int_equal(file->counts.n_rows, n_rows);
    assert_int_equal(sweep_rows_make(file, n_rows + 1, &rows), STATUS_OK);
    assert_int_equal(sweep_rows_read(file, 0, &rows), STATUS_OK);
    assert_int_equal(rows.n, n_rows);
    for (uint64_t i = 0; i < n_rows; i++) {
        struct sample_row expected = sample_row(kind, i);
        struct part_text id = sweep_rows_id(file, &rows, i);
        struct part_text uri = sweep_rows_uri(&rows, i);
        assert_int_equal(id.size, strlen(expected.id));
        assert_memory_equal(id.bytes, expected.id, id.size);
        assert_int_equal(uri.size, strlen(expected.uri));
        assert_memory_equal(uri.bytes, expected.uri, uri.size);
        for (uint32_t j = 0; j < SAMPLE_COLUMNS; j++) {
            struct part_text value = sweep_rows_column(file, &rows, j, i);
            assert_int_equal(value.size, strlen(expected.columns[j]));
            assert_memory_equal(value.bytes, expected.columns[j], value.size);
        }
        assert_int_equal(rows.status[i], expected.status);
        assert_int_equal(rows.verdict[i], expected.verdict);
        assert_int_equal(rows.width[i], expected.width);
        for (uint32_t j = 0; j < SAMPLE_STAGES; j++) {
            float score = rows.scores[j * rows.capacity + i];
            assert_true(score == expected.scores[j] || (isnan(score) && isnan(expected.scores[j])));
        }
        if (expected.verdict != SWEEP_FLAGGED)
            continue;
        assert_int_equal(sweep_file_read(file, FIELD_MAP_ROW, 0, n_flagged, 1, &map_row), STATUS_OK);
        assert_int_equal(map_row, i);
        assert_int_equal(sweep_file_read(file, FIELD_MAP, 0, n_flagged, 1, map), STATUS_OK);
        for (uint32_t j = 0; j < 6; j++)
            assert_true(half_to_float(map[j]) == half_to_float(half_from_float(sample_map_cell(i, 0, j))));
        n_flagged++;
    }
    assert_int_equal(file->n_maps, n_flagged);
    assert_true(kind == SAMPLE_ALL_PASS || n_rows < 10 || n_flagged > n_rows / 10);
    sweep_rows_free(file, &rows);
    sweep_file_close(file);
    free(path);
}

static void same_whatever_ranks_and_shards(void **state)
{
    static const struct {
        int ranks, shard_rows;
    } ways[] = {{1, 1000}, {1, 37}, {2, 100}, {4, 37}, {4, 400}};
    char output[OUTPUT_SIZE];
    char *folders[5];

    (void)state;
    for (int i = 0; i < 5; i++) {
        folders[i] = sample_make_folder();
        int rc = gather(output, folders[i], ways[i].ranks, 1000, ways[i].shard_rows, "mixed", "none");
        if (rc != 0)
            fail_msg("%d ranks: %d\n%s", ways[i].ranks, rc, output);
        assert_false(sample_has_temporary(folders[i]));
        check_values(folders[i], SAMPLE_MIXED, 1000);
        assert_same(folders[0], folders[i]);
    }
    for (int i = 0; i < 5; i++)
        sample_remove_folder(folders[i]);
}

/* That h5diff would see a difference at all. */
static void another_sweep_differs(void **state)
{
    char output[OUTPUT_SIZE];
    char *a = sample_make_folder();
    char *b = sample_make_folder();

    (void)state;
    assert_int_equal(gather(output, a, 2, 100, 30, "mixed", "none"), 0);
    assert_int_equal(gather(output, b, 2, 100, 30, "all_pass", "none"), 0);
    assert_int_equal(run(output, "%s --exclude-path /run %s/sweep.h5 %s/sweep.h5 2>&1", H5DIFF, a, b), 1);
    sample_remove_folder(a);
    sample_remove_folder(b);
}

static void nothing_flagged_or_failed(void **state)
{
    char output[OUTPUT_SIZE];
    char *folder = sample_make_folder();

    (void)state;
    assert_int_equal(gather(output, folder, 2, 64, 10, "all_pass", "none"), 0);
    check_values(folder, SAMPLE_ALL_PASS, 64);
    sample_remove_folder(folder);
}

static void few_rows(void **state)
{
    char output[OUTPUT_SIZE];

    (void)state;
    for (int n = 0; n < 3; n++) {
        char *folder = sample_make_folder();
        int rc = gather(output, folder, 4, n, 1, "mixed", "none");
        if (rc != 0)
            fail_msg("%d rows: %d\n%s", n, rc, output);
        check_values(folder, SAMPLE_MIXED, (uint64_t)n);
        sample_remove_folder(folder);
    }
}

/* Each fault is named, leaves no temporary file and keeps the older sweep.h5. */
static void faults_are_named(void **state)
{
    static const struct {
        const char *fault;
        enum status status;
        const char *says;
    } faults[] = {
        {"missing", STATUS_UNRECONCILED, "part-1.h5: the part of shard 1 is missing"},
        {"foreign", STATUS_RESUME, "part-1.h5: belongs to another run"},
        {"truncated", STATUS_RESUME, "part-1.h5: the part of shard 1 is damaged"},
        {"swapped", STATUS_RESUME, "part-1.h5: is shard 0"},
        {"changed", STATUS_RESUME, "its attributes have the checksum"},
        {"flipped", STATUS_RESUME, "/verdict has the checksum"},
        {"earlier", STATUS_RESUME, "part-1.h5: / has no checksum"},
        {"lying", STATUS_UNRECONCILED, "status refused: 0 rows in the written file, 1 by the parts' counts"},
    };
    char output[OUTPUT_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        char *folder = sample_make_folder();
        char *sweep = sample_path(folder, "sweep.h5");
        FILE *older = fopen(sweep, "w");
        assert_non_null(older);
        fputs("older", older);
        fclose(older);
        int rc = gather(output, folder, 2, 100, 20, "mixed", faults[i].fault);
        if (rc != (int)faults[i].status || strstr(output, faults[i].says) == NULL)
            fail_msg("%s: %d, expected %d and `%s`\n%s", faults[i].fault, rc, (int)faults[i].status,
                     faults[i].says, output);
        assert_false(sample_has_temporary(folder));
        older = fopen(sweep, "r");
        assert_non_null(older);
        assert_non_null(fgets(output, 16, older));
        assert_string_equal(output, "older");
        fclose(older);
        free(sweep);
        sample_remove_folder(folder);
    }
}

/* All bad parts of all ranks in one go, each in one list: one attempt more is enough. */
static void all_bad_parts_are_listed(void **state)
{
    char output[OUTPUT_SIZE];
    char *folder = sample_make_folder();
    int rc;

    (void)state;
    /* The first is told by opening it; the second and the last, with flipped bits, only by reading it whole.
     */
    rc = gather(output, folder, 3, 200, 20, "mixed", "many");
    if (rc != STATUS_RESUME || strstr(output, "bad: 0: ") == NULL || strstr(output, "bad: 1: ") == NULL ||
        strstr(output, "bad: 9: ") == NULL || strstr(output, "bad: 2: ") != NULL)
        fail_msg("%d\n%s", rc, output);
    assert_int_equal(run(output, "cd %s && test ! -e sweep.h5 && rm part-0.h5 part-1.h5 part-9.h5", folder),
                     0);
    assert_int_equal(gather(output, folder, 3, 200, 20, "mixed", "none"), 0); /* makes those three anew */
    check_values(folder, SAMPLE_MIXED, 200);
    sample_remove_folder(folder);
}

static void no_worse_sweep_takes_its_place(void **state)
{
    char output[OUTPUT_SIZE];
    char *folder = sample_make_folder();
    char *sweep = sample_path(folder, "sweep.h5");
    struct stat st;

    (void)state;
    mode_t was = umask(022);
    assert_int_equal(gather(output, folder, 2, 100, 30, "mixed", "none"), 0);
    umask(was);
    assert_int_equal(stat(sweep, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);

    /* Fewer failed rows: better. */
    assert_int_equal(run(output, "rm %s/part-*.h5", folder), 0);
    assert_int_equal(gather(output, folder, 2, 100, 30, "all_pass", "none"), 0);
    check_values(folder, SAMPLE_ALL_PASS, 100);

    /* More of them: worse. */
    assert_int_equal(run(output, "rm %s/part-*.h5", folder), 0);
    int rc = gather(output, folder, 2, 100, 30, "mixed", "none");
    if (rc != STATUS_UNRECONCILED || strstr(output, "sweep.h5: stays: it has 0 failed rows") == NULL)
        fail_msg("%d\n%s", rc, output);
    check_values(folder, SAMPLE_ALL_PASS, 100);

    /* Another run's. */
    hid_t file = H5Fopen(sweep, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_int_equal(h5_put_string(file, sweep, "/", "run_fingerprint", "feedfeedfeedfeed"), STATUS_OK);
    assert_true(H5Fclose(file) >= 0);
    rc = gather(output, folder, 2, 100, 30, "mixed", "none");
    if (rc != STATUS_MISMATCH ||
        strstr(output, "is of another run (its fingerprint is feedfeedfeed") == NULL ||
        strstr(output, "this run's 0123456789ab") == NULL)
        fail_msg("%d\n%s", rc, output);
    check_values(folder, SAMPLE_ALL_PASS, 100);
    assert_false(sample_has_temporary(folder));

    /* What cannot be read is no sweep to be kept. */
    assert_int_equal(truncate(sweep, 3000), 0);
    assert_int_equal(gather(output, folder, 2, 100, 30, "mixed", "none"), 0);
    check_values(folder, SAMPLE_MIXED, 100);
    free(sweep);
    sample_remove_folder(folder);
}

/* Killed at whatever moment, the older sweep.h5 or the new one is there, whole; the next gather succeeds. */
static void killed_at_any_moment(void **state)
{
    char output[OUTPUT_SIZE];
    char *folder = sample_make_folder();
    int n_killed = 0, n_amid = 0;

    (void)state;
    assert_int_equal(gather(output, folder, 1, 20000, 1000, "mixed", "none"), 0);
    double begin_s = clock_seconds();
    assert_int_equal(run(output, "%s %s 20000 1000 mixed none 2>&1", GATHER_PROBE, folder), 0);
    double whole_s = clock_seconds() - begin_s;
    for (int i = 1; i <= 24; i++) { /* one rank needs no mpiexec */
        int rc = run(output, "timeout -s KILL %.3f %s %s 20000 1000 mixed none 2>&1", whole_s * i / 22,
                     GATHER_PROBE, folder);
        n_killed += rc != 0;
        n_amid += rc != 0 && sample_has_temporary(folder);
        check_values(folder, SAMPLE_MIXED, 20000);
        run(output, "rm -f %s/*.tmp-*", folder);
    }
    print_message("%d of 24 killed, %d of them with a temporary file there\n", n_killed, n_amid);
    assert_true(n_killed >= 2);
    assert_int_equal(gather(output, folder, 2, 20000, 1000, "mixed", "none"), 0);
    check_values(folder, SAMPLE_MIXED, 20000);
    sample_remove_folder(folder);
}

static long size_of(const char *folder, const char *pattern)
{
    char output[OUTPUT_SIZE];

    assert_int_equal(run(output, "cat %s/%s | wc -c", folder, pattern), 0);
    return strtol(output, NULL, 10);
}

/* A disk with room for the parts and half of the sweep: said before anything is copied, and cleaned up. */
static void a_full_disk(void **state)
{
    char output[OUTPUT_SIZE];
    char options[64];
    char *folder = sample_make_folder();
    char *disk = sample_path(folder, "disk");

    (void)state;
    assert_int_equal(gather(output, folder, 1, 4000, 4000, "mixed", "none"), 0);
    long room = size_of(folder, "part-0.h5") + size_of(folder, "sweep.h5") / 2;
    snprintf(options, sizeof(options), "size=%ld", room);
    assert_int_equal(mkdir(disk, 0700), 0);
    if (mount("none", disk, "tmpfs", 0, options) == 0) {
        int rc = gather(output, disk, 2, 4000, 4000, "mixed", "none");
        bool left = sample_has_temporary(disk) || size_of(disk, "*") > room;
        char *sweep = sample_path(disk, "sweep.h5");
        left = left || access(sweep, F_OK) == 0;
        free(sweep);
        umount(disk);
        if (rc != STATUS_PLACE || left || strstr(output, "No space left on device") == NULL)
            fail_msg("full disk: %d\n%s", rc, output);
    } else {
        print_message("skipped: a full disk (no right to mount a small one: %s)\n", strerror(errno));
    }
    rmdir(disk);
    free(disk);
    sample_remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_whatever_ranks_and_shards),
        cmocka_unit_test(another_sweep_differs),
        cmocka_unit_test(nothing_flagged_or_failed),
        cmocka_unit_test(few_rows),
        cmocka_unit_test(faults_are_named),
        cmocka_unit_test(all_bad_parts_are_listed),
        cmocka_unit_test(no_worse_sweep_takes_its_place),
        cmocka_unit_test(killed_at_any_moment),
        cmocka_unit_test(a_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
