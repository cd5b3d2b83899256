#include "results/verdict.h"

#include "base/file.h"
#include "results/summary.h"
#include "results/sweep_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROWS_AT_A_TIME 16384

enum sweep_verdict verdict_decide(const float *scores, const float *thresholds, uint32_t n, bool failed,
                                  uint32_t *missing)
{
    uint32_t first = n;

    if (failed)
        return SWEEP_FAILED;
    for (uint32_t i = 0; i < n; i++) {
        if (isnan(scores[i]))
            first = first == n ? i : first;
        else if (scores[i] < thresholds[i])
            return SWEEP_PASS;
    }
    *missing = first;
    return first == n ? SWEEP_FLAGGED : SWEEP_UNDECIDED;
}

static enum status choose_thresholds(const struct sweep_file *file, const struct verdict_threshold *given,
                                     size_t n_given, struct verdict_report *report)
{
    enum status rc = STATUS_OK;
    bool seen[SWEEP_STAGES_MAX] = {false};
    char path[FIELD_PATH_SIZE];
    double old;

    report->n_stages = file->layout.n_stages;
    for (uint32_t i = 0; i < report->n_stages; i++) {
        const char *name = file->layout.stages[i].name;
        memcpy(report->stages[i].name, name, sizeof(report->stages[i].name));
        snprintf(path, sizeof(path), "/stages/%s", name);
        TRY(h5_get_f64(file->file, file->path, path, "threshold", &old));
        report->stages[i].old_threshold = report->stages[i].threshold = (float)old;
    }
    for (size_t i = 0; i < n_given; i++) {
        uint32_t stage = 0;
        while (stage < report->n_stages && strcmp(report->stages[stage].name, given[i].stage) != 0)
            stage++;
        if (stage == report->n_stages)
            FAIL(STATUS_USAGE, "%s: has no stage `%s`: its first is `%s`", file->path, given[i].stage,
                 report->n_stages == 0 ? "" : report->stages[0].name);
        if (seen[stage])
            FAIL(STATUS_USAGE, "stage `%s` is given twice", given[i].stage);
        if (!isfinite(given[i].threshold))
            FAIL(STATUS_USAGE, "stage `%s`: the threshold is not a number", given[i].stage);
        seen[stage] = true;
        report->stages[stage].threshold = given[i].threshold;
    }
out:
    return rc;
}

/* Walks the rows; `out` is the /verdict to write, or negative. */
struct walk {
    const struct sweep_file *file;
    struct verdict_report *report;
    hid_t out;
    const char *out_name;
    float scores[SWEEP_STAGES_MAX][ROWS_AT_A_TIME];
    uint8_t old[ROWS_AT_A_TIME], now[ROWS_AT_A_TIME];
    uint64_t map_rows[1024]; /* a window of /heatmaps/row */
    uint64_t map_first, map_n;
};

/* Has this row heat maps? Rows are asked in ascending order, so the window only moves on. */
static enum status has_map(struct walk *walk, uint64_t row, bool *has)
{
    enum status rc = STATUS_OK;

    *has = false;
    for (;;) {
        for (uint64_t i = 0; i < walk->map_n; i++) {
            if (walk->map_rows[i] >= row) {
                *has = walk->map_rows[i] == row;
                goto out;
            }
        }
        uint64_t next = walk->map_first + walk->map_n;
        uint64_t left = walk->file->n_maps - next;
        if (left == 0)
            goto out;
        walk->map_first = next;
        walk->map_n = left < 1024 ? left : 1024;
        TRY(sweep_file_read(walk->file, FIELD_MAP_ROW, 0, next, walk->map_n, walk->map_rows));
    }
out:
    return rc;
}

static enum status decide_row(struct walk *walk, uint64_t first, uint64_t i)
{
    enum status rc = STATUS_OK;
    struct verdict_report *report = walk->report;
    float scores[SWEEP_STAGES_MAX];
    float thresholds[SWEEP_STAGES_MAX];
    uint32_t missing = 0;
    bool has = true;

