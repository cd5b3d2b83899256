/* Loading of a stage; see cascade.h. */
#include "kernels/cascade.h"
#include "kernels/networks.h"

#include <assert.h>
#include <string.h>

/* A stage called densenet161 that is a DenseNet121 is a mistake; one called "gate" may be anything. */
static enum status check_name(const struct stage *stage, const struct geometry *measured)
{
    enum status rc = STATUS_OK;
    static const char *const archs[] = {"densenet161", "resnet50", "mobilenet_v2"};

    for (size_t i = 0; i < sizeof(archs) / sizeof(archs[0]); i++) {
        struct geometry expected;
        if (strcmp(stage->name, archs[i]) != 0 || strcmp(stage->name, measured->name) == 0)
            continue;
        TRY(network_geometry(archs[i], CBAM_NONE, 2, &expected));
        if (expected.arch == measured->arch && expected.stem != measured->stem)
            FAIL(STATUS_INPUT,
                 "stage %s: the first convolution of %s makes %d channels, expected %d: is this a %s?",
                 stage->name, stage->weights_path, measured->stem, expected.stem, measured->name);
        FAIL(STATUS_INPUT, "stage %s: %s is a %s: give the right file, or give the stage another name",
             stage->name, stage->weights_path, measured->name);
    }
out:
    return rc;
}

enum status stage_open(struct stage *stage, int size, const char *classes_text, const char *head_text)
{
    enum status rc = STATUS_OK;
    struct geometry geometry;

    if (stage->weights == NULL)
        TRY(weights_open(stage->weights_path, &stage->weights));
    assert(stage->weights != NULL); /* opened */
    stage->trained = stage->weights->trained;
    TRY(network_measure(stage->weights, &geometry));
    TRY(check_name(stage, &geometry));
    memcpy(stage->arch, geometry.name, sizeof(stage->arch));
    memcpy(stage->attention, cbam_layout_name(geometry.attention),
           strlen(cbam_layout_name(geometry.attention)) + 1);
    TRY(class_set_parse(stage->name, classes_text, head_text, geometry.n_classes, &stage->classes));
    TRY(network_build(&geometry, stage->weights, size, &stage->plain));
    stage->macs = graph_count_macs(&stage->plain);
    const struct op *head = &stage->plain.ops[stage->plain.n_ops - 1];
    stage->map_height = stage->plain.ops[head->input[0]].shape.h;
    stage->map_width = stage->plain.ops[head->input[0]].shape.w;
out:
    if (rc != STATUS_OK)
        stage_close(stage);
    return rc;
}

void stage_release_weights(struct stage *stage)
{
    graph_free(&stage->plain);
    weights_close(stage->weights);
    stage->weights = NULL;
}

void stage_close(struct stage *stage)
{
    if (stage == NULL)
        return;
    stage_release_weights(stage);
    class_set_free(&stage->classes);
}
