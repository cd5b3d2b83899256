/*
 * Parts: made, written, read, exported. HDF5's own allocations are left alone: 1.10.8 frees twice or crashes
 * where they fail, which costs the process and, as a part appears whole or not at all, no row.
 */
#include "scene.h"

#include "results/export.h"
#include "tests/unit/results/sample.h"

#include <stdlib.h>
#include <string.h>

#define ROWS 40

static void prepare_nothing(const char *folder)
{
    (void)folder;
}

static enum status write_part(const char *folder)
{
    enum status rc = STATUS_OK;
    struct sweep_layout layout = {0};
    struct part *part = NULL;

    TRY(sample_layout(&layout));
    TRY(sample_part(&layout, SAMPLE_MIXED, 3, 0, ROWS, &part));
    TRY(part_write(part, scene_path(folder, "part.h5"), SAMPLE_FINGERPRINT, &(bool){false}));
out:
    part_free(part);
    sweep_layout_free(&layout);
    return rc;
}

static enum status run_part(const char *folder, struct outcome *outcome)
{
    enum status rc = STATUS_OK;
    struct part_counts counts;

    TRY(write_part(folder));
    TRY(part_read_counts(scene_path(folder, "part.h5"), &counts));
    outcome_add(outcome, &counts.n_rows, sizeof(counts.n_rows));
    outcome_add(outcome, counts.by_status, sizeof(counts.by_status));
    outcome_add(outcome, counts.by_verdict, sizeof(counts.by_verdict));
out:
    return rc;
}

static void prepare_part(const char *folder)
{
    if (write_part(folder) != STATUS_OK)
        scene_fail("a part");
}

static enum status run_export(const char *folder, struct outcome *outcome)
{
    enum status rc = STATUS_OK;
    static const enum export_format formats[] = {EXPORT_CSV, EXPORT_JSONL};
    struct export_options options = {.rows = EXPORT_ALL};
    const char *paths[] = {scene_path(folder, "part.h5")};
    static char text[1 << 18];
    FILE *file = NULL;

    for (size_t i = 0; i < 2; i++) {
        options.format = formats[i];
        file = fmemopen(text, sizeof(text), "w");
        if (file == NULL)
            FAIL(STATUS_MEMORY, "no memory for a stream");
        TRY(export_write(file, paths, 1, &options, NULL));
        fflush(file);
        outcome_add(outcome, text, (size_t)ftell(file));
        fclose(file);
        file = NULL;
    }
out:
    if (file != NULL)
        fclose(file);
    return rc;
}

const struct scene scenes_of_results[] = {
    {.name = "part", .prepare = prepare_nothing, .run = run_part, .own_only = true},
    {.name = "export", .prepare = prepare_part, .run = run_export, .own_only = true},
    {.name = NULL},
};
