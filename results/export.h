/*
 * `eyesore export`: rows of a sweep.h5, or of the parts of a sweep that still runs, as CSV or JSON Lines.
 *
 * CSV (RFC 4180: CRLF, quotes where needed), header first:
 *   id,uri,status,verdict,width,height,<columns...>,score_<stage>...,message
 * with the columns under their names in /items (schema.h). JSON Lines:
 *   {"id":"..","uri":"..","status":"ok","verdict":"pass","width":1,"height":2,
 *    "columns":{"<name in the manifest>":"..."},"scores":{"<stage>":0.5},"message":null}
 * The message is the row's in /failures: why it could not be scored, or what else there is to say of it (a
 * truncated picture); empty, or null, where it has none. It is the last field, also where a carried column is
 * called message too. A score that is NaN is an empty field, or null. Scores are written so that they read
 * back as the same float32 (%.9g). In JSON, bytes that are no UTF-8 become U+FFFD. Values are written as they
 * are in the manifest: a CSV cell may start with = + - or @, which spreadsheets take for a formula; import
 * such a column as text.
 */
#ifndef EYESORE_RESULTS_EXPORT_H
#define EYESORE_RESULTS_EXPORT_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum export_rows { EXPORT_ALL, EXPORT_FLAGGED, EXPORT_FAILED };
enum export_format { EXPORT_CSV, EXPORT_JSONL };

struct export_options {
    enum export_rows rows;
    enum export_format format;
    bool leave_out_unreadable; /* a file that cannot be read is warned of and passed over */
};

struct export_counts {
    uint64_t n_rows;   /* written */
    size_t n_left_out; /* files that are not written, or not to their end */
};

/*
 * Write the chosen rows of the files to `out`, in the order given: one sweep.h5, or parts (sorted by their
 * first row by the caller). Bounded memory. OUT counts: may be NULL. An untrained sweep is said on stderr.
 * STATUS_MISMATCH where the files have different columns or stages, or are of different runs; STATUS_INPUT
 * for a file that is not one of ours (with leave_out_unreadable: where all are such), and where `out` cannot
 * be written, a full disk too (rows before that are); STATUS_PLACE for an I/O fault in reading.
 */
enum status export_write(FILE *out, const char *const *paths, size_t n_paths,
                         const struct export_options *options, struct export_counts *counts);

#endif
