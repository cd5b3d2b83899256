/* Reading the three formats: fields, lines, offsets, and every refusal. */
#include "support.h"

#include "shards/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct manifest *open_good(const char *path, const char *carry)
{
    struct manifest *manifest = NULL;

    assert_int_equal(manifest_open(path, MANIFEST_AUTO, carry, false, &manifest), STATUS_OK);
    return manifest;
}

static void expect_row(struct manifest *manifest, uint64_t line, const char *id, const char *uri)
{
    struct manifest_row row;
    bool more;

    assert_int_equal(manifest_next(manifest, &row, &more), STATUS_OK);
    assert_true(more);
    assert_int_equal(row.line, line);
    support_assert_field(&row.id, id);
    support_assert_field(&row.uri, uri);
}

static void expect_end(struct manifest *manifest)
{
    struct manifest_row row;
    bool more = true;

    assert_int_equal(manifest_next(manifest, &row, &more), STATUS_OK);
    assert_false(more);
    assert_int_equal(manifest_next(manifest, &row, &more), STATUS_OK); /* and again */
    assert_false(more);
}

/* The next row is bad, at `line`, and the message holds `text`. */
static void expect_bad(struct manifest *manifest, uint64_t line, const char *text)
{
    struct manifest_row row;
    enum manifest_got got;

    assert_int_equal(manifest_get(manifest, &row, &got), STATUS_OK);
    assert_int_equal(got, MANIFEST_BAD);
    if (strstr(manifest_problem(manifest), text) == NULL)
        fail_msg("expected \"%s\" in \"%s\"", text, manifest_problem(manifest));
    assert_int_equal(row.line, line);
}

static void tsv_reads_fields_lines_and_carried_columns(void **state)
{
    (void)state;
    const char *path = support_write_text("a.tsv", "\xEF\xBB\xBFpartner\turi\tid\tlabel\r\n"
                                                   "p1\ta.jpg\t1\t\r\n"
                                                   "\r\n"
                                                   "\"p\tb c.jpg\t\xE8\xBE\xA3\tx");
    struct manifest *manifest = open_good(path, NULL);
    struct manifest_row row;
    bool more;

    assert_int_equal(manifest_n_carried(manifest), 2);
    assert_string_equal(manifest_carried_name(manifest, 0), "partner");
    assert_string_equal(manifest_carried_name(manifest, 1), "label");
    assert_int_equal(manifest_next(manifest, &row, &more), STATUS_OK);
    assert_int_equal(row.line, 2);
    assert_int_equal(row.offset_bytes, 3 + 22);
    support_assert_field(&row.id, "1");
    support_assert_field(&row.carried[0], "p1");
    support_assert_field(&row.carried[1], "");
    assert_int_equal(manifest_next(manifest, &row, &more), STATUS_OK);
    assert_int_equal(row.line, 4);
    support_assert_field(&row.id, "\xE8\xBE\xA3");
    support_assert_field(&row.uri, "b c.jpg");
    support_assert_field(&row.carried[0], "\"p"); /* no quoting in TSV */
    support_assert_field(&row.carried[1], "x");
    expect_end(manifest);
    manifest_close(manifest);
}

static void carry_chooses_and_names_what_is_there(void **state)
{
    (void)state;
    const char *path = support_write_text("a.tsv", "id\ta\turi\tb\tc\n1\tA\tu\tB\tC\n");
    struct manifest *manifest = open_good(path, "c,a");
    struct manifest_row row;
    bool more;

    assert_int_equal(manifest_n_carried(manifest), 2);
    assert_string_equal(manifest_carried_name(manifest, 0), "c");
    assert_int_equal(manifest_next(manifest, &row, &more), STATUS_OK);
    support_assert_field(&row.carried[0], "C");
    support_assert_field(&row.carried[1], "A");
    manifest_close(manifest);

    manifest = open_good(path, "none");
    assert_int_equal(manifest_n_carried(manifest), 0);
    expect_row(manifest, 2, "1", "u");
    manifest_close(manifest);

    manifest = NULL;
    assert_int_equal(manifest_open(path, MANIFEST_AUTO, "a,d", false, &manifest), STATUS_USAGE);
    assert_int_equal(manifest_open(path, MANIFEST_AUTO, "a,a", false, &manifest), STATUS_USAGE);
    assert_int_equal(manifest_open(path, MANIFEST_AUTO, "a,", false, &manifest), STATUS_USAGE);
    assert_null(manifest);
}

