/*
 * The parts of a run become one sweep.h5: collective, in bounded memory, and only put in place where every
 * row is accounted for.
 *
 *   look       an older sweep.h5 at `out_path` must be of the same run, or none that can be read
 *   survey     each rank opens its share of the parts (a contiguous range, balanced by rows), checks that
 *              they belong, and sums rows, messages, maps and blob bytes
 *   place      prefix sums over the ranks say where each share starts; the contents depend on the rows
 *              alone, not on ranks or shards
 *   create     rank 0 makes a temporary file beside `out_path` with every dataset and attribute, and asks
 *              the file system for its room, so that a full disk is found before anything is copied
 *   copy       all ranks write their shares into the datasets' bytes (pwrite), and check meanwhile every
 *              checksum and value of the parts (part_check.h): they are read once
 *   reconcile  the written file is opened again and its statuses and verdicts recounted; rows in = rows out
 *              and the counts are the parts', or it is STATUS_UNRECONCILED
 *   commit     rank 0 renames; until then an older sweep.h5 stays as it was
 *
 * So a kill at any moment leaves the older sweep.h5 or the new one, and at most a temporary file; a gather
 * starts from the parts alone and can be run again as often as one likes.
 *
 * Never a worse one: an older sweep.h5 is good if it is of the same run, has all its rows and can be read.
 * What would take its place must reconcile, and must not have more rows whose verdict is failed: that happens
 * where parts were lost and done again in a worse place (shards set aside, decoders that ran out of time).
 * Then the older one stays, and the user is told how to have the new one all the same. An older file that
 * cannot be read is not good; a sweep.h5 of another run is never replaced.
 *
 * Bad parts (torn, changed, without checksums, of another run or shard) end a gather with STATUS_RESUME. It
 * then reads the other parts whole too, so that one attempt more is enough however many are bad; the caller
 * sets them aside.
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

/* A part that does not count. What is wrong with it in detail was logged when it was met. */
struct gather_bad_part {
    size_t part;        /* of the plan */
    const char *reason; /* static */
};

/* Of this rank's share. */
struct gather_bad {
    struct gather_bad_part *list; /* owned */
    size_t n;
};

void gather_bad_free(struct gather_bad *bad);

/*
 * Collective over comm; every rank returns the same status. No other thread may be in HDF5.
 *
 * OUT bad: gather_bad_free, in any case. Each part is in one rank's list. Some rank's is not empty exactly
 * where the status is STATUS_RESUME: set them aside and do their shards again.
 * STATUS_UNRECONCILED: a part is missing, the counts differ (the message has the numbers), or the older
 * sweep.h5 is better; STATUS_MISMATCH: out_path is of another run; STATUS_PLACE: disk full, I/O error, a rank
 * that does not see the folder. On failure the temporary file is removed and out_path is untouched.
 */
enum status gather_parts(MPI_Comm comm, const struct gather_plan *plan, struct gather_bad *bad);

#endif
