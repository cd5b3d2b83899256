#include "job/watch.h"

#include "base/clock.h"

#include <errno.h>
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define WHAT_SIZE 200
#define FRAMES 64
#define STACK_WAIT_MS 500
#define NOTE_WAIT_S 10
#define GIVE_UP_S 60 /* for saying what is stuck: stderr and OUT may be stuck too */

/* What one thread is at; its own node, kept until watch_stop. */
struct activity {
    enum watch_stage stage;
    int64_t shard;
    double since_s;
    char what[WHAT_SIZE];
    pid_t thread;
    struct activity *next;
};

static struct {
    pthread_mutex_t lock; /* of all below and of every activity */
    pthread_cond_t wake;
    struct activity *first;
    bool running, stopping, expect;
    double progress_s, timeout_s;
    uint64_t io_bytes;
    double io_s; /* when io_bytes last changed */
    pthread_t thread;
    const struct run *run;
    void (*on_stall)(const struct run *run, const struct watch_stall *stall);
    pthread_t noting;
} watch = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

static _Thread_local struct activity *own;
static atomic_int n_dumped;

const char *watch_stage_name(enum watch_stage stage)
{
    static const char *const names[] = {[WATCH_NOTHING] = "rows",
#define X(upper, name, patience) [WATCH_##upper] = name,
                                        WATCH_STAGE_LIST(X)
#undef X
    };
    return names[stage];
}

static double patience(enum watch_stage stage)
{
    static const int times[] = {[WATCH_NOTHING] = 1,
#define X(upper, name, patience) [WATCH_##upper] = patience,
                                WATCH_STAGE_LIST(X)
#undef X
    };
    return times[stage] * watch.timeout_s;
}

void watch_begin(enum watch_stage stage, int64_t shard, const char *what)
{
    double now_s = clock_seconds();

    if (own == NULL) {
        struct activity *made = calloc(1, sizeof(*made));
        if (made == NULL)
            return; /* not watched; the next allocation that matters will say so */
        made->thread = (pid_t)syscall(SYS_gettid);
        pthread_mutex_lock(&watch.lock);
        made->next = watch.first;
        watch.first = made;
        pthread_mutex_unlock(&watch.lock);
        own = made;
    }
    pthread_mutex_lock(&watch.lock);
    own->stage = stage;
    own->shard = shard;
    own->since_s = now_s;
    snprintf(own->what, sizeof(own->what), "%s", what == NULL ? "" : what);
    pthread_mutex_unlock(&watch.lock);
}

void watch_end(void)
{
    if (own == NULL)
        return;
    pthread_mutex_lock(&watch.lock);
    own->stage = WATCH_NOTHING;
    pthread_mutex_unlock(&watch.lock);
}

void watch_progress(void)
{
    double now_s = clock_seconds();

    pthread_mutex_lock(&watch.lock);
    watch.progress_s = now_s;
    pthread_mutex_unlock(&watch.lock);
}

void watch_expect(bool rows)
{
    double now_s = clock_seconds();

    pthread_mutex_lock(&watch.lock);
    if (rows && !watch.expect)
        watch.progress_s = now_s;
    watch.expect = rows;
    pthread_mutex_unlock(&watch.lock);
}

struct watch_stall watch_own(void)
{
    struct watch_stall at = {.stage = WATCH_NOTHING, .shard = -1, .what = ""};

    if (own != NULL && own->stage != WATCH_NOTHING)
        at = (struct watch_stall){own->stage, own->shard, own->what, 0};
    return at;
}

void watch_write_stack(void)
{
    void *frames[FRAMES];
    int n = backtrace(frames, FRAMES);

    backtrace_symbols_fd(frames, n, STDERR_FILENO);
}

static int stack_signal(void)
{
    return SIGRTMIN + 4;
}

static void on_stack_signal(int number)
{
    int error = errno;

    (void)number;
    watch_write_stack();
    atomic_fetch_add(&n_dumped, 1);
    errno = error;
}

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* A thread that sleeps in the kernel uninterruptibly (a dead NFS server) does not answer. */
static void dump_stack(const struct activity *at)
{
    int before = atomic_load(&n_dumped);

    log_error("stack of the thread at %s %s", watch_stage_name(at->stage), at->what);
    if (syscall(SYS_tgkill, getpid(), at->thread, stack_signal()) != 0)
        return;
    for (int ms = 0; ms < STACK_WAIT_MS && atomic_load(&n_dumped) == before; ms += 10)
        sleep_ms(10);
    if (atomic_load(&n_dumped) == before)
        log_error(
            "it does not answer: it sleeps in the kernel, on a device or file system that does not either");
}

static void *note_stall(void *argument)
{
    watch.on_stall(watch.run, (const struct watch_stall *)argument);
    return NULL;
}

