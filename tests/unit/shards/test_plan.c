/* Planning: the cut, the refusals of a whole manifest, the plan on disk, the check before a resume. */
#include "support.h"

#include "base/file.h"
#include "shards/duplicates.h"
#include "shards/plan.h"
#include "shards/split.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct plan_options options_of(uint64_t shard_rows)
{
    return (struct plan_options){.shard_rows = shard_rows};
}

/* A manifest of n rows in any format; ids differ in length, and in CSV some carry newlines. */
static const char *write_rows(const char *name, uint64_t n)
{
    const char *path = support_path(name);
    FILE *file = fopen(path, "wb");
    bool csv = strstr(name, ".csv") != NULL, json = strstr(name, ".jsonl") != NULL;

    assert_non_null(file);
    if (!json)
        fprintf(file, csv ? "id,uri,note\r\n" : "id\turi\tnote\n");
    for (uint64_t i = 0; i < n; i++) {
        unsigned long long k = i;
        if (json)
            fprintf(file, "{\"id\":\"r%llu\",\"uri\":\"d/%llu.jpg\",\"note\":%llu}\n%s", k, k * k, k,
                    i % 7 == 0 ? "\n" : "");
        else if (csv)
            fprintf(file, i % 3 == 0 ? "r%llu,d/%llu.jpg,\"%llu\nnewline\"\r\n" : "r%llu,d/%llu.jpg,%llu\r\n",
                    k, k * k, k);
        else
            fprintf(file, "r%llu\td/%llu.jpg\t%llu\n", k, k * k, k);
    }
    assert_int_equal(fclose(file), 0);
    return path;
}

static void split_rule_covers_rows_exactly_once(void **state)
{
    static const uint64_t shard_rows[] = {1, 2, 15, 16, 17, 31, 32, 100, 1000, 4096, 5000};
    static const uint64_t n_rows[] = {1, 2, 15, 16, 17, 255, 256, 257, 4096, 65536, 70001};

    (void)state;
    for (size_t i = 0; i < sizeof(shard_rows) / sizeof(shard_rows[0]); i++) {
        for (size_t j = 0; j < sizeof(n_rows) / sizeof(n_rows[0]); j++) {
            struct split *split = NULL;
            struct split_start *starts = NULL;
            uint64_t n = 0, granule = split_granule(shard_rows[i]);

            assert_int_equal(split_open(shard_rows[i], &split), STATUS_OK);
            for (uint64_t row = 0; row < n_rows[j]; row++)
                assert_int_equal(split_row(split, row, 1000 + 10 * row, 2 + row), STATUS_OK);
            assert_int_equal(split_finish(split, n_rows[j], &starts, &n), STATUS_OK);
            uint64_t last_size = UINT64_MAX;
            for (uint64_t k = 0; k < n; k++) {
                uint64_t end = k + 1 < n ? starts[k + 1].first_row : n_rows[j];
                uint64_t size = end - starts[k].first_row;

                assert_true(size > 0 && size <= shard_rows[i]);
                assert_true(size <= last_size); /* never growing */
                assert_true(starts[k].first_row % granule == 0);
                assert_int_equal(starts[k].offset_bytes, 1000 + 10 * starts[k].first_row);
                assert_int_equal(starts[k].line, 2 + starts[k].first_row);
                last_size = size;
            }
            assert_int_equal(starts[0].first_row, 0);
            /* The tail tapers: the last shard is a granule at most. */
            assert_true(last_size <= granule);
            free(starts);
            split_close(split);
        }
    }
}

static void split_sizes_follow_the_stated_rule(void **state)
{
    (void)state;
    assert_int_equal(split_size(4096, 1000000), 4096);
    assert_int_equal(split_size(4096, 65536), 4096);
    assert_int_equal(split_size(4096, 65535), 3840);
    assert_int_equal(split_size(4096, 1000), 256);
    assert_int_equal(split_size(4096, 100), 100);
    assert_int_equal(split_size(1000, 1000000), 992);
    assert_int_equal(split_size(7, 1000), 7);
    assert_int_equal(split_size(1, 1), 1);
    struct split *split = NULL;
    assert_int_equal(split_open(0, &split), STATUS_USAGE);
}

