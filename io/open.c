#include "io/open.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
#define RACES_MOST 16

/* openat2(2), of Linux 5.6; written out here since the headers of older systems, on which this is built for
 * newer ones, lack it. */
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#define WITHOUT_MAGIC_LINKS 0x02 /* RESOLVE_NO_MAGICLINKS */
#define BENEATH 0x08             /* RESOLVE_BENEATH */

struct how { /* struct open_how */
    uint64_t flags, mode, resolve;
};

static void close_keeping_errno(int fd)
{
    int error = errno;

    close(fd);
    errno = error;
}

/* The root is opened anew for each file: one that is held would hide that another was mounted over it. */
static int open_beneath(const char *root, const char *inside)
{
    const struct how how = {.flags = FLAGS, .resolve = BENEATH | WITHOUT_MAGIC_LINKS};
    int fd = -1, root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (root_fd < 0)
        return -1;
    for (int i = 0; i < RACES_MOST; i++) { /* EAGAIN: something was renamed on the way; EINTR: a signal */
        fd = (int)syscall(SYS_openat2, root_fd, inside, &how, sizeof(how));
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            break;
    }
    close_keeping_errno(root_fd);
    return fd;
}

/* For absolute links that lead back into the root, and for kernels before 5.6: compare real paths. */
static int open_by_real_path(const char *root, const char *path, bool has_openat2)
{
    char real_root[PATH_MAX], real_path[PATH_MAX];

    if (realpath(root, real_root) == NULL || realpath(path, real_path) == NULL)
        return -1;
    size_t n = strcmp(real_root, "/") == 0 ? 0 : strlen(real_root);
    if (strncmp(real_path, real_root, n) != 0 || real_path[n] != '/') {
        errno = OPEN_LEAVES_ROOT;
        return -1;
    }
    if (has_openat2) /* once more with the kernel's word, should a link be put in meanwhile */
        return open_beneath(real_root, real_path + n + 1);
    return open(real_path, FLAGS | O_NOFOLLOW);
}

static int open_any(const char *path, size_t n_root)
{
    char root[PATH_MAX];

    if (n_root == 0)
        return open(path, FLAGS);
    if (n_root >= sizeof(root)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(root, path, n_root);
    root[n_root] = '\0';
    int fd = open_beneath(root, path + n_root + 1);
    if (fd >= 0 || (errno != EXDEV && errno != ENOSYS && errno != EPERM)) /* EPERM: some sandboxes' ENOSYS */
        return fd;
    return open_by_real_path(root, path, errno == EXDEV);
}

int open_regular(const char *path, size_t n_root, struct stat *st)
{
    int fd = open_any(path, n_root);

    if (fd < 0) {
        int error = errno;
        if ((error == ENXIO || error == ENODEV) && stat(path, st) == 0 && !S_ISREG(st->st_mode))
            error = OPEN_NOT_REGULAR; /* a socket, or a node of a device that is not there */
        errno = error;
        return -1;
    }
    if (fstat(fd, st) != 0) {
        close_keeping_errno(fd);
        return -1;
    }
    if (!S_ISREG(st->st_mode)) {
        close(fd);
        errno = S_ISDIR(st->st_mode) ? EISDIR : OPEN_NOT_REGULAR;
        return -1;
    }
    return fd;
}

const char *open_strerror(int error)
{
    switch (error) {
    case EISDIR:
        return "it is a folder";
    case OPEN_NOT_REGULAR:
        return "it is not a regular file";
    case OPEN_LEAVES_ROOT:
        return "a link on its path leaves --root";
    default:
        return strerror(error);
    }
}
