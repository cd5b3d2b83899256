/*
 * Reading OUT/attempts (attempts.h says what is in it). Lines that are cut off or not ours are passed over.
 */
#ifndef EYESORE_JOB_ATTEMPTS_READ_H
#define EYESORE_JOB_ATTEMPTS_READ_H

#include "base/status.h"

#include <stdint.h>

struct attempt_event {
    char attempt[32]; /* "20261125T071342Z"; the file's name up to the first '-' */
    int64_t time_s;   /* since 1970 */
    int rank;         /* -1: not of a rank */
    char event[32], host[256], device[128], detail[768];
};

struct attempt_visitor {
    enum status (*visit)(struct attempt_visitor *visitor, const struct attempt_event *event);
};

/*
 * Visit every event, file by file in the order of their names (so an attempt's files follow each other), each
 * file from its start. No OUT/attempts is fine. A file that cannot be read is warned of. Whatever visit
 * answers but STATUS_OK ends the walk. STATUS_PLACE where the folder cannot be read.
 */
enum status attempts_walk(const char *out_folder, struct attempt_visitor *visitor);

/* The number behind KEY= in a detail. False where there is none. */
bool attempt_detail_number(const char *detail, const char *key, uint64_t *value);

#endif
