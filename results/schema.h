/*
 * The format of sweep.h5 and of the part files: every name, shape, type and unit, in this one header.
 *
 * N rows of the manifest, in its order; M of them with heat maps; F of them with a message. Everything is
 * little-endian, contiguous and uncompressed (h5repack can compress a finished sweep; the readers here take
 * that too). Strings are UTF-8 (H5T_CSET_UTF8), fixed-length ones null-padded, so h5py gives `S<width>` and
 * `.asstr()` works. Attributes that are text are fixed-length too (h5py gives bytes: `.decode()`).
 *
 *   path                        type        shape      what
 *   /items/id                   string      [N]        width = the longest id, at most 128 bytes
 *   /items/uri/offset           uint64      [N+1]      uri i is bytes[offset[i] .. offset[i+1])
 *   /items/uri/bytes            uint8       [total]    UTF-8, no separators
 *   /items/status               enum uint8  [N]        enum item_status (base/item.h)
 *   /items/width, height        int32       [N]        pixels, as stored, before orientation; 0: not known
 *   /items/orientation          uint8       [N]        EXIF 1..8; 1: upright; 0: not known
 *   /items/content_hash         uint8       [N,16]     XXH3-128 of the file's bytes, canonical (big-endian)
 *                                                      order; zeros: not read
 *   /items/probed               uint8       [N]        1: --probe chose this row for all stages. Only with
 *                                                      --probe
 *   /items/<column>             string      [N]        a carried column, longest value at most 64 bytes
 *   /items/<column>/offset      uint64      [N+1]      a carried column with longer values, as uri
 *   /items/<column>/bytes       uint8       [total]
 *   /stages/<stage>/score       float32     [N]        0..1; NaN: this stage was not run for this row
 *   /verdict                    enum uint8  [N]        enum sweep_verdict
 *   /failures/row               uint64      [F]        ascending; every row whose verdict is failed, and any
 *   /failures/message           string 192  [F]        other that has something to say (truncated pictures)
 *   /heatmaps/row               uint64      [M]        ascending. No /heatmaps with --heatmaps none
 *   /heatmaps/<stage>           float16     [M,gh,gw]  raw Grad-CAM in logits, not normalised; NaN: this
 *                                                      stage was not run for this row
 *
 * /failures is two datasets, not a compound one: `f["failures/message"].asstr()[:]` works then.
 *
 * Attributes of the sweep that are the same however it was run (ranks, shards, threads):
 *   /                 format "eyesore sweep", format_version, program_version, run_fingerprint, n_rows,
 *                     counts_by_status uint64 [12], counts_by_verdict uint64 [4], heatmaps (none, flagged,
 *                     all), probe_probability (with --probe); and what job/ adds
 *   /items/<column>   column (its name in the manifest), order
 *   /stages/<stage>   order, map_height, map_width, trained uint8; and what job/ adds (threshold float32,
 *                     arch, attention, weights_sha256, class, head, precision, stage_fingerprint)
 * Those that differ from run to run (times, hosts, ranks, command, options) are attributes of the group /run
 * alone, so `h5diff --exclude-path /run a.h5 b.h5` is the test of equality.
 *
 * counts_by_status grows with the enum: where a sweep.h5 of an earlier program has fewer (9 at first), there
 * are no rows of the others.
 *
 * A part file has the same datasets for the rows of one shard (N = the shard's rows; rows in /failures and
 * /heatmaps count from the manifest's start) and
 *   /items/row                  uint64      [N]        the rows it holds
 *   /                           format "eyesore part", format_version, program_version, run_fingerprint,
 *                               shard, first_row, n_rows, counts_by_status, counts_by_verdict, heatmaps,
 *                               probe_probability
 *   each dataset and /          xxh3 uint64: XXH3-64 (seed 0) of all the dataset's bytes as stored, row after
 *                               row, little-endian; of `/`, of its other attributes in the order of their
 *                               names, each as name, NUL, then three uint64 (class of the type as HDF5
 *                               numbers it, bytes of a value, number of values), then the values' bytes
 * A part without these checksums (of an earlier program) or at odds with them is a bad one: it is moved to
 * OUT/set-aside, and its shard done again. The attributes of stages and columns have none: they must be the
 * plan's. Two parts of the same rows are the same to the byte.
 *
 * The name of a carried column: '/' and control characters become '_', it is cut to 200 bytes, and '_' is
 * appended until it is neither one of the names above under /items, nor verdict, nor an earlier column's. The
 * name in the manifest stays in the attribute `column`.
 */
