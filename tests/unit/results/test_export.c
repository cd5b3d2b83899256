/* Export of parts: exact text of awkward rows, exact scores, and the row choices. */
#include "results/export.h"
#include "sample.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct export_options ALL_CSV = {EXPORT_ALL, EXPORT_CSV};
static const struct export_options ALL_JSONL = {EXPORT_ALL, EXPORT_JSONL};

static char *export_to_text(const char *const *paths, size_t n, struct export_options options,
                            uint64_t *n_rows)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    assert_int_equal(export_write(out, paths, n, &options, n_rows), STATUS_OK);
    fclose(out);
    return text;
}

static char *write_part(const struct sweep_layout *layout, const char *folder, const char *name,
                        uint64_t first_row, uint64_t n_rows, const char *fingerprint)
{
    struct part *part;
    char *path = sample_path(folder, name);

    assert_int_equal(sample_part(layout, SAMPLE_MIXED, 0, first_row, n_rows, &part), STATUS_OK);
    assert_int_equal(part_write(part, path, fingerprint), STATUS_OK);
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
    assert_int_equal(part_write(part, path, SAMPLE_FINGERPRINT), STATUS_OK);
    char *text = export_to_text((const char *const[]){path}, 1, ALL_CSV, NULL);
    assert_string_equal(
        text, "id,uri,status,verdict,width,height,status_,\"no\"\"te\",score_s1,score_s2\r\n"
              "\"商\n1\",a/b c.jpg,ok,pass,640,480,\"=1+1,\"\"x\"\"\",a\001\xff\\,0.100000001,\r\n");
    free(text);
    text = export_to_text((const char *const[]){path}, 1, ALL_JSONL, NULL);
    assert_string_equal(
        text,
        "{\"id\":\"商\\u000a1\",\"uri\":\"a/b c.jpg\",\"status\":\"ok\",\"verdict\":\"pass\",\"width\":640,"
        "\"height\":480,\"columns\":{\"status\":\"=1+1,\\\"x\\\"\",\"no\\\"te\":\"a\\u0001\\ufffd\\\\\"},"
        "\"scores\":{\"s1\":0.100000001,\"s2\":null}}\n");
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
    free(export_to_text((const char *const[]){a}, 1, (struct export_options){EXPORT_FLAGGED, EXPORT_CSV},
                        &n_rows));
    assert_int_equal(n_rows, expected[SWEEP_FLAGGED]);
    free(export_to_text((const char *const[]){a}, 1, (struct export_options){EXPORT_FAILED, EXPORT_CSV},
                        &n_rows));
    assert_int_equal(n_rows, expected[SWEEP_FAILED]);
    log_set_level(LOG_ERROR + 1);
    assert_int_equal(export_write(stdout, (const char *const[]){a}, 0, &ALL_CSV, NULL), STATUS_INPUT);
    if (full != NULL) {
        assert_int_equal(export_write(full, (const char *const[]){a}, 1, &ALL_CSV, NULL), STATUS_PLACE);
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
        cmocka_unit_test(exact_text),
        cmocka_unit_test(scores_read_back),
        cmocka_unit_test(row_choices_and_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
