/* Parts: what goes in comes out, what is wrong is refused, what is damaged is told and never crashes. */
#include "base/file.h"
#include "results/checksum.h"
#include "results/half.h"
#include "results/sweep_file.h"
#include "sample.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    char *folder, *path;
    struct sweep_layout layout;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    log_set_level(LOG_ERROR + 1); /* the errors are meant; quiet */
    fixture->folder = sample_make_folder();
    fixture->path = sample_path(fixture->folder, "part.h5");
    *state = fixture;
    return sample_layout(&fixture->layout) == STATUS_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    sweep_layout_free(&fixture->layout);
    sample_remove_folder(fixture->folder);
    free(fixture->path);
    free(fixture);
    return 0;
}

static void write_sample(const struct fixture *fixture, uint64_t n_rows)
{
    struct part *part;
    bool existed;

    unlink(fixture->path); /* the first one would win */
    assert_int_equal(sample_part(&fixture->layout, SAMPLE_MIXED, 3, 500, n_rows, &part), STATUS_OK);
    assert_int_equal(part_write(part, fixture->path, SAMPLE_FINGERPRINT, &existed), STATUS_OK);
    part_free(part);
}

static void counts_and_messages(void **state)
{
    struct fixture *fixture = *state;
    struct part_counts counts;
    struct sweep_file *file;
    uint64_t by_verdict[SWEEP_VERDICT_COUNT] = {0};
    uint64_t by_status[ITEM_STATUS_COUNT] = {0};
    char message[SWEEP_MESSAGE_WIDTH];
    uint8_t probed[200];

    write_sample(fixture, 200);
    for (uint64_t i = 500; i < 700; i++) {
        by_verdict[sample_row(SAMPLE_MIXED, i).verdict]++;
        by_status[sample_row(SAMPLE_MIXED, i).status]++;
    }
    assert_int_equal(part_read_counts(fixture->path, &counts), STATUS_OK);
    assert_string_equal(counts.run_fingerprint, SAMPLE_FINGERPRINT);
    assert_int_equal(counts.shard, 3);
    assert_int_equal(counts.first_row, 500);
    assert_int_equal(counts.n_rows, 200);
    assert_memory_equal(counts.by_status, by_status, sizeof(by_status));
    assert_memory_equal(counts.by_verdict, by_verdict, sizeof(by_verdict));
    assert_int_equal(sweep_file_open(fixture->path, &file), STATUS_OK);
    uint64_t n = 0;
    for (uint64_t i = 500; i < 700; i++) {
        struct sample_row row = sample_row(SAMPLE_MIXED, i);
        if (row.message == NULL && row.verdict != SWEEP_FAILED)
            continue;
        assert_int_equal(sweep_file_read(file, FIELD_FAILURE_MESSAGE, 0, n++, 1, message), STATUS_OK);
        if (row.message == NULL)
            assert_string_equal(message, item_status_meaning(row.status));
        else if (row.status == ITEM_TRUNCATED)
            assert_string_equal(message, row.message);
        else
            assert_string_equal(message, "broken ? header: größe");
    }
    assert_int_equal(file->n_failures, n);
    assert_true(n > 10);
    assert_int_equal(sweep_file_read(file, FIELD_PROBED, 0, 0, 200, probed), STATUS_OK);
    for (uint64_t i = 0; i < 200; i++)
        assert_int_equal(probed[i], (500 + i) % 8 == 0);
    sweep_file_close(file);
}

static void no_rows(void **state)
{
    struct fixture *fixture = *state;
    struct part_counts counts;
    struct sweep_file *file;

    write_sample(fixture, 0);
    assert_int_equal(part_read_counts(fixture->path, &counts), STATUS_OK);
    assert_int_equal(counts.n_rows, 0);
    assert_int_equal(sweep_file_open(fixture->path, &file), STATUS_OK);
    sweep_file_close(file);
}

