#include "shards/ledger.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SHARDS_PER_FOLDER 1000
#define FINGERPRINT_DIGITS 16

enum entry_kind { ENTRY_PART, ENTRY_LEFTOVER, ENTRY_OTHER };

struct part_name {
    uint64_t shard;
    char fingerprint[FINGERPRINT_DIGITS + 1];
};

/* What walk_parts does with each file. */
struct visitor {
    enum status (*visit)(struct visitor *visitor, int folder_fd, const char *folder, const char *name);
    const char *out_folder, *run_fingerprint;
    struct ledger *ledger;
    char *foreign;
    uint64_t n_removed;
};

static enum status check_fingerprint(const char *hex)
{
    enum status rc = STATUS_OK;

    if (strspn(hex, "0123456789abcdef") < FINGERPRINT_DIGITS)
        FAIL(STATUS_INTERNAL, "\"%s\" is not a fingerprint", hex);
out:
    return rc;
}

enum status ledger_part_folder(const char *out_folder, uint64_t shard, char path[LEDGER_PATH_SIZE])
{
    enum status rc = STATUS_OK;
    int n = snprintf(path, LEDGER_PATH_SIZE, "%s/parts/%04" PRIu64, out_folder, shard / SHARDS_PER_FOLDER);

    /* Room for the part's name and the suffix of a temporary one. */
    if (n < 0 || n >= LEDGER_PATH_SIZE - 2 * LEDGER_NAME_SIZE)
        FAIL(STATUS_INPUT, "%s: the path is too long", out_folder);
out:
    return rc;
}

static void format_name(uint64_t shard, const char *run_fingerprint, char name[LEDGER_NAME_SIZE])
{
    snprintf(name, LEDGER_NAME_SIZE, "shard-%08" PRIu64 "-%.*s.h5", shard, FINGERPRINT_DIGITS,
             run_fingerprint);
}

enum status ledger_part_path(const char *out_folder, uint64_t shard, const char *run_fingerprint,
                             char path[LEDGER_PATH_SIZE])
{
    enum status rc = STATUS_OK;
    char folder[LEDGER_PATH_SIZE], name[LEDGER_NAME_SIZE];

    TRY(check_fingerprint(run_fingerprint));
    TRY(ledger_part_folder(out_folder, shard, folder));
    format_name(shard, run_fingerprint, name);
    if ((size_t)snprintf(path, LEDGER_PATH_SIZE, "%s/%s", folder, name) >= LEDGER_PATH_SIZE)
        FAIL(STATUS_INPUT, "%s: the path is too long", out_folder);
out:
    return rc;
}

/* Exactly the names that format_name makes, and those with ".tmp-..." behind. */
static enum entry_kind parse_name(const char *name, struct part_name *part)
{
    static const char prefix[] = "shard-";
    char again[LEDGER_NAME_SIZE];
    char *end;

    if (strstr(name, ".tmp-") != NULL)
        return ENTRY_LEFTOVER;
    if (strncmp(name, prefix, sizeof(prefix) - 1) != 0)
        return ENTRY_OTHER;
    const char *digits = name + sizeof(prefix) - 1;
    if (*digits < '0' || *digits > '9')
        return ENTRY_OTHER;
    errno = 0;
    part->shard = strtoull(digits, &end, 10);
    if (errno != 0 || *end != '-' || strspn(end + 1, "0123456789abcdef") != FINGERPRINT_DIGITS)
        return ENTRY_OTHER;
    memcpy(part->fingerprint, end + 1, FINGERPRINT_DIGITS);
    part->fingerprint[FINGERPRINT_DIGITS] = '\0';
    format_name(part->shard, part->fingerprint, again);
    return strcmp(name, again) == 0 ? ENTRY_PART : ENTRY_OTHER;
}

static enum status open_folder(int parent_fd, const char *name, const char *path, DIR **out)
{
    enum status rc = STATUS_OK;
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = NULL;

    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
        *out = NULL;
        goto out;
    }
    if (fd >= 0)
        dir = fdopendir(fd);
    if (dir == NULL)
        FAIL(STATUS_PLACE, "%s: cannot read the folder: %s", path, strerror(errno));
    fd = -1;
    *out = dir;
