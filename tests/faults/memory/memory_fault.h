/*
 * Allocations that fail on request, and a count of those that are not given back. For tests that let each
 * allocation of a piece of the program fail in turn.
 *
 * Two implementations, chosen in CMake: memory_interpose.c stands in for malloc in the whole process, so that
 * allocations of libraries fail as well; memory_wrap.c sees those of the program's own code alone, and leaves
 * malloc itself to the sanitizers.
 */
#ifndef EYESORE_TESTS_MEMORY_FAULT_H
#define EYESORE_TESTS_MEMORY_FAULT_H

#include <stdbool.h>
#include <stddef.h>

struct memory_fault {
    long at;       /* this allocation fails, counted from 1; 0: none does */
    bool lasting;  /* and all behind it */
    bool own_only; /* count those of the program's own code alone, not its libraries' */
};

/* What there was between memory_fault_begin and memory_fault_end. */
struct memory_account {
    long n_calls;              /* allocations that were counted */
    bool failed;               /* was it its turn? */
    long n_left;               /* blocks allocated and not freed */
    size_t left_bytes;         /* their sum */
    const void *left_from;     /* who allocated one of them */
    const void *failed_caller; /* whose allocation it was that failed */
};

/* Of the calling thread's allocations from here on. */
void memory_fault_begin(const struct memory_fault *fault);

/* No more of them fail; they are still accounted for. */
void memory_fault_stop(void);

struct memory_account memory_fault_end(void);

/* Is library code seen? */
bool memory_fault_sees_libraries(void);

/* For the implementations: must this allocation fail? */
bool memory_must_fail(const void *caller);

/* For the implementations. A block was allocated, was freed. NULL is passed over. */
void memory_note(const void *block, size_t bytes, const void *caller);
void memory_forget(const void *block);

#endif
