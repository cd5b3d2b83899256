/*
 * What a sweep.h5 holds, in numbers: the summary at the end of a scan.
 */
#ifndef EYESORE_RESULTS_SUMMARY_H
#define EYESORE_RESULTS_SUMMARY_H

#include "results/schema.h"

#include <stdio.h>

struct summary_stage {
    char name[SWEEP_STAGE_NAME_SIZE];
    bool trained;
    double threshold;    /* NaN where the file has none */
    uint64_t n_run;      /* rows with a score */
    uint64_t n_at_least; /* of those, at or above the threshold (in float32) */
};

struct summary {
    uint64_t n_rows;
    uint64_t by_status[ITEM_STATUS_COUNT];
    uint64_t by_verdict[SWEEP_VERDICT_COUNT];
    uint32_t n_stages;
    struct summary_stage stages[SWEEP_STAGES_MAX];
    uint64_t n_failures, n_maps;
    bool trained; /* every stage is */
};

/* Read a sweep.h5 (or a part), counting the rows themselves. Bounded memory. */
enum status summary_read(const char *path, struct summary *summary);

/* The summary as text. The first line of an untrained sweep is SUMMARY_UNTRAINED. */
void summary_print(FILE *out, const struct summary *summary);

#define SUMMARY_UNTRAINED                                                                                    \
    "UNTRAINED weights: flags are meaningless; bring your own: --stage NAME=FILE.safetensors@THRESHOLD"

bool summary_is_trained(const struct sweep_layout *layout);

/* Log SUMMARY_UNTRAINED as a warning where a stage is untrained: outputs that are rows alone say it so. */
void summary_warn_untrained(const struct sweep_layout *layout);

#endif
