#include "job/set_aside.h"

#include "io/fetch.h"
#include "job/watch.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define OTHERS_READ 8

/* Read the first picture of another shard; whatever becomes of it, as long as the place is not at fault. */
static enum status read_first_of(const struct run *run, struct manifest *manifest, struct fetcher *fetcher,
                                 uint64_t index)
{
    enum status rc = STATUS_OK;
    struct shard shard = plan_shard(&run->plan, index);
    struct manifest_row row;
    struct picture_info info;
    const uint8_t *bytes;
    char *uri = NULL;
    size_t n;
    bool more;

    TRY(manifest_seek(manifest, shard.offset_bytes, shard.line));
    TRY(manifest_next(manifest, &row, &more));
    if (!more)
        FAIL(STATUS_MISMATCH, "%s ends before shard %" PRIu64 ": it was changed while the sweep runs",
             run->options->manifest, index);
    uri = strndup(row.uri.bytes, row.uri.size);
    if (uri == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    watch_begin(WATCH_FETCH, (int64_t)index, uri);
    TRY(fetcher_read(fetcher, uri, &bytes, &n, &info));
out:
    watch_end();
    free(uri);
    return rc;
}

/* Is the pool there? */
static enum status check_pool(const struct run *run, struct manifest *manifest, uint64_t suspect)
{
    enum status rc = STATUS_OK;
    uint64_t n = run->plan.n_shards, step = n / OTHERS_READ + 1;
    struct fetch_options how = {.root = run->options->root, .max_bytes = run->options->max_bytes};
    struct fetcher *fetcher = NULL;

    TRY(fetcher_open(&how, &fetcher));
    for (uint64_t shard = suspect % step; shard < n; shard += step)
        if (shard != suspect)
            TRY(read_first_of(run, manifest, fetcher, shard));
out:
    if (rc == STATUS_PLACE)
        log_error("shard %" PRIu64
                  " is not set aside: other pictures cannot be read either, so the pool is at fault",
                  suspect);
    fetcher_close(fetcher);
    return rc;
}

enum status set_aside_make(const struct run *run, struct manifest *manifest, uint64_t shard,
                           struct work **out)
{
    enum status rc = STATUS_OK;
    struct work *work = NULL;

    TRY(check_pool(run, manifest, shard));
    TRY(load_shard(run, manifest, shard, &work));
    for (uint64_t row = 0; row < work->n_rows; row++)
        TRY(part_set_outcome(work->part, row, ITEM_SET_ASIDE, SWEEP_FAILED, NULL));
    log_error(
        "shard %" PRIu64 " failed on %" PRIu64 " hosts: it is set aside, its %" PRIu64
        " rows get the status set_aside; to try it once more, remove its part from OUT/parts and run the "
        "same command again",
        shard, run->options->set_aside_after, work->n_rows);
    *out = work;
    work = NULL;
out:
    work_free(work);
    return rc;
}
