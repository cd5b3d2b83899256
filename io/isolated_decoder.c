/*
 * The client's side: one thread and its helper. What the helper answers is looked at in accept_answer alone.
 */
#include "io/isolation_internal.h"

#include "base/clock.h"
#include "io/one_core.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#define SLICE_S 0.25 /* how often a picture that takes long is looked at */
#define HELLO_PATIENCE_S 120.0
#define KEPT_BYTES ((size_t)16 << 20) /* of a file's place; the rest is given back after the picture */
#define KILLED_AT_MOST 3
#define SILENT_AT_MOST 1
#define BROKEN_AT_MOST 1

struct isolated_decoder {
    struct isolation *isolation;
    const struct isolation_setup *setup;
    int memory_fd;
    uint8_t *shared;
    /* The helper. pid 0: none; atomic for tests, which look from another thread. */
    _Atomic pid_t pid;
    int fd;
    clockid_t clock; /* of its processor time */
    uint32_t number; /* of the request */
    int core;        /* see one_core.h */
};

/* How one try at a picture ended. */
enum ending {
    ENDING_ANSWERED,
    ENDING_NO_MEMORY, /* within the helper's bound */
    ENDING_NONSENSE,
    ENDING_OVERTIME,
    ENDING_SILENT,
    ENDING_DIED
};

struct trial {
    enum ending ending;
    int wait_status; /* DIED: as of waitpid */
};

pid_t isolated_decoder_pid(const struct isolated_decoder *decoder)
{
    return decoder->pid;
}

uint8_t *isolated_decoder_crop(const struct isolated_decoder *decoder)
{
    return decoder->shared + decoder->setup->layout.crop_at;
}

static double helper_cpu_s(const struct isolated_decoder *d)
{
    struct timespec used;

    return clock_gettime(d->clock, &used) == 0 ? (double)used.tv_sec + 1e-9 * (double)used.tv_nsec : 0;
}

/* Read from the helper until something comes (its size), it is gone (0), or -1: its processor time is over
 * (overtime), or it has used none for silence_s. Time in which this process stood still itself does not count
 * for that. */
static ssize_t await(struct isolated_decoder *d, struct one_core *bound, void *bytes, size_t n,
                     double cpu_end_s, double silence_s, bool *overtime)
{
    for (double waited = 0, last = clock_seconds(), used = 0;;) {
        ssize_t got = recv(d->fd, bytes, n, 0);
        if (got >= 0)
            return got;
        if (errno != EINTR && errno != EAGAIN)
            return 0;
        one_core_free(bound, d->pid, &d->core);
        double now = clock_seconds();
        waited += now - last < 2 * SLICE_S ? now - last : 2 * SLICE_S;
        last = now;
        double cpu_s = helper_cpu_s(d);
        if (cpu_s > used) /* it moves, however slowly */
            waited = 0;
        used = cpu_s;
        *overtime = cpu_s > cpu_end_s;
        if (*overtime || waited > silence_s)
            return -1;
    }
}

/* End the helper where it still runs. OUT wait_status. */
static enum status end_helper(struct isolated_decoder *d, int *wait_status)
{
    enum status rc = STATUS_OK;
    struct server_request request = {SERVER_END, d->pid};
    struct server_answer answer;

    if (d->pid == 0)
        goto out;
    close(d->fd);
    d->fd = -1;
    d->pid = 0;
    TRY(isolation_ask(d->isolation, &request, NULL, &answer));
    if (answer.error != 0)
        FAIL(STATUS_INTERNAL, "cannot end a decode helper: %s", strerror(answer.error));
    *wait_status = answer.wait_status;
out:
    return rc;
}

static enum status check_hello(struct isolated_decoder *d)
{
    enum status rc = STATUS_OK;
    static const char *const steps[] = {
#define X(upper, text) text,
        HELPER_STEP_LIST(X)
#undef X
    };
    struct one_core unbound = {.bound = false};
    struct helper_hello hello;
    bool overtime;

    if (await(d, &unbound, &hello, sizeof(hello), HELLO_PATIENCE_S, HELLO_PATIENCE_S, &overtime) !=
        (ssize_t)sizeof(hello))
        FAIL(STATUS_PLACE, "a decode helper ended or stood still before it was ready: is this host out of "
                           "memory?");
    if (hello.error != 0)
        FAIL(STATUS_PLACE, "a decode helper cannot %s: %s: --decode-isolation off decodes without helpers",
             hello.step >= 0 && hello.step < HELPER_STEP_COUNT ? steps[hello.step] : "start",
             strerror(hello.error));
out:
    return rc;
}

