/* eyesore bench: the roofline. What it counts, and what it leaves out, stands in kernels/cuda/roofline.h. */
#include "job/commands.h"
#include "kernels/cascade.h"
#include "kernels/cuda/roofline.h"
#include "kernels/networks.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PICTURE_SIZE 224 /* the size networks are published for */
#define N_CLASSES 2
#define MAX_NETWORKS 6

/* What is kept of a network when it is closed. */
struct cost {
    const char *arch, *attention;      /* "none", "cbam" */
    double flops, bytes;               /* of a picture */
    double cached_bytes;               /* the same where a CBAM finds half of the L2 cache as it was left */
    double least_bytes, layered_bytes; /* of a picture, for comparison */
    double picture_s;                  /* floor */
    double later_s;                    /* floor of a batch as the second stage computes it */
    int n_kernels;
};

struct bench {
    const struct options *options;
    const struct device_peaks *peaks;
    int batch, later_batch; /* of the second stage */
    cJSON *json;            /* NULL: text */
    struct cost costs[MAX_NETWORKS];
    int n_costs;
};

struct network {
    struct weights *weights;
    struct graph plain;
    struct device_steps steps;
    struct roofline roofline;
};

static void network_close(struct network *n)
{
    roofline_free(&n->roofline);
    steps_close(&n->steps);
    graph_free(&n->plain);
    weights_close(n->weights);
}

static enum status network_open(const struct bench *b, const char *arch, enum cbam_layout attention,
                                struct network *n)
{
    enum status rc = STATUS_OK;
    struct geometry geometry;

    TRY(network_geometry(arch, attention, N_CLASSES, &geometry));
    TRY(weights_declare(&n->weights));
    TRY(network_build(&geometry, n->weights, PICTURE_SIZE, &n->plain));
    TRY(steps_make(&n->plain, &n->steps));
    TRY(roofline_make(&n->steps, b->batch, 0, b->peaks, &n->roofline));
out:
    return rc;
}

static enum status measure(struct bench *b, const struct network *n, struct cost *cost)
{
    enum status rc = STATUS_OK;
    struct roofline other = {0};

    cost->flops = n->roofline.total.flops / b->batch;
    cost->bytes = roofline_bytes(&n->roofline.total) / b->batch;
    cost->least_bytes = roofline_least_bytes(&n->plain, b->batch) / b->batch;
    cost->layered_bytes = roofline_layered_bytes(&n->plain, b->batch) / b->batch;
    cost->picture_s = n->roofline.total.floor_s / b->batch;
    cost->n_kernels = n->roofline.n;
    TRY(roofline_make(&n->steps, b->batch, b->peaks->l2_bytes / 2, b->peaks, &other));
    cost->cached_bytes = roofline_bytes(&other.total) / b->batch;
    roofline_free(&other);
    TRY(roofline_make(&n->steps, b->later_batch, 0, b->peaks, &other));
    cost->later_s = other.total.floor_s;
out:
    roofline_free(&other);
    return rc;
}

static void print_row(const struct roofline_row *row, const char *name, const char *kernel, const char *bound)
{
    printf("  %-40s %-12s %9.2f %9.2f %9.2f %9.3f %9.2f  %s\n", name, kernel, 1e-9 * row->flops,
           1e-6 * row->read_bytes, 1e-6 * row->written_bytes, 1e-6 * row->weight_bytes, 1e6 * row->floor_s,
           bound);
}

static void print_ops(const struct bench *b, const struct network *n, const struct cost *cost)
{
    printf("\n%s, attention %s: a batch of %d\n", cost->arch, cost->attention, b->batch);
    printf("  %-40s %-12s %9s %9s %9s %9s %9s  %s\n", "op", "kernel", "GFLOP", "MB read", "MB write",
           "MB weight", "floor us", "bound");
    for (int i = 0; i < n->roofline.n; i++) {
        const struct roofline_row *row = &n->roofline.rows[i];
        const struct op *op = &n->steps.graph.ops[n->steps.items[row->step].op];
        print_row(row, op->name, roofline_kind_name(row->kind), row->memory_bound ? "memory" : "arithmetic");
    }
    print_row(&n->roofline.total, "sum", "", "");
}

static void add_row(cJSON *object, const struct roofline_row *row)
{
    cJSON_AddNumberToObject(object, "flops", row->flops);
    cJSON_AddNumberToObject(object, "read_bytes", row->read_bytes);
    cJSON_AddNumberToObject(object, "written_bytes", row->written_bytes);
    cJSON_AddNumberToObject(object, "weight_bytes", row->weight_bytes);
    cJSON_AddNumberToObject(object, "floor_s", row->floor_s);
}