static void split_refuses_too_many_shards(void **state)
{
    struct split *split = NULL;
    uint64_t row = 0;

    (void)state;
    assert_int_equal(split_open(1, &split), STATUS_OK);
    while (row < SPLIT_SHARDS_MAX) {
        if (split_row(split, row, row, row + 1) != STATUS_OK)
            fail();
        row++;
    }
    assert_int_equal(split_row(split, row, row, row + 1), STATUS_USAGE);
    split_close(split);
}

/* Rows read shard by shard are those read from first to last. */
static void check_shards(const char *path, const struct plan *plan)
{
    struct manifest *in_order = NULL, *by_shard = NULL;
    struct manifest_row expected, row;
    bool more;

    assert_int_equal(manifest_open(path, MANIFEST_AUTO, NULL, false, &in_order), STATUS_OK);
    assert_int_equal(manifest_open(path, MANIFEST_AUTO, NULL, false, &by_shard), STATUS_OK);
    uint64_t next = 0;
    for (uint64_t i = 0; i < plan->n_shards; i++) {
        struct shard shard = plan_shard(plan, i);

        assert_int_equal(shard.first_row, next);
        assert_int_equal(manifest_seek(by_shard, shard.offset_bytes, shard.line), STATUS_OK);
        for (uint64_t k = 0; k < shard.n_rows; k++) {
            assert_int_equal(manifest_next(in_order, &expected, &more), STATUS_OK);
            assert_true(more);
            assert_int_equal(manifest_next(by_shard, &row, &more), STATUS_OK);
            assert_true(more);
            assert_int_equal(row.line, expected.line);
            assert_int_equal(row.offset_bytes, expected.offset_bytes);
            assert_int_equal(row.id.size, expected.id.size);
            assert_memory_equal(row.id.bytes, expected.id.bytes, row.id.size);
            assert_int_equal(row.carried[0].size, expected.carried[0].size);
            assert_memory_equal(row.carried[0].bytes, expected.carried[0].bytes, row.carried[0].size);
        }
        next += shard.n_rows;
    }
    assert_int_equal(next, plan->n_rows);
    if (plan->limit == 0) {
        assert_int_equal(manifest_next(in_order, &expected, &more), STATUS_OK);
        assert_false(more);
    }
    manifest_close(by_shard);
    manifest_close(in_order);
}

static void shards_read_as_the_whole_does(void **state)
{
    static const char *const names[] = {"a.tsv", "a.csv", "a.jsonl"};
    static const uint64_t shard_rows[] = {1, 3, 16, 50, 64, 333, 5000};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        const char *path = write_rows(names[i], 1203);
        for (size_t j = 0; j < sizeof(shard_rows) / sizeof(shard_rows[0]); j++) {
            struct plan plan = {0};
            struct plan_options options = options_of(shard_rows[j]);

            options.limit = j % 2 == 0 ? 0 : 1000;
            assert_int_equal(plan_make(path, &options, support_path("."), &plan, NULL), STATUS_OK);
            assert_int_equal(plan.n_rows, j % 2 == 0 ? 1203 : 1000);
            check_shards(path, &plan);
            plan_free(&plan);
        }
    }
}

static void plan_measures_and_hashes(void **state)
{
    (void)state;
    struct plan plan = {0}, limited = {0};
    struct plan_options options = options_of(100);
    const char *path = support_write_text("a.tsv", "id\turi\tnote\n1\tabc\t\n22\ta\t\xE8\xBE\xA3\n3\tab\tx");

    assert_int_equal(plan_make(path, &options, support_path("."), &plan, NULL), STATUS_OK);
    assert_int_equal(plan.n_rows, 3);
    assert_int_equal(plan.n_columns, 3);
    assert_string_equal(plan.columns[2].name, "note");
    assert_int_equal(plan.columns[0].longest_bytes, 2);
    assert_int_equal(plan.columns[1].longest_bytes, 3);
    assert_int_equal(plan.columns[2].longest_bytes, 3);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(plan.manifest_bytes, st.st_size);
    /* XXH3-128 of these bytes by the Python package xxhash */
    assert_string_equal(plan.manifest_hash, "315492b8c7ec6e8fac9853b253b2624a");
    options.limit = 2;
    assert_int_equal(plan_make(path, &options, support_path("."), &limited, NULL), STATUS_OK);
    assert_int_equal(limited.n_rows, 2);
    assert_int_equal(limited.manifest_bytes, st.st_size - 6);
    assert_string_not_equal(limited.manifest_hash, plan.manifest_hash);
    plan_free(&limited);
    plan_free(&plan);
}

