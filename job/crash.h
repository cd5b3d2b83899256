/*
 * When a rank crashes, OUT/attempts shall know the shard that it was at: a picture that brings down three
 * hosts is set aside (suspects.h).
 */
#ifndef EYESORE_JOB_CRASH_H
#define EYESORE_JOB_CRASH_H

#include "base/status.h"

struct run;

/*
 * Catch SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT from now on: note `shard_failed` with what the crashing
 * thread is at (watch.h), write its stack to stderr, and go on to the handler that was there before.
 * STATUS_PLACE where OUT/attempts cannot be written. Once; after output_lock_take.
 */
enum status crash_install(const struct run *run);

#endif
