#include "kernels/cuda/plan_store.h"

#include "base/file.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PLAN_LIMIT_BYTES ((size_t)64 << 20)

/* "NVIDIA H100 80GB HBM3" -> FOLDER/nvidia-h100-80gb-hbm3-cudnn91900 */
static enum status name_folder(const char *folder, const char *device, size_t version, char path[PLAN_PATH_SIZE])
{
    enum status rc = STATUS_OK;
    char slug[128];
    size_t n = 0;

    path[0] = '\0';
    if (folder == NULL || folder[0] == '\0')
        goto out;
    for (const char *c = device; *c != '\0' && n + 1 < sizeof(slug); c++)
        slug[n++] = isalnum((unsigned char)*c) ? (char)tolower((unsigned char)*c) : '-';
    slug[n] = '\0';
    int size = snprintf(path, PLAN_PATH_SIZE, "%s/%s-cudnn%zu", folder, slug, version);
    if (size < 0 || size >= PLAN_PATH_SIZE - 256)
        FAIL(STATUS_USAGE, "%s: the path is too long", folder);
out:
    return rc;
}

enum status plan_store_open(const char *run_folder, const char *cache_folder, const char *device, size_t version,
                            struct plan_store *out)
{
    enum status rc = STATUS_OK;

    *out = (struct plan_store){0};
    TRY(name_folder(run_folder, device, version, out->run));
    TRY(name_folder(cache_folder, device, version, out->cache));
out:
    return rc;
}

static void name_file(const char *folder, const char *key, char path[PLAN_PATH_SIZE + 256])
{
    snprintf(path, PLAN_PATH_SIZE + 256, "%s/%s.json", folder, key);
}

static enum status read_from(const char *folder, const char *key, char **json)
{
    enum status rc = STATUS_OK;
    char path[PLAN_PATH_SIZE + 256];
    size_t size;

    *json = NULL;
    name_file(folder, key, path);
    if (folder[0] != '\0' && access(path, F_OK) == 0)
        TRY(file_read(path, PLAN_LIMIT_BYTES, json, &size));
out:
    return rc;
}

static enum status write_to(const char *folder, const char *key, const char *json)
{
    enum status rc = STATUS_OK;
    char path[PLAN_PATH_SIZE + 256];

    if (folder[0] == '\0')
        goto out;
    TRY(file_make_folders(folder));
    name_file(folder, key, path);
    TRY(file_write(path, json, strlen(json)));
out:
    return rc;
}

static void write_to_cache(struct plan_store *store, const char *key, const char *json)
{
    if (store->cache_failed || write_to(store->cache, key, json) == STATUS_OK)
        return;
    log_warn("%s cannot be written: plans are kept with this run only, the next one chooses anew", store->cache);
    store->cache_failed = true;
}

enum status plan_store_find(struct plan_store *store, const char *key, char **json)
{
    enum status rc = STATUS_OK;

    TRY(read_from(store->run, key, json));
    if (*json != NULL)
        goto out;
    if (read_from(store->cache, key, json) != STATUS_OK)
        *json = NULL; /* said; chosen anew */
    if (*json != NULL)
        TRY(write_to(store->run, key, *json));
out:
    if (rc != STATUS_OK) {
        free(*json);
        *json = NULL;
    }
    return rc;
}

enum status plan_store_keep(struct plan_store *store, const char *key, const char *json)
{
    enum status rc = STATUS_OK;
    TRY(write_to(store->run, key, json));
    write_to_cache(store, key, json);
out:
    return rc;
}
