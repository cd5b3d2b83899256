/*
 * Any bytes as a command line or a config file. The first byte chooses: even, the rest are arguments, a line
 * each; odd, they are a config file, for one of the sub-commands. What was understood is written down and
 * read once more.
 */
#include "target.h"

#include "job/option_table.h"

#include <string.h>

#define ARGUMENTS_MOST 32

static FILE *nowhere;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    nowhere = fopen("/dev/null", "we");
    MUST(nowhere != NULL);
    return 0;
}

/* A value that options_next tells is one that the option takes, and then tells the same. */
static void check_entry(const struct options *options, const struct option_entry *entry)
{
    const struct option_row *row = option_row_find(entry->name, options->command);
    static struct options again;
    char *text = NULL;

    MUST(row != NULL && strlen(entry->name) > 0);
    memset(&again, 0, sizeof(again));
    if (option_row_repeats(row) || entry->value[0] == '\0')
        return;
    MUST(option_value_parse(&again, row, entry->value, "again") == STATUS_OK);
    MUST(option_value_format(&again, row, &text) == STATUS_OK);
    MUST(strcmp(text, entry->value) == 0);
    free(text);
    option_value_clear(&again, row);
}

static void check_options(const struct options *options)
{
    struct option_entry entry;
    size_t cursor = 0;

    for (;;) {
        MUST(options_next(options, &cursor, &entry) == STATUS_OK);
        if (entry.name == NULL)
            break;
        MUST(entry.value != NULL);
        check_entry(options, &entry);
        free(entry.value);
    }
    MUST(options_print_table(options, nowhere) == STATUS_OK);
    options_print_help(options->command, nowhere);
}

static bool parse(int argc, char *const argv[])
{
    static struct options options;
    bool good = options_parse(argc, argv, &options) == STATUS_OK && options.command != COMMAND_NONE;

    if (good) {
        n_accepted++;
        check_options(&options);
    }
    options_free(&options);
    return good;
}

static void parse_arguments(char *text)
{
    char program[] = "eyesore", *argv[ARGUMENTS_MOST + 2] = {program};
    int argc = 1;

    for (char *rest = text, *argument; argc <= ARGUMENTS_MOST && (argument = strsep(&rest, "\n")) != NULL;) {
        if (strncmp(argument, "--conf", 6) == 0) /* files of this machine are no input */
            return;
        argv[argc++] = argument;
    }
    (void)parse(argc, argv);
}

static void parse_config(unsigned int choice, const uint8_t *bytes, size_t n)
{
    char program[] = "eyesore", config[96], operand[] = "x", words[64];
    char *argv[8] = {program};
    enum command command = COMMAND_NONE + 1 + choice % (COMMAND_COUNT - 1);
    int argc = 1;

    snprintf(words, sizeof(words), "%s", command_name(command));
    for (char *rest = words, *word; (word = strsep(&rest, " ")) != NULL;)
        argv[argc++] = word;
    snprintf(config, sizeof(config), "--config=%s", bytes_file(bytes, n));
    bool takes_config = option_row_find("config", command) != NULL;
    if (takes_config)
        argv[argc++] = config;
    if (command_row_at(command)->n_least > 0)
        argv[argc++] = operand;
    bool good = parse(argc, argv);
    MUST(!good || !takes_config || memchr(bytes, '\0', n) == NULL); /* no line is passed over in silence */
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (n == 0)
        return 0;
    if (bytes[0] % 2 == 1) {
        parse_config(bytes[0] / 2, bytes + 1, n - 1);
        return 0;
    }
    char *text = malloc(n);
    MUST(text != NULL);
    memcpy(text, bytes + 1, n - 1);
    text[n - 1] = '\0';
    parse_arguments(text);
    free(text);
    return 0;
}
