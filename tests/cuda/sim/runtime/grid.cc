/* See grid.h. */
#include "grid.h"
#include "fiber.h"
#include "state.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

extern "C" {
uint3 sim_thread_index, sim_block_index;
dim3 sim_block_dim, sim_grid_dim;
uint64_t sim_block_serial;
}

namespace sim
{

namespace
{

constexpr unsigned MAX_THREADS = 1024;

enum place { FRESH, RUNNING, READY, AT_BARRIER, IN_SHUFFLE, FINISHED };
const char *const place_names[] = {"has not begun",      "runs",     "goes on",
                                   "waits at a barrier", "shuffles", "has finished"};

/* A walk over [0, n) from anywhere, in either direction. */
struct walk {
    unsigned n, left, at;
    bool down;

    void begin(unsigned all)
    {
        n = left = all;
        at = random_below(all);
        down = random_below(2) == 0;
    }

    unsigned next()
    {
        unsigned now = at;

        if (down)
            at = at == 0 ? n - 1 : at - 1;
        else
            at = at + 1 == n ? 0 : at + 1;
        left--;
        return now;
    }
};

struct warp_shuffle {
    unsigned arrived;
    size_t bytes;
};

/* The kernel that runs. */
struct grid {
    const struct sim_launch *launch;
    unsigned n_threads; /* of a block */
    struct walk blocks, fresh;
    unsigned n_finished, n_at_barrier;
    bool ready_first; /* before threads that have not begun */

    unsigned thread; /* the one that runs */
    struct fiber *fiber, host;

    enum place place[MAX_THREADS];
    struct fiber *fiber_of[MAX_THREADS]; /* of those that wait */
    unsigned ready[MAX_THREADS];         /* a ring */
    unsigned ready_from, n_ready;

