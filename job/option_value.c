#include "job/option_table.h"

#include "job/nearest.h"
#include "job/number.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The field that a row stands for; the table and struct options agree on its type. */
static char *field(struct options *options, const struct option_row *row)
{
    return (char *)options + row->offset;
}

static const char *field_read(const struct options *options, const struct option_row *row)
{
    return (const char *)options + row->offset;
}

static void format_bound(const struct option_row *row, double bound, char *text, size_t size)
{
    if (row->type == OPTION_FRACTION)
        number_format_fraction(bound, text, size);
    else if (row->type == OPTION_TIME)
        number_format_time((uint64_t)bound, text, size);
    else
        number_format_scaled((uint64_t)bound, row->type == OPTION_BYTES ? 1024 : 1000, text, size);
}

static const char *number_kind(const struct option_row *row)
{
    return row->type == OPTION_FRACTION ? "a fraction"
           : row->type == OPTION_TIME   ? "a time"
                                        : "a whole number";
}

static const char *number_hint(const struct option_row *row)
{
    switch (row->type) {
    case OPTION_FRACTION:
        return " (write 0.05 or 5%)";
    case OPTION_TIME:
        return " (write 90s, 10m, 2h or 1d)";
    case OPTION_BYTES:
        return " (k, M, G: powers of 1024)";
    default:
        return " (k, M, G: powers of 1000)";
    }
}

static enum status fail_number(const struct option_row *row, const char *text, const char *where)
{
    enum status rc = STATUS_OK;
    char least[32], most[32];

    format_bound(row, row->least, least, sizeof(least));
    format_bound(row, row->most, most, sizeof(most));
    FAIL(STATUS_USAGE, "%s: '%s' is not %s from %s to %s%s", where, text, number_kind(row), least, most,
         number_hint(row));
out:
    return rc;
}

static bool parse_whole(const struct option_row *row, const char *text, uint64_t *number)
{
    if (row->type == OPTION_TIME)
        return number_parse_time(text, number);
    return number_parse_scaled(text, row->type == OPTION_BYTES ? 1024 : 1000, number);
}

static enum status parse_number(const struct option_row *row, const char *text, const char *where,
                                uint64_t *value)
{
    enum status rc = STATUS_OK;
    uint64_t number;

    if (row->choices != NULL && strcmp(text, row->choices) == 0) {
        *value = 0;
        goto out;
    }
    if (!parse_whole(row, text, &number) || number < (uint64_t)row->least || number > (uint64_t)row->most)
        TRY(fail_number(row, text, where));
    *value = number;
out:
    return rc;
}

static enum status parse_fraction(const struct option_row *row, const char *text, const char *where,
                                  double *value)
{
    enum status rc = STATUS_OK;
    double number;

    if (!number_parse_fraction(text, &number) || !(number >= row->least && number <= row->most))
        TRY(fail_number(row, text, where));
    *value = number;
out:
    return rc;
}

static enum status parse_flag(const char *text, const char *where, bool *value)
{
    enum status rc = STATUS_OK;
    int index = choice_find("no|yes|false|true|off|on|0|1", text);

    if (index < 0)
        FAIL(STATUS_USAGE, "%s: '%s' is neither yes nor no", where, text);
    *value = index % 2 == 1;
out:
    return rc;
}

static enum status parse_choice(const struct option_row *row, const char *text, const char *where, int *value)
{
    enum status rc = STATUS_OK;
    int index = choice_find(row->choices, text);
    char near[64];

    if (index < 0) {
        bool found = nearest_choice(row->choices, text, near, sizeof(near));
        FAIL(STATUS_USAGE, "%s: '%s' is none of %s%s%s%s", where, text, row->choices,
             found ? ": did you mean " : "", found ? near : "", found ? "?" : "");
    }
    *value = index;
out:
    return rc;
}

static enum status parse_text(const char *text, char **value)
{
    enum status rc = STATUS_OK;
    char *copy = strdup(text);