static void headers_are_refused(void **state)
{
    static const struct {
        const char *name, *text;
        enum status status;
    } cases[] = {
        {"a.tsv", "", STATUS_INPUT},
        {"a.tsv", "\n\n", STATUS_INPUT},
        {"a.tsv", "id\tpath\n1\ta\n", STATUS_INPUT},
        {"a.tsv", "uri\tx\n1\ta\n", STATUS_INPUT},
        {"a.tsv", "id,uri\n1,a\n", STATUS_INPUT},
        {"a.tsv", "id\turi\tx\tx\n", STATUS_INPUT},
        {"a.tsv", "id\turi\t\n", STATUS_INPUT},
        {"a.tsv", "id\turi\ta/b\n", STATUS_INPUT},
        {"a.tsv", "id\turi\t..\n", STATUS_INPUT},
        {"a.tsv", "id\turi\t\xFF\n", STATUS_INPUT},
        {"a.tsv", "\xFF\xFEi", STATUS_INPUT},
        {"a.csv", "id,\"uri\n1,2\n", STATUS_INPUT},
        {"a.jsonl", "", STATUS_INPUT},
        {"a.jsonl", "[1]\n", STATUS_INPUT},
        {"a.jsonl", "{\"id\":1,\"a/b\":2}\n", STATUS_INPUT},
        {"a.jsonl", "{\"id\":1,\"x\":2,\"x\":3}\n", STATUS_INPUT},
        {"a.json", "{\"id\":1,\"uri\":2}\n", STATUS_USAGE},
        {"manifest", "id\turi\n", STATUS_USAGE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct manifest *manifest = NULL;
        const char *path = support_write_text(cases[i].name, cases[i].text);
        assert_int_equal(manifest_open(path, MANIFEST_AUTO, NULL, false, &manifest), cases[i].status);
        assert_null(manifest);
    }
    struct manifest *manifest = NULL;
    assert_int_equal(manifest_open(support_path("none.tsv"), MANIFEST_AUTO, NULL, false, &manifest),
                     STATUS_INPUT);
    assert_int_equal(manifest_open(support_path("."), MANIFEST_TSV, NULL, false, &manifest), STATUS_INPUT);
    assert_int_equal(manifest_open("/dev/zero", MANIFEST_TSV, NULL, false, &manifest), STATUS_INPUT);
}

static void header_of_too_many_columns_is_refused(void **state)
{
    char *text = malloc(8192);
    struct manifest *manifest = NULL;

    (void)state;
    size_t used = (size_t)sprintf(text, "id\turi");
    for (int i = 0; i < 1100; i++)
        used += (size_t)sprintf(text + used, "\t%x", i);
    assert_int_equal(manifest_open(support_write("a.tsv", text, used), MANIFEST_AUTO, NULL, false, &manifest),
                     STATUS_INPUT);
    free(text);
}

static void tsv_rows_are_refused_and_reading_goes_on(void **state)
{
    (void)state;
    char long_id[129 + 1];
    memset(long_id, 'x', 129);
    long_id[129] = '\0';
    char text[1024];
    snprintf(text, sizeof(text),
             "id\turi\n"
             "1\ta\n"             /* 2 */
             "\tb\n"              /* 3 */
             "2\t\n"              /* 4 */
             "%s\tc\n"            /* 5 */
             "3\n"                /* 6 */
             "4\td\te\n"          /* 7 */
             "5\x01\tf\n"         /* 8 */
             "6\t\xC0\xAF\n"      /* 9: overlong / */
             "7\xED\xA0\x80\tg\n" /* 10: a surrogate */
             "8\x7f\th\n"         /* 11 */
             "9\xC2\x85\ti\n"     /* 12: U+0085 */
             "10\tj\rk\n"         /* 13: a lone CR is data in TSV */
             "%.128s\tl",         /* 14 */
             long_id, long_id);
    struct manifest *manifest = open_good(support_write_text("a.tsv", text), NULL);

    expect_row(manifest, 2, "1", "a");
    expect_bad(manifest, 3, "id is empty");
    expect_bad(manifest, 4, "uri is empty");
    expect_bad(manifest, 5, "129 bytes");
    expect_bad(manifest, 6, "1 fields; the header has 2");
    expect_bad(manifest, 7, "3 fields");
    expect_bad(manifest, 8, "control character");
    expect_bad(manifest, 9, "bad UTF-8 at byte 3");
    expect_bad(manifest, 10, "bad UTF-8 at byte 2");
    expect_bad(manifest, 11, "control character");
    expect_bad(manifest, 12, "control character");
    expect_row(manifest, 13, "10", "j\rk");
    long_id[128] = '\0';
    expect_row(manifest, 14, long_id, "l");
    expect_end(manifest);
    manifest_close(manifest);

    manifest = open_good(support_write_text("b.tsv", "id\turi\n\tx\n"), NULL);
    struct manifest_row row;
    bool more;
    assert_int_equal(manifest_next(manifest, &row, &more), STATUS_INPUT);
    manifest_close(manifest);
}

/* NUL bytes, a line of 10 MB, a line of exactly the limit, and no newline at the end. */
static void hostile_lines_do_no_harm(void **state)
{
    const size_t size = (size_t)16 << 20;
    char *text = malloc(size);
    size_t used = 0;

    (void)state;
    assert_non_null(text);
    used += (size_t)sprintf(text, "id\turi\n1\ta\n");
    memcpy(text + used, "2\tb\0c\n", 6);
    used += 6;
    memset(text + used, 'x', (size_t)10 << 20);
    used += (size_t)10 << 20;
    used += (size_t)sprintf(text + used, "\n3\t");
    memset(text + used, 'y', ((size_t)1 << 20) - 2);
    used += ((size_t)1 << 20) - 2;
    used += (size_t)sprintf(text + used, "\r\n4\t");
    memset(text + used, 'z', ((size_t)1 << 20) - 1);
    used += ((size_t)1 << 20) - 1;
    used += (size_t)sprintf(text + used, "\n5\te");
    struct manifest *manifest = open_good(support_write("a.tsv", text, used), NULL);
    struct manifest_row row;
    bool more;

    expect_row(manifest, 2, "1", "a");
    expect_bad(manifest, 3, "NUL");
    expect_bad(manifest, 4, "over 1 MiB");
    assert_int_equal(manifest_next(manifest, &row, &more), STATUS_OK);
    assert_int_equal(row.line, 5);
    assert_int_equal(row.uri.size, ((size_t)1 << 20) - 2);
    expect_bad(manifest, 6, "over 1 MiB");
    expect_row(manifest, 7, "5", "e");
    expect_end(manifest);
    manifest_close(manifest);

    memset(text, 0, size); /* 16 MB of NUL, no newline */
    manifest = NULL;
    assert_int_equal(manifest_open(support_write("b.tsv", text, size), MANIFEST_AUTO, NULL, false, &manifest),
                     STATUS_INPUT);
    free(text);
}

static void csv_reads_quotes_newlines_and_spaces(void **state)
{
    (void)state;
    const char *path = support_write_text("a.csv", "\xEF\xBB\xBFid,uri,\"the, note\"\r\n"
                                                   "1,a.jpg,\"two\nlines, \"\"quoted\"\"\"\r\n"
                                                   "\r\n"
                                                   "2, b.jpg ,\"\"\n"
                                                   "\"3\",\"c\r\n\r\nd\",x");
    struct manifest *manifest = open_good(path, NULL);
    struct manifest_row row;
    bool more;

    assert_string_equal(manifest_carried_name(manifest, 0), "the, note");
    assert_int_equal(manifest_next(manifest, &row, &more), STATUS_OK);
    assert_int_equal(row.line, 2);
    support_assert_field(&row.id, "1");
    support_assert_field(&row.carried[0], "two\nlines, \"quoted\"");
    assert_int_equal(manifest_next(manifest, &row, &more), STATUS_OK);
    assert_int_equal(row.line, 5);
    support_assert_field(&row.uri, " b.jpg ");
    support_assert_field(&row.carried[0], "");
    uint64_t offset = row.offset_bytes;
    expect_row(manifest, 6, "3", "c\r\n\r\nd");
    expect_end(manifest);
    assert_int_equal(manifest_seek(manifest, offset, 5), STATUS_OK);
    expect_row(manifest, 5, "2", " b.jpg ");
    expect_row(manifest, 6, "3", "c\r\n\r\nd");
    expect_end(manifest);
    manifest_close(manifest);
}

static void csv_rows_are_refused(void **state)
{
    (void)state;
    struct manifest *manifest = open_good(support_write_text("a.csv", "id,uri\n"
                                                                      "1,a\"b\n"
                                                                      "2,\"a\"b\n"
                                                                      "3,a\rb,c\n"
                                                                      "4,ok\n"
                                                                      "5,a,b\n"
                                                                      "6,\xFF\n"
                                                                      "\"7\n7\",a\n"
                                                                      "8,\"\n\n"),
                                          NULL);

    expect_bad(manifest, 2, "quote");
    expect_bad(manifest, 3, "quote");
    expect_bad(manifest, 4, "carriage return");
    expect_row(manifest, 5, "4", "ok");
    expect_bad(manifest, 6, "3 fields");
    expect_bad(manifest, 7, "UTF-8");
    expect_bad(manifest, 8, "control character");
    expect_bad(manifest, 10, "inside a quoted field");
    expect_end(manifest);
    manifest_close(manifest);
}

/* An open quote swallows what follows; it must not swallow memory. */
static void csv_open_quote_ends_after_1_mib(void **state)
{
    const size_t size = (size_t)3 << 20;
    char *text = malloc(size);

    (void)state;
    assert_non_null(text);
    size_t used = (size_t)sprintf(text, "id,uri\n1,a\n2,\"b\n");
    while (used < size - 100)
        used += (size_t)sprintf(text + used, "3,some/picture.jpg\n");
    struct manifest *manifest = open_good(support_write("a.csv", text, used), NULL);
    expect_row(manifest, 2, "1", "a");
    expect_bad(manifest, 3, "over 1 MiB");
    struct manifest_row row;
    bool more;
    assert_int_equal(manifest_next(manifest, &row, &more), STATUS_OK); /* and on with a whole line */
    support_assert_field(&row.id, "3");
    manifest_close(manifest);
    free(text);
}

static void jsonl_reads_texts_numbers_and_missing_keys(void **state)
{
    (void)state;
    const char *path =
        support_write_text("a.jsonl", "{\"id\": 12345678901234567890, \"uri\": \"a \\u8fa3.jpg\", \"price\": "
                                      "1.50, \"new\": true, \"tags\": [1, "
                                      "{\"x\": \"}\"}]}\n"
                                      "\n"
                                      "{\"price\":null,\"other\":\"}\\\"{\",\"uri\":\"b\",\"id\":\"2\"}\r\n"
                                      " {\"id\":\"3\",\"uri\":\"c\",\"tags\":\"\\\\u0000\",\"price\":-1e5} ");
    struct manifest *manifest = open_good(path, NULL);
    struct manifest_row row;
    bool more;

    assert_int_equal(manifest_n_carried(manifest), 3);
    assert_string_equal(manifest_carried_name(manifest, 0), "price");
    assert_int_equal(manifest_next(manifest, &row, &more), STATUS_OK);
    assert_int_equal(row.line, 1);
    support_assert_field(&row.id, "12345678901234567890");
    support_assert_field(&row.uri, "a \xE8\xBE\xA3.jpg");
    support_assert_field(&row.carried[0], "1.50");
    support_assert_field(&row.carried[1], "true");
    support_assert_field(&row.carried[2], "[1, {\"x\": \"}\"}]");
    assert_int_equal(manifest_next(manifest, &row, &more), STATUS_OK);
    assert_int_equal(row.line, 3);
    uint64_t offset = row.offset_bytes;
    support_assert_field(&row.id, "2");
    support_assert_field(&row.carried[0], "");
    support_assert_field(&row.carried[1], "");
    assert_int_equal(manifest_next(manifest, &row, &more), STATUS_OK);
    support_assert_field(&row.carried[0], "-1e5");
    support_assert_field(&row.carried[2], "\\u0000"); /* an escaped backslash, then letters */
    expect_end(manifest);
    assert_int_equal(manifest_seek(manifest, offset, 3), STATUS_OK);
    expect_row(manifest, 3, "2", "b");
    manifest_close(manifest);

    manifest = open_good(path, "other,price");
    assert_int_equal(manifest_n_carried(manifest), 2);
    expect_row(manifest, 1, "12345678901234567890", "a \xE8\xBE\xA3.jpg");
    assert_int_equal(manifest_next(manifest, &row, &more), STATUS_OK);
    support_assert_field(&row.carried[0], "}\"{");
    manifest_close(manifest);
}

/* In JSON Lines the first row stands where the byte order mark does. */
static void jsonl_first_row_is_found_behind_a_byte_order_mark(void **state)
{
    (void)state;
    struct manifest *manifest =
        open_good(support_write_text("a.jsonl", "\xEF\xBB\xBF{\"id\":\"1\",\"uri\":\"a\"}\n"), NULL);

    expect_row(manifest, 1, "1", "a");
    assert_int_equal(manifest_seek(manifest, 0, 1), STATUS_OK);
    expect_row(manifest, 1, "1", "a");
    expect_end(manifest);
    manifest_close(manifest);
}

static void jsonl_rows_are_refused(void **state)
{
    (void)state;
    struct manifest *manifest =
        open_good(support_write_text("a.jsonl", "{\"id\":\"1\",\"uri\":\"a\",\"x\":1}\n"
                                                "{\"id\":\"2\"}\n"
                                                "{\"uri\":\"2\"}\n"
                                                "{\"id\":\"\",\"uri\":\"a\"}\n"
                                                "{\"id\":\"5\",\"uri\":null}\n"
                                                "{\"id\":\"6\",\"uri\":[\"a\"]}\n"
                                                "{\"id\":\"7\",\"uri\":\"a\\u0000b\"}\n"
                                                "{\"id\":\"8\",\"uri\":\"a\"\n"
                                                "{\"id\":\"9\",\"uri\":\"a\"} {}\n"
                                                "[\"10\"]\n"
                                                "{\"id\":\"11\",\"id\":\"a\",\"uri\":\"b\"}\n"
                                                "{\"id\":\"12\\u0001\",\"uri\":\"a\"}\n"
                                                "{\"id\":\"13\",\"uri\":\"\\ud800\"}\n"
                                                "{\"id\":true,\"uri\":\"\"}\n"
                                                "{\"id\":\"15\",\"uri\":\"ok\"}\n"),
                  NULL);

    expect_row(manifest, 1, "1", "a");
    expect_bad(manifest, 2, "no key uri");
    expect_bad(manifest, 3, "no key id");
    expect_bad(manifest, 4, "id is empty");
    expect_bad(manifest, 5, "uri is empty");
    expect_bad(manifest, 6, "uri is neither");
    expect_bad(manifest, 7, "\\u0000");
    expect_bad(manifest, 8, "not JSON");
    expect_bad(manifest, 9, "text behind");
    expect_bad(manifest, 10, "not a JSON object");
    expect_bad(manifest, 11, "the key id is there twice");
    expect_bad(manifest, 12, "control character");
    expect_bad(manifest, 13, "not JSON");
    expect_bad(manifest, 14, "id is neither");
    expect_row(manifest, 15, "15", "ok");
    expect_end(manifest);
    manifest_close(manifest);
}

/* 100,000 brackets deep: cJSON must refuse, not overflow the stack. */
static void jsonl_deep_nesting_is_refused(void **state)
{
    const size_t depth = 100000;
    char *text = malloc(2 * depth + 100);

    (void)state;
    size_t used = (size_t)sprintf(text, "{\"id\":1,\"uri\":2}\n{\"id\":1,\"uri\":2,\"x\":");
    memset(text + used, '[', depth);
    memset(text + used + depth, ']', depth);
    used += 2 * depth;
    used += (size_t)sprintf(text + used, "}\n");
    struct manifest *manifest = open_good(support_write("a.ndjson", text, used), NULL);
    expect_row(manifest, 1, "1", "2");
    expect_bad(manifest, 2, "not JSON");
    manifest_close(manifest);
    free(text);
}

/* Every two-byte start and the borders of each range, against the table in RFC 3629. */
static void utf8_is_strict(void **state)
{
    static const struct {
        const char *bytes;
        size_t valid;
    } cases[] = {
        {"", 0},
        {"abcdefgh\x80", 8},
        {"\x7f", 1},
        {"\xC1\xBF", 0},
        {"\xC2\x80", 2},
        {"\xDF\xBF", 2},
        {"\xE0\x9F\xBF", 0},
        {"\xE0\xA0\x80", 3},
        {"\xED\x9F\xBF", 3},
        {"\xED\xA0\x80", 0},
        {"\xEE\x80\x80", 3},
        {"\xEF\xBF\xBF", 3},
        {"\xF0\x8F\xBF\xBF", 0},
        {"\xF0\x90\x80\x80", 4},
        {"\xF4\x8F\xBF\xBF", 4},
        {"\xF4\x90\x80\x80", 0},
        {"\xF5\x80\x80\x80", 0},
        {"a\xE8\xBE", 1},
        {"a\xE8\xBE\xA3\xE8\xBE\xC0", 4},
        {"\xFE", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(utf8_valid_bytes(cases[i].bytes, strlen(cases[i].bytes)), cases[i].valid);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, support_setup, support_teardown)
    const struct CMUnitTest tests[] = {
        T(tsv_reads_fields_lines_and_carried_columns),
        T(carry_chooses_and_names_what_is_there),
        T(headers_are_refused),
        T(header_of_too_many_columns_is_refused),
        T(tsv_rows_are_refused_and_reading_goes_on),
        T(hostile_lines_do_no_harm),
        T(csv_reads_quotes_newlines_and_spaces),
        T(csv_rows_are_refused),
        T(csv_open_quote_ends_after_1_mib),
        T(jsonl_reads_texts_numbers_and_missing_keys),
        T(jsonl_first_row_is_found_behind_a_byte_order_mark),
        T(jsonl_rows_are_refused),
        T(jsonl_deep_nesting_is_refused),
        T(utf8_is_strict),
    };
#undef T

    return cmocka_run_group_tests_name("manifest", tests, NULL, NULL);
}