    struct warp_shuffle shuffle[MAX_THREADS / WARP];
    uint64_t lane_value[2][MAX_THREADS]; /* in turn, since a lane may be one shuffle ahead of another */
    unsigned char turn[MAX_THREADS];
} grid;

uint3 index_in(unsigned i, dim3 size)
{
    if (size.y == 1 && size.z == 1)
        return {i, 0, 0};
    return {i % size.x, i / size.x % size.y, i / size.x / size.y};
}

void make_ready(unsigned thread)
{
    grid.place[thread] = READY;
    grid.ready[(grid.ready_from + grid.n_ready++) % MAX_THREADS] = thread;
}

void release_barrier()
{
    struct walk walk;

    grid.n_at_barrier = 0;
    walk.begin(grid.n_threads);
    while (walk.left > 0)
        make_ready(walk.next());
}

/* Nobody can go on. */
[[noreturn]] void die_stuck()
{
    unsigned waits = 0, missing;

    while (waits < grid.n_threads && grid.place[waits] != IN_SHUFFLE)
        waits++;
    if (waits < grid.n_threads) {
        unsigned warp = waits / WARP * WARP;
        for (missing = warp; missing < warp + WARP && grid.place[missing] == IN_SHUFFLE;)
            missing++;
        grid.thread = missing < grid.n_threads ? missing : waits;
        if (missing >= grid.n_threads)
            grid_die("is in a warp of fewer than %d threads, and shuffles", WARP);
        grid_die("%s, and lane %u of its warp waits for it in a shuffle", place_names[grid.place[missing]],
                 waits % WARP);
    }
    for (missing = 0; missing < grid.n_threads && grid.place[missing] == AT_BARRIER;)
        missing++;
    for (waits = 0; waits < grid.n_threads && grid.place[waits] != AT_BARRIER;)
        waits++;
    grid.thread = missing;
    grid_die("%s, and thread %u waits at a barrier", place_names[grid.place[missing]], waits);
}

bool begin_block()
{
    if (grid.blocks.left == 0)
        return false;
    sim_block_index = index_in(grid.blocks.next(), sim_grid_dim);
    sim_block_serial++;
    shared_begin_block(grid.launch->shared_bytes);
    grid.fresh.begin(grid.n_threads);
    grid.ready_first = random_below(2) == 0;
    grid.n_finished = grid.n_at_barrier = grid.n_ready = 0;
    for (unsigned i = 0; i < grid.n_threads; i++)
        grid.place[i] = FRESH;
    return true;
}

void end_block()
{
    size_t shared = shared_end_block();

    if (shared > MAX_SHARED && grid.launch->shared_bytes <= MAX_SHARED)
        grid_die("has %zu bytes of static and dynamic shared memory; a device gives %zu", shared, MAX_SHARED);
}

enum choice { BEGIN, GO_ON, END };

/* Who runs next: OUT thread. */
enum choice choose(unsigned *thread)
{
    if (grid.n_at_barrier == grid.n_threads)
        release_barrier();
    if (grid.n_finished == grid.n_threads) {
        end_block();
        if (!begin_block())
            return END;
    }
    if (grid.n_ready > 0 && (grid.ready_first || grid.fresh.left == 0)) {
        *thread = grid.ready[grid.ready_from];
        grid.ready_from = (grid.ready_from + 1) % MAX_THREADS;
        grid.n_ready--;
        return GO_ON;
    }
    if (grid.fresh.left == 0)
        die_stuck();
    *thread = grid.fresh.next();
    return BEGIN;
}

void run_thread(unsigned thread)
{
    grid.thread = thread;
    grid.place[thread] = RUNNING;
    sim_thread_index = index_in(thread, sim_block_dim);
    grid.launch->run_thread(grid.launch->arguments);
    grid.place[grid.thread] = FINISHED;
    grid.n_finished++;
}

/* A fiber begins threads until one that waits should go on; then it is idle, until there are others. */
void run_threads(struct fiber *self)
{
    unsigned next;

    for (;;) {
        grid.fiber = self;
        run_thread(self->thread);
        enum choice choice;
        while ((choice = choose(&next)) == BEGIN)
            run_thread(next);
        fiber_give(self);
        fiber_switch(self, choice == GO_ON ? grid.fiber_of[next] : &grid.host);
    }
}

struct fiber *fiber_for(unsigned thread)
{
    struct fiber *fiber = fiber_take(run_threads);
    fiber->thread = thread;
    return fiber;
}

/* The running thread waits; others run until it may go on. */
void wait_at(enum place place)
{
    unsigned self = grid.thread, next;
    struct fiber *mine = grid.fiber;
    uint3 index = sim_thread_index;

    grid.place[self] = place;
    grid.fiber_of[self] = mine;
    enum choice choice = choose(&next);
    if (choice == BEGIN || next != self)
        fiber_switch(mine, choice == BEGIN ? fiber_for(next) : grid.fiber_of[next]);
    grid.thread = self;
    grid.fiber = mine;
    grid.place[self] = RUNNING;
    sim_thread_index = index;
}

} // namespace

void grid_die(const char *format, ...)
{
    uint3 block = sim_block_index, thread = index_in(grid.thread, sim_block_dim);
    va_list list;

    va_start(list, format);
    fprintf(stderr, "sim: kernel %s, block (%u,%u,%u), thread (%u,%u,%u) ", grid.launch->name, block.x,
            block.y, block.z, thread.x, thread.y, thread.z);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    abort();
}

void grid_run(const struct sim_launch *launch)
{
    unsigned first;

    fiber_prepare_host();
    grid.launch = launch;
    grid.n_threads = launch->block.x * launch->block.y * launch->block.z;
    grid.host = {};
    grid.ready_from = 0;
    memset(grid.shuffle, 0, sizeof(grid.shuffle));
    memset(grid.turn, 0, sizeof(grid.turn));
    sim_block_dim = launch->block;
    sim_grid_dim = launch->grid;
    grid.blocks.begin(launch->grid.x * launch->grid.y * launch->grid.z);
    begin_block();
    choose(&first); /* always one that begins */
    fiber_switch(&grid.host, fiber_for(first));
}

} // namespace sim

extern "C" void sim_barrier(void)
{
    using namespace sim;
    grid.n_at_barrier++;
    wait_at(AT_BARRIER);
}

extern "C" uint64_t sim_shuffle_xor(uint64_t value, int mask, size_t bytes)
{
    using namespace sim;
    unsigned self = grid.thread, warp = self / WARP, turn = grid.turn[self] ^= 1;
    struct warp_shuffle *shuffle = &grid.shuffle[warp];

    if (mask < 0 || mask >= WARP)
        grid_die("shuffles with a mask of %d", mask);
    if (shuffle->arrived > 0 && shuffle->bytes != bytes)
        grid_die("shuffles %zu bytes while other lanes shuffle %zu", bytes, shuffle->bytes);
    shuffle->bytes = bytes;
    grid.lane_value[turn][self] = value;
    if (++shuffle->arrived < WARP)
        wait_at(IN_SHUFFLE);
    else {
        shuffle->arrived = 0;
        for (unsigned lane = warp * WARP; lane < (warp + 1) * WARP; lane++)
            if (lane != self)
                make_ready(lane);
    }
    return grid.lane_value[turn][self ^ (unsigned)mask];
}
