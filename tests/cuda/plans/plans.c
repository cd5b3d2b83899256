/*
 * The real cuDNN makes a plan for every convolution of a network, for a device that is only described:
 *
 *     plans DEVICE.json NETWORK[,NETWORK...] BATCH [f16|bf16]
 *
 * NETWORK: densenet161, resnet50 or mobilenet_v2, with "+cbam" behind it for attention. The convolutions are
 * those of the engine's own list of steps (steps.h), described by conv_spec.h and built by conv_graph.h, so
 * what is proven is what will run.
 *
 * Prints a line per layer: the rank of its plan among those that cuDNN offers for it, best guess first, and
 * "new" or, where the same convolution was met before in any of the networks, "again". Depthwise convolutions
 * are the engine's own kernel: shown, not tried.
 *
 * Fails where a convolution has no plan, or none on tensor cores, or only such as write a slice by way of a
 * packed copy ("copies"), or nothing was listed, or a saved plan does not load as what it was.
 */
#include "kernels/cuda/conv_graph.h"
#include "kernels/networks.h"
#include "tests/cuda/plans/described.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SIZE 224
#define MAX_GRAPHS 1024
#define MAX_TRIED 16 /* plans looked at until one is on tensor cores */

struct row {
    char key[CONV_KEY_SIZE];
    int rank; /* 1: cuDNN's best guess; 0: no plan */
    int64_t engine;
    bool tensor_core, copies, is_good;
    size_t workspace_bytes;
};

struct table {
    struct conv_target target;
    int batch;
    enum element element;
    struct row rows[MAX_GRAPHS]; /* a convolution each, in the order met */
    int n_rows, n_layers, n_failed, n_tensor_core, n_first;
    size_t largest_bytes;
    bool was_saved;
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A plan written as text and read again is the same plan. */
static enum status check_saving(const struct conv_plan *plan, const struct conv_target *target)
{
    enum status rc = STATUS_OK;
    struct conv_plan again = {0};
    char *json = NULL;

    TRY(conv_plan_save(plan, &json));
    TRY(conv_plan_load(json, target, &again));
    if (again.workspace_bytes != plan->workspace_bytes)
        FAIL(STATUS_INTERNAL, "a plan with %zu bytes of workspace loads as one with %zu",
             plan->workspace_bytes, again.workspace_bytes);
out:
    conv_plan_close(&again);
    free(json);
    return rc;
}

/*
 * Does it compute y packed, in its workspace, and then copy it to its slice? That would cost what a dense
 * block's one buffer saves. Kernels from cuDNN's stock do so; those that it compiles for a graph write where
 * they should.
 */
static bool copies_output(const struct conv_plan *plan, const struct conv_spec *spec)
{
    size_t places = (size_t)spec->n * (size_t)spec->out_h * (size_t)spec->out_w;
    return spec->out_pitch > spec->k && plan->workspace_bytes >= places * (size_t)spec->k * 2;
}

static bool is_good(const struct conv_plan *plan, const struct conv_spec *spec)
{
    return plan->tensor_core && !copies_output(plan, spec);
}

/* The best of the first `limit` plans that is good; without one, row tells of the very best. */
static enum status look(struct table *t, const struct conv_spec *spec, const struct conv_graph *graph,
                        int limit, struct row *row)
{
    enum status rc = STATUS_OK;
    struct conv_plan plans[MAX_TRIED] = {0};
    int n = 0, best = 0;

    TRY(conv_graph_plans(graph, &t->target, limit, plans, &n));
    while (best < n && !is_good(&plans[best], spec))
        best++;
    if (best == n)
        best = 0;
    row->rank = best + 1;
    row->engine = plans[best].engine;
    row->tensor_core = plans[best].tensor_core;
    row->workspace_bytes = plans[best].workspace_bytes;
    row->copies = copies_output(&plans[best], spec);
    row->is_good = is_good(&plans[best], spec);
    if (row->is_good && !t->was_saved) {
        TRY(check_saving(&plans[best], &t->target));
        t->was_saved = true;
    }
out:
    for (int i = 0; i < n; i++)
        conv_plan_close(&plans[i]);
    return rc;
}

static enum status make_row(struct table *t, const struct conv_spec *spec, struct row *row)
{
    enum status rc = STATUS_OK;
    struct conv_graph *graph = NULL;

    conv_spec_key(spec, row->key);
    TRY(conv_graph_open(spec, &t->target, &graph));
    TRY(look(t, spec, graph, 1, row));
    if (!row->is_good)
        TRY(look(t, spec, graph, MAX_TRIED, row));
out:
    conv_graph_close(graph);
    return rc;
}

static const struct row *find_row(const struct table *t, const char *key)
{
    for (int i = 0; i < t->n_rows; i++)
        if (strcmp(t->rows[i].key, key) == 0)
            return &t->rows[i];
    return NULL;
}

/* The layers' names have no blanks: the lines can be taken apart by fields. */
#define FORMAT_HEAD "%-40s %-66s %6s %11s %10s %4s %s\n"
#define FORMAT_ROW "%-40s %-66s %6lld %11s %10zu %4d %s\n"

static void print_row(const char *layer, const struct row *row, bool is_new)
{
    const char *meeting = is_new ? "new" : "again";

    if (row->rank > 0)
        printf(FORMAT_ROW, layer, row->key, (long long)row->engine,
               row->copies        ? "copies"
               : row->tensor_core ? "yes"
                                  : "NO",
               row->workspace_bytes, row->rank, meeting);
    else
        printf(FORMAT_HEAD, layer, row->key, "NONE", "-", "-", "-", meeting);
    fflush(stdout);
}

static void print_depthwise(const char *layer, const struct device_step *step)
{
    char what[64];

    snprintf(what, sizeof(what), "depthwise-c%d-%dx%d", step->in.shape.c, step->in.shape.h, step->in.shape.w);
    printf(FORMAT_HEAD, layer, what, "own", "-", "-", "-", "-");
}

/* A convolution that cuDNN has nothing for is counted, and the next one tried: a table is whole. */
static enum status list_conv(struct table *t, const struct device_steps *steps, int index)
{
    enum status rc = STATUS_OK;
    const char *layer = steps->graph.ops[steps->items[index].op].name;
    struct conv_spec spec;
    char key[CONV_KEY_SIZE];

