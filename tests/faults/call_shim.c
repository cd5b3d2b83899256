/*
 * For LD_PRELOAD: the $FAULT_AT-th call of one kind fails, once, with $FAULT_ERRNO (a number).
 *
 * FAULT_CALL: what fails. write, close, fsync, rename, open, mkdir, link are counted where the file is below
 * one of $FAULT_PATHS (prefixes with ':' between them); close: of files open for writing, whose second half
 * is lost with it, as on a network file system that tells only then. mmap, fork, thread, malloc are counted
 * where the program itself calls, not one of its libraries.
 *
 * FAULT_COUNT: a file that gets the number of such calls at the end; with FAULT_AT=0 nothing fails.
 *
 * It stands in for storage and memory that cannot be made to fail on request; the program under test is the
 * real one. Calls of forked children do not count, but for their forks: the fork server is such a child.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Also the names that programs built with large-file support call. */
int open64(const char *path, int flags, ...);
int openat64(int folder, const char *path, int flags, ...);
ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t offset);
FILE *fopen64(const char *path, const char *mode);
int ftruncate64(int fd, off64_t n);
int posix_fallocate64(int fd, off64_t offset, off64_t n);
void *mmap64(void *address, size_t n, int protection, int flags, int fd, off64_t offset);

static struct {
    bool ready;
    char call[16];
    long at, error;
    char paths[4096], count_path[PATH_MAX];
    bool is_child; /* of the program: told here, since a helper in its sandbox may not even ask for its number
                    */
    char *code_from, *code_to; /* of the program itself */
} setup;
static atomic_long *n_calls; /* shared with forked children */

/* The program's own code: its first mapping that can be executed. Raw calls: the wrappers below are not to be
 * counted. */
static void find_code(void)
{
    char program[PATH_MAX], line[PATH_MAX + 256];
    unsigned long from, to;
    char rights[8], path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);
    FILE *maps = fopen("/proc/self/maps", "re");

    program[n < 0 ? 0 : n] = '\0';
    const char *name = strrchr(program, '/');
    setup.ready = name != NULL && strcmp(name, "/eyesore") == 0; /* not what it starts: Open MPI's orted */
    while (maps != NULL && fgets(line, sizeof(line), maps) != NULL)
        if (sscanf(line, "%lx-%lx %7s %*s %*s %*s %4095s", &from, &to, rights, path) == 4 &&
            rights[2] == 'x' && strcmp(path, program) == 0) {
            memcpy(&setup.code_from, &from, sizeof(from));
            memcpy(&setup.code_to, &to, sizeof(to));
        }
    if (maps != NULL)
        fclose(maps);
}

static const char *text_of(const char *name)
{
    const char *value = getenv(name);
    return value == NULL ? "" : value;
}

__attribute__((constructor)) static void begin(void)
{
    snprintf(setup.call, sizeof(setup.call), "%s", text_of("FAULT_CALL"));
    setup.at = strtol(text_of("FAULT_AT"), NULL, 10);
    setup.error = strtol(text_of("FAULT_ERRNO"), NULL, 10);
    snprintf(setup.paths, sizeof(setup.paths), "%s", text_of("FAULT_PATHS"));
    snprintf(setup.count_path, sizeof(setup.count_path), "%s", text_of("FAULT_COUNT"));
    n_calls = mmap(NULL, sizeof(*n_calls), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (n_calls == MAP_FAILED)
        abort();
    find_code();
}

__attribute__((destructor)) static void end(void)
{
    if (!setup.ready || setup.count_path[0] == '\0' || setup.is_child)
        return;
    setup.ready = false;
    FILE *file = fopen(setup.count_path, "we");
    if (file == NULL)
        return;
    fprintf(file, "%ld\n", atomic_load(n_calls));
    fclose(file);
}

static bool is_counted(const char *call)
{
    return setup.ready && strcmp(setup.call, call) == 0 && (!setup.is_child || strcmp(call, "fork") == 0);
}

/* Count; is it this one's turn to fail? */
static bool its_turn(void)
{
    if (atomic_fetch_add(n_calls, 1) + 1 != setup.at)
        return false;
    errno = (int)setup.error;
    return true;
}

static bool is_below(const char *path)
{
    for (const char *from = setup.paths; *from != '\0';) {
        size_t n = strcspn(from, ":");
        if (n > 0 && strncmp(path, from, n) == 0)
            return true;
        from += n + (from[n] == ':');
    }
    return false;
}

static bool fails_path(const char *call, const char *path)
{
    return is_counted(call) && path != NULL && is_below(path) && its_turn();
}

static bool fails_fd(const char *call, int fd)
{
    char link[64], path[PATH_MAX];

    if (!is_counted(call))
        return false;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof(path) - 1);
    path[n < 0 ? 0 : n] = '\0';
    return is_below(path) && its_turn();
}

