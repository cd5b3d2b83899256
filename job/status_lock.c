#include "job/status_lock.h"

#include "job/attempts_read.h"
#include "job/status_text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* On the holder's own host, and in its namespace of processes, we see at once that it is gone. */
static bool is_gone(const char *text, const char *host)
{
    char own[256] = "";
    uint64_t pid, space;
    struct stat st;

    gethostname(own, sizeof(own) - 1);
    return strcmp(own, host) == 0 && attempt_detail_number(text, "pid", &pid) && pid > 0 && pid <= INT_MAX &&
           attempt_detail_number(text, "space", &space) && stat("/proc/self/ns/pid", &st) == 0 &&
           st.st_ino == space && kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

void sweep_holder_read(const char *out_folder, int64_t now_s, struct sweep_holder *holder)
{
    char path[4096], text[1024], since[32];
    uint64_t restart = 0;
    struct stat st;

    *holder = (struct sweep_holder){.there = false};
    if (snprintf(path, sizeof(path), "%s/lock", out_folder) >= (int)sizeof(path))
        return;
    /* Opening makes NFS ask its server: a kept time would make a live job look dead. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        /* There, and not ours to read? Its time tells all the same. */
        if (lstat(path, &st) != 0 || !S_ISREG(st.st_mode))
            return;
        text[0] = '\0';
    } else {
        ssize_t n = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? read(fd, text, sizeof(text) - 1) : -1;
        close(fd);
        if (n < 0)
            return;
        text[n] = '\0';
        text[strcspn(text, "\n")] = '\0';
    }
    holder->there = true;
    holder->touched_s_ago = fmax((double)now_s - (double)st.st_mtime, 0);
    holder->alive = fabs((double)now_s - (double)st.st_mtime) <= SWEEP_HOLDER_SILENT_S;
    text_make_printable(text);
    attempt_detail_word(text, "host", holder->host, sizeof(holder->host));
    holder->alive = holder->alive && !is_gone(text, holder->host);
    attempt_detail_word(text, "job", holder->job, sizeof(holder->job));
    attempt_detail_word(text, "since", since, sizeof(since));
    (void)attempt_detail_number(text, "restart", &restart);
    (void)attempt_parse_time(since, strlen(since), &holder->since_s);
    if (holder->job[0] != '\0' && strcmp(holder->job, "-") != 0)
        snprintf(holder->key, sizeof(holder->key), "%s/%llu", holder->job, (unsigned long long)restart);
}
