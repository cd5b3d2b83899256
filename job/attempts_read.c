#include "job/attempts_read.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_SIZE 4096

/* The text behind ` key=` up to the next space, or, quoted, up to the next quote. */
static bool get(const char *line, const char *key, char *value, size_t size)
{
    char mark[40];

    int n = snprintf(mark, sizeof(mark), "%s=", key);
    const char *at = line;
    while ((at = strstr(at, mark)) != NULL && at != line && at[-1] != ' ')
        at++;
    if (at == NULL)
        return false;
    at += n;
    const char *end = *at == '"' ? strchr(++at, '"') : at + strcspn(at, " \n");
    if (end == NULL)
        return false; /* cut off */
    snprintf(value, size, "%.*s", (int)(end - at), at);
    return true;
}

static bool parse_time(const char *text, int64_t *time_s)
{
    struct tm utc = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &utc);

    *time_s = (int64_t)timegm(&utc);
    return end != NULL && *end == '\0';
}

/* `name` is the file's. */
static bool parse_line(const char *name, const char *line, struct attempt_event *out)
{
    char when[32], rank[16];

    *out = (struct attempt_event){.rank = -1};
    if (strchr(line, '\n') == NULL || !get(line, "time", when, sizeof(when)) ||
        !parse_time(when, &out->time_s) || !get(line, "event", out->event, sizeof(out->event)) ||
        !get(line, "host", out->host, sizeof(out->host)) ||
        !get(line, "detail", out->detail, sizeof(out->detail)))
        return false;
    snprintf(out->attempt, sizeof(out->attempt), "%.*s", (int)strcspn(name, "-"), name);
    if (get(line, "rank", rank, sizeof(rank)))
        out->rank = (int)strtol(rank, NULL, 10);
    (void)get(line, "device", out->device, sizeof(out->device));
    return true;
}

static enum status read_one(int folder, const char *name, struct attempt_visitor *visitor)
{
    enum status rc = STATUS_OK;
    char line[LINE_SIZE];
    struct attempt_event event;
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;

    if (file == NULL) {
        log_warn("attempts/%s: %s: what it says is left out", name, strerror(errno));
        if (fd >= 0)
            close(fd);
        return STATUS_OK;
    }
    while (fgets(line, sizeof(line), file) != NULL)
        if (parse_line(name, line, &event))
            TRY(visitor->visit(visitor, &event));
out:
    fclose(file);
    return rc;
}

static int is_log(const struct dirent *entry)
{
    size_t n = strlen(entry->d_name);
    return n > 4 && entry->d_name[0] != '.' && strcmp(entry->d_name + n - 4, ".log") == 0;
}

enum status attempts_walk(const char *out_folder, struct attempt_visitor *visitor)
{
    enum status rc = STATUS_OK;
    char path[4096];
    struct dirent **entries = NULL;
    int n = 0, folder = -1;

    if (snprintf(path, sizeof(path), "%s/attempts", out_folder) >= (int)sizeof(path))
        FAIL(STATUS_INPUT, "%s: the path is too long", out_folder);
    folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 && errno == ENOENT)
        goto out;
    if (folder < 0 || (n = scandirat(folder, ".", &entries, is_log, alphasort)) < 0)
        FAIL(STATUS_PLACE, "%s: %s", path, strerror(errno));
    for (int i = 0; i < n; i++)
        TRY(read_one(folder, entries[i]->d_name, visitor));
out:
    for (int i = 0; i < n; i++)
        free(entries[i]);
    free(entries);
    if (folder >= 0)
        close(folder);
    return rc;
}

bool attempt_detail_number(const char *detail, const char *key, uint64_t *value)
{
    char text[32];
    char *end;

    if (!get(detail, key, text, sizeof(text)) || text[0] < '0' || text[0] > '9')
        return false;
    *value = strtoull(text, &end, 10);
    return *end == '\0';
}
