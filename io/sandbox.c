#include "io/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static int limit(int resource, uint64_t value)
{
    struct rlimit both = {value, value};

    return setrlimit((__rlimit_resource_t)resource, &both) == 0 ? 0 : errno;
}

/* The address space in use. 0 where it cannot be told. */
static uint64_t mapped_bytes(void)
{
    char text[64] = "";
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return 0;
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    close(fd);
    return n <= 0 ? 0 : strtoull(text, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Better a helper, whose picture is decoded again, than a rank with its shards. A wish: it may be refused. */
static void go_first(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    (void)!pwrite(fd, "800", 3, 0);
    close(fd);
}

int sandbox_limit(uint64_t memory_bytes)
{
    uint64_t mapped = mapped_bytes();
    int error = 0;

    go_first();
    if (sandbox_limits_memory)
        error = mapped == 0 ? EIO : limit(RLIMIT_AS, mapped + memory_bytes);
    if (error == 0)
        error = limit(RLIMIT_CORE, 0);
    if (error == 0)
        error = limit(RLIMIT_FSIZE, 0);
    if (error == 0)
        error = limit(RLIMIT_NOFILE, 0);
    if (error == 0 && prctl(PR_SET_DUMPABLE, 0) != 0)
        error = errno;
    return error;
}

/* Calls with arguments that matter. 0, or a negative errno, as libseccomp has it. */
static int allow_with_arguments(scmp_filter_ctx filter, int fd)
{
    static const int mapping[] = {SCMP_SYS(mmap), SCMP_SYS(mprotect)};
    const scmp_datum_t own_pid = (scmp_datum_t)getpid();
    int error = 0;

    for (size_t i = 0; i < sizeof(mapping) / sizeof(mapping[0]) && error == 0; i++) /* never executable */
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, mapping[i], 1,
                                 SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    if (error == 0)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(recvfrom), 1,
                                 SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)fd, 0));
    if (error == 0)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(sendto), 2,
                                 SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)fd, 0), SCMP_A4(SCMP_CMP_EQ, 0, 0));
    /* abort(): it says why on stderr and raises SIGABRT in itself; then the row can name that signal. */
    if (error == 0)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 2,
                                 SCMP_A0(SCMP_CMP_EQ, own_pid, 0), SCMP_A2(SCMP_CMP_EQ, SIGABRT, 0));
    if (error == 0)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(write), 1,
                                 SCMP_A0(SCMP_CMP_EQ, STDERR_FILENO, 0));
    if (error == 0)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(writev), 1,
                                 SCMP_A0(SCMP_CMP_EQ, STDERR_FILENO, 0));
    return error;
}

int sandbox_load_filter(int fd)
{
    static const int plain[] = {
        SCMP_SYS(munmap),        SCMP_SYS(mremap),          SCMP_SYS(brk),    SCMP_SYS(madvise),
        SCMP_SYS(futex),         SCMP_SYS(exit_group),      SCMP_SYS(exit),   SCMP_SYS(rt_sigprocmask),
        SCMP_SYS(clock_gettime), SCMP_SYS(restart_syscall), SCMP_SYS(getpid), SCMP_SYS(gettid),
        SCMP_SYS(getrandom),     SCMP_SYS(rt_sigreturn),
    };
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    int error = filter == NULL ? -ENOMEM : 0;

    /* Against speculative reads of its own process there is nothing here to protect, and on kernels before
     * 5.16 the filter would switch on a protection that slows decoding. A wish. */
    if (error == 0)
        (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]) && error == 0; i++)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, plain[i], 0);
    if (error == 0)
        error = allow_with_arguments(filter, fd);
    for (size_t i = 0; sandbox_further_calls[i] != -1 && error == 0; i++)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, sandbox_further_calls[i], 0);
    if (error == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        error = -errno;
    if (error == 0)
        error = seccomp_load(filter);
    if (filter != NULL)
        seccomp_release(filter);
    return -error;
}