static void faults_are_listed_by_line_and_counted(void **state)
{
    (void)state;
    struct plan plan = {0};
    struct problems problems;
    struct plan_options options = options_of(16);
    FILE *file = fopen(support_path("a.tsv"), "wb");

    assert_non_null(file);
    fprintf(file, "id\turi\n");
    for (int i = 0; i < 100; i++) { /* line i + 2 */
        if (i == 4)
            fprintf(file, "\tx\n");
        else if (i >= 50 && i < 60)
            fprintf(file, "e%d\t\n", i);
        else
            fprintf(file, "r%d\tx\n", i % 10 == 9 ? 2 : i); /* r2 at 4, again at 11, 21, ... */
    }
    fclose(file);
    assert_int_equal(plan_make(support_path("a.tsv"), &options, support_path("."), &plan, &problems),
                     STATUS_INPUT);
    assert_int_equal(problems.n_total, 1 + 10 + 9);
    assert_int_equal(problems.n_shown, 10);
    static const uint64_t lines[] = {6, 11, 21, 31, 41, 51, 52, 53, 54, 55};
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(problems.shown[i].line, lines[i]);
    assert_non_null(strstr(problems.shown[0].text, "id is empty"));
    assert_non_null(strstr(problems.shown[1].text, "the id r2 again; it stands at line 4 already"));
    assert_non_null(strstr(problems.shown[9].text, "uri is empty"));
    assert_null(plan.starts);

    /* The limit ends validation too. */
    options.limit = 4;
    assert_int_equal(plan_make(support_path("a.tsv"), &options, support_path("."), &plan, &problems),
                     STATUS_OK);
    assert_int_equal(problems.n_total, 0);
    plan_free(&plan);
}

static void a_manifest_without_rows_is_refused(void **state)
{
    (void)state;
    struct plan plan = {0};
    struct plan_options options = options_of(16);

    assert_int_equal(
        plan_make(support_write_text("a.tsv", "id\turi\n"), &options, support_path("."), &plan, NULL),
        STATUS_INPUT);
}

/* Enough ids that all buckets go to disk twice and the table grows. */
static void duplicates_are_found_across_buckets_and_chunks(void **state)
{
    const uint64_t n = 7000000;
    struct duplicates *duplicates = NULL;
    struct duplicate shown[DUPLICATES_SHOWN];
    size_t n_shown;
    uint64_t n_total;
    char id[32];

    (void)state;
    assert_int_equal(duplicates_open(support_path("."), &duplicates), STATUS_OK);
    for (uint64_t i = 1; i <= n; i++) {
        /* every 100,000th from 200,000 on repeats row 100,000; 6,999,999 repeats 1 */
        uint64_t k = i % 100000 == 0 ? 100000 : i == n - 1 ? 1 : i;
        int size = snprintf(id, sizeof(id), "item-%llu", (unsigned long long)k);
        if (duplicates_add(duplicates, id, (size_t)size, i) != STATUS_OK)
            fail();
    }
    assert_true(duplicates_scratch_bytes(duplicates) > 100000000);
    assert_true(duplicates_scratch_bytes(duplicates) <= 24 * n);
    assert_int_equal(duplicates_find(duplicates, shown, &n_shown, &n_total), STATUS_OK);
    assert_int_equal(n_total, 70);
    assert_int_equal(n_shown, 10);
    for (size_t i = 0; i < n_shown; i++) {
        assert_int_equal(shown[i].line, 200000 + 100000 * i);
        assert_int_equal(shown[i].first_line, 100000);
    }
    duplicates_close(duplicates);
}

