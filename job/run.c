#include "job/run.h"

#include "base/file.h"
#include "job/gpu.h"
#include "shards/ledger.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum status run_path(const struct run *run, const char *name, char path[RUN_PATH_SIZE])
{
    enum status rc = STATUS_OK;
    int n = snprintf(path, RUN_PATH_SIZE, "%s/%s", run->options->out, name);

    if (n < 0 || n >= RUN_PATH_SIZE)
        FAIL(STATUS_USAGE, "--out %s: the path is too long", run->options->out);
out:
    return rc;
}

struct plan_options run_plan_options(const struct options *o)
{
    return (struct plan_options){o->manifest_format, o->carry, o->limit, o->shard_rows};
}

/* On rank 0: a new plan, written unless this is a dry run. */
static enum status make_plan(struct run *run)
{
    enum status rc = STATUS_OK;
    const struct options *o = run->options;
    struct plan_options how = run_plan_options(o);
    char scratch[RUN_PATH_SIZE] = "/tmp/eyesore-plan-XXXXXX";
    bool dry_scratch = false;

    if (o->dry_run) {
        if (mkdtemp(scratch) == NULL)
            FAIL(STATUS_PLACE, "%s: cannot make a folder for the dry run: %s", scratch, strerror(errno));
        dry_scratch = true;
    } else {
        TRY(run_path(run, "plan", scratch));
        TRY(file_make_folders(scratch));
    }
    TRY(plan_make(o->manifest, &how, scratch, &run->plan, NULL));
    if (!o->dry_run)
        TRY(plan_write(&run->plan, o->out));
out:
    if (dry_scratch)
        rmdir(scratch);
    return rc;
}

static enum status check_plan(struct run *run)
{
    enum status rc = STATUS_OK;
    struct plan_options how = run_plan_options(run->options);

    TRY(plan_load(run->options->out, &run->plan));
    TRY(plan_check(&run->plan, run->options->manifest, &how));
out:
    return rc;
}

enum status run_plan(struct run *run)
{
    enum status rc = STATUS_OK;

    TRY_TOGETHER(&run->comm, input_stamp_read(run->options->manifest, &run->manifest_stamp));
    if (run->comm.rank == 0)
        rc = plan_exists(run->options->out) ? check_plan(run) : make_plan(run);
    TRY_TOGETHER(&run->comm, rc);
    if (run->comm.rank != 0 && !run->options->dry_run)
        rc = plan_load(run->options->out, &run->plan);
    TRY_TOGETHER(&run->comm, rc);
out:
    return rc;
}

