/*
 * eyesore status, in three steps that can be tested alone: collect from files, compute, print.
 */
#ifndef EYESORE_JOB_STATUS_COMMAND_H
#define EYESORE_JOB_STATUS_COMMAND_H

#include "base/item.h"
#include "base/status.h"
#include "results/schema.h"

#include <stdio.h>

#define SWEEP_STATUS_RECENT_S 300   /* what "now" means for a rate */
#define SWEEP_STATUS_READ_MOST 2000 /* parts opened for the counts; of more, as many are taken evenly */

struct sweep_status {
    uint64_t n_shards, n_shards_done;
    uint64_t n_rows, n_rows_done;
    uint64_t n_unplanned;  /* parts of shards that the plan does not have, or a shard twice: of another run */
    double per_s_now;      /* rows a second in parts that were finished in the last 5 minutes */
    double per_s_overall;  /* since the plan was made, pauses included */
    double eta_s;          /* negative: not known */
    double last_part_s;    /* how long ago the last part was finished; negative: none was */
    bool gathered;         /* OUT/sweep.h5 is there */
    uint64_t n_parts_read; /* what the counts below come from */
    uint64_t n_parts_broken; /* of them, could not be read */
    uint64_t n_rows_read;
    uint64_t by_status[ITEM_STATUS_COUNT];
    uint64_t by_verdict[SWEEP_VERDICT_COUNT];
};

/*
 * Look at OUT/plan and OUT/parts. IN now_s: seconds since 1970. STATUS_INPUT where there is no plan: the
 * folder is no sweep's, or its manifest is still being checked.
 */
enum status sweep_status_collect(const char *out_folder, int64_t now_s, struct sweep_status *status);

void sweep_status_print(const struct sweep_status *status, const char *out_folder, FILE *file);

/* One JSON object and a newline; rates that are not known are null. */
enum status sweep_status_print_json(const struct sweep_status *status, FILE *file);

#endif
