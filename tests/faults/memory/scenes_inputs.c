/* The start-up path: options with a config file, manifests of each format to a plan, weights to an engine. */
#include "scene.h"

#include "job/options.h"
#include "kernels/engine.h"
#include "kernels/networks.h"
#include "memory_fault.h"
#include "shards/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void prepare_config(const char *folder)
{
    static const char text[] = "[eyesore]\nlog-level = warn\n[scan]\nmanifest = m.tsv\nout = o\nstage = "
                               "a=a.st@0.5:class=3-5:mean=0.4,0.4,0.4\nstage = b=b.st@0.25:precision=f32\n"
                               "root = /pool\ncarry = x,y\nmax-bytes = 1k\nmax-failed = 30%\n";
    scene_write(scene_path(folder, "config.ini"), text, strlen(text));
}

static enum status run_options(const char *folder, struct outcome *outcome)
{
    enum status rc = STATUS_OK;
    char program[] = "eyesore", scan[] = "scan", size[] = "--size=64", config[4200];
    char *argv[] = {program, scan, config, size, NULL};
    struct options options;
    struct option_entry entry = {0};
    size_t cursor = 0;

    snprintf(config, sizeof(config), "--config=%s", scene_path(folder, "config.ini"));
    TRY(options_parse(4, argv, &options));
    do {
        TRY(options_next(&options, &cursor, &entry));
        if (entry.name != NULL)
            outcome_add_text(outcome, entry.value);
        free(entry.value);
        entry.value = NULL;
    } while (entry.name != NULL);
out:
    options_free(&options);
    return rc;
}

static void write_manifests(const char *folder)
{
    static const char tsv[] = "id\turi\tpartner\n1\ta.jpg\tacme\n2\tb.jpg\t\n3\tc.jpg\tx\n";
    static const char csv[] =
        "id,uri,partner\r\n1,\"a,\"\"b\"\".jpg\",acme\r\n2,b.jpg,\r\n3,c.jpg,\"x\ny\"\r\n";
    static const char jsonl[] =
        "{\"id\":\"1\",\"uri\":\"a.jpg\",\"n\":12345678901234567890,\"o\":{\"k\":[1]}}\n"
        "{\"id\":\"2\",\"uri\":\"\\u00e9.jpg\",\"n\":null}\n";

    scene_write(scene_path(folder, "m.tsv"), tsv, strlen(tsv));
    scene_write(scene_path(folder, "m.csv"), csv, strlen(csv));
    scene_write(scene_path(folder, "m.jsonl"), jsonl, strlen(jsonl));
}

static enum status run_plan(const char *folder, const char *manifest, struct outcome *outcome)
{
    enum status rc = STATUS_OK;
    struct plan_options options = {.format = MANIFEST_AUTO, .shard_rows = 2};
    struct plan made = {0}, loaded = {0};

    TRY(plan_make(scene_path(folder, manifest), &options, folder, &made, NULL));
    TRY(plan_write(&made, folder));
    TRY(plan_load(folder, &loaded));
    TRY(plan_check(&loaded, scene_path(folder, manifest), &options));
    memory_fault_stop();
    outcome_add_file(outcome, scene_path(folder, "plan/plan.json"));
    outcome_add_file(outcome, scene_path(folder, "plan/shards.tsv"));
out:
    plan_free(&made);
    plan_free(&loaded);
    return rc;
}

static enum status run_plan_tsv(const char *folder, struct outcome *outcome)
{
    return run_plan(folder, "m.tsv", outcome);
}

static enum status run_plan_csv(const char *folder, struct outcome *outcome)
{
    return run_plan(folder, "m.csv", outcome);
}

static enum status run_plan_jsonl(const char *folder, struct outcome *outcome)
{
    return run_plan(folder, "m.jsonl", outcome);
}

/* A ResNet of four blocks, eight channels wide, with attention: every kind of tensor, few of them. */
static enum status small_geometry(struct geometry *geometry)
{
    enum status rc = STATUS_OK;

    TRY(network_geometry("resnet50", CBAM_JONGCHAN, 2, geometry));
    for (int i = 0; i < 4; i++)
        geometry->layers[i] = 1;
    geometry->stem = 16;
    geometry->width = 16;
    geometry->block_out = 64;
out:
    return rc;
}

static enum status run_write_weights(const char *folder, struct outcome *outcome)
{
    enum status rc = STATUS_OK;
    struct geometry geometry;
    struct weights *weights = NULL;
    struct graph graph = {0};

    TRY(small_geometry(&geometry));
    TRY(weights_declare(&weights));
    TRY(network_build(&geometry, weights, 64, &graph));
    TRY(weights_write(weights, scene_path(folder, "small.safetensors"), "untrained"));
    memory_fault_stop();
    outcome_add_file(outcome, scene_path(folder, "small.safetensors"));
out:
    graph_free(&graph);
    weights_close(weights);
    return rc;
}

static void prepare_weights(const char *folder)
{
    struct outcome outcome = {0};

    if (run_write_weights(folder, &outcome) != STATUS_OK)
        scene_fail("weights");
}

static enum status run_cascade(const char *folder, struct outcome *outcome)
{
    enum status rc = STATUS_OK;
    static struct cascade cascade; /* large */
    struct engine_options options = {.maps = MAPS_PASSED, .n_instances = 1};
    struct engine *engine = NULL;
    struct engine_instance *instance = NULL;

    cascade = (struct cascade){.n_stages = 1, .size = 64};
    struct stage *stage = &cascade.stages[0];
    *stage = (struct stage){.name = "a", .threshold = 0.5f, .std = {1, 1, 1}, .n_variants = 1};
    snprintf(stage->weights_path, sizeof(stage->weights_path), "%s", scene_path(folder, "small.safetensors"));
    TRY(stage_open(stage, cascade.size, "1", NULL));
    TRY(engine_null_open(&cascade, &options, &engine));
    TRY(engine->instance_open(engine, &instance));
    outcome_add_text(outcome, stage->arch);
    outcome_add(outcome, &stage->macs, sizeof(stage->macs));
    outcome_add_text(outcome, engine->device);
out:
    if (instance != NULL)
        instance->close(instance);
    if (engine != NULL)
        engine->close(engine);
    stage_close(stage);
    return rc;
}

const struct scene scenes_of_inputs[] = {
    {.name = "options", .prepare = prepare_config, .run = run_options},
    {.name = "plan_tsv", .prepare = write_manifests, .run = run_plan_tsv},
    {.name = "plan_csv", .prepare = write_manifests, .run = run_plan_csv},
    {.name = "plan_jsonl", .prepare = write_manifests, .run = run_plan_jsonl},
    {.name = "write_weights", .prepare = prepare_weights, .run = run_write_weights},
    {.name = "cascade", .prepare = prepare_weights, .run = run_cascade},
    {.name = NULL},
};
