/* Reading OUT/attempts: what is ours is found in the middle of whatever else stands there. */
#include "job/attempts_read.h"
#include "job/status_names.h"
#include "job/status_text.h"
#include "sweep_files.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

const char *sweep_folder = "test_attempts_read.out";

#define LINE(event, detail)                                                                                  \
    "time=2026-11-25T07:13:42Z event=" event " rank=3 host=n1 device=\"\" detail=\"" detail "\"\n"

struct seen {
    struct attempt_visitor base;
    struct attempt_event events[8]; /* the first */
    uint64_t n, stop_at;
};

static enum status see(struct attempt_visitor *visitor, const struct attempt_event *event)
{
    struct seen *seen = (struct seen *)visitor;

    if (seen->n < 8)
        seen->events[seen->n] = *event;
    return ++seen->n == seen->stop_at ? STATUS_MISMATCH : STATUS_OK;
}

static void test_lines(void **state)
{
    struct seen seen = {.base = {.visit = see}};
    (void)state;

    append_notes("20261125T071342Z-rank3.log",
                 LINE("begin", "job=12 restart=1") "\n# a remark\n"
                                                   "time=yesterday event=part rank=0 host=a detail=\"\"\n"
                                                   "time=2026-11-25T07:13:42Z event=part rank=0 host=n\n"
                                                   "time=2026-11-25T07:13:42Z event=cut host=n detail=\"x\n"
                                                   "detail=\"shard=1\" stray host=n2 new=\"a b\" event=part "
                                                   "event=other time=1970-01-02T00:00:01Z\n" LINE(
                                                       "end", "outcome=ok") "time=2026-11-25T07:13:42Z ev");
    append_notes(
        "20261125T071342Z-batch.log",
        "time=2026-11-25T07:13:42Z event=node_failed rank=-1 host=n7 device=\"\" detail=\"job=12\"\n");
    append_notes("notes.txt", LINE("begin", ""));
    append_notes(".hidden.log", LINE("begin", ""));
    assert_int_equal(attempts_walk(sweep_folder, &seen.base), STATUS_OK);
    assert_int_equal(seen.n, 4);
    assert_int_equal(seen.base.n_unreadable, 0);
    assert_string_equal(seen.events[0].host, "n7");
    assert_int_equal(seen.events[0].rank, -1);
    assert_string_equal(seen.events[1].event, "begin");
    assert_string_equal(seen.events[1].attempt, "20261125T071342Z");
    assert_string_equal(seen.events[1].detail, "job=12 restart=1");
    assert_int_equal(seen.events[1].rank, 3);
    assert_int_equal(seen.events[1].time_s, 1795590822);
    assert_string_equal(seen.events[2].event, "part");
    assert_string_equal(seen.events[2].host, "n2");
    assert_string_equal(seen.events[2].detail, "shard=1");
    assert_int_equal(seen.events[2].time_s, 86401);
    assert_int_equal(seen.events[2].rank, -1);
    assert_string_equal(seen.events[3].event, "end");
    seen.n = 0;
    seen.stop_at = 2;
    assert_int_equal(attempts_walk(sweep_folder, &seen.base), STATUS_MISMATCH);
    assert_int_equal(seen.n, 2);
}

/* Lines that cross the reader's buffers, one too long, zero bytes. */
static void test_stream(void **state)
{
    struct seen seen = {.base = {.visit = see}};
    char path[256];
    (void)state;

    append_notes("a-rank0.log", "");
    snprintf(path, sizeof(path), "%s/attempts/a-rank0.log", sweep_folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int i = 0; i < 300000; i++)
        fputc('x', file);
    fprintf(file, LINE("swallowed", "") LINE("first", ""));
    for (int i = 0; i < 5000; i++)
        fprintf(file, "time=2026-11-25T07:13:42Z event=part rank=1 host=n1 detail=\"%*d shard=%d\"\n",
                i % 300, 0, i);
    fwrite("time=2026\0\0\0\0\n", 1, 14, file);
    for (int i = 0; i < 4200; i++)
        fputc('y', file);
    fprintf(file, "\n" LINE("last", ""));
    assert_int_equal(fclose(file), 0);
    assert_int_equal(attempts_walk(sweep_folder, &seen.base), STATUS_OK);
    assert_int_equal(seen.n, 5002);
    assert_string_equal(seen.events[0].event, "first");
    assert_string_equal(seen.events[1].event, "part");
}

