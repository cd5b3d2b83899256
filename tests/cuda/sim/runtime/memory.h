/*
 * The memory of the simulated devices: an address range of its own that is closed but while device work runs,
 * and pinned host memory. Under the lock. Part of the test instrument.
 */
#ifndef EYESORE_SIM_MEMORY_H
#define EYESORE_SIM_MEMORY_H

#include <cstddef>
#include <cstdint>

namespace sim
{

/* Forgets all allocations; room for so many bytes on all devices together. */
void memory_reset(size_t bytes);

/* Opens the devices' memory, and closes it again after as many closes. The last close checks the guards. */
void memory_open();
void memory_close();

enum memory_kind { MEMORY_PAGEABLE, MEMORY_PINNED, MEMORY_DEVICE };
enum memory_kind memory_kind_of(const void *pointer);

/* Does [pointer, pointer + bytes) lie within one allocation? True of pageable memory. */
bool memory_holds(const void *pointer, size_t bytes);

struct allocation {
    unsigned char *begin;
    size_t bytes;
    int device; /* -1: pinned */
};
/* The allocation that the address lies in, or NULL. */
const struct allocation *memory_find(const void *pointer);

/* Filled with NaNs. NULL: no room. */
void *memory_allocate(int device, size_t bytes);
/* False: no allocation begins there. Checks its guards. */
bool memory_free(void *pointer);

void *pinned_allocate(size_t bytes);
bool pinned_free(void *pointer);

} // namespace sim

#endif
