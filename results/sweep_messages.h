/*
 * The messages of a sweep.h5 or a part (/failures), merged with its rows while those are walked from first to
 * last: some messages at a time, so memory is bounded.
 */
#ifndef EYESORE_RESULTS_SWEEP_MESSAGES_H
#define EYESORE_RESULTS_SWEEP_MESSAGES_H

#include "results/sweep_file.h"

struct sweep_messages {
    const struct sweep_file *file; /* borrowed */
    uint64_t next;                 /* entry of /failures that is read next */
    uint64_t n, i;                 /* entries held, and how many of them are passed */
    uint64_t floor;                /* the next entry's row is at or above it: they ascend */
    uint64_t *rows;                /* owned; as in the file: they count from the manifest's start */
    char *texts;                   /* owned; [n, SWEEP_MESSAGE_WIDTH] */
};

/* Start at the first row. The file stays open meanwhile. sweep_messages_free in any case. */
enum status sweep_messages_make(const struct sweep_file *file, struct sweep_messages *messages);
void sweep_messages_free(struct sweep_messages *messages);

/*
 * The message of a row (counted within the file); ask for every row, ascending. OUT text: {NULL, 0} where the
 * row has none; valid until the next call. STATUS_INPUT where the rows of /failures do not ascend or are not
 * the file's.
 */
enum status sweep_messages_next(struct sweep_messages *messages, uint64_t row, struct part_text *text);

#endif
