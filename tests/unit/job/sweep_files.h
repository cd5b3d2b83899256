/*
 * The folder of a sweep as its files make it, with times of a test's choosing: plan, parts, notes of
 * attempts, the lock.
 */
#ifndef EYESORE_TESTS_SWEEP_FILES_H
#define EYESORE_TESTS_SWEEP_FILES_H

#include "shards/plan.h"

#define SWEEP_ROWS 100
#define SWEEP_SHARD_ROWS 10
#define SWEEP_BEGUN_S 1700000000 /* 2023-11-14T22:13:20Z */

/* Where things go; of each test program its own, so that they can run side by side. */
extern const char *sweep_folder;

/* cmocka's set-up and tear-down. */
int sweep_folder_make(void **state);
int sweep_folder_remove(void **state);

void set_file_time(const char *path, int64_t time_s);

/* 100 rows in shards of at most 10, planned at SWEEP_BEGUN_S. */
void write_plan(struct plan *plan);

/* A part in which row 0 failed as missing, row 1 is flagged and the others pass. */
void write_part(const struct plan *plan, uint64_t index, int64_t time_s);

/* Append `text`, as it is, to OUT/attempts/NAME. */
void append_notes(const char *name, const char *text);

/* A rank's line, at SWEEP_BEGUN_S + at_s, in the file of the attempt that began at SWEEP_BEGUN_S + attempt_s.
 */
void note(int64_t attempt_s, int rank, const char *host, int64_t at_s, const char *event, const char *format,
          ...) __attribute__((format(printf, 6, 7)));

/* OUT/lock with this text, touched at SWEEP_BEGUN_S + at_s. */
void write_lock(const char *text, int64_t at_s);

#endif