    if (walk->old[i] >= SWEEP_VERDICT_COUNT)
        FAIL(STATUS_INPUT, "%s: row %" PRIu64 ": verdict %u: no such value", walk->file->path, first + i,
             walk->old[i]);
    for (uint32_t stage = 0; stage < report->n_stages; stage++) {
        scores[stage] = walk->scores[stage][i];
        thresholds[stage] = report->stages[stage].threshold;
    }
    enum sweep_verdict verdict =
        verdict_decide(scores, thresholds, report->n_stages, walk->old[i] == SWEEP_FAILED, &missing);
    walk->now[i] = (uint8_t)verdict;
    report->moved[walk->old[i]][verdict]++;
    if (verdict == SWEEP_UNDECIDED)
        report->stages[missing].n_undecided++;
    if (verdict == SWEEP_FLAGGED && walk->file->layout.heatmaps == HEATMAPS_FLAGGED)
        TRY(has_map(walk, walk->file->counts.first_row + first + i, &has));
    report->n_without_map += !has;
out:
    return rc;
}

static enum status walk_rows(struct walk *walk)
{
    enum status rc = STATUS_OK;
    const struct sweep_file *file = walk->file;
    const struct field *verdict = field_table_find(&file->table, FIELD_VERDICT, 0);

    for (uint64_t first = 0; first < file->counts.n_rows; first += ROWS_AT_A_TIME) {
        uint64_t left = file->counts.n_rows - first;
        uint64_t n = left < ROWS_AT_A_TIME ? left : ROWS_AT_A_TIME;
        TRY(sweep_file_read(file, FIELD_VERDICT, 0, first, n, walk->old));
        for (uint32_t stage = 0; stage < walk->report->n_stages; stage++)
            TRY(sweep_file_read(file, FIELD_SCORE, stage, first, n, walk->scores[stage]));
        for (uint64_t i = 0; i < n; i++)
            TRY(decide_row(walk, first, i));
        if (walk->out >= 0)
            TRY(h5_slab_write(walk->out, walk->out_name, verdict, first, n, walk->now));
    }
out:
    return rc;
}

static enum status copy_bytes(const char *from, const char *to)
{
    enum status rc = STATUS_OK;
    char buffer[1 << 16];
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = -1;
    ssize_t n;

    if (in < 0)
        FAIL(STATUS_INPUT, "%s: %s", from, strerror(errno));
    out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (out < 0)
        FAIL(status_is_place_errno(errno) ? STATUS_PLACE : STATUS_INPUT, "%s: %s", to, strerror(errno));
    while ((n = read(in, buffer, sizeof(buffer))) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            FAIL(STATUS_PLACE, "%s: %s", from, strerror(errno));
        for (ssize_t done = 0, step; done < n; done += step) {
            step = write(out, buffer + done, (size_t)(n - done));
            if (step < 0 && errno == EINTR)
                step = 0;
            if (step < 0)
                FAIL(STATUS_PLACE, "%s: %s", to, strerror(errno));
        }
    }
out:
    if (out >= 0)
        close(out);
    if (in >= 0)
        close(in);
    return rc;
}

static enum status write_attributes(hid_t out, const char *name, const struct walk *walk)
{
    enum status rc = STATUS_OK;
    const struct verdict_report *report = walk->report;
    struct fingerprint fp = {0};
    uint64_t counts[SWEEP_VERDICT_COUNT] = {0};
    char path[FIELD_PATH_SIZE];
    char note[256 + SWEEP_STAGES_MAX * (SWEEP_STAGE_NAME_SIZE + 24)];
    int used;

    used = snprintf(note, sizeof(note), "recomputed by eyesore verdict at other thresholds:");
    fingerprint_add(&fp, "run", "%s", walk->file->counts.run_fingerprint);
    for (uint32_t i = 0; i < report->n_stages; i++) {
        double threshold = (double)report->stages[i].threshold;
        snprintf(path, sizeof(path), "/stages/%s", report->stages[i].name);
        TRY(h5_put_f32(out, name, path, "threshold", report->stages[i].threshold));
        fingerprint_add(&fp, path, "%.9g", threshold);
        used +=
            snprintf(note + used, sizeof(note) - (size_t)used, " %s@%.9g", report->stages[i].name, threshold);
    }
    TRY(fingerprint_close(&fp));
    for (uint32_t old = 0; old < SWEEP_VERDICT_COUNT; old++)
        for (uint32_t now = 0; now < SWEEP_VERDICT_COUNT; now++)
            counts[now] += report->moved[old][now];
    TRY(h5_put_u64s(out, name, "/", "counts_by_verdict", counts, SWEEP_VERDICT_COUNT));
    TRY(h5_put_string(out, name, "/", "verdict_note", note));
    TRY(h5_put_string(out, name, "/", "verdict_fingerprint", fp.hex));
out:
    fingerprint_free(&fp);
    return rc;
}

