#include "io/fetch.h"

#include "io/grow.h"
#include "io/open.h"
#include "io/tar.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_BYTES_MOST ((uint64_t)2 << 30)
#define KEPT_BYTES ((size_t)64 << 20)
#define OWN_TARS 8
#define OWN_TAR_BYTES ((size_t)256 << 20)

struct fetcher {
    char *root; /* NULL: none */
    uint64_t max_bytes;
    struct tar_cache *tars, *own_tars;
    uint8_t *bytes;
    size_t capacity;
};

/* Is the root there? A folder with nothing in it is a mount point whose file system is gone. */
static enum status check_root(const char *root)
{
    enum status rc = STATUS_OK;
    DIR *folder = opendir(root);
    bool empty = true;

    if (folder == NULL)
        FAIL(STATUS_PLACE, "--root %s: %s: is it mounted on this host?", root, strerror(errno));
    for (const struct dirent *entry; empty && (errno = 0, entry = readdir(folder)) != NULL;)
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    if (empty && errno != 0)
        FAIL(STATUS_PLACE, "--root %s: cannot list it: %s", root, strerror(errno));
    if (empty)
        FAIL(STATUS_PLACE, "--root %s: the folder is empty: is it mounted on this host?", root);
out:
    if (folder != NULL)
        closedir(folder);
    return rc;
}

enum status fetcher_open(const struct fetch_options *options, struct fetcher **out)
{
    enum status rc = STATUS_OK;
    struct fetcher *fetcher = calloc(1, sizeof(*fetcher));

    if (fetcher == NULL)
        FAIL(STATUS_MEMORY, "no memory for a fetcher");
    fetcher->max_bytes =
        options->max_bytes == 0 || options->max_bytes > MAX_BYTES_MOST ? MAX_BYTES_MOST : options->max_bytes;
    if (options->root != NULL && options->root[0] != '\0') {
        TRY(check_root(options->root));
        fetcher->root = strdup(options->root);
        if (fetcher->root == NULL)
            FAIL(STATUS_MEMORY, "no memory for a fetcher");
    }
    if (options->tars == NULL)
        TRY(tar_cache_open(OWN_TARS, OWN_TAR_BYTES, &fetcher->own_tars));
    fetcher->tars = options->tars != NULL ? options->tars : fetcher->own_tars;
    *out = fetcher;
    fetcher = NULL;
out:
    fetcher_close(fetcher);
    return rc;
}

void fetcher_close(struct fetcher *fetcher)
{
    if (fetcher == NULL)
        return;
    tar_cache_close(fetcher->own_tars);
    free(fetcher->root);
    free(fetcher->bytes);
    free(fetcher);
}

/* RFC 3986: scheme "://". A drive letter or a name with a colon is no scheme. */
static bool has_scheme(const char *uri)
{
    const char *p = uri;

    if (!isalpha((unsigned char)*p))
        return false;
    while (isalnum((unsigned char)*p) || *p == '+' || *p == '-' || *p == '.')
        p++;
    return strncmp(p, "://", 3) == 0;
}

static bool has_parent_step(const char *path)
{
    for (const char *p = path; p != NULL; p = strchr(p, '/')) {
        p += *p == '/';
        if (p[0] == '.' && p[1] == '.' && (p[2] == '/' || p[2] == '\0'))
            return true;
    }
    return false;
}

static size_t root_bytes(const struct fetcher *fetcher)
{
    return fetcher->root == NULL ? 0 : strlen(fetcher->root);
}

/* Make the path of a uri's file and find its member's name (NULL: none). False, with the fault told. */
static bool resolve(const struct fetcher *fetcher, const char *uri, char path[PATH_MAX], const char **member,
                    struct picture_info *info)
{
    const char *hash = strstr(uri, ".tar#");
    int n_path = hash == NULL ? (int)strnlen(uri, PATH_MAX) : (int)(hash + 4 - uri);
    int n;

    *member = hash == NULL ? NULL : hash + 5;
    if (has_scheme(uri)) {
        picture_fault(info, ITEM_REFUSED,
                      "%.*s: only paths and tar members (a.tar#name) are read: fetch it first", 100, uri);
        return false;
    }
    if (fetcher->root == NULL)
        n = snprintf(path, PATH_MAX, "%.*s", n_path, uri);
    else
        n = snprintf(path, PATH_MAX, "%s/%.*s", fetcher->root, n_path, uri);
    if (n < 0 || n >= PATH_MAX) {
        picture_fault(info, ITEM_MISSING, "the path is longer than %d bytes", PATH_MAX - 1);
        return false;
    }
    const char *inside = path + (fetcher->root == NULL ? 0 : root_bytes(fetcher) + 1);
    if (fetcher->root != NULL && (inside[0] == '/' || has_parent_step(inside))) {
        picture_fault(info, ITEM_REFUSED, "the uri leaves --root: it %s",
                      inside[0] == '/' ? "is an absolute path" : "has a .. in it");
        return false;
    }
    return true;
}

