/*
 * The part files of a sweep, found from its folder alone: what status and export --partial look at.
 */
#ifndef EYESORE_JOB_PARTS_H
#define EYESORE_JOB_PARTS_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

struct part_file {
    char *path; /* owned */
    uint64_t shard;
    int64_t written_s; /* when, as its folder tells it: seconds since 1970 */
};

struct part_files {
    struct part_file *items; /* [n] ascending by shard */
    size_t n, capacity;
};

/*
 * Find OUT/parts/<folder>/shard-*.h5. No OUT/parts yet is no part. OUT parts: part_files_free in any case.
 * STATUS_PLACE, STATUS_INPUT: a folder cannot be read. A part that goes away meanwhile is passed over.
 */
enum status part_files_find(const char *out_folder, struct part_files *parts);
void part_files_free(struct part_files *parts);

#endif
