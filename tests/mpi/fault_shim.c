/*
 * For LD_PRELOAD: calls for the files with $EYESORE_FAULT_PATH in their path fail with $EYESORE_FAULT_ERRNO
 * (a number), as on a storage that is failing. $EYESORE_FAULT_CALL says which: "open", "read" or "write".
 * Instead of a number: "hang", the call never returns; "crash", it ends in SIGSEGV. $EYESORE_FAULT_RANK: only
 * on that rank.
 *
 * It stands in for storage that cannot be broken on request; the program under test is the real one.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

int open(const char *path, int flags, ...);
int open64(const char *path, int flags, ...);
long syscall(long number, ...);
ssize_t read(int fd, void *bytes, size_t n);
ssize_t pread(int fd, void *bytes, size_t n, off_t offset);
ssize_t pread64(int fd, void *bytes, size_t n, off64_t offset);
ssize_t write(int fd, const void *bytes, size_t n);
ssize_t pwrite(int fd, const void *bytes, size_t n, off_t offset);
ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t offset);
int posix_fallocate(int fd, off_t offset, off_t n);
int posix_fallocate64(int fd, off64_t offset, off64_t n);

static bool is_faulty(const char *call, const char *path)
{
    const char *where = getenv("EYESORE_FAULT_CALL"), *part = getenv("EYESORE_FAULT_PATH");
    const char *rank = getenv("EYESORE_FAULT_RANK"), *own = getenv("OMPI_COMM_WORLD_RANK");

    if (rank != NULL && (own == NULL || strcmp(rank, own) != 0))
        return false;
    return where != NULL && part != NULL && strcmp(where, call) == 0 && strstr(path, part) != NULL;
}

static bool is_faulty_fd(const char *call, int fd)
{
    char link[64], path[PATH_MAX];

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof(path) - 1);
    if (n < 0)
        return false;
    path[n] = '\0';
    return is_faulty(call, path);
}

static int fault(void)
{
    const char *what = getenv("EYESORE_FAULT_ERRNO");

    while (strcmp(what, "hang") == 0)
        pause();
    if (strcmp(what, "crash") == 0)
        raise(SIGSEGV);
    errno = (int)strtol(what, NULL, 10);
    return -1;
}

/* The library's own function of this name. POSIX says that a function's address may come out of dlsym. */
#define NEXT(name)                                                                                           \
    __typeof__(&name) next = NULL;                                                                           \
    *(void **)&next = dlsym(RTLD_NEXT, #name)

static mode_t mode_of(int flags, va_list list)
{
    return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(list, mode_t) : 0;
}

int open(const char *path, int flags, ...)
{
    va_list list;

    NEXT(open);
    va_start(list, flags);
    mode_t mode = mode_of(flags, list);
    va_end(list);
    return is_faulty("open", path) ? fault() : next(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list list;

    NEXT(open64);
    va_start(list, flags);
    mode_t mode = mode_of(flags, list);
    va_end(list);
    return is_faulty("open", path) ? fault() : next(path, flags, mode);
}

#define OPENAT2 437 /* which has no function in the library */

long syscall(long number, ...)
{
    long argument[6];
    va_list list;

    NEXT(syscall);
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        argument[i] = va_arg(list, long);
    va_end(list);
    if (number == OPENAT2) {
        const char *path;
        memcpy(&path, &argument[1], sizeof(path));
        if (is_faulty("open", path))
            return fault();
    }
    return next(number, argument[0], argument[1], argument[2], argument[3], argument[4], argument[5]);
}

ssize_t read(int fd, void *bytes, size_t n)
{
    NEXT(read);
    return is_faulty_fd("read", fd) ? fault() : next(fd, bytes, n);
}

ssize_t pread(int fd, void *bytes, size_t n, off_t offset)
{
    NEXT(pread);
    return is_faulty_fd("read", fd) ? fault() : next(fd, bytes, n, offset);
}

ssize_t pread64(int fd, void *bytes, size_t n, off64_t offset)
{
    NEXT(pread64);
    return is_faulty_fd("read", fd) ? fault() : next(fd, bytes, n, offset);
}

ssize_t write(int fd, const void *bytes, size_t n)
{
    NEXT(write);
    return is_faulty_fd("write", fd) ? fault() : next(fd, bytes, n);
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t offset)
{
    NEXT(pwrite);
    return is_faulty_fd("write", fd) ? fault() : next(fd, bytes, n, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t offset)
{
    NEXT(pwrite64);
    return is_faulty_fd("write", fd) ? fault() : next(fd, bytes, n, offset);
}

int posix_fallocate(int fd, off_t offset, off_t n)
{
    NEXT(posix_fallocate);
    return is_faulty_fd("write", fd) ? -fault() * errno : next(fd, offset, n);
}

int posix_fallocate64(int fd, off64_t offset, off64_t n)
{
    NEXT(posix_fallocate64);
    return is_faulty_fd("write", fd) ? -fault() * errno : next(fd, offset, n);
}
