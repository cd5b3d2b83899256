#include "job/attempts_read.h"

#include "job/status_text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_MOST 4096 /* a longer line is not ours */
#define BUFFER_SIZE (64 * 1024)

struct slice {
    const char *from;
    size_t n;
};

static bool is(struct slice slice, const char *word)
{
    return slice.n == strlen(word) && memcmp(slice.from, word, slice.n) == 0;
}

static bool digits(const char *text, int n, int *value)
{
    *value = 0;
    for (int i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        *value = 10 * *value + (text[i] - '0');
    }
    return true;
}

/* Days from 1970-01-01 of the proleptic Gregorian calendar; strptime and timegm would take most of our time.
 */
static int64_t days_since_1970(int year, int month, int day)
{
    int y = month <= 2 ? year - 1 : year; /* years begin in March: the leap day is their last */
    int day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

    return 365 * (int64_t)y + y / 4 - y / 100 + y / 400 + day_of_year - 719468;
}

bool attempt_parse_time(const char *text, size_t size, int64_t *time_s)
{
    int year, month, day, hour, minute, second;

    if (size != 20 || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' ||
        text[16] != ':' || text[19] != 'Z' || !digits(text, 4, &year) || !digits(text + 5, 2, &month) ||
        !digits(text + 8, 2, &day) || !digits(text + 11, 2, &hour) || !digits(text + 14, 2, &minute) ||
        !digits(text + 17, 2, &second) || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 ||
        minute > 59 || second > 60)
        return false;
    *time_s = 86400 * days_since_1970(year, month, day) + 3600 * hour + 60 * minute + second;
    return true;
}

/* The next key=value or key="value"; *at moves behind it. False: no more, or the line is cut off in it. */
static bool next_pair(const char **at, const char *end, struct slice *key, struct slice *value)
{
    const char *p = *at;

    for (;;) {
        while (p < end && *p == ' ')
            p++;
        key->from = p;
        while (p < end && *p != ' ' && *p != '=')
            p++;
        if (p == end)
            return false;
        if (*p == '=')
            break; /* else a word without a value: not ours, go on behind it */
    }
    key->n = (size_t)(p - key->from);
    bool quoted = ++p < end && *p == '"';
    value->from = quoted ? ++p : p;
    p = memchr(p, quoted ? '"' : ' ', (size_t)(end - p));
    if (p == NULL && quoted)
        return false;
    if (p == NULL)
        p = end;
    value->n = (size_t)(p - value->from);
    *at = quoted ? p + 1 : p;
    return true;
}

static void copy(struct slice value, char *text, size_t size)
{
    size_t n = value.n < size ? value.n : size - 1;

    for (size_t i = 0; i < n; i++)
        text[i] = value.from[i] == '\0' ? '?' : value.from[i];
    text[n] = '\0';
    text_make_printable(text);
}

static int parse_rank(struct slice value)
{
    int rank;
    return value.n >= 1 && value.n <= 8 && digits(value.from, (int)value.n, &rank) ? rank : -1;
}

/* IN line: without its line end. OUT out: all but `attempt`. Of a key that comes twice the first counts. */
static bool parse_line(const char *line, const char *end, struct attempt_event *out)
{
    bool timed = false;
    bool has_event = false, has_host = false, has_detail = false, has_device = false, has_rank = false;
    struct slice key, value;

    out->rank = -1;
    out->device[0] = '\0';
    for (const char *at = line; next_pair(&at, end, &key, &value);) {
        if (!timed && is(key, "time")) {
            if (!attempt_parse_time(value.from, value.n, &out->time_s))
                return false;
            timed = true;
        } else if (!has_event && is(key, "event")) {
            copy(value, out->event, sizeof(out->event));
            has_event = true;
        } else if (!has_rank && is(key, "rank")) {
            out->rank = parse_rank(value);
            has_rank = true;
        } else if (!has_host && is(key, "host")) {
            copy(value, out->host, sizeof(out->host));
            has_host = true;
        } else if (!has_device && is(key, "device")) {
            copy(value, out->device, sizeof(out->device));
            has_device = true;
        } else if (!has_detail && is(key, "detail")) {
            copy(value, out->detail, sizeof(out->detail));
            has_detail = true;
        }
    }
    return timed && has_event && has_host && has_detail;
}

/* The whole lines of a buffer. OUT n_used: bytes of them. */
static enum status visit_lines(const char *buffer, size_t size, bool *skipping, struct attempt_event *event,
                               struct attempt_visitor *visitor, size_t *n_used)
{
    enum status rc = STATUS_OK;
    const char *at = buffer, *line_end;

