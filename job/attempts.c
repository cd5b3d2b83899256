#include "job/attempts.h"

#include "base/file.h"
#include "job/attempts_read.h"
#include "job/watch.h"
#include "kernels/cuda/device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
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

static enum status append_line(const char *path, const char *line, bool sync)
{
    enum status rc = STATUS_OK;
    size_t n = strlen(line);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);

    if (fd < 0 || write(fd, line, n) != (ssize_t)n || (sync && fsync(fd) != 0))
        FAIL(STATUS_PLACE, "%s: cannot note what happened: %s", path, strerror(errno));
out:
    if (fd >= 0)
        close(fd);
    return rc;
}

void attempts_name(const struct run *run, char name[32])
{
    format_time(run->started, "%Y%m%dT%H%M%SZ", name, 32);
}

enum status attempts_path(const struct run *run, char *path)
{
    enum status rc = STATUS_OK;
    char folder[RUN_PATH_SIZE], name[32];

    TRY(run_path(run, "attempts", folder));
    attempts_name(run, name);
    if (snprintf(path, RUN_PATH_SIZE, "%s/%s-rank%d.log", folder, name, run->comm.rank) >= RUN_PATH_SIZE)
        FAIL(STATUS_INPUT, "%s: the path is too long", folder);
out:
    return rc;
}

static enum status append(const struct run *run, const char *event, const char *detail, bool sync)
{
    enum status rc = STATUS_OK;
    char folder[RUN_PATH_SIZE], path[RUN_PATH_SIZE], host[256] = "?", quoted[1024], now[32];
    char line[LINE_SIZE];

    TRY(run_path(run, "attempts", folder));
    TRY(file_make_folders(folder));
    TRY(attempts_path(run, path));
    format_time(time(NULL), "%Y-%m-%dT%H:%M:%SZ", now, sizeof(now));
    gethostname(host, sizeof(host) - 1);
    quote(detail, quoted, sizeof(quoted));
    snprintf(line, sizeof(line), "time=%s event=%s rank=%d host=%s device=\"%s\" detail=\"%s\"\n", now, event,
             run->comm.rank, host, device_label(), quoted);
    TRY(append_line(path, line, sync));
out:
    return rc;
}

enum status attempts_note(const struct run *run, const char *event, const char *detail)
{
    return append(run, event, detail, true);
}

void attempts_log(const struct run *run, const char *event, const char *format, ...)
{
    char detail[512];
    va_list args;

    va_start(args, format);
    vsnprintf(detail, sizeof(detail), format, args);
    va_end(args);
    (void)append(run, event, detail, false); /* said where it failed; parts decide what is done */
}

void attempts_begin(const struct run *run)
{
    const char *job = getenv("SLURM_JOB_ID"), *restart = getenv("SLURM_RESTART_COUNT"),
               *until = getenv("EYESORE_JOB_END");

    attempts_log(run, "begin", "job=%.32s restart=%.16s ranks=%d until=%.20s", job == NULL ? "-" : job,
                 restart == NULL ? "0" : restart, run->comm.n_ranks, until == NULL ? "0" : until);
}

void attempts_note_stall(const struct run *run, const struct watch_stall *stall)
{
    bool at_shard = stall->shard >= 0 && (stall->stage == WATCH_FETCH || stall->stage == WATCH_DECODE ||
                                          stall->stage == WATCH_COMPUTE);

    attempts_log(run, "stalled", "stage=%s shard=%lld what=%.200s seconds=%.0f",
                 watch_stage_name(stall->stage), (long long)stall->shard, stall->what, stall->seconds);
    if (at_shard)
        attempts_log(run, "shard_failed", "shard=%lld cause=stall stage=%s what=%.200s",
                     (long long)stall->shard, watch_stage_name(stall->stage), stall->what);
}

/* Count the events of one name and, where `list` is not NULL, list their different details. */
struct collector {
    struct attempt_visitor base;
    const char *event;
    uint64_t n;
    char *list;
    size_t size;
};

static enum status collect(struct attempt_visitor *visitor, const struct attempt_event *event)
{
    struct collector *c = (struct collector *)visitor;

    if (strcmp(event->event, c->event) != 0)
        return STATUS_OK;
    c->n++;
    if (c->list != NULL && strstr(c->list, event->detail) == NULL) {
        size_t used = strlen(c->list);
        snprintf(c->list + used, c->size - used, "%s%s", used == 0 ? "" : "; ", event->detail);
    }
    return STATUS_OK;
}

enum status attempts_count(const struct run *run, const char *event, uint64_t *n)
{
    enum status rc = STATUS_OK;
    struct collector c = {.base = {collect}, .event = event};

    TRY(attempts_walk(run->options->out, &c.base));
    *n = c.n;
out:
    return rc;
}

enum status attempts_list(const struct run *run, const char *event, char *text, size_t size)
{
    struct collector c = {.base = {collect}, .event = event, .list = text, .size = size};

    text[0] = '\0';
    return attempts_walk(run->options->out, &c.base);
}