out:
    if (fd >= 0)
        close(fd);
    return rc;
}

/* OUT name: NULL at the end. */
static enum status next_name(DIR *dir, const char *path, const char **name)
{
    enum status rc = STATUS_OK;
    const struct dirent *entry;

    do {
        errno = 0;
        entry = readdir(dir);
    } while (entry != NULL && entry->d_name[0] == '.');
    if (entry == NULL && errno != 0)
        FAIL(STATUS_PLACE, "%s: cannot read the folder: %s", path, strerror(errno));
    *name = entry != NULL ? entry->d_name : NULL;
out:
    return rc;
}

/* Is this a folder of parts: four digits or more? */
static bool is_folder_name(const char *name)
{
    size_t n = strspn(name, "0123456789");

    return n >= 4 && n < 20 && name[n] == '\0';
}

static enum status walk_folder(int parts_fd, const char *name, struct visitor *visitor)
{
    enum status rc = STATUS_OK;
    DIR *dir = NULL;
    const char *file;

    TRY(open_folder(parts_fd, name, name, &dir));
    while (dir != NULL) {
        TRY(next_name(dir, name, &file));
        if (file == NULL)
            break;
        TRY(visitor->visit(visitor, dirfd(dir), name, file));
    }
out:
    if (dir != NULL)
        closedir(dir);
    return rc;
}

/* Every file of every folder under OUT/parts. */
static enum status walk_parts(struct visitor *visitor)
{
    enum status rc = STATUS_OK;
    char path[LEDGER_PATH_SIZE];
    DIR *dir = NULL;
    const char *name;

    if ((size_t)snprintf(path, sizeof(path), "%s/parts", visitor->out_folder) >= sizeof(path))
        FAIL(STATUS_INPUT, "%s: the path is too long", visitor->out_folder);
    TRY(open_folder(AT_FDCWD, path, path, &dir));
    while (dir != NULL) {
        TRY(next_name(dir, path, &name));
        if (name == NULL)
            break;
        if (is_folder_name(name))
            TRY(walk_folder(dirfd(dir), name, visitor));
    }
out:
    if (dir != NULL)
        closedir(dir);
    return rc;
}

static enum status note_part(struct visitor *visitor, int folder_fd, const char *folder, const char *name)
{
    enum status rc = STATUS_OK;
    struct ledger *ledger = visitor->ledger;
    struct part_name part;
    enum entry_kind kind = parse_name(name, &part);
    char expected[32];

    (void)folder_fd;
    if (kind == ENTRY_LEFTOVER)
        ledger->n_leftover++;
    if (kind != ENTRY_PART)
        goto out;
    snprintf(expected, sizeof(expected), "%04" PRIu64, part.shard / SHARDS_PER_FOLDER);
    bool ours = strncmp(part.fingerprint, visitor->run_fingerprint, FINGERPRINT_DIGITS) == 0;
    if (!ours || part.shard >= ledger->n_shards || strcmp(folder, expected) != 0) {
        snprintf(visitor->foreign, LEDGER_PATH_SIZE, "%.3500s/parts/%.30s/%.255s", visitor->out_folder,
                 folder, name);
        FAIL(STATUS_MISMATCH, "%s: %s; give the same command to resume, or another --out for a new sweep",
             visitor->foreign,
             !ours                            ? "a part of another run"
             : part.shard >= ledger->n_shards ? "a part of a shard that the plan does not have"
                                              : "a part in the wrong folder");
    }
    if (!ledger_is_done(ledger, part.shard))
        ledger->n_done++;
    ledger->bits[part.shard / 8] |= (uint8_t)(1u << part.shard % 8);
out:
    return rc;
}

enum status ledger_scan(const char *out_folder, const char *run_fingerprint, uint64_t n_shards,
                        struct ledger *ledger, char foreign[LEDGER_PATH_SIZE])
{
    enum status rc = STATUS_OK;
    struct ledger scanned = {.n_shards = n_shards};
    struct visitor visitor = {.visit = note_part,
                              .out_folder = out_folder,
                              .run_fingerprint = run_fingerprint,
                              .ledger = &scanned,
                              .foreign = foreign};