/* A path relative to an open folder. */
static bool fails_at(const char *call, int folder, const char *path)
{
    return path != NULL && path[0] == '/' ? fails_path(call, path) : fails_fd(call, folder);
}

static bool fails_caller(const char *call, const void *caller)
{
    const char *at = caller;
    return is_counted(call) && at >= setup.code_from && at < setup.code_to && its_turn();
}

/* The library's own function of this name. POSIX says that a function's address may come out of dlsym. */
#define NEXT(name)                                                                                           \
    __typeof__(&name) next = NULL;                                                                           \
    *(void **)&next = dlsym(RTLD_NEXT, #name)

static mode_t mode_of(int flags, va_list list)
{
    return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(list, mode_t) : 0;
}

#define OPEN(name)                                                                                           \
    int name(const char *path, int flags, ...)                                                               \
    {                                                                                                        \
        va_list list;                                                                                        \
        NEXT(name);                                                                                          \
        va_start(list, flags);                                                                               \
        mode_t mode = mode_of(flags, list);                                                                  \
        va_end(list);                                                                                        \
        return fails_path("open", path) ? -1 : next(path, flags, mode);                                      \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                                         \
    int name(int folder, const char *path, int flags, ...)                                                   \
    {                                                                                                        \
        va_list list;                                                                                        \
        NEXT(name);                                                                                          \
        va_start(list, flags);                                                                               \
        mode_t mode = mode_of(flags, list);                                                                  \
        va_end(list);                                                                                        \
        return fails_at("open", folder, path) ? -1 : next(folder, path, flags, mode);                        \
    }
OPENAT(openat)
OPENAT(openat64)

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
    if (number == OPENAT2 && fails_at("open", (int)argument[0], (const char *)argument[1]))
        return -1;
    return next(number, argument[0], argument[1], argument[2], argument[3], argument[4], argument[5]);
}

#define FOPEN(name)                                                                                          \
    FILE *name(const char *path, const char *mode)                                                           \
    {                                                                                                        \
        NEXT(name);                                                                                          \
        return fails_path("open", path) ? NULL : next(path, mode);                                           \
    }
FOPEN(fopen)
FOPEN(fopen64)

DIR *opendir(const char *path)
{
    NEXT(opendir);
    return fails_path("open", path) ? NULL : next(path);
}

static bool fails_stream(FILE *file)
{
    return file != NULL && __fwritable(file) != 0 && fileno(file) >= 0 && fails_fd("write", fileno(file));
}

#define ERROR_SEEN 0x20 /* glibc's _IO_ERR_SEEN: what ferror tells */

/* What a stream has kept back is lost where it cannot be written. */
int fflush(FILE *file)
{
    NEXT(fflush);
    if (!fails_stream(file))
        return next(file);
    int error = errno;
    __fpurge(file);
    file->_flags |= ERROR_SEEN;
    errno = error;
    return EOF;
}

int fclose(FILE *file)
{
    NEXT(fclose);
    if (!fails_stream(file))
        return next(file);
    int error = errno;
    __fpurge(file);
    next(file);
    errno = error;
    return EOF;
}

int close(int fd)
{
    struct stat st;
    NEXT(close);

    if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY || !fails_fd("close", fd))
        return next(fd);
    int error = errno;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && ftruncate(fd, st.st_size / 2) != 0)
        abort();
    next(fd);
    errno = error;
    return -1;
}

