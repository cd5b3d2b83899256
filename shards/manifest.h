/*
 * A manifest: one picture a row, in TSV (a header, tabs, no quoting), CSV (RFC 4180, with a header; quoted
 * fields may hold newlines) or JSON Lines (one object a line). Columns `id` and `uri` must be there; any
 * others are carried through to sweep.h5.
 *
 * The text is strict UTF-8. A byte order mark, CRLF, blank lines and a missing last newline are tolerated.
 * Refused, with the line's number: a row of another number of fields than the header, an empty id or uri, an
 * id over MANIFEST_ID_BYTES_MAX bytes or with control characters, bad UTF-8, NUL bytes, a line (or a quoted
 * CSV row) over 1 MiB, broken quoting, broken JSON, a key given twice. No row is kept: memory is the same for
 * ten rows and 10^9.
 *
 * JSON Lines: the columns are those named by `carry`, else the keys of the first object; other keys are
 * passed over, missing ones and null are empty. Numbers and booleans are carried as the text they are written
 * with (12345678901234567890 stays itself), arrays and objects as their JSON.
 */
#ifndef EYESORE_SHARDS_MANIFEST_H
#define EYESORE_SHARDS_MANIFEST_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

#define MANIFEST_ID_BYTES_MAX 128
#define MANIFEST_COLUMNS_MAX 1024
#define MANIFEST_NAME_BYTES_MAX 128 /* of a column's name */

enum manifest_format { MANIFEST_AUTO, MANIFEST_TSV, MANIFEST_CSV, MANIFEST_JSONL };

struct manifest;

struct manifest_field {
    const char *bytes; /* not NUL-terminated, never holds a NUL; valid until the next call on the manifest */
    size_t size;
};

struct manifest_row {
    uint64_t line;         /* the row begins here; 1 is the file's first line */
    uint64_t offset_bytes; /* what manifest_seek takes to read this row next */
    struct manifest_field id, uri;
    const struct manifest_field *carried; /* [manifest_n_carried] */
};

/* "tsv", "csv", "jsonl", "auto". */
const char *manifest_format_name(enum manifest_format format);

/* By name, as --manifest-format takes it. STATUS_USAGE for another name. */
enum status manifest_format_from_name(const char *name, enum manifest_format *format);

/*
 * Open a manifest and read its columns.
 * IN format: MANIFEST_AUTO goes by the extension: .tsv .txt; .csv; .jsonl .ndjson.
 * IN carry:  NULL: all further columns, in the file's order; "none"; or names with commas, in that order. An
 * unknown name is STATUS_USAGE and the message lists the columns there are. IN hashing: keep the hash for
 * manifest_hash; then manifest_seek is refused. OUT out: manifest_close.
 */
enum status manifest_open(const char *path, enum manifest_format format, const char *carry, bool hashing,
                          struct manifest **out);
void manifest_close(struct manifest *manifest);

enum manifest_format manifest_format_of(const struct manifest *manifest);
size_t manifest_n_carried(const struct manifest *manifest);
const char *manifest_carried_name(const struct manifest *manifest, size_t i);

/* Read on at a row whose offset and line an earlier reading gave. */
enum status manifest_seek(struct manifest *manifest, uint64_t offset_bytes, uint64_t line);

/* The next row. OUT more: false at the end. A bad row is STATUS_INPUT, its line and fault logged. */
enum status manifest_next(struct manifest *manifest, struct manifest_row *row, bool *more);

enum manifest_got { MANIFEST_ROW, MANIFEST_END, MANIFEST_BAD };

/*
 * As manifest_next, for a caller that collects the faults: on MANIFEST_BAD only row->line and
 * row->offset_bytes are set, manifest_problem tells what is wrong (valid until the next call), and reading
 * may go on behind the fault.
 */
enum status manifest_get(struct manifest *manifest, struct manifest_row *row, enum manifest_got *got);
const char *manifest_problem(const struct manifest *manifest);

/* The offset behind the last row, and the XXH3-128 of the file's bytes before it. */
uint64_t manifest_offset_bytes(const struct manifest *manifest);
enum status manifest_hash(struct manifest *manifest, char hex[33]);

#endif