/* What an errno of open() or read() says: of the picture, told in info, or of the place. */
static enum status tell_errno(const struct fetcher *fetcher, const char *path, int error,
                              struct picture_info *info)
{
    enum status rc = STATUS_OK;

    if (status_is_place_errno(error))
        FAIL(STATUS_PLACE, "%s: %s", path, strerror(error));
    if (fetcher->root != NULL) /* a pool that is gone would look like a million missing pictures */
        TRY(check_root(fetcher->root));
    if (error == OPEN_LEAVES_ROOT)
        picture_fault(info, ITEM_REFUSED, "%s", open_strerror(error));
    else if (error == ENOENT || error == ENOTDIR || error == ENAMETOOLONG)
        picture_fault(info, ITEM_MISSING, "%s", strerror(error));
    else
        picture_fault(info, ITEM_UNREADABLE, "%s", open_strerror(error));
out:
    return rc;
}

/* Read n bytes at offset into the fetcher's buffer. */
static enum status read_part(struct fetcher *fetcher, int fd, const char *path, uint64_t offset, uint64_t n,
                             size_t *n_read, struct picture_info *info)
{
    enum status rc = STATUS_OK;

    if (n > fetcher->max_bytes) {
        picture_fault(info, ITEM_TOO_LARGE, "%llu bytes, more than the %llu of --max-bytes",
                      (unsigned long long)n, (unsigned long long)fetcher->max_bytes);
        goto out;
    }
    if (fetcher->capacity > KEPT_BYTES && n <= KEPT_BYTES) {
        free(fetcher->bytes);
        fetcher->bytes = NULL;
        fetcher->capacity = 0;
    }
    GROW(fetcher->bytes, fetcher->capacity, (size_t)n + 1);
    rc = tar_read_at(fd, path, fetcher->bytes, (size_t)n, offset, n_read);
    if (rc == STATUS_INPUT)
        rc = tell_errno(fetcher, path, errno, info);
out:
    return rc;
}

static enum status read_file(struct fetcher *fetcher, const char *path, size_t *n, struct picture_info *info)
{
    enum status rc = STATUS_OK;
    struct stat st;
    int fd = open_regular(path, root_bytes(fetcher), &st);

    if (fd < 0)
        TRY(tell_errno(fetcher, path, errno, info));
    else
        TRY(read_part(fetcher, fd, path, 0, (uint64_t)st.st_size, n, info));
out:
    if (fd >= 0)
        close(fd);
    return rc;
}

static enum status read_member(struct fetcher *fetcher, const char *path, const char *member, size_t *n,
                               struct picture_info *info)
{
    enum status rc = STATUS_OK;
    struct tar_file *tar = NULL;
    char reason[128] = "";
    uint64_t offset, size;
    int error = 0;

    TRY(tar_cache_hold(fetcher->tars, path, root_bytes(fetcher), &tar, &error, reason, sizeof(reason)));
    if (tar == NULL && error != 0) {
        TRY(tell_errno(fetcher, path, error, info));
    } else if (tar == NULL) {
        picture_fault(info, ITEM_UNREADABLE, "its tar file: %s", reason);
    } else if (!tar_file_find(tar, member, &offset, &size)) {
        picture_fault(info, ITEM_MISSING, "no such member in the tar file");
    } else {
        TRY(read_part(fetcher, tar_file_descriptor(tar), path, offset, size, n, info));
    }
out:
    tar_cache_release(fetcher->tars, tar);
    return rc;
}

enum status fetcher_read(struct fetcher *fetcher, const char *uri, const uint8_t **bytes, size_t *n,
                         struct picture_info *info)
{
    enum status rc = STATUS_OK;
    char path[PATH_MAX];
    const char *member;
    size_t n_read = 0;

    picture_info_reset(info);
    if (!resolve(fetcher, uri, path, &member, info))
        goto out;
    if (member == NULL)
        TRY(read_file(fetcher, path, &n_read, info));
    else
        TRY(read_member(fetcher, path, member, &n_read, info));
    if (info->status != ITEM_OK)
        goto out;
    *bytes = fetcher->bytes;
    *n = n_read;
out:
    return rc;
}
