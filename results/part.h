/*
 * A part: the rows of one shard, in memory while they are worked on, then a file that appears whole or not at
 * all. The set of part files is the ledger of a sweep.
 *
 * Threads: a row has one writer at a time; the setters for different rows may run side by side without locks.
 * part_create, part_write and the readers are called by one thread at a time (part_write is in HDF5).
 */
#ifndef EYESORE_RESULTS_PART_H
#define EYESORE_RESULTS_PART_H

#include "base/fingerprint.h"
#include "results/schema.h"

struct part_text {
    const char *bytes; /* UTF-8, no NUL needed; may be NULL with size 0 */
    size_t size;
};

/* Owned by part.c; see the setters. Rows are counted from the shard's start, 0 .. n_rows-1. */
struct part {
    const struct sweep_layout *layout; /* borrowed; outlives the part */
    uint64_t shard, first_row, n_rows;
    char *id;               /* [n_rows, id_width], null-padded */
    char **columns;         /* [n_columns] of [n_rows, width]; NULL where a blob */
    struct part_text *blob; /* [n_rows, n_blobs]; bytes owned */
    uint8_t *status;        /* [n_rows]; PART_NOT_DONE until part_set_outcome */
    uint8_t *verdict;       /* [n_rows] */
    int32_t *width, *height;
    uint8_t *orientation;
    uint8_t *hash;   /* [n_rows, 16] */
    uint8_t *probed; /* [n_rows] */
    float *scores;   /* [n_stages, n_rows], NaN: not run */
    char **messages; /* [n_rows], owned; NULL: none */
    uint16_t **maps; /* [n_rows], owned: the stages' maps one after another; NULL: none */
};

#define PART_NOT_DONE 255

/* OUT part: all rows not done, scores NaN. The caller frees with part_free. */
enum status part_create(const struct sweep_layout *layout, uint64_t shard, uint64_t first_row,
                        uint64_t n_rows, struct part **part);
void part_free(struct part *part);

/*
 * What the manifest says of a row; once a row. columns: [n_columns]. STATUS_MISMATCH where a value is longer
 * than the layout allows: the manifest is no longer the one that was planned.
 */
enum status part_set_item(struct part *part, uint64_t row, struct part_text id, struct part_text uri,
                          const struct part_text *columns);

/* What decoding found: size before orientation, EXIF orientation, XXH3-128 in canonical byte order. */
void part_set_picture(struct part *part, uint64_t row, int32_t width, int32_t height, uint8_t orientation,
                      const uint8_t hash[SWEEP_HASH_SIZE]);

void part_set_score(struct part *part, uint64_t row, uint32_t stage, float score);

/* The probe chose this row for all stages. */
void part_set_probed(struct part *part, uint64_t row);

/*
 * Keep the heat map of a stage, map: float32 [map_height, map_width], as float16 (nearest, ties to even); the
 * row's other stages stay NaN until set. STATUS_INPUT, without a message, where a cell is not finite or
 * beyond float16 (65504): nothing is kept, and the caller gives the row the status numeric_error. Also
 * STATUS_MEMORY.
 */
enum status part_set_map(struct part *part, uint64_t row, uint32_t stage, const float *map);

/*
 * How a row ended; last of all, once a row. message: NULL for none; cut to 192 bytes between characters, bad
 * UTF-8 becomes '?'. A failed row without one gets the meaning of its status. The heat maps of a failed row
 * are dropped, and scores that are not finite become NaN. STATUS_INTERNAL for a value outside the enums,
 * STATUS_MEMORY.
 */
enum status part_set_outcome(struct part *part, uint64_t row, enum item_status status,
                             enum sweep_verdict verdict, const char *message);

/*
 * Write the part to `path` by way of a temporary file. The bytes depend on the rows alone: not on the host,
 * the time or who writes, so of two writers of a shard it does not matter which is first; the first wins.
 * run_fingerprint: 64 hex digits. OUT existed: something was at `path` already, and stays. STATUS_INTERNAL
 * where a row has no outcome; STATUS_PLACE on disk full and I/O errors, with the temporary file removed and
 * what was at `path` untouched.
 */
enum status part_write(const struct part *part, const char *path, const char *run_fingerprint, bool *existed);

/* What a part says of itself. */
struct part_counts {
    char run_fingerprint[SHA256_HEX_SIZE];
    uint64_t shard, first_row, n_rows;
    uint64_t by_status[ITEM_STATUS_COUNT];
    uint64_t by_verdict[SWEEP_VERDICT_COUNT];
};

/* Read a part's attributes alone and check their checksum (cheap; the rows are not looked at). STATUS_INPUT
 * where it is no part, cut short, changed, without checksums or of another format version. */
enum status part_read_counts(const char *path, struct part_counts *counts);

/* Read a part whole: the structure, every checksum, and the values that have an order or an enum.
 * STATUS_INPUT names what is wrong, STATUS_PLACE is a fault of the place. OUT counts: as above. */
enum status part_verify(const char *path, struct part_counts *counts);

#endif
