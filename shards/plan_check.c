#include "shards/lines.h"
#include "shards/plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define WHAT_TO_DO "give the same again to resume, or another --out for a new sweep"

/* The names behind id and uri, "a,b"; cut where long. */
static void join_carried(const struct plan *plan, char *text, size_t size)
{
    size_t used = 0;

    snprintf(text, size, "none");
    for (size_t i = 2; i < plan->n_columns && used < size; i++) {
        int n = snprintf(text + used, size - used, "%s%s", i > 2 ? "," : "", plan->columns[i].name);
        used += n > 0 ? (size_t)n : 0;
    }
}

static void join_manifest_carried(const struct manifest *manifest, char *text, size_t size)
{
    size_t used = 0;

    snprintf(text, size, "none");
    for (size_t i = 0; i < manifest_n_carried(manifest) && used < size; i++) {
        int n =
            snprintf(text + used, size - used, "%s%s", i > 0 ? "," : "", manifest_carried_name(manifest, i));
        used += n > 0 ? (size_t)n : 0;
    }
}

static bool same_carried(const struct plan *plan, const struct manifest *manifest)
{
    if (plan->n_columns - 2 != manifest_n_carried(manifest))
        return false;
    for (size_t i = 2; i < plan->n_columns; i++)
        if (strcmp(plan->columns[i].name, manifest_carried_name(manifest, i - 2)) != 0)
            return false;
    return true;
}

static enum status check_columns(const struct plan *plan, const char *manifest_path,
                                 const struct plan_options *options)
{
    enum status rc = STATUS_OK;
    struct manifest *manifest = NULL;
    char was[400], is[400];

    TRY(manifest_open(manifest_path, options->format, options->carry, false, &manifest));
    if (manifest_format_of(manifest) != plan->format)
        FAIL(STATUS_MISMATCH, "format: the sweep was begun with %s, this is %s: " WHAT_TO_DO,
             manifest_format_name(plan->format), manifest_format_name(manifest_format_of(manifest)));
    if (!same_carried(plan, manifest)) {
        join_carried(plan, was, sizeof(was));
        join_manifest_carried(manifest, is, sizeof(is));
        FAIL(STATUS_MISMATCH, "carry: the sweep was begun with %s, this is %s: " WHAT_TO_DO, was, is);
    }
out:
    manifest_close(manifest);
    return rc;
}

/* With a limit only the rows taken count: a manifest may grow behind them. */
static enum status check_bytes(const struct plan *plan, const char *manifest_path)
{
    enum status rc = STATUS_OK;
    char hash[LINES_HASH_SIZE];
    uint64_t file_bytes;

    TRY(lines_hash_file(manifest_path, plan->manifest_bytes, hash, &file_bytes));
    bool whole = plan->limit == 0 || plan->n_rows < plan->limit;
    if (file_bytes < plan->manifest_bytes || (whole && file_bytes != plan->manifest_bytes))
        FAIL(STATUS_MISMATCH,
             "manifest: the sweep was begun with one of %" PRIu64 " bytes, %s has %" PRIu64 ": " WHAT_TO_DO,
             plan->manifest_bytes, manifest_path, file_bytes);
    if (strcmp(hash, plan->manifest_hash) != 0)
        FAIL(STATUS_MISMATCH, "manifest: the sweep was begun with one of hash %s, %s has %s: " WHAT_TO_DO,
             plan->manifest_hash, manifest_path, hash);
out:
    return rc;
}

enum status plan_check(const struct plan *plan, const char *manifest_path, const struct plan_options *options)
{
    enum status rc = STATUS_OK;

    if (options->shard_rows != plan->shard_rows)
        FAIL(STATUS_MISMATCH,
             "shard-rows: the sweep was begun with %" PRIu64 ", this is %" PRIu64 ": " WHAT_TO_DO,
             plan->shard_rows, options->shard_rows);
    if (options->limit != plan->limit)
        FAIL(STATUS_MISMATCH,
             "limit: the sweep was begun with %" PRIu64 ", this is %" PRIu64 " (0: all): " WHAT_TO_DO,
             plan->limit, options->limit);
    TRY(check_bytes(plan, manifest_path));
    TRY(check_columns(plan, manifest_path, options));
out:
    return rc;
}
