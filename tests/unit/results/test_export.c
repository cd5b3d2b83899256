/* Export of parts: exact text of awkward rows, exact scores, and the row choices. */
#include "results/export.h"
#include "sample.h"

#include <hdf5.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const struct export_options ALL_CSV = {EXPORT_ALL, EXPORT_CSV, false};
static const struct export_options ALL_JSONL = {EXPORT_ALL, EXPORT_JSONL, false};

static char *export_to_text(const char *const *paths, size_t n, struct export_options options,
                            uint64_t *n_rows)
{
    struct export_counts counts = {0};
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    assert_int_equal(export_write(out, paths, n, &options, &counts), STATUS_OK);
    assert_int_equal(counts.n_left_out, 0);
    if (n_rows != NULL)
        *n_rows = counts.n_rows;
    fclose(out);
    return text;
}

static char *write_part(const struct sweep_layout *layout, const char *folder, const char *name,
                        uint64_t first_row, uint64_t n_rows, const char *fingerprint)
{
    struct part *part;
    char *path = sample_path(folder, name);

    assert_int_equal(sample_part(layout, SAMPLE_MIXED, 0, first_row, n_rows, &part), STATUS_OK);
    assert_int_equal(part_write(part, path, fingerprint, &(bool){false}), STATUS_OK);
    part_free(part);
    return path;
}

/* One hand-made row with all that needs escapes. */
static void exact_text(void **state)
{
    struct sweep_layout layout;
    struct part *part;
    char *folder = sample_make_folder();
    char *path = sample_path(folder, "part.h5");
    struct part_text columns[2] = {{"=1+1,\"x\"", 8}, {"a\001\xff\\", 4}};
    uint8_t hash[SWEEP_HASH_SIZE] = {0};

    (void)state;
    assert_int_equal(sweep_layout_init(&layout, 8, HEATMAPS_NONE, 0), STATUS_OK);
    assert_int_equal(sweep_layout_add_column(&layout, "status", 8), STATUS_OK);
    assert_int_equal(sweep_layout_add_column(&layout, "no\"te", 100), STATUS_OK);
    assert_int_equal(sweep_layout_add_stage(&layout, "s1", 0, 0, true), STATUS_OK);
    assert_int_equal(sweep_layout_add_stage(&layout, "s2", 0, 0, true), STATUS_OK);
    assert_int_equal(part_create(&layout, 0, 0, 1, &part), STATUS_OK);
    assert_int_equal(
        part_set_item(part, 0, (struct part_text){"商\n1", 5}, (struct part_text){"a/b c.jpg", 9}, columns),
        STATUS_OK);
    part_set_picture(part, 0, 640, 480, 1, hash);
    part_set_score(part, 0, 0, 0.1f);
    assert_int_equal(part_set_outcome(part, 0, ITEM_OK, SWEEP_PASS, NULL), STATUS_OK);
    assert_int_equal(part_write(part, path, SAMPLE_FINGERPRINT, &(bool){false}), STATUS_OK);
    char *text = export_to_text((const char *const[]){path}, 1, ALL_CSV, NULL);
    assert_string_equal(
        text, "id,uri,status,verdict,width,height,status_,\"no\"\"te\",score_s1,score_s2,message\r\n"
              "\"商\n1\",a/b c.jpg,ok,pass,640,480,\"=1+1,\"\"x\"\"\",a\001\xff\\,0.100000001,,\r\n");
    free(text);
    text = export_to_text((const char *const[]){path}, 1, ALL_JSONL, NULL);
    assert_string_equal(
        text,
        "{\"id\":\"商\\u000a1\",\"uri\":\"a/b c.jpg\",\"status\":\"ok\",\"verdict\":\"pass\",\"width\":640,"
        "\"height\":480,\"columns\":{\"status\":\"=1+1,\\\"x\\\"\",\"no\\\"te\":\"a\\u0001\\ufffd\\\\\"},"
        "\"scores\":{\"s1\":0.100000001,\"s2\":null},\"message\":null}\n");
    free(text);
    part_free(part);
    sweep_layout_free(&layout);
    free(path);
    sample_remove_folder(folder);
}

