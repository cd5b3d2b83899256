/*
 * --order auto: which stage runs first, measured once on a sample, before the sweep, and written to OUT/plan.
 *
 * The sample is the 512 rows whose ids hash lowest, so it depends on the manifest alone; every rank scores
 * those it has read. Stages are tried from the cheapest on, a round at a time, and no further than until no
 * outcome on the rest could change the order: mostly about half the sample through the cheapest stage alone.
 * A round is the rows next in hash, whichever ranks have them, so what is measured does not depend on ranks.
 * Rows that cannot be decoded count as rejected: they cost nothing in any order.
 */
#include "base/file.h"
#include "job/load.h"
#include "job/run.h"
#include "job/signals.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SAMPLE_ROWS 512
#define SUPPOSED_PASS_RATE (1.0 / 16) /* of the first stage, where it was not measured */
#define ROUND_ROWS 64                 /* of all ranks together */
#define N_ROUNDS (SAMPLE_ROWS / ROUND_ROWS)

struct sample_row {
    uint64_t hash;
    char *uri;
};

/*
 * This rank's share of the sample: while it is read, a heap with the largest hash on top, so that it is the
 * first to go; then in ascending order.
 */
struct sample {
    struct sample_row rows[SAMPLE_ROWS];
    int n;
    int round_ends[N_ROUNDS]; /* round k is rows [round_ends[k - 1], round_ends[k]) */
};

static void swap_rows(struct sample_row *a, struct sample_row *b)
{
    struct sample_row kept = *a;
    *a = *b;
    *b = kept;
}

static void sift_down(struct sample *s, int at)
{
    for (int child = 2 * at + 1; child < s->n; at = child, child = 2 * at + 1) {
        if (child + 1 < s->n && s->rows[child + 1].hash > s->rows[child].hash)
            child++;
        if (s->rows[at].hash >= s->rows[child].hash)
            return;
        swap_rows(&s->rows[at], &s->rows[child]);
    }
}

static enum status sample_offer(struct sample *s, const struct manifest_row *row)
{
    enum status rc = STATUS_OK;
    uint64_t hash = load_hash_id(row->id.bytes, row->id.size);

    if (s->n == SAMPLE_ROWS && hash >= s->rows[0].hash)
        goto out;
    char *uri = strndup(row->uri.bytes, row->uri.size);
    if (uri == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    if (s->n == SAMPLE_ROWS) {
        free(s->rows[0].uri);
        s->rows[0] = (struct sample_row){hash, uri};
        sift_down(s, 0);
        goto out;
    }
    s->rows[s->n] = (struct sample_row){hash, uri};
    for (int at = s->n++; at > 0 && s->rows[(at - 1) / 2].hash < s->rows[at].hash; at = (at - 1) / 2)
        swap_rows(&s->rows[(at - 1) / 2], &s->rows[at]);
out:
    return rc;
}

/* Read this rank's share of the shards. */
static enum status sample_read(const struct run *run, struct sample *s)
{
    enum status rc = STATUS_OK;
    struct manifest *manifest = NULL;
    struct manifest_row row;

    TRY(load_open(run, &manifest));
    for (uint64_t i = (uint64_t)run->comm.rank; i < run->plan.n_shards; i += (uint64_t)run->comm.n_ranks) {
        struct shard shard = plan_shard(&run->plan, i);
        TRY(manifest_seek(manifest, shard.offset_bytes, shard.line));
        for (uint64_t k = 0; k < shard.n_rows; k++) {
            bool more;
            TRY(manifest_next(manifest, &row, &more));
            if (!more)
                FAIL(STATUS_MISMATCH, "%s was changed while it was read", run->options->manifest);
            TRY(sample_offer(s, &row));
        }
    }
out:
    manifest_close(manifest);
    return rc;
}

static int compare_hashes(const void *a, const void *b)
{
    uint64_t hash_a = ((const struct sample_row *)a)->hash, hash_b = ((const struct sample_row *)b)->hash;
    return (hash_a > hash_b) - (hash_a < hash_b);
}

static int count_up_to(const struct sample *s, uint64_t hash)
{
    int n = 0;

    for (int i = 0; i < s->n; i++)
        n += s->rows[i].hash <= hash;
    return n;
}

/* Collective: bisect, for all rounds at once, for the hash up to which lie the rows of rounds 0 to k of all
 * ranks. */
static enum status find_round_limits(const struct run *run, const struct sample *s, uint64_t limits[N_ROUNDS])
{
    enum status rc = STATUS_OK;
    uint64_t low[N_ROUNDS] = {0}, kept[N_ROUNDS];
    bool found = false;

