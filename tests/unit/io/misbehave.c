#include "misbehave.h"

#include "io/isolation_internal.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BALLOON_STEP ((size_t)64 << 20)

static bool poisoned;
static volatile int zero;

static void segv(void)
{
    *(volatile int *)(uintptr_t)(16 + zero) = 1;
}

static void do_abort(void)
{
    abort();
}

static void do_exit(void)
{
    _exit(7);
}

static void divide(void)
{
    zero = 10 / zero;
}

static void hang(void)
{
    while (zero == 0)
        ;
}

/* Of the processor's time. */
static void half_a_second(void)
{
    struct timespec used;

    do
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    while (used.tv_sec == 0 && used.tv_nsec < 500000000);
}

/* Until there is no more, and touch it. */
static void unchecked_balloon(void)
{
    for (;;) {
        uint8_t *volatile memory = malloc(BALLOON_STEP); /* volatile: not to be optimised away */
        memset(memory, 1, BALLOON_STEP);
    }
}

static void do_open(void)
{
    syscall(SYS_open, "/etc/passwd", O_RDONLY);
}

static void do_openat(void)
{
    (void)!open("/etc/passwd", O_RDONLY);
}

static void do_socket(void)
{
    (void)!socket(AF_INET, SOCK_STREAM, 0);
}

static void do_fork(void)
{
    (void)!fork();
}

static void do_execve(void)
{
    char *const arguments[] = {NULL};

    execve("/bin/true", arguments, arguments);
}

static void do_kill(void)
{
    kill(getpid(), 0);
}

static void do_ptrace(void)
{
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static void do_prctl(void)
{
    prctl(PR_SET_DUMPABLE, 1);
}

static void exec_memory(void)
{
    (void)!mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void do_write(void)
{
    (void)!write(ISOLATION_FD, "", 1);
}

static void abort_others(void)
{
    syscall(SYS_tgkill, 1, 1, SIGABRT);
}

static void poison(void)
{
    poisoned = true;
}

static void early_answer(void)
{
    const uint32_t wrong = 0xffffffff;

    send(ISOLATION_FD, &wrong, sizeof(wrong), MSG_NOSIGNAL);
}

static const struct {
    const char *word;
    void (*act)(void);
} acts[] = {
    {"!segv", segv},
    {"!abort", do_abort},
    {"!exit", do_exit},
    {"!divide", divide},
    {"!hang", hang},
    {"!half a second", half_a_second},
    {"!unchecked balloon", unchecked_balloon},
    {"!open", do_open},
    {"!openat", do_openat},
    {"!socket", do_socket},
    {"!fork", do_fork},
    {"!execve", do_execve},
    {"!kill", do_kill},
    {"!ptrace", do_ptrace},
    {"!prctl", do_prctl},
    {"!exec memory", exec_memory},
    {"!write", do_write},
    {"!abort others", abort_others},
    {"!poison", poison},
    {"!early answer", early_answer},
};

static void fill(struct picture_info *info, enum item_status status, int32_t side, int32_t orientation,
                 const char *message)
{
    info->status = status;
    info->width = info->height = side;
    info->orientation = orientation;
    memcpy(info->message, message, strlen(message) + 1);
}

/* Answers that no decoder gives. False: the word is none of them. */
static bool answer(const char *word, struct picture_info *info, enum status *status)
{
    *status = STATUS_OK;
    if (strcmp(word, "!garbage") == 0)
        memset(info, 0xa5, sizeof(*info));
    else if (strcmp(word, "!status") == 0)
        fill(info, ITEM_STATUS_COUNT, 10, 1, "x");
    else if (strcmp(word, "!unscored") == 0)
        fill(info, ITEM_SET_ASIDE, 10, 1, "x");
    else if (strcmp(word, "!no end") == 0)
        memset(info->message, 'x', sizeof(info->message));
    else if (strcmp(word, "!control") == 0)
        fill(info, ITEM_CORRUPT, 10, 1, "a\033[2J");
    else if (strcmp(word, "!negative") == 0)
        fill(info, ITEM_CORRUPT, INT_MIN, 1, "x");
    else if (strcmp(word, "!orientation") == 0)
        fill(info, ITEM_OK, 10, 9, "");
    else if (strcmp(word, "!pixels") == 0)
        fill(info, ITEM_OK, INT_MAX, 1, "");
    else if (strcmp(word, "!ok, but") == 0)
        fill(info, ITEM_OK, 10, 1, "not");
    else if (strcmp(word, "!crashed") == 0)
        fill(info, ITEM_CORRUPT, 10, 1, "");
    else if (strcmp(word, "!rc") == 0)
        *status = (enum status)1000;
    else if (strcmp(word, "!balloon") == 0)
        *status = STATUS_MEMORY;
    else if (strcmp(word, "!wrong hash") == 0) {
        fill(info, ITEM_UNSUPPORTED, 0, 1, "x");
        memset(info->content_hash, 0xff, sizeof(info->content_hash));
    } else
        return false;
    return true;
}

/* Take memory as a decoder does, until it is refused. */
static void take_all_memory(void)
{
    void *volatile memory; /* volatile: not to be optimised away */

    do
        memory = malloc(BALLOON_STEP);
    while (memory != NULL);
}

enum status misbehave_or_decode(struct decoder *decoder, const uint8_t *bytes, size_t n,
                                const struct picture_options *options, uint8_t *crop,
                                struct picture_info *info)
{
    char word[32] = "";
    enum status status;

    if (poisoned)
        segv();
    if (n == 0 || n >= sizeof(word) || bytes[0] != '!')
        return decoder_decode(decoder, bytes, n, options, crop, info);
    memcpy(word, bytes, n);
    picture_info_reset(info);
    if (strcmp(word, "!balloon") == 0)
        take_all_memory();
    if (answer(word, info, &status))
        return status;
    for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++)
        if (strcmp(acts[i].word, word) == 0)
            acts[i].act();
    return decoder_decode(decoder, bytes, n, options, crop, info);
}
