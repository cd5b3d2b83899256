/*
 * Reading a sweep.h5 or a part, which have the same datasets. All of the file's structure is checked when it
 * is opened, so what follows works with known types and sizes; row values are checked where they are used.
 */
#ifndef EYESORE_RESULTS_SWEEP_FILE_H
#define EYESORE_RESULTS_SWEEP_FILE_H

#include "results/attribute.h"
#include "results/part.h"

struct sweep_file {
    char *path; /* owned */
    hid_t file;
    bool is_part;
    struct sweep_layout layout; /* as found in the file */
    struct field_table table;
    hid_t *datasets;           /* [table.n], opened */
    uint64_t *n;               /* [table.n], entries of each */
    struct part_counts counts; /* of a sweep: shard and first_row 0 */
    uint64_t n_failures, n_maps;
    uint64_t *blob_bytes; /* [layout.n_blobs] */
};

/* Open and check. STATUS_INPUT names what is wrong, STATUS_PLACE for an I/O fault. The caller closes. */
enum status sweep_file_open(const char *path, struct sweep_file **file);
void sweep_file_close(struct sweep_file *file);

/*
 * sweep_file_open for a file that may come from anywhere: a process of its own looks at it first, so that one
 * that crashes or hangs the HDF5 library is STATUS_INPUT. Forks: not for programs that use MPI or threads.
 */
enum status sweep_file_open_stranger(const char *path, struct sweep_file **file);

/* Position of a dataset in table, datasets and n; table.n where the file has none. */
size_t sweep_file_find(const struct sweep_file *file, enum field_what what, uint32_t index);

/* Entries start .. start+count of a dataset. STATUS_INPUT where they are not all there. */
enum status sweep_file_read(const struct sweep_file *file, enum field_what what, uint32_t index,
                            uint64_t start, uint64_t count, void *buffer);

/* Rows first .. first+n, all that a reader of rows wants. Pointers owned. */
struct sweep_rows {
    uint64_t first; /* in the file */
    uint64_t n;
    uint64_t capacity;
    char *id; /* [n, id_width] */
    uint8_t *status, *verdict;
    int32_t *width, *height;
    char **columns;    /* [n_columns] of [n, width]; NULL where a blob */
    uint64_t **offset; /* [n_blobs] of [n+1], from 0 */
    char **bytes;      /* [n_blobs] */
    float *scores;     /* [n_stages, capacity] */
};

/* Room for `capacity` rows at a time. The caller frees. */
enum status sweep_rows_make(const struct sweep_file *file, uint64_t capacity, struct sweep_rows *rows);
void sweep_rows_free(const struct sweep_file *file, struct sweep_rows *rows);

/*
 * Read rows from `first` on: up to capacity, fewer where their blobs would take over 64 MiB (one row with
 * more is STATUS_INPUT). Values outside the enums and offsets that go back are STATUS_INPUT.
 */
enum status sweep_rows_read(const struct sweep_file *file, uint64_t first, struct sweep_rows *rows);

/* The value of a string field of row i (counted within rows): bytes up to the padding. column < n_columns. */
struct part_text sweep_rows_id(const struct sweep_file *file, const struct sweep_rows *rows, uint64_t i);
struct part_text sweep_rows_uri(const struct sweep_rows *rows, uint64_t i);
struct part_text sweep_rows_column(const struct sweep_file *file, const struct sweep_rows *rows,
                                   uint32_t column, uint64_t i);

#endif
