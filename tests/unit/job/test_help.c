/*
 * The help: each option of a sub-command exactly once, with its default; none of another's; lines fit a page.
 */
#include "job/option_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What `file` (a tmpfile) holds; it is closed. The caller frees. */
static char *contents(FILE *file)
{
    long size = ftell(file);
    char *text = calloc(1, (size_t)size + 1);

    assert_non_null(text);
    rewind(file);
    assert_int_equal(fread(text, 1, (size_t)size, file), size);
    assert_int_equal(fclose(file), 0);
    return text;
}

static char *help_of(enum command command)
{
    FILE *file = tmpfile();

    assert_non_null(file);
    options_print_help(command, file);
    return contents(file);
}

/* Lines that begin with "  --name" and then a blank or the end. */
static int count_listed(const char *help, const char *name)
{
    char wanted[80];
    int n = 0;

    snprintf(wanted, sizeof(wanted), "\n  --%s", name);
    for (const char *at = strstr(help, wanted); at != NULL; at = strstr(at + 1, wanted)) {
        char next = at[strlen(wanted)];
        n += next == ' ' || next == '\n';
    }
    return n;
}

static void test_each_option_once(void **state)
{
    const struct option_row *row, *other;
    (void)state;

    for (enum command command = COMMAND_SCAN; command < COMMAND_HELP; command++) {
        char *help = help_of(command);
        for (size_t i = 0; (row = option_row_at(i)) != NULL; i++) {
            bool taken = (row->commands & 1u << command) != 0;
            for (size_t j = 0; (other = option_row_at(j)) != NULL && !taken; j++)
                taken = strcmp(row->name, other->name) == 0 && (other->commands & 1u << command);
            assert_int_equal(count_listed(help, row->name), taken ? 1 : 0);
        }
        free(help);
    }
}

static void test_headings_once(void **state)
{
    static const char *const headings[] = {"\nInput and output:\n", "\nCascade:\n", "\nPictures:\n",
                                           "\nMachine:\n", "\nGeneral:\n"};
    char *help = help_of(COMMAND_SCAN);
    (void)state;

    for (size_t i = 0; i < sizeof(headings) / sizeof(headings[0]); i++) {
        const char *at = strstr(help, headings[i]);
        assert_non_null(at);
        assert_null(strstr(at + 1, headings[i]));
    }
    free(help);
}

static void test_defaults_and_width(void **state)
{
    char *help = help_of(COMMAND_SCAN);
    (void)state;

    assert_non_null(strstr(help, "[5%]"));
    assert_non_null(strstr(help, "[64M]"));
    assert_non_null(strstr(help, "[required]"));
    for (char *rest = help, *line; (line = strsep(&rest, "\n")) != NULL;)
        assert_true(strlen(line) <= 100);
    free(help);
}

static void test_overview(void **state)
{
    char *help = help_of(COMMAND_NONE);
    (void)state;

    for (enum command command = COMMAND_SCAN; command < COMMAND_COUNT; command++) {
        char line[64];
        snprintf(line, sizeof(line), "\n  %s ", command_name(command));
        assert_non_null(strstr(help, line));
    }
    assert_non_null(strstr(help, "75"));
    free(help);
}

static void test_start_up_table(void **state)
{
    char *argv[] = {"eyesore",          "scan", "--manifest=m.tsv", "--out=o", "--stage=a=a@0.5",
                    "--stage=b=b@0.25", NULL};
    struct options options;
    FILE *file = tmpfile();
    (void)state;

    assert_non_null(file);
    assert_int_equal(options_parse(6, argv, &options), STATUS_OK);
    assert_int_equal(options_print_table(&options, file), STATUS_OK);
    char *text = contents(file);
    assert_non_null(strstr(text, "manifest         m.tsv                                    command line\n"));
    assert_non_null(strstr(text, "resize           256                                      default\n"));
    assert_non_null(strstr(text, "stage            a=a@0.5 "));
    assert_non_null(strstr(text, "\n                   b=b@0.25 "));
    free(text);
    options_free(&options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_option_once),   cmocka_unit_test(test_headings_once),
        cmocka_unit_test(test_defaults_and_width), cmocka_unit_test(test_overview),
        cmocka_unit_test(test_start_up_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
