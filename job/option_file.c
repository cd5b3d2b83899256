/*
 * The config file, read through libinih.
 */
#include "job/option_table.h"

#include "job/nearest.h"

#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES 8192
#define GENERAL "eyesore"

struct reading {
    struct options *options;
    const char *path;
    FILE *file;
    int line; /* of what the handler gets */
    enum status rc;
    bool too_long, has_nul;
};

/* inih does not tell its handler the line, so it is counted where lines are fed to it. */
static char *feed(char *line, int size, void *stream)
{
    struct reading *reading = stream;

    /* so that the last NUL is the one that fgets puts behind the line: what stands behind an earlier one
     * would be passed over in silence */
    memset(line, '\n', (size_t)size);
    if (reading->rc != STATUS_OK || fgets(line, size, reading->file) == NULL)
        return NULL;
    reading->line++;
    size_t length = strlen(line);
    if (memrchr(line, '\0', (size_t)size) != line + length) {
        reading->has_nul = true;
        return NULL;
    }
    if (length > 0 && line[length - 1] != '\n' && !feof(reading->file)) {
        reading->too_long = true; /* inih would take the rest for a line of its own */
        return NULL;
    }
    /* An indented line would be taken for more of the value above it. */
    size_t blank = strspn(line, " \t");
    memmove(line, line + blank, length - blank + 1);
    return line;
}

static enum status check_section(const struct reading *reading, const char *section, enum command *command)
{
    enum status rc = STATUS_OK;
    char choices[256] = GENERAL, near[32];

    *command = command_find(section);
    if (*command != COMMAND_NONE || strcmp(section, GENERAL) == 0)
        goto out;
    if (section[0] == '\0')
        FAIL(STATUS_USAGE, "%s:%d: no section: begin with [" GENERAL "] or a sub-command such as [scan]",
             reading->path, reading->line);
    for (enum command c = COMMAND_NONE + 1; c < COMMAND_COUNT; c++) {
        strcat(choices, "|");
        strcat(choices, command_name(c));
    }
    bool found = nearest_choice(choices, section, near, sizeof(near));
    FAIL(STATUS_USAGE,
         "%s:%d: unknown section [%s]%s%s%s: there are [" GENERAL "] and one for each sub-command",
         reading->path, reading->line, section, found ? ", did you mean [" : "", found ? near : "",
         found ? "]?" : "");
out:
    return rc;
}

static enum status fail_unknown(const struct reading *reading, const char *section, enum command command,
                                const char *name)
{
    enum status rc = STATUS_OK;
    const char *nearest = option_row_nearest(name, command);

    FAIL(STATUS_USAGE, "%s:%d: unknown key '%s' in [%s]%s%s%s", reading->path, reading->line, name, section,
         nearest != NULL ? ": did you mean " : ": `eyesore help` and `eyesore help scan` list them",
         nearest != NULL ? nearest : "", nearest != NULL ? "?" : "");
out:
    return rc;
}

static enum status take(struct reading *reading, const char *section, const char *name, const char *value)
{
    enum status rc = STATUS_OK;
    struct options *options = reading->options;
    enum command command;
    char where[512];

    TRY(check_section(reading, section, &command));
    const struct option_row *row = option_row_find(name, command);
    if (row == NULL)
        TRY(fail_unknown(reading, section, command, name));
    if (strcmp(name, "config") == 0 || strcmp(name, "help") == 0)
        FAIL(STATUS_USAGE, "%s:%d: '%s' belongs on the command line", reading->path, reading->line, name);
    snprintf(where, sizeof(where), "%.400s:%d: %s", reading->path, reading->line, name);
    if (command == COMMAND_NONE) { /* [eyesore]: for every sub-command that takes it */
        const struct option_row *own = option_row_find(name, options->command);
        if (own != NULL)
            TRY(option_store(options, own, value, OPTION_FILE_GENERAL, where));
    } else if (command == options->command) {
        TRY(option_store(options, row, value, OPTION_FILE_COMMAND, where));
    }
out:
    return rc;
}

static int handle(void *user, const char *section, const char *name, const char *value)
{
    struct reading *reading = user;

    if (reading->rc == STATUS_OK)
        reading->rc = take(reading, section, name, value);
    return reading->rc == STATUS_OK;
}

enum status option_file_read(struct options *options)
{
    enum status rc = STATUS_OK;
    struct reading reading = {.options = options, .path = options->config};

    reading.file = fopen(options->config, "re");
    if (reading.file == NULL)
        FAIL(status_is_place_errno(errno) ? STATUS_PLACE : STATUS_USAGE, "--config %s: %s", options->config,
             strerror(errno));
    ini_use_stack = false; /* the library's default line is 200 bytes, too short for a stage */
    ini_max_line = LINE_BYTES;
    ini_initial_alloc = LINE_BYTES;
    int bad_line = ini_parse_stream(feed, &reading, handle, &reading);
    TRY(reading.rc);
    if (ferror(reading.file))
        FAIL(STATUS_USAGE, "--config %s: cannot be read: is it a file?", options->config);
    if (reading.has_nul)
        FAIL(STATUS_USAGE, "%s:%d: a NUL byte: is this a text file in UTF-8?", options->config, reading.line);
    if (reading.too_long)
        FAIL(STATUS_USAGE, "%s:%d: the line has more than %d bytes", options->config, reading.line,
             LINE_BYTES - 3);
    if (bad_line > 0)
        FAIL(STATUS_USAGE, "%s:%d: neither [section], `name = value`, a comment (; or #) nor blank",
             options->config, bad_line);
    if (bad_line < 0)
        FAIL(STATUS_MEMORY, "no memory");
out:
    if (reading.file != NULL)
        fclose(reading.file);
    return rc;
}