    for (int k = 0; k < N_ROUNDS; k++)
        limits[k] = UINT64_MAX;
    while (!found) {
        for (int k = 0; k < N_ROUNDS; k++)
            kept[k] = (uint64_t)count_up_to(s, low[k] + (limits[k] - low[k]) / 2);
        TRY(comm_sum(&run->comm, kept, N_ROUNDS));
        found = true;
        for (int k = 0; k < N_ROUNDS; k++) {
            uint64_t middle = low[k] + (limits[k] - low[k]) / 2;
            if (low[k] == limits[k])
                continue;
            if (kept[k] >= (uint64_t)ROUND_ROWS * (uint64_t)(k + 1))
                limits[k] = middle;
            else
                low[k] = middle + 1;
            found = found && low[k] == limits[k];
        }
    }
out:
    return rc;
}

/* Collective: keep of each rank's rows those that are among the lowest of all, and deal them into rounds. */
static enum status sample_agree(const struct run *run, struct sample *s)
{
    enum status rc = STATUS_OK;
    uint64_t limits[N_ROUNDS];

    TRY(find_round_limits(run, s, limits));
    qsort(s->rows, (size_t)s->n, sizeof(s->rows[0]), compare_hashes);
    while (s->n > 0 && s->rows[s->n - 1].hash > limits[N_ROUNDS - 1])
        free(s->rows[--s->n].uri);
    for (int k = 0; k < N_ROUNDS; k++)
        s->round_ends[k] = count_up_to(s, limits[k]);
out:
    return rc;
}

/* Score rows [first, first + n) of the sample with one stage. OUT n_passed. */
static enum status score_rows(const struct run *run, struct pipeline *pipeline,
                              const struct sweep_layout *layout, const struct sample *s, int first, int n,
                              int stage, uint64_t *n_passed)
{
    enum status rc = STATUS_OK;
    struct work *work = NULL;

    *n_passed = 0;
    if (n == 0)
        goto out;
    TRY(work_create(layout, 0, 0, (uint64_t)n, &work));
    work->stages = 1u << stage;
    for (int i = 0; i < n; i++) {
        work->uris[i] = strdup(s->rows[first + i].uri);
        if (work->uris[i] == NULL)
            FAIL(STATUS_MEMORY, "no memory");
    }
    pipeline_push(pipeline, work);
    work = NULL;
    while (work == NULL) {
        if (signals_wanted() == SIGNALS_ABANDON)
            pipeline_abandon(pipeline);
        work = pipeline_take(pipeline, 100);
    }
    if (work->status != STATUS_OK) {
        rc = work->status;
        goto out;
    }
    const float *scores = work->part->scores + (size_t)stage * (size_t)n;
    for (int i = 0; i < n; i++)
        *n_passed += scores[i] >= run->cascade.stages[stage].threshold;
out:
    work_free(work);
    return rc;
}

struct order_table {
    double cost[CASCADE_MAX_STAGES];
    int n_seen[CASCADE_MAX_STAGES], n_passed[CASCADE_MAX_STAGES];
    int order[CASCADE_MAX_STAGES];
};

/* Collective: measure until the order is settled. */
static enum status measure(struct run *run, struct pipeline *pipeline, const struct sample *s,
                           struct order_table *t)
{
    enum status rc = STATUS_OK;
    int n_stages = run->cascade.n_stages, cheapest[CASCADE_MAX_STAGES];
    double no_pass[CASCADE_MAX_STAGES] = {0};
    uint64_t total = (uint64_t)s->n;
    struct sweep_layout layout = {0};

    TRY_TOGETHER(&run->comm, sweep_layout_init(&layout, 0, HEATMAPS_NONE, 0));
    for (int i = 0; i < n_stages; i++)
        TRY_TOGETHER(&run->comm, sweep_layout_add_stage(&layout, run->cascade.stages[i].name, 1, 1, true));
    TRY(comm_sum(&run->comm, &total, 1));
    cascade_order(t->cost, no_pass, n_stages, cheapest);
    for (int k = 0; k < n_stages; k++) {
        int stage = cheapest[k], done = 0;
        for (int round = 0; round < N_ROUNDS && t->n_seen[stage] < (int)total; round++) {
            if (cascade_order_settled(t->cost, t->n_seen, t->n_passed, (int)total, n_stages, t->order))
                break;
            int n = s->round_ends[round] - done;
            uint64_t counts[2] = {(uint64_t)n, 0};
            TRY_TOGETHER(&run->comm, signals_wanted() == SIGNALS_NONE ? STATUS_OK : STATUS_RESUME);
            TRY_TOGETHER(&run->comm, score_rows(run, pipeline, &layout, s, done, n, stage, &counts[1]));
            done += n;
            TRY(comm_sum(&run->comm, counts, 2));
            t->n_seen[stage] += (int)counts[0];
            t->n_passed[stage] += (int)counts[1];
        }
    }
    cascade_order_settled(t->cost, t->n_seen, t->n_passed, (int)total, n_stages, t->order);
out:
    sweep_layout_free(&layout);
    return rc;
}

static enum status sample_and_measure(struct run *run, struct order_table *t)
{
    enum status rc = STATUS_OK;
    const struct options *o = run->options;
    struct sample *s = calloc(1, sizeof(*s));
    struct pipeline *pipeline = NULL;

