/* The program's own calls of malloc and its kin (the linker's --wrap), over those of a sanitizer; see
 * memory_fault.h. */
#include "memory_fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *block, size_t n);
void *__real_aligned_alloc(size_t alignment, size_t n);
void __real_free(void *block);

void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *block, size_t n);
void *__wrap_aligned_alloc(size_t alignment, size_t n);
void __wrap_free(void *block);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t most);

#define CALLER __builtin_return_address(0)

bool memory_fault_sees_libraries(void)
{
    return false;
}

void *__wrap_malloc(size_t n)
{
    void *block = memory_must_fail(CALLER) ? NULL : __real_malloc(n);
    memory_note(block, n, CALLER);
    return block;
}

void *__wrap_calloc(size_t n, size_t size)
{
    void *block = memory_must_fail(CALLER) ? NULL : __real_calloc(n, size);
    memory_note(block, n * size, CALLER);
    return block;
}

void *__wrap_realloc(void *block, size_t n)
{
    if (memory_must_fail(CALLER))
        return NULL;
    memory_forget(block);
    void *moved = __real_realloc(block, n);
    memory_note(moved, n, CALLER);
    return moved;
}

void *__wrap_aligned_alloc(size_t alignment, size_t n)
{
    void *block = memory_must_fail(CALLER) ? NULL : __real_aligned_alloc(alignment, n);
    memory_note(block, n, CALLER);
    return block;
}

void __wrap_free(void *block)
{
    memory_forget(block);
    __real_free(block);
}

static char *copy_text(const char *text, size_t n, const void *caller)
{
    char *copy = memory_must_fail(caller) ? NULL : __real_malloc(n + 1);
    memory_note(copy, n + 1, caller);
    if (copy != NULL) {
        memcpy(copy, text, n);
        copy[n] = '\0';
    }
    return copy;
}

char *__wrap_strdup(const char *text)
{
    return copy_text(text, strlen(text), CALLER);
}

char *__wrap_strndup(const char *text, size_t most)
{
    return copy_text(text, strnlen(text, most), CALLER);
}
