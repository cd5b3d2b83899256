#include "job/output_lock.h"

#include "base/clock.h"
#include "base/file.h"
#include "job/run.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TEXT_SIZE 1024
#define TAKE_TRIES 5

/* What a lock says. */
struct holder {
    char host[256], job[64], since[32], token[OUTPUT_LOCK_TOKEN_SIZE];
    long pid, restart;
    unsigned long long start, space; /* of the process: when it began, and the namespace of its pid */
};

/* Rank 0's. */
struct output_lock {
    char path[RUN_PATH_SIZE], text[TEXT_SIZE];
    pthread_t toucher;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping;
};

static bool parse(const char *text, struct holder *out)
{
    *out = (struct holder){.pid = 0};
    return sscanf(
               text,
               "host=%255s pid=%ld start=%llu space=%llu job=%63s restart=%ld since=%31s token=%32[0-9a-f]",
               out->host, &out->pid, &out->start, &out->space, out->job, &out->restart, out->since,
               out->token) == 8;
}

/* When a process began, in the kernel's ticks; 0: there is none. */
static unsigned long long process_start(long pid)
{
    char path[64], text[1024];
    unsigned long long start = 0;

    snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    size_t n = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[n] = '\0';
    const char *after = strrchr(text, ')'); /* the command's name may hold anything */
    if (after == NULL || sscanf(after,
                                ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
                                "%*d %llu",
                                &start) != 1)
        return 0;
    return start;
}

static unsigned long long pid_space(void)
{
    struct stat st;
    return stat("/proc/self/ns/pid", &st) == 0 ? (unsigned long long)st.st_ino : 0;
}

static const char *own_job(void)
{
    const char *job = getenv("SLURM_JOB_ID");
    return job == NULL || job[0] == '\0' ? "-" : job;
}

static long own_restart(void)
{
    const char *count = getenv("SLURM_RESTART_COUNT");
    return count == NULL ? 0 : strtol(count, NULL, 10);
}

static enum status describe_own(char token[OUTPUT_LOCK_TOKEN_SIZE], char text[TEXT_SIZE])
{
    enum status rc = STATUS_OK;
    uint64_t random[2];
    char host[256] = "?", since[32];
    struct tm utc;
    time_t now = time(NULL);

    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        FAIL(STATUS_INTERNAL, "getrandom: %s", strerror(errno));
    snprintf(token, OUTPUT_LOCK_TOKEN_SIZE, "%016llx%016llx", (unsigned long long)random[0],
             (unsigned long long)random[1]);
    gethostname(host, sizeof(host) - 1);
    strftime(since, sizeof(since), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    snprintf(text, TEXT_SIZE,
             "host=%s pid=%ld start=%llu space=%llu job=%.63s restart=%ld since=%s token=%s\n", host,
             (long)getpid(), process_start(getpid()), pid_space(), own_job(), own_restart(), since, token);
out:
    return rc;
}

/* OUT there: is there a lock? OUT text: what it says, cut. */
static enum status read_lock(const char *path, bool *there, char text[TEXT_SIZE])
{
    enum status rc = STATUS_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    ssize_t n = 0;

    *there = fd >= 0;
    if (fd < 0 && errno != ENOENT)
        FAIL(STATUS_PLACE, "%s: %s", path, strerror(errno));
    if (fd >= 0)
        n = read(fd, text, TEXT_SIZE - 1);
    if (n < 0)
        FAIL(STATUS_PLACE, "%s: cannot read: %s", path, strerror(errno));
    text[n] = '\0';
out:
    if (fd >= 0)
        close(fd);
    return rc;
}

/* A holder of which we know that it is gone. */
static bool is_gone(const struct holder *holder)
{
    char host[256] = "";

    gethostname(host, sizeof(host) - 1);
    if (strcmp(holder->host, host) == 0 && holder->space == pid_space() && holder->pid > 0)
        return process_start(holder->pid) != holder->start;
    return strcmp(holder->job, "-") != 0 && strcmp(holder->job, own_job()) == 0 &&
           holder->restart < own_restart();
}

/* When it was last touched, freshly from the server: opening revalidates what NFS has cached. */
static bool touch_time(const char *path, struct timespec *when)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    bool got = fd >= 0 && fstat(fd, &st) == 0;

    if (got)
        *when = st.st_mtim;
    if (fd >= 0)
        close(fd);
    return got;
}

/* Watch whether anybody touches it. OUT there: false where it vanishes meanwhile: then it is free. */
static bool is_touched(const char *path, bool *there)
{
    struct timespec first, now;
    double until_s = clock_seconds() + OUTPUT_LOCK_PATIENCE_S;

    log_info("%s is there: watching for %d s whether its job lives", path, OUTPUT_LOCK_PATIENCE_S);
    *there = touch_time(path, &first);
    while (*there && clock_seconds() < until_s) {
        nanosleep(&(struct timespec){.tv_nsec = 250000000}, NULL);
        *there = touch_time(path, &now);
        if (*there && (now.tv_sec != first.tv_sec || now.tv_nsec != first.tv_nsec))
            return true;
    }
    return false;
}

/* Move a stale lock out of the way, unless it is no longer the one that was found stale. */
static enum status remove_stale(const char *path, const char *stale_text, const struct holder *holder)
{
    enum status rc = STATUS_OK;
    char aside[RUN_PATH_SIZE + 32], text[TEXT_SIZE];
    bool there;

