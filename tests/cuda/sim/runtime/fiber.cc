/* See fiber.h. */
#include "fiber.h"
#include "sanitizer.h"
#include "state.h"

#include <csignal>
#include <sys/mman.h>

#ifndef __x86_64__
#error "the simulated device switches stacks in x86-64 assembly"
#endif

namespace sim
{

namespace
{

constexpr size_t PAGE = 4096, GUARD = PAGE;
constexpr size_t STACK =
    (asan ? 256 : 64) * 1024; /* with its guard page; AddressSanitizer's frames are larger */
constexpr unsigned MAX_FIBERS = 1024;

struct fiber fibers[MAX_FIBERS];
unsigned n_fibers;
unsigned char *stacks;
struct fiber *idle;
struct fiber *leaving, *arriving; /* of the switch in hand */
void (*fiber_body)(struct fiber *self);

} // namespace

extern "C" void sim_fiber_jump(void **save_stack_pointer, void *stack_pointer);
extern "C" void sim_fiber_start(void);

/* rdi: where to keep the old stack pointer, rsi: the new one. */
__asm__(".text\n"
        ".type sim_fiber_jump, @function\n"
        "sim_fiber_jump:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size sim_fiber_jump, .-sim_fiber_jump\n");

/* After a switch, on the new stack: tell AddressSanitizer, which learns the host thread's own stack here. */
static void arrive(void *fake_stack)
{
    const void *stack;
    size_t bytes;

    asan_enter_fiber(fake_stack, &stack, &bytes);
    if (asan && leaving->stack_bytes == 0) {
        leaving->stack = stack;
        leaving->stack_bytes = bytes;
    }
}

extern "C" void sim_fiber_start(void)
{
    arrive(nullptr);
    fiber_body(arriving);
    die("a fiber's body returned");
}

static struct fiber *create()
{
    if (stacks == nullptr) {
        void *room = mmap(nullptr, MAX_FIBERS * STACK, PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
        if (room == MAP_FAILED)
            die("no address range for the stacks of a block's threads");
        stacks = static_cast<unsigned char *>(room);
    }
    if (n_fibers == MAX_FIBERS)
        die("more than %u threads in a block", MAX_FIBERS);
    struct fiber *fiber = &fibers[n_fibers];
    unsigned char *stack = stacks + n_fibers * STACK;
    if (mprotect(stack + GUARD, STACK - GUARD, PROT_READ | PROT_WRITE) != 0)
        die("no memory for the stack of a block's thread");
    fiber->stack = stack + GUARD;
    fiber->stack_bytes = STACK - GUARD;
    /* Stacks that all end on the same cache set would push one another out. */
    void **top = reinterpret_cast<void **>(stack + STACK - n_fibers % 32 * 128 - 64);
    *--top = nullptr; /* as if sim_fiber_start had been called from nowhere */
    *--top = reinterpret_cast<void *>(sim_fiber_start); /* where the first switch returns to */
    for (int i = 0; i < 6; i++)
        *--top = nullptr;
    fiber->stack_pointer = top;
    n_fibers++;
    return fiber;
}

struct fiber *fiber_take(void (*body)(struct fiber *self))
{
    struct fiber *fiber = idle;

    fiber_body = body;
    if (fiber == nullptr)
        return create();
    idle = fiber->next_idle;
    return fiber;
}

void fiber_give(struct fiber *fiber)
{
    fiber->next_idle = idle;
    idle = fiber;
}

void fiber_switch(struct fiber *from, struct fiber *to)
{
    leaving = from;
    arriving = to;
    asan_leave_fiber(&from->fake_stack, to->stack, to->stack_bytes);
    sim_fiber_jump(&from->stack_pointer, to->stack_pointer);
    arrive(from->fake_stack);
}

void fiber_prepare_host()
{
    struct signal_stack {
        unsigned char room[32 * 1024];
        bool ours = false;

        signal_stack()
        {
            stack_t now = {}, mine = {};
            mine.ss_sp = room;
            mine.ss_size = sizeof(room);
            if (sigaltstack(nullptr, &now) == 0 && (now.ss_flags & SS_DISABLE) != 0)
                ours = sigaltstack(&mine, nullptr) == 0;
        }

        ~signal_stack()
        {
            stack_t none = {};
            none.ss_flags = SS_DISABLE;
            if (ours)
                sigaltstack(&none, nullptr);
        }
    };
    static thread_local struct signal_stack stack;
    (void)stack;
}

bool fiber_overflow(uintptr_t address)
{
    uintptr_t begin = reinterpret_cast<uintptr_t>(stacks);
    return begin != 0 && address >= begin && address < begin + MAX_FIBERS * STACK &&
           (address - begin) % STACK < GUARD;
}

} // namespace sim