static void what_does_not_fit_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct part *part;
    struct part_text columns[SAMPLE_COLUMNS] = {{0}};
    struct part_text none = {0};
    float map[6] = {0, 1, 2, 3, 4, 5};
    char text[2 * SWEEP_MESSAGE_WIDTH];
    bool existed;

    assert_int_equal(part_create(&fixture->layout, 0, 0, 2, &part), STATUS_OK);
    assert_int_equal(part_set_item(part, 0, (struct part_text){"012345678901234567890", 21}, none, columns),
                     STATUS_MISMATCH);
    columns[0] = (struct part_text){"partner-10", 10};
    assert_int_equal(part_set_item(part, 0, none, none, columns), STATUS_MISMATCH);
    columns[0] = none;
    assert_int_equal(part_set_item(part, 0, none, none, columns), STATUS_OK);
    map[2] = NAN;
    assert_int_equal(part_set_map(part, 0, 0, map), STATUS_INPUT);
    map[2] = 65520.0f;
    assert_int_equal(part_set_map(part, 0, 0, map), STATUS_INPUT);
    assert_null(part->maps[0]);
    map[2] = 65504.0f;
    assert_int_equal(part_set_map(part, 0, 1, map), STATUS_OK);
    assert_int_equal(part->maps[0][0], HALF_NAN); /* the stage that was not run */
    assert_true(half_to_float(part->maps[0][6 + 2]) == 65504.0f);
    assert_int_equal(part_set_outcome(part, 0, ITEM_STATUS_COUNT, SWEEP_PASS, NULL), STATUS_INTERNAL);
    assert_int_equal(part_write(part, fixture->path, SAMPLE_FINGERPRINT, &existed),
                     STATUS_INTERNAL); /* not done */
    memset(text, 'x', sizeof(text));
    memcpy(text + SWEEP_MESSAGE_WIDTH - 1, "é\0", 3); /* its second byte would be the 193rd */
    assert_int_equal(part_set_outcome(part, 0, ITEM_CORRUPT, SWEEP_FAILED, text), STATUS_OK);
    assert_int_equal(strlen(part->messages[0]), SWEEP_MESSAGE_WIDTH - 1);
    assert_null(part->maps[0]);
    assert_int_equal(access(fixture->path, F_OK), -1);
    part_free(part);
}

static void a_bad_place_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;
    char *disk = sample_path(fixture->folder, "disk");
    struct part *part;
    bool existed;

    assert_int_equal(sample_part(&fixture->layout, SAMPLE_MIXED, 0, 0, 2000, &part), STATUS_OK);
    assert_int_equal(part_write(part, "/nonexistent-folder/part.h5", SAMPLE_FINGERPRINT, &existed),
                     STATUS_INPUT);
    assert_int_equal(file_make_folders(disk), STATUS_OK);
    if (mount("none", disk, "tmpfs", 0, "size=64k") == 0) {
        char *path = sample_path(disk, "part.h5");
        enum status rc = part_write(part, path, SAMPLE_FINGERPRINT, &existed);
        bool left = sample_has_temporary(disk) || access(path, F_OK) == 0;
        umount(disk);
        free(path);
        assert_int_equal(rc, STATUS_PLACE);
        assert_false(left);
    } else {
        print_message("skipped: a full disk (no right to mount a small one: %s)\n", strerror(errno));
    }
    rmdir(disk);
    free(disk);
    part_free(part);
}

