/* base/file: the first of two writers wins, on file systems of several kinds; modes and temporary names. */
#include "test_commit.h"
#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the file system is made to answer. */
static int rename_error;             /* of renameat2; 0: what the real one says */
static int link_error;               /* of link, without doing it; 0: what the real one says */
static int write_error, fsync_error; /* of every call; 0: what the real ones say */
static int fsync_from;               /* the first so many fsyncs are well */
static bool link_says_again;         /* link is done, and its answer is lost: the repetition finds it there */

int __real_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags);
int __wrap_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags);
int __real_link(const char *from, const char *to);
int __wrap_link(const char *from, const char *to);

ssize_t __real_write(int fd, const void *bytes, size_t size);
ssize_t __wrap_write(int fd, const void *bytes, size_t size);
int __real_fsync(int fd);
int __wrap_fsync(int fd);

ssize_t __wrap_write(int fd, const void *bytes, size_t size)
{
    if (write_error == 0)
        return __real_write(fd, bytes, size);
    errno = write_error;
    return -1;
}

int __wrap_fsync(int fd)
{
    if (fsync_error == 0 || fsync_from-- > 0)
        return __real_fsync(fd);
    errno = fsync_error;
    return -1;
}

int __wrap_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    if (rename_error == 0)
        return __real_renameat2(from_fd, from, to_fd, to, flags);
    errno = rename_error;
    return -1;
}

int __wrap_link(const char *from, const char *to)
{
    if (link_error != 0) {
        errno = link_error;
        return -1;
    }
    int rc = __real_link(from, to);
    if (rc == 0 && link_says_again) {
        errno = EEXIST;
        return -1;
    }
    return rc;
}

static void make_temp(const char *path, const char *text, char temp[300])
{
    int fd;

    assert_int_equal(file_temp_open(path, temp, 300, &fd), STATUS_OK);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void assert_holds(const char *path, const char *text)
{
    char *bytes;
    size_t size;

    assert_int_equal(file_read(path, 100, &bytes, &size), STATUS_OK);
    assert_string_equal(bytes, text);
    free(bytes);
}

static void first_wins(void)
{
    char path[256], temp[300];
    bool existed = true, made;
    struct stat st;

    inside("first", path);
    make_temp(path, "one", temp);
    assert_int_equal(file_commit_new(temp, path, &existed), STATUS_OK);
    assert_false(existed);
    assert_holds(path, "one");
    make_temp(path, "two", temp);
    assert_int_equal(file_commit_new(temp, path, &existed), STATUS_OK);
    assert_true(existed);
    assert_int_equal(file_write_new(path, "three", 5, &made), STATUS_OK);
    assert_false(made);
    assert_holds(path, "one");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_nlink, 1);
    assert_int_equal(count_entries(), 1); /* no temporary file is left */
    unlink(path);
    assert_int_equal(file_write_new(path, "three", 5, &made), STATUS_OK);
    assert_true(made);
    assert_holds(path, "three");
    unlink(path);

    /* A link that leads nowhere is something too: it is not followed. */
    assert_int_equal(symlink("/nonexistent/x", path), 0);
    assert_int_equal(file_write_new(path, "three", 5, &made), STATUS_OK);
    assert_false(made);
    unlink(path);
}

void test_first_commit_wins(void **state)
{
    (void)state;
    first_wins();
}

void test_commit_without_noreplace(void **state)
{
    static const int lacking[] = {EINVAL, ENOSYS, ENOTSUP};
    char path[256], temp[300];
    bool existed = true;
    (void)state;

    for (size_t i = 0; i < sizeof(lacking) / sizeof(lacking[0]); i++) {
        rename_error = lacking[i];
        first_wins();
    }
    inside("first", path);
    link_says_again = true;
    make_temp(path, "one", temp);
    assert_int_equal(file_commit_new(temp, path, &existed), STATUS_OK);
    assert_false(existed); /* it is our own link that was found */
    assert_holds(path, "one");
    assert_int_equal(count_entries(), 1);
    unlink(path);
    link_says_again = false;

    /* Neither way works, and a fault of the place: told, and no temporary file is left. */
    link_error = EPERM;
    make_temp(path, "one", temp);
    assert_int_equal(file_commit_new(temp, path, &existed), STATUS_INPUT);
    link_error = EDQUOT;
    make_temp(path, "one", temp);
    assert_int_equal(file_commit_new(temp, path, &existed), STATUS_PLACE);
    link_error = 0;
    rename_error = EROFS;
    make_temp(path, "one", temp);
    assert_int_equal(file_commit_new(temp, path, &existed), STATUS_PLACE);
    rename_error = 0;
    assert_int_equal(count_entries(), 0);
}

void test_faults_of_the_place(void **state)
{
    static const int errors[] = {ENOSPC, EDQUOT, EIO, EROFS, ESTALE};
    char path[256];
    bool made;
    (void)state;

    inside("kept", path);
    assert_int_equal(file_write(path, "kept", 4), STATUS_OK);
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        write_error = errors[i];
        enum status wrote = file_write(path, "other", 5);
        enum status wrote_new = file_write_new(path, "other", 5, &made);
        write_error = 0;
        fsync_error = errors[i];
        enum status synced = file_write(path, "other", 5);
        enum status synced_new = file_write_new(path, "other", 5, &made);
        fsync_error = 0;
        assert_int_equal(wrote, STATUS_PLACE);
        assert_int_equal(wrote_new, STATUS_PLACE);
        assert_int_equal(synced, STATUS_PLACE);
        assert_int_equal(synced_new, STATUS_PLACE);
        assert_holds(path, "kept");
        assert_int_equal(count_entries(), 1);
    }
    unlink(path);

    /* The folder cannot be synced: it is told, though the file is whole and in place. */
    fsync_error = EIO;
    fsync_from = 1;
    enum status rc = file_write_new(path, "kept", 4, &made);
    fsync_error = 0;
    assert_int_equal(rc, STATUS_PLACE);
    assert_holds(path, "kept");
    assert_int_equal(count_entries(), 1);
    unlink(path);
}

void test_mode_and_names(void **state)
{
    static const mode_t masks[][2] = {{0, 0640}, {022, 0640}, {077, 0600}, {027, 0640}};
    char path[256], a[300], b[300];
    struct stat st;
    int fd;
    bool made;
    (void)state;

    inside("mode", path);
    for (size_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
        mode_t was = umask(masks[i][0]);
        enum status rc = file_write(path, "x", 1);
        assert_int_equal(stat(path, &st), 0);
        unlink(path);
        enum status again = file_write_new(path, "x", 1, &made);
        umask(was);
        assert_int_equal(rc, STATUS_OK);
        assert_int_equal(st.st_mode & 07777, masks[i][1]);
        assert_int_equal(again, STATUS_OK);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, masks[i][1]);
        unlink(path);
    }
    assert_int_equal(file_temp_name(path, a, sizeof(a)), STATUS_OK);
    assert_int_equal(file_temp_name(path, b, sizeof(b)), STATUS_OK);
    assert_string_not_equal(a, b);
    assert_int_equal(file_temp_open(path, a, sizeof(a), &fd), STATUS_OK);
    int flags = fcntl(fd, F_GETFD);
    close(fd);
    unlink(a);
    assert_true((flags & FD_CLOEXEC) != 0);
    assert_int_equal(file_temp_name(path, a, 20), STATUS_INPUT); /* a path that is too long */
}