    t->n_layers++;
    TRY(conv_spec_make(steps, index, t->batch, t->element, &spec));
    conv_spec_key(&spec, key);
    const struct row *known = find_row(t, key);
    if (known != NULL) {
        print_row(layer, known, false);
        goto out;
    }
    if (t->n_rows == MAX_GRAPHS)
        FAIL(STATUS_INTERNAL, "more than %d convolutions", MAX_GRAPHS);
    struct row *row = &t->rows[t->n_rows++];
    bool failed = make_row(t, &spec, row) != STATUS_OK || !row->is_good;
    t->n_failed += failed;
    t->n_tensor_core += row->tensor_core;
    t->n_first += row->rank == 1;
    if (row->workspace_bytes > t->largest_bytes)
        t->largest_bytes = row->workspace_bytes;
    print_row(layer, row, true);
out:
    return rc;
}

static enum status list_network(struct table *t, const struct device_steps *steps)
{
    enum status rc = STATUS_OK;

    for (int i = 0; i < steps->n; i++) {
        const struct device_step *step = &steps->items[i];
        if (step->kind == STEP_CONV)
            TRY(list_conv(t, steps, i));
        if (step->kind == STEP_DEPTHWISE)
            print_depthwise(steps->graph.ops[step->op].name, step);
    }
out:
    return rc;
}

/* IN name: "resnet50+cbam". Made-up weights: plans depend on shapes alone. OUT: steps_close. */
static enum status open_network(const char *name, struct device_steps *out)
{
    enum status rc = STATUS_OK;
    struct weights *weights = NULL;
    struct graph plain = {0};
    struct geometry geometry;
    const char *plus = strchr(name, '+');
    char arch[32];

    if (plus != NULL && strcmp(plus, "+cbam") != 0)
        FAIL(STATUS_USAGE, "%s: the only thing to add to a network is +cbam", name);
    snprintf(arch, sizeof(arch), "%.*s", (int)strcspn(name, "+"), name);
    TRY(network_geometry(arch, plus == NULL ? CBAM_NONE : CBAM_TIMM, 2, &geometry));
    TRY(weights_declare(&weights));
    TRY(network_build(&geometry, weights, SIZE, &plain));
    TRY(steps_make(&plain, out));
out:
    graph_free(&plain);
    weights_close(weights);
    return rc;
}

static enum status list_all(struct table *t, char *names)
{
    enum status rc = STATUS_OK;
    struct device_steps steps = {0};

    for (char *name = strtok(names, ","); name != NULL; name = strtok(NULL, ",")) {
        int first_row = t->n_rows, first_layer = t->n_layers;
        double start_s = now_s();
        TRY(open_network(name, &steps));
        TRY(list_network(t, &steps));
        if (t->n_layers == first_layer)
            FAIL(STATUS_INTERNAL, "%s: no convolutions: there is nothing to prove", name);
        printf("# %s: %d convolutions, %d new graphs, %.1f s\n", name, t->n_layers - first_layer,
               t->n_rows - first_row, now_s() - start_s);
        steps_close(&steps);
    }
    if (t->n_rows == 0 || t->n_failed > 0 || !t->was_saved)
        FAIL(STATUS_INPUT, "%d of %d graphs have no plan that is good enough", t->n_failed, t->n_rows);
out:
    steps_close(&steps);
    return rc;
}

static enum status parse(int argc, char **argv, struct table *t)
{
    enum status rc = STATUS_OK;
    char *end = NULL;

    if (argc != 4 && argc != 5)
        FAIL(STATUS_USAGE, "usage: plans DEVICE.json NETWORK[,NETWORK...] BATCH [f16|bf16]");
    t->batch = (int)strtol(argv[3], &end, 10);
    if (*end != '\0' || t->batch < 1 || t->batch > CUDA_MAX_BATCH)
        FAIL(STATUS_USAGE, "BATCH %s: a number from 1 to %d", argv[3], CUDA_MAX_BATCH);
    t->element = argc == 5 && strcmp(argv[4], "bf16") == 0 ? ELEMENT_BF16 : ELEMENT_F16;
    if (argc == 5 && t->element == ELEMENT_F16 && strcmp(argv[4], "f16") != 0)
        FAIL(STATUS_USAGE, "%s: f16 or bf16", argv[4]);
out:
    return rc;
}

int main(int argc, char **argv)
{
    enum status rc = STATUS_OK;
    static struct table table;
    double start_s = now_s();

    TRY(parse(argc, argv, &table));
    TRY(described_open(argv[1], &table.target));
    printf(FORMAT_HEAD, "# layer", "graph", "engine", "tensor_core", "workspace", "rank", "met");
    rc = list_all(&table, argv[2]);
    printf(
        "# %d graphs, %d tensor core, %d by the best guess, %d failed, largest workspace %.1f MiB, %.1f s\n",
        table.n_rows, table.n_tensor_core, table.n_first, table.n_failed,
        (double)table.largest_bytes / 1048576, now_s() - start_s);
out:
    described_close(&table.target);
    return status_exit_code(rc);
}
