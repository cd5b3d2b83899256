/*
 * For the tests of the simulated NCCL: a scene is played by every rank, with the ranks as threads of this
 * process or as processes; it returns 0, or the line where it went wrong.
 */
#ifndef EYESORE_SIM_NCCL_TEST_SCENE_H
#define EYESORE_SIM_NCCL_TEST_SCENE_H

#include "tests/cuda/sim/sim.h"

#include <nccl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { SCENE_MAX_RANKS = 3, MIB = 1 << 20 };

#define NEED(condition)                                                                                      \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            return __LINE__;                                                                                 \
    } while (0)
#define OK(call) NEED((call) == 0)

/* The declarations that the real header leaves without a prototype. */
ncclResult_t ncclGroupStart(void);
ncclResult_t ncclGroupEnd(void);

struct actor {
    int rank, n_ranks;
    ncclUniqueId id;
    int (*scene)(const struct actor *actor);
    int line;
};

extern const struct sim_options scene_options; /* a device for each rank */

/* Each on a fresh simulator, its rank's device the current one. Fails the test where a scene does, or leaves
 * something behind, shared memory included. */
void scene_play_as_threads(int n_ranks, int (*scene)(const struct actor *actor));
void scene_play_as_processes(int n_ranks, int (*scene)(const struct actor *actor));
void scene_play(int n_ranks, int (*scene)(const struct actor *actor)); /* both */

#endif
