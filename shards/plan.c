#include "shards/plan.h"

#include "shards/duplicates.h"
#include "shards/split.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the pass over the manifest holds. */
struct pass {
    const char *path;
    const struct plan_options *options;
    struct manifest *manifest;
    struct duplicates *duplicates;
    struct split *split;
    struct problems problems;
    struct plan plan; /* as far as it is known */
};

static void pass_close(struct pass *pass)
{
    plan_free(&pass->plan);
    split_close(pass->split);
    duplicates_close(pass->duplicates);
    manifest_close(pass->manifest);
}

static enum status add_column(struct plan *plan, const char *name)
{
    enum status rc = STATUS_OK;

    plan->columns[plan->n_columns].name = strdup(name);
    if (plan->columns[plan->n_columns].name == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    plan->n_columns++;
out:
    return rc;
}

static enum status pass_open(struct pass *pass, const char *scratch)
{
    enum status rc = STATUS_OK;
    const struct plan_options *options = pass->options;

    TRY(split_open(options->shard_rows, &pass->split));
    TRY(manifest_open(pass->path, options->format, options->carry, true, &pass->manifest));
    TRY(duplicates_open(scratch, &pass->duplicates));
    pass->plan.format = manifest_format_of(pass->manifest);
    pass->plan.limit = options->limit;
    pass->plan.shard_rows = options->shard_rows;
    pass->plan.columns = calloc(2 + manifest_n_carried(pass->manifest), sizeof(struct plan_column));
    if (pass->plan.columns == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    TRY(add_column(&pass->plan, "id"));
    TRY(add_column(&pass->plan, "uri"));
    for (size_t i = 0; i < manifest_n_carried(pass->manifest); i++)
        TRY(add_column(&pass->plan, manifest_carried_name(pass->manifest, i)));
out:
    return rc;
}

static void measure(struct plan_column *column, const struct manifest_field *field)
{
    if (field->size > column->longest_bytes)
        column->longest_bytes = field->size;
}

static enum status take_row(struct pass *pass, const struct manifest_row *row, uint64_t index)
{
    enum status rc = STATUS_OK;
    struct plan *plan = &pass->plan;

    TRY(split_row(pass->split, index, row->offset_bytes, row->line));
    TRY(duplicates_add(pass->duplicates, row->id.bytes, row->id.size, row->line));
    measure(&plan->columns[0], &row->id);
    measure(&plan->columns[1], &row->uri);
    for (size_t i = 2; i < plan->n_columns; i++)
        measure(&plan->columns[i], &row->carried[i - 2]);
out:
    return rc;
}

static enum status read_rows(struct pass *pass)
{
    enum status rc = STATUS_OK;
    uint64_t n = 0, limit = pass->options->limit;

    while (limit == 0 || n < limit) {
        struct manifest_row row;
        enum manifest_got got;

        TRY(manifest_get(pass->manifest, &row, &got));
        if (got == MANIFEST_END)
            break;
        if (got == MANIFEST_BAD)
            problems_add(&pass->problems, row.line, manifest_problem(pass->manifest));
        else
            TRY(take_row(pass, &row, n));
        n++;
    }
    pass->plan.n_rows = n;
    pass->plan.manifest_bytes = manifest_offset_bytes(pass->manifest);
    TRY(manifest_hash(pass->manifest, pass->plan.manifest_hash));
out:
    return rc;
}

/*
 * Only hashes and lines were kept, so read the (at most ten) duplicates again, to show their ids. `manifest`
 * stands at its first row; lines ascend.
 */
static enum status add_duplicates(struct pass *pass, struct manifest *manifest, const struct duplicate *shown,
                                  size_t n_shown)
{
    enum status rc = STATUS_OK;

    for (size_t i = 0; i < n_shown;) {
        struct manifest_row row;
        enum manifest_got got;
        char text[256];

        TRY(manifest_get(manifest, &row, &got));
        if (got == MANIFEST_END)
            FAIL(STATUS_INPUT, "%s: changed while it was read: run again when it is complete", pass->path);
        if (got != MANIFEST_ROW || row.line != shown[i].line)
            continue;
        snprintf(text, sizeof(text), "the id %.*s again; it stands at line %" PRIu64 " already",
                 (int)row.id.size, row.id.bytes, shown[i].first_line);
        problems_add(&pass->problems, row.line, text);
        i++;
    }
out:
    return rc;
}

static enum status find_duplicates(struct pass *pass)
{
    enum status rc = STATUS_OK;
    struct duplicate shown[DUPLICATES_SHOWN];
    struct manifest *manifest = NULL;
    size_t n_shown;
    uint64_t n_total;

    TRY(duplicates_find(pass->duplicates, shown, &n_shown, &n_total));
    if (n_total == 0)
        goto out;
    TRY(manifest_open(pass->path, pass->plan.format, "none", false, &manifest));
    TRY(add_duplicates(pass, manifest, shown, n_shown));
    problems_count(&pass->problems, n_total - n_shown);
out:
    manifest_close(manifest);
    return rc;
}

/* In JSON Lines an unknown name cannot be told from a key that is always left out. */
static void warn_of_empty_columns(const struct plan *plan)
{
    for (size_t i = 2; i < plan->n_columns; i++)
        if (plan->format == MANIFEST_JSONL && plan->columns[i].longest_bytes == 0)
            log_warn("column %s is empty in every row: is the key spelled right?", plan->columns[i].name);
}

enum status plan_make(const char *manifest_path, const struct plan_options *options, const char *scratch,
                      struct plan *plan, struct problems *problems)
{
    enum status rc = STATUS_OK;
    struct pass pass = {.path = manifest_path, .options = options};

    if (problems != NULL)
        *problems = (struct problems){0};
    TRY(pass_open(&pass, scratch));
    TRY(read_rows(&pass));
    TRY(find_duplicates(&pass));
    if (pass.problems.n_total > 0) {
        problems_log(&pass.problems, manifest_path);
        if (problems != NULL)
            *problems = pass.problems;
        rc = STATUS_INPUT;
        goto out;
    }
    if (pass.plan.n_rows == 0)
        FAIL(STATUS_INPUT, "%s: a header and no rows: there is nothing to do", manifest_path);
    TRY(split_finish(pass.split, pass.plan.n_rows, &pass.plan.starts, &pass.plan.n_shards));
    warn_of_empty_columns(&pass.plan);
    *plan = pass.plan;
    pass.plan = (struct plan){0};
out:
    pass_close(&pass);
    return rc;
}

void plan_free(struct plan *plan)
{
    if (plan == NULL)
        return;
    for (size_t i = 0; i < plan->n_columns; i++)
        free(plan->columns[i].name);
    free(plan->columns);
    free(plan->starts);
    *plan = (struct plan){0};
}

struct shard plan_shard(const struct plan *plan, uint64_t index)
{
    const struct split_start *start = &plan->starts[index];
    uint64_t end = index + 1 < plan->n_shards ? start[1].first_row : plan->n_rows;

    return (struct shard){.index = index,
                          .first_row = start->first_row,
                          .n_rows = end - start->first_row,
                          .offset_bytes = start->offset_bytes,
                          .line = start->line};
}