    if (copy == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    free(*value);
    *value = copy;
out:
    return rc;
}

enum status option_value_parse(struct options *options, const struct option_row *row, const char *text,
                               const char *where)
{
    enum status rc = STATUS_OK;
    char *at = field(options, row);
    int index;

    switch (row->type) {
    case OPTION_FLAG:
        TRY(parse_flag(text, where, (bool *)(void *)at));
        break;
    case OPTION_TEXT:
        TRY(parse_text(text, (char **)(void *)at));
        break;
    case OPTION_CHOICE:
        TRY(parse_choice(row, text, where, (int *)(void *)at));
        break;
    case OPTION_WORD:
        TRY(parse_choice(row, text, where, &index));
        TRY(parse_text(text, (char **)(void *)at));
        break;
    case OPTION_COUNT:
    case OPTION_BYTES:
    case OPTION_TIME:
        TRY(parse_number(row, text, where, (uint64_t *)(void *)at));
        break;
    case OPTION_FRACTION:
        TRY(parse_fraction(row, text, where, (double *)(void *)at));
        break;
    case OPTION_STAGES:
        TRY(stage_list_add((struct stage_list *)(void *)at, text, where));
        break;
    case OPTION_THRESHOLDS:
        TRY(stage_list_add_threshold((struct stage_list *)(void *)at, text, where));
        break;
    }
out:
    return rc;
}

static void format_number(const struct option_row *row, uint64_t value, char *text, size_t size)
{
    if (row->choices != NULL && value == 0)
        snprintf(text, size, "%s", row->choices);
    else if (row->type == OPTION_TIME)
        number_format_time(value, text, size);
    else
        number_format_scaled(value, row->type == OPTION_BYTES ? 1024 : 1000, text, size);
}

static enum status format_list(const struct stage_list *list, char **text)
{
    enum status rc = STATUS_OK;
    size_t size = 1;
    char *lines = NULL;

    for (size_t i = 0; i < list->n; i++)
        size += strlen(list->items[i].text) + 1;
    lines = calloc(1, size);
    if (lines == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    for (size_t i = 0; i < list->n; i++) {
        strcat(lines, i == 0 ? "" : "\n");
        strcat(lines, list->items[i].text);
    }
    *text = lines;
out:
    return rc;
}

enum status option_value_format(const struct options *options, const struct option_row *row, char **text)
{
    enum status rc = STATUS_OK;
    const char *at = field_read(options, row);
    const char *from = NULL;
    char buffer[64] = "";

    switch (row->type) {
    case OPTION_FLAG:
        snprintf(buffer, sizeof(buffer), "%s", *(const bool *)(const void *)at ? "yes" : "no");
        break;
    case OPTION_TEXT:
    case OPTION_WORD:
        from = *(char *const *)(const void *)at;
        break;
    case OPTION_CHOICE:
        choice_name(row->choices, *(const int *)(const void *)at, buffer, sizeof(buffer));
        break;
    case OPTION_COUNT:
    case OPTION_BYTES:
    case OPTION_TIME:
        format_number(row, *(const uint64_t *)(const void *)at, buffer, sizeof(buffer));
        break;
    case OPTION_FRACTION:
        number_format_fraction(*(const double *)(const void *)at, buffer, sizeof(buffer));
        break;
    case OPTION_STAGES:
    case OPTION_THRESHOLDS:
        TRY(format_list((const struct stage_list *)(const void *)at, text));
        goto out;
    }
    *text = strdup(from == NULL ? buffer : from);
    if (*text == NULL)
        FAIL(STATUS_MEMORY, "no memory");
out:
    return rc;
}

void option_value_clear(struct options *options, const struct option_row *row)
{
    char *at = field(options, row);

    if (option_row_repeats(row)) {
        stage_list_free((struct stage_list *)(void *)at);
    } else if (row->type == OPTION_TEXT || row->type == OPTION_WORD) {
        free(*(char **)(void *)at);
        *(char **)(void *)at = NULL;
    }
}
