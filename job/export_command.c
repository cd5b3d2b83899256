/*
 * eyesore export: rows of a sweep.h5, or with --partial of the parts of a sweep that still runs.
 */
#include "job/commands.h"

#include "base/file.h"
#include "job/parts.h"
#include "results/export.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum status choose_rows(const struct options *options, enum export_rows *rows)
{
    enum status rc = STATUS_OK;

    if (options->flagged + options->failed + options->all > 1)
        FAIL(STATUS_USAGE, "export: give one of --flagged, --failed and --all");
    *rows = options->all ? EXPORT_ALL : (options->failed ? EXPORT_FAILED : EXPORT_FLAGGED);
out:
    return rc;
}

/* OUT paths: [n], borrowed from options and parts; the array is the caller's to free. */
static enum status choose_paths(const struct options *options, struct part_files *parts, const char ***paths,
                                size_t *n)
{
    enum status rc = STATUS_OK;
    const char *sweep = options->operands[0];
    struct stat st;

    if (stat(sweep, &st) != 0)
        FAIL(status_is_place_errno(errno) ? STATUS_PLACE : STATUS_INPUT, "%s: %s", sweep, strerror(errno));
    if (S_ISDIR(st.st_mode) && !options->partial)
        FAIL(STATUS_USAGE, "%s is a folder: name its sweep.h5, or add --partial for what is done so far",
             sweep);
    if (!S_ISDIR(st.st_mode) && options->partial)
        FAIL(STATUS_USAGE, "%s is no folder: --partial takes the --out of a scan", sweep);
    if (options->partial)
        TRY(part_files_find(sweep, parts));
    if (options->partial && parts->n == 0)
        FAIL(STATUS_INPUT, "%s: no shard is done yet: see `eyesore status %s`", sweep, sweep);
    *n = options->partial ? parts->n : 1;
    *paths = calloc(*n, sizeof(**paths));
    if (*paths == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    (*paths)[0] = sweep;
    for (size_t i = 0; options->partial && i < parts->n; i++)
        (*paths)[i] = parts->items[i].path;
out:
    return rc;
}

/* What goes wrong here is the user's to mend (a full disk): an export is not resumed, so it never asks for
 * that. */
static enum status write_file(const char *path, const char *const *paths, size_t n,
                              const struct export_options *export, struct export_counts *counts)
{
    enum status rc = STATUS_OK;
    char temp[4096];
    bool made = false;
    FILE *file = NULL;

    TRY(file_temp_name(path, temp, sizeof(temp)));
    file = fopen(temp, "wxe");
    if (file == NULL)
        FAIL(STATUS_INPUT, "--output %s: %s", path, strerror(errno));
    made = true;
    TRY(export_write(file, paths, n, export, counts));
    int closed = fclose(file);
    file = NULL;
    if (closed != 0)
        FAIL(STATUS_INPUT, "--output %s: cannot write: %s: make room or write it elsewhere", path,
             strerror(errno));
    made = false; /* file_commit removes it where it fails */
    rc = file_commit(temp, path);
    rc = rc == STATUS_PLACE ? STATUS_INPUT : rc;
out:
    if (file != NULL)
        fclose(file);
    if (made)
        unlink(temp);
    return rc;
}

enum status command_export(const struct options *options)
{
    enum status rc = STATUS_OK;
    struct export_options export = {.format = options->format, .leave_out_unreadable = options->partial};
    struct part_files parts = {0};
    const char **paths = NULL;
    size_t n = 0;
    struct export_counts counts = {0};

    TRY(choose_rows(options, &export.rows));
    TRY(choose_paths(options, &parts, &paths, &n));
    if (options->output != NULL)
        TRY(write_file(options->output, paths, n, &export, &counts));
    else
        TRY(export_write(stdout, paths, n, &export, &counts));
    if (options->partial)
        log_info("%llu rows, of the %zu shards that are done so far", (unsigned long long)counts.n_rows,
                 n - counts.n_left_out);
out:
    free(paths);
    part_files_free(&parts);
    return rc;
}
