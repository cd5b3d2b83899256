#include "io/tar_cache.h"

#include "io/open.h"
#include "io/tar.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

struct member {
    uint64_t hash_high, hash_low, offset, size;
};

enum tar_state {
    TAR_INDEXING,
    TAR_READY,
    TAR_BROKEN,  /* no tar, or nothing of it can be read: remembered until the file changes */
    TAR_UNUSABLE /* not opened or not read: not remembered, it may be put right meanwhile */
};

struct tar_file {
    struct tar_file *next; /* most recently used first; NULL-terminated */
    char *path;
    size_t n_root; /* of path: what it may not leave */
    struct stat st;
    int fd;
    enum tar_state state;
    enum status rc; /* of the indexing, for those who waited for it */
    int error;
    char reason[128];
    size_t n_holders;
    bool forgotten; /* no longer in the list: the last holder frees it */
    struct member *members;
    size_t n, capacity;
};

struct tar_cache {
    pthread_mutex_t lock;
    pthread_cond_t indexed;
    struct tar_file *first;
    size_t max_tars, max_bytes;
};

enum status tar_cache_open(size_t max_tars, size_t max_bytes, struct tar_cache **out)
{
    enum status rc = STATUS_OK;
    struct tar_cache *cache = calloc(1, sizeof(*cache));

    if (cache == NULL)
        FAIL(STATUS_MEMORY, "no memory for the index of tar files");
    pthread_mutex_init(&cache->lock, NULL); /* cannot fail with default attributes on Linux */
    pthread_cond_init(&cache->indexed, NULL);
    cache->max_tars = max_tars == 0 ? 1 : max_tars;
    cache->max_bytes = max_bytes;
    *out = cache;
out:
    return rc;
}

static void tar_file_free(struct tar_file *tar)
{
    if (tar == NULL)
        return;
    if (tar->fd >= 0)
        close(tar->fd);
    free(tar->path);
    free(tar->members);
    free(tar);
}

void tar_cache_close(struct tar_cache *cache)
{
    if (cache == NULL)
        return;
    while (cache->first != NULL) {
        struct tar_file *next = cache->first->next;
        tar_file_free(cache->first);
        cache->first = next;
    }
    pthread_cond_destroy(&cache->indexed);
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}

static void hash_name(const char *name, struct member *member)
{
    XXH128_hash_t hash = XXH3_128bits(name, strlen(name));

    member->hash_high = hash.high64;
    member->hash_low = hash.low64;
}

static int compare_names(const struct member *a, const struct member *b)
{
    if (a->hash_high != b->hash_high)
        return a->hash_high < b->hash_high ? -1 : 1;
    return a->hash_low < b->hash_low ? -1 : a->hash_low > b->hash_low;
}

static int compare_members(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    int names = compare_names(x, y);

    return names != 0 ? names : (x->offset < y->offset ? -1 : x->offset > y->offset);
}

static enum status add_member(void *context, const struct tar_member *found)
{
    enum status rc = STATUS_OK;
    struct tar_file *tar = context;

    if (tar->n == tar->capacity) {
        size_t capacity = tar->capacity == 0 ? 256 : 2 * tar->capacity;
        struct member *grown = realloc(tar->members, capacity * sizeof(*grown));
        if (grown == NULL)
            FAIL(STATUS_MEMORY, "%s: no memory to index %zu members", tar->path, capacity);
        tar->members = grown;
        tar->capacity = capacity;
    }
    struct member *member = &tar->members[tar->n++];
    hash_name(found->name, member);
    member->offset = found->offset;
    member->size = found->size;
out:
    return rc;
}

/* Without the lock: only this thread touches a tar that is being indexed. */
static enum status index_tar(struct tar_file *tar)
{
    enum status rc = STATUS_OK;
    bool ended_early = false;

