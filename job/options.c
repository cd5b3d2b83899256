#include "job/option_table.h"

#include "job/nearest.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

enum { SHORT_HELP = 'h', FIRST_LONG = 1000 }; /* what getopt_long answers for row i: FIRST_LONG + i */

enum status option_store(struct options *options, const struct option_row *row, const char *text,
                         enum option_source source, const char *where)
{
    enum status rc = STATUS_OK;
    enum option_source *set_by = &options->source[option_row_index(row)];
    struct options scratch = {0};

    if (source < *set_by) {
        TRY(option_value_parse(&scratch, row, text, where));
        goto out;
    }
    if (source == *set_by && !option_row_repeats(row) &&
        (source == OPTION_FILE_GENERAL || source == OPTION_FILE_COMMAND))
        FAIL(STATUS_USAGE, "%s: given twice in one section: keep one of them", where);
    if (source > *set_by)
        option_value_clear(options, row); /* a list of a stronger source replaces the weaker one's */
    TRY(option_value_parse(options, row, text, where));
    *set_by = source;
out:
    option_value_clear(&scratch, row);
    return rc;
}

static enum status set_defaults(struct options *options)
{
    enum status rc = STATUS_OK;
    const struct option_row *row;

    for (size_t i = 0; (row = option_row_at(i)) != NULL; i++) {
        if (row->fallback != NULL)
            TRY(option_value_parse(options, row, row->fallback, row->name));
    }
out:
    return rc;
}

/* Find the sub-command: one or two words, before its options. OUT n_words: how many. */
static enum status find_command(int argc, char *const argv[], struct options *options, int *n_words)
{
    enum status rc = STATUS_OK;
    char two[64], choices[256] = "";
    char near[32];
    const char *word = argc > 1 ? argv[1] : "";

    *n_words = argc > 1 ? 1 : 0;
    if (argc <= 1)
        goto out; /* COMMAND_NONE */
    if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0)
        word = "help";
    else if (strcmp(word, "--version") == 0)
        word = "version";
    options->command = command_find(word);
    if (options->command == COMMAND_NONE && argc > 2) {
        snprintf(two, sizeof(two), "%s %s", word, argv[2]);
        options->command = command_find(two);
        *n_words = 2;
    }
    if (options->command != COMMAND_NONE)
        goto out;
    if (strcmp(word, "weights") == 0 && argc > 2)
        word = two;
    else if (strcmp(word, "weights") == 0)
        FAIL(STATUS_USAGE, "weights: say what to do: eyesore weights init, or eyesore weights check");
    for (enum command c = COMMAND_NONE + 1; c < COMMAND_COUNT; c++) {
        strcat(choices, c == COMMAND_NONE + 1 ? "" : "|");
        strcat(choices, command_name(c));
    }
    bool found = nearest_choice(choices, word, near, sizeof(near));
    FAIL(STATUS_USAGE, "unknown sub-command '%s'%s%s%s: `eyesore help` lists them", word,
         found ? ": did you mean " : "", found ? near : "", found ? "?" : "");
out:
    return rc;
}

/* What getopt_long wants, made of the table. long_options: [OPTION_LIMIT + 1]. */
static void make_long_options(enum command command, struct option *long_options)
{
    const struct option_row *row;
    size_t n = 0;

    for (size_t i = 0; (row = option_row_at(i)) != NULL; i++) {
        if (row->commands & 1u << command)
            long_options[n++] =
                (struct option){row->name, row->type == OPTION_FLAG ? optional_argument : required_argument,
                                NULL, FIRST_LONG + (int)i};
    }
    long_options[n] = (struct option){0};
}

static enum status fail_unknown(enum command command, const char *given)
{
    enum status rc = STATUS_OK;
    char name[64];
    const char *bare = given + strspn(given, "-");

    snprintf(name, sizeof(name), "%.*s", (int)strcspn(bare, "="), bare);
    const char *nearest = option_row_nearest(name, command);
    if (nearest != NULL)
        FAIL(STATUS_USAGE, "%s: unknown option %s: did you mean --%s?", command_name(command), given,
             nearest);
    FAIL(STATUS_USAGE, "%s: unknown option %s: `eyesore help %s` lists them%s", command_name(command), given,
         command_name(command),
         option_row_find(name, COMMAND_NONE) != NULL ? " (another sub-command takes it)" : "");
out:
    return rc;
}

static enum status add_operand(struct options *options, const char *text)
{
    enum status rc = STATUS_OK;
    char **operands = realloc(options->operands, (options->n_operands + 1) * sizeof(*operands));