/* Copy the sweep, write into the copy, and put it in place. */
static enum status write_copy(struct walk *walk, const char *out_path)
{
    enum status rc = STATUS_OK;
    char temp[4096] = "";
    uint64_t count;
    hid_t out = -1;

    if (walk->file->is_part)
        FAIL(STATUS_USAGE, "%s: is a part: --output needs a whole sweep", walk->file->path);
    if (access(out_path, F_OK) == 0)
        FAIL(STATUS_USAGE, "%s: is there already: choose a new name for --output", out_path);
    TRY(file_temp_name(out_path, temp, sizeof(temp)));
    TRY(copy_bytes(walk->file->path, temp));
    out = H5Fopen(temp, H5F_ACC_RDWR, H5P_DEFAULT);
    H5_TRY(out, STATUS_INPUT, temp, "cannot open");
    walk->out_name = out_path;
    TRY(h5_dataset_open(out, temp, field_table_find(&walk->file->table, FIELD_VERDICT, 0), &walk->out,
                        &count));
    TRY(walk_rows(walk));
    TRY(write_attributes(out, temp, walk));
    hid_t verdicts = walk->out; /* what HDF5 keeps back of a small write goes out only now */
    walk->out = -1;
    H5_TRY(H5Dclose(verdicts), STATUS_PLACE, temp, "cannot write");
    hid_t closing = out; /* HDF5 does not survive a second try */
    out = -1;
    H5_TRY(H5Fclose(closing), STATUS_PLACE, temp, "cannot close");
    rc = file_commit(temp, out_path);
    temp[0] = '\0'; /* renamed, or removed by file_commit */
out:
    if (walk->out >= 0)
        H5Dclose(walk->out);
    walk->out = -1;
    h5_file_close(out);
    if (temp[0] != '\0')
        unlink(temp);
    return rc;
}

enum status verdict_recompute(const char *path, const struct verdict_threshold *thresholds,
                              size_t n_thresholds, const char *out_path, struct verdict_report *report)
{
    enum status rc = STATUS_OK;
    struct sweep_file *file = NULL;
    struct verdict_report made = {0};
    struct walk *walk = calloc(1, sizeof(*walk));

    if (walk == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    TRY(sweep_file_open_stranger(path, &file));
    summary_warn_untrained(&file->layout);
    TRY(choose_thresholds(file, thresholds, n_thresholds, &made));
    made.n_rows = file->counts.n_rows;
    walk->file = file;
    walk->report = &made;
    walk->out = -1;
    if (out_path != NULL)
        TRY(write_copy(walk, out_path));
    else
        TRY(walk_rows(walk));
    *report = made;
out:
    free(walk);
    sweep_file_close(file);
    return rc;
}

void verdict_print(FILE *out, const struct verdict_report *report)
{
    for (uint32_t i = 0; i < report->n_stages; i++)
        fprintf(out, "stage %s: threshold was %.9g, is %.9g\n", report->stages[i].name,
                (double)report->stages[i].old_threshold, (double)report->stages[i].threshold);
    fprintf(out, "%-14s", "was \\ is");
    for (uint32_t now = 0; now < SWEEP_VERDICT_COUNT; now++)
        fprintf(out, "%14s", sweep_verdict_name((enum sweep_verdict)now));
    fputc('\n', out);
    for (uint32_t old = 0; old < SWEEP_VERDICT_COUNT; old++) {
        fprintf(out, "%-14s", sweep_verdict_name((enum sweep_verdict)old));
        for (uint32_t now = 0; now < SWEEP_VERDICT_COUNT; now++)
            fprintf(out, "%14" PRIu64, report->moved[old][now]);
        fputc('\n', out);
    }
    for (uint32_t i = 0; i < report->n_stages; i++)
        if (report->stages[i].n_undecided > 0)
            fprintf(out,
                    "%" PRIu64 " rows are undecided: stage %s has no score for them, since an earlier stage "
                    "rejected them then.\n  Scan again at these thresholds, or with --all-stages, to get "
                    "it.\n",
                    report->stages[i].n_undecided, report->stages[i].name);
    if (report->n_without_map > 0)
        fprintf(out, "%" PRIu64 " rows are flagged without heat maps: they were not flagged in the scan.\n",
                report->n_without_map);
}
