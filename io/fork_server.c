/*
 * The fork server: it waits for a request, forks or reaps, answers. It has no state but its children.
 */
#include "io/isolation_internal.h"

#include "io/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CLOSED_ONE_BY_ONE 65536

void isolation_close_from(int first)
{
    struct rlimit open_files;

    if (close_range((unsigned)first, ~0u, 0) == 0)
        return;
    /* Before Linux 5.9. */
    rlim_t end = getrlimit(RLIMIT_NOFILE, &open_files) == 0 ? open_files.rlim_cur : CLOSED_ONE_BY_ONE;
    for (int fd = first; fd < CLOSED_ONE_BY_ONE && (rlim_t)fd < end; fd++)
        close(fd);
}

/* What a terminal or a launcher sends to the whole group is the rank's to answer. Everything else as at the
 * start of a program, whatever the rank had inherited. Helpers inherit it. */
static void set_signals(void)
{
    static const int ignored[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGUSR1,
                                  SIGUSR2, SIGPIPE, SIGALRM, SIGXCPU};
    sigset_t none;

    for (int number = 1; number < 32; number++)
        signal(number, SIG_DFL);
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* /dev/null as 0, 1, 2: a launcher waits for the end of the rank's own pipes, and nothing that is opened
 * later may get the number of stderr. */
static void set_descriptors(int fd)
{
    int nothing = open("/dev/null", O_RDWR);

    for (int i = 0; nothing >= 0 && i < 3; i++)
        if (i != STDERR_FILENO || !sandbox_keeps_stderr)
            dup2(nothing, i);
    if (fd != ISOLATION_FD)
        dup2(fd, ISOLATION_FD);
    isolation_close_from(ISOLATION_FD + 1);
}

/* A request and the descriptors with it. False: the rank is gone. */
static bool receive(struct server_request *request, int fds[2])
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control;
    struct iovec text = {request, sizeof(*request)};
    struct msghdr message = {.msg_iov = &text,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    ssize_t n;

    fds[0] = fds[1] = -1;
    do
        n = recvmsg(ISOLATION_FD, &message, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    const struct cmsghdr *first = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (first != NULL && first->cmsg_type == SCM_RIGHTS && first->cmsg_len == CMSG_LEN(2 * sizeof(int)))
        memcpy(fds, CMSG_DATA(first), 2 * sizeof(int));
    return n == (ssize_t)sizeof(*request);
}

static struct server_answer spawn(const struct isolation_setup *setup, const int fds[2])
{
    struct server_answer answer = {0};
    pid_t self = getpid();

    if (fds[0] < 0 || fds[1] < 0) {
        answer.error = EMFILE; /* they did not come through */
        return answer;
    }
    answer.pid = fork();
    if (answer.pid == 0)
        decode_helper_run(setup, fds[0], fds[1], self);
    if (answer.pid < 0)
        answer.error = errno;
    return answer;
}

/* Never a stranger: waitpid knows own children alone, and an unreaped child's number is not given away. One
 * that is on its way out keeps the status it had when SIGKILL comes late. */
static struct server_answer end(pid_t pid)
{
    struct server_answer answer = {.pid = pid};
    pid_t done = waitpid(pid, &answer.wait_status, WNOHANG);

    if (done == 0) {
        kill(pid, SIGKILL);
        do
            done = waitpid(pid, &answer.wait_status, 0);
        while (done < 0 && errno == EINTR);
    }
    if (done < 0)
        answer.error = errno;
    return answer;
}

_Noreturn void fork_server_run(const struct isolation_setup *setup, int fd, pid_t rank)
{
    struct server_request request;
    int fds[2];

    set_signals();
    prctl(PR_SET_NAME, "eyesore-forks");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != rank) /* it was gone before that */
        _exit(0);
    set_descriptors(fd);
    tzset(); /* reads a file, which a helper may not */
    while (receive(&request, fds)) {
        struct server_answer answer = request.verb == SERVER_SPAWN ? spawn(setup, fds) : end(request.pid);
        for (int i = 0; i < 2; i++)
            if (fds[i] >= 0)
                close(fds[i]);
        if (send(ISOLATION_FD, &answer, sizeof(answer), MSG_NOSIGNAL) < 0)
            break;
    }
    _exit(0); /* and every helper with it */
}
