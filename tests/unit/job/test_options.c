/*
 * Options: every row of the table there and back, by the command line; what is refused, and what the messages
 * say.
 */
#include "capture.h"
#include "job/number.h"
#include "job/option_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SCAN "scan", "--manifest", "m.tsv", "--out", "o", "--stage", "a=a.st@0.5"
#define MAX_ARGS 32

/* argv from words, NULL-terminated. */
static enum status parse(struct options *options, const char *const *words)
{
    char *argv[MAX_ARGS] = {NULL};
    int argc = 0;
    enum status rc;

    argv[argc++] = strdup("eyesore");
    for (; words[argc - 1] != NULL; argc++)
        argv[argc] = strdup(words[argc - 1]);
    rc = options_parse(argc, argv, options);
    for (int i = 0; i < argc; i++)
        free(argv[i]);
    return rc;
}

#define PARSE(options, ...) parse(options, (const char *const[]){__VA_ARGS__, NULL})

/* The entry of this name, or NULL; freed by the caller. */
static char *value_of(const struct options *options, const char *name, enum option_source *source)
{
    struct option_entry entry;
    size_t cursor = 0;

    for (;;) {
        assert_int_equal(options_next(options, &cursor, &entry), STATUS_OK);
        if (entry.name == NULL)
            return NULL;
        if (strcmp(entry.name, name) == 0) {
            *source = entry.source;
            return entry.value;
        }
        free(entry.value);
    }
}

/* A value of the row's type that is not its default. */
static const char *other_value(const struct option_row *row)
{
    static char other[64];

    switch (row->type) {
    case OPTION_FLAG:
        return "yes";
    case OPTION_TEXT:
        return "some text";
    case OPTION_CHOICE:
    case OPTION_WORD: {
        const char *last = strrchr(row->choices, '|') + 1;
        if (row->fallback == NULL || strcmp(last, row->fallback) != 0)
            return last;
        choice_name(row->choices, 0, other, sizeof(other));
        return other;
    }
    case OPTION_COUNT:
        return strcmp(row->name, "resize") == 0 ? "640" : "123";
    case OPTION_BYTES:
        return "3M";
    case OPTION_TIME:
        return "7m";
    case OPTION_FRACTION:
        return "12.5%";
    case OPTION_STAGES:
        return "b=b.st@0.25:class=1";
    case OPTION_THRESHOLDS:
        return "b@0.25";
    }
    return NULL;
}

static enum status parse_with(struct options *options, enum command command, const char *extra)
{
    switch (command) {
    case COMMAND_SCAN:
        return PARSE(options, "scan", "--manifest", "m.tsv", "--out", "o", "--dry-run", extra);
    case COMMAND_MANIFEST:
        return PARSE(options, "manifest", "d", extra);
    case COMMAND_WEIGHTS_INIT:
        return PARSE(options, "weights", "init", "f.st", "--arch", "resnet50", extra);
    case COMMAND_WEIGHTS_CHECK:
        return PARSE(options, "weights", "check", "f.st", extra);
    case COMMAND_STATUS:
        return PARSE(options, "status", "o", extra);
    case COMMAND_EXPORT:
        return PARSE(options, "export", "o", extra);
    case COMMAND_VERDICT:
        return PARSE(options, "verdict", "o", "--stage", "z@0.5", extra);
    case COMMAND_BENCH:
        return PARSE(options, "bench", "--roofline", "a100", extra);
    default:
        fail_msg("no options: %s", command_name(command));
        return STATUS_INTERNAL;
    }
}

static void test_every_option_round_trips(void **state)
{
    const struct option_row *row;
    struct options options;
    enum option_source source;
    char argument[256];
    int n = 0;
    (void)state;

    for (size_t i = 0; (row = option_row_at(i)) != NULL; i++) {
        if (strcmp(row->name, "config") == 0 || strcmp(row->name, "help") == 0)
            continue;
        for (enum command command = COMMAND_SCAN; command < COMMAND_HELP; command++) {
            if (!(row->commands & 1u << command))
                continue;
            const char *text = other_value(row);
            snprintf(argument, sizeof(argument), "--%s=%s", row->name, text);
            assert_int_equal(parse_with(&options, command, argument), STATUS_OK);
            char *value = value_of(&options, row->name, &source);
            assert_non_null(value);
            assert_int_equal(source, OPTION_COMMAND_LINE);
            /* A list keeps what parse_with gave as well. */
            const char *last = strrchr(value, '\n');
            assert_string_equal(last == NULL ? value : last + 1, text);
            free(value);
            options_free(&options);
            n++;
        }
    }
    assert_true(n > 40);
}