/* Scores of many rows, over two parts and the chunk size, read back as the same float32. */
static void scores_read_back(void **state)
{
    struct sweep_layout layout;
    char *folder = sample_make_folder();
    uint64_t n_rows;
    uint64_t row = 0;

    (void)state;
    assert_int_equal(sample_layout(&layout), STATUS_OK);
    char *a = write_part(&layout, folder, "a.h5", 0, 4500, SAMPLE_FINGERPRINT);
    char *b = write_part(&layout, folder, "b.h5", 4500, 100, SAMPLE_FINGERPRINT);
    char *text = export_to_text((const char *const[]){a, b}, 2, ALL_JSONL, &n_rows);
    assert_int_equal(n_rows, 4600);
    for (char *line = text; *line != '\0'; line = strchr(line, '\n') + 1, row++) {
        struct sample_row expected = sample_row(SAMPLE_MIXED, row);
        const char *score = strstr(line, "\"scores\":{\"resnet50\":") + strlen("\"scores\":{\"resnet50\":");
        if (isnan(expected.scores[0]))
            assert_memory_equal(score, "null", 4);
        else
            assert_true(strtof(score, NULL) == expected.scores[0]);
    }
    assert_int_equal(row, 4600);
    free(text);
    free(a);
    free(b);
    sweep_layout_free(&layout);
    sample_remove_folder(folder);
}

/* What a row's message must be after a trip through the file: bytes that are no UTF-8 are replaced there. */
static const char *expected_message(const struct sample_row *row)
{
    if (row->message == NULL)
        return row->verdict == SWEEP_FAILED ? item_status_meaning(row->status) : NULL;
    return strstr(row->message, "header") != NULL ? "header: größe" : row->message;
}

/* Messages go to their rows, over the chunk sizes of rows and messages, and from parts that start late. */
static void messages_of_rows(void **state)
{
    struct sweep_layout layout;
    char *folder = sample_make_folder();
    uint64_t n_messages = 0;
    uint64_t row = 0;

    (void)state;
    assert_int_equal(sample_layout(&layout), STATUS_OK);
    char *a = write_part(&layout, folder, "a.h5", 0, 9000, SAMPLE_FINGERPRINT);
    char *b = write_part(&layout, folder, "b.h5", 9000, 500, SAMPLE_FINGERPRINT);
    char *text = export_to_text((const char *const[]){a, b}, 2, ALL_JSONL, NULL);
    for (char *line = text; *line != '\0'; line = strchr(line, '\n') + 1, row++) {
        struct sample_row made = sample_row(SAMPLE_MIXED, row);
        const char *expected = expected_message(&made);
        char *end = strchr(line, '\n');
        char *found = strstr(line, "\"message\":") + strlen("\"message\":");
        assert_true(found < end);
        if (expected == NULL) {
            assert_memory_equal(found, "null}", 5);
            continue;
        }
        n_messages++;
        assert_int_equal(found[0], '"');
        *end = '\0';
        assert_non_null(strstr(found, expected));
        *end = '\n';
    }
    assert_int_equal(row, 9500);
    assert_true(n_messages > 1024);
    free(text);
    text = export_to_text((const char *const[]){b}, 1,
                          (struct export_options){EXPORT_FAILED, EXPORT_CSV, false}, NULL);
    assert_null(strstr(text, ",\r\n")); /* every failed row says why */
    free(text);
    free(a);
    free(b);
    sweep_layout_free(&layout);
    sample_remove_folder(folder);
}

static void overwrite_row(const char *path, uint64_t entry, uint64_t value)
{
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    hid_t rows = H5Dopen2(file, "/failures/row", H5P_DEFAULT);
    hid_t space = H5Dget_space(rows);
    hid_t one = H5Screate(H5S_SCALAR);
    hsize_t at[1] = {entry};

    assert_true(H5Sselect_elements(space, H5S_SELECT_SET, 1, at) >= 0);
    assert_true(H5Dwrite(rows, H5T_NATIVE_UINT64, one, space, H5P_DEFAULT, &value) >= 0);
    H5Sclose(one);
    H5Sclose(space);
    H5Dclose(rows);
    H5Fclose(file);
}