    tar->fd = open_regular(tar->path, tar->n_root, &tar->st);
    if (tar->fd < 0) {
        tar->error = errno;
        if (status_is_place_errno(errno))
            FAIL(STATUS_PLACE, "%s: %s", tar->path, strerror(errno));
        goto out;
    }
    rc = tar_walk(tar->fd, tar->path, add_member, tar, &ended_early, tar->reason, sizeof(tar->reason));
    if (rc == STATUS_INPUT && tar->n > 0) { /* broken in the middle: what stands before it can be used */
        log_warn("%s: %s; the %zu members before it are used", tar->path, tar->reason, tar->n);
        rc = STATUS_OK;
    }
    if (rc != STATUS_OK)
        goto out;
    if (ended_early)
        log_warn("%s: the tar file has no end mark: is it whole?", tar->path);
    if (tar->n > 0) {
        qsort(tar->members, tar->n, sizeof(*tar->members), compare_members);
        struct member *exact = realloc(tar->members, tar->n * sizeof(*exact));
        tar->members = exact == NULL ? tar->members : exact;
        tar->capacity = tar->n;
    }
out:
    return rc;
}

/* With the lock: forget the least recently used ones beyond the limits, but never the first. */
static void forget_oldest(struct tar_cache *cache)
{
    struct tar_file **link = &cache->first;
    size_t n = 0, bytes = 0;

    while (*link != NULL) {
        struct tar_file *tar = *link;
        n++;
        bytes += tar->state == TAR_READY ? tar->capacity * sizeof(struct member) : 0;
        if (n == 1 || (n <= cache->max_tars && bytes <= cache->max_bytes)) {
            link = &tar->next;
            continue;
        }
        *link = tar->next;
        tar->forgotten = true;
        if (tar->n_holders == 0)
            tar_file_free(tar);
    }
}

/* With the lock. */
static struct tar_file *find_tar(struct tar_cache *cache, const char *path, size_t n_root)
{
    for (struct tar_file **link = &cache->first; *link != NULL; link = &(*link)->next) {
        struct tar_file *tar = *link;
        if (tar->n_root != n_root || strcmp(tar->path, path) != 0)
            continue;
        *link = tar->next;
        tar->next = cache->first;
        cache->first = tar;
        return tar;
    }
    return NULL;
}

/* With the lock. */
static struct tar_file *add_tar(struct tar_cache *cache, const char *path, size_t n_root)
{
    struct tar_file *tar = calloc(1, sizeof(*tar));

    if (tar == NULL || (tar->path = strdup(path)) == NULL) {
        free(tar);
        return NULL;
    }
    tar->n_root = n_root;
    tar->fd = -1;
    tar->n_holders = 1;
    tar->next = cache->first;
    cache->first = tar;
    forget_oldest(cache);
    return tar;
}

/* With the lock. */
static void forget(struct tar_cache *cache, struct tar_file *tar)
{
    if (tar->forgotten)
        return;
    for (struct tar_file **link = &cache->first; *link != NULL; link = &(*link)->next)
        if (*link == tar) {
            *link = tar->next;
            break;
        }
    tar->forgotten = true;
}

/* With the lock. */
static void let_go(struct tar_cache *cache, struct tar_file *tar)
{
    tar->n_holders--;
    if (tar->state == TAR_UNUSABLE)
        forget(cache, tar);
    if (tar->forgotten && tar->n_holders == 0)
        tar_file_free(tar);
}

/* Without the lock, since it may wait for a file server. */
static bool has_changed(const struct tar_file *tar)
{
    struct stat now;

    return stat(tar->path, &now) != 0 || now.st_dev != tar->st.st_dev || now.st_ino != tar->st.st_ino ||
           now.st_size != tar->st.st_size || now.st_mtim.tv_sec != tar->st.st_mtim.tv_sec ||
           now.st_mtim.tv_nsec != tar->st.st_mtim.tv_nsec;
}

