/*
 * Keeping a thread and the helper that it waits for on one core: one works while the other waits. Left to
 * itself the scheduler wakes each on a core that happens to be idle, and file, crop and tables move between
 * caches twice a picture (bench/RESULTS.md). Private to io/. Nothing here can fail: where the system refuses,
 * processes stay where they are.
 */
#ifndef EYESORE_IO_ONE_CORE_H
#define EYESORE_IO_ONE_CORE_H

#include <sched.h>
#include <stdbool.h>
#include <sys/types.h>

struct one_core {
    bool bound;       /* this thread, to one core */
    cpu_set_t before; /* its affinity otherwise */
};

/* Bind this thread and the helper to the core that it is on. IN/OUT core: the helper's from the last time; -1
 * for a new helper. */
struct one_core one_core_bind(pid_t helper, int *core);

/* Give this thread back its affinity; the helper waits where it is. */
void one_core_leave(struct one_core *bound);

/* Let both go: a long picture should not have to share the core with what else comes to it. */
void one_core_free(struct one_core *bound, pid_t helper, int *core);

#endif
