/* Other thresholds on a real sweep.h5 (made by gather_probe, one rank), and the summary of one. */
#include "results/summary.h"
#include "results/sweep_file.h"
#include "results/verdict.h"
#include "sample.h"

#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define N_ROWS 1000

static void the_rule(void **state)
{
    static const struct {
        float scores[3];
        bool failed;
        enum sweep_verdict verdict;
        uint32_t missing;
    } cases[] = {
        {{0.5f, 0.5f, 0.5f}, false, SWEEP_FLAGGED, 0}, /* >= */
        {{0.5f, 0.49999997f, NAN}, false, SWEEP_PASS, 0},
        {{NAN, NAN, 0.1f}, false, SWEEP_PASS, 0}, /* a later stage rejects, that is enough */
        {{0.9f, NAN, NAN}, false, SWEEP_UNDECIDED, 1},
        {{0.9f, 0.9f, NAN}, false, SWEEP_UNDECIDED, 2},
        {{0.9f, 0.9f, 0.9f}, true, SWEEP_FAILED, 0},
    };
    const float thresholds[3] = {0.5f, 0.5f, 0.5f};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t missing = 99;
        assert_int_equal(verdict_decide(cases[i].scores, thresholds, 3, cases[i].failed, &missing),
                         cases[i].verdict);
        if (cases[i].verdict == SWEEP_UNDECIDED)
            assert_int_equal(missing, cases[i].missing);
    }
    /* 0.1 is not a float: 0.1f is what it was compared with in the scan */
    uint32_t missing;
    assert_int_equal(verdict_decide((const float[]){0.1f}, (const float[]){(float)0.1}, 1, false, &missing),
                     SWEEP_FLAGGED);
}

static char *make_sweep(char *folder)
{
    char command[4096];

    snprintf(command, sizeof(command), "%s -n 1 %s %s %d 300 mixed", MPIEXEC, GATHER_PROBE, folder, N_ROWS);
    assert_int_equal(system(command), 0);
    return sample_path(folder, "sweep.h5");
}