    foreign[0] = '\0';
    TRY(check_fingerprint(run_fingerprint));
    scanned.bits = calloc(n_shards / 8 + 1, 1);
    if (scanned.bits == NULL)
        FAIL(STATUS_MEMORY, "no memory for the ledger");
    TRY(walk_parts(&visitor));
    *ledger = scanned;
    scanned.bits = NULL;
out:
    free(scanned.bits);
    return rc;
}

void ledger_free(struct ledger *ledger)
{
    if (ledger == NULL)
        return;
    free(ledger->bits);
    *ledger = (struct ledger){0};
}

bool ledger_is_done(const struct ledger *ledger, uint64_t shard)
{
    return (ledger->bits[shard / 8] >> shard % 8 & 1) != 0;
}

void ledger_forget(struct ledger *ledger, uint64_t shard)
{
    if (ledger_is_done(ledger, shard))
        ledger->n_done--;
    ledger->bits[shard / 8] &= (uint8_t) ~(1u << shard % 8);
}

enum status ledger_missing(const struct ledger *ledger, uint64_t **missing, uint64_t *n_missing)
{
    enum status rc = STATUS_OK;
    uint64_t n = ledger->n_shards - ledger->n_done, at = 0;
    uint64_t *list = NULL;

    if (n > 0) {
        list = malloc(n * sizeof(*list));
        if (list == NULL)
            FAIL(STATUS_MEMORY, "no memory for the missing shards");
    }
    for (uint64_t shard = 0; shard < ledger->n_shards && at < n; shard++)
        if (!ledger_is_done(ledger, shard))
            list[at++] = shard;
    *missing = list;
    *n_missing = n;
out:
    return rc;
}

enum status ledger_set_aside(const char *out_folder, uint64_t shard, const char *run_fingerprint,
                             const char *reason)
{
    enum status rc = STATUS_OK;
    char path[LEDGER_PATH_SIZE], folder[LEDGER_PATH_SIZE], aside[LEDGER_PATH_SIZE];
    char name[LEDGER_NAME_SIZE], utc[32];
    struct tm tm;
    time_t now = time(NULL);
    uint64_t salt;

    TRY(ledger_part_path(out_folder, shard, run_fingerprint, path)); /* which leaves room for what follows */
    format_name(shard, run_fingerprint, name);
    TRY(file_random(&salt));
    strftime(utc, sizeof(utc), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
    snprintf(folder, sizeof(folder), "%s/set-aside", out_folder);
    if ((size_t)snprintf(aside, sizeof(aside), "%s/%s.%s-%016" PRIx64, folder, name, utc, salt) >=
        sizeof(aside))
        FAIL(STATUS_INPUT, "%s: the path is too long", out_folder);
    TRY(file_make_folders(folder));
    if (rename(path, aside) != 0) {
        if (errno == ENOENT)
            goto out;
        FAIL(STATUS_PLACE, "%s: does not count (%s), and cannot be moved to %s: %s: move it away by hand",
             path, reason, folder, strerror(errno));
    }
    log_warn("%s: does not count: %s: it is now %s, and the same command does its shard again", path, reason,
             aside);
out:
    return rc;
}

static enum status remove_leftover(struct visitor *visitor, int folder_fd, const char *folder,
                                   const char *name)
{
    enum status rc = STATUS_OK;
    struct part_name part;

    if (parse_name(name, &part) != ENTRY_LEFTOVER || strncmp(name, "shard-", 6) != 0)
        goto out;
    if (unlinkat(folder_fd, name, 0) == 0)
        visitor->n_removed++;
    else if (errno != ENOENT)
        FAIL(STATUS_PLACE, "%s/parts/%s/%s: cannot remove: %s", visitor->out_folder, folder, name,
             strerror(errno));
out:
    return rc;
}

enum status ledger_remove_leftovers(const char *out_folder, uint64_t *n_removed)
{
    enum status rc = STATUS_OK;
    struct visitor visitor = {.visit = remove_leftover, .out_folder = out_folder};

    TRY(walk_parts(&visitor));
    if (n_removed != NULL)
        *n_removed = visitor.n_removed;
out:
    return rc;
}
