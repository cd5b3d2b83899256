/*
 * Progress with a clock of our own.
 */
#include "job/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct progress_totals totals_at(uint64_t rows_done)
{
    return (struct progress_totals){.rows_total = 1000,
                                    .rows_done = rows_done,
                                    .rows_failed = rows_done / 100,
                                    .shards_total = 10,
                                    .shards_done = rows_done / 100,
                                    .decode_s = (double)rows_done * 0.01,
                                    .compute_s = (double)rows_done * 0.03};
}

static void test_rates(void **state)
{
    struct progress_mark first = {100, totals_at(200)}; /* resumed: 200 rows were there */
    struct progress_mark older = {150, totals_at(300)};
    struct progress_mark now = {160, totals_at(400)};
    struct progress_rates rates;
    (void)state;

    progress_rates(&first, &older, &now, &rates);
    assert_true(rates.now == 10.0);
    assert_true(rates.overall == 200.0 / 60);
    assert_int_equal(rates.decode_percent, 25);
    assert_int_equal(rates.compute_percent, 75);
    assert_int_equal(rates.wait_percent, 0);
    assert_true(rates.eta_s == 600 / (200.0 / 60));
}

static void test_nothing_known_yet(void **state)
{
    struct progress_mark first = {100, totals_at(0)};
    struct progress_rates rates;
    char line[512];
    (void)state;

    progress_rates(&first, &first, &first, &rates);
    assert_true(rates.now == 0 && rates.overall == 0 && rates.eta_s < 0);
    assert_int_equal(rates.compute_percent, 0);
    progress_render_line(&first.totals, &rates, line, sizeof(line));
    assert_non_null(strstr(line, "eta=-"));
    assert_null(strstr(line, "nan"));
    /* An empty manifest is done. */
    struct progress_totals none = {0};
    progress_render_bar(&none, &rates, 200, line, sizeof(line));
    assert_non_null(strstr(line, "100.0%"));
}

static void test_bar(void **state)
{
    struct progress_rates rates = {12.34, 10, 12, 85, 3, 60};
    struct progress_totals totals = totals_at(400);
    char line[512];
    (void)state;

    progress_render_bar(&totals, &rates, 200, line, sizeof(line));
    assert_string_equal(
        line, "[########............]  40.0% 400/1000  10.0 img/s (now 12.3)  ETA 0:01:00  failed 4  "
              "decode 12% compute 85% wait 3%  shards 4/10");
    progress_render_bar(&totals, &rates, 40, line, sizeof(line));
    assert_int_equal(strlen(line), 39);
    totals.rows_done = 999;
    totals.rows_total = 1000000;
    progress_render_bar(&totals, &rates, 200, line, sizeof(line));
    assert_non_null(strstr(line, "[....................]   0.0% "));
    totals.rows_done = 999999; /* not 100 % before the end */
    progress_render_bar(&totals, &rates, 200, line, sizeof(line));
    assert_non_null(strstr(line, "[###################.]  99.9% "));
}

static void test_line(void **state)
{
    struct progress_rates rates = {12.34, 10, 12, 85, 3, 3723};
    struct progress_totals totals = totals_at(400);
    char line[512];
    (void)state;

    progress_render_line(&totals, &rates, line, sizeof(line));
    assert_string_equal(line,
                        "rows=400/1000 done=40.0% img_per_s=10.0 img_per_s_now=12.3 decode=12% compute=85% "
                        "wait=3% failed=4 shards=4/10 eta=1:02:03");
}

static void test_times(void **state)
{
    static const struct {
        double time_s;
        const char *text;
    } times[] = {{0, "0:00:00"},          {59.6, "0:01:00"}, {3723, "1:02:03"}, {86400, "1d 00:00:00"},
                 {273906, "3d 04:05:06"}, {-1, "-"},         {1e300, "-"},      {0.0 / 0.0, "-"}};
    char text[48];
    (void)state;

    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        progress_format_time(times[i].time_s, text, sizeof(text));
        assert_string_equal(text, times[i].text);
    }
}

static void test_bar_comes_five_times_a_second(void **state)
{
    struct progress progress;
    struct progress_totals totals = totals_at(0);
    char *text = NULL;
    size_t size = 0;
    int n_printed = 0;
    FILE *file = tmpfile();
    (void)state;

    assert_non_null(file);
    progress_start(&progress, PROGRESS_BAR, file, &totals, 0);
    for (int ms = 10; ms <= 10000; ms += 10) {
        totals = totals_at((uint64_t)ms / 20);
        n_printed += progress_update(&progress, &totals, ms / 1000.0);
    }
    assert_in_range(n_printed, 45, 50);
    progress_finish(&progress, &totals, 10.1);
    long length = ftell(file);
    text = calloc(1, (size_t)length + 1);
    assert_non_null(text);
    rewind(file);
    size = fread(text, 1, (size_t)length, file);
    assert_int_equal(size, length);
    assert_int_equal(text[0], '\r');
    assert_int_equal(text[length - 1], '\n');
    assert_ptr_equal(strchr(text, '\n'), text + length - 1); /* one line only */
    free(text);
    fclose(file);
}

static void test_line_comes_once_a_minute(void **state)
{
    struct progress progress;
    struct progress_totals totals = totals_at(0);
    int n_printed = 0;
    FILE *file = tmpfile();
    (void)state;

    assert_non_null(file);
    progress_start(&progress, PROGRESS_AUTO, file, &totals, 1000);
    assert_int_equal(progress.mode, PROGRESS_LINES); /* a file is no terminal */
    for (int s = 1; s <= 600; s++) {
        totals = totals_at((uint64_t)s);
        n_printed += progress_update(&progress, &totals, 1000 + s);
    }
    assert_int_equal(n_printed, 10);
    assert_true(progress.older.time_s == 1600); /* "now" is the last minute */
    assert_int_equal(ftell(file), 0);           /* lines go through the log */
    progress_start(&progress, PROGRESS_NONE, file, &totals, 0);
    assert_false(progress_update(&progress, &totals, 1e6));
    fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_nothing_known_yet),
        cmocka_unit_test(test_bar),
        cmocka_unit_test(test_line),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_bar_comes_five_times_a_second),
        cmocka_unit_test(test_line_comes_once_a_minute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
