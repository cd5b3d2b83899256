#include "kernels/cuda/plan_store.h"

#include "base/file.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PLAN_LIMIT_BYTES ((size_t)64 << 20)
#define HEADER_SIZE 512

/* "NVIDIA H100 80GB HBM3" -> FOLDER/nvidia-h100-80gb-hbm3-cudnn91900 */
static enum status name_folder(const char *folder, const char *device, size_t version,
                               char path[PLAN_PATH_SIZE])
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

enum status plan_store_open(const char *run_folder, const char *cache_folder, const char *device,
                            size_t version, struct plan_store *out)
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

/* FNV-1a (Fowler, Noll, Vo), 64 bits: against damage, not against malice. */
static uint64_t checksum(const char *text)
{
    uint64_t hash = 0xcbf29ce484222325u;

    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
    return hash;
}

/* The first line of a plan's file. */
static void format_header(const char *key, const char *json, char header[HEADER_SIZE])
{
    snprintf(header, HEADER_SIZE, "eyesore-plan key=%s checksum=%016" PRIx64 "\n", key, checksum(json));
}

/* OUT json: NULL where there is no file, or one that is not whole. */
static enum status read_from(const char *folder, const char *key, char **json)
{
    enum status rc = STATUS_OK;
    char path[PLAN_PATH_SIZE + 256], header[HEADER_SIZE], *text = NULL;
    size_t size;

    *json = NULL;
    name_file(folder, key, path);
    if (folder[0] == '\0' || access(path, F_OK) != 0)
        goto out;
    if (file_read(path, PLAN_LIMIT_BYTES, &text, &size) != STATUS_OK) {
        log_warn("%s cannot be read: the plan is chosen anew", path);
        goto out;
    }
    const char *body = strchr(text, '\n');
    body = body == NULL ? "" : body + 1;
    format_header(key, body, header);
    if (strncmp(text, header, strlen(header)) != 0) {
        log_warn("%s is damaged, or another convolution's: the plan is chosen anew", path);
        goto out;
    }
    *json = strdup(body);
    if (*json == NULL)
        FAIL(STATUS_MEMORY, "no memory");
out:
    free(text);
    return rc;
}

static enum status write_to(const char *folder, const char *key, const char *json)
{
    enum status rc = STATUS_OK;
    char path[PLAN_PATH_SIZE + 256], header[HEADER_SIZE], *text = NULL;

    if (folder[0] == '\0')
        goto out;
    format_header(key, json, header);
    if (asprintf(&text, "%s%s", header, json) < 0) {
        text = NULL;
        FAIL(STATUS_MEMORY, "no memory");
    }
    TRY(file_make_folders(folder));
    name_file(folder, key, path);
    TRY(file_write(path, text, strlen(text)));
out:
    free(text);
    return rc;
}

static void write_to_cache(struct plan_store *store, const char *key, const char *json)
{
    if (store->cache_closed || write_to(store->cache, key, json) == STATUS_OK)
        return;
    log_warn("%s cannot be written: plans are kept with this run only, the next one chooses anew",
             store->cache);
    store->cache_closed = true;
}

enum status plan_store_find(struct plan_store *store, const char *key, char **json)
{
    enum status rc = STATUS_OK;

    TRY(read_from(store->run, key, json));
    if (*json != NULL)
        goto out;
    TRY(read_from(store->cache, key, json));
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
