#include "io/listing.h"

#include "io/open.h"
#include "io/tar.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

struct names {
    char **items;
    size_t n, capacity;
};

/* A folder that is being walked. */
struct level {
    struct names names;
    size_t next;   /* of names */
    size_t n_path; /* of its path, with its slash */
};

struct listing {
    listing_visit *visit;
    void *context;
    struct listing_counts *counts;
    size_t n_root;        /* of the path where the walk began, with its slash */
    const char *prefix;   /* takes its place in uris; NULL: nothing does */
    struct level *levels; /* the folder being walked and those above it: no recursion, since trees are deep */
    size_t n_levels, capacity;
    char path[PATH_MAX], uri[2 * PATH_MAX];
};

static bool is_picture(const char *name)
{
    static const char *const endings[] = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif"};
    const char *dot = strrchr(name, '.');

    for (size_t i = 0; dot != NULL && i < sizeof(endings) / sizeof(endings[0]); i++)
        if (strcasecmp(dot, endings[i]) == 0)
            return true;
    return false;
}

/* Bytes of the UTF-8 sequence at p, or 0 where it is none. Unicode standard, table 3-7. */
static size_t utf8_sequence(const unsigned char *p)
{
    static const struct {
        unsigned char first, last, low,
            high; /* leading bytes first..last, and the range of the second byte */
        size_t n;
    } kinds[] = {
        {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
        {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
        {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };

    if (p[0] < 0x80)
        return 1;
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        if (p[0] < kinds[k].first || p[0] > kinds[k].last)
            continue;
        if (p[1] < kinds[k].low || p[1] > kinds[k].high)
            return 0;
        for (size_t i = 2; i < kinds[k].n; i++) /* a NUL ends it, as any other byte that does not continue */
            if ((p[i] & 0xc0) != 0x80)
                return 0;
        return kinds[k].n;
    }
    return 0;
}

/* Why a name cannot stand in a manifest, or NULL where it can. */
static const char *find_flaw(const char *name)
{
    const unsigned char *p = (const unsigned char *)name;

    while (*p != '\0') {
        size_t n = utf8_sequence(p);
        if (n == 0)
            return "a name that is not UTF-8";
        if (*p < 0x20 || *p == 0x7f)
            return "control characters in a name";
        p += n;
    }
    return NULL;
}

static void names_free(struct names *names)
{
    for (size_t i = 0; i < names->n; i++)
        free(names->items[i]);
    free(names->items);
    *names = (struct names){0};
}

static enum status names_add(struct names *names, const char *name)
{
    enum status rc = STATUS_OK;

    if (names->n == names->capacity) {
        size_t capacity = names->capacity == 0 ? 64 : 2 * names->capacity;
        char **grown = realloc(names->items, capacity * sizeof(*grown));
        if (grown == NULL)
            FAIL(STATUS_MEMORY, "no memory to list %zu names", capacity);
        names->items = grown;
        names->capacity = capacity;
    }
    names->items[names->n] = strdup(name);
    if (names->items[names->n] == NULL)
        FAIL(STATUS_MEMORY, "no memory to list %zu names", names->n);
    names->n++;
out:
    return rc;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void names_sort(struct names *names)
{
    if (names->n > 0)
        qsort(names->items, names->n, sizeof(*names->items), compare_names);
}

/* Visit one picture. inside: its path below the top, whose last folder is the category. */
static enum status visit_picture(struct listing *l, const char *uri, const char *inside)
{
    enum status rc = STATUS_OK;
    char category[PATH_MAX] = "";
    const char *slash = strrchr(inside, '/');

    const char *flaw = find_flaw(uri);

    if (flaw != NULL) {
        log_warn("%s: skipped: %s cannot stand in a manifest: rename it", uri, flaw);
        l->counts->n_skipped++;
        goto out;
    }
    if (slash != NULL) {
        const char *begin = slash;
        while (begin > inside && begin[-1] != '/')
            begin--;
        snprintf(category, sizeof(category), "%.*s", (int)(slash - begin), begin);
    }
    l->counts->n_pictures++;
    TRY(l->visit(l->context, uri, category));
out:
    return rc;
}

static enum status list_names(const char *path, struct names *names)
{
    enum status rc = STATUS_OK;
    DIR *folder = opendir(path);
    const struct dirent *entry;

    if (folder == NULL)
        FAIL(status_is_place_errno(errno) ? STATUS_PLACE : STATUS_INPUT, "%s: %s", path, strerror(errno));
    while ((errno = 0, entry = readdir(folder)) != NULL)
        if (entry->d_name[0] != '.')
            TRY(names_add(names, entry->d_name));
    if (errno != 0)
        FAIL(STATUS_PLACE, "%s: cannot list the folder: %s", path, strerror(errno));
    names_sort(names);
out:
    if (folder != NULL)
        closedir(folder);
    return rc;
}

/* Go down into the folder l->path[0..n_path), which ends with a slash. */
static enum status push_level(struct listing *l, size_t n_path)
{
    enum status rc = STATUS_OK;

    if (l->n_levels == l->capacity) {
        size_t capacity = l->capacity == 0 ? 16 : 2 * l->capacity;
        struct level *grown = realloc(l->levels, capacity * sizeof(*grown));
        if (grown == NULL)
            FAIL(STATUS_MEMORY, "no memory to list %zu folders", capacity);
        l->levels = grown;
        l->capacity = capacity;
    }
    struct level *level = &l->levels[l->n_levels++];
    *level = (struct level){.n_path = n_path};
    l->path[n_path] = '\0';
    TRY(list_names(l->path, &level->names));
out:
    return rc;
}

static void pop_level(struct listing *l)
{
    names_free(&l->levels[--l->n_levels].names);
}

/* One name in the folder l->path[0..n_path), which ends with a slash. */
static enum status walk_entry(struct listing *l, size_t n_path, const char *name)
{
    enum status rc = STATUS_OK;
    struct stat link, target;
    size_t n_name = strlen(name);
    char *path = l->path;

    if (n_path + n_name + 2 > PATH_MAX) {
        path[n_path] = '\0';
        log_warn("%s: skipped a name in it: the path is longer than %d bytes", path, PATH_MAX - 1);
        l->counts->n_skipped++;
        goto out;
    }
    memcpy(path + n_path, name, n_name + 1);
    if (lstat(path, &link) != 0 || stat(path, &target) != 0) {
        if (status_is_place_errno(errno))
            FAIL(STATUS_PLACE, "%s: %s", path, strerror(errno));
        log_warn("%s: skipped: %s", path, strerror(errno));
        l->counts->n_others++;
    } else if (S_ISDIR(link.st_mode)) {
        memcpy(path + n_path + n_name, "/", 2);
        TRY(push_level(l, n_path + n_name + 1));
    } else if (S_ISREG(target.st_mode) && is_picture(name)) {
        const char *inside = path + l->n_root;
        snprintf(l->uri, sizeof(l->uri), "%s%s", l->prefix == NULL ? "" : l->prefix,
                 l->prefix == NULL ? path : inside);
        TRY(visit_picture(l, l->uri, inside));
    } else {
        l->counts->n_others++;
    }
out:
    return rc;
}

static enum status walk_folders(struct listing *l)
{
    enum status rc = STATUS_OK;

    TRY(push_level(l, l->n_root));
    while (l->n_levels > 0) {
        struct level *level = &l->levels[l->n_levels - 1];
        if (level->next == level->names.n)
            pop_level(l);
        else /* it may move the levels: level is not used behind it */
            TRY(walk_entry(l, level->n_path, level->names.items[level->next++]));
    }
out:
    while (l->n_levels > 0)
        pop_level(l);
    free(l->levels);
    return rc;
}

struct tar_names {
    struct names names;
    struct listing_counts *counts;
};

static enum status add_tar_name(void *context, const struct tar_member *member)
{
    struct tar_names *found = context;
    const char *base = strrchr(member->name, '/');

    base = base == NULL ? member->name : base + 1;
    if (base[0] == '.' || !is_picture(base)) {
        found->counts->n_others++;
        return STATUS_OK;
    }
    return names_add(&found->names, member->name);
}

static enum status walk_tar(struct listing *l, const char *path)
{
    enum status rc = STATUS_OK;
    struct tar_names found = {.counts = l->counts};
    char reason[128], *uri = NULL;
    bool ended_early = false;
    struct stat st;
    int fd = open_regular(path, 0, &st);

    if (fd < 0)
        FAIL(status_is_place_errno(errno) ? STATUS_PLACE : STATUS_INPUT, "%s: %s", path,
             open_strerror(errno));
    rc = tar_walk(fd, path, add_tar_name, &found, &ended_early, reason, sizeof(reason));
    if (rc == STATUS_INPUT)
        log_error("%s: %s", path, reason);
    if (rc != STATUS_OK)
        goto out;
    if (ended_early)
        log_warn("%s: the tar file has no end mark: is it whole?", path);
    names_sort(&found.names);
    for (size_t i = 0; i < found.names.n; i++) {
        const char *name = found.names.items[i];
        if (i > 0 && strcmp(name, found.names.items[i - 1]) == 0)
            continue; /* only the last of them can be read */
        free(uri);
        uri = NULL;
        if (asprintf(&uri, "%s%s%s", l->prefix == NULL ? path : l->prefix, l->prefix == NULL ? "#" : "",
                     name) < 0)
            FAIL(STATUS_MEMORY, "no memory for a uri");
        TRY(visit_picture(l, uri, name));
    }
out:
    free(uri);
    names_free(&found.names);
    if (fd >= 0)
        close(fd);
    return rc;
}

enum status listing_walk(const char *path, const char *prefix, listing_visit *visit, void *context,
                         struct listing_counts *counts)
{
    enum status rc = STATUS_OK;
    struct listing l = {.visit = visit, .context = context, .counts = counts, .prefix = prefix};
    struct stat st;
    size_t n = strlen(path);

    *counts = (struct listing_counts){0};
    if (stat(path, &st) != 0)
        FAIL(status_is_place_errno(errno) ? STATUS_PLACE : STATUS_INPUT, "%s: %s", path, strerror(errno));
    if (!S_ISDIR(st.st_mode)) {
        if (n < 4 || strcmp(path + n - 4, ".tar") != 0)
            FAIL(STATUS_INPUT, "%s: expected a folder or a .tar file: give the folder that has the pictures",
                 path);
        TRY(walk_tar(&l, path));
        goto out;
    }
    while (n > 1 && path[n - 1] == '/')
        n--;
    if (n + 2 > PATH_MAX)
        FAIL(STATUS_INPUT, "%s: the path is too long", path);
    memcpy(l.path, path, n);
    if (n == 0 || l.path[n - 1] != '/')
        l.path[n++] = '/';
    l.n_root = n;
    TRY(walk_folders(&l));
out:
    return rc;
}