char *run_format_classes(const struct class_set *set)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);

    if (stream == NULL)
        return NULL;
    for (int i = 0; i < set->n_watched;) {
        int last = i;
        while (last + 1 < set->n_watched && set->watched[last + 1] == set->watched[last] + 1)
            last++;
        fprintf(stream, last == i ? "%s%d" : "%s%d-%d", i == 0 ? "" : ",", set->watched[i],
                set->watched[last]);
        i = last + 1;
    }
    if (fclose(stream) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* What decides whether a score may be reused. */
static enum status identify_stage(const struct run *run, const struct stage *s, const char *sha256,
                                  struct fingerprint *print)
{
    enum status rc = STATUS_OK;
    const struct options *o = run->options;
    char *classes = run_format_classes(&s->classes);

    if (classes == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    fingerprint_add(print, "weights", "%s", sha256);
    fingerprint_add(print, "arch", "%s+%s", s->arch, s->attention);
    fingerprint_add(print, "class", "%s", classes);
    fingerprint_add(print, "head", "%s", s->classes.kind == HEAD_SOFTMAX ? "softmax" : "sigmoid");
    fingerprint_add(print, "mean", "%.9g,%.9g,%.9g", s->mean[0], s->mean[1], s->mean[2]);
    fingerprint_add(print, "std", "%.9g,%.9g,%.9g", s->std[0], s->std[1], s->std[2]);
    fingerprint_add(print, "crop", "%llu of %llu, %s", (unsigned long long)o->size,
                    (unsigned long long)o->resize, o->resample == RESAMPLE_BICUBIC ? "bicubic" : "bilinear");
    fingerprint_add(print, "decode", "%s", o->decode == DECODE_FAST ? "fast" : "exact");
    fingerprint_add(print, "precision", "%s", precision_name(s->variants[0].precision));
    fingerprint_add(print, "engine", "%s", engine_kind_name(run->choice.kind));
    TRY(fingerprint_close(print));
out:
    free(classes);
    return rc;
}

/* Of a stage: its own, else what --precision says, else what auto has come to. */
static enum status choose_precision(const struct run *run, const struct stage_option *given,
                                    enum precision *out)
{
    enum status rc = STATUS_OK;
    static const enum precision of_choice[] = {[PRECISION_CHOICE_F32] = PRECISION_F32,
                                               [PRECISION_CHOICE_BF16] = PRECISION_BF16,
                                               [PRECISION_CHOICE_F16] = PRECISION_F16};
    enum precision_choice choice = given->has_precision ? given->precision : run->options->precision;

    *out = choice == PRECISION_CHOICE_AUTO ? run->choice.precision : of_choice[choice];
    if (run->options->dry_run && run->options->engine == ENGINE_CHOICE_AUTO)
        goto out; /* which engine it will be is decided where the sweep runs */
    if (run->choice.kind == ENGINE_CUDA && *out == PRECISION_F32)
        FAIL(STATUS_USAGE,
             "stage %s: the cuda engine computes in f16 or bf16, not f32: use --engine cpu for f32",
             given->name);
    if (run->choice.kind != ENGINE_CUDA && *out == PRECISION_F16)
        FAIL(STATUS_USAGE, "stage %s: precision f16 is for GPUs: use f32, bf16 or auto with --engine cpu",
             given->name);
    if (*out == PRECISION_BF16 && !run->bf16_everywhere)
        FAIL(STATUS_USAGE,
             "stage %s: precision bf16 was asked for, but not every host's processor has it: use f32 or auto",
             given->name);
out:
    return rc;
}

static enum status load_stage(struct run *run, int index)
{
    enum status rc = STATUS_OK;
    const struct options *o = run->options;
    const struct stage_option *given = &o->stages.items[index];
    struct stage *s = &run->cascade.stages[index];

    memset(s, 0, sizeof(*s));
    snprintf(s->name, sizeof(s->name), "%s", given->name);
    if (strlen(given->file) >= sizeof(s->weights_path))
        FAIL(STATUS_USAGE, "stage %s: the path of the weights is too long", given->name);
    memcpy(s->weights_path, given->file, strlen(given->file) + 1);
    s->threshold = given->threshold;
    memcpy(s->mean, given->mean, sizeof(s->mean));
    memcpy(s->std, given->std, sizeof(s->std));
    s->n_variants = 1;
    TRY(choose_precision(run, given, &s->variants[0].precision));
    TRY(input_stamp_read(given->file, &run->weights_stamps[index]));
    s->weights = run->shared_weights[index];
    run->shared_weights[index] = NULL;
    TRY(stage_open(s, (int)o->size, given->class_text, given->head));
    s->trained &= run->choice.kind != ENGINE_NULL; /* no network will have judged anything */
    TRY(sha256_bytes(s->weights->map, s->weights->map_bytes, run->weights_sha256[index]));
    TRY(identify_stage(run, s, run->weights_sha256[index], &run->stage_prints[index]));
out:
    return rc;
}

static enum status load_stages(struct run *run)
{
    enum status rc = STATUS_OK;
    const struct options *o = run->options;

    if (o->stages.n == 0 && !o->dry_run)
        FAIL(STATUS_USAGE, "no --stage: name at least one network, --stage resnet50=r50.safetensors@0.65");
    run->cascade.size = (int)o->size;
    for (size_t i = 0; i < o->stages.n; i++) {
        TRY(load_stage(run, (int)i));
        run->cascade.n_stages = (int)i + 1;
    }
out:
    return rc;
}

enum status run_load_stages(struct run *run)
{
    enum status rc = STATUS_OK;

    TRY(gpu_share_weights(run));
    TRY_TOGETHER(&run->comm, load_stages(run));
out:
    return rc;
}

void run_reorder(struct run *run, const int *order)
{
    char sha256[CASCADE_MAX_STAGES][SHA256_HEX_SIZE];
    struct fingerprint prints[CASCADE_MAX_STAGES];
    struct input_stamp stamps[CASCADE_MAX_STAGES];

    memcpy(stamps, run->weights_stamps, sizeof(stamps));
    memcpy(sha256, run->weights_sha256, sizeof(sha256));
    memcpy(prints, run->stage_prints, sizeof(prints));
    for (int i = 0; i < run->cascade.n_stages; i++) {
        memcpy(run->weights_sha256[i], sha256[order[i]], SHA256_HEX_SIZE);
        run->stage_prints[i] = prints[order[i]];
        run->weights_stamps[i] = stamps[order[i]];
    }
    cascade_reorder(&run->cascade, order);
}

/* A stage's own lines, each under its name, so that a mismatch names stage and field. */
static void add_stage_lines(struct fingerprint *print, const char *stage, const struct fingerprint *lines)
{
    for (const char *line = lines->text; *line != '\0';) {
        size_t n = strcspn(line, "\n"), key = strcspn(line, "=");
        char name[128];
        snprintf(name, sizeof(name), "stage.%s.%.*s", stage, (int)key, line);
        fingerprint_add(print, name, "%.*s", (int)(n - key - 1), line + key + 1);
        line += n + 1;
    }
}

static enum status make_fingerprint(struct run *run)
{
    const struct options *o = run->options;
    struct fingerprint *p = &run->print;
    char order[CASCADE_MAX_STAGES * STAGE_NAME_SIZE] = "";

    for (int i = 0; i < run->cascade.n_stages; i++)
        snprintf(order + strlen(order), sizeof(order) - strlen(order), "%s%s", i == 0 ? "" : ",",
                 run->cascade.stages[i].name);
    fingerprint_add(p, "format", "%d", SWEEP_FORMAT_VERSION);
    fingerprint_add(p, "manifest", "%s", run->plan.manifest_hash);
    fingerprint_add(p, "rows", "%llu", (unsigned long long)run->plan.n_rows);
    for (size_t i = 2; i < run->plan.n_columns; i++)
        fingerprint_add(p, "carry", "%s", run->plan.columns[i].name);
    fingerprint_add(p, "order", "%s", order);
    for (int i = 0; i < run->cascade.n_stages; i++) {
        char key[64];
        add_stage_lines(p, run->cascade.stages[i].name, &run->stage_prints[i]);
        snprintf(key, sizeof(key), "stage.%s.threshold", run->cascade.stages[i].name);
        fingerprint_add(p, key, "%.9g", (double)run->cascade.stages[i].threshold);
    }
    fingerprint_add(p, "heatmaps", "%s", sweep_heatmaps_name(o->heatmaps));
    fingerprint_add(p, "all-stages", "%s", o->all_stages ? "yes" : "no");
    fingerprint_add(p, "probe", "%.17g", o->probe);
    fingerprint_add(p, "max-bytes", "%llu", (unsigned long long)o->max_bytes);
    if (run->choice.kind == ENGINE_CUDA) { /* they decide which kernels compute, so how scores are rounded */
        fingerprint_add(p, "batch", "%d", run->choice.batch);
        fingerprint_add(p, "later-batch", "%d", run->choice.later_batch);
    }
    fingerprint_add(p, "max-pixels", "%llu", (unsigned long long)o->max_pixels);
    return fingerprint_close(p);
}

/* On rank 0: OUT/plan/run.txt, where there is one, holds the fingerprint of the run whose parts are there. */
static enum status compare_with_earlier(struct run *run)
{
    enum status rc = STATUS_OK;
    char path[RUN_PATH_SIZE], difference[512];
    char *earlier = NULL;
    size_t size;

    TRY(run_path(run, "plan/run.txt", path));
    if (access(path, F_OK) != 0)
        goto out;
    TRY(file_read(path, 1u << 20, &earlier, &size));
    if (fingerprint_difference(earlier, run->print.text, difference, sizeof(difference)))
        FAIL(STATUS_MISMATCH,
             "%s holds another sweep (%s): run with the same options to go on with it, or give "
             "another --out",
             run->options->out, difference);
out:
    free(earlier);
    return rc;
}

/* Do all ranks see the same files? */
static enum status compare_with_rank_0(struct run *run)
{
    enum status rc = STATUS_OK;
    char head[17] = "";
    memcpy(head, run->print.hex, 16);
    uint64_t own = strtoull(head, NULL, 16), first = run->comm.rank == 0 ? own : 0;

    TRY(comm_sum(&run->comm, &first, 1)); /* rank 0's: all others add nothing */
    if (first != own)
        FAIL(STATUS_INPUT,
             "this rank's manifest plan or weights are not those of rank 0: is everything on a file "
             "system that all hosts share?");
out:
    return rc;
}

static enum status make_layout(struct run *run)
{
    enum status rc = STATUS_OK;
    const struct plan *plan = &run->plan;

    TRY(sweep_layout_init(&run->layout, plan->columns[0].longest_bytes, run->options->heatmaps,
                          run->options->probe));
    for (size_t i = 2; i < plan->n_columns; i++)
        TRY(sweep_layout_add_column(&run->layout, plan->columns[i].name, plan->columns[i].longest_bytes));
    for (int i = 0; i < run->cascade.n_stages; i++) {
        const struct stage *s = &run->cascade.stages[i];
        TRY(sweep_layout_add_stage(&run->layout, s->name, (uint32_t)s->map_height, (uint32_t)s->map_width,
                                   s->trained));
    }
out:
    return rc;
}

enum status run_identify(struct run *run)
{
    enum status rc = STATUS_OK;

    TRY(engine_choice_settle_batch(run));
    TRY_TOGETHER(&run->comm, make_fingerprint(run));
    TRY_TOGETHER(&run->comm, compare_with_rank_0(run));
    TRY_TOGETHER(&run->comm, run->comm.rank == 0 ? compare_with_earlier(run) : STATUS_OK);
    TRY_TOGETHER(&run->comm, make_layout(run));
out:
    return rc;
}

static enum status begin(const struct run *run)
{
    enum status rc = STATUS_OK;
    char path[RUN_PATH_SIZE];

    TRY(run_path(run, "plan/run.txt", path));
    if (access(path, F_OK) != 0)
        TRY(file_write(path, run->print.text, run->print.used));
out:
    return rc;
}

enum status run_begin(struct run *run)
{
    enum status rc = STATUS_OK;
    TRY_TOGETHER(&run->comm, run->comm.rank == 0 ? begin(run) : STATUS_OK);
out:
    return rc;
}

/* Temporary files in OUT/NAME ("": OUT itself). */
static void remove_leftovers_in(const struct run *run, const char *name)
{
    char path[RUN_PATH_SIZE];
    const struct dirent *entry;
    DIR *folder = run_path(run, name, path) == STATUS_OK ? opendir(path) : NULL;

    while (folder != NULL && (entry = readdir(folder)) != NULL)
        if (strstr(entry->d_name, ".tmp-") != NULL && unlinkat(dirfd(folder), entry->d_name, 0) != 0)
            log_warn("%s/%s: cannot remove: %s", path, entry->d_name, strerror(errno));
    if (folder != NULL)
        closedir(folder);
}

/* In the folders of the GPUs' plans. */
static void remove_plan_leftovers(const struct run *run)
{
    char path[RUN_PATH_SIZE], name[512];
    const struct dirent *entry;
    DIR *folder = run_path(run, "plan/cuda", path) == STATUS_OK ? opendir(path) : NULL;

    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof(name), "plan/cuda/%s", entry->d_name);
        remove_leftovers_in(run, name);
    }
    if (folder != NULL)
        closedir(folder);
}

