/* eyesore weights init | check */
#include "job/commands.h"
#include "kernels/lower.h"
#include "kernels/weights_init.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CHECK_SIZE 224     /* the size networks are published for */
#define CHECK_ALIGNMENT 16 /* channels a block with AVX-512 */

static enum status parse_attention(const char *name, enum cbam_layout *layout)
{
    if (strcmp(name, "cbam") == 0)
        name = "timm";
    else if (strncmp(name, "cbam-", 5) == 0)
        name += 5;
    return cbam_layout_parse(name, layout);
}

enum status command_weights_init(const struct options *options)
{
    enum status rc = STATUS_OK;
    struct geometry geometry;
    enum cbam_layout layout;

    if (access(options->operands[0], F_OK) == 0)
        FAIL(STATUS_USAGE,
             "%s is there already: untrained weights do not replace a file; remove it or give another name",
             options->operands[0]);
    TRY(parse_attention(options->attention, &layout));
    TRY(network_geometry(options->arch, layout, (int)options->classes, &geometry));
    TRY(weights_init(&geometry, options->seed, options->operands[0]));
    log_info("%s: UNTRAINED %s made from seed %llu", options->operands[0], options->arch,
             (unsigned long long)options->seed);
out:
    return rc;
}

enum status command_weights_check(const struct options *options)
{
    enum status rc = STATUS_OK;
    struct weights *weights = NULL;
    struct geometry geometry;
    struct graph graph = {0}, lowered = {0};
    int64_t n_parameters = 0;

    TRY(weights_open(options->operands[0], &weights));
    TRY(network_measure(weights, &geometry));
    TRY(network_build(&geometry, weights, CHECK_SIZE, &graph));
    TRY(lower_inference(&graph, CHECK_ALIGNMENT,
                        &lowered)); /* as a scan would: finite values, aligned slices */
    for (int i = 0; i < weights->n_tensors; i++)
        n_parameters += weights->tensors[i]->dtype == DTYPE_I64 ? 0 : weights->tensors[i]->n_elements;
    printf("file        %s\n", weights->path);
    printf("network     %s\n", geometry.name);
    printf("attention   %s%s\n", geometry.attention == CBAM_NONE ? "" : "CBAM, layout ",
           cbam_layout_name(geometry.attention));
    printf("classes     %d\n", geometry.n_classes);
    printf("parameters  %.2f million in %d tensors\n", 1e-6 * (double)n_parameters, weights->n_tensors);
    printf("work        %.2f GMAC a picture of %dx%d\n", 1e-9 * (double)graph_count_macs(&graph), CHECK_SIZE,
           CHECK_SIZE);
    printf("trained     %s\n",
           weights->trained ? "yes (nothing in the file says otherwise)" : "no: UNTRAINED");
out:
    graph_free(&lowered);
    graph_free(&graph);
    weights_close(weights);
    return rc;
}