static enum status start_helper(struct isolated_decoder *d)
{
    enum status rc = STATUS_OK;
    const struct timeval slice = {.tv_usec = (suseconds_t)(1e6 * SLICE_S)};
    struct server_request request = {.verb = SERVER_SPAWN};
    struct server_answer answer;
    int fds[2] = {-1, -1}, ignored;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
        FAIL(STATUS_PLACE, "cannot make a socket for a decode helper: %s", strerror(errno));
    if (setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &slice, sizeof(slice)) != 0)
        FAIL(STATUS_INTERNAL, "cannot set a time limit on a decode helper's socket: %s", strerror(errno));
    TRY(isolation_ask(d->isolation, &request, (int[]){d->memory_fd, fds[1]}, &answer));
    if (answer.error != 0)
        FAIL(STATUS_PLACE,
             "cannot start a decode helper: %s: are the limits on processes and open files (ulimit -u, -n) "
             "too "
             "low?",
             strerror(answer.error));
    d->pid = answer.pid;
    d->core = -1;
    d->fd = fds[0];
    fds[0] = -1;
    if (clock_getcpuclockid(d->pid, &d->clock) != 0)
        FAIL(STATUS_PLACE, "a decode helper ended before it was ready");
    close(fds[1]); /* first: so that its end is seen */
    fds[1] = -1;
    TRY(check_hello(d));
out:
    if (rc != STATUS_OK)
        (void)end_helper(d, &ignored);
    for (int i = 0; i < 2; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    return rc;
}

enum status isolated_decoder_open(struct isolation *isolation, struct isolated_decoder **out)
{
    enum status rc = STATUS_OK;
    const struct isolation_setup *setup = isolation_setup_of(isolation);
    size_t total = setup->layout.total;
    struct isolated_decoder *d = calloc(1, sizeof(*d));