#define TRUNCATE(name, offset_type)                                                                          \
    int name(int fd, offset_type n)                                                                          \
    {                                                                                                        \
        NEXT(name);                                                                                          \
        return fails_fd("write", fd) ? -1 : next(fd, n);                                                     \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

#define ALLOCATE(name, offset_type)                                                                          \
    int name(int fd, offset_type offset, offset_type n)                                                      \
    {                                                                                                        \
        NEXT(name);                                                                                          \
        return fails_fd("write", fd) ? errno : next(fd, offset, n);                                          \
    }
ALLOCATE(posix_fallocate, off_t)
ALLOCATE(posix_fallocate64, off64_t)

ssize_t write(int fd, const void *bytes, size_t n)
{
    NEXT(write);
    return fails_fd("write", fd) ? -1 : next(fd, bytes, n);
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t offset)
{
    NEXT(pwrite);
    return fails_fd("write", fd) ? -1 : next(fd, bytes, n, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t offset)
{
    NEXT(pwrite64);
    return fails_fd("write", fd) ? -1 : next(fd, bytes, n, offset);
}

int fsync(int fd)
{
    NEXT(fsync);
    return fails_fd("fsync", fd) ? -1 : next(fd);
}

int rename(const char *from, const char *to)
{
    NEXT(rename);
    return fails_path("rename", to) ? -1 : next(from, to);
}

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned int flags)
{
    NEXT(renameat2);
    return fails_at("rename", to_folder, to) ? -1 : next(from_folder, from, to_folder, to, flags);
}

int link(const char *from, const char *to)
{
    NEXT(link);
    return fails_path("link", to) ? -1 : next(from, to);
}

int mkdir(const char *path, mode_t mode)
{
    NEXT(mkdir);
    return fails_path("mkdir", path) ? -1 : next(path, mode);
}

void *mmap(void *address, size_t n, int protection, int flags, int fd, off_t offset)
{
    NEXT(mmap);
    return fails_caller("mmap", __builtin_return_address(0))
               ? MAP_FAILED
               : next(address, n, protection, flags, fd, offset);
}

void *mmap64(void *address, size_t n, int protection, int flags, int fd, off64_t offset)
{
    NEXT(mmap64);
    return fails_caller("mmap", __builtin_return_address(0))
               ? MAP_FAILED
               : next(address, n, protection, flags, fd, offset);
}

pid_t fork(void)
{
    NEXT(fork);
    if (fails_caller("fork", __builtin_return_address(0)))
        return -1;
    pid_t pid = next();
    setup.is_child |= pid == 0;
    return pid;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*entry)(void *),
                   void *argument)
{
    NEXT(pthread_create);
    return fails_caller("thread", __builtin_return_address(0)) ? EAGAIN
                                                               : next(thread, attributes, entry, argument);
}

/* glibc's own, since dlsym itself allocates. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *bytes, size_t n);

void *malloc(size_t n)
{
    return fails_caller("malloc", __builtin_return_address(0)) ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    return fails_caller("malloc", __builtin_return_address(0)) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *bytes, size_t n)
{
    return fails_caller("malloc", __builtin_return_address(0)) ? NULL : __libc_realloc(bytes, n);
}

char *strdup(const char *text)
{
    size_t n = strlen(text) + 1;
    char *copy = fails_caller("malloc", __builtin_return_address(0)) ? NULL : __libc_malloc(n);
    return copy == NULL ? NULL : memcpy(copy, text, n);
}

char *strndup(const char *text, size_t most)
{
    size_t n = strnlen(text, most);
    char *copy = fails_caller("malloc", __builtin_return_address(0)) ? NULL : __libc_malloc(n + 1);
    if (copy != NULL) {
        memcpy(copy, text, n);
        copy[n] = '\0';
    }
    return copy;
}