/* In a thread of its own: what is noted may be on the file system that hangs. */
static void note(struct watch_stall *stall)
{
    struct timespec until;

    if (watch.on_stall == NULL || pthread_create(&watch.noting, NULL, note_stall, stall) != 0)
        return;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += NOTE_WAIT_S;
    pthread_timedjoin_np(watch.noting, NULL, &until);
}

static void on_alarm(int number)
{
    (void)number;
    _exit(EXIT_RESUME);
}

/* The lock is held, and stays so: nobody shall go on. */
static void end_process(struct watch_stall *stall)
{
    signal(SIGALRM, on_alarm);
    alarm(GIVE_UP_S);
    log_set_shard(stall->shard);
    if (stall->stage == WATCH_NOTHING)
        log_error("no row has been finished for %.0f s (--stall-timeout)", stall->seconds);
    else
        log_error("stuck at %s %s for %.0f s (--stall-timeout)", watch_stage_name(stall->stage), stall->what,
                  stall->seconds);
    for (const struct activity *at = watch.first; at != NULL; at = at->next)
        if (at->stage != WATCH_NOTHING)
            dump_stack(at);
    note(stall);
    log_error("the job ends: run the same command again to go on; finished parts are kept");
    _exit(EXIT_RESUME);
}

void watch_end_job(const char *what, double seconds)
{
    struct watch_stall stall = {WATCH_CLAIM, -1, what, seconds};

    pthread_mutex_lock(&watch.lock);
    end_process(&stall);
}

/* Bytes that a thread has read and written so far. */
static uint64_t count_io(pid_t thread)
{
    unsigned long long n_read = 0, n_written = 0;
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/task/%d/io", (int)thread);
    FILE *file = fopen(path, "re");

    if (file == NULL)
        return 0;
    if (fscanf(file, "rchar: %llu wchar: %llu", &n_read, &n_written) != 2)
        n_read = 0;
    fclose(file);
    return n_read + n_written;
}

/* The lock is held. Since when has this been the same? */
static double unchanged_since(const struct activity *at, double now_s)
{
    if (at->stage != WATCH_GATHER)
        return at->since_s;
    uint64_t n = count_io(at->thread);
    if (n != watch.io_bytes) {
        watch.io_bytes = n;
        watch.io_s = now_s;
    }
    return at->since_s > watch.io_s ? at->since_s : watch.io_s;
}

/* The lock is held. */
static void look(void)
{
    double now_s = clock_seconds();
    struct watch_stall stall = {.shard = -1, .what = ""};

    for (struct activity *at = watch.first; at != NULL; at = at->next) {
        if (at->stage == WATCH_NOTHING)
            continue;
        double time_s = now_s - unchanged_since(at, now_s);
        if (time_s > patience(at->stage) && time_s > stall.seconds)
            stall = (struct watch_stall){at->stage, at->shard, at->what, time_s};
    }
    if (stall.seconds == 0 && watch.expect && now_s - watch.progress_s > patience(WATCH_NOTHING))
        stall.seconds = now_s - watch.progress_s;
    if (stall.seconds > 0)
        end_process(&stall);
}

static void *watch_main(void *unused)
{
    struct timespec until;

    (void)unused;
    pthread_mutex_lock(&watch.lock);
    while (!watch.stopping) {
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec++;
        pthread_cond_timedwait(&watch.wake, &watch.lock, &until);
        if (!watch.stopping)
            look();
    }
    pthread_mutex_unlock(&watch.lock);
    return NULL;
}

enum status watch_start(double stall_timeout_s, const struct run *run,
                        void (*on_stall)(const struct run *run, const struct watch_stall *stall))
{
    enum status rc = STATUS_OK;
    struct sigaction action = {.sa_handler = on_stack_signal, .sa_flags = SA_RESTART};
    void *frame;

    backtrace(&frame, 1); /* loads what it needs now, not in a signal handler */
    sigemptyset(&action.sa_mask);
    sigaction(stack_signal(), &action, NULL);
    watch.timeout_s = stall_timeout_s;
    watch.run = run;
    watch.on_stall = on_stall;
    watch.stopping = false;
    watch.progress_s = watch.io_s = clock_seconds();
    int error = pthread_create(&watch.thread, NULL, watch_main, NULL);
    if (error != 0)
        FAIL(STATUS_PLACE, "cannot start the thread that watches: %s", strerror(error));
    watch.running = true;
out:
    return rc;
}

void watch_stop(void)
{
    if (watch.running) {
        pthread_mutex_lock(&watch.lock);
        watch.stopping = true;
        pthread_cond_signal(&watch.wake);
        pthread_mutex_unlock(&watch.lock);
        pthread_join(watch.thread, NULL);
        watch.running = false;
    }
    while (watch.first != NULL) {
        struct activity *next = watch.first->next;
        free(watch.first);
        watch.first = next;
    }
    own = NULL;
}