/* With the lock, which it gives up for a moment. Find a tar and hold it; NULL: it is to be indexed. */
static struct tar_file *hold_known(struct tar_cache *cache, const char *path, size_t n_root)
{
    for (;;) {
        struct tar_file *tar = find_tar(cache, path, n_root);
        if (tar == NULL)
            return NULL;
        tar->n_holders++;
        if (tar->state != TAR_BROKEN)
            return tar;
        pthread_mutex_unlock(&cache->lock);
        bool changed = has_changed(tar);
        pthread_mutex_lock(&cache->lock);
        if (!changed)
            return tar;
        forget(cache, tar);
        let_go(cache, tar);
    }
}

/* With the lock, which it gives up meanwhile. */
static void index_held(struct tar_cache *cache, struct tar_file *tar)
{
    pthread_mutex_unlock(&cache->lock);
    enum status rc = index_tar(tar);
    bool ready = rc == STATUS_OK && tar->error == 0;
    if (!ready && tar->fd >= 0) {
        close(tar->fd);
        tar->fd = -1;
    }
    pthread_mutex_lock(&cache->lock);
    tar->rc = rc;
    tar->state = ready ? TAR_READY : rc == STATUS_INPUT ? TAR_BROKEN : TAR_UNUSABLE;
    if (!tar->forgotten)
        forget_oldest(cache);
    pthread_cond_broadcast(&cache->indexed);
}

enum status tar_cache_hold(struct tar_cache *cache, const char *path, size_t n_root, struct tar_file **held,
                           int *error, char *reason, size_t size)
{
    enum status rc = STATUS_OK;

    *held = NULL;
    *error = 0;
    pthread_mutex_lock(&cache->lock);
    struct tar_file *tar = hold_known(cache, path, n_root);
    bool own = tar == NULL;
    if (own)
        tar = add_tar(cache, path, n_root);
    if (tar == NULL) {
        pthread_mutex_unlock(&cache->lock);
        FAIL(STATUS_MEMORY, "%s: no memory for its index", path);
    }
    if (own)
        index_held(cache, tar);
    while (tar->state == TAR_INDEXING)
        pthread_cond_wait(&cache->indexed, &cache->lock);
    if (tar->state == TAR_READY) {
        *held = tar;
    } else {
        *error = tar->error;
        snprintf(reason, size, "%s", tar->reason);
        rc = tar->rc == STATUS_INPUT ? STATUS_OK : tar->rc; /* told by reason */
        let_go(cache, tar);
    }
    pthread_mutex_unlock(&cache->lock);
out:
    return rc;
}

void tar_cache_release(struct tar_cache *cache, struct tar_file *held)
{
    if (held == NULL)
        return;
    pthread_mutex_lock(&cache->lock);
    let_go(cache, held);
    pthread_mutex_unlock(&cache->lock);
}

bool tar_file_find(const struct tar_file *tar, const char *name, uint64_t *offset, uint64_t *n)
{
    struct member wanted;
    size_t low = 0, high = tar->n; /* the first member behind all of this name is in [low, high] */

    hash_name(tar_plain_name(name), &wanted);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_names(&tar->members[middle], &wanted) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0 || compare_names(&tar->members[low - 1], &wanted) != 0)
        return false;
    *offset = tar->members[low - 1].offset;
    *n = tar->members[low - 1].size;
    return true;
}

int tar_file_descriptor(const struct tar_file *tar)
{
    return tar->fd;
}

void tar_cache_usage(struct tar_cache *cache, size_t *n_tars, size_t *n_bytes)
{
    *n_tars = 0;
    *n_bytes = 0;
    pthread_mutex_lock(&cache->lock);
    for (const struct tar_file *tar = cache->first; tar != NULL; tar = tar->next) {
        *n_tars += 1;
        *n_bytes += tar->state == TAR_READY ? tar->capacity * sizeof(struct member) : 0;
    }
    pthread_mutex_unlock(&cache->lock);
}