    while ((line_end = memchr(at, '\n', size - (size_t)(at - buffer))) != NULL) {
        if (!*skipping && line_end - at <= LINE_MOST && parse_line(at, line_end, event))
            TRY(visitor->visit(visitor, event));
        *skipping = false;
        at = line_end + 1;
    }
out:
    *n_used = (size_t)(at - buffer);
    return rc;
}

static enum status visit_stream(int fd, const char *name, struct attempt_event *event,
                                struct attempt_visitor *visitor)
{
    enum status rc = STATUS_OK;
    size_t kept = 0, n_used;
    bool skipping = false; /* in a line that is too long */
    char *buffer = malloc(BUFFER_SIZE);

    if (buffer == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    for (;;) {
        ssize_t n = read(fd, buffer + kept, BUFFER_SIZE - kept);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            log_warn("attempts/%s: cannot be read to its end: %s", name, strerror(errno));
            visitor->n_unreadable++;
        }
        if (n <= 0)
            break; /* what is left has no line end: it is being written, or was cut */
        kept += (size_t)n;
        TRY(visit_lines(buffer, kept, &skipping, event, visitor, &n_used));
        kept -= n_used;
        if (kept > LINE_MOST) {
            skipping = true;
            kept = 0;
        }
        memmove(buffer, buffer + n_used, kept);
    }
out:
    free(buffer);
    return rc;
}

static enum status read_one(int folder, const char *name, struct attempt_event *event,
                            struct attempt_visitor *visitor)
{
    enum status rc = STATUS_OK;
    struct stat st;
    char shown[256];
    /* Not blocking: a FIFO must not hang us. */
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0 && errno == ENOENT)
        goto out;
    int error = errno;
    snprintf(shown, sizeof(shown), "%s", name);
    text_make_printable(shown);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        log_warn("attempts/%s: %s: what it says is left out", shown,
                 fd < 0 ? strerror(error) : "not a regular file");
        visitor->n_unreadable++;
        goto out;
    }
    snprintf(event->attempt, sizeof(event->attempt), "%.*s", (int)strcspn(name, "-"), name);
    text_make_printable(event->attempt);
    TRY(visit_stream(fd, shown, event, visitor));
out:
    if (fd >= 0)
        close(fd);
    return rc;
}

static int is_log(const struct dirent *entry)
{
    size_t n = strlen(entry->d_name);
    return n > 4 && entry->d_name[0] != '.' && strcmp(entry->d_name + n - 4, ".log") == 0;
}

/* alphasort goes by the user's locale. */
static int compare_names(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

enum status attempts_walk(const char *out_folder, struct attempt_visitor *visitor)
{
    enum status rc = STATUS_OK;
    char path[4096];
    struct dirent **entries = NULL;
    struct attempt_event event;
    int n = 0, folder = -1;

    if (snprintf(path, sizeof(path), "%s/attempts", out_folder) >= (int)sizeof(path))
        FAIL(STATUS_INPUT, "%s: the path is too long", out_folder);
    folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 && errno == ENOENT)
        goto out;
    if (folder < 0 || (n = scandirat(folder, ".", &entries, is_log, compare_names)) < 0)
        FAIL(STATUS_PLACE, "%s: %s", path, strerror(errno));
    for (int i = 0; i < n; i++)
        TRY(read_one(folder, entries[i]->d_name, &event, visitor));
out:
    for (int i = 0; i < n; i++)
        free(entries[i]);
    free(entries);
    if (folder >= 0)
        close(folder);
    return rc;
}

/* What stands behind KEY=, at the begin of the detail or behind a space. */
static const char *find(const char *detail, const char *key)
{
    size_t n = strlen(key);

    for (const char *at = detail; (at = strstr(at, key)) != NULL; at += n)
        if ((at == detail || at[-1] == ' ') && at[n] == '=')
            return at + n + 1;
    return NULL;
}

bool attempt_detail_number(const char *detail, const char *key, uint64_t *value)
{
    const char *text = find(detail, key);
    char *end;

    if (text == NULL || *text < '0' || *text > '9')
        return false;
    errno = 0;
    uint64_t number = strtoull(text, &end, 10);
    if (errno != 0 || (*end != ' ' && *end != '\0'))
        return false;
    *value = number;
    return true;
}

bool attempt_detail_real(const char *detail, const char *key, double *value)
{
    const char *text = find(detail, key);
    char *end;

    if (text == NULL)
        return false;
    double number = strtod(text, &end);
    if (end == text || (*end != ' ' && *end != '\0') || !isfinite(number) || number < 0)
        return false;
    *value = number;
    return true;
}

void attempt_detail_word(const char *detail, const char *key, char *word, size_t size)
{
    const char *text = find(detail, key);
    snprintf(word, size, "%.*s", text == NULL ? 0 : (int)strcspn(text, " "), text == NULL ? "" : text);
}