static void add_network(const struct bench *b, const struct network *n, const struct cost *cost)
{
    cJSON *object = cJSON_CreateObject();

    cJSON_AddStringToObject(object, "network", cost->arch);
    cJSON_AddStringToObject(object, "attention", cost->attention);
    cJSON_AddNumberToObject(object, "kernels", cost->n_kernels);
    cJSON_AddNumberToObject(object, "flops_per_image", cost->flops);
    cJSON_AddNumberToObject(object, "bytes_per_image", cost->bytes);
    cJSON_AddNumberToObject(object, "bytes_per_image_cached", cost->cached_bytes);
    cJSON_AddNumberToObject(object, "least_bytes_per_image", cost->least_bytes);
    cJSON_AddNumberToObject(object, "layered_bytes_per_image", cost->layered_bytes);
    cJSON_AddNumberToObject(object, "images_per_s", 1 / cost->picture_s);
    add_row(cJSON_AddObjectToObject(object, "batch_total"), &n->roofline.total);
    cJSON *ops = b->options->summary ? NULL : cJSON_AddArrayToObject(object, "ops");
    for (int i = 0; ops != NULL && i < n->roofline.n; i++) {
        const struct roofline_row *row = &n->roofline.rows[i];
        cJSON *op = cJSON_CreateObject();
        cJSON_AddStringToObject(op, "op", n->steps.graph.ops[n->steps.items[row->step].op].name);
        cJSON_AddStringToObject(op, "kernel", roofline_kind_name(row->kind));
        add_row(op, row);
        cJSON_AddItemToArray(ops, op);
    }
    cJSON_AddItemToArray(cJSON_GetObjectItem(b->json, "networks"), object);
}

static enum status bench_network(struct bench *b, const char *arch, const char *attention)
{
    enum status rc = STATUS_OK;
    struct network network = {0};
    struct cost *cost = &b->costs[b->n_costs];

    *cost = (struct cost){.arch = arch, .attention = attention};
    TRY(network_open(b, arch, strcmp(attention, "none") == 0 ? CBAM_NONE : CBAM_TIMM, &network));
    TRY(measure(b, &network, cost));
    b->n_costs++;
    if (b->json != NULL)
        add_network(b, &network, cost);
    else if (!b->options->summary)
        print_ops(b, &network, cost);
out:
    network_close(&network);
    return rc;
}

static const struct cost *find_cost(const struct bench *b, const char *arch, const char *attention)
{
    for (int i = 0; i < b->n_costs; i++)
        if (strcmp(b->costs[i].arch, arch) == 0 && strcmp(b->costs[i].attention, attention) == 0)
            return &b->costs[i];
    return NULL;
}

struct cascade_cost {
    const struct cost *stages[2]; /* in the order of execution */
    double gathered_per_s;        /* images/s, the second stage on full batches */
    double each_per_s;            /* the second stage in whole batches of its own size, behind each batch */
    double other_order_per_s;     /* gathered, the dearer stage first */
};

/* How often the second stage runs behind a batch: as often as the expected pictures fill its batches, short
 * or not. */
static double count_turns(const struct bench *b)
{
    return ceil(b->options->pass_rate * b->batch / b->later_batch);
}

/* False where one of the two networks was not asked for. */
static bool cascade_of(const struct bench *b, const char *attention, struct cascade_cost *out)
{
    const struct cost *given[] = {find_cost(b, "resnet50", attention),
                                  find_cost(b, "densenet161", attention)};
    const double pass_rate[] = {b->options->pass_rate, b->options->pass_rate};
    int order[2];

    if (given[0] == NULL || given[1] == NULL)
        return false;
    const double seconds[] = {given[0]->picture_s, given[1]->picture_s};
    out->gathered_per_s = 1 / roofline_cascade_seconds(seconds, pass_rate, 2, order);
    for (int i = 0; i < 2; i++)
        out->stages[i] = given[order[i]];
    out->other_order_per_s =
        1 / (out->stages[1]->picture_s + b->options->pass_rate * out->stages[0]->picture_s);
    double second_s = count_turns(b) * out->stages[1]->later_s;
    out->each_per_s = b->batch / (b->batch * out->stages[0]->picture_s + second_s);
    return true;
}

static void print_cascades(const struct bench *b, const char *const *attentions, int n)
{
    struct cascade_cost c;

    for (int i = 0; i < n; i++) {
        if (!cascade_of(b, attentions[i], &c))
            continue;
        printf("\ncascade, attention %s, %g%% go on: %s, then %s\n", attentions[i],
               100 * b->options->pass_rate, c.stages[0]->arch, c.stages[1]->arch);
        printf("  images/s at best: %.0f as the engine runs it, the second stage in %.0f batch%s of %d "
               "behind each;\n"
               "  %.0f if it saw full batches only; %.0f (full batches) in the other order\n",
               c.each_per_s, count_turns(b), count_turns(b) > 1 ? "es" : "", b->later_batch, c.gathered_per_s,
               c.other_order_per_s);
    }
}

