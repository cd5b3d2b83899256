/* Any bytes as a tar file: walked, indexed, and each regular file looked up and read where the index says. */
#include "target.h"

#include "io/tar.h"
#include "io/tar_cache.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#define MEMBERS_MOST 16

struct seen {
    struct tar_cache *cache;
    struct tar_file *held;
    size_t n, n_bytes;
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

static enum status look_up(void *context, const struct tar_member *member)
{
    struct seen *seen = context;
    uint64_t offset = 0, size = 0;
    uint8_t start[64];
    size_t n_read = 0;

    MUST(member->name[0] != '\0' && member->name[0] != '/' && member->offset % 512 == 0);
    MUST(member->offset <= seen->n_bytes); /* its header was read, and stands before it */
    if (seen->held == NULL || seen->n++ >= MEMBERS_MOST)
        return STATUS_OK;
    MUST(tar_file_find(seen->held, member->name, &offset, &size));
    MUST(offset >= member->offset); /* of two of one name, the last */
    MUST(tar_read_at(tar_file_descriptor(seen->held), "input", start, sizeof(start), offset, &n_read) ==
         STATUS_OK);
    MUST(offset > seen->n_bytes || n_read <= seen->n_bytes - offset);
    return STATUS_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct seen seen = {.n_bytes = n};
    const char *path = bytes_file(bytes, n);
    char reason[128], walked[128];
    bool ended_early;
    int error;

    MUST(tar_cache_open(1, 1 << 20, &seen.cache) == STATUS_OK);
    MUST(tar_cache_hold(seen.cache, path, 0, &seen.held, &error, reason, sizeof(reason)) == STATUS_OK);
    MUST(seen.held != NULL || (error == 0 && reason[0] != '\0'));
    n_accepted += seen.held != NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    MUST(fd >= 0);
    enum status status = tar_walk(fd, path, look_up, &seen, &ended_early, walked, sizeof(walked));
    MUST(status == STATUS_OK || (status == STATUS_INPUT && walked[0] != '\0'));
    close(fd);
    tar_cache_release(seen.cache, seen.held);
    tar_cache_close(seen.cache);
    return 0;
}