/* Rows of /failures that go back, or are another part's, are told and not waited for. */
static void messages_of_no_row(void **state)
{
    static const uint64_t wrong[] = {0, 99, 400, UINT64_MAX};
    struct sweep_layout layout;
    char *folder = sample_make_folder();
    FILE *sink = fopen("/dev/null", "w");

    (void)state;
    assert_int_equal(sample_layout(&layout), STATUS_OK);
    log_set_level(LOG_ERROR + 1);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char *part = write_part(&layout, folder, "a.h5", 100, 300, SAMPLE_FINGERPRINT);
        assert_int_equal(export_write(sink, (const char *const[]){part}, 1, &ALL_CSV, NULL), STATUS_OK);
        overwrite_row(part, 2, wrong[i]);
        assert_int_equal(export_write(sink, (const char *const[]){part}, 1, &ALL_CSV, NULL), STATUS_INPUT);
        unlink(part);
        free(part);
    }
    log_set_level(LOG_INFO);
    fclose(sink);
    sweep_layout_free(&layout);
    sample_remove_folder(folder);
}

/* --partial: the first, a middle and a half-broken part cannot be read; the others are exported. */
static void unreadable_parts(void **state)
{
    const struct export_options options = {EXPORT_ALL, EXPORT_CSV, true};
    struct sweep_layout layout;
    char *folder = sample_make_folder();
    struct export_counts counts;
    char *paths[4];

    (void)state;
    assert_int_equal(sample_layout(&layout), STATUS_OK);
    for (uint64_t i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%d.h5", (int)i);
        paths[i] = write_part(&layout, folder, name, 100 * i, 100, SAMPLE_FINGERPRINT);
    }
    assert_int_equal(truncate(paths[0], 1000), 0);
    overwrite_row(paths[2], 2, 0);
    log_set_level(LOG_ERROR + 1);
    FILE *sink = fopen("/dev/null", "w");
    assert_int_equal(export_write(sink, (const char *const *)paths, 4, &ALL_CSV, NULL), STATUS_INPUT);
    assert_int_equal(export_write(sink, (const char *const *)paths, 4, &options, &counts), STATUS_OK);
    assert_int_equal(counts.n_left_out, 2);
    assert_in_range(counts.n_rows, 200, 299);
    assert_int_equal(export_write(sink, (const char *const *)paths, 1, &options, &counts), STATUS_INPUT);
    FILE *full = fopen("/dev/full", "w");
    if (full != NULL) {
        assert_int_equal(export_write(full, (const char *const *)paths, 4, &options, NULL), STATUS_INPUT);
        fclose(full);
    }
    log_set_level(LOG_INFO);
    fclose(sink);
    for (int i = 0; i < 4; i++)
        free(paths[i]);
    sweep_layout_free(&layout);
    sample_remove_folder(folder);
}

static void row_choices_and_refusals(void **state)
{
    struct sweep_layout layout;
    char *folder = sample_make_folder();
    uint64_t n_rows;
    uint64_t expected[SWEEP_VERDICT_COUNT] = {0};
    FILE *full = fopen("/dev/full", "w");

    (void)state;
    assert_int_equal(sample_layout(&layout), STATUS_OK);
    for (uint64_t i = 0; i < 300; i++)
        expected[sample_row(SAMPLE_MIXED, i).verdict]++;
    char *a = write_part(&layout, folder, "a.h5", 0, 300, SAMPLE_FINGERPRINT);
    char *b = write_part(&layout, folder, "b.h5", 300, 10, "another run");
    free(export_to_text((const char *const[]){a}, 1,
                        (struct export_options){EXPORT_FLAGGED, EXPORT_CSV, false}, &n_rows));
    assert_int_equal(n_rows, expected[SWEEP_FLAGGED]);
    free(export_to_text((const char *const[]){a}, 1,
                        (struct export_options){EXPORT_FAILED, EXPORT_CSV, false}, &n_rows));
    assert_int_equal(n_rows, expected[SWEEP_FAILED]);
    log_set_level(LOG_ERROR + 1);
    assert_int_equal(export_write(stdout, (const char *const[]){a}, 0, &ALL_CSV, NULL), STATUS_INPUT);
    if (full != NULL) {
        assert_int_equal(export_write(full, (const char *const[]){a}, 1, &ALL_CSV, NULL), STATUS_INPUT);
        fclose(full);
    }
    FILE *sink = fopen("/dev/null", "w");
    assert_int_equal(export_write(sink, (const char *const[]){a, b}, 2, &ALL_CSV, NULL), STATUS_MISMATCH);
    fclose(sink);
    free(a);
    free(b);
    sweep_layout_free(&layout);
    sample_remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_text),       cmocka_unit_test(scores_read_back),
        cmocka_unit_test(messages_of_rows), cmocka_unit_test(messages_of_no_row),
        cmocka_unit_test(unreadable_parts), cmocka_unit_test(row_choices_and_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