/* A read-only file system and a limit on the size of files; parts that are finished stay as they are. */
static void finished_parts_stay(void **state)
{
    struct fixture *fixture = *state;
    char *disk = sample_path(fixture->folder, "disk");
    char *other = sample_path(fixture->folder, "other.h5");
    struct part_counts counts;
    struct part *part;
    bool existed;

    write_sample(fixture, 200);
    assert_int_equal(sample_part(&fixture->layout, SAMPLE_MIXED, 4, 700, 2000, &part), STATUS_OK);
    struct rlimit was, small;
    getrlimit(RLIMIT_FSIZE, &was);
    small = (struct rlimit){10000, was.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    enum status rc = part_write(part, other, SAMPLE_FINGERPRINT, &existed);
    setrlimit(RLIMIT_FSIZE, &was);
    assert_int_equal(rc, STATUS_PLACE);
    assert_int_equal(access(other, F_OK), -1);
    assert_false(sample_has_temporary(fixture->folder));
    assert_int_equal(part_verify(fixture->path, &counts), STATUS_OK);

    assert_int_equal(file_make_folders(disk), STATUS_OK);
    if (mount("none", disk, "tmpfs", 0, "size=4m") == 0) {
        char *first = sample_path(disk, "first.h5");
        char *second = sample_path(disk, "second.h5");
        enum status made = part_write(part, first, SAMPLE_FINGERPRINT, &existed);
        int again = mount("none", disk, "tmpfs", MS_REMOUNT | MS_RDONLY, "size=4m");
        rc = part_write(part, second, SAMPLE_FINGERPRINT, &existed);
        enum status kept = part_verify(first, &counts);
        umount(disk);
        free(first);
        free(second);
        assert_int_equal(again, 0);
        assert_int_equal(made, STATUS_OK);
        assert_int_equal(rc, STATUS_PLACE);
        assert_int_equal(kept, STATUS_OK);
    } else {
        print_message("skipped: a read-only disk (no right to mount one: %s)\n", strerror(errno));
    }
    rmdir(disk);
    free(disk);
    free(other);
    part_free(part);
}

static void not_ours(void **state)
{
    struct fixture *fixture = *state;
    struct part_counts counts;
    struct sweep_file *file;
    hid_t other;

    assert_int_equal(part_read_counts(fixture->path, &counts), STATUS_INPUT); /* not there */
    assert_int_equal(file_write(fixture->path, "hello", 5), STATUS_OK);
    assert_int_equal(part_read_counts(fixture->path, &counts), STATUS_INPUT);
    other = H5Fcreate(fixture->path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(other);
    assert_int_equal(part_read_counts(fixture->path, &counts), STATUS_INPUT);
    assert_int_equal(sweep_file_open(fixture->path, &file), STATUS_INPUT);
}

/* A dataset of another length, and one that is a link to elsewhere. */
static void changed_structure(void **state)
{
    struct fixture *fixture = *state;
    struct sweep_file *file;
    struct field field = {.path = "/verdict", .type = TYPE_VERDICT};

    write_sample(fixture, 20);
    hid_t changed = H5Fopen(fixture->path, H5F_ACC_RDWR, H5P_DEFAULT);
    H5Ldelete(changed, "/verdict", H5P_DEFAULT);
    assert_int_equal(h5_dataset_create(changed, "test", &field, 19), STATUS_OK);
    H5Fclose(changed);
    assert_int_equal(sweep_file_open(fixture->path, &file), STATUS_INPUT);
    changed = H5Fopen(fixture->path, H5F_ACC_RDWR, H5P_DEFAULT);
    H5Ldelete(changed, "/verdict", H5P_DEFAULT);
    H5Lcreate_external("other.h5", "/verdict", changed, "/verdict", H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(changed);
    assert_int_equal(sweep_file_open(fixture->path, &file), STATUS_INPUT);
}

/* Cut at any place: an error, never rows. */
static void cut_short(void **state)
{
    struct fixture *fixture = *state;
    struct sweep_file *file;
    char *bytes;
    size_t size;

    write_sample(fixture, 20);
    assert_int_equal(file_read(fixture->path, 1 << 24, &bytes, &size), STATUS_OK);
    for (size_t cut = 0; cut < size; cut += 1 + size / 40) {
        assert_int_equal(file_write(fixture->path, bytes, cut), STATUS_OK);
        assert_int_equal(sweep_file_open(fixture->path, &file), STATUS_INPUT);
    }
    free(bytes);
}

static void read_whole(const struct fixture *fixture, char **bytes, size_t *size)
{
    assert_int_equal(file_read(fixture->path, 1 << 24, bytes, size), STATUS_OK);
}

/* Two ranks may write the same shard; also at another time and under another umask. */
static void same_bytes_whoever_writes(void **state)
{
    struct fixture *fixture = *state;
    struct part *part;
    char *first, *second;
    size_t first_size, second_size;
    bool existed = false;

    write_sample(fixture, 200);
    read_whole(fixture, &first, &first_size);
    sleep(2); /* times in the file would have seconds */
    write_sample(fixture, 200);
    read_whole(fixture, &second, &second_size);
    assert_int_equal(first_size, second_size);
    assert_memory_equal(first, second, first_size);

    /* The first one wins, whatever it is. */
    assert_int_equal(sample_part(&fixture->layout, SAMPLE_ALL_PASS, 3, 500, 200, &part), STATUS_OK);
    assert_int_equal(part_write(part, fixture->path, SAMPLE_FINGERPRINT, &existed), STATUS_OK);
    assert_true(existed);
    free(second);
    read_whole(fixture, &second, &second_size);
    assert_int_equal(first_size, second_size);
    assert_memory_equal(first, second, first_size);
    assert_false(sample_has_temporary(fixture->folder));
    part_free(part);
    free(first);
    free(second);
}

/* All that a reader can see of a part, as one sum; 0 where the layout is not the run's, which the gather
 * refuses. */
static uint64_t sum_of_values(const struct fixture *fixture)
{
    struct sweep_file *file;
    uint64_t sum = 0;
    char slab[65536];

    assert_int_equal(sweep_file_open(fixture->path, &file), STATUS_OK);
    for (size_t i = 0; i < file->table.n; i++) {
        const struct field *field = &file->table.fields[i];
        size_t bytes = (size_t)file->n[i] * field_record_bytes(field);
        assert_true(bytes <= sizeof(slab));
        assert_int_equal(sweep_file_read(file, field->what, field->index, 0, file->n[i], slab), STATUS_OK);
        sum = sum * 31 + checksum_bytes(slab, bytes);
    }
    sum = sum * 31 + checksum_bytes(&file->counts, sizeof(file->counts));
    if (sweep_layout_difference(&fixture->layout, &file->layout, slab, sizeof(slab)))
        sum = 0;
    sweep_file_close(file);
    return sum;
}

/* A bit flipped anywhere: found, or it is in none of the bytes that are read. */
static void flipped_bits_are_found(void **state)
{
    struct fixture *fixture = *state;
    struct part_counts counts;
    char *bytes;
    size_t size;
    size_t n_found = 0, n_flipped = 0;
    size_t step = getenv("EYESORE_TEST_ALL") != NULL ? 1 : 29;

    write_sample(fixture, 20);
    uint64_t whole = sum_of_values(fixture);
    assert_int_equal(part_verify(fixture->path, &counts), STATUS_OK);
    assert_int_equal(counts.n_rows, 20);
    read_whole(fixture, &bytes, &size);
    for (size_t at = 0; at < size; at += step, n_flipped++) {
        bytes[at] = (char)(bytes[at] ^ 1 << at % 8);
        assert_int_equal(file_write(fixture->path, bytes, size), STATUS_OK);
        bytes[at] = (char)(bytes[at] ^ 1 << at % 8);
        enum status rc = part_verify(fixture->path, &counts);
        assert_true(rc == STATUS_INPUT || rc == STATUS_OK);
        uint64_t sum = rc == STATUS_OK ? sum_of_values(fixture) : 0;
        n_found += sum == 0;
        if (sum != 0 && sum != whole)
            fail_msg("byte %zu of %zu flipped, and not found", at, size);
    }
    print_message("%zu bits flipped, %zu found, the others are not read\n", n_flipped, n_found);
    assert_true(n_found > n_flipped / 5);
    free(bytes);
}

/* A block of zeros, as a file system leaves it after a crash, in any dataset and in the middle of the file.
 */
static void torn_blocks_are_found(void **state)
{
    struct fixture *fixture = *state;
    struct part_counts counts;
    struct sweep_file *file;
    haddr_t at[64];
    size_t n = 0;
    char *bytes, *torn;
    size_t size;

    write_sample(fixture, 200);
    assert_int_equal(sweep_file_open(fixture->path, &file), STATUS_OK);
    for (size_t i = 0; i < file->table.n && n < 64; i++)
        if (file->n[i] > 1)
            at[n++] = H5Dget_offset(file->datasets[i]);
    sweep_file_close(file);
    assert_true(n > 15);
    read_whole(fixture, &bytes, &size);
    torn = malloc(size);
    assert_non_null(torn);
    for (size_t i = 0; i < n; i++) {
        memcpy(torn, bytes, size);
        memset(torn + at[i], 0, size - at[i] < 512 ? size - at[i] : 512);
        if (memcmp(torn, bytes, size) == 0)
            continue; /* zeros already */
        assert_int_equal(file_write(fixture->path, torn, size), STATUS_OK);
        assert_int_equal(part_verify(fixture->path, &counts), STATUS_INPUT);
    }
    free(torn);
    free(bytes);
}

static void names_of_columns(void **state)
{
    struct sweep_layout layout;
    char longest[400];

    (void)state;
    assert_int_equal(sweep_layout_init(&layout, 129, HEATMAPS_NONE, 0), STATUS_INPUT);
    assert_int_equal(sweep_layout_init(&layout, 128, HEATMAPS_FLAGGED, 0), STATUS_OK);
    memset(longest, 'n', sizeof(longest));
    memcpy(longest + 199, "é", 2);
    longest[399] = '\0';
    const char *const names[][2] = {{"id", "id_"},   {"id_", "id__"}, {"a/b", "a_b"},   {"a\nb", "a_b_"},
                                    {"", "_"},       {"..", ".._"},   {"类别", "类别"}, {"row", "row_"},
                                    {"uri", "uri_"}, {"uri", "uri__"}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_int_equal(sweep_layout_add_column(&layout, names[i][0], 64 + i % 2), STATUS_OK);
        assert_string_equal(layout.columns[i].name, names[i][0]);
        assert_string_equal(layout.columns[i].file, names[i][1]);
        assert_int_equal(layout.columns[i].width, i % 2 == 0 ? 64 : 0);
    }
    assert_int_equal(sweep_layout_add_column(&layout, longest, 1), STATUS_OK);
    assert_int_equal(strlen(layout.columns[10].file), 199);
    assert_int_equal(sweep_layout_add_stage(&layout, "row", 7, 7, true), STATUS_INPUT);
    assert_int_equal(sweep_layout_add_stage(&layout, "a/b", 7, 7, true), STATUS_INPUT);
    assert_int_equal(sweep_layout_add_stage(&layout, "a", 0, 7, true), STATUS_INPUT);
    assert_int_equal(sweep_layout_add_stage(&layout, "a", 7, 7, true), STATUS_OK);
    assert_int_equal(sweep_layout_add_stage(&layout, "a", 7, 7, true), STATUS_INPUT);
    sweep_layout_free(&layout);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(counts_and_messages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_does_not_fit_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_bad_place_leaves_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(finished_parts_stay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(not_ours, set_up, tear_down),
        cmocka_unit_test_setup_teardown(changed_structure, set_up, tear_down),
        cmocka_unit_test_setup_teardown(cut_short, set_up, tear_down),
        cmocka_unit_test_setup_teardown(same_bytes_whoever_writes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(flipped_bits_are_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(torn_blocks_are_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_of_columns, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
