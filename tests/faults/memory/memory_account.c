#include "memory_fault.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Blocks that live at once in one test: HDF5 keeps a few ten thousand. A power of two. */
#define CAPACITY ((size_t)1 << 18)

extern const char __executable_start, etext; /* the linker's: where the program's own code lies */

struct block {
    const void *at, *caller;
    size_t bytes;
};

static struct {
    pthread_mutex_t lock;
    pthread_t thread;
    bool watching, failing;
    struct memory_fault fault;
    struct memory_account account;
    size_t n_blocks;
    struct block blocks[CAPACITY]; /* open addressing, linear probing */
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

static size_t slot_of(const void *at)
{
    uint64_t x = (uint64_t)(uintptr_t)at >> 4;
    return (size_t)((x * 0x9e3779b97f4a7c15u) >> 40) & (CAPACITY - 1);
}

static bool is_own(const void *caller)
{
    return (const char *)caller >= &__executable_start && (const char *)caller < &etext;
}

static bool is_watched(const void *caller)
{
    return state.watching && pthread_equal(state.thread, pthread_self()) &&
           (!state.fault.own_only || is_own(caller));
}

void memory_fault_begin(const struct memory_fault *fault)
{
    pthread_mutex_lock(&state.lock);
    memset(state.blocks, 0, sizeof(state.blocks));
    memset(&state.account, 0, sizeof(state.account));
    state.n_blocks = 0;
    state.fault = *fault;
    state.thread = pthread_self();
    state.failing = fault->at > 0;
    state.watching = true;
    pthread_mutex_unlock(&state.lock);
}

void memory_fault_stop(void)
{
    state.failing = false;
}

struct memory_account memory_fault_end(void)
{
    pthread_mutex_lock(&state.lock);
    state.watching = state.failing = false;
    for (size_t i = 0; i < CAPACITY; i++)
        if (state.blocks[i].at != NULL) {
            state.account.n_left++;
            state.account.left_bytes += state.blocks[i].bytes;
            state.account.left_from = state.blocks[i].caller;
        }
    pthread_mutex_unlock(&state.lock);
    return state.account;
}

bool memory_must_fail(const void *caller)
{
    if (!is_watched(caller))
        return false;
    long n = ++state.account.n_calls; /* one thread's */
    if (!state.failing || (state.fault.lasting ? n < state.fault.at : n != state.fault.at))
        return false;
    if (!state.account.failed)
        state.account.failed_caller = caller;
    state.account.failed = true;
    errno = ENOMEM;
    return true;
}

void memory_note(const void *block, size_t bytes, const void *caller)
{
    if (block == NULL || !is_watched(caller))
        return;
    pthread_mutex_lock(&state.lock);
    if (++state.n_blocks == CAPACITY)
        abort(); /* the table is too small for this test */
    size_t i = slot_of(block);
    while (state.blocks[i].at != NULL)
        i = (i + 1) & (CAPACITY - 1);
    state.blocks[i] = (struct block){block, caller, bytes};
    pthread_mutex_unlock(&state.lock);
}

/* Take slot `gap` out and close up: whatever stands behind it and may not stay behind a gap moves. */
static void remove_slot(size_t gap)
{
    for (size_t i = (gap + 1) & (CAPACITY - 1); state.blocks[i].at != NULL; i = (i + 1) & (CAPACITY - 1)) {
        size_t home = slot_of(state.blocks[i].at);
        if (((i - home) & (CAPACITY - 1)) >= ((i - gap) & (CAPACITY - 1))) {
            state.blocks[gap] = state.blocks[i];
            gap = i;
        }
    }
    state.blocks[gap] = (struct block){0};
    state.n_blocks--;
}

void memory_forget(const void *block)
{
    if (block == NULL || !state.watching)
        return;
    pthread_mutex_lock(&state.lock);
    for (size_t i = slot_of(block); state.blocks[i].at != NULL; i = (i + 1) & (CAPACITY - 1))
        if (state.blocks[i].at == block) {
            remove_slot(i);
            break;
        }
    pthread_mutex_unlock(&state.lock);
}
