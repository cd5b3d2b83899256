#include "results/attribute.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum status write_one(hid_t file, const char *name, const struct sweep_attribute *attribute)
{
    const char *path = attribute->path;
    const char *key = attribute->key;

    switch (attribute->type) {
    case ATTRIBUTE_STRING:
        return h5_put_string(file, name, path, key, attribute->value.string);
    case ATTRIBUTE_U64:
        return h5_put_u64(file, name, path, key, attribute->value.u64);
    case ATTRIBUTE_U8:
        return h5_put_u8(file, name, path, key, attribute->value.u8);
    case ATTRIBUTE_F32:
        return h5_put_f32(file, name, path, key, attribute->value.f32);
    case ATTRIBUTE_F64:
        return h5_put_f64(file, name, path, key, attribute->value.f64);
    }
    return STATUS_INTERNAL;
}

enum status sweep_attributes_write(hid_t file, const char *name, const struct sweep_attributes *attributes)
{
    enum status rc = STATUS_OK;

    for (size_t i = 0; i < attributes->n; i++)
        TRY(write_one(file, name, &attributes->list[i]));
out:
    return rc;
}

enum status sweep_layout_write(hid_t file, const char *name, const struct sweep_layout *layout)
{
    enum status rc = STATUS_OK;
    char path[FIELD_PATH_SIZE];

    TRY(h5_put_string(file, name, "/", "heatmaps", sweep_heatmaps_name(layout->heatmaps)));
    if (layout->probe_probability > 0)
        TRY(h5_put_f64(file, name, "/", "probe_probability", layout->probe_probability));
    for (uint32_t i = 0; i < layout->n_columns; i++) {
        snprintf(path, sizeof(path), "/items/%s", layout->columns[i].file);
        TRY(h5_put_string(file, name, path, "column", layout->columns[i].name));
        TRY(h5_put_u64(file, name, path, "order", i));
    }
    for (uint32_t i = 0; i < layout->n_stages; i++) {
        const struct sweep_stage *stage = &layout->stages[i];
        snprintf(path, sizeof(path), "/stages/%s", stage->name);
        TRY(h5_put_u64(file, name, path, "order", i));
        TRY(h5_put_u64(file, name, path, "map_height", stage->map_height));
        TRY(h5_put_u64(file, name, path, "map_width", stage->map_width));
        TRY(h5_put_u8(file, name, path, "trained", stage->trained));
    }
out:
    return rc;
}

/* A member of /items or /stages, as found. */
struct member {
    char name[SWEEP_COLUMN_NAME_SIZE];
    uint64_t order;
};

struct members {
    struct member *list; /* owned */
    size_t n, limit;
    bool failed; /* too many, a name too long, or a link that is not a hard one */
};

/* H5Literate wants a void pointer here. */
static herr_t note_member(hid_t group, const char *name, const H5L_info_t *info, void *data)
{
    struct members *members = data;

    (void)group;
    if (info->type != H5L_TYPE_HARD || members->n >= members->limit ||
        strlen(name) >= SWEEP_COLUMN_NAME_SIZE) {
        members->failed = true;
        return 1;
    }
    memset(&members->list[members->n], 0, sizeof(members->list[0]));
    memcpy(members->list[members->n++].name, name, strlen(name));
    return 0;
}