    TRY_TOGETHER(&run->comm, s == NULL ? STATUS_MEMORY : sample_read(run, s));
    TRY(sample_agree(run, s));
    TRY(engine_choice_settle_batch(run));
    TRY(run_open_engine(run));
    struct pipeline_options how = {
        .engine = run->engine,
        .cascade = &run->cascade,
        .isolation = run->isolation,
        .root = o->root,
        .max_bytes = o->max_bytes,
        .picture = {o->decode, o->resample, (int)o->resize, (int)o->size, o->max_pixels},
        .heatmaps = HEATMAPS_NONE,
        .n_workers = run->n_workers,
    };
    TRY_TOGETHER(&run->comm, pipeline_open(&how, &pipeline));
    TRY(measure(run, pipeline, s, t));
out:
    pipeline_close(pipeline);
    if (run->engine != NULL)
        run->engine->close(run->engine);
    run->engine = NULL;
    for (int i = 0; s != NULL && i < s->n; i++)
        free(s->rows[i].uri);
    free(s);
    return rc;
}

/* On rank 0: position, stage, cost and what was measured, a line each. */
static enum status write_order(const struct run *run, const struct order_table *t)
{
    enum status rc = STATUS_OK;
    char path[RUN_PATH_SIZE], text[4096] = "position\tstage\tmacs\tseen\tpassed\n";

    for (int k = 0; k < run->cascade.n_stages; k++) {
        int i = t->order[k];
        size_t used = strlen(text);
        snprintf(text + used, sizeof(text) - used, "%d\t%s\t%.0f\t%d\t%d\n", k, run->cascade.stages[i].name,
                 t->cost[i], t->n_seen[i], t->n_passed[i]);
        log_info("order: %d. %s: %.2f GMAC, %d of %d sampled rows pass", k + 1, run->cascade.stages[i].name,
                 1e-9 * t->cost[i], t->n_passed[i], t->n_seen[i]);
    }
    TRY(run_path(run, "plan/order.tsv", path));
    TRY(file_write(path, text, strlen(text)));
out:
    return rc;
}

static int stage_index(const struct cascade *cascade, const char *name, size_t size)
{
    for (int i = 0; i < cascade->n_stages; i++)
        if (strlen(cascade->stages[i].name) == size && memcmp(cascade->stages[i].name, name, size) == 0)
            return i;
    return -1;
}

/* OUT found: whether there is an order in OUT/plan, with what was measured of its first stage.
 * STATUS_MISMATCH where it is of other stages. */
static enum status read_order(const struct run *run, int *order, double *pass_rate, bool *found)
{
    enum status rc = STATUS_OK;
    char path[RUN_PATH_SIZE];
    char *text = NULL;
    size_t size;
    uint32_t seen = 0;
    int n = 0;

    *found = false;
    TRY(run_path(run, "plan/order.tsv", path));
    if (access(path, F_OK) != 0)
        goto out;
    TRY(file_read(path, 1u << 16, &text, &size));
    for (char *line = strchr(text, '\n'); line != NULL && line[1] != '\0';
         line = strchr(line + 1, '\n'), n++) {
        char *name = strchr(line + 1, '\t');
        int index = name == NULL ? -1 : stage_index(&run->cascade, name + 1, strcspn(name + 1, "\t\n"));
        if (n >= run->cascade.n_stages || index < 0 || (seen >> index & 1) != 0)
            FAIL(STATUS_MISMATCH,
                 "%s orders other stages than those given: run with the same --stage options, or "
                 "give another --out",
                 path);
        order[n] = index;
        seen |= 1u << index;
        int n_seen = 0, n_passed = 0;
        if (n == 0 && sscanf(name + 1, "%*s %*s %d %d", &n_seen, &n_passed) == 2 && n_seen > 0)
            *pass_rate = (n_passed + 1.0) / (n_seen + 1.0);
    }
    if (n != run->cascade.n_stages)
        FAIL(STATUS_MISMATCH,
             "%s orders %d stages, %d are given: run with the same --stage options, or give another "
             "--out",
             path, n, run->cascade.n_stages);
    *found = true;
out:
    free(text);
    return rc;
}

enum status run_order_stages(struct run *run)
{
    enum status rc = STATUS_OK;
    struct order_table t = {0};
    bool found = false;
    uint64_t everywhere;

    if (run->options->order == ORDER_GIVEN || run->cascade.n_stages < 2 || run->options->all_stages)
        goto out;
    TRY_TOGETHER(&run->comm, read_order(run, t.order, &run->pass_rate, &found));
    everywhere = found;
    TRY(comm_sum(&run->comm, &everywhere, 1));
    if (everywhere <
        (uint64_t)run->comm.n_ranks) { /* a rank that does not see it yet measures with the others */
        for (int i = 0; i < run->cascade.n_stages; i++)
            t.cost[i] = (double)run->cascade.stages[i].macs;
        TRY(sample_and_measure(run, &t));
        TRY_TOGETHER(&run->comm, run->comm.rank == 0 ? write_order(run, &t) : STATUS_OK);
    }
    run_reorder(run, t.order);
    if (t.n_seen[t.order[0]] > 0)
        run->pass_rate = (t.n_passed[t.order[0]] + 1.0) / (t.n_seen[t.order[0]] + 1.0);
out:
    if (rc == STATUS_OK && run->pass_rate <= 0)
        run->pass_rate = SUPPOSED_PASS_RATE;
    return rc;
}