/* All rows the same id: one bucket holds them all, and memory must not. */
static void one_id_a_million_times_is_counted(void **state)
{
    const uint64_t n = 1000000;
    struct duplicates *duplicates = NULL;
    struct duplicate shown[DUPLICATES_SHOWN];
    size_t n_shown;
    uint64_t n_total;

    (void)state;
    assert_int_equal(duplicates_open(support_path("."), &duplicates), STATUS_OK);
    for (uint64_t i = 1; i <= n; i++)
        if (duplicates_add(duplicates, "same", 4, i) != STATUS_OK)
            fail();
    assert_int_equal(duplicates_find(duplicates, shown, &n_shown, &n_total), STATUS_OK);
    assert_int_equal(n_total, n - 1);
    assert_int_equal(shown[9].line, 11);
    assert_int_equal(shown[9].first_line, 1);
    duplicates_close(duplicates);
    assert_int_equal(duplicates_open(support_path("no/such"), &duplicates), STATUS_OK);
    enum status rc = STATUS_OK;
    for (uint64_t i = 1; i <= 6000 && rc == STATUS_OK; i++)
        rc = duplicates_add(duplicates, "same", 4, i);
    assert_int_equal(rc, STATUS_INPUT); /* no folder for the scratch file */
    duplicates_close(duplicates);
}

static void plan_is_written_whole_and_loaded_alike(void **state)
{
    (void)state;
    struct plan plan = {0}, loaded = {0};
    struct plan_options options = options_of(64);
    const char *path = write_rows("a.csv", 5000);

    assert_int_equal(plan_make(path, &options, support_path("."), &plan, NULL), STATUS_OK);
    assert_false(plan_exists(support_path("out")));
    assert_int_equal(plan_write(&plan, support_path("out")), STATUS_OK);
    assert_true(plan_exists(support_path("out")));
    assert_int_equal(plan_load(support_path("out"), &loaded), STATUS_OK);
    assert_int_equal(loaded.format, MANIFEST_CSV);
    assert_string_equal(loaded.manifest_hash, plan.manifest_hash);
    assert_int_equal(loaded.manifest_bytes, plan.manifest_bytes);
    assert_int_equal(loaded.n_rows, 5000);
    assert_int_equal(loaded.shard_rows, 64);
    assert_int_equal(loaded.n_columns, 3);
    assert_int_equal(loaded.columns[2].longest_bytes, plan.columns[2].longest_bytes);
    assert_int_equal(loaded.n_shards, plan.n_shards);
    for (uint64_t i = 0; i < plan.n_shards; i++) {
        struct shard a = plan_shard(&plan, i), b = plan_shard(&loaded, i);
        assert_true(a.index == b.index && a.first_row == b.first_row && a.n_rows == b.n_rows &&
                    a.offset_bytes == b.offset_bytes && a.line == b.line);
    }
    plan_free(&loaded);

    /* Any change to either file is found, not followed. */
    char *text = NULL;
    size_t size;
    assert_int_equal(file_read(support_path("out/plan/shards.tsv"), 1 << 20, &text, &size), STATUS_OK);
    text[size - 2] = text[size - 2] == '1' ? '2' : '1';
    support_write("out/plan/shards.tsv", text, size);
    assert_int_equal(plan_load(support_path("out"), &loaded), STATUS_INPUT);
    support_write("out/plan/shards.tsv", text, size / 2);
    assert_int_equal(plan_load(support_path("out"), &loaded), STATUS_INPUT);
    free(text);
    support_write_text("out/plan/plan.json", "{\"version\": 99}");
    assert_int_equal(plan_load(support_path("out"), &loaded), STATUS_INPUT);
    support_write_text("out/plan/plan.json", "{\"version\": 1, \"columns\": [{}, 3]}");
    assert_int_equal(plan_load(support_path("out"), &loaded), STATUS_INPUT);
    support_write_text("out/plan/plan.json", "\x01");
    assert_int_equal(plan_load(support_path("out"), &loaded), STATUS_INPUT);
    plan_free(&plan);
}