static int compare_members(const void *a, const void *b)
{
    const struct member *x = a;
    const struct member *y = b;

    if (x->order != y->order)
        return x->order < y->order ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* The members of a group that have the attribute `order`, in that order. */
static enum status list_members(hid_t file, const char *name, const char *group, size_t limit,
                                struct members *members)
{
    enum status rc = STATUS_OK;
    char path[FIELD_PATH_SIZE];
    hid_t opened = -1;
    size_t kept = 0;
    bool ordered;

    members->limit = limit;
    members->list = calloc(limit, sizeof(*members->list));
    if (members->list == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    if (!h5_has(file, group)) {
        if (H5Lexists(file, group, H5P_DEFAULT) > 0)
            FAIL(STATUS_INPUT, "%s: %s is a link to elsewhere", name, group);
        goto out;
    }
    opened = H5Gopen2(file, group, H5P_DEFAULT);
    H5_TRY(opened, STATUS_INPUT, name, group);
    H5_TRY(H5Literate(opened, H5_INDEX_NAME, H5_ITER_INC, NULL, note_member, members), STATUS_INPUT, name,
           group);
    if (members->failed)
        FAIL(STATUS_INPUT,
             "%s: %s has more than %zu members, one with a very long name, or a link to elsewhere", name,
             group, limit);
    for (size_t i = 0; i < members->n; i++) {
        snprintf(path, sizeof(path), "%s/%s", group, members->list[i].name);
        TRY(h5_find_attribute(file, name, path, "order", &ordered));
        if (!ordered)
            continue;
        TRY(h5_get_u64s(file, name, path, "order", &members->list[i].order, 1));
        if (kept != i)
            members->list[kept] = members->list[i];
        kept++;
    }
    members->n = kept;
    qsort(members->list, members->n, sizeof(*members->list), compare_members);
out:
    if (opened >= 0)
        H5Gclose(opened);
    return rc;
}

/* Width of a fixed-length string dataset; 0 where it is a group (a blob). */
static enum status string_width(hid_t file, const char *name, const char *path, size_t limit, size_t *width)
{
    enum status rc = STATUS_OK;
    H5O_info_t info;
    hid_t dataset = -1;
    hid_t type = -1;

    *width = 0;
    if (!h5_has(file, path))
        FAIL(STATUS_INPUT, "%s: has no %s: is this a file of eyesore, whole?", name, path);
    H5_TRY(H5Oget_info_by_name2(file, path, &info, H5O_INFO_BASIC, H5P_DEFAULT), STATUS_INPUT, name, path);
    if (info.type == H5O_TYPE_GROUP)
        goto out;
    dataset = info.type == H5O_TYPE_DATASET ? H5Dopen2(file, path, H5P_DEFAULT) : -1;
    type = dataset < 0 ? -1 : H5Dget_type(dataset);
    if (type < 0 || H5Tget_class(type) != H5T_STRING || H5Tis_variable_str(type) != 0 ||
        H5Tget_size(type) > limit)
        FAIL(STATUS_INPUT, "%s: %s is not a string of at most %zu bytes", name, path, limit);
    *width = H5Tget_size(type);
out:
    if (type >= 0)
        H5Tclose(type);
    if (dataset >= 0)
        H5Dclose(dataset);
    return rc;
}

static enum status read_columns(hid_t file, const char *name, struct sweep_layout *layout)
{
    enum status rc = STATUS_OK;
    struct members members = {0};
    char path[FIELD_PATH_SIZE];
    char column[4097];
    size_t width;

    TRY(list_members(file, name, "/items", SWEEP_COLUMNS_MAX + 16, &members));
    for (size_t i = 0; i < members.n; i++) {
        snprintf(path, sizeof(path), "/items/%s", members.list[i].name);
        TRY(h5_get_string(file, name, path, "column", column, sizeof(column)));
        TRY(string_width(file, name, path, SWEEP_COLUMN_WIDTH_MAX, &width));
        TRY(sweep_layout_add_column(layout, column, width == 0 ? SWEEP_COLUMN_WIDTH_MAX + 1 : width));
        if (strcmp(layout->columns[i].file, members.list[i].name) != 0)
            FAIL(STATUS_INPUT, "%s: %s is not where column `%s` should be", name, path, column);
    }
out:
    free(members.list);
    return rc;
}

static enum status read_stages(hid_t file, const char *name, struct sweep_layout *layout)
{
    enum status rc = STATUS_OK;
    struct members members = {0};
    char path[FIELD_PATH_SIZE];
    uint64_t height, width, trained;

    TRY(list_members(file, name, "/stages", SWEEP_STAGES_MAX, &members));
    for (size_t i = 0; i < members.n; i++) {
        snprintf(path, sizeof(path), "/stages/%s", members.list[i].name);
        TRY(h5_get_u64s(file, name, path, "map_height", &height, 1));
        TRY(h5_get_u64s(file, name, path, "map_width", &width, 1));
        TRY(h5_get_u64s(file, name, path, "trained", &trained, 1));
        if (height > SWEEP_MAP_SIDE_MAX || width > SWEEP_MAP_SIDE_MAX)
            FAIL(STATUS_INPUT, "%s: %s: a heat map larger than %d on a side", name, path, SWEEP_MAP_SIDE_MAX);
        TRY(sweep_layout_add_stage(layout, members.list[i].name, (uint32_t)height, (uint32_t)width,
                                   trained != 0));
    }
out:
    free(members.list);
    return rc;
}

enum status sweep_layout_read(hid_t file, const char *name, struct sweep_layout *layout)
{
    enum status rc = STATUS_OK;
    enum sweep_heatmaps heatmaps = HEATMAPS_NONE;
    double probe = 0;
    char text[32];
    size_t width;

    memset(layout, 0, sizeof(*layout));
    TRY(h5_get_string(file, name, "/", "heatmaps", text, sizeof(text)));
    while (strcmp(text, sweep_heatmaps_name(heatmaps)) != 0)
        if (heatmaps++ == HEATMAPS_ALL)
            FAIL(STATUS_INPUT, "%s: attribute `heatmaps` is `%s`", name, text);
    if (h5_has_attribute(file, "/", "probe_probability"))
        TRY(h5_get_f64(file, name, "/", "probe_probability", &probe));
    TRY(string_width(file, name, "/items/id", SWEEP_ID_WIDTH_MAX, &width));
    if (width == 0)
        FAIL(STATUS_INPUT, "%s: /items/id is not a dataset", name);
    TRY(sweep_layout_init(layout, width, heatmaps, probe));
    TRY(read_columns(file, name, layout));
    TRY(read_stages(file, name, layout));
out:
    return rc;
}