static void test_unreadable(void **state)
{
    struct seen seen = {.base = {.visit = see}};
    char path[256];
    (void)state;

    assert_int_equal(attempts_walk(sweep_folder, &seen.base), STATUS_OK); /* no attempts yet */
    assert_int_equal(attempts_walk("/nonexistent", &seen.base), STATUS_OK);
    append_notes("b-rank0.log", LINE("begin", ""));
    snprintf(path, sizeof(path), "%s/attempts/a-rank0.log", sweep_folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    snprintf(path, sizeof(path), "%s/attempts/c.log", sweep_folder);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/attempts/d.log", sweep_folder);
    assert_int_equal(symlink("b-rank0.log", path), 0);
    assert_int_equal(attempts_walk(sweep_folder, &seen.base), STATUS_OK);
    assert_int_equal(seen.n, 1);
    assert_int_equal(seen.base.n_unreadable, 3);
}

static void test_hostile(void **state)
{
    struct seen seen = {.base = {.visit = see}};
    (void)state;

    append_notes("a\033[31m-rank0.log",
                 "time=2026-11-25T07:13:42Z event=e\033]0;x\a rank=99999999999 host=\033[2Jn\xc2\x9b\xff\\ "
                 "device=\"\r\" detail=\"\xe6\x96\x87\xe2\x80\xae\t\\\"\n");
    assert_int_equal(attempts_walk(sweep_folder, &seen.base), STATUS_OK);
    assert_int_equal(seen.n, 1);
    assert_string_equal(seen.events[0].attempt, "a?[31m");
    assert_string_equal(seen.events[0].event, "e?]0;x?");
    assert_string_equal(seen.events[0].host, "?[2Jn???\\");
    assert_string_equal(seen.events[0].device, "?");
    assert_string_equal(seen.events[0].detail, "\xe6\x96\x87????\\");
    assert_int_equal(seen.events[0].rank, -1);
}

static void test_text(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"", ""},
        {"plain \"text\" \\ {}", "plain \"text\" \\ {}"},
        {"\n\x7f", "??"},
        {"\xc3\xa9", "\xc3\xa9"},
        {"cut \xe6\x96", "cut ??"},
        {"\xc2\x80\xc2\xa0", "??\xc2\xa0"},
        {"\xe2\x81\xa6\xe2\x81\xaa\xe2\x80\xa9", "???\xe2\x81\xaa\xe2\x80\xa9"},
        {"\xc0\x80\xed\xa0\x80\xf5", "??????"},
    };
    char text[64];
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        snprintf(text, sizeof(text), "%s", cases[i].in);
        text_make_printable(text);
        assert_string_equal(text, cases[i].out);
    }
}

/* Against the C library, over leap years and month ends. */
static void test_time(void **state)
{
    static const char *const bad[] = {
        "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-32T00:00:00Z",
        "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01 00:00:00Z",
        "2026-1-01T00:00:00Z0", "2026-01-01T00:00:0xZ", "2026-01-01T00:00:00Z "};
    char text[32];
    struct tm utc;
    int64_t parsed;
    (void)state;

    for (time_t when = 0; when < INT64_C(7258118400); when += 43201 * 7) {
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&when, &utc));
        assert_true(attempt_parse_time(text, strlen(text), &parsed));
        assert_int_equal(parsed, when);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_false(attempt_parse_time(bad[i], strlen(bad[i]), &parsed));
}

static void test_details(void **state)
{
    const char *detail = "subshard=1 shard=12 rows=18446744073709551616 seconds=3.25 x=-1 y=nan cause=crash";
    uint64_t number = 7;
    double real = 7;
    char word[4];
    (void)state;

    assert_true(attempt_detail_number(detail, "shard", &number));
    assert_int_equal(number, 12);
    assert_false(attempt_detail_number(detail, "rows", &number));
    assert_false(attempt_detail_number(detail, "seconds", &number));
    assert_false(attempt_detail_number(detail, "x", &number));
    assert_false(attempt_detail_number(detail, "cause", &number));
    assert_false(attempt_detail_number(detail, "row", &number));
    assert_int_equal(number, 12);
    assert_true(attempt_detail_real(detail, "seconds", &real));
    assert_true(real == 3.25);
    assert_false(attempt_detail_real(detail, "x", &real) || attempt_detail_real(detail, "y", &real) ||
                 attempt_detail_real(detail, "z", &real));
    attempt_detail_word(detail, "cause", word, sizeof(word));
    assert_string_equal(word, "cra");
    attempt_detail_word(detail, "why", word, sizeof(word));
    assert_string_equal(word, "");
}

static void test_names(void **state)
{
    struct names names = {0};
    char name[32];
    uint32_t number;
    (void)state;

    for (int round = 0; round < 2; round++)
        for (uint32_t i = 0; i < 5000; i++) {
            snprintf(name, sizeof(name), "node%u", i * 7919);
            assert_int_equal(names_number(&names, name, &number), STATUS_OK);
            assert_int_equal(number, i);
            assert_string_equal(names.items[number], name);
        }
    assert_int_equal(names.n, 5000);
    names_free(&names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lines, sweep_folder_make, sweep_folder_remove),
        cmocka_unit_test_setup_teardown(test_stream, sweep_folder_make, sweep_folder_remove),
        cmocka_unit_test_setup_teardown(test_unreadable, sweep_folder_make, sweep_folder_remove),
        cmocka_unit_test_setup_teardown(test_hostile, sweep_folder_make, sweep_folder_remove),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_details),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
