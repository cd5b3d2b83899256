#include "job/stage_option.h"

#include "job/nearest.h"
#include "job/number.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORM                                                                                                 \
    "NAME=FILE@THRESHOLD[:class=K|A-B|A,B,C][:head=softmax|sigmoid][:mean=r,g,b][:std=r,g,b][:"              \
    "precision=" PRECISION_CHOICES "]"

static void stage_option_free(struct stage_option *stage)
{
    free(stage->text);
    free(stage->file);
    free(stage->class_text);
    free(stage->classes);
    free(stage->head);
}

void stage_list_free(struct stage_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        stage_option_free(&list->items[i]);
    free(list->items);
    *list = (struct stage_list){0};
}

/* A name becomes a group of the HDF5 file and part of a log line, so it is kept plain. */
static enum status parse_name(struct stage_option *stage, const char *name, size_t length, const char *where)
{
    enum status rc = STATUS_OK;
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";

    if (length == 0)
        FAIL(STATUS_USAGE, "%s: '%s' has no name: give " FORM, where, stage->text);
    if (length >= sizeof(stage->name))
        FAIL(STATUS_USAGE, "%s: the name '%.*s' has %zu bytes: at most %zu are allowed", where, (int)length,
             name, length, sizeof(stage->name) - 1);
    memcpy(stage->name, name, length);
    stage->name[length] = '\0';
    if (strspn(stage->name, allowed) != length)
        FAIL(STATUS_USAGE, "%s: the name '%s' may hold letters, digits, '_', '-' and '.' only", where,
             stage->name);
    if (stage->name[0] == '.' || strcmp(stage->name, "row") == 0)
        FAIL(STATUS_USAGE, "%s: the name '%s' is taken by the file format: choose another", where,
             stage->name);
out:
    return rc;
}

static enum status parse_threshold(struct stage_option *stage, const char *text, const char *where)
{
    enum status rc = STATUS_OK;

    if (!number_parse_float(text, &stage->threshold) || stage->threshold < 0 || stage->threshold > 1)
        FAIL(STATUS_USAGE, "%s: stage %s: the threshold '%s' is not a number from 0 to 1", where, stage->name,
             text);
out:
    return rc;
}

static int compare_ranges(const void *a, const void *b)
{
    uint32_t first_a = ((const struct class_range *)a)->first;
    uint32_t first_b = ((const struct class_range *)b)->first;
    return (first_a > first_b) - (first_a < first_b);
}

/* "7" or "300-326". */
static bool parse_range(const char *text, struct class_range *range)
{
    char first[16];
    const char *dash = strchr(text, '-');
    size_t length = dash == NULL ? strlen(text) : (size_t)(dash - text);
    uint64_t a, b;

    if (length >= sizeof(first))
        return false;
    memcpy(first, text, length);
    first[length] = '\0';
    if (!number_parse_u64(first, &a) || !number_parse_u64(dash == NULL ? first : dash + 1, &b))
        return false;
    if (a > b || b >= STAGE_OPTION_CLASS_LIMIT)
        return false;
    *range = (struct class_range){(uint32_t)a, (uint32_t)b};
    return true;
}

static enum status parse_classes(struct stage_option *stage, const char *text, const char *where)
{
    enum status rc = STATUS_OK;
    size_t n = 1, i = 0;
    char *copy = strdup(text), *rest = copy, *piece;

