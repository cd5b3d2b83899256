/* See memory.h. */
#include "memory.h"
#include "fiber.h"
#include "parts.h"
#include "sanitizer.h"
#include "state.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <sys/mman.h>
#include <unistd.h>

namespace sim
{

namespace
{

constexpr size_t ALIGN = 256, GUARD = 256, HUGE = 2 << 20;
constexpr unsigned char FRESH = 0xff; /* NaN in float16, bfloat16, float32 and float64 */

/* Read by a signal handler, so plain variables. */
unsigned char *arena;
size_t arena_bytes;
size_t opened_bytes; /* from its start: as much as was ever used */
int n_opens;

std::map<uintptr_t, struct allocation> on_device, pinned; /* by first byte */

/* NaNs too, but not the ones that fresh memory holds. */
unsigned char guard_byte(size_t at)
{
    return at % 2 == 0 ? 0xfe : 0xff;
}

uintptr_t number(const void *pointer)
{
    return reinterpret_cast<uintptr_t>(pointer);
}

bool in_arena(uintptr_t address)
{
    return address >= number(arena) && address < number(arena) + arena_bytes;
}

size_t round_up(size_t bytes, size_t to)
{
    return (bytes + to - 1) / to * to;
}

/* What an allocation takes behind its first byte: itself and its guard. */
size_t reach_of(const struct allocation &allocation)
{
    return round_up(allocation.bytes, ALIGN) + GUARD;
}

struct guards {
    unsigned char *before, *behind;
    size_t behind_bytes;
};

struct guards guards_of(const struct allocation &allocation)
{
    unsigned char *end = allocation.begin + allocation.bytes;
    return {allocation.begin - GUARD, end, reach_of(allocation) - allocation.bytes};
}

/* Guards are written as seen from an even address on, so that any part of one compares. */
void fill_guard(unsigned char *at, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        at[i] = guard_byte(number(at) + i);
}

const unsigned char *first_broken(const unsigned char *at, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (at[i] != guard_byte(number(at) + i))
            return at + i;
    return nullptr;
}

/* AddressSanitizer knows the guards and stops at the access itself. */
void check_guards(const struct allocation &allocation)
{
    if (asan)
        return;
    struct guards guards = guards_of(allocation);
    const unsigned char *broken = first_broken(guards.before, GUARD);

    if (broken == nullptr)
        broken = first_broken(guards.behind, guards.behind_bytes);
    if (broken != nullptr)
        die("device work wrote outside an allocation of %zu bytes at %p: at its byte %td", allocation.bytes,
            (void *)allocation.begin, broken - allocation.begin);
}

void open_more(size_t bytes)
{
    bytes = std::min(round_up(bytes, HUGE), arena_bytes);
    if (bytes <= opened_bytes)
        return;
    if (n_opens > 0 && mprotect(arena, bytes, PROT_READ | PROT_WRITE) != 0)
        die("cannot open device memory");
    opened_bytes = bytes;
}

void protect(int how)
{
    if (opened_bytes > 0 && mprotect(arena, opened_bytes, how) != 0)
        die("cannot %s device memory", how == PROT_NONE ? "close" : "open");
}

const struct allocation *find_in(const std::map<uintptr_t, struct allocation> &all, uintptr_t address)
{
    auto behind = all.upper_bound(address);

    if (behind == all.begin())
        return nullptr;
    const struct allocation &before = std::prev(behind)->second;
    return address - number(before.begin) < std::max<size_t>(before.bytes, 1) ? &before : nullptr;
}

struct sigaction previous_action;

void on_fault(int signal, siginfo_t *info, void *context)
{
    uintptr_t address = number(info->si_addr);
    char text[160];
    int n = 0;

    if (in_arena(address) && n_opens == 0)
        n = snprintf(text, sizeof(text), "sim: host touched device memory at %p\n", info->si_addr);
    else if (in_arena(address))
        n = snprintf(text, sizeof(text), "sim: device work touched memory nobody allocated at %p\n",
                     info->si_addr);
    else if (fiber_overflow(address))
        n = snprintf(text, sizeof(text), "sim: a kernel's stack is too large\n");
    if (n > 0) {
        if (write(STDERR_FILENO, text, (size_t)n) == n)
            abort();
        abort();
    }
    if (previous_action.sa_flags & SA_SIGINFO)
        previous_action.sa_sigaction(signal, info, context);
    else if (previous_action.sa_handler != SIG_DFL && previous_action.sa_handler != SIG_IGN)
        previous_action.sa_handler(signal);
    else
        sigaction(signal, &previous_action, nullptr); /* the access is made again, and ends the process */
}

/* Test frameworks set handlers of their own before each test, so this looks every time. */
void handle_faults()
{
    struct sigaction now, action = {};

    if (sigaction(SIGSEGV, nullptr, &now) != 0 ||
        ((now.sa_flags & SA_SIGINFO) != 0 && now.sa_sigaction == on_fault))
        return;
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    previous_action = now;
    sigaction(SIGSEGV, &action, nullptr);
}

/* Where a new allocation fits first; NULL: nowhere. */
unsigned char *find_room(size_t reach)
{
    unsigned char *at = arena + ALIGN;

    for (const auto &entry : on_device) {
        const struct allocation &next = entry.second;
        if (at + GUARD + reach <= next.begin - GUARD)
            break;
        at = next.begin + reach_of(next);
    }
    return at + GUARD + reach <= arena + arena_bytes ? at + GUARD : nullptr;
}

} // namespace

void memory_reset(size_t bytes)
{
    for (const auto &entry : pinned)
        free(entry.second.begin);
    pinned.clear();
    on_device.clear();
    if (arena != nullptr) {
        asan_unpoison(arena, opened_bytes);
        munmap(arena, arena_bytes);
    }
    /* Twice as much, so that gaps do not matter, and the guards. */
    arena_bytes = round_up(2 * bytes + 64 * HUGE, HUGE);
    void *room = mmap(nullptr, arena_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED)
        die("no address range for %zu bytes of device memory", bytes);
    madvise(room, arena_bytes, MADV_HUGEPAGE); /* opening and closing costs by the page */
    arena = static_cast<unsigned char *>(room);
    opened_bytes = 0;
    n_opens = 0;
}

void memory_open()
{
    if (n_opens++ > 0)
        return;
    handle_faults();
    protect(PROT_READ | PROT_WRITE);
}

void memory_close()
{
    if (--n_opens > 0)
        return;
    for (const auto &entry : on_device)
        check_guards(entry.second);
    protect(PROT_NONE);
}

enum memory_kind memory_kind_of(const void *pointer)
{
    if (in_arena(number(pointer)))
        return MEMORY_DEVICE;
    return find_in(pinned, number(pointer)) != nullptr ? MEMORY_PINNED : MEMORY_PAGEABLE;
}

const struct allocation *memory_find(const void *pointer)
{
    return find_in(in_arena(number(pointer)) ? on_device : pinned, number(pointer));
}

bool memory_holds(const void *pointer, size_t bytes)
{
    if (memory_kind_of(pointer) == MEMORY_PAGEABLE)
        return true;
    const struct allocation *found = memory_find(pointer);
    return found != nullptr && bytes <= found->bytes - (number(pointer) - number(found->begin));
}

void *memory_allocate(int device, size_t bytes)
{
    struct allocation made = {nullptr, bytes, device};

    made.begin = find_room(reach_of(made));
    if (made.begin == nullptr)
        return nullptr;
    struct guards guards = guards_of(made);
    memory_open();
    open_more((size_t)(made.begin - arena) + reach_of(made));
    asan_unpoison(guards.before, GUARD + reach_of(made));
    fill_guard(guards.before, GUARD);
    memset(made.begin, FRESH, bytes);
    fill_guard(guards.behind, guards.behind_bytes);
    asan_poison(guards.before, GUARD);
    asan_poison(guards.behind, guards.behind_bytes);
    on_device[number(made.begin)] = made;
    memory_close();
    return made.begin;
}

bool memory_free(void *pointer)
{
    auto found = on_device.find(number(pointer));

    if (found == on_device.end())
        return false;
    memory_open();
    memset(found->second.begin, FRESH, found->second.bytes);
    asan_poison(found->second.begin, found->second.bytes);
    check_guards(found->second);
    on_device.erase(found);
    memory_close();
    return true;
}

void *pinned_allocate(size_t bytes)
{
    void *begin = nullptr;

    if (posix_memalign(&begin, 4096, std::max<size_t>(bytes, 1)) != 0)
        return nullptr;
    memset(begin, FRESH, bytes);
    pinned[number(begin)] = {static_cast<unsigned char *>(begin), bytes, -1};
    return begin;
}

bool pinned_free(void *pointer)
{
    auto found = pinned.find(number(pointer));

    if (found == pinned.end())
        return false;
    free(found->second.begin);
    pinned.erase(found);
    return true;
}

int count_device_memory()
{
    return (int)on_device.size();
}

int count_pinned_memory()
{
    return (int)pinned.size();
}

} // namespace sim
