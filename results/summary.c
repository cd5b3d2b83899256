#include "results/summary.h"

#include "results/sweep_file.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define ROWS_AT_A_TIME 16384

bool summary_is_trained(const struct sweep_layout *layout)
{
    bool trained = true;

    for (uint32_t i = 0; i < layout->n_stages; i++)
        trained = trained && layout->stages[i].trained;
    return trained;
}

void summary_warn_untrained(const struct sweep_layout *layout)
{
    if (!summary_is_trained(layout))
        log_warn("%s", SUMMARY_UNTRAINED);
}

static enum status count_enum(const struct sweep_file *file, enum field_what what, unsigned most,
                              uint64_t *counts)
{
    enum status rc = STATUS_OK;
    uint8_t values[ROWS_AT_A_TIME];

    for (uint64_t first = 0; first < file->counts.n_rows; first += ROWS_AT_A_TIME) {
        uint64_t left = file->counts.n_rows - first;
        uint64_t n = left < ROWS_AT_A_TIME ? left : ROWS_AT_A_TIME;
        TRY(sweep_file_read(file, what, 0, first, n, values));
        for (uint64_t i = 0; i < n; i++) {
            if (values[i] >= most)
                FAIL(STATUS_INPUT, "%s: row %" PRIu64 ": the value %u is none of the enum's", file->path,
                     first + i, values[i]);
            counts[values[i]]++;
        }
    }
out:
    return rc;
}

static enum status count_stage(const struct sweep_file *file, uint32_t stage, struct summary_stage *counts)
{
    enum status rc = STATUS_OK;
    char path[FIELD_PATH_SIZE];
    float scores[ROWS_AT_A_TIME];

    memcpy(counts->name, file->layout.stages[stage].name, sizeof(counts->name));
    counts->trained = file->layout.stages[stage].trained;
    counts->threshold = NAN;
    snprintf(path, sizeof(path), "/stages/%s", counts->name);
    if (h5_has_attribute(file->file, path, "threshold"))
        TRY(h5_get_f64(file->file, file->path, path, "threshold", &counts->threshold));
    for (uint64_t first = 0; first < file->counts.n_rows; first += ROWS_AT_A_TIME) {
        uint64_t left = file->counts.n_rows - first;
        uint64_t n = left < ROWS_AT_A_TIME ? left : ROWS_AT_A_TIME;
        TRY(sweep_file_read(file, FIELD_SCORE, stage, first, n, scores));
        for (uint64_t i = 0; i < n; i++) {
            counts->n_run += !isnan(scores[i]);
            counts->n_at_least += scores[i] >= (float)counts->threshold; /* false for a NaN */
        }
    }
out:
    return rc;
}

enum status summary_read(const char *path, struct summary *summary)
{
    enum status rc = STATUS_OK;
    struct sweep_file *file = NULL;
    struct summary made = {0};

    TRY(sweep_file_open(path, &file));
    made.n_rows = file->counts.n_rows;
    made.n_failures = file->n_failures;
    made.n_maps = file->n_maps;
    made.n_stages = file->layout.n_stages;
    made.trained = summary_is_trained(&file->layout);
    TRY(count_enum(file, FIELD_STATUS, ITEM_STATUS_COUNT, made.by_status));
    TRY(count_enum(file, FIELD_VERDICT, SWEEP_VERDICT_COUNT, made.by_verdict));
    for (uint32_t i = 0; i < made.n_stages; i++)
        TRY(count_stage(file, i, &made.stages[i]));
    *summary = made;
out:
    sweep_file_close(file);
    return rc;
}

static double percent(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0 : 100.0 * (double)part / (double)whole;
}

void summary_print(FILE *out, const struct summary *summary)
{
    if (!summary->trained)
        fprintf(out, "%s\n", SUMMARY_UNTRAINED);
    fprintf(out, "rows      %12" PRIu64 "\n", summary->n_rows);
    for (uint32_t i = 0; i < SWEEP_VERDICT_COUNT; i++)
        if (i != SWEEP_UNDECIDED || summary->by_verdict[i] > 0)
            fprintf(out, "  %-14s%7" PRIu64 "  %6.2f%%\n", sweep_verdict_name((enum sweep_verdict)i),
                    summary->by_verdict[i], percent(summary->by_verdict[i], summary->n_rows));
    fprintf(out, "status\n");
    for (uint32_t i = 0; i < ITEM_STATUS_COUNT; i++)
        if (summary->by_status[i] > 0)
            fprintf(out, "  %-14s%7" PRIu64 "  %s\n", item_status_name((enum item_status)i),
                    summary->by_status[i], item_status_meaning((enum item_status)i));
    fprintf(out, "stages, in order\n");
    for (uint32_t i = 0; i < summary->n_stages; i++) {
        const struct summary_stage *stage = &summary->stages[i];
        fprintf(out, "  %-14s%7" PRIu64 " scored, %" PRIu64 " (%.2f%%) at or above %.6g%s\n", stage->name,
                stage->n_run, stage->n_at_least, percent(stage->n_at_least, stage->n_run), stage->threshold,
                stage->trained ? "" : "  UNTRAINED");
    }
    fprintf(out, "heat maps %12" PRIu64 "\n", summary->n_maps);
}
