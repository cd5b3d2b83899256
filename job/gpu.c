#include "job/gpu.h"

#include "base/file.h"
#include "job/attempts.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/group.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define WEIGHTS_LIMIT_BYTES ((size_t)16 << 30)

/* What the ranks tell each other of their GPUs. */
struct card {
    char host[64], device[DEVICE_NAME_SIZE], id[DEVICE_ID_SIZE];
};

/* Does an earlier rank have the same GPU? */
static enum status check_alone(const struct run *run, const struct card *cards)
{
    enum status rc = STATUS_OK;
    const struct card *own = &cards[run->comm.rank];

    for (int i = 0; i < run->comm.rank; i++) {
        if (strcmp(cards[i].host, own->host) != 0 || strcmp(cards[i].id, own->id) != 0)
            continue;
        char why[DEVICE_REASON_SIZE];
        int n = device_count(why);
        FAIL(STATUS_USAGE,
             "host %s has %d GPU%s for %d ranks; each rank needs one of its own: start %d on each host, "
             "with mpirun --map-by ppr:%d:node or srun --ntasks-per-node=%d --gpus-per-node=%d, or use "
             "--engine cpu",
             own->host, n, n == 1 ? "" : "s", run->comm.n_local, n, n, n, n);
    }
out:
    return rc;
}

/* The lowest rank with the same model of GPU chooses the plans for all of them. */
static bool is_leader(const struct run *run, const struct card *cards)
{
    for (int i = 0; i < run->comm.rank; i++)
        if (strcmp(cards[i].device, cards[run->comm.rank].device) == 0)
            return false;
    return true;
}

static enum status join_group(struct run *run)
{
    enum status rc = STATUS_OK;
    unsigned char id[GROUP_ID_BYTES] = {0};

    if (run->comm.n_ranks == 1)
        goto out;
    TRY_TOGETHER(&run->comm, run->comm.rank == 0 ? group_make_id(id) : STATUS_OK);
    TRY(comm_broadcast(&run->comm, id, sizeof(id)));
    rc = group_open(run->comm.rank, &run->gpus);
    if (rc == STATUS_MEMORY) {
        log_error("%s has no memory left to join the other GPUs: is another program using it?",
                  device_label());
        rc = STATUS_PLACE;
    }
    TRY_TOGETHER(&run->comm, rc);
    TRY_TOGETHER(&run->comm, group_join(run->gpus, id, run->comm.n_ranks));
out:
    return rc;
}

enum status gpu_join(struct run *run)
{
    enum status rc = STATUS_OK;
    struct card own = {0}, *cards = NULL;
    char why[DEVICE_REASON_SIZE];

    if (run->choice.kind != ENGINE_CUDA || run->options->dry_run)
        goto out;
    gethostname(own.host, sizeof(own.host) - 1);
    int n = device_count(why), index = n <= 0 ? 0 : run->comm.local_rank % n;
    TRY_TOGETHER(&run->comm, device_describe(index, own.device, own.id));
    cards = calloc((size_t)run->comm.n_ranks, sizeof(*cards));
    TRY_TOGETHER(&run->comm, cards == NULL ? STATUS_MEMORY : STATUS_OK);
    assert(cards != NULL); /* all agree, this rank too */
    TRY(comm_gather_all(&run->comm, &own, sizeof(own), cards));
    TRY_TOGETHER(&run->comm, check_alone(run, cards));
    TRY_TOGETHER(&run->comm, device_choose(index)); /* now: two ranks may not even touch an exclusive card */
    run->leads = is_leader(run, cards);
    memcpy(run->gpu_model, own.device, sizeof(own.device));
    TRY(join_group(run));
out:
    free(cards);
    return rc;
}

void gpu_leave(struct run *run)
{
    group_close(run->gpus);
    run->gpus = NULL;
    for (int i = 0; i < CASCADE_MAX_STAGES; i++) {
        weights_close(run->shared_weights[i]);
        run->shared_weights[i] = NULL;
    }
}

/* Memory as weights_open_map wants it. */
static enum status map_memory(const char *path, size_t n_bytes, unsigned char **map)
{
    enum status rc = STATUS_OK;

    if (n_bytes == 0)
        FAIL(STATUS_INPUT, "weights %s: the file is empty", path);
    void *memory = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        FAIL(STATUS_MEMORY, "no memory for weights of %zu bytes", n_bytes);
    *map = memory;
out:
    return rc;
}

static enum status share_one(struct run *run, const char *path, struct weights **out)
{
    enum status rc = STATUS_OK;
    char *bytes = NULL;
    unsigned char *map = NULL;
    size_t n_bytes = 0;

    TRY_TOGETHER(&run->comm,
                 run->comm.rank == 0 ? file_read(path, WEIGHTS_LIMIT_BYTES, &bytes, &n_bytes) : STATUS_OK);
    TRY(comm_broadcast(&run->comm, &n_bytes, sizeof(n_bytes)));
    TRY_TOGETHER(&run->comm, map_memory(path, n_bytes, &map));
    assert(map != NULL); /* all agree, this rank too */
    if (bytes != NULL)   /* rank 0's */
        memcpy(map, bytes, n_bytes);
    TRY_TOGETHER(&run->comm, group_broadcast(run->gpus, map, n_bytes));
    rc = weights_open_map(path, map, n_bytes, out);
    map = NULL; /* the weights' own, in any case */
    TRY_TOGETHER(&run->comm, rc);
out:
    if (map != NULL)
        munmap(map, n_bytes);
    free(bytes);
    return rc;
}

enum status gpu_share_weights(struct run *run)
{
    enum status rc = STATUS_OK;
    const struct stage_list *stages = &run->options->stages;