    log_info("%s: left behind by process %ld on host %s (job %s), which is gone: taken over", path,
             holder->pid, holder->host, holder->job);
    TRY(file_temp_name(path, aside, sizeof(aside)));
    if (rename(path, aside) != 0) {
        if (errno == ENOENT)
            goto out;
        FAIL(STATUS_PLACE, "%s: cannot move the stale lock away: %s", path, strerror(errno));
    }
    TRY(read_lock(aside, &there, text));
    if (there && strcmp(text, stale_text) != 0 && link(aside, path) != 0 && errno != EEXIST)
        FAIL(STATUS_PLACE, "%s: cannot put another job's lock back: %s", path, strerror(errno));
    unlink(aside);
out:
    return rc;
}

/* One try. OUT taken. */
static enum status try_to_take(const char *path, const char *own_text, bool *taken)
{
    enum status rc = STATUS_OK;
    char text[TEXT_SIZE];
    struct holder holder;
    bool there;

    TRY(read_lock(path, &there, text));
    if (there) {
        bool known = parse(text, &holder);
        if (!(known && is_gone(&holder)) && is_touched(path, &there)) {
            if (!known)
                FAIL(STATUS_MISMATCH,
                     "%s: another job holds this output (its lock cannot be read): wait for it, "
                     "or give another --out",
                     path);
            FAIL(
                STATUS_MISMATCH,
                "%s: held by process %ld on host %s (Slurm job %s) since %s: wait for it or stop it, or give "
                "another --out",
                path, holder.pid, holder.host, holder.job, holder.since);
        }
        if (there)
            TRY(remove_stale(path, text, &holder));
    }
    TRY(file_write_new(path, own_text, strlen(own_text), taken));
out:
    return rc;
}

/* Somebody may have removed it by mistake: then it is made again, unless another job has. */
static void touch(const struct output_lock *lock)
{
    bool made;

    if (utimensat(AT_FDCWD, lock->path, NULL, 0) != 0 && errno == ENOENT &&
        file_write_new(lock->path, lock->text, strlen(lock->text), &made) == STATUS_OK && made)
        log_warn("%s was removed: it is made again", lock->path);
}

static void *touch_main(void *argument)
{
    struct output_lock *lock = argument;
    struct timespec until;

    pthread_mutex_lock(&lock->lock);
    while (!lock->stopping) {
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += OUTPUT_LOCK_TOUCH_S;
        pthread_cond_timedwait(&lock->wake, &lock->lock, &until);
        if (!lock->stopping)
            touch(lock);
    }
    pthread_mutex_unlock(&lock->lock);
    return NULL;
}

static void free_lock(struct output_lock *lock)
{
    if (lock == NULL)
        return;
    pthread_cond_destroy(&lock->wake);
    pthread_mutex_destroy(&lock->lock);
    free(lock);
}

/* On rank 0. */
static enum status take(struct run *run)
{
    enum status rc = STATUS_OK;
    bool taken = false;
    struct output_lock *lock = calloc(1, sizeof(*lock));

    if (lock == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    pthread_mutex_init(&lock->lock, NULL);
    pthread_cond_init(&lock->wake, NULL);
    TRY(file_make_folders(run->options->out));
    TRY(run_path(run, "lock", lock->path));
    TRY(describe_own(run->lock_token, lock->text));
    for (int i = 0; i < TAKE_TRIES && !taken; i++)
        TRY(try_to_take(lock->path, lock->text, &taken));
    if (!taken)
        FAIL(STATUS_MISMATCH, "%s: other jobs are after this output as well: start one of them", lock->path);
    int error = pthread_create(&lock->toucher, NULL, touch_main, lock);
    if (error != 0) {
        unlink(lock->path);
        FAIL(STATUS_PLACE, "cannot start the thread that keeps the lock: %s", strerror(error));
    }
    run->lock = lock;
    lock = NULL;
out:
    free_lock(lock);
    return rc;
}

enum status output_lock_take(struct run *run)
{
    enum status rc = STATUS_OK;

    TRY_TOGETHER(&run->comm, run->comm.rank == 0 ? take(run) : STATUS_OK);
    TRY(comm_broadcast(&run->comm, run->lock_token, sizeof(run->lock_token)));
out:
    return rc;
}

enum status output_lock_check(const struct run *run)
{
    enum status rc = STATUS_OK;
    char path[RUN_PATH_SIZE], text[TEXT_SIZE];
    struct holder holder;
    bool there;

    TRY(run_path(run, "lock", path));
    TRY(read_lock(path, &there, text));
    if (there && (!parse(text, &holder) || strcmp(holder.token, run->lock_token) != 0))
        FAIL(STATUS_MISMATCH,
             "%s: taken over by process %ld on host %s (Slurm job %s) since %s, while this job was cut off: "
             "it "
             "leaves",
             path, holder.pid, holder.host, holder.job, holder.since);
out:
    return rc;
}

void output_lock_release(struct run *run)
{
    struct output_lock *lock = run->lock;

    if (lock == NULL)
        return;
    pthread_mutex_lock(&lock->lock);
    lock->stopping = true;
    pthread_cond_signal(&lock->wake);
    pthread_mutex_unlock(&lock->lock);
    pthread_join(lock->toucher, NULL);
    if (output_lock_check(run) == STATUS_OK)
        unlink(lock->path);
    free_lock(lock);
    run->lock = NULL;
}
