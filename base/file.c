#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MODE 0640 /* less the umask */

/* What a failed write or rename means: the place unless the path itself is wrong. */
static enum status errno_status(int error)
{
    return status_is_place_errno(error) ? STATUS_PLACE : STATUS_INPUT;
}

enum status file_random(uint64_t *bits)
{
    enum status rc = STATUS_OK;

    if (getrandom(bits, sizeof(*bits), 0) != (ssize_t)sizeof(*bits))
        FAIL(STATUS_INTERNAL, "getrandom: %s", strerror(errno));
out:
    return rc;
}

enum status file_temp_name(const char *path, char *temp, size_t temp_size)
{
    enum status rc = STATUS_OK;
    uint64_t salt;

    TRY(file_random(&salt));
    int n = snprintf(temp, temp_size, "%s.tmp-%016llx", path, (unsigned long long)salt);
    if (n < 0 || (size_t)n >= temp_size)
        FAIL(STATUS_INPUT, "%s: the path is too long", path);
out:
    return rc;
}

enum status file_temp_open(const char *path, char *temp, size_t temp_size, int *fd)
{
    enum status rc = STATUS_OK;
    int opened;

    TRY(file_temp_name(path, temp, temp_size));
    opened = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
    if (opened < 0)
        FAIL(errno_status(errno), "%s: cannot create: %s", path, strerror(errno));
    *fd = opened;
out:
    return rc;
}

static enum status sync_folder_of(const char *path)
{
    enum status rc = STATUS_OK;
    const char *slash = strrchr(path, '/');
    char *folder = slash == NULL ? strdup(".") : strndup(path, slash == path ? 1 : (size_t)(slash - path));
    int fd = -1;

    if (folder == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL)) /* EINVAL: a file system without folder sync */
        FAIL(errno_status(errno), "%s: cannot sync the folder: %s", folder, strerror(errno));
out:
    if (fd >= 0)
        close(fd);
    free(folder);
    return rc;
}

static enum status sync_file(const char *temp)
{
    enum status rc = STATUS_OK;
    int fd = open(temp, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 || fsync(fd) != 0)
        FAIL(errno_status(errno), "%s: cannot sync: %s", temp, strerror(errno));
out:
    if (fd >= 0)
        close(fd);
    return rc;
}

enum status file_commit(const char *temp, const char *path)
{
    enum status rc = STATUS_OK;

    TRY(sync_file(temp));
    if (rename(temp, path) != 0)
        FAIL(errno_status(errno), "%s: cannot put in place: %s", path, strerror(errno));
    TRY(sync_folder_of(path));
out:
    if (rc != STATUS_OK)
        unlink(temp);
    return rc;
}

/* link(2) that answers 0 or an errno. An NFS client that repeats a request whose answer was lost is told
 * EEXIST of the link it made itself: then both names are one file. */
static int link_once(const char *temp, const char *path)
{
    struct stat ours, there;

    if (link(temp, path) == 0)
        return 0;
    int error = errno;
    if (error == EEXIST && lstat(temp, &ours) == 0 && lstat(path, &there) == 0 && ours.st_nlink > 1 &&
        ours.st_ino == there.st_ino && ours.st_dev == there.st_dev)
        return 0;
    return error;
}

enum status file_commit_new(const char *temp, const char *path, bool *existed)
{
    enum status rc = STATUS_OK;
    int error;

    TRY(sync_file(temp));
    error = renameat2(AT_FDCWD, temp, AT_FDCWD, path, RENAME_NOREPLACE) == 0 ? 0 : errno;
    if (error == EINVAL || error == ENOSYS || error == ENOTSUP) {
        error = link_once(temp, path);
        if (error == 0)
            unlink(temp);
    }
    if (error != 0 && error != EEXIST)
        FAIL(errno_status(error), "%s: cannot put in place: %s%s", path, strerror(error),
             error == EPERM ? ": does this file system have hard links?" : "");
    if (error == EEXIST)
        unlink(temp);
    else
        TRY(sync_folder_of(path));
    *existed = error == EEXIST;
out:
    if (rc != STATUS_OK)
        unlink(temp);
    return rc;
}

/* OUT temp: a file beside `path` that holds the bytes. */
static enum status write_temp(const char *path, const void *bytes, size_t size, char *temp, size_t temp_size)
{
    enum status rc = STATUS_OK;
    int fd = -1;
    bool made = false;

    TRY(file_temp_open(path, temp, temp_size, &fd));
    made = true;
    for (size_t done = 0; done < size;) {
        ssize_t n = write(fd, (const char *)bytes + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            FAIL(STATUS_PLACE, "%s: cannot write: %s", path, strerror(errno));
        done += (size_t)n;
    }
    int closed = close(fd); /* where NFS tells of a full disk */
    fd = -1;
    if (closed != 0)
        FAIL(STATUS_PLACE, "%s: cannot write: %s", path, strerror(errno));
    made = false;
out:
    if (fd >= 0)
        close(fd);
    if (made)
        unlink(temp);
    return rc;
}

enum status file_write(const char *path, const void *bytes, size_t size)
{
    enum status rc = STATUS_OK;
    char temp[4096];

    TRY(write_temp(path, bytes, size, temp, sizeof(temp)));
    TRY(file_commit(temp, path));
out:
    return rc;
}

enum status file_write_new(const char *path, const void *bytes, size_t size, bool *made)
{
    enum status rc = STATUS_OK;
    char temp[4096];
    bool existed;

    TRY(write_temp(path, bytes, size, temp, sizeof(temp)));
    TRY(file_commit_new(temp, path, &existed));
    *made = !existed;
out:
    return rc;
}

enum status file_read(const char *path, size_t limit, char **bytes, size_t *size)
{
    enum status rc = STATUS_OK;
    char *buffer = NULL;
    struct stat st;
    size_t done = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hang us */

    if (fd < 0 || fstat(fd, &st) != 0)
        FAIL(errno_status(errno), "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        FAIL(STATUS_INPUT, "%s: not a regular file", path);
    if (st.st_size < 0 || (uint64_t)st.st_size > limit)
        FAIL(STATUS_INPUT, "%s: larger than %zu bytes: this is not the file it should be", path, limit);
    buffer = malloc((size_t)st.st_size + 1);
    if (buffer == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    while (done < (size_t)st.st_size) {
        ssize_t n = read(fd, buffer + done, (size_t)st.st_size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            FAIL(errno_status(errno), "%s: cannot read: %s", path, strerror(errno));
        if (n == 0)
            break;
        done += (size_t)n;
    }
    buffer[done] = '\0';
    *bytes = buffer;
    *size = done;
    buffer = NULL;
out:
    if (fd >= 0)
        close(fd);
    free(buffer);
    return rc;
}

enum status file_make_folders(const char *path)
{
    enum status rc = STATUS_OK;
    char *partial = strdup(path);

    if (partial == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    for (char *p = partial + 1;; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        char kept = *p;
        *p = '\0';
        if (mkdir(partial, 0777) != 0 && errno != EEXIST)
            FAIL(errno_status(errno), "%s: cannot make the folder: %s", partial, strerror(errno));
        *p = kept;
        if (kept == '\0')
            break;
    }
out:
    free(partial);
    return rc;
}
