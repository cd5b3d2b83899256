/*
 * The parts of a run become one sweep.h5: collective, in bounded memory, and only put in place where every
 * row is accounted for.
 *
 *   survey     each rank opens its share of the parts (a contiguous range, balanced by rows), checks that
 *              they belong, and sums rows, messages, maps and blob bytes
 *   place      prefix sums over the ranks say where each share starts; the contents depend on the rows
 *              alone, not on ranks or shards
 *   create     rank 0 makes a temporary file beside `out_path` with every dataset and attribute, and asks
 *              the file system for its room, so that a full disk is found before anything is copied
 *   copy       all ranks write their shares with independent parallel-HDF5 writes
 *   reconcile  the written file is opened again and its statuses and verdicts recounted; rows in = rows out
 *              and the counts are the parts', or it is STATUS_UNRECONCILED
 *   commit     rank 0 renames; until then an older sweep.h5 stays as it was
 */
#ifndef EYESORE_RESULTS_GATHER_H
#define EYESORE_RESULTS_GATHER_H

#include "results/attribute.h"
#include "results/part.h"

#include <mpi.h>

struct gather_part {
    const char *path;
    uint64_t shard, first_row, n_rows; /* as planned */
};

/* The same on all ranks, but for attributes, of which rank 0's are written. All borrowed. */
struct gather_plan {
    const struct sweep_layout *layout;
    const char *run_fingerprint; /* 64 hex digits */
    uint64_t n_rows;             /* of the plan */
    const struct gather_part *parts;
    size_t n_parts; /* in the order of their rows, without gaps */
    struct sweep_attributes attributes;
    const char *out_path; /* on a file system that all ranks share */
};

/*
 * Collective over comm; every rank returns the same status. No other thread may be in HDF5.
 *
 * STATUS_UNRECONCILED: a part is missing, or the counts differ (the message has the numbers);
 * STATUS_MISMATCH: a part of another run; STATUS_INPUT: a part that is cut short or not what it says;
 * STATUS_PLACE: disk full, I/O error, a rank that does not see the folder. On failure the temporary file is
 * removed and out_path is untouched.
 */
enum status gather_parts(MPI_Comm comm, const struct gather_plan *plan);

#endif
