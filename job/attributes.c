#include "job/attributes.h"

#include "job/attempts.h"
#include "results/summary.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CLASSES_SHOWN 4000

/* Keep a text as long as the list. The text is owned by the list from then on. */
static const char *keep(struct attribute_list *list, char *text)
{
    char **grown = realloc(list->texts, (list->n_texts + 1) * sizeof(*grown));

    if (grown == NULL || text == NULL) {
        list->failed = true;
        list->texts = grown == NULL ? list->texts : grown;
        free(text);
        return "";
    }
    list->texts = grown;
    return list->texts[list->n_texts++] = text;
}

static void add(struct attribute_list *list, const struct sweep_attribute *item)
{
    struct sweep_attribute *grown = realloc(list->items, (list->n + 1) * sizeof(*grown));

    if (grown == NULL) {
        list->failed = true;
        return;
    }
    list->items = grown;
    list->items[list->n++] = *item;
}

static void add_text(struct attribute_list *list, const char *path, const char *key, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void add_text(struct attribute_list *list, const char *path, const char *key, const char *format, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    add(list, &(struct sweep_attribute){path, key, ATTRIBUTE_STRING, {.string = keep(list, text)}});
}

static void add_number(struct attribute_list *list, const char *path, const char *key, uint64_t value)
{
    add(list, &(struct sweep_attribute){path, key, ATTRIBUTE_U64, {.u64 = value}});
}

static void add_sweep(struct attribute_list *list, const struct run *run)
{
    const struct options *o = run->options;
    char order[CASCADE_MAX_STAGES * STAGE_NAME_SIZE] = "";

    for (int i = 0; i < run->cascade.n_stages; i++)
        snprintf(order + strlen(order), sizeof(order) - strlen(order), "%s%s", i == 0 ? "" : ",",
                 run->cascade.stages[i].name);
    add_text(list, "/", "manifest_hash", "%s", run->plan.manifest_hash);
    add_text(list, "/", "order", "%s", order);
    add_text(list, "/", "all_stages", "%s", o->all_stages ? "yes" : "no");
    add_text(list, "/", "engine", "%s", run->engine->name);
    add_text(list, "/", "decode", "%s", o->decode == DECODE_FAST ? "fast" : "exact");
    add_text(list, "/", "resample", "%s", o->resample == RESAMPLE_BICUBIC ? "bicubic" : "bilinear");
    add_number(list, "/", "resize", o->resize);
    add_number(list, "/", "crop", o->size);
    if (!summary_is_trained(&run->layout))
        add_text(list, "/", "warning", "UNTRAINED weights: flags are meaningless");
}

static void add_stage(struct attribute_list *list, const struct run *run, int index)
{
    const struct stage *s = &run->cascade.stages[index];
    char path[64];

    snprintf(path, sizeof(path), "/stages/%s", s->name);
    const char *kept = keep(list, strdup(path));
    add_text(list, kept, "arch", "%s", s->arch);
    add_text(list, kept, "attention", "%s", s->attention);
    add_text(list, kept, "weights_sha256", "%s", run->weights_sha256[index]);
    char *classes = run_format_classes(&s->classes);
    if (classes != NULL &&
        strlen(classes) > CLASSES_SHOWN) /* an attribute holds 64 KB; the fingerprint is whole */
        memcpy(classes + CLASSES_SHOWN - 3, "...", 4);
    add_text(list, kept, "class", "%s", keep(list, classes));
    add_text(list, kept, "head", "%s", s->classes.kind == HEAD_SOFTMAX ? "softmax" : "sigmoid");
    add_text(list, kept, "precision", "%s", precision_name(s->variants[0].precision));
    add_text(list, kept, "mean", "%.9g,%.9g,%.9g", s->mean[0], s->mean[1], s->mean[2]);
    add_text(list, kept, "std", "%.9g,%.9g,%.9g", s->std[0], s->std[1], s->std[2]);
    add_text(list, kept, "stage_fingerprint", "%s", run->stage_prints[index].hex);
    add_number(list, kept, "macs", s->macs);
    add(list, &(struct sweep_attribute){kept, "threshold", ATTRIBUTE_F32, {.f32 = s->threshold}});
}

static void add_time(struct attribute_list *list, const char *key, time_t when)
{
    char text[32];
    struct tm utc;

    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&when, &utc));
    add_text(list, "/run", key, "%s", text);
}

