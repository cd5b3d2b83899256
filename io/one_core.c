#include "io/one_core.h"

struct one_core one_core_bind(pid_t helper, int *core)
{
    struct one_core bound = {.bound = false};
    int here = sched_getcpu();
    cpu_set_t one;

    if (here < 0 || here >= CPU_SETSIZE || sched_getaffinity(0, sizeof(bound.before), &bound.before) != 0)
        return bound;
    CPU_ZERO(&one);
    CPU_SET(here, &one);
    if (here != *core && sched_setaffinity(helper, sizeof(one), &one) == 0)
        *core = here;
    bound.bound = here == *core && sched_setaffinity(0, sizeof(one), &one) == 0;
    return bound;
}

void one_core_leave(struct one_core *bound)
{
    if (bound->bound)
        (void)sched_setaffinity(0, sizeof(bound->before), &bound->before);
    bound->bound = false;
}

void one_core_free(struct one_core *bound, pid_t helper, int *core)
{
    if (!bound->bound)
        return;
    (void)sched_setaffinity(helper, sizeof(bound->before), &bound->before);
    *core = -1;
    one_core_leave(bound);
}