static void resume_is_checked_field_by_field(void **state)
{
    (void)state;
    struct plan plan = {0};
    struct plan_options options = options_of(64), other;
    const char *path = write_rows("a.tsv", 500);
    char changed[64];

    assert_int_equal(plan_make(path, &options, support_path("."), &plan, NULL), STATUS_OK);
    assert_int_equal(plan_check(&plan, path, &options), STATUS_OK);
    other = options_of(65);
    assert_int_equal(plan_check(&plan, path, &other), STATUS_MISMATCH);
    other = options_of(64);
    other.limit = 400;
    assert_int_equal(plan_check(&plan, path, &other), STATUS_MISMATCH);
    other = options_of(64);
    other.carry = "none";
    assert_int_equal(plan_check(&plan, path, &other), STATUS_MISMATCH);
    other.carry = "note"; /* the same columns, said in another way */
    assert_int_equal(plan_check(&plan, path, &other), STATUS_OK);

    struct plan limited = {0};
    other = options_of(64);
    other.limit = 400;
    assert_int_equal(plan_make(path, &other, support_path("."), &limited, NULL), STATUS_OK);
    FILE *file = fopen(path, "ab");
    fprintf(file, "new\tx\ty\n");
    fclose(file);
    assert_int_equal(plan_check(&plan, path, &options), STATUS_MISMATCH); /* longer */
    assert_int_equal(plan_check(&limited, path, &other), STATUS_OK);      /* behind the rows taken */
    plan_free(&limited);

    char *text = NULL;
    size_t size;
    write_rows("a.tsv", 500);
    assert_int_equal(file_read(support_path("a.tsv"), 1 << 20, &text, &size), STATUS_OK);
    text[size - 2] = 'x';
    snprintf(changed, sizeof(changed), "b.tsv");
    assert_int_equal(plan_check(&plan, support_write(changed, text, size), &options), STATUS_MISMATCH);
    assert_int_equal(plan_check(&plan, support_path("none.tsv"), &options), STATUS_INPUT);
    free(text);
    plan_free(&plan);
}

static void a_million_shards_load(void **state)
{
    (void)state;
    struct plan plan = {.format = MANIFEST_TSV, .manifest_hash = "0123456789abcdef0123456789abcdef"},
                loaded = {0};
    struct plan_column columns[2] = {{.name = strdup("id")}, {.name = strdup("uri")}};

    plan.n_shards = 1000000;
    plan.shard_rows = 16;
    plan.n_rows = 16 * plan.n_shards;
    plan.columns = columns;
    plan.n_columns = 2;
    plan.starts = malloc(plan.n_shards * sizeof(*plan.starts));
    for (uint64_t i = 0; i < plan.n_shards; i++)
        plan.starts[i] = (struct split_start){16 * i, 1000 * i, 16 * i + 2};
    assert_int_equal(plan_write(&plan, support_path("out")), STATUS_OK);
    assert_int_equal(plan_load(support_path("out"), &loaded), STATUS_OK);
    struct shard shard = plan_shard(&loaded, 999999);
    assert_int_equal(shard.n_rows, 16);
    assert_int_equal(shard.offset_bytes, 999999000);
    plan_free(&loaded);
    free(plan.starts);
    free(columns[0].name);
    free(columns[1].name);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, support_setup, support_teardown)
    const struct CMUnitTest tests[] = {
        T(split_rule_covers_rows_exactly_once),
        T(split_sizes_follow_the_stated_rule),
        T(split_refuses_too_many_shards),
        T(shards_read_as_the_whole_does),
        T(plan_measures_and_hashes),
        T(faults_are_listed_by_line_and_counted),
        T(a_manifest_without_rows_is_refused),
        T(duplicates_are_found_across_buckets_and_chunks),
        T(one_id_a_million_times_is_counted),
        T(plan_is_written_whole_and_loaded_alike),
        T(resume_is_checked_field_by_field),
        T(a_million_shards_load),
    };
#undef T

    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