/* What is said on stderr where `out` is there already; the caller frees. */
static char *refusal(const char *folder, const char *sweep, const struct verdict_threshold *threshold,
                     const char *out)
{
    struct verdict_report report;
    char *log = sample_path(folder, "log");
    char *text = calloc(4096, 1);
    int fd = open(log, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    int stderr_was = dup(STDERR_FILENO);

    assert_true(fd >= 0 && stderr_was >= 0 && text != NULL);
    dup2(fd, STDERR_FILENO);
    enum status rc = verdict_recompute(sweep, threshold, 1, out, &report);
    dup2(stderr_was, STDERR_FILENO);
    assert_int_equal(rc, STATUS_USAGE);
    assert_true(pread(fd, text, 4095, 0) > 0);
    close(stderr_was);
    close(fd);
    free(log);
    return text;
}

static void other_thresholds(void **state)
{
    char *folder = sample_make_folder();
    char *sweep = make_sweep(folder);
    char *out = sample_path(folder, "new.h5");
    struct verdict_threshold lower[] = {{"resnet50", 0.25f}};
    struct verdict_report report;
    uint64_t moved[SWEEP_VERDICT_COUNT][SWEEP_VERDICT_COUNT] = {{0}};
    struct summary summary;
    struct stat st;
    char *text = NULL;
    size_t size;

    (void)state;
    for (uint64_t i = 0; i < N_ROWS; i++) {
        struct sample_row row = sample_row(SAMPLE_MIXED, i);
        bool undecided = row.verdict == SWEEP_PASS && row.scores[0] >= 0.25f && isnan(row.scores[1]);
        moved[row.verdict][undecided ? SWEEP_UNDECIDED : row.verdict]++;
    }
    assert_true(moved[SWEEP_PASS][SWEEP_UNDECIDED] > 50);
    mode_t umask_was = umask(002);
    assert_int_equal(verdict_recompute(sweep, lower, 1, out, &report), STATUS_OK);
    umask(umask_was);
    assert_int_equal(stat(out, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640); /* the umask leaves more, and others need no results */
    assert_memory_equal(report.moved, moved, sizeof(moved));
    assert_int_equal(report.stages[1].n_undecided, moved[SWEEP_PASS][SWEEP_UNDECIDED]);
    assert_int_equal(report.n_without_map, 0);
    FILE *stream = open_memstream(&text, &size);
    verdict_print(stream, &report);
    fclose(stream);
    assert_non_null(strstr(text, "stage densenet161 has no score"));
    assert_non_null(strstr(text, "--all-stages"));
    free(text);

    assert_int_equal(summary_read(out, &summary), STATUS_OK);
    assert_int_equal(summary.by_verdict[SWEEP_UNDECIDED], moved[SWEEP_PASS][SWEEP_UNDECIDED]);
    assert_true(summary.stages[0].threshold == 0.25);
    char *advice = refusal(folder, sweep, lower, out);
    assert_non_null(strstr(advice, "new.h5: is there already: choose a new name for --output\n"));
    free(advice);
    lower[0].threshold = 0.5f; /* and back: the first verdicts again */
    assert_int_equal(verdict_recompute(out, lower, 1, NULL, &report), STATUS_OK);
    assert_int_equal(report.moved[SWEEP_UNDECIDED][SWEEP_PASS], moved[SWEEP_PASS][SWEEP_UNDECIDED]);
    assert_int_equal(report.moved[SWEEP_FLAGGED][SWEEP_FLAGGED], moved[SWEEP_FLAGGED][SWEEP_FLAGGED]);
    assert_false(sample_has_temporary(folder));
    free(out);
    free(sweep);
    sample_remove_folder(folder);
}

static void newly_flagged_rows_have_no_map(void **state)
{
    char *folder = sample_make_folder();
    char *sweep = make_sweep(folder);
    struct verdict_threshold lower[] = {{"densenet161", 0.0f}};
    struct verdict_threshold wrong[] = {{"vgg", 0.5f}};
    struct verdict_threshold twice[] = {{"resnet50", 0.5f}, {"resnet50", 0.6f}};
    struct verdict_report report;

    (void)state;
    assert_int_equal(verdict_recompute(sweep, lower, 1, NULL, &report), STATUS_OK);
    assert_true(report.moved[SWEEP_PASS][SWEEP_FLAGGED] > 50);
    assert_int_equal(report.n_without_map, report.moved[SWEEP_PASS][SWEEP_FLAGGED]);
    log_set_level(LOG_ERROR + 1);
    assert_int_equal(verdict_recompute(sweep, wrong, 1, NULL, &report), STATUS_USAGE);
    assert_int_equal(verdict_recompute(sweep, twice, 2, NULL, &report), STATUS_USAGE);
    lower[0].threshold = NAN;
    assert_int_equal(verdict_recompute(sweep, lower, 1, NULL, &report), STATUS_USAGE);
    log_set_level(LOG_INFO);
    free(sweep);
    sample_remove_folder(folder);
}

static void the_summary(void **state)
{
    char *folder = sample_make_folder();
    char *sweep = make_sweep(folder);
    struct summary summary;
    uint64_t run[2] = {0};
    uint64_t at_least[2] = {0};
    char *text = NULL;
    size_t size;

    (void)state;
    for (uint64_t i = 0; i < N_ROWS; i++) {
        struct sample_row row = sample_row(SAMPLE_MIXED, i);
        for (int j = 0; j < 2; j++) {
            run[j] += !isnan(row.scores[j]);
            at_least[j] += row.scores[j] >= 0.5f;
        }
    }
    assert_int_equal(summary_read(sweep, &summary), STATUS_OK);
    assert_int_equal(summary.n_rows, N_ROWS);
    assert_true(summary.trained);
    for (int j = 0; j < 2; j++) {
        assert_int_equal(summary.stages[j].n_run, run[j]);
        assert_int_equal(summary.stages[j].n_at_least, at_least[j]);
    }
    summary.trained = false;
    FILE *stream = open_memstream(&text, &size);
    summary_print(stream, &summary);
    fclose(stream);
    assert_memory_equal(text, "UNTRAINED weights: flags are meaningless; bring your own: ", 58);
    free(text);
    free(sweep);
    sample_remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rule),
        cmocka_unit_test(other_thresholds),
        cmocka_unit_test(newly_flagged_rows_have_no_map),
        cmocka_unit_test(the_summary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