    if (run->gpus == NULL)
        goto out;
    for (size_t i = 0; i < stages->n; i++)
        TRY(share_one(run, stages->items[i].file, &run->shared_weights[i]));
out:
    return rc;
}

/* $XDG_CACHE_HOME/eyesore/plans, else ~/.cache/eyesore/plans. OUT path: "": no cache. */
static void find_cache(const struct options *o, char path[RUN_PATH_SIZE])
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

    path[0] = '\0';
    if (o->plan_cache != NULL)
        snprintf(path, RUN_PATH_SIZE, "%s", strcmp(o->plan_cache, "none") == 0 ? "" : o->plan_cache);
    else if (cache != NULL && cache[0] == '/')
        snprintf(path, RUN_PATH_SIZE, "%s/eyesore/plans", cache);
    else if (home != NULL && home[0] == '/')
        snprintf(path, RUN_PATH_SIZE, "%s/.cache/eyesore/plans", home);
}

enum status gpu_open_engine(struct run *run, const struct engine_options *options)
{
    enum status rc = STATUS_OK;
    struct engine_options how = *options;
    char plans[RUN_PATH_SIZE], cache[RUN_PATH_SIZE];

    TRY_TOGETHER(&run->comm, run_path(run, "plan/cuda", plans));
    find_cache(run->options, cache);
    how.batch = run->choice.batch;
    how.later_batch = run->choice.later_batch;
    how.plan_folder = plans;
    how.plan_cache = cache[0] == '\0' ? NULL : cache;
    TRY_TOGETHER(&run->comm, run->leads ? engine_cuda_open(&run->cascade, &how, &run->engine) : STATUS_OK);
    TRY_TOGETHER(&run->comm, run->leads ? STATUS_OK : engine_cuda_open(&run->cascade, &how, &run->engine));
    /* For the sweep's attributes: scores of different models of GPU may differ by rounding. */
    TRY_TOGETHER(&run->comm, run->leads ? attempts_note(run, "gpu_model", run->gpu_model) : STATUS_OK);
out:
    return rc;
}

void gpu_note_fault(struct run *run)
{
    char fault[DEVICE_FAULT_SIZE];

    device_read_fault(fault);
    if (fault[0] == '\0' || run->noted.device_failed)
        return;
    run->noted.device_failed = true;
    (void)attempts_note(run, "device_failed", fault);
}

enum status gpu_note_events(struct run *run)
{
    enum status rc = STATUS_OK;
    struct engine_notes notes = {0};
    char text[DEVICE_FAULT_SIZE];

    if (run->engine == NULL || run->engine->read_notes == NULL)
        goto out;
    run->engine->read_notes(run->engine, &notes);
    for (; run->noted.n_halvings < notes.n_halvings; run->noted.n_halvings++) {
        snprintf(text, sizeof(text), "out of memory: batch halved, from %d for the %d. time",
                 run->choice.batch, run->noted.n_halvings + 1);
        TRY(attempts_note(run, "batch_halved", text));
    }
    if (notes.device_failed)
        gpu_note_fault(run);
out:
    return rc;
}

/* All counters behind each other, as they are added up. */
#define N_COUNTERS (ITEM_STATUS_COUNT + 1 + CASCADE_MAX_STAGES * SCORE_BINS)

static void list_counters(const struct pipeline_totals *t, uint64_t *counters)
{
    memcpy(counters, t->counts.rows_by_status, sizeof(t->counts.rows_by_status));
    counters[ITEM_STATUS_COUNT] = t->counts.n_flagged;
    memcpy(counters + ITEM_STATUS_COUNT + 1, t->counts.histogram, sizeof(t->counts.histogram));
}

static void log_histograms(const struct run *run, const uint64_t *counters)
{
    for (int s = 0; s < run->cascade.n_stages; s++) {
        const uint64_t *bins = counters + ITEM_STATUS_COUNT + 1 + s * SCORE_BINS;
        char text[SCORE_BINS * 21 + 1] = "";
        for (int b = 0; b < SCORE_BINS; b++)
            snprintf(text + strlen(text), sizeof(text) - strlen(text), " %" PRIu64, bins[b]);
        log_info("scores of %s in this attempt, %d bins from 0 to 1:%s", run->cascade.stages[s].name,
                 SCORE_BINS, text);
    }
}

enum status gpu_add_up(struct run *run, const struct pipeline_totals *own)
{
    enum status rc = STATUS_OK;
    uint64_t over_mpi[N_COUNTERS], over_nccl[N_COUNTERS];
    struct engine_notes notes = {0};

    if (run->choice.kind != ENGINE_CUDA)
        goto out;
    run->engine->read_notes(run->engine, &notes);
    bool well = !notes.device_failed;
    TRY(comm_all(&run->comm, &well));
    list_counters(own, over_mpi);
    memcpy(over_nccl, over_mpi, sizeof(over_nccl));
    TRY(comm_sum(&run->comm, over_mpi, N_COUNTERS));
    if (run->comm.rank == 0)
        log_histograms(run, over_mpi);
    if (run->gpus == NULL || !well)
        goto out;
    TRY_TOGETHER(&run->comm, group_sum(run->gpus, over_nccl, N_COUNTERS));
    bool agree = memcmp(over_mpi, over_nccl, sizeof(over_mpi)) == 0;
    if (!agree)
        log_error("the counters added up over NCCL differ from those over MPI: is a GPU's memory faulty?");
    TRY_TOGETHER(&run->comm, agree ? STATUS_OK : STATUS_INTERNAL);
out:
    return rc;
}
