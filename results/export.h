/*
 * `eyesore export`: rows of a sweep.h5, or of the parts of a sweep that still runs, as CSV or JSON Lines.
 *
 * CSV (RFC 4180: CRLF, quotes where needed), header first:
 *   id,uri,status,verdict,width,height,<columns...>,score_<stage>...
 * with the columns under their names in /items (schema.h). JSON Lines:
 *   {"id":"..","uri":"..","status":"ok","verdict":"pass","width":1,"height":2,
 *    "columns":{"<name in the manifest>":"..."},"scores":{"<stage>":0.5}}
 * A score that is NaN is an empty field, or null. Scores are written so that they read back as the same
 * float32 (%.9g). In JSON, bytes that are no UTF-8 become U+FFFD. Values are written as they are in the
 * manifest: a CSV cell may start with = + - or @, which spreadsheets take for a formula; import such a
 * column as text.
 */
#ifndef EYESORE_RESULTS_EXPORT_H
#define EYESORE_RESULTS_EXPORT_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum export_rows { EXPORT_ALL, EXPORT_FLAGGED, EXPORT_FAILED };
enum export_format { EXPORT_CSV, EXPORT_JSONL };

struct export_options {
    enum export_rows rows;
    enum export_format format;
};

/*
 * Write the chosen rows of the files to `out`, in the order given: one sweep.h5, or parts (sorted by their
 * first row by the caller). Bounded memory. OUT n_written: rows, may be NULL. An untrained sweep is said on
 * stderr. STATUS_MISMATCH where the files have different columns or stages, or are of different runs;
 * STATUS_INPUT for a file that is not one of ours; STATUS_PLACE or STATUS_INPUT where `out` cannot be written
 * (rows before that are).
 */
enum status export_write(FILE *out, const char *const *paths, size_t n_paths,
                         const struct export_options *options, uint64_t *n_written);

#endif