    for (const char *p = text; *p != '\0'; p++)
        n += *p == ',';
    stage->classes = calloc(n, sizeof(*stage->classes));
    stage->class_text = strdup(text);
    if (copy == NULL || stage->classes == NULL || stage->class_text == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    while ((piece = strsep(&rest, ",")) != NULL) {
        if (!parse_range(piece, &stage->classes[i++]))
            FAIL(STATUS_USAGE,
                 "%s: stage %s: class '%s' is neither a class number (0 to %d) nor a rising range such as "
                 "300-326",
                 where, stage->name, piece, STAGE_OPTION_CLASS_LIMIT - 1);
    }
    stage->n_classes = n;
    qsort(stage->classes, n, sizeof(*stage->classes), compare_ranges);
    for (i = 1; i < n; i++) {
        if (stage->classes[i].first <= stage->classes[i - 1].last)
            FAIL(STATUS_USAGE, "%s: stage %s: class %u is listed twice in '%s'", where, stage->name,
                 stage->classes[i].first, text);
    }
out:
    free(copy);
    return rc;
}

/* "r,g,b", each in [least, most] and, for a divisor, above zero. */
static enum status parse_rgb(const struct stage_option *stage, const char *key, const char *text, float most,
                             bool positive, float values[3], const char *where)
{
    enum status rc = STATUS_OK;
    char *copy = strdup(text), *rest = copy, *piece;
    int n = 0;

    if (copy == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    while ((piece = strsep(&rest, ",")) != NULL) {
        float value;
        if (n == 3 || !number_parse_float(piece, &value) || value < 0 || (positive && value == 0) ||
            value > most)
            break;
        values[n++] = value;
    }
    if (n != 3 || piece != NULL)
        FAIL(STATUS_USAGE,
             "%s: stage %s: %s '%s' is not three numbers r,g,b %s %g, in units of pixel values 0..1", where,
             stage->name, key, text, positive ? "above 0, up to" : "from 0 to", (double)most);
out:
    free(copy);
    return rc;
}

static enum status parse_word(struct stage_option *stage, const char *key, const char *value,
                              const char *choices, int *index, const char *where)
{
    enum status rc = STATUS_OK;

    *index = choice_find(choices, value);
    if (*index < 0)
        FAIL(STATUS_USAGE, "%s: stage %s: %s '%s' is none of %s", where, stage->name, key, value, choices);
out:
    return rc;
}

static enum status parse_setting(struct stage_option *stage, const char *key, const char *value,
                                 const char *where)
{
    enum status rc = STATUS_OK;
    static const char keys[] = "class|head|mean|std|precision";
    int index = 0, which = choice_find(keys, key);

    assert(which != 0 || (stage->classes == NULL && stage->class_text == NULL)); /* parse_tail refuses */
    assert(which != 1 || stage->head == NULL);                                   /* what is given twice */
    switch (which) {
    case 0:
        TRY(parse_classes(stage, value, where));
        break;
    case 1:
        TRY(parse_word(stage, key, value, "softmax|sigmoid", &index, where));
        stage->head = strdup(value);
        if (stage->head == NULL)
            FAIL(STATUS_MEMORY, "no memory");
        break;
    case 2:
        TRY(parse_rgb(stage, key, value, 1, false, stage->mean, where));
        break;
    case 3:
        TRY(parse_rgb(stage, key, value, 1000, true, stage->std, where));
        break;
    case 4:
        TRY(parse_word(stage, key, value, PRECISION_CHOICES, &index, where));
        stage->precision = (enum precision_choice)index;
        stage->has_precision = true;
        break;
    default: {
        char near[64];
        bool found = nearest_choice(keys, key, near, sizeof(near));
        FAIL(STATUS_USAGE,
             "%s: stage %s: unknown setting '%s'%s%s%s: there are class, head, mean, std, precision", where,
             stage->name, key, found ? " (did you mean " : "", found ? near : "", found ? "?)" : "");
    }
    }
out:
    return rc;
}

/* `text` is what stands behind the last '@'. */
static enum status parse_tail(struct stage_option *stage, const char *text, const char *where)
{
    enum status rc = STATUS_OK;
    char *copy = strdup(text), *rest = copy, *piece;
    uint32_t seen = 0;

    if (copy == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    TRY(parse_threshold(stage, strsep(&rest, ":"), where));
    while ((piece = strsep(&rest, ":")) != NULL) {
        char *value = strchr(piece, '=');
        if (value == NULL)
            FAIL(STATUS_USAGE, "%s: stage %s: ':%s' is not a setting such as :class=1", where, stage->name,
                 piece);
        *value++ = '\0';
        int key = choice_find("class|head|mean|std|precision", piece);
        if (key >= 0 && (seen & 1u << key))
            FAIL(STATUS_USAGE, "%s: stage %s: '%s' is given twice", where, stage->name, piece);
        if (key >= 0)
            seen |= 1u << key;
        TRY(parse_setting(stage, piece, value, where));
    }
out:
    free(copy);
    return rc;
}

/* Takes what `stage` owns on success. */
static enum status append(struct stage_list *list, const struct stage_option *stage, const char *where)
{
    enum status rc = STATUS_OK;

    for (size_t i = 0; i < list->n; i++) {
        if (strcmp(list->items[i].name, stage->name) == 0)
            FAIL(STATUS_USAGE, "%s: there are two stages named '%s': give each a name of its own", where,
                 stage->name);
    }
    if (list->n == STAGES_MAX)
        FAIL(STATUS_USAGE, "%s: more than %d stages", where, STAGES_MAX);
    struct stage_option *items = realloc(list->items, (list->n + 1) * sizeof(*items));
    if (items == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    list->items = items;
    list->items[list->n++] = *stage;
out:
    return rc;
}

enum status stage_list_add(struct stage_list *list, const char *text, const char *where)
{
    enum status rc = STATUS_OK;
    struct stage_option stage = {.mean = {0.485f, 0.456f, 0.406f}, .std = {0.229f, 0.224f, 0.225f}};
    const char *equals = strchr(text, '='), *at = strrchr(text, '@');

    stage.text = strdup(text);
    if (stage.text == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    if (equals == NULL || (at != NULL && at < equals))
        FAIL(STATUS_USAGE, "%s: '%s' has no '=' between name and file: give " FORM, where, text);
    if (at == NULL)
        FAIL(STATUS_USAGE, "%s: '%s' has no '@' before the threshold: give " FORM, where, text);
    TRY(parse_name(&stage, text, (size_t)(equals - text), where));
    if (at == equals + 1)
        FAIL(STATUS_USAGE, "%s: stage %s: no file is named: give " FORM, where, stage.name);
    stage.file = strndup(equals + 1, (size_t)(at - equals - 1));
    if (stage.file == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    TRY(parse_tail(&stage, at + 1, where));
    TRY(append(list, &stage, where));
    stage = (struct stage_option){0};
out:
    stage_option_free(&stage);
    return rc;
}

enum status stage_list_add_threshold(struct stage_list *list, const char *text, const char *where)
{
    enum status rc = STATUS_OK;
    struct stage_option stage = {0};
    const char *at = strrchr(text, '@');

    stage.text = strdup(text);
    if (stage.text == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    if (at == NULL)
        FAIL(STATUS_USAGE, "%s: '%s' has no '@' before the threshold: give NAME@THRESHOLD", where, text);
    TRY(parse_name(&stage, text, (size_t)(at - text), where));
    TRY(parse_threshold(&stage, at + 1, where));
    TRY(append(list, &stage, where));
    stage = (struct stage_option){0};
out:
    stage_option_free(&stage);
    return rc;
}
