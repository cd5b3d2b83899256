#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Process-wide by nature: there is one stderr, and a process has one rank. */
static enum log_level least_level = LOG_INFO;
static int own_rank = -1;
static _Thread_local int64_t current_shard = -1;

void log_set_level(enum log_level level)
{
    least_level = level;
}

void log_set_rank(int rank)
{
    own_rank = rank;
}

void log_set_shard(int64_t shard)
{
    current_shard = shard;
}

/* Messages carry ids and paths from strangers: control characters and quotes must not forge a line. */
static size_t append_escaped(char *line, size_t used, size_t size, const char *text, bool quoted)
{
    const char *first = text;

    for (; *text != '\0' && used + 4 < size; text++) {
        unsigned char c = (unsigned char)*text;
        unsigned char next = (unsigned char)text[1], last = text > first ? (unsigned char)text[-1] : 0;
        bool c1 = (c == 0xc2 && next >= 0x80 && next < 0xa0) || (last == 0xc2 && c < 0xa0); /* U+0080-9F */
        if (c < 0x20 || c == 0x7f || c1) {
            used += (size_t)snprintf(line + used, size - used, "\\x%02x", c);
        } else {
            if (quoted && (c == '"' || c == '\\'))
                line[used++] = '\\';
            line[used++] = (char)c;
        }
    }
    return used;
}

void log_line(enum log_level level, const char *format, ...)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    char message[1536];
    char line[4096];
    size_t used;
    va_list args;

    if (level < least_level)
        return;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);

    if (own_rank < 0) {
        used = (size_t)snprintf(line, sizeof(line), "eyesore: %s",
                                level == LOG_WARN ? "warning: " : (level == LOG_ERROR ? "error: " : ""));
        used = append_escaped(line, used, sizeof(line) - 1, message, false);
    } else {
        char when[32];
        struct tm utc;
        time_t now = time(NULL);
        strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
        used =
            (size_t)snprintf(line, sizeof(line), "time=%s level=%s rank=%d ", when, names[level], own_rank);
        if (current_shard >= 0)
            used +=
                (size_t)snprintf(line + used, sizeof(line) - used, "shard=%lld ", (long long)current_shard);
        used += (size_t)snprintf(line + used, sizeof(line) - used, "msg=\"");
        used = append_escaped(line, used, sizeof(line) - 3, message, true);
        line[used++] = '"';
    }
    line[used++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, used);
    (void)written; /* nowhere left to complain */
}
