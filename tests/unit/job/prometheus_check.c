#include "prometheus_check.h"

#include "shards/utf8.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAMILIES 200
#define SERIES 2000

struct check {
    char families[FAMILIES][128]; /* with a TYPE; the last is the one that samples may be of */
    size_t n_families;
    char helped[128]; /* the last HELP's */
    char *series[SERIES];
    size_t n_series;
};

/* [a-zA-Z_:][a-zA-Z0-9_:]*; labels without ':'. Its length; 0: none. */
static size_t name_bytes(const char *text, bool colons)
{
    size_t n = 0;

    while (isalpha((unsigned char)text[n]) || text[n] == '_' || (colons && text[n] == ':') ||
           (n > 0 && isdigit((unsigned char)text[n])))
        n++;
    return n;
}

/* {a="b",...}: its length; 0: it is wrong. */
static size_t labels_bytes(const char *text)
{
    const char *p = text;

    if (*p++ != '{')
        return 0;
    for (;;) {
        size_t n = name_bytes(p, false);
        if (n == 0 || p[n] != '=' || p[n + 1] != '"')
            return 0;
        for (p += n + 2; *p != '"'; p++) {
            if (*p == '\0' || (unsigned char)*p < ' ')
                return 0;
            if (*p == '\\' && *++p != '\\' && *p != '"' && *p != 'n')
                return 0;
        }
        p++;
        if (*p == '}')
            return (size_t)(p + 1 - text);
        if (*p++ != ',')
            return 0;
    }
}

static const char *check_comment(struct check *c, const char *line)
{
    bool type = strncmp(line, "# TYPE ", 7) == 0;

    if (!type && strncmp(line, "# HELP ", 7) != 0)
        return "neither HELP nor TYPE";
    const char *name = line + 7;
    size_t n = name_bytes(name, true);
    if (n == 0 || n >= 128 || name[n] != ' ' || name[n + 1] == '\0')
        return "no name, or nothing behind it";
    if (!type) {
        for (const char *p = name + n; *p != '\0'; p++)
            if (*p == '\\' && *++p != '\\' && *p != 'n')
                return "a HELP with a wrong escape";
        snprintf(c->helped, sizeof(c->helped), "%.*s", (int)n, name);
        return NULL;
    }
    if (strcmp(name + n, " gauge") != 0 && strcmp(name + n, " counter") != 0)
        return "an unknown TYPE";
    if (strlen(c->helped) != n || memcmp(c->helped, name, n) != 0)
        return "a TYPE without its HELP before";
    for (size_t i = 0; i < c->n_families; i++)
        if (strcmp(c->families[i], c->helped) == 0)
            return "a second TYPE";
    if (c->n_families == FAMILIES)
        return "more families than this check keeps";
    memcpy(c->families[c->n_families++], c->helped, sizeof(c->helped));
    return NULL;
}

static const char *check_sample(struct check *c, const char *line)
{
    size_t n = name_bytes(line, true), all;
    char *end;

    if (n == 0)
        return "no name";
    if (c->n_families == 0 || strlen(c->families[c->n_families - 1]) != n ||
        memcmp(c->families[c->n_families - 1], line, n) != 0)
        return "not of the family before it";
    all = n;
    if (line[n] == '{') {
        size_t labels = labels_bytes(line + n);
        if (labels == 0)
            return "wrong labels";
        all += labels;
    }
    if (line[all] != ' ' || isspace((unsigned char)line[all + 1]))
        return "no single space before the value";
    (void)strtod(line + all + 1, &end);
    if (end == line + all + 1 || *end != '\0')
        return "no value, or something behind it";
    for (size_t i = 0; i < c->n_series; i++)
        if (strncmp(c->series[i], line, all) == 0 && c->series[i][all] == '\0')
            return "a series twice";
    if (c->n_series == SERIES)
        return "more series than this check keeps";
    c->series[c->n_series++] = strndup(line, all);
    return NULL;
}

bool prometheus_check(const char *text, char *problem, size_t size)
{
    struct check *c = calloc(1, sizeof(*c));
    const char *wrong = NULL;
    char *copy = strdup(text), *line = copy, *next;
    size_t length = strlen(text);

    if (length == 0 || text[length - 1] != '\n')
        wrong = "no line end at the end";
    if (utf8_valid_bytes(text, length) != length)
        wrong = "not UTF-8";
    for (; wrong == NULL && *line != '\0'; line = next) {
        char *line_end = strchr(line, '\n');
        *line_end = '\0';
        next = line_end + 1;
        wrong = line[0] == '#' ? check_comment(c, line) : check_sample(c, line);
        if (wrong != NULL)
            break;
    }
    if (wrong != NULL)
        snprintf(problem, size, "%s: %s", wrong, line);
    for (size_t i = 0; i < c->n_series; i++)
        free(c->series[i]);
    free(c);
    free(copy);
    return wrong == NULL;
}

bool prometheus_value(const char *text, const char *series, double *value)
{
    size_t n = strlen(series);

    for (const char *at = text; (at = strstr(at, series)) != NULL; at++) {
        if ((at == text || at[-1] == '\n') && at[n] == ' ') {
            *value = strtod(at + n + 1, NULL);
            return true;
        }
    }
    return false;
}
