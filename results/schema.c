#include "results/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAFE_NAME_BYTES 200

static const char *const FIXED_NAMES[] = {"id",          "uri",          "status", "width", "height",
                                          "orientation", "content_hash", "probed", "row",   "verdict"};

const char *sweep_verdict_name(enum sweep_verdict verdict)
{
    switch (verdict) {
#define X(value, upper, name, meaning)                                                                       \
    case SWEEP_##upper:                                                                                      \
        return name;
        SWEEP_VERDICT_LIST(X)
#undef X
    case SWEEP_VERDICT_COUNT:
        break;
    }
    return "unknown";
}

const char *sweep_heatmaps_name(enum sweep_heatmaps mode)
{
    switch (mode) {
    case HEATMAPS_NONE:
        return "none";
    case HEATMAPS_FLAGGED:
        return "flagged";
    case HEATMAPS_ALL:
        return "all";
    }
    return "unknown";
}

enum status sweep_layout_init(struct sweep_layout *layout, size_t longest_id_bytes,
                              enum sweep_heatmaps heatmaps, double probe_probability)
{
    enum status rc = STATUS_OK;

    memset(layout, 0, sizeof(*layout));
    if (longest_id_bytes > SWEEP_ID_WIDTH_MAX)
        FAIL(STATUS_INPUT, "the longest id has %zu bytes, the most is %d: use shorter ids", longest_id_bytes,
             SWEEP_ID_WIDTH_MAX);
    if (!(probe_probability >= 0 && probe_probability <= 1))
        FAIL(STATUS_INPUT, "--probe %g: a probability is 0 to 1", probe_probability);
    layout->id_width = longest_id_bytes == 0 ? 1 : (uint32_t)longest_id_bytes;
    layout->n_blobs = 1;
    layout->heatmaps = heatmaps;
    layout->probe_probability = probe_probability;
out:
    return rc;
}