static void add_cascades(const struct bench *b, const char *const *attentions, int n)
{
    cJSON *array = cJSON_AddArrayToObject(b->json, "cascades");
    struct cascade_cost c;

    for (int i = 0; i < n; i++) {
        if (!cascade_of(b, attentions[i], &c))
            continue;
        cJSON *object = cJSON_CreateObject();
        cJSON_AddStringToObject(object, "attention", attentions[i]);
        cJSON_AddStringToObject(object, "first", c.stages[0]->arch);
        cJSON_AddStringToObject(object, "second", c.stages[1]->arch);
        cJSON_AddNumberToObject(object, "pass_rate", b->options->pass_rate);
        cJSON_AddNumberToObject(object, "images_per_s", c.gathered_per_s);
        cJSON_AddNumberToObject(object, "images_per_s_pass_behind_each_batch", c.each_per_s);
        cJSON_AddNumberToObject(object, "images_per_s_other_order", c.other_order_per_s);
        cJSON_AddItemToArray(array, object);
    }
}

static void print_summary(const struct bench *b)
{
    const struct device_peaks *p = b->peaks;

    printf("\n%s: %g TFLOPS float16 on tensor cores, %g float32 without, %g TB/s; batch %d, %dx%d\n",
           p->product, 1e-12 * p->tensor_flops, 1e-12 * p->vector_flops, 1e-12 * p->bandwidth, b->batch,
           PICTURE_SIZE, PICTURE_SIZE);
    printf(
        "Bounds, not measurements. MB a picture: design, without help from the L2 cache; least, each "
        "convolution's\n"
        "input and output once; layers, a kernel for each layer and real concatenation. \"L2\": design / "
        "least if\n"
        "each of a CBAM's last two passes found half of the L2 cache (%g MB) as the pass before left it.\n\n",
        0.5e-6 * p->l2_bytes);
    printf("  %-13s %-9s %7s %7s %8s %8s %8s %8s %8s %8s %10s\n", "network", "attention", "kernels", "GFLOP",
           "design", "least", "layers", "/least", "L2", "us/image", "images/s");
    for (int i = 0; i < b->n_costs; i++) {
        const struct cost *c = &b->costs[i];
        printf("  %-13s %-9s %7d %7.2f %8.2f %8.2f %8.2f %8.3f %8.3f %8.2f %10.0f\n", c->arch, c->attention,
               c->n_kernels, 1e-9 * c->flops, 1e-6 * c->bytes, 1e-6 * c->least_bytes, 1e-6 * c->layered_bytes,
               c->bytes / c->least_bytes, c->cached_bytes / c->least_bytes, 1e6 * c->picture_s,
               1 / c->picture_s);
    }
}

static enum status print_json(const struct bench *b)
{
    enum status rc = STATUS_OK;
    char *text = cJSON_PrintUnformatted(b->json);

    if (text == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    printf("%s\n", text);
out:
    cJSON_free(text);
    return rc;
}

static bool asked(const char *choice, const char *name)
{
    return choice == NULL || strcmp(choice, name) == 0;
}

static void begin_json(struct bench *b)
{
    b->json = cJSON_CreateObject();
    cJSON_AddStringToObject(b->json, "device", b->peaks->product);
    cJSON_AddNumberToObject(b->json, "tensor_flops_per_s", b->peaks->tensor_flops);
    cJSON_AddNumberToObject(b->json, "vector_flops_per_s", b->peaks->vector_flops);
    cJSON_AddNumberToObject(b->json, "bytes_per_s", b->peaks->bandwidth);
    cJSON_AddNumberToObject(b->json, "batch", b->batch);
    cJSON_AddArrayToObject(b->json, "networks");
}

enum status command_bench(const struct options *options)
{
    static const char *const archs[] = {"densenet161", "resnet50", "mobilenet_v2"};
    static const char *const attentions[] = {"none", "cbam"};
    enum status rc = STATUS_OK;
    struct bench b = {
        .options = options, .peaks = roofline_peaks(options->roofline), .batch = (int)options->bench_batch};

    b.later_batch = cascade_later_batch(b.batch, options->pass_rate);
    if (options->json)
        begin_json(&b);
    for (int a = 0; a < 3; a++)
        for (int t = 0; t < 2; t++)
            if (asked(options->network, archs[a]) && asked(options->bench_attention, attentions[t]))
                TRY(bench_network(&b, archs[a], attentions[t]));
    if (b.json != NULL) {
        add_cascades(&b, attentions, 2);
        TRY(print_json(&b));
    } else {
        print_summary(&b);
        print_cascades(&b, attentions, 2);
    }
out:
    cJSON_Delete(b.json);
    return rc;
}