void run_remove_leftovers(const struct run *run)
{
    ledger_remove_leftovers(run->options->out, NULL); /* says what it could not remove; the sweep is whole */
    remove_leftovers_in(run, "plan");
    remove_plan_leftovers(run);
    remove_leftovers_in(run, "");
}

#define WORKERS_WAITING_FOR_GPU 3

static int count_cores(void)
{
    cpu_set_t mask;
    return sched_getaffinity(0, sizeof(mask), &mask) == 0 ? CPU_COUNT(&mask) : 1;
}

enum status run_open_engine(struct run *run)
{
    enum status rc = STATUS_OK;
    const struct options *o = run->options;
    enum map_policy maps = o->heatmaps == HEATMAPS_NONE  ? MAPS_NONE
                           : o->heatmaps == HEATMAPS_ALL ? MAPS_ALL
                                                         : MAPS_PASSED;
    /* On a GPU a worker waits for each slot in flight; the others have the cores for decoding. */
    int waiting = run->choice.kind == ENGINE_CUDA ? WORKERS_WAITING_FOR_GPU : 0;
    run->n_workers = o->threads > 0 ? (int)o->threads : count_cores() + waiting;
    struct engine_options how = {.maps = maps,
                                 .n_instances = run->n_workers,
                                 .all_stages = o->all_stages,
                                 .null_gmac_per_s = o->null_speed};

