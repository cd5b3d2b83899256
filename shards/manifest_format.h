/*
 * Between manifest.c, which knows columns and what a good row is, and the three formats, which only find the
 * fields of the next row. Private to shards/.
 */
#ifndef EYESORE_SHARDS_MANIFEST_FORMAT_H
#define EYESORE_SHARDS_MANIFEST_FORMAT_H

#include "shards/lines.h"
#include "shards/manifest.h"

struct csv_rows;
struct cJSON;

struct manifest {
    char *path;
    enum manifest_format format;
    struct lines *lines;

    /* The row at hand: columns of the file (TSV, CSV), or id, uri and the carried ones (JSON Lines). */
    struct manifest_field fields[MANIFEST_COLUMNS_MAX];
    size_t n_fields; /* may exceed MANIFEST_COLUMNS_MAX: counted, not kept */
    uint64_t line, offset_bytes;
    char problem[400];

    char **columns; /* [n_columns] names, owned */
    size_t n_columns;
    size_t id_column, uri_column;
    size_t *carried; /* [n_carried] their numbers in columns */
    size_t n_carried;
    struct manifest_field *carried_fields; /* [n_carried] what a row's `carried` points to */

    struct csv_rows *csv; /* state of the CSV parser */
    struct cJSON *object; /* the row at hand, which fields point into */
};

/* Find the next row's fields; blank lines are passed over. On MANIFEST_BAD, problem is written. */
enum status manifest_tsv_get(struct manifest *manifest, enum manifest_got *got);
enum status manifest_csv_get(struct manifest *manifest, enum manifest_got *got);
enum status manifest_json_get(struct manifest *manifest, enum manifest_got *got);

enum status manifest_csv_open(struct manifest *manifest);
void manifest_csv_close(struct manifest *manifest);
enum status manifest_csv_forget(struct manifest *manifest); /* after a seek */

/* Take the columns from the first object, then go back to it. */
enum status manifest_json_columns(struct manifest *manifest);

enum status manifest_add_column(struct manifest *manifest, const char *name, size_t size);

/* Is a line whole text: short enough, UTF-8, no NUL? Writes problem where not. */
bool manifest_line_is_text(struct manifest *manifest, const struct line *line);

void manifest_say(struct manifest *manifest, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
