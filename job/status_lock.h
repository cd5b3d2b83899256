/* OUT/lock, looked at from outside: who holds the sweep, and does it live? output_lock.h says what it is. */
#ifndef EYESORE_JOB_STATUS_LOCK_H
#define EYESORE_JOB_STATUS_LOCK_H

#include "base/status.h"

/* A running job touches its lock every few seconds; clocks and NFS may be so much behind. */
#define SWEEP_HOLDER_SILENT_S 60

struct sweep_holder {
    bool there, alive; /* a lock is there; it was touched lately, and its process is not known to be gone */
    char host[256], job[64], key[96]; /* "" where it cannot be read; key: "JOB/RESTART", "" outside Slurm */
    int64_t since_s;                  /* 0: not known */
    double touched_s_ago;
};

/* No lock is no holder; one that cannot be read is one without a name. */
void sweep_holder_read(const char *out_folder, int64_t now_s, struct sweep_holder *holder);

#endif