static void test_defaults_are_the_documented_ones(void **state)
{
    static const struct {
        const char *name, *value;
    } documented[] = {
        {"shard-rows", "1000"},
        {"decode", "exact"},
        {"resize", "256"},
        {"size", "224"},
        {"max-bytes", "64M"},
        {"max-pixels", "100M"},
        {"max-failed", "5%"},
        {"engine", "auto"},
        {"precision", "auto"},
        {"batch", "auto"},
        {"threads", "0"},
        {"order", "auto"},
        {"heatmaps", "flagged"},
        {"limit", "0"},
        {"dry-run", "no"},
        {"resample", "bilinear"},
        {"probe", "0%"},
        {"progress", "auto"},
        {"log-level", "info"},
        {"manifest-format", "auto"},
        {"root", ""},
    };
    struct options options;
    enum option_source source;
    (void)state;

    assert_int_equal(PARSE(&options, SCAN), STATUS_OK);
    for (size_t i = 0; i < sizeof(documented) / sizeof(documented[0]); i++) {
        char *value = value_of(&options, documented[i].name, &source);
        assert_string_equal(value, documented[i].value);
        assert_int_equal(source, OPTION_DEFAULT);
        free(value);
    }
    assert_int_equal(options.max_bytes, 64u << 20);
    assert_int_equal(options.max_pixels, 100000000);
    assert_true(options.max_failed == 0.05);
    assert_null(options.root);
    assert_int_equal(options.heatmaps, HEATMAPS_FLAGGED);
    options_free(&options);
}

static void test_every_field_is_its_own(void **state)
{
    const struct option_row *row, *other;
    (void)state;

    for (size_t i = 0; (row = option_row_at(i)) != NULL; i++) {
        assert_non_null(row->help);
        assert_non_null(row->group);
        for (size_t j = i + 1; (other = option_row_at(j)) != NULL; j++) {
            assert_true(row->offset != other->offset);
            /* One name, one meaning within a sub-command. */
            assert_true(strcmp(row->name, other->name) != 0 || (row->commands & other->commands) == 0);
        }
    }
}

static void refused(const char *part_of_message, const char *const *words)
{
    struct options options;
    char message[4096];

    capture_begin();
    enum status rc = parse(&options, words);
    capture_end(message, sizeof(message));
    options_free(&options);
    if (rc != STATUS_USAGE)
        fail_msg("not refused: %s %s", words[0], words[1] == NULL ? "" : words[1]);
    if (strstr(message, part_of_message) == NULL)
        fail_msg("the message lacks '%s': %s", part_of_message, message);
}

#define REFUSED(part, ...) refused(part, (const char *const[]){__VA_ARGS__, NULL})

