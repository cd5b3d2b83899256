#include "io/isolation_internal.h"

#include "base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB ((uint64_t)1 << 20)
#define PAGE_BYTES ((size_t)65536) /* a multiple of every page size in use */
#define SERVER_PATIENCE_S 120.0    /* a fork, or a helper's end, even on a host that swaps */
#define SLICE_S 1.0
#define SILENCE_FACTOR 10.0 /* of the time limit */
#define SILENCE_LEAST_S 120.0

struct isolation {
    struct isolation_setup setup;
    pid_t server;
    int fd;
    pthread_mutex_t lock; /* of the conversation with the server */
    bool broken;          /* the server is gone or out of step */
    atomic_uint_fast64_t n_replaced;
};

uint64_t isolation_memory_bytes(uint64_t max_pixels)
{
    uint64_t by_pixels = 10 * max_pixels, progressive = 400 * MIB;

    return (by_pixels > progressive ? by_pixels : progressive) + 256 * MIB;
}

static double silence_of(unsigned cpu_timeout_s)
{
    double by_limit = SILENCE_FACTOR * cpu_timeout_s;

    return by_limit > SILENCE_LEAST_S ? by_limit : SILENCE_LEAST_S;
}

static size_t round_up(size_t n)
{
    return (n + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

struct shared_layout shared_layout_of(const struct isolation_options *options)
{
    size_t side = (size_t)options->crop_side;
    struct shared_layout layout = {.crop_at = round_up(sizeof(struct shared_head))};

    layout.file_at = layout.crop_at + round_up(3 * side * side);
    layout.total = layout.file_at + round_up((size_t)options->max_bytes);
    return layout;
}

const struct isolation_setup *isolation_setup_of(const struct isolation *isolation)
{
    return &isolation->setup;
}

void isolation_count_replaced(struct isolation *isolation)
{
    atomic_fetch_add(&isolation->n_replaced, 1);
}

uint64_t isolation_replaced(const struct isolation *isolation)
{
    return isolation == NULL ? 0 : atomic_load(&isolation->n_replaced);
}

pid_t isolation_server_pid(const struct isolation *isolation)
{
    return isolation->server;
}

static enum status check_options(const struct isolation_options *options)
{
    enum status rc = STATUS_OK;

    if (options->max_bytes < 1 || options->max_bytes > SIZE_MAX / 4 || options->crop_side < 1 ||
        options->crop_side > PICTURE_SIDE_LIMIT || options->cpu_timeout_s < 1 || options->max_pixels < 1)
        FAIL(STATUS_INTERNAL,
             "isolation: max_bytes %" PRIu64 ", crop_side %d, cpu_timeout_s %u, max_pixels %" PRIu64
             ": out of range",
             options->max_bytes, options->crop_side, options->cpu_timeout_s, options->max_pixels);
out:
    return rc;
}

/* Fork the server. In it, this does not return. */
static enum status fork_server(struct isolation *isolation)
{
    enum status rc = STATUS_OK;
    const struct timeval slice = {.tv_sec = (time_t)SLICE_S};
    pid_t self = getpid();
    int fds[2] = {-1, -1};

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
        FAIL(STATUS_PLACE, "cannot make a socket for the decoders' fork server: %s", strerror(errno));
    isolation->server = fork();
    if (isolation->server == 0)
        fork_server_run(&isolation->setup, fds[1], self);
    if (isolation->server < 0)
        FAIL(STATUS_PLACE,
             "cannot fork the decoders' fork server: %s: is the limit on processes (ulimit -u) "
             "too low?",
             strerror(errno));
    if (setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &slice, sizeof(slice)) != 0)
        FAIL(STATUS_INTERNAL, "cannot set a time limit on the fork server's socket: %s", strerror(errno));
    isolation->fd = fds[0];
    fds[0] = -1;
out:
    for (int i = 0; i < 2; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    return rc;
}

enum status isolation_start_with(const struct isolation_options *options, isolation_decode *decode,
                                 double silence_s, struct isolation **out)
{
    enum status rc = STATUS_OK;
    struct isolation *isolation = calloc(1, sizeof(*isolation));

    if (isolation == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    isolation->fd = -1;
    isolation->server = -1;
    pthread_mutex_init(&isolation->lock, NULL);
    TRY(check_options(options));
    isolation->setup.options = *options;
    if (options->memory_bytes == 0)
        isolation->setup.options.memory_bytes = isolation_memory_bytes(options->max_pixels);
    isolation->setup.layout = shared_layout_of(options);
    isolation->setup.decode = decode;
    isolation->setup.silence_s = silence_s > 0 ? silence_s : silence_of(options->cpu_timeout_s);
    TRY(fork_server(isolation));
    *out = isolation;
    isolation = NULL;
out:
    isolation_stop(isolation);
    return rc;
}

enum status isolation_start(const struct isolation_options *options, struct isolation **out)
{
    return isolation_start_with(options, decoder_decode, 0, out);
}

void isolation_stop(struct isolation *isolation)
{
    if (isolation == NULL)
        return;
    if (isolation->fd >= 0)
        close(isolation->fd);
    if (isolation->server > 0) {
        kill(isolation->server, SIGKILL); /* its helpers are closed; it may be stopped, and holds nothing */
        while (waitpid(isolation->server, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    pthread_mutex_destroy(&isolation->lock);
    free(isolation);
}

static bool send_request(int fd, const struct server_request *request, const int *fds)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control = {0};
    struct server_request sent = *request;
    struct iovec text = {&sent, sizeof(sent)};
    struct msghdr message = {.msg_iov = &text, .msg_iovlen = 1};
    ssize_t n;

    if (fds != NULL) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof(control.bytes);
        struct cmsghdr *first = CMSG_FIRSTHDR(&message);
        first->cmsg_level = SOL_SOCKET;
        first->cmsg_type = SCM_RIGHTS;
        first->cmsg_len = CMSG_LEN(2 * sizeof(int));
        memcpy(CMSG_DATA(first), fds, 2 * sizeof(int));
    }
    do
        n = sendmsg(fd, &message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof(sent);
}

/* A slice counts for what it is: time in which this process stood still as well (a suspended job) does not.
 */
static bool receive_answer(int fd, struct server_answer *answer)
{
    for (double waited = 0, last = clock_seconds(); waited < SERVER_PATIENCE_S;) {
        ssize_t n = recv(fd, answer, sizeof(*answer), 0);
        if (n == (ssize_t)sizeof(*answer))
            return true;
        if (n >= 0 || (errno != EINTR && errno != EAGAIN))
            return false;
        double now = clock_seconds();
        waited += now - last < 2 * SLICE_S ? now - last : 2 * SLICE_S;
        last = now;
    }
    return false;
}

enum status isolation_ask(struct isolation *isolation, const struct server_request *request, const int *fds,
                          struct server_answer *answer)
{
    enum status rc = STATUS_OK;

    pthread_mutex_lock(&isolation->lock);
    bool broken_before = isolation->broken;
    isolation->broken =
        broken_before || !send_request(isolation->fd, request, fds) || !receive_answer(isolation->fd, answer);
    bool broken = isolation->broken;
    pthread_mutex_unlock(&isolation->lock);
    if (broken && !broken_before)
        FAIL(STATUS_PLACE,
             "the decoders' fork server (process %d) is gone or does not answer: somebody or the host's "
             "out-of-memory killer ended it; no picture can be decoded any more: run the same command again",
             (int)isolation->server);
    rc = broken ? STATUS_PLACE : STATUS_OK;
out:
    return rc;
}