    if (run->choice.kind == ENGINE_CUDA)
        TRY(gpu_open_engine(run, &how));
    else if (run->choice.kind == ENGINE_NULL)
        TRY_TOGETHER(&run->comm, engine_null_open(&run->cascade, &how, &run->engine));
    else
        TRY_TOGETHER(&run->comm, engine_cpu_open(&run->cascade, &how, &run->engine));
out:
    return rc;
}

enum status run_scan_ledger(const struct run *run, struct ledger *ledger)
{
    enum status rc = STATUS_OK;
    char foreign[LEDGER_PATH_SIZE];

    rc = ledger_scan(run->options->out, run->print.hex, run->plan.n_shards, ledger, foreign);
    if (rc == STATUS_MISMATCH)
        FAIL(STATUS_MISMATCH, "%s is of another sweep: give another --out, or remove it", foreign);
out:
    return rc;
}

void run_release_weights(struct run *run)
{
    for (int i = 0; i < run->cascade.n_stages; i++)
        stage_release_weights(&run->cascade.stages[i]);
}

void run_close(struct run *run)
{
    if (run->engine != NULL)
        run->engine->close(run->engine);
    gpu_leave(run);
    for (int i = 0; i < CASCADE_MAX_STAGES; i++) {
        stage_close(&run->cascade.stages[i]);
        fingerprint_free(&run->stage_prints[i]);
    }
    fingerprint_free(&run->print);
    sweep_layout_free(&run->layout);
    plan_free(&run->plan);
}
