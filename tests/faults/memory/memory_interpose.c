/* malloc and its kin for the whole process, libraries included; see memory_fault.h. */
#include "memory_fault.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

/* glibc's own. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *block, size_t n);
void *__libc_memalign(size_t alignment, size_t n);
void __libc_free(void *block);

#define CALLER __builtin_return_address(0)

bool memory_fault_sees_libraries(void)
{
    return true;
}

void *malloc(size_t n)
{
    void *block = memory_must_fail(CALLER) ? NULL : __libc_malloc(n);
    memory_note(block, n, CALLER);
    return block;
}

void *calloc(size_t n, size_t size)
{
    void *block = memory_must_fail(CALLER) ? NULL : __libc_calloc(n, size);
    memory_note(block, n * size, CALLER);
    return block;
}

void *realloc(void *block, size_t n)
{
    if (memory_must_fail(CALLER))
        return NULL;
    memory_forget(block); /* before, since another thread may get its address at once */
    void *moved = __libc_realloc(block, n);
    memory_note(moved, n, CALLER);
    return moved;
}

void free(void *block)
{
    memory_forget(block);
    __libc_free(block);
}

static void *get_aligned(size_t alignment, size_t n, const void *caller)
{
    void *block = memory_must_fail(caller) ? NULL : __libc_memalign(alignment, n);
    memory_note(block, n, caller);
    return block;
}

void *memalign(size_t alignment, size_t n)
{
    return get_aligned(alignment, n, CALLER);
}

void *aligned_alloc(size_t alignment, size_t n)
{
    return get_aligned(alignment, n, CALLER);
}

int posix_memalign(void **block, size_t alignment, size_t n)
{
    void *got = get_aligned(alignment, n, CALLER);
    if (got == NULL)
        return ENOMEM;
    *block = got;
    return 0;
}

/* Not glibc's, whose malloc would be called from within glibc: the caller counts. */
static char *copy_text(const char *text, size_t n, const void *caller)
{
    char *copy = memory_must_fail(caller) ? NULL : __libc_malloc(n + 1);
    memory_note(copy, n + 1, caller);
    if (copy != NULL) {
        memcpy(copy, text, n);
        copy[n] = '\0';
    }
    return copy;
}

char *strdup(const char *text)
{
    return copy_text(text, strlen(text), CALLER);
}

char *strndup(const char *text, size_t most)
{
    return copy_text(text, strnlen(text, most), CALLER);
}
