#include "job/crash.h"

#include "base/file.h"
#include "job/attempts.h"
#include "job/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NOTE_WITHIN_S 10

static const int caught[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

#define N_CAUGHT (sizeof(caught) / sizeof(caught[0]))

/* A handler reaches nothing but what is ready here. */
static struct {
    char path[RUN_PATH_SIZE];
    char origin[320]; /* "rank=0 host=n1 device=\"\"" */
    struct sigaction before[N_CAUGHT];
} crash;

static const char *name_of(int number)
{
    const char *name = sigabbrev_np(number);
    return name == NULL ? "?" : name;
}

/* snprintf and gmtime_r are not promised to work in a handler, but this process is lost anyway: at worst the
 * alarm ends it. */
static void note(int number)
{
    struct watch_stall at = watch_own();
    char line[1024], when[32], what[256];
    struct tm utc;
    time_t now = time(NULL);
    size_t n = 0;

    for (const char *c = at.what; *c != '\0' && n + 1 < sizeof(what); c++)
        what[n++] = *c == '"' || (unsigned char)*c < ' ' ? '?' : *c;
    what[n] = '\0';
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    snprintf(line, sizeof(line),
             "time=%s event=%s %s detail=\"shard=%lld cause=crash signal=%s stage=%s what=%s\"\n", when,
             at.shard >= 0 ? "shard_failed" : "crashed", crash.origin, (long long)at.shard, name_of(number),
             watch_stage_name(at.stage), what);
    int fd = open(crash.path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd >= 0 && write(fd, line, strlen(line)) > 0)
        fsync(fd);
    if (write(STDERR_FILENO, line, strlen(line)) > 0)
        watch_write_stack();
}

static void on_crash(int number, siginfo_t *info, void *context)
{
    (void)context;
    for (size_t i = 0; i < N_CAUGHT; i++) /* a second fault, in here, is not to come back */
        sigaction(caught[i], &crash.before[i], NULL);
    signal(SIGALRM, SIG_DFL);
    alarm(NOTE_WITHIN_S);
    note(number);
    alarm(0);
    if (info->si_code <= 0 || number == SIGABRT) /* sent, not met by an instruction that is now repeated */
        raise(number);
}

enum status crash_install(const struct run *run)
{
    enum status rc = STATUS_OK;
    struct sigaction action = {.sa_sigaction = on_crash, .sa_flags = SA_SIGINFO};
    char host[256] = "?";

    TRY(attempts_path(run, crash.path));
    gethostname(host, sizeof(host) - 1);
    snprintf(crash.origin, sizeof(crash.origin), "rank=%d host=%s device=\"\"", run->comm.rank, host);
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < N_CAUGHT; i++)
        if (sigaction(caught[i], &action, &crash.before[i]) != 0)
            FAIL(STATUS_INTERNAL, "cannot catch signal %d: %s", caught[i], strerror(errno));
out:
    return rc;
}