static bool file_name_is_taken(const struct sweep_layout *layout, const char *name)
{
    if (strcmp(name, "") == 0 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return true;
    for (size_t i = 0; i < sizeof(FIXED_NAMES) / sizeof(FIXED_NAMES[0]); i++)
        if (strcmp(name, FIXED_NAMES[i]) == 0)
            return true;
    for (uint32_t i = 0; i < layout->n_columns; i++)
        if (strcmp(name, layout->columns[i].file) == 0)
            return true;
    return false;
}

/* The rule is in schema.h. At most SWEEP_COLUMNS_MAX names can be taken, yet '_' is only tried while there is
 * room. */
static enum status make_safe_name(const struct sweep_layout *layout, const char *name,
                                  char safe[SWEEP_COLUMN_NAME_SIZE])
{
    enum status rc = STATUS_OK;
    size_t size = strlen(name);

    if (size > SAFE_NAME_BYTES) {
        size = SAFE_NAME_BYTES;
        while (size > 0 && ((unsigned char)name[size] & 0xc0) == 0x80) /* not inside a character */
            size--;
    }
    for (size_t i = 0; i < size; i++)
        safe[i] = name[i] == '/' || (unsigned char)name[i] < 0x20 || name[i] == 0x7f ? '_' : name[i];
    safe[size] = '\0';
    while (file_name_is_taken(layout, safe)) {
        if (size + 1 >= SWEEP_COLUMN_NAME_SIZE)
            FAIL(STATUS_INPUT, "column `%.60s...`: too many columns whose names start alike", name);
        safe[size++] = '_';
        safe[size] = '\0';
    }
out:
    return rc;
}

enum status sweep_layout_add_column(struct sweep_layout *layout, const char *name, size_t longest_bytes)
{
    enum status rc = STATUS_OK;
    struct sweep_column column = {0};
    struct sweep_column *grown;

    if (layout->n_columns >= SWEEP_COLUMNS_MAX)
        FAIL(STATUS_INPUT, "more than %d columns carried: choose with --carry", SWEEP_COLUMNS_MAX);
    if (strlen(name) > 4096)
        FAIL(STATUS_INPUT, "column `%.60s...`: the name is longer than 4096 bytes", name);
    TRY(make_safe_name(layout, name, column.file));
    if (longest_bytes > SWEEP_COLUMN_WIDTH_MAX)
        column.blob = layout->n_blobs;
    else
        column.width = longest_bytes == 0 ? 1 : (uint32_t)longest_bytes;
    column.name = strdup(name);
    if (column.name == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    grown = realloc(layout->columns, (layout->n_columns + 1) * sizeof(*grown));
    if (grown == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    layout->columns = grown;
    layout->columns[layout->n_columns++] = column;
    layout->n_blobs += column.width == 0;
    column.name = NULL;
out:
    free(column.name);
    return rc;
}

enum status sweep_layout_add_stage(struct sweep_layout *layout, const char *name, uint32_t map_height,
                                   uint32_t map_width, bool trained)
{
    enum status rc = STATUS_OK;
    struct sweep_stage *stage = &layout->stages[layout->n_stages];

    if (layout->n_stages >= SWEEP_STAGES_MAX)
        FAIL(STATUS_INPUT, "more than %d stages", SWEEP_STAGES_MAX);
    if (name[0] == '\0' || strlen(name) >= SWEEP_STAGE_NAME_SIZE || strchr(name, '/') != NULL ||
        strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, "row") == 0)
        FAIL(STATUS_INPUT, "`%.80s` cannot be the name of a stage: 1 to %d bytes without `/`, not `row`",
             name, SWEEP_STAGE_NAME_SIZE - 1);
    for (uint32_t i = 0; i < layout->n_stages; i++)
        if (strcmp(layout->stages[i].name, name) == 0)
            FAIL(STATUS_INPUT, "two stages named `%s`: give each its own name", name);
    if (map_height > SWEEP_MAP_SIDE_MAX || map_width > SWEEP_MAP_SIDE_MAX)
        FAIL(STATUS_INPUT, "stage %s: a heat map of %ux%u; the most is %d on a side", name, map_height,
             map_width, SWEEP_MAP_SIDE_MAX);
    if (layout->heatmaps != HEATMAPS_NONE && (map_height == 0 || map_width == 0))
        FAIL(STATUS_INPUT, "stage %s has no heat map: use --heatmaps none", name);
    memset(stage, 0, sizeof(*stage));
    memcpy(stage->name, name, strlen(name));
    stage->map_height = map_height;
    stage->map_width = map_width;
    stage->trained = trained;
    layout->n_stages++;
out:
    return rc;
}

static bool columns_differ(const struct sweep_layout *was, const struct sweep_layout *is, char *text,
                           size_t size)
{
    for (uint32_t i = 0; i < was->n_columns; i++) {
        const struct sweep_column *a = &was->columns[i];
        const struct sweep_column *b = &is->columns[i];
        if (strcmp(a->name, b->name) != 0) {
            snprintf(text, size, "column %u: was `%s`, is `%s`", i + 1, a->name, b->name);
            return true;
        }
        if (a->width != b->width) {
            snprintf(text, size, "column `%s`: width was %u, is %u", a->name, a->width, b->width);
            return true;
        }
    }
    return false;
}

static bool stages_differ(const struct sweep_layout *was, const struct sweep_layout *is, char *text,
                          size_t size)
{
    for (uint32_t i = 0; i < was->n_stages; i++) {
        const struct sweep_stage *a = &was->stages[i];
        const struct sweep_stage *b = &is->stages[i];
        if (strcmp(a->name, b->name) != 0) {
            snprintf(text, size, "stage %u: was %s, is %s", i + 1, a->name, b->name);
            return true;
        }
        if (a->map_height != b->map_height || a->map_width != b->map_width) {
            snprintf(text, size, "stage %s: heat map was %ux%u, is %ux%u", a->name, a->map_height,
                     a->map_width, b->map_height, b->map_width);
            return true;
        }
    }
    return false;
}

bool sweep_layout_difference(const struct sweep_layout *was, const struct sweep_layout *is, char *difference,
                             size_t size)
{
    if (was->id_width != is->id_width) {
        snprintf(difference, size, "id width: was %u, is %u", was->id_width, is->id_width);
        return true;
    }
    if (was->n_columns != is->n_columns) {
        snprintf(difference, size, "columns: were %u, are %u", was->n_columns, is->n_columns);
        return true;
    }
    if (was->n_stages != is->n_stages) {
        snprintf(difference, size, "stages: were %u, are %u", was->n_stages, is->n_stages);
        return true;
    }
    if (was->heatmaps != is->heatmaps) {
        snprintf(difference, size, "heatmaps: was %s, is %s", sweep_heatmaps_name(was->heatmaps),
                 sweep_heatmaps_name(is->heatmaps));
        return true;
    }
    if ((was->probe_probability > 0) != (is->probe_probability > 0)) {
        snprintf(difference, size, "probe: was %g, is %g", was->probe_probability, is->probe_probability);
        return true;
    }
    return columns_differ(was, is, difference, size) || stages_differ(was, is, difference, size);
}

void sweep_layout_free(struct sweep_layout *layout)
{
    if (layout == NULL)
        return;
    for (uint32_t i = 0; i < layout->n_columns; i++)
        free(layout->columns[i].name);
    free(layout->columns);
    memset(layout, 0, sizeof(*layout));
}
