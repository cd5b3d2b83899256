#include "job/load.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum status load_open(const struct run *run, struct manifest **out)
{
    return manifest_open(run->options->manifest, run->plan.format, run->options->carry, false, out);
}

uint64_t load_hash_id(const char *id, size_t size)
{
    return XXH3_64bits(id, size);
}

enum status load_row(const struct run *run, const struct manifest_row *from, struct work *work, uint64_t row)
{
    enum status rc = STATUS_OK;
    const struct options *o = run->options;
    uint32_t n = work->part->layout->n_columns;
    struct part_text *columns = calloc(n + 1, sizeof(*columns));

    work->uris[row] = strndup(from->uri.bytes, from->uri.size);
    if (work->uris[row] == NULL || columns == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    for (uint32_t i = 0; i < n; i++)
        columns[i] = (struct part_text){from->carried[i].bytes, from->carried[i].size};
    TRY(part_set_item(work->part, row, (struct part_text){from->id.bytes, from->id.size},
                      (struct part_text){from->uri.bytes, from->uri.size}, columns));
    bool probed = o->probe > 0 && (double)load_hash_id(from->id.bytes, from->id.size) < o->probe * 0x1p64;
    if (probed)
        part_set_probed(work->part, row);
    work->exhaustive[row] = probed || o->all_stages;
out:
    free(columns);
    return rc;
}

enum status load_shard(const struct run *run, struct manifest *manifest, uint64_t index, struct work **out)
{
    enum status rc = STATUS_OK;
    struct shard shard = plan_shard(&run->plan, index);
    struct work *work = NULL;
    struct manifest_row row;

    TRY(work_create(&run->layout, index, shard.first_row, shard.n_rows, &work));
    TRY(manifest_seek(manifest, shard.offset_bytes, shard.line));
    for (uint64_t i = 0; i < shard.n_rows; i++) {
        bool more;
        TRY(manifest_next(manifest, &row, &more));
        if (!more)
            FAIL(STATUS_MISMATCH, "%s ends before row %llu: it was changed while the sweep runs",
                 run->options->manifest, (unsigned long long)(shard.first_row + i));
        TRY(load_row(run, &row, work, i));
    }
    *out = work;
    work = NULL;
out:
    work_free(work);
    return rc;
}
