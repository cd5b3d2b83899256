/*
 * OUT/attempts: what a later attempt, or a reader of the sweep, should know of this one and no part file
 * tells. A file per attempt and rank, only ever appended to, a line of key=value an event:
 *
 *     time=2026-11-25T07:13:42Z event=part rank=0 host=n1 device="" detail="shard=12 rows=1000 seconds=3.21"
 *
 *     begin          job=1234 restart=0 ranks=8 until=1764060000: a rank's sweep begins ("-" and 0: not
 * known) claimed, released, dropped, part      what became of a shard in this rank's hands shard_failed
 * shard=12 cause=place|crash|stall ...: a fault of this host that names the shard stalled        stage=fetch
 * shard=12 what=... seconds=600 silent         another rank was not heard of any more device_failed,
 * batch_halved, gpu_model   of a GPU end            outcome=ok|resume|place|...
 *
 * Nothing here decides what is done; parts do.
 */
#ifndef EYESORE_JOB_ATTEMPTS_H
#define EYESORE_JOB_ATTEMPTS_H

#include "job/run.h"

/* Append an event and sync it. STATUS_PLACE where it cannot be written. */
enum status attempts_note(const struct run *run, const char *event, const char *detail);

/* The same for what happens with each shard: not synced, and a fault is logged, no more. */
void attempts_log(const struct run *run, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The `begin` event; the time limit comes from EYESORE_JOB_END (seconds since 1970), which slurm/ sets. */
void attempts_begin(const struct run *run);

/* `stalled`, and `shard_failed` where the stall names a shard that it is at; for watch_start. */
struct watch_stall;
void attempts_note_stall(const struct run *run, const struct watch_stall *stall);

/* The name of this attempt, "20261125T071342Z": when it began. OUT name: 32 bytes. */
void attempts_name(const struct run *run, char name[32]);

/* This rank's file. OUT path: RUN_PATH_SIZE bytes. */
enum status attempts_path(const struct run *run, char *path);

/* The different details of the events of this name, in all attempts: "A; B". OUT text: "" where there are
 * none. */
enum status attempts_list(const struct run *run, const char *event, char *text, size_t size);

/* How many events of this name all attempts have noted. */
enum status attempts_count(const struct run *run, const char *event, uint64_t *n);

#endif
