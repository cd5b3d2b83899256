/*
 * The config file: every option there and back, who wins, and what is refused with which line.
 */
#include "capture.h"
#include "job/option_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PATH "test_option_file.ini"

static void write_config(const char *text)
{
    FILE *file = fopen(PATH, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* A scan with nothing on its command line but the config file and `extra` (NULL: none). */
static enum status parse(struct options *options, const char *text, const char *extra)
{
    char program[] = "eyesore", scan[] = "scan", config[] = "--config=" PATH, last[512] = "";
    char *argv[] = {program, scan, config, last, NULL};

    write_config(text);
    if (extra != NULL)
        snprintf(last, sizeof(last), "%s", extra);
    return options_parse(extra == NULL ? 3 : 4, argv, options);
}

#define NEEDED "manifest = m.tsv\nout = o\nstage = a=a.st@0.5\n"

static void test_round_trip_by_file(void **state)
{
    const struct option_row *row;
    struct option_entry entry;
    struct options first, second;
    char text[4096] = "[scan]\n";
    size_t cursor = 0, other = 0, n = 0;
    (void)state;

    assert_int_equal(
        parse(&first,
              "[scan]\n" NEEDED "stage = b=b.st@0.25\nmanifest-format = csv\nroot = /pool\ncarry = x,y\n"
              "limit = 7\nshard-rows = 9\ndry-run = yes\norder = given\nall-stages = on\nprobe = 0.5\n"
              "heatmaps = all\ndecode = fast\nresize = 300\nsize = 288\nresample = bicubic\n"
              "max-bytes = 1k\nmax-pixels = 5\nmax-failed = 0.3\nengine = cpu\nprecision = f32\n"
              "batch = auto\nplan-cache = none\nthreads = 3\nprogress = lines\nlog-level = error\n"
              "decode-isolation = off\ndecode-timeout = 5\nstall-timeout = 2h\nset-aside-after = 4\n"
              "null-speed = 3\n",
              NULL),
        STATUS_OK);
    assert_true(first.dry_run && first.all_stages);
    assert_int_equal(first.stages.n, 2);
    /* Write all of it down as the table tells it, read that, and compare. */
    for (;;) {
        assert_int_equal(options_next(&first, &cursor, &entry), STATUS_OK);
        if (entry.name == NULL)
            break;
        assert_int_equal(entry.source, OPTION_FILE_COMMAND);
        for (char *rest = entry.value, *line; (line = strsep(&rest, "\n")) != NULL;) {
            size_t used = strlen(text);
            snprintf(text + used, sizeof(text) - used, "%s = %s\n", entry.name, line);
        }
        free(entry.value);
        n++;
    }
    assert_int_equal(parse(&second, text, NULL), STATUS_OK);
    for (size_t i = 0; (row = option_row_at(i)) != NULL; i++) {
        char *a, *b;
        if (!(row->commands & 1u << COMMAND_SCAN) || strcmp(row->name, "config") == 0)
            continue;
        assert_int_equal(option_value_format(&first, row, &a), STATUS_OK);
        assert_int_equal(option_value_format(&second, row, &b), STATUS_OK);
        assert_string_equal(a, b);
        free(a);
        free(b);
        other++;
    }
    assert_int_equal(other, n + 1); /* help, which is not told of, was compared too */
    options_free(&first);
    options_free(&second);
}

static void test_who_wins(void **state)
{
    struct options options;
    (void)state;

    /* [scan] over [eyesore], whichever comes first; the command line over both. */
    assert_int_equal(parse(&options,
                           "[scan]\n" NEEDED "threads = 2\n[eyesore]\nthreads = 3\nresize = 512\nlimit=5\n"
                           "[verdict]\nstage = a@0.5\n[export]\nflagged = yes\n",
                           "--limit=6"),
                     STATUS_OK);
    assert_int_equal(options.threads, 2);
    assert_int_equal(options.resize, 512);
    assert_int_equal(options.limit, 6);
    assert_false(options.flagged);
    assert_int_equal(options.stages.n, 1);
    assert_int_equal(options.source[option_row_index(option_row_find("limit", COMMAND_SCAN))],
                     OPTION_COMMAND_LINE);
    assert_int_equal(options.source[option_row_index(option_row_find("resize", COMMAND_SCAN))],
                     OPTION_FILE_GENERAL);
    options_free(&options);

    /* Stages of the command line take the place of the file's. */
    assert_int_equal(parse(&options, "[scan]\n" NEEDED, "--stage=c=c.st@0.75"), STATUS_OK);
    assert_int_equal(options.stages.n, 1);
    assert_string_equal(options.stages.items[0].name, "c");
    options_free(&options);

    /* Comments, blank lines, indentation, spaces, a byte order mark, no newline at the end. */
    assert_int_equal(parse(&options,
                           "\xef\xbb\xbf; why\n\n# this\n  [scan]\n  manifest=m.tsv\r\n\tout : o\n"
                           "  stage = a=a:b.st@0.5:class=1 ; why\nthreads = 4",
                           NULL),
                     STATUS_OK);
    assert_int_equal(options.threads, 4);
    assert_string_equal(options.manifest, "m.tsv");
    assert_string_equal(options.stages.items[0].file, "a:b.st");
    options_free(&options);
}

static void refused(const char *part_of_message, const char *text)
{
    struct options options;
    char message[4096];

    capture_begin();
    enum status rc = parse(&options, text, NULL);
    capture_end(message, sizeof(message));
    options_free(&options);
    if (rc != STATUS_USAGE)
        fail_msg("not refused: %s", text);
    if (strstr(message, part_of_message) == NULL)
        fail_msg("the message lacks '%s': %s", part_of_message, message);
}

static void test_refused(void **state)
{
    char text[10000];
    (void)state;

    refused(PATH ":3: unknown key 'thread' in [scan]: did you mean threads?", "[scan]\n\nthread = 2\n");
    refused(PATH ":2: unknown key 'json' in [scan]", "[scan]\njson = yes\n");
    refused(PATH ":2: unknown key 'xyzzy' in [eyesore]", "[eyesore]\nxyzzy = yes\n");
    refused(PATH ":2: unknown section [scna], did you mean [scan]?", "[scna]\nthreads = 2\n");
    refused(PATH ":1: no section", "threads = 2\n");
    refused(PATH ":2: threads: 'two' is not a whole number", "[scan]\nthreads = two\n");
    refused(PATH ":3: threads: given twice", "[scan]\nthreads = 2\nthreads = 3\n");
    refused(PATH ":2: 'config' belongs on the command line", "[scan]\nconfig = x\n");
    refused(PATH ":2: neither", "[scan]\nthreads\n");
    refused(PATH ":2: neither", "[scan]\n[scan\n");
    refused(PATH ":2: stage: stage n: the threshold '2'", "[scan]\nstage = n=f@2\n");
    refused("--stage is missing", "[scan]\nmanifest = m\nout = o\n");
    /* Checked though the command line wins. */
    refused(PATH ":2: unknown key 'stagee' in [verdict]: did you mean stage?", "[verdict]\nstagee = a@0.5\n");
    memset(text, 'x', sizeof(text));
    memcpy(text, "[scan]\nroot=", 12);
    text[sizeof(text) - 1] = '\0';
    refused(PATH ":2: the line has more than", text);
}

static void test_a_weaker_value_is_checked_too(void **state)
{
    struct options options;
    (void)state;

    assert_int_equal(parse(&options, "[scan]\n" NEEDED "threads = many\n", "--threads=2"), STATUS_USAGE);
    options_free(&options);
}

static int remove_config(void **state)
{
    (void)state;
    return unlink(PATH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip_by_file),
        cmocka_unit_test(test_who_wins),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_a_weaker_value_is_checked_too),
    };
    return cmocka_run_group_tests(tests, NULL, remove_config);
}
