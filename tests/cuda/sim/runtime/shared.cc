/* The shared memory of a block: poisoned before it, its guards checked after it. See grid.h. */
#include "grid.h"
#include "sanitizer.h"

namespace sim
{

namespace
{

constexpr unsigned char POISON = 0xff, GUARD = 0xfb;

struct dynamic {
    alignas(256) unsigned char before[SIM_SHARED_GUARD];
    alignas(256) unsigned char data[MAX_SHARED_OPT_IN + SIM_SHARED_GUARD];
} dynamic;
size_t dynamic_bytes;

struct sim_shared *entered; /* the static arrays of this block */

/* AddressSanitizer knows the guards and stops at the access itself. */
void set_guards(unsigned char *data, size_t bytes)
{
    memset(data - SIM_SHARED_GUARD, GUARD, SIM_SHARED_GUARD);
    memset(data + bytes, GUARD, SIM_SHARED_GUARD);
    asan_poison(data - SIM_SHARED_GUARD, SIM_SHARED_GUARD);
    asan_poison(data + bytes, SIM_SHARED_GUARD);
}

bool is_guard(const unsigned char *at)
{
    for (int i = 0; i < SIM_SHARED_GUARD; i++)
        if (at[i] != GUARD)
            return false;
    return true;
}

void check_guards(const char *name, const unsigned char *data, size_t bytes)
{
    if (asan)
        return;
    if (!is_guard(data - SIM_SHARED_GUARD))
        grid_die("wrote before shared array %s", name);
    if (!is_guard(data + bytes))
        grid_die("wrote beyond shared array %s of %zu bytes", name, bytes);
}

} // namespace

void shared_begin_block(size_t bytes)
{
    entered = nullptr;
    if (bytes != dynamic_bytes) {
        asan_unpoison(&dynamic, sizeof(dynamic));
        if (bytes > 0)
            set_guards(dynamic.data, bytes);
        dynamic_bytes = bytes;
    }
    memset(dynamic.data, POISON, bytes);
}

size_t shared_end_block()
{
    size_t all = dynamic_bytes;

    if (dynamic_bytes > 0)
        check_guards("of dynamic size", dynamic.data, dynamic_bytes);
    for (const struct sim_shared *shared = entered; shared != nullptr; shared = shared->next) {
        check_guards(shared->name, shared->data, shared->bytes);
        all += shared->bytes;
    }
    return all;
}

} // namespace sim

/* The first thread of a block that comes to the array's declaration. */
extern "C" void sim_shared_enter(struct sim_shared *shared, const char *name, void *data, size_t bytes)
{
    if (shared->block == 0) {
        shared->name = name;
        shared->data = static_cast<unsigned char *>(data);
        shared->bytes = bytes;
        sim::set_guards(shared->data, bytes);
    }
    shared->block = sim_block_serial;
    shared->next = sim::entered;
    sim::entered = shared;
    memset(shared->data, sim::POISON, bytes);
}

extern "C" void *sim_shared_dynamic(void)
{
    if (sim::dynamic_bytes == 0)
        sim::grid_die("uses dynamic shared memory, and the launch gives none");
    return sim::dynamic.data;
}
