/* Any bytes as a part file or a sweep.h5: its counts, its summary, and all its rows in both formats of
 * export. */
#include "target.h"

#include "results/export.h"
#include "results/part.h"
#include "results/summary.h"
#include "results/verdict.h"

#include <string.h>

static FILE *nowhere;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    nowhere = fopen("/dev/null", "we");
    MUST(nowhere != NULL);
    return 0;
}

static void export_all(const char *path, enum export_format format, enum export_rows which, bool leave_out)
{
    struct export_options options = {.rows = which, .format = format, .leave_out_unreadable = leave_out};
    struct export_counts counts = {0};
    const char *paths[] = {path, path};

    (void)export_write(nowhere, paths, leave_out ? 2 : 1, &options, &counts);
}

/* Opening is what takes the time, so each input is read by one of the readers: which, changes with any of its
 * bytes. */
static unsigned int choose(const uint8_t *bytes, size_t n)
{
    unsigned int sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += bytes[i];
    return sum % 4;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static struct summary summary;
    static struct verdict_report report;
    struct part_counts counts;
    const char *path = bytes_file(bytes, n);

    if (part_read_counts(path, &counts) == STATUS_OK) {
        n_accepted++;
        MUST(memchr(counts.run_fingerprint, '\0', sizeof(counts.run_fingerprint)) != NULL);
    }
    switch (choose(bytes, n)) {
    case 0:
        if (summary_read(path, &summary) == STATUS_OK)
            summary_print(nowhere, &summary);
        break;
    case 1:
        export_all(path, EXPORT_CSV, EXPORT_ALL, false);
        break;
    case 2:
        export_all(path, EXPORT_JSONL, n % 2 ? EXPORT_FLAGGED : EXPORT_FAILED, true);
        break;
    default:
        if (verdict_recompute(path, NULL, 0, NULL, &report) == STATUS_OK)
            verdict_print(nowhere, &report);
        break;
    }
    return 0;
}
