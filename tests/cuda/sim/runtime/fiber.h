/*
 * Stacks to switch between, for the threads of a simulated block. Part of the test instrument; x86-64 only.
 * A switch saves the registers that a function must keep and costs a few nanoseconds. Not locked: the caller
 * holds the device's lock.
 */
#ifndef EYESORE_SIM_FIBER_H
#define EYESORE_SIM_FIBER_H

#include <cstddef>
#include <cstdint>

namespace sim
{

struct fiber {
    void *stack_pointer; /* while it does not run */
    const void *stack;
    size_t stack_bytes;
    void *fake_stack; /* AddressSanitizer's */
    struct fiber *next_idle;
    unsigned thread; /* the thread that it should begin when it is next switched to */
};

/* An idle fiber; its first switch calls `body`, which never returns. The same `body` at every call. */
struct fiber *fiber_take(void (*body)(struct fiber *self));
/* Back to the idle ones; the caller switches away from it, in `body`, and goes on there when taken again. */
void fiber_give(struct fiber *fiber);

/* `from` may be a fiber that stands for the host thread's own stack: {}. */
void fiber_switch(struct fiber *from, struct fiber *to);

/* Gives this host thread a stack for signals, so that a fiber that overflows can be reported. */
void fiber_prepare_host();

/* Is it in the guard page of a fiber's stack? Safe in a signal handler. */
bool fiber_overflow(uintptr_t address);

} // namespace sim

#endif