/* The command as the kernel has it, its arguments separated by blanks. */
static void add_command(struct attribute_list *list)
{
    char text[16384];
    FILE *file = fopen("/proc/self/cmdline", "rb");
    size_t n = file == NULL ? 0 : fread(text, 1, sizeof(text) - 1, file);

    if (file != NULL)
        fclose(file);
    for (size_t i = 0; i + 1 < n; i++)
        if (text[i] == '\0')
            text[i] = ' ';
    text[n] = '\0';
    add_text(list, "/run", "command", "%s", text);
}

/* Of the first attempt: run.txt was written once, when it began. */
static time_t first_started(const struct run *run)
{
    char path[RUN_PATH_SIZE];
    struct stat st;

    return run_path(run, "plan/run.txt", path) == STATUS_OK && stat(path, &st) == 0 ? st.st_mtime
                                                                                    : run->started;
}

/* A sweep that had to change its batch says so: its scores are not bit for bit those of another run. */
static enum status add_gpus(struct attribute_list *list, const struct run *run)
{
    enum status rc = STATUS_OK;
    uint64_t n_halvings, n_failures;
    char models[1024];

    TRY(attempts_count(run, "batch_halved", &n_halvings));
    TRY(attempts_count(run, "device_failed", &n_failures));
    add_number(list, "/run", "batch", (uint64_t)run->choice.batch);
    add_number(list, "/run", "later_batch", (uint64_t)run->choice.later_batch);
    add_number(list, "/run", "batch_halvings", n_halvings);
    add_number(list, "/run", "device_failures", n_failures);
    TRY(attempts_list(run, "gpu_model", models, sizeof(models)));
    add_text(list, "/run", "gpu_models", "%s", models);
    if (strchr(models, ';') != NULL && run->comm.rank == 0)
        log_warn("this sweep ran on different models of GPU (%s): their scores may differ by rounding",
                 models);
    if (n_halvings > 0)
        add_text(list, "/run", "batch_note",
                 "a GPU ran out of memory and computed smaller batches from then on: scores are within "
                 "5e-3 of a run without that, not bit-equal; see OUT/attempts");
out:
    return rc;
}

static enum status add_run(struct attribute_list *list, const struct run *run, const char *hosts)
{
    enum status rc = STATUS_OK;
    struct option_entry entry;

    add_command(list);
    add_time(list, "started", first_started(run));
    add_time(list, "finished", time(NULL));
    add_text(list, "/run", "hosts", "%s", hosts == NULL ? "" : hosts);
    add_text(list, "/run", "device", "%s", run->engine->device);
    add_number(list, "/run", "ranks", (uint64_t)run->comm.n_ranks);
    add_number(list, "/run", "workers", (uint64_t)run->n_workers);
    if (run->choice.kind == ENGINE_CUDA)
        TRY(add_gpus(list, run));
    for (size_t cursor = 0;;) {
        char key[64];
        TRY(options_next(run->options, &cursor, &entry));
        if (entry.name == NULL)
            break;
        snprintf(key, sizeof(key), "option.%s", entry.name);
        add_text(list, "/run", keep(list, strdup(key)), "%s", entry.value);
        free(entry.value);
    }
out:
    return rc;
}

enum status attributes_collect(const struct run *run, const char *hosts, struct attribute_list *list)
{
    enum status rc = STATUS_OK;

    *list = (struct attribute_list){0};
    add_sweep(list, run);
    for (int i = 0; i < run->cascade.n_stages; i++)
        add_stage(list, run, i);
    TRY(add_run(list, run, hosts));
    if (list->failed)
        FAIL(STATUS_MEMORY, "no memory");
out:
    return rc;
}

void attributes_free(struct attribute_list *list)
{
    for (size_t i = 0; i < list->n_texts; i++)
        free(list->texts[i]);
    free(list->texts);
    free(list->items);
    *list = (struct attribute_list){0};
}
