#include "job/parts.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* shard-00000042-0123456789abcdef.h5; temporary files have more behind. */
static bool parse_name(const char *name, uint64_t *shard)
{
    unsigned long long number;
    int digits_end = 0, end = 0;

    if (sscanf(name, "shard-%llu%n-%*16[0-9a-f].h5%n", &number, &digits_end, &end) != 1 || end == 0 ||
        name[end] != '\0' || digits_end < 14)
        return false;
    *shard = number;
    return true;
}

static enum status add(struct part_files *parts, const char *path, uint64_t shard)
{
    enum status rc = STATUS_OK;
    struct stat st;

    if (stat(path, &st) != 0) {
        if (errno == ENOENT)
            goto out;
        FAIL(status_is_place_errno(errno) ? STATUS_PLACE : STATUS_INPUT, "%s: %s", path, strerror(errno));
    }
    if (parts->n == parts->capacity) {
        size_t capacity = parts->capacity == 0 ? 256 : 2 * parts->capacity;
        struct part_file *items = realloc(parts->items, capacity * sizeof(*items));
        if (items == NULL)
            FAIL(STATUS_MEMORY, "no memory");
        parts->items = items;
        parts->capacity = capacity;
    }
    char *copy = strdup(path);
    if (copy == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    parts->items[parts->n++] = (struct part_file){copy, shard, st.st_mtime};
out:
    return rc;
}

/* Look into `folder`: for parts where it is a folder of parts, else for such folders. */
static enum status walk(struct part_files *parts, const char *folder, bool of_parts)
{
    enum status rc = STATUS_OK;
    char path[4096];
    uint64_t shard;
    DIR *dir = opendir(folder);

    if (dir == NULL) {
        if (errno == ENOENT)
            goto out;
        FAIL(status_is_place_errno(errno) ? STATUS_PLACE : STATUS_INPUT, "%s: %s", folder, strerror(errno));
    }
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(dir);
        if (entry == NULL && errno != 0)
            FAIL(STATUS_PLACE, "%s: cannot be read: %s", folder, strerror(errno));
        if (entry == NULL)
            break;
        if (of_parts ? !parse_name(entry->d_name, &shard)
                     : entry->d_name[strspn(entry->d_name, "0123456789")] != '\0')
            continue;
        int n = snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        if (n < 0 || (size_t)n >= sizeof(path))
            FAIL(STATUS_INPUT, "%s: the path is too long", folder);
        TRY(of_parts ? add(parts, path, shard) : walk(parts, path, true));
    }
out:
    if (dir != NULL)
        closedir(dir);
    return rc;
}

static int compare_shards(const void *a, const void *b)
{
    uint64_t shard_a = ((const struct part_file *)a)->shard;
    uint64_t shard_b = ((const struct part_file *)b)->shard;
    return (shard_a > shard_b) - (shard_a < shard_b);
}

enum status part_files_find(const char *out_folder, struct part_files *parts)
{
    enum status rc = STATUS_OK;
    char folder[4096];

    *parts = (struct part_files){0};
    int n = snprintf(folder, sizeof(folder), "%s/parts", out_folder);
    if (n < 0 || (size_t)n >= sizeof(folder))
        FAIL(STATUS_INPUT, "%s: the path is too long", out_folder);
    TRY(walk(parts, folder, false));
    if (parts->n > 0)
        qsort(parts->items, parts->n, sizeof(*parts->items), compare_shards);
out:
    return rc;
}

void part_files_free(struct part_files *parts)
{
    for (size_t i = 0; i < parts->n; i++)
        free(parts->items[i].path);
    free(parts->items);
    *parts = (struct part_files){0};
}
