/*
 * A stranger's file meets the HDF5 library in a process of its own first. HDF5 1.10.8 checks little of what
 * it decodes in files of the old format: one byte too many in an enum's type, and it reads beyond its buffer
 * or for ever. What dies here is an error; what lives is opened again by the caller, who does the same calls.
 */
#include "results/sweep_file.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROBE_CPU_S 60 /* a sweep of 10^9 rows takes well under one */

/* The child: open, and read the first and the last entry of everything, for the indexes of chunks. */
static enum status look_through(const char *path)
{
    enum status rc = STATUS_OK;
    struct sweep_file *file = NULL;
    char *entry = NULL;

    TRY(sweep_file_open(path, &file));
    for (size_t i = 0; i < file->table.n; i++) {
        const struct field *field = &file->table.fields[i];
        free(entry);
        entry = malloc(field_record_bytes(field));
        if (entry == NULL)
            FAIL(STATUS_MEMORY, "no memory");
        if (file->n[i] == 0)
            continue;
        TRY(h5_slab_read(file->datasets[i], path, field, 0, 1, entry));
        TRY(h5_slab_read(file->datasets[i], path, field, file->n[i] - 1, 1, entry));
    }
out:
    free(entry);
    sweep_file_close(file);
    return rc;
}

static void run_child(const char *path)
{
    const struct rlimit cpu = {PROBE_CPU_S, PROBE_CPU_S};
    const struct rlimit none = {0, 0};

    setrlimit(RLIMIT_CPU, &cpu);
    setrlimit(RLIMIT_CORE, &none);
    signal(SIGSEGV, SIG_DFL);
    signal(SIGBUS, SIG_DFL);
    signal(SIGABRT, SIG_DFL);
    _exit((int)look_through(path));
}

enum status sweep_file_open_stranger(const char *path, struct sweep_file **file)
{
    enum status rc = STATUS_OK;
    int status;
    pid_t child = fork();

    if (child < 0)
        FAIL(STATUS_PLACE, "%s: no process to look at it: %s", path, strerror(errno));
    if (child == 0)
        run_child(path);
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            FAIL(STATUS_INTERNAL, "waitpid: %s", strerror(errno));
    if (WIFSIGNALED(status))
        FAIL(STATUS_INPUT,
             "%s: the HDF5 library %s on it (%s): it is damaged, or was made to do that; do not open it with "
             "other "
             "tools either",
             path, WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL ? "hangs" : "crashes",
             strsignal(WTERMSIG(status)));
    if (WEXITSTATUS(status) != STATUS_OK) { /* said by the child */
        rc = (enum status)WEXITSTATUS(status);
        goto out;
    }
    TRY(sweep_file_open(path, file));
out:
    return rc;
}
