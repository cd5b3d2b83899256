/* The sweep.h5 that is there before a gather: is it ours to replace, and would it be a pity? */
#include "results/gather_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

enum status gather_read_old(const struct gather_plan *plan, struct gather_old *old)
{
    enum status rc = STATUS_OK;
    const char *path = plan->out_path;
    struct sweep_file *file = NULL;
    struct stat st;

    *old = (struct gather_old){.good = false};
    if (lstat(path, &st) != 0) {
        if (errno != ENOENT)
            FAIL(status_is_place_errno(errno) ? STATUS_PLACE : STATUS_INPUT, "%s: %s", path, strerror(errno));
        goto out;
    }
    rc = sweep_file_open(path, &file);
    if (rc == STATUS_INPUT || (rc == STATUS_OK && file->is_part)) {
        log_warn("%s: what is there is not a whole sweep.h5: it is replaced when the new one is complete",
                 path);
        rc = STATUS_OK;
        goto out;
    }
    TRY(rc);
    if (strcmp(file->counts.run_fingerprint, plan->run_fingerprint) != 0)
        FAIL(
            STATUS_MISMATCH,
            "%s: is of another run (its fingerprint is %.12s..., this run's %.12s...): move it away, or give "
            "another --out",
            path, file->counts.run_fingerprint, plan->run_fingerprint);
    old->good = file->counts.n_rows == plan->n_rows;
    old->n_failed = file->counts.by_verdict[SWEEP_FAILED];
out:
    sweep_file_close(file);
    return rc;
}

enum status gather_compare_old(const struct gather *gather)
{
    enum status rc = STATUS_OK;
    uint64_t n_failed = gather->total[SUM_VERDICT + SWEEP_FAILED];

    if (gather->old.good && n_failed > gather->old.n_failed)
        FAIL(STATUS_UNRECONCILED,
             "%s: stays: it has %" PRIu64 " failed rows and the parts that are there now have %" PRIu64
             ": move it away and run the same command again if the new one is wanted all the same",
             gather->plan->out_path, gather->old.n_failed, n_failed);
out:
    return rc;
}
