/*
 * Reading OUT/attempts (attempts.h says what is in it) without a run: by eyesore status, and by a job that
 * asks what earlier ones met. Lines that are cut off, too long or not ours are passed over; a file may grow
 * or go meanwhile. Files are streamed.
 */
#ifndef EYESORE_JOB_ATTEMPTS_READ_H
#define EYESORE_JOB_ATTEMPTS_READ_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* Texts are printable (status_text.h) and cut to their arrays. */
struct attempt_event {
    char attempt[32]; /* "20261125T071342Z"; the file's name up to the first '-' */
    int64_t time_s;   /* since 1970 */
    int rank;         /* -1: not of a rank */
    char event[32], host[256], device[128], detail[768];
};

struct attempt_visitor {
    enum status (*visit)(struct attempt_visitor *visitor, const struct attempt_event *event);
    uint64_t n_unreadable; /* OUT files that could not be read, or not to their end */
};

/*
 * Visit every event, file by file in the order of their names (so an attempt's files follow each other), each
 * file from its start. No OUT/attempts is fine. A file that cannot be read is warned of and counted; one that
 * vanished is not. Whatever visit answers but STATUS_OK ends the walk. STATUS_PLACE where the folder cannot
 * be read.
 */
enum status attempts_walk(const char *out_folder, struct attempt_visitor *visitor);

/* The number behind KEY= in a detail. False where there is none. */
bool attempt_detail_number(const char *detail, const char *key, uint64_t *value);

/* The same for a number with a fraction, 0 or more. */
bool attempt_detail_real(const char *detail, const char *key, double *value);

/* The word behind KEY=, up to the next space; "" where there is none. OUT word: cut to size. */
void attempt_detail_word(const char *detail, const char *key, char *word, size_t size);

/* "2026-11-25T07:13:42Z". OUT time_s: seconds since 1970. */
bool attempt_parse_time(const char *text, size_t size, int64_t *time_s);

#endif