#ifndef EYESORE_RESULTS_SCHEMA_H
#define EYESORE_RESULTS_SCHEMA_H

#include "base/item.h"
#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

#define SWEEP_FORMAT "eyesore sweep"
#define PART_FORMAT "eyesore part"
#define SWEEP_FORMAT_VERSION 1

#define SWEEP_ID_WIDTH_MAX 128
#define SWEEP_COLUMN_WIDTH_MAX 64
#define SWEEP_MESSAGE_WIDTH 192
#define SWEEP_HASH_SIZE 16
#define SWEEP_COLUMNS_MAX 1024
#define SWEEP_COLUMN_NAME_SIZE 256 /* of the safe name, with its NUL */
#define SWEEP_STAGES_MAX 16
#define SWEEP_STAGE_NAME_SIZE 64 /* with its NUL */
#define SWEEP_MAP_SIDE_MAX 1024

/*  value, name, meaning */
#define SWEEP_VERDICT_LIST(X)                                                                                \
    X(0, PASS, "pass", "a stage's score is below its threshold")                                             \
    X(1, FLAGGED, "flagged", "every stage's score is at or above its threshold")                             \
    X(2, FAILED, "failed", "not scored; the status says why")                                                \
    X(3, UNDECIDED, "undecided", "no stage rejects and one has no score (only `eyesore verdict` writes it)")

enum sweep_verdict {
#define X(value, upper, name, meaning) SWEEP_##upper = value,
    SWEEP_VERDICT_LIST(X)
#undef X
        SWEEP_VERDICT_COUNT
};

/* "pass", "flagged", ...; "unknown" outside the enum. */
const char *sweep_verdict_name(enum sweep_verdict verdict);

enum sweep_heatmaps { HEATMAPS_NONE, HEATMAPS_FLAGGED, HEATMAPS_ALL };

/* "none", "flagged", "all"; "unknown" outside the enum. */
const char *sweep_heatmaps_name(enum sweep_heatmaps mode);

/* A carried column. */
struct sweep_column {
    char *name;                        /* in the manifest; owned */
    char file[SWEEP_COLUMN_NAME_SIZE]; /* the safe name under /items */
    uint32_t width;                    /* bytes of the fixed-length string, 1..64; 0: a blob */
    uint32_t blob;                     /* with width 0: which of the layout's blobs, 1.. (0 is uri) */
};

struct sweep_stage {
    char name[SWEEP_STAGE_NAME_SIZE];
    uint32_t map_height, map_width; /* cells of the heat map; 0 x 0: it has none (never with heat maps on) */
    bool trained;
};

/* What the parts and the sweep share. The same on all ranks and in all shards of a run. */
struct sweep_layout {
    uint32_t id_width; /* bytes of the longest id, 1..128 */
    uint32_t n_columns;
    struct sweep_column *columns; /* owned */
    uint32_t n_blobs;             /* 1 (uri) + the columns with longer values */
    uint32_t n_stages;
    struct sweep_stage stages[SWEEP_STAGES_MAX]; /* in cascade order */
    enum sweep_heatmaps heatmaps;
    double probe_probability; /* 0: no --probe */
};

/*
 * Start a layout. longest_id_bytes: 0..128 (0 where there is no row), else STATUS_INPUT.
 * probe_probability: 0..1. sweep_layout_free in any case.
 */
enum status sweep_layout_init(struct sweep_layout *layout, size_t longest_id_bytes,
                              enum sweep_heatmaps heatmaps, double probe_probability);

/* Carry a column. longest_bytes: of its values; over 64 it is stored as offsets and one blob. */
enum status sweep_layout_add_column(struct sweep_layout *layout, const char *name, size_t longest_bytes);

/*
 * Add the next stage of the cascade. STATUS_INPUT where the name cannot be one (empty, too long, '/', `.`,
 * `row`, used already) or the map is larger than 1024 on a side.
 */
enum status sweep_layout_add_stage(struct sweep_layout *layout, const char *name, uint32_t map_height,
                                   uint32_t map_width, bool trained);

/* OUT difference: the first thing in which they differ. Returns false where they are equal. */
bool sweep_layout_difference(const struct sweep_layout *was, const struct sweep_layout *is, char *difference,
                             size_t size);

void sweep_layout_free(struct sweep_layout *layout);

#endif
