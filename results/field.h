/*
 * The datasets of a layout as a table: parts and sweeps are written, checked, read and gathered by walking
 * it, so a dataset is described once (schema.h in words, field.c in code).
 */
#ifndef EYESORE_RESULTS_FIELD_H
#define EYESORE_RESULTS_FIELD_H

#include "results/schema.h"

#define FIELD_PATH_SIZE (SWEEP_COLUMN_NAME_SIZE + 32)

/* What the first dimension counts. */
enum field_axis {
    AXIS_ROW,
    AXIS_OFFSET,  /* rows + 1 */
    AXIS_BLOB,    /* bytes of blob `index` */
    AXIS_FAILURE, /* rows with a message */
    AXIS_MAP,     /* rows with heat maps */
};

enum field_type { TYPE_U8, TYPE_I32, TYPE_U64, TYPE_F32, TYPE_F16, TYPE_STRING, TYPE_STATUS, TYPE_VERDICT };

enum field_what {
    FIELD_ID,
    FIELD_STATUS,
    FIELD_WIDTH,
    FIELD_HEIGHT,
    FIELD_ORIENTATION,
    FIELD_HASH,
    FIELD_PROBED,
    FIELD_ROW,         /* parts only */
    FIELD_COLUMN,      /* index: column; those of fixed width */
    FIELD_BLOB_OFFSET, /* index: blob */
    FIELD_BLOB_BYTES,  /* index: blob */
    FIELD_SCORE,       /* index: stage */
    FIELD_VERDICT,
    FIELD_FAILURE_ROW,
    FIELD_FAILURE_MESSAGE,
    FIELD_MAP_ROW,
    FIELD_MAP, /* index: stage */
};

struct field {
    enum field_what what;
    uint32_t index;
    char path[FIELD_PATH_SIZE];
    enum field_axis axis;
    enum field_type type;
    uint32_t string_size; /* bytes, TYPE_STRING only */
    uint32_t n_inner;     /* dimensions behind the first */
    uint32_t inner[2];
};

struct field_table {
    struct field *fields; /* owned */
    size_t n;
};

/* The datasets of a part (with /items/row) or of a sweep. The caller frees with field_table_free. */
enum status field_table_make(const struct sweep_layout *layout, bool part, struct field_table *table);
void field_table_free(struct field_table *table);

/* Bytes of one entry along the first dimension. */
size_t field_record_bytes(const struct field *field);

/* NULL where the layout has no such dataset. */
const struct field *field_table_find(const struct field_table *table, enum field_what what, uint32_t index);

#endif
