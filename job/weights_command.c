/*
 * eyesore weights init, eyesore weights check.
 */
#include "job/commands.h"

#include "kernels/weights_init.h"

#include <string.h>

enum status command_weights_init(const struct options *options)
{
    enum status rc = STATUS_OK;
    const char *attention = options->attention;
    enum cbam_layout layout;
    struct geometry geometry;

    /* "cbam" alone is timm's layout; the others are "cbam-<layout>". */
    if (strcmp(attention, "cbam") == 0)
        attention = "timm";
    else if (strncmp(attention, "cbam-", 5) == 0)
        attention += 5;
    TRY(cbam_layout_parse(attention, &layout));
    TRY(network_geometry(options->arch, layout, (int)options->classes, &geometry));
    TRY(weights_init(&geometry, options->seed, options->operands[0]));
    log_info("%s: UNTRAINED %s, attention %s, %d classes, seed %llu: flags made with it are meaningless",
             options->operands[0], geometry.name, cbam_layout_name(layout), geometry.n_classes,
             (unsigned long long)options->seed);
out:
    return rc;
}

enum status command_weights_check(const struct options *options)
{
    enum status rc = STATUS_OK;
    const char *path = options->operands[0];
    struct weights *weights = NULL;
    struct geometry geometry;
    struct graph graph = {0};
    int64_t n_values = 0;

    TRY(weights_open(path, &weights));
    TRY(network_measure(weights, &geometry));
    /* Building takes every tensor by name and shape, and refuses one that is left over. */
    TRY(network_build(&geometry, weights, 224, &graph));
    for (int i = 0; i < weights->n_tensors; i++)
        n_values += weights->tensors[i]->n_elements;
    printf("file       %s\narch       %s\nattention  %s\nclasses    %d\nparameters %lld in %d "
           "tensors\ntrained    %s\n",
           path, geometry.name, cbam_layout_name(geometry.attention), geometry.n_classes, (long long)n_values,
           weights->n_tensors, weights->trained ? "yes" : "UNTRAINED (made by eyesore weights init)");
out:
    graph_free(&graph);
    weights_close(weights);
    return rc;
}
