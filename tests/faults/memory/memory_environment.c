/*
 * For memory_wrap.c in the whole program: the $FAULT_AT-th allocation of the program's own code fails, once,
 * where $FAULT_CALL is malloc, as call_shim.c has it. $FAULT_COUNT: a file that gets their number at the end.
 * Blocks are not accounted for here: the sanitizer tells of leaks.
 */
#include "memory_fault.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static atomic_long n_calls;
static long fault_at;
static bool counting;
static bool is_child; /* whose allocations do not count; it may not even ask for its number in its sandbox */

static void note_child(void)
{
    is_child = true;
}

__attribute__((constructor)) static void begin(void)
{
    const char *call = getenv("FAULT_CALL"), *at = getenv("FAULT_AT");

    (void)pthread_atfork(NULL, NULL, note_child);
    fault_at = at == NULL ? 0 : strtol(at, NULL, 10);
    counting = call != NULL && strcmp(call, "malloc") == 0;
}

__attribute__((destructor)) static void end(void)
{
    const char *path = getenv("FAULT_COUNT");
    FILE *file = path == NULL || !counting || is_child ? NULL : fopen(path, "we");

    if (file == NULL)
        return;
    fprintf(file, "%ld\n", atomic_load(&n_calls));
    fclose(file);
}

bool memory_must_fail(const void *caller)
{
    (void)caller;
    if (!counting || is_child || atomic_fetch_add(&n_calls, 1) + 1 != fault_at)
        return false;
    errno = ENOMEM;
    return true;
}

void memory_note(const void *block, size_t bytes, const void *caller)
{
    (void)block;
    (void)bytes;
    (void)caller;
}

void memory_forget(const void *block)
{
    (void)block;
}
