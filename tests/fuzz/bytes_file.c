#include "target.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

uint64_t n_accepted;

static char path[PATH_MAX];

static void remove_file(void)
{
    unlink(path);
}

/* Its name is found once: the folder is TMPDIR. Not memfd_create: HDF5 wants a real path. */
static void choose_path(void)
{
    const char *folder = getenv("TMPDIR");

    snprintf(path, sizeof(path), "%s/eyesore-fuzz-%ld", folder != NULL && folder[0] != '\0' ? folder : "/tmp",
             (long)getpid());
    atexit(remove_file);
}

const char *bytes_file(const uint8_t *bytes, size_t n)
{
    size_t written = 0;

    if (path[0] == '\0')
        choose_path();
    unlink(path); /* a new one each time: what a target forgot to close would else change under its hands */
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    while (fd >= 0 && written < n) {
        ssize_t now = write(fd, bytes + written, n - written);
        if (now <= 0)
            break;
        written += (size_t)now;
    }
    if (fd < 0 || written < n) {
        fprintf(stderr, "%s: cannot write %zu bytes: %s\n", path, n, strerror(errno));
        exit(2);
    }
    close(fd);
    return path;
}
