/*
 * Runs the blocks of a kernel one after another, and the threads of a block as fibers. Part of the test
 * instrument.
 *
 * A thread that meets no barrier runs to its end without a switch, on the same fiber as the one before it. At
 * a barrier or shuffle it waits on its own stack, and another thread goes on. Who starts first, and in which
 * direction it goes, is left to chance, for the blocks of a grid as for the threads between two barriers: a
 * kernel that needs a barrier and has none gives other results under some seed.
 */
#ifndef EYESORE_SIM_GRID_H
#define EYESORE_SIM_GRID_H

#include "cuda_code.h"

namespace sim
{

/* Under the lock, device memory open. */
void grid_run(const struct sim_launch *launch);

/* Ends the program, naming the kernel, block and thread that run. */
[[noreturn]] void grid_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

constexpr size_t MAX_SHARED = 48 * 1024, MAX_SHARED_OPT_IN = 227 * 1024;

/* ---- shared.cc: shared memory of the block that runs. */
void shared_begin_block(size_t dynamic_bytes);
/* Checks the guards. Static and dynamic bytes together. */
size_t shared_end_block();

} // namespace sim

#endif