    if (d == NULL)
        FAIL(STATUS_MEMORY, "no memory for a decoder");
    *d = (struct isolated_decoder){.isolation = isolation, .setup = setup, .fd = -1};
    d->memory_fd = memfd_create("eyesore-decode", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (d->memory_fd < 0)
        FAIL(STATUS_PLACE, "cannot make memory to share with a decode helper: %s", strerror(errno));
    /* Its size stays, so that nobody can take away pages that the other side is about to touch. */
    if (ftruncate(d->memory_fd, (off_t)total) != 0 ||
        fcntl(d->memory_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
        FAIL(STATUS_PLACE, "cannot size the memory to share with a decode helper (%zu bytes): %s", total,
             strerror(errno));
    void *shared = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, d->memory_fd, 0);
    if (shared == MAP_FAILED)
        FAIL(STATUS_PLACE, "cannot map the memory to share with a decode helper (%zu bytes): %s", total,
             strerror(errno));
    d->shared = shared;
    TRY(start_helper(d));
    *out = d;
    d = NULL;
out:
    isolated_decoder_close(d);
    return rc;
}

void isolated_decoder_close(struct isolated_decoder *d)
{
    int ignored;

    if (d == NULL)
        return;
    (void)end_helper(d, &ignored);
    if (d->shared != NULL)
        munmap(d->shared, d->setup->layout.total);
    if (d->memory_fd >= 0)
        close(d->memory_fd);
    free(d);
}

static bool is_decoders_answer(enum item_status status)
{
    return status == ITEM_OK || status == ITEM_TRUNCATED || status == ITEM_TOO_LARGE ||
           status == ITEM_UNSUPPORTED || status == ITEM_CORRUPT;
}

static bool is_scored(enum item_status status)
{
    return status == ITEM_OK || status == ITEM_TRUNCATED;
}

/* Could decoder_decode have said this? A message is text of a line. */
static bool is_plausible(const struct picture_info *info, const struct picture_options *options)
{
    const char *end = memchr(info->message, '\0', sizeof(info->message));

    if (!is_decoders_answer(info->status) || end == NULL || info->orientation < 1 || info->orientation > 8 ||
        info->width < 0 || info->height < 0 || (info->status == ITEM_OK) != (end == info->message))
        return false;
    for (const char *c = info->message; c < end; c++)
        if (*c < 0x20 || *c > 0x7e)
            return false;
    return !is_scored(info->status) ||
           (info->width > 0 && info->height > 0 &&
            (uint64_t)info->width * (uint64_t)info->height <= options->max_pixels);
}

/* The helper says that it is done. OUT crop, info but for its hash: written where it is ANSWERED. */
static enum ending accept_answer(const struct isolated_decoder *d, const struct picture_options *options,
                                 uint8_t *crop, struct picture_info *info)
{
    const struct shared_head *shared = (const struct shared_head *)(const void *)d->shared;
    struct shared_head head;
    size_t side = (size_t)options->size;

    memcpy(&head, shared, sizeof(head)); /* once: it may go on writing */
    __asm__ volatile("" ::: "memory");   /* and what is checked is the copy, not the shared memory again */
    if (head.answer_status == (int32_t)STATUS_MEMORY)
        return ENDING_NO_MEMORY;
    if (head.answer_status != (int32_t)STATUS_OK || !is_plausible(&head.answer, options))
        return ENDING_NONSENSE;
    memcpy(head.answer.content_hash, info->content_hash, sizeof(info->content_hash));
    *info = head.answer;
    if (is_scored(info->status) && crop != isolated_decoder_crop(d))
        memcpy(crop, isolated_decoder_crop(d), 3 * side * side);
    return ENDING_ANSWERED;
}

static void put_request(struct isolated_decoder *d, const uint8_t *bytes, size_t n,
                        const struct picture_options *options)
{
    struct shared_head *head = (struct shared_head *)(void *)d->shared;

    *head = (struct shared_head){.n = n, .options = *options, .answer_status = -1};
    if (n > 0)
        memcpy(d->shared + d->setup->layout.file_at, bytes, n);
}

static void hash_file(const uint8_t *bytes, size_t n, struct picture_info *info)
{
    XXH128_canonical_t hash;

    XXH128_canonicalFromHash(&hash, XXH3_128bits(bytes, n));
    memcpy(info->content_hash, hash.digest, sizeof(info->content_hash));
}

/* One try at the picture. A helper that is not fit for the next one is gone afterwards. */
static enum status try_picture(struct isolated_decoder *d, const uint8_t *bytes, size_t n,
                               const struct picture_options *options, uint8_t *crop,
                               struct picture_info *info, struct trial *trial)
{
    enum status rc = STATUS_OK;
    uint32_t number = ++d->number, answer = 0;
    bool overtime = false;
    ssize_t got = 0;

    put_request(d, bytes, n, options);
    double cpu_end_s = helper_cpu_s(d) + d->setup->options.cpu_timeout_s;
    struct one_core bound = one_core_bind(d->pid, &d->core);
    bool sent = send(d->fd, &number, sizeof(number), MSG_NOSIGNAL) == (ssize_t)sizeof(number);
    hash_file(bytes, n, info); /* while the helper is at work */
    if (sent)
        got = await(d, &bound, &answer, sizeof(answer), cpu_end_s, d->setup->silence_s, &overtime);
    one_core_leave(&bound);
    if (got < 0)
        trial->ending = overtime ? ENDING_OVERTIME : ENDING_SILENT;
    else if (got == 0)
        trial->ending = ENDING_DIED;
    else if (got != (ssize_t)sizeof(answer) || answer != number)
        trial->ending = ENDING_NONSENSE;
    else
        trial->ending = accept_answer(d, options, crop, info);
    if (trial->ending != ENDING_ANSWERED) {
        isolation_count_replaced(d->isolation);
        TRY(end_helper(d, &trial->wait_status));
    }
out:
    return rc;
}

/* Was it killed from outside? A fault of its own ends in a signal of the processor's, libc's or seccomp's, or
 * in an exit that nobody asked for. */
static bool killed_by_others(int wait_status)
{
    static const int own[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGTRAP};

    if (!WIFSIGNALED(wait_status))
        return false;
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        if (WTERMSIG(wait_status) == own[i])
            return false;
    return true;
}

static void blame_picture(const struct isolated_decoder *d, const struct trial *trial,
                          struct picture_info *info)
{
    const struct isolation_options *o = &d->setup->options;
    int number = WTERMSIG(trial->wait_status);

    switch (trial->ending) {
    case ENDING_NO_MEMORY:
        picture_fault(info, ITEM_DECODER_CRASHED, "decoding it takes more than %" PRIu64 " MiB of memory",
                      o->memory_bytes >> 20);
        break;
    case ENDING_NONSENSE:
        picture_fault(info, ITEM_DECODER_CRASHED, "its decoder answered what no decoder would");
        break;
    case ENDING_OVERTIME:
        picture_fault(info, ITEM_DECODER_TIMEOUT, "decoding it took more than %u s of processor time",
                      o->cpu_timeout_s);
        break;
    case ENDING_DIED:
        if (!WIFSIGNALED(trial->wait_status))
            picture_fault(info, ITEM_DECODER_CRASHED, "its decoder ended itself with exit code %d",
                          WEXITSTATUS(trial->wait_status));
        else if (number == SIGSYS)
            picture_fault(info, ITEM_DECODER_CRASHED,
                          "its decoder made a system call that it has no need of and was ended by SIGSYS");
        else
            picture_fault(info, ITEM_DECODER_CRASHED, "its decoder was ended by SIG%s (%s)",
                          sigabbrev_np(number), sigdescr_np(number));
        break;
    case ENDING_ANSWERED:
    case ENDING_SILENT:
        break;
    }
}

/* How often each kind of ending happened to the picture in hand. */
struct tries {
    int broken, killed, silent;
};

/* OUT again: the picture is to be tried in a fresh helper. STATUS_PLACE: the fault is not the picture's. */
static enum status judge(const struct isolated_decoder *d, const struct trial *trial, struct tries *tries,
                         bool *again, struct picture_info *info)
{
    enum status rc = STATUS_OK;

    if (trial->ending == ENDING_DIED && killed_by_others(trial->wait_status)) {
        *again = ++tries->killed <= KILLED_AT_MOST;
        if (!*again)
            FAIL(STATUS_PLACE,
                 "decode helpers were killed by signal %d %d times in a row: is this host out of memory? "
                 "Fewer "
                 "--threads or a smaller --max-pixels need less",
                 WTERMSIG(trial->wait_status), tries->killed);
    } else if (trial->ending == ENDING_SILENT) {
        *again = ++tries->silent <= SILENT_AT_MOST;
        if (!*again)
            FAIL(STATUS_PLACE,
                 "decode helpers give no answer and use no processor time: is this host overloaded or "
                 "swapping?");
    } else {
        /* A helper may have been hurt by the picture before: only a fresh one can convict. */
        *again = trial->ending != ENDING_OVERTIME && ++tries->broken <= BROKEN_AT_MOST;
        if (!*again)
            blame_picture(d, trial, info);
    }
out:
    return rc;
}

static enum status check_request(const struct isolated_decoder *d, size_t n,
                                 const struct picture_options *options)
{
    enum status rc = STATUS_OK;
    const struct isolation_options *o = &d->setup->options;

    if (options->resize < 1 || options->resize > PICTURE_SIDE_LIMIT || options->size < 1 ||
        options->size > PICTURE_SIDE_LIMIT)
        FAIL(STATUS_INPUT, "resize %d, size %d: expected 1 to %d pixels", options->resize, options->size,
             PICTURE_SIDE_LIMIT);
    if (n > o->max_bytes || options->size > o->crop_side || options->max_pixels > o->max_pixels)
        FAIL(STATUS_INPUT,
             "%zu bytes, size %d, at most %" PRIu64 " pixels: the decode helpers were started for %" PRIu64
             ", %d and %" PRIu64,
             n, options->size, options->max_pixels, o->max_bytes, o->crop_side, o->max_pixels);
out:
    return rc;
}

enum status isolated_decoder_decode(struct isolated_decoder *d, const uint8_t *bytes, size_t n,
                                    const struct picture_options *options, uint8_t *crop,
                                    struct picture_info *info)
{
    enum status rc = STATUS_OK;
    struct trial trial = {0};
    struct tries tries = {0};
    bool again = false;

    picture_info_reset(info);
    TRY(check_request(d, n, options));
    do {
        again = false;
        if (d->pid == 0)
            TRY(start_helper(d));
        TRY(try_picture(d, bytes, n, options, crop, info, &trial));
        if (trial.ending != ENDING_ANSWERED)
            TRY(judge(d, &trial, &tries, &again, info));
    } while (again);
    if (n > KEPT_BYTES)
        (void)madvise(d->shared + d->setup->layout.file_at + KEPT_BYTES, n - KEPT_BYTES, MADV_REMOVE);
out:
    return rc;
}
