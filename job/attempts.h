/*
 * OUT/attempts: what a later attempt, or a reader of the sweep, should know of this one and no part file
 * tells: a GPU that failed, a batch that had to be halved. A file per attempt and rank, made when there is
 * something to say, only ever appended to: a line of key=value an event. Nothing here decides what is done;
 * parts do.
 */
#ifndef EYESORE_JOB_ATTEMPTS_H
#define EYESORE_JOB_ATTEMPTS_H

#include "job/run.h"

/* Append `event=EVENT host=... device="..." detail="..."` and sync it. STATUS_PLACE where it cannot be
 * written. */
enum status attempts_note(const struct run *run, const char *event, const char *detail);

/* The different details of the events of this name, in all attempts: "A; B". OUT text: "" where there are
 * none. */
enum status attempts_list(const struct run *run, const char *event, char *text, size_t size);

/* How many events of this name all attempts have noted. */
enum status attempts_count(const struct run *run, const char *event, uint64_t *n);

#endif
