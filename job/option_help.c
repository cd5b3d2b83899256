#include "job/option_table.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_WIDTH 100
#define HELP_COLUMN 28

const char *option_source_name(enum option_source source)
{
    switch (source) {
    case OPTION_DEFAULT:
        return "default";
    case OPTION_FILE_GENERAL:
    case OPTION_FILE_COMMAND:
        return "file";
    case OPTION_COMMAND_LINE:
        return "command line";
    }
    return "unknown";
}

/* Print words up to the page's width, lines beginning at column `indent`; the cursor is at `column`. */
static void print_wrapped(FILE *file, const char *text, int indent, int column)
{
    while (*text != '\0') {
        int length = (int)strcspn(text, " ");
        if (column > indent && column + 1 + length > PAGE_WIDTH) {
            fprintf(file, "\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', file);
            column++;
        }
        fprintf(file, "%.*s", length, text);
        column += length;
        text += length + (text[length] == ' ');
    }
    fputc('\n', file);
}

static void print_row(const struct option_row *row, FILE *file)
{
    char text[1024], title[160];
    const char *argument = row->placeholder != NULL ? row->placeholder : row->choices;

    int n = snprintf(title, sizeof(title), "  --%s%s%s", row->name, argument != NULL ? " " : "",
                     argument != NULL ? argument : "");
    fputs(title, file);
    if (n + 1 >= HELP_COLUMN) {
        fputc('\n', file);
        n = 0;
    }
    fprintf(file, "%*s", HELP_COLUMN - n, "");
    const char *note = row->fallback != NULL ? row->fallback : row->absence;
    snprintf(text, sizeof(text), "%s%s%s%s", row->help, note != NULL ? " [" : "", note != NULL ? note : "",
             note != NULL ? "]" : (row->required ? " [required]" : ""));
    print_wrapped(file, text, HELP_COLUMN, HELP_COLUMN);
}

/* Rows of one heading stand together, in the order of the table; a heading comes where its first row does. */
static void print_groups(enum command command, FILE *file)
{
    const struct option_row *row, *before, *other;

    for (size_t i = 0; (row = option_row_at(i)) != NULL; i++) {
        bool printed = !(row->commands & 1u << command);
        for (size_t j = 0; j < i && !printed; j++) {
            before = option_row_at(j);
            printed = (before->commands & 1u << command) && strcmp(before->group, row->group) == 0;
        }
        if (printed)
            continue;
        fprintf(file, "\n%s:\n", row->group);
        for (size_t j = i; (other = option_row_at(j)) != NULL; j++) {
            if ((other->commands & 1u << command) && strcmp(other->group, row->group) == 0)
                print_row(other, file);
        }
    }
}

static void print_overview(FILE *file)
{
    fprintf(file,
            "eyesore %s: finds the pictures of a catalogue that make people look away.\n\n"
            "Usage: eyesore COMMAND [OPTION...]\n\n",
            EYESORE_VERSION);
    for (enum command c = COMMAND_NONE + 1; c < COMMAND_COUNT; c++) {
        const struct command_row *command = command_row_at(c);
        fprintf(file, "  %-14s  %s\n", command->name, command->summary);
    }
    fprintf(file, "\n`eyesore help COMMAND` explains a command and its options.\n"
                  "Exit codes: 0 done, 1 internal error, 2 usage or input, 3 too many rows failed,\n"
                  "4 rows do not reconcile, 75 stopped: run again with the same command to go on.\n");
}

void options_print_help(enum command command, FILE *file)
{
    const struct command_row *row = command_row_at(command);

    if (command == COMMAND_NONE || command == COMMAND_HELP || command == COMMAND_VERSION) {
        print_overview(file);
        return;
    }
    fprintf(file, "Usage: eyesore %s%s%s [OPTION...]\n\n", row->name, row->operands[0] != '\0' ? " " : "",
            row->operands);
    print_wrapped(file, row->details != NULL ? row->details : row->summary, 0, 0);
    if (row->example != NULL)
        fprintf(file, "\n    %s\n", row->example);
    print_groups(command, file);
}

enum status options_print_table(const struct options *options, FILE *file)
{
    enum status rc = STATUS_OK;
    struct option_entry entry = {0};
    size_t cursor = 0;

    for (;;) {
        TRY(options_next(options, &cursor, &entry));
        if (entry.name == NULL)
            break;
        const char *name = entry.name;
        for (char *rest = entry.value, *line; (line = strsep(&rest, "\n")) != NULL; name = "")
            fprintf(file, "  %-16s %-40s %s\n", name, line[0] == '\0' ? "-" : line,
                    option_source_name(entry.source));
        free(entry.value);
        entry.value = NULL;
    }
out:
    free(entry.value);
    return rc;
}
