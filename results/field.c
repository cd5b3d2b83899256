#include "results/field.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "results/ writes memory as it is, little-endian");

static struct field *add(struct field_table *table, enum field_what what, enum field_axis axis,
                         enum field_type type, const char *format, ...) __attribute__((format(printf, 5, 6)));

static struct field *add(struct field_table *table, enum field_what what, enum field_axis axis,
                         enum field_type type, const char *format, ...)
{
    struct field *field = &table->fields[table->n++];
    va_list list;

    memset(field, 0, sizeof(*field));
    field->what = what;
    field->axis = axis;
    field->type = type;
    va_start(list, format);
    vsnprintf(field->path, sizeof(field->path), format, list);
    va_end(list);
    return field;
}

static void add_blob(struct field_table *table, uint32_t blob, const char *name)
{
    add(table, FIELD_BLOB_OFFSET, AXIS_OFFSET, TYPE_U64, "/items/%s/offset", name)->index = blob;
    add(table, FIELD_BLOB_BYTES, AXIS_BLOB, TYPE_U8, "/items/%s/bytes", name)->index = blob;
}

static void add_items(struct field_table *table, const struct sweep_layout *layout, bool part)
{
    add(table, FIELD_ID, AXIS_ROW, TYPE_STRING, "/items/id")->string_size = layout->id_width;
    add_blob(table, 0, "uri");
    add(table, FIELD_STATUS, AXIS_ROW, TYPE_STATUS, "/items/status");
    add(table, FIELD_WIDTH, AXIS_ROW, TYPE_I32, "/items/width");
    add(table, FIELD_HEIGHT, AXIS_ROW, TYPE_I32, "/items/height");
    add(table, FIELD_ORIENTATION, AXIS_ROW, TYPE_U8, "/items/orientation");
    struct field *hash = add(table, FIELD_HASH, AXIS_ROW, TYPE_U8, "/items/content_hash");
    hash->n_inner = 1;
    hash->inner[0] = SWEEP_HASH_SIZE;
    if (layout->probe_probability > 0)
        add(table, FIELD_PROBED, AXIS_ROW, TYPE_U8, "/items/probed");
    if (part)
        add(table, FIELD_ROW, AXIS_ROW, TYPE_U64, "/items/row");
    for (uint32_t i = 0; i < layout->n_columns; i++) {
        const struct sweep_column *column = &layout->columns[i];
        if (column->width == 0) {
            add_blob(table, column->blob, column->file);
        } else {
            struct field *field = add(table, FIELD_COLUMN, AXIS_ROW, TYPE_STRING, "/items/%s", column->file);
            field->index = i;
            field->string_size = column->width;
        }
    }
}

enum status field_table_make(const struct sweep_layout *layout, bool part, struct field_table *table)
{
    enum status rc = STATUS_OK;
    struct field_table made = {0};
    size_t most = 16 + 2 * (size_t)layout->n_columns + 2 * (size_t)layout->n_stages;

    made.fields = calloc(most, sizeof(*made.fields));
    if (made.fields == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    add_items(&made, layout, part);
    for (uint32_t i = 0; i < layout->n_stages; i++)
        add(&made, FIELD_SCORE, AXIS_ROW, TYPE_F32, "/stages/%s/score", layout->stages[i].name)->index = i;
    add(&made, FIELD_VERDICT, AXIS_ROW, TYPE_VERDICT, "/verdict");
    add(&made, FIELD_FAILURE_ROW, AXIS_FAILURE, TYPE_U64, "/failures/row");
    add(&made, FIELD_FAILURE_MESSAGE, AXIS_FAILURE, TYPE_STRING, "/failures/message")->string_size =
        SWEEP_MESSAGE_WIDTH;
    if (layout->heatmaps != HEATMAPS_NONE) {
        add(&made, FIELD_MAP_ROW, AXIS_MAP, TYPE_U64, "/heatmaps/row");
        for (uint32_t i = 0; i < layout->n_stages; i++) {
            struct field *map =
                add(&made, FIELD_MAP, AXIS_MAP, TYPE_F16, "/heatmaps/%s", layout->stages[i].name);
            map->index = i;
            map->n_inner = 2;
            map->inner[0] = layout->stages[i].map_height;
            map->inner[1] = layout->stages[i].map_width;
        }
    }
    *table = made;
out:
    return rc;
}

void field_table_free(struct field_table *table)
{
    if (table == NULL)
        return;
    free(table->fields);
    memset(table, 0, sizeof(*table));
}

size_t field_record_bytes(const struct field *field)
{
    size_t bytes = 1;

    switch (field->type) {
    case TYPE_U8:
    case TYPE_STATUS:
    case TYPE_VERDICT:
        break;
    case TYPE_F16:
        bytes = 2;
        break;
    case TYPE_I32:
    case TYPE_F32:
        bytes = 4;
        break;
    case TYPE_U64:
        bytes = 8;
        break;
    case TYPE_STRING:
        bytes = field->string_size;
        break;
    }
    for (uint32_t i = 0; i < field->n_inner; i++)
        bytes *= field->inner[i];
    return bytes;
}

const struct field *field_table_find(const struct field_table *table, enum field_what what, uint32_t index)
{
    for (size_t i = 0; i < table->n; i++)
        if (table->fields[i].what == what && table->fields[i].index == index)
            return &table->fields[i];
    return NULL;
}
