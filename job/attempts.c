#include "job/attempts.h"

#include "base/file.h"
#include "kernels/cuda/device.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_SIZE 2048

/* One quoted value must stay one: no quotes or line ends in it. */
static void quote(const char *text, char *quoted, size_t size)
{
    size_t n = 0;

    for (const char *c = text; *c != '\0' && n + 1 < size; c++)
        quoted[n++] = *c == '"' ? '\'' : (unsigned char)*c < ' ' ? ' ' : *c;
    quoted[n] = '\0';
}

static void format_time(time_t when, const char *format, char *text, size_t size)
{
    struct tm utc;
    strftime(text, size, format, gmtime_r(&when, &utc));
}

static enum status append_line(const char *path, const char *line)
{
    enum status rc = STATUS_OK;
    size_t n = strlen(line);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);

    if (fd < 0 || write(fd, line, n) != (ssize_t)n || fsync(fd) != 0)
        FAIL(STATUS_PLACE, "%s: cannot note what happened: %s", path, strerror(errno));
out:
    if (fd >= 0)
        close(fd);
    return rc;
}

enum status attempts_note(const struct run *run, const char *event, const char *detail)
{
    enum status rc = STATUS_OK;
    char folder[RUN_PATH_SIZE], path[RUN_PATH_SIZE + 64], host[256] = "?", quoted[1024], now[32], attempt[32];
    char line[LINE_SIZE];

    TRY(run_path(run, "attempts", folder));
    TRY(file_make_folders(folder));
    format_time(run->started, "%Y%m%dT%H%M%SZ", attempt, sizeof(attempt));
    format_time(time(NULL), "%Y-%m-%dT%H:%M:%SZ", now, sizeof(now));
    snprintf(path, sizeof(path), "%s/%s-rank%d.log", folder, attempt, run->comm.rank);
    gethostname(host, sizeof(host) - 1);
    quote(detail, quoted, sizeof(quoted));
    snprintf(line, sizeof(line), "time=%s event=%s rank=%d host=%s device=\"%s\" detail=\"%s\"\n", now, event,
             run->comm.rank, host, device_label(), quoted);
    TRY(append_line(path, line));
out:
    return rc;
}

static uint64_t count_in(const char *text, const char *event)
{
    uint64_t n = 0;
    char mark[64];

    snprintf(mark, sizeof(mark), " event=%s ", event);
    for (const char *at = strstr(text, mark); at != NULL; at = strstr(at + 1, mark))
        n++;
    return n;
}

/* What is done with each file of the folder. */
struct visit {
    const char *event;
    uint64_t n;
    char *list; /* NULL: only count */
    size_t size;
};

/* Add the details of the event's lines that the list has not yet. */
static void list_in(const char *text, struct visit *v)
{
    char mark[64], detail[512];

    snprintf(mark, sizeof(mark), " event=%s ", v->event);
    for (const char *at = strstr(text, mark); at != NULL; at = strstr(at + 1, mark)) {
        const char *from = strstr(at, "detail=\"");
        if (from == NULL || sscanf(from, "detail=\"%511[^\"]\"", detail) != 1 ||
            strstr(v->list, detail) != NULL)
            continue;
        size_t used = strlen(v->list);
        snprintf(v->list + used, v->size - used, "%s%s", used == 0 ? "" : "; ", detail);
    }
}

static enum status visit_all(const struct run *run, struct visit *v)
{
    enum status rc = STATUS_OK;
    char folder[RUN_PATH_SIZE], path[2 * RUN_PATH_SIZE];
    const struct dirent *entry;
    DIR *listing = NULL;
    char *text = NULL;
    size_t size;

    TRY(run_path(run, "attempts", folder));
    listing = opendir(folder);
    if (listing == NULL && errno != ENOENT)
        FAIL(STATUS_PLACE, "%s: %s", folder, strerror(errno));
    while (listing != NULL && (entry = readdir(listing)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        TRY(file_read(path, 64u << 20, &text, &size));
        v->n += count_in(text, v->event);
        if (v->list != NULL)
            list_in(text, v);
        free(text);
        text = NULL;
    }
out:
    if (listing != NULL)
        closedir(listing);
    free(text);
    return rc;
}

enum status attempts_count(const struct run *run, const char *event, uint64_t *n)
{
    enum status rc = STATUS_OK;
    struct visit v = {.event = event};

    TRY(visit_all(run, &v));
    *n = v.n;
out:
    return rc;
}

enum status attempts_list(const struct run *run, const char *event, char *text, size_t size)
{
    struct visit v = {.event = event, .list = text, .size = size};
    text[0] = '\0';
    return visit_all(run, &v);
}
