/*
 * CSV through libcsv, which is fed one physical line at a time: so a row's first byte and line are known, and
 * a row that never ends (an open quote) is found after 1 MiB.
 */
#include "shards/manifest_format.h"

#include <csv.h>
#include <stdlib.h>
#include <string.h>

#define ROW_BYTES_MAX LINE_BYTES_MAX

struct csv_rows {
    struct csv_parser parser;
    bool open;   /* csv_init was called */
    char *bytes; /* [ROW_BYTES_MAX] the row's fields, one behind another */
    size_t used;
    size_t ends[MANIFEST_COLUMNS_MAX]; /* where each ends in bytes */
    size_t n_fields;
    size_t n_rows; /* ended since the row at hand began */
    bool overflow, no_memory;
};

/* RFC 4180: spaces are part of a field; libcsv would trim them. */
static int never_space(unsigned char c)
{
    (void)c;
    return 0;
}

static enum status restart(struct csv_rows *csv)
{
    enum status rc = STATUS_OK;

    if (csv->open)
        csv_free(&csv->parser);
    csv->open = false;
    if (csv_init(&csv->parser, CSV_STRICT | CSV_STRICT_FINI) != 0)
        FAIL(STATUS_INTERNAL, "libcsv: csv_init failed");
    csv_set_blk_size(&csv->parser, 65536); /* its 128 would copy a long field 8,000 times */
    csv_set_space_func(&csv->parser, never_space);
    csv->open = true;
    csv->used = csv->n_fields = csv->n_rows = 0;
    csv->overflow = csv->no_memory = false;
out:
    return rc;
}

enum status manifest_csv_open(struct manifest *manifest)
{
    enum status rc = STATUS_OK;
    struct csv_rows *csv = calloc(1, sizeof(*csv));

    if (csv == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    manifest->csv = csv;
    csv->bytes = malloc(ROW_BYTES_MAX);
    if (csv->bytes == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    TRY(restart(csv));
out:
    return rc;
}

void manifest_csv_close(struct manifest *manifest)
{
    struct csv_rows *csv = manifest->csv;

    if (csv == NULL)
        return;
    if (csv->open)
        csv_free(&csv->parser);
    free(csv->bytes);
    free(csv);
    manifest->csv = NULL;
}

/* libcsv's callbacks; their type is the library's. */
static void on_field(void *bytes, size_t size, void *data)
{
    struct csv_rows *csv = data;

    if (csv->n_rows > 0) /* a second row in this line: refused by the caller */
        return;
    if (size > ROW_BYTES_MAX - csv->used) {
        csv->overflow = true;
        return;
    }
    if (size > 0)
        memcpy(csv->bytes + csv->used, bytes, size);
    csv->used += size;
    if (csv->n_fields < MANIFEST_COLUMNS_MAX)
        csv->ends[csv->n_fields] = csv->used;
    csv->n_fields++;
}

static void on_row(int terminator, void *data)
{
    struct csv_rows *csv = data;

    (void)terminator;
    csv->n_rows++;
}

static void give_fields(struct manifest *manifest)
{
    struct csv_rows *csv = manifest->csv;
    size_t start = 0;

    for (size_t i = 0; i < csv->n_fields && i < MANIFEST_COLUMNS_MAX; i++) {
        manifest->fields[i] = (struct manifest_field){csv->bytes + start, csv->ends[i] - start};
        start = csv->ends[i];
    }
    manifest->n_fields = csv->n_fields;
    csv->used = csv->n_fields = csv->n_rows = 0;
}

/* Feed one line. Returns false, with the problem said, where the row cannot go on. */
static bool feed(struct manifest *manifest, const struct line *line, uint64_t row_offset)
{
    struct csv_rows *csv = manifest->csv;

    if (!manifest_line_is_text(manifest, line))
        return false;
    if (csv_parse(&csv->parser, line->bytes, line->whole_size, on_field, on_row, csv) != line->whole_size) {
        csv->no_memory = csv_error(&csv->parser) == CSV_ENOMEM;
        manifest_say(manifest, "a quote in the wrong place: quote the whole field and double the quotes "
                               "inside it (RFC 4180)");
        return false;
    }
    if (csv->n_rows > 1) {
        manifest_say(manifest,
                     "a carriage return inside a row: end lines with LF or CRLF, or quote the field");
        return false;
    }
    if (csv->overflow ||
        (csv->n_rows == 0 && line->offset_bytes + line->whole_size - row_offset > ROW_BYTES_MAX)) {
        manifest_say(manifest, "the row is over 1 MiB: is a quote left open?");
        return false;
    }
    return true;
}

/* At the end of the file: the row at hand, if any, ends here. */
static bool finish(struct manifest *manifest)
{
    struct csv_rows *csv = manifest->csv;

    if (csv_fini(&csv->parser, on_field, on_row, csv) != 0) {
        manifest_say(manifest, "the file ends inside a quoted field: is a quote left open?");
        return false;
    }
    return true;
}

enum status manifest_csv_forget(struct manifest *manifest)
{
    return restart(manifest->csv);
}

enum status manifest_csv_get(struct manifest *manifest, enum manifest_got *got)
{
    enum status rc = STATUS_OK;
    struct csv_rows *csv = manifest->csv;
    bool begun = false, good = true;

    while (good && csv->n_rows == 0) {
        struct line line;
        bool more;

        TRY(lines_next(manifest->lines, &line, &more));
        if (!more && !begun) {
            *got = MANIFEST_END;
            goto out;
        }
        if (!more) {
            good = finish(manifest);
            break;
        }
        if (!begun && line.size == 0 && !line.too_long)
            continue;
        if (!begun) {
            manifest->line = line.number;
            manifest->offset_bytes = line.offset_bytes;
            begun = true;
        }
        good = feed(manifest, &line, manifest->offset_bytes);
    }
    if (csv->no_memory)
        FAIL(STATUS_MEMORY, "%s: no memory for a row", manifest->path);
    if (good) {
        give_fields(manifest);
        *got = MANIFEST_ROW;
    } else {
        TRY(restart(csv)); /* read on at the next line, whatever this one was */
        *got = MANIFEST_BAD;
    }
out:
    return rc;
}