static void test_refused(void **state)
{
    (void)state;
    REFUSED("did you mean scan?", "scna");
    REFUSED("unknown sub-command 'frobnicate'", "frobnicate");
    REFUSED("weights init", "weights");
    REFUSED("did you mean weights init?", "weights", "int");
    REFUSED("did you mean --threads?", SCAN, "--thread-s", "2");
    REFUSED("did you mean --max-bytes?", SCAN, "--max-byts=3");
    REFUSED("unknown option -x", SCAN, "-x");
    REFUSED("unknown option -x", SCAN, "-xyz");
    REFUSED("another sub-command takes it", SCAN, "--partial");
    REFUSED("--threads: it needs a value", SCAN, "--threads");
    REFUSED("'two' is not a whole number from 0 to 4096", SCAN, "--threads", "two");
    REFUSED("'4097' is not a whole number", SCAN, "--threads", "4097");
    REFUSED("'-1' is not a whole number", SCAN, "--threads", "-1");
    REFUSED("'0' is not a whole number from 1 to", SCAN, "--shard-rows", "0");
    REFUSED("from 1 to 2G (k, M, G: powers of 1024)", SCAN, "--max-bytes", "64Q");
    REFUSED("'105%' is not a fraction from 0% to 100%", SCAN, "--max-failed", "105%");
    REFUSED("'nan' is not a fraction", SCAN, "--probe", "nan");
    REFUSED("is none of auto|f32|bf16|f16: did you mean bf16?", SCAN, "--precision", "bf61");
    REFUSED("'' is none of", SCAN, "--decode=");
    REFUSED("'maybe' is neither yes nor no", SCAN, "--all-stages=maybe");
    REFUSED("--size 300 is larger than --resize 256", SCAN, "--size", "300");
    REFUSED("--manifest is missing", "scan", "--out", "o", "--stage", "a=a@0.5");
    REFUSED("--out is missing", "scan", "--manifest", "m", "--stage", "a=a@0.5");
    REFUSED("--stage is missing", "scan", "--manifest", "m", "--out", "o");
    REFUSED("--out: an empty name", "scan", "--manifest", "m", "--out", "", "--stage", "a=a@0.5");
    REFUSED("'pool.tsv' is one too many", SCAN, "pool.tsv");
    REFUSED("OUT is missing", "status");
    REFUSED("'b' is one too many", "status", "a", "b");
    REFUSED("--arch is missing", "weights", "init", "f");
    REFUSED("--stage is missing", "verdict", "f");
    REFUSED("two stages named 'a'", SCAN, "--stage", "a=b@0.1");
    REFUSED("--config /nonexistent.ini: No such file", SCAN, "--config", "/nonexistent.ini");
    REFUSED("is it a file?", SCAN, "--config", "/");
}

static void test_lists_flags_and_operands(void **state)
{
    struct options options;
    (void)state;

    assert_int_equal(PARSE(&options, SCAN, "--stage", "b=b.st@0.25", "--dry-run", "--all-stages=no"),
                     STATUS_OK);
    assert_int_equal(options.stages.n, 2);
    assert_string_equal(options.stages.items[0].name, "a"); /* the order given */
    assert_string_equal(options.stages.items[1].name, "b");
    assert_true(options.dry_run);
    assert_false(options.all_stages);
    options_free(&options);

    /* Options may stand before, between and behind operands; the last of two wins; "--" ends them. */
    assert_int_equal(
        PARSE(&options, "manifest", "x", "--log-level", "warn", "y", "--log-level=debug", "--", "--z"),
        STATUS_OK);
    assert_int_equal(options.n_operands, 3);
    assert_string_equal(options.operands[0], "x");
    assert_string_equal(options.operands[2], "--z");
    assert_int_equal(options.log_level, LOG_DEBUG);
    options_free(&options);
}

static void test_commands(void **state)
{
    struct options options;
    (void)state;

    assert_int_equal(parse(&options, (const char *const[]){NULL}), STATUS_OK);
    assert_int_equal(options.command, COMMAND_NONE);
    options_free(&options);
    assert_int_equal(PARSE(&options, "--version"), STATUS_OK);
    assert_int_equal(options.command, COMMAND_VERSION);
    options_free(&options);
    assert_int_equal(PARSE(&options, "help", "weights", "init"), STATUS_OK);
    assert_int_equal(options.command, COMMAND_HELP);
    assert_int_equal(options.n_operands, 2);
    options_free(&options);
    /* Help asks for nothing else to be right. */
    assert_int_equal(PARSE(&options, "scan", "--help"), STATUS_OK);
    assert_true(options.help);
    options_free(&options);
    assert_int_equal(PARSE(&options, "weights", "check", "-h"), STATUS_OK);
    assert_true(options.help);
    assert_int_equal(options.command, COMMAND_WEIGHTS_CHECK);
    options_free(&options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_option_round_trips),
        cmocka_unit_test(test_defaults_are_the_documented_ones),
        cmocka_unit_test(test_every_field_is_its_own),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_lists_flags_and_operands),
        cmocka_unit_test(test_commands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