    if (operands == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    options->operands = operands;
    operands[options->n_operands] = strdup(text);
    if (operands[options->n_operands] == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    options->n_operands++;
out:
    return rc;
}

/* argv: [argc], argv[0] is passed over. */
static enum status parse_arguments(int argc, char *const argv[], struct options *options)
{
    enum status rc = STATUS_OK;
    struct option long_options[OPTION_LIMIT + 1];
    char where[64];
    int answer;

    make_long_options(options->command, long_options);
    opterr = 0; /* the messages are ours */
    optind = 0; /* glibc: start over */
    /* "-": operands come in their place, as 1; ":": a missing argument is ':', not '?'. */
    while ((answer = getopt_long(argc, argv, "-:h", long_options, NULL)) != -1) {
        if (answer == SHORT_HELP) {
            options->help = true;
        } else if (answer == 1) {
            TRY(add_operand(options, optarg));
        } else if (answer == ':') {
            FAIL(STATUS_USAGE, "%s: it needs a value: `eyesore help %s` says which", argv[optind - 1],
                 command_name(options->command));
        } else if (answer < FIRST_LONG) {
            snprintf(where, sizeof(where), "-%c", optopt);
            TRY(fail_unknown(options->command, optopt != 0 ? where : argv[optind - 1]));
        } else {
            const struct option_row *row = option_row_at((size_t)(answer - FIRST_LONG));
            snprintf(where, sizeof(where), "--%s", row->name);
            TRY(option_store(options, row, optarg == NULL ? "yes" : optarg, OPTION_COMMAND_LINE, where));
        }
    }
    for (; optind < argc; optind++) /* behind "--" */
        TRY(add_operand(options, argv[optind]));
out:
    return rc;
}

static enum status check_operands(const struct options *options)
{
    enum status rc = STATUS_OK;
    const struct command_row *command = command_row_at(options->command);

    if (options->n_operands < command->n_least)
        FAIL(STATUS_USAGE, "%s: %s is missing: `eyesore %s %s`", command->name, command->operands,
             command->name, command->operands);
    if (options->n_operands > command->n_most)
        FAIL(STATUS_USAGE, "%s: '%s' is one too many: `eyesore help %s` says what it takes", command->name,
             options->operands[command->n_most], command->name);
out:
    return rc;
}

/* What one option cannot know of another. */
static enum status check_together(const struct options *options)
{
    enum status rc = STATUS_OK;
    const struct option_row *row;

    for (size_t i = 0; (row = option_row_at(i)) != NULL; i++) {
        if (row->required && (row->commands & 1u << options->command) && options->source[i] == OPTION_DEFAULT)
            FAIL(STATUS_USAGE, "%s: --%s is missing: %s", command_name(options->command), row->name,
                 row->help);
    }
    if (options->command != COMMAND_SCAN)
        goto out;
    if (options->stages.n == 0 && !options->dry_run)
        FAIL(STATUS_USAGE, "scan: --stage is missing: give at least one, such as "
                           "--stage resnet50=r50.safetensors@0.65");
    if (options->size > options->resize)
        FAIL(STATUS_USAGE,
             "--size %llu is larger than --resize %llu: the crop must fit into the resized picture",
             (unsigned long long)options->size, (unsigned long long)options->resize);
    if (options->manifest[0] == '\0' || options->out[0] == '\0')
        FAIL(STATUS_USAGE, "%s: an empty name", options->out[0] == '\0' ? "--out" : "--manifest");
out:
    return rc;
}

enum status options_parse(int argc, char *const argv[], struct options *options)
{
    enum status rc = STATUS_OK;
    int n_words = 0;

    *options = (struct options){0};
    TRY(set_defaults(options));
    TRY(find_command(argc, argv, options, &n_words));
    if (options->command == COMMAND_NONE)
        goto out;
    TRY(parse_arguments(argc - n_words, argv + n_words, options));
    if (options->help)
        goto out;
    if (options->config != NULL)
        TRY(option_file_read(options));
    TRY(check_operands(options));
    TRY(check_together(options));
out:
    return rc;
}

void options_free(struct options *options)
{
    const struct option_row *row;

    for (size_t i = 0; (row = option_row_at(i)) != NULL; i++)
        option_value_clear(options, row);
    for (size_t i = 0; i < options->n_operands; i++)
        free(options->operands[i]);
    free(options->operands);
    *options = (struct options){0};
}

enum status options_next(const struct options *options, size_t *cursor, struct option_entry *entry)
{
    enum status rc = STATUS_OK;
    const struct option_row *row;

    *entry = (struct option_entry){0};
    while ((row = option_row_at(*cursor)) != NULL) {
        size_t i = (*cursor)++;
        if (!(row->commands & 1u << options->command) || strcmp(row->name, "help") == 0 ||
            strcmp(row->name, "config") == 0)
            continue;
        TRY(option_value_format(options, row, &entry->value));
        entry->name = row->name;
        entry->source = options->source[i];
        break;
    }
out:
    return rc;
}
