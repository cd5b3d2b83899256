/*
 * `eyesore verdict`: another threshold is a new verdict, not a new sweep. Verdicts are recomputed from the
 * scores where those allow it:
 *
 *   failed stays failed; a stage with score < threshold (in float32) settles pass, even where others have no
 *   score; else a stage without a score leaves the row undecided; else flagged.
 */
#ifndef EYESORE_RESULTS_VERDICT_H
#define EYESORE_RESULTS_VERDICT_H

#include "results/schema.h"

#include <stdio.h>

struct verdict_threshold {
    const char *stage;
    float threshold;
};

struct verdict_report {
    uint64_t n_rows;
    uint64_t moved[SWEEP_VERDICT_COUNT][SWEEP_VERDICT_COUNT]; /* [old][new] rows */
    uint64_t
        n_without_map; /* flagged now, and without heat maps though the sweep kept those of flagged rows */
    uint32_t n_stages;
    struct {
        char name[SWEEP_STAGE_NAME_SIZE];
        float old_threshold, threshold;
        uint64_t n_undecided; /* rows undecided because this stage, the first such, has no score */
    } stages[SWEEP_STAGES_MAX];
};

/*
 * The verdict of one row. scores: [n], NaN: not run; thresholds: [n]; failed: the row's old verdict was.
 * OUT missing: where undecided, the first stage without a score.
 */
enum sweep_verdict verdict_decide(const float *scores, const float *thresholds, uint32_t n, bool failed,
                                  uint32_t *missing);

/*
 * Recompute the verdicts of the sweep at `path`. Stages not listed keep their threshold. OUT report.
 *
 * out_path: NULL, or a new file: a copy of the sweep with the new /verdict, thresholds and counts, the
 * attribute `verdict_note`, and `verdict_fingerprint` (SHA-256 over the run's fingerprint and the
 * thresholds); run_fingerprint stays, for it says whose scores these are. STATUS_USAGE: an unknown stage, one
 * given twice, a threshold that is not a number, or out_path is there already.
 */
enum status verdict_recompute(const char *path, const struct verdict_threshold *thresholds,
                              size_t n_thresholds, const char *out_path, struct verdict_report *report);

/* The report as text: thresholds, a table old x new, and what to do about undecided rows. */
void verdict_print(FILE *out, const struct verdict_report *report);

#endif
