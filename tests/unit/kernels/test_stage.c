/* From a file of weights to a stage: what is recognised, and what users are told about a wrong file. */
#include "kernels/cascade.h"
#include "tests/unit/kernels/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Changes a declared network before it is written. */
typedef void change(struct weights *weights);

static void no_change(struct weights *weights)
{
    (void)weights;
}

static struct tensor *tensor_of(const struct weights *weights, const char *name)
{
    for (int i = 0; i < weights->n_tensors; i++)
        if (strcmp(weights->tensors[i]->name, name) == 0)
            return weights->tensors[i];
    fail_msg("no tensor %s", name);
    return NULL;
}

static void rename_to(struct weights *weights, const char *from, const char *to)
{
    struct tensor *t = tensor_of(weights, from);
    snprintf(t->name, sizeof(t->name), "%s", to);
}

/* Replace a piece of every name. */
static void rename_all(const struct weights *weights, const char *piece, const char *by)
{
    for (int i = 0; i < weights->n_tensors; i++) {
        char *name = weights->tensors[i]->name, *at = strstr(name, piece), changed[TENSOR_NAME_SIZE];
        if (at == NULL)
            continue;
        snprintf(changed, sizeof(changed), "%.*s%s%s", (int)(at - name), name, by, at + strlen(piece));
        memcpy(name, changed, sizeof(changed));
    }
}

static void add(struct weights *weights, const char *name, int64_t n)
{
    struct tensor *t;
    assert_int_equal(weights_take(weights, name, &n, 1, &t), STATUS_OK);
}

static const char *write_changed(const struct geometry *geometry, change *apply)
{
    const char *path = support_path("stage.safetensors");
    struct weights *weights;
    struct graph graph;

    narrow_build(geometry, 9, &weights, &graph);
    apply(weights);
    assert_int_equal(weights_write(weights, path, "a test"), STATUS_OK);
    graph_free(&graph);
    weights_close(weights);
    return path;
}

static enum status open_stage(struct stage *stage, const char *name, const char *path, const char *classes,
                              char *text, size_t size)
{
    *stage = (struct stage){.threshold = 0.5f, .std = {1, 1, 1}, .n_variants = 1};
    snprintf(stage->name, sizeof(stage->name), "%s", name);
    snprintf(stage->weights_path, sizeof(stage->weights_path), "%s", path);
    support_capture();
    enum status rc = stage_open(stage, NARROW_SIZE, classes, NULL);
    support_captured(text, size);
    return rc;
}

static void assert_opens(const struct geometry *geometry, change *apply, const char *arch,
                         const char *attention)
{
    struct stage stage;
    char text[2048];

    if (open_stage(&stage, "gate", write_changed(geometry, apply), NULL, text, sizeof(text)) != STATUS_OK)
        fail_msg("%s", text);
    assert_string_equal(text, "");
    assert_string_equal(stage.arch, arch);
    assert_string_equal(stage.attention, attention);
    assert_false(stage.trained);
    assert_true(stage.macs > 100000);
    assert_int_equal(stage.map_height, 2);
    assert_int_equal(stage.map_width, 2);
    stage_close(&stage);
}

static void assert_told(const char *name, const struct geometry *geometry, change *apply, const char *tensor,
                        const char *guess)
{
    struct stage stage;
    char text[2048];

    assert_int_equal(open_stage(&stage, name, write_changed(geometry, apply), NULL, text, sizeof(text)),
                     STATUS_INPUT);
    if (strstr(text, tensor) == NULL || strstr(text, guess) == NULL)
        fail_msg("'%s' does not say '%s' and '%s'", text, tensor, guess);
    assert_null(stage.weights);
}

static void test_all_are_recognised(void **state)
{
    static const char *const names[] = {"densenet2-2-2-2-k16", "resnet17", "mobilenet_v2"};
    (void)state;

    for (int arch = ARCH_DENSENET; arch <= ARCH_MOBILENET_V2; arch++)
        for (int attention = CBAM_NONE; attention <= CBAM_LUUUYI; attention++) {
            struct geometry geometry = narrow_geometry((enum arch)arch, (enum cbam_layout)attention, 2);
            assert_opens(&geometry, no_change, names[arch], cbam_layout_name((enum cbam_layout)attention));
        }
}

static void old_spelling(struct weights *weights)
{
    for (int i = 1; i <= 2; i++) {
        char from[16], to[16];
        snprintf(from, sizeof(from), ".norm%d.", i);
        snprintf(to, sizeof(to), ".norm.%d.", i);
        rename_all(weights, from, to);
        snprintf(from, sizeof(from), ".conv%d.", i);
        snprintf(to, sizeof(to), ".conv.%d.", i);
        rename_all(weights, from, to);
    }
}

static void older_luuuyi(struct weights *weights)
{
    rename_all(weights, ".ca.fc.0.", ".ca.fc1.");
    rename_all(weights, ".ca.fc.2.", ".ca.fc2.");
}

static void attention_inside(struct weights *weights)
{
    for (int n = 1; n <= 17; n++) {
        char from[64], to[64];
        snprintf(from, sizeof(from), "features.%d.se.", n);
        snprintf(to, sizeof(to), "features.%d.conv.se.", n);
        rename_all(weights, from, to);
    }
}

static void batches_tracked(struct weights *weights)
{
    add(weights, "bn1.num_batches_tracked", 1);
    add(weights, "layer1.0.bn1.num_batches_tracked", 2);
}

static void test_wide_resnet(void **state)
{
    struct geometry geometry = narrow_geometry(ARCH_RESNET, CBAM_TIMM, 2);
    (void)state;

    geometry.width = 32;
    assert_opens(&geometry, no_change, "wide_resnet17", "timm");
}

static void test_spellings(void **state)
{
    struct geometry dense = narrow_geometry(ARCH_DENSENET, CBAM_NONE, 2);
    struct geometry resnet = narrow_geometry(ARCH_RESNET, CBAM_LUUUYI, 2);
    struct geometry mobilenet = narrow_geometry(ARCH_MOBILENET_V2, CBAM_TIMM, 2);
    (void)state;

    assert_opens(&dense, old_spelling, "densenet2-2-2-2-k16", "none");
    dense.attention = CBAM_JONGCHAN;
    assert_opens(&dense, old_spelling, "densenet2-2-2-2-k16", "jongchan");
    assert_opens(&resnet, older_luuuyi, "resnet17", "luuuyi");
    assert_opens(&resnet, batches_tracked, "resnet17", "luuuyi");
    assert_opens(&mobilenet, attention_inside, "mobilenet_v2", "timm");
}

/* num_batches_tracked is a 64-bit integer in real files: same bytes, another type. */
static void test_batches_tracked_as_integer(void **state)
{
    static const char was[] = "num_batches_tracked\":{\"dtype\":\"F32\",\"shape\":[2]";
    static const char is[] = "num_batches_tracked\":{\"dtype\":\"I64\",\"shape\":[1]";
    struct geometry geometry = narrow_geometry(ARCH_RESNET, CBAM_NONE, 2);
    struct stage stage;
    static char header[1 << 16];
    char text[2048];
    (void)state;

    const char *path = write_changed(&geometry, batches_tracked);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, 8, SEEK_SET), 0);
    size_t n = fread(header, 1, sizeof(header) - 1, file);
    char *at = memmem(header, n, was, sizeof(was) - 1);
    assert_non_null(at);
    assert_int_equal(fseek(file, 8 + (at - header), SEEK_SET), 0);
    assert_int_equal(fwrite(is, 1, sizeof(is) - 1, file), sizeof(is) - 1);
    fclose(file);
    assert_int_equal(open_stage(&stage, "gate", path, NULL, text, sizeof(text)), STATUS_OK);
    stage_close(&stage);
}

static void lose_middle(struct weights *weights)
{
    rename_to(weights, "layer3.0.bn2.running_var", "layer3.0.bn2.gone");
}

static void lose_gate(struct weights *weights)
{
    rename_to(weights, "layer2.0.cbam.SpatialGate.spatial.conv.weight", "x.num_batches_tracked");
}

static void lose_head(struct weights *weights)
{
    rename_to(weights, "fc.weight", "x.num_batches_tracked");
}

static void leave_over(struct weights *weights)
{
    add(weights, "layer1.0.bn4.weight", 3);
}

static void leave_bias(struct weights *weights)
{
    add(weights, "layer1.0.conv2.bias", 3);
}

static void leave_gate(struct weights *weights)
{
    add(weights, "layer1.0.se.fc.weight", 3);
}

static void cut_one(struct weights *weights)
{
    struct tensor *t = tensor_of(weights, "layer2.0.conv2.weight");
    t->dim[0]--;
    t->n_elements = t->dim[0] * t->dim[1] * t->dim[2] * t->dim[3];
}

static void data_parallel(struct weights *weights)
{
    for (int i = 0; i < weights->n_tensors; i++) {
        char name[TENSOR_NAME_SIZE];
        snprintf(name, sizeof(name), "module.%s", weights->tensors[i]->name);
        memcpy(weights->tensors[i]->name, name, sizeof(name));
    }
}

static void no_network(struct weights *weights)
{
    rename_to(weights, "layer1.0.conv1.weight", "encoder.0.weight");
}

static void test_wrong_files(void **state)
{
    struct geometry plain = narrow_geometry(ARCH_RESNET, CBAM_NONE, 2);
    struct geometry gated = narrow_geometry(ARCH_RESNET, CBAM_JONGCHAN, 2);
    (void)state;

    assert_told("gate", &plain, lose_middle, "layer3.0.bn2.running_var ([64])", "missing");
    assert_told("gate", &gated, lose_gate, "layer2.0.cbam.SpatialGate.spatial.conv.weight ([1,2,7,7])",
                "missing");
    assert_told("gate", &plain, lose_head, "fc.weight", "without its head");
    assert_told("gate", &plain, leave_over, "layer1.0.bn4.weight [3]", "another network");
    assert_told("gate", &plain, leave_bias, "layer1.0.conv2.bias [3]", "a bias where");
    assert_told("gate", &plain, leave_gate, "layer1.0.se.fc.weight [3]", "attention module");
    assert_told("gate", &plain, cut_one, "layer2.0.conv2.weight is [31,32,3,3], expected [32,32,3,3]",
                "another variant");
    assert_told("gate", &plain, data_parallel, "DataParallel", "module.");
    assert_told("gate", &plain, no_network, "neither a DenseNet", "layer1.0.conv1.weight");
}

static void test_stage_named_like_another(void **state)
{
    struct geometry dense = {.arch = ARCH_DENSENET,
                             .n_classes = 2,
                             .stem = 64,
                             .growth = 32,
                             .bottleneck = 128,
                             .layers = {6, 12, 24, 16}};
    struct geometry resnet = narrow_geometry(ARCH_RESNET, CBAM_NONE, 2);
    (void)state;

    assert_told("densenet161", &dense, no_change, "64 channels, expected 96", "is this a densenet121?");
    assert_told("densenet161", &resnet, no_change, "is a resnet17", "another name");
    assert_told("mobilenet_v2", &resnet, no_change, "is a resnet17", "another name");
}

static void test_class_counts(void **state)
{
    static const struct {
        int n_classes;
        const char *classes;
        enum head_kind kind;
    } cases[] = {{1, NULL, HEAD_SIGMOID}, {2, NULL, HEAD_SOFTMAX}, {1000, "300-326", HEAD_SOFTMAX}};
    (void)state;

    for (int i = 0; i < 9; i++) {
        struct geometry geometry = narrow_geometry((enum arch)(i % 3), CBAM_NONE, cases[i / 3].n_classes);
        const char *path = write_changed(&geometry, no_change);
        struct stage stage;
        char text[2048];
        assert_int_equal(open_stage(&stage, "gate", path, cases[i / 3].classes, text, sizeof(text)),
                         STATUS_OK);
        assert_int_equal(stage.classes.n_classes, cases[i / 3].n_classes);
        assert_int_equal(stage.classes.kind, cases[i / 3].kind);
        stage_close(&stage);
        stage_close(&stage); /* twice is fine */
    }
    struct geometry geometry = narrow_geometry(ARCH_RESNET, CBAM_NONE, 1000);
    struct stage stage;
    char text[2048];
    assert_int_equal(
        open_stage(&stage, "gate", write_changed(&geometry, no_change), NULL, text, sizeof(text)),
        STATUS_USAGE);
    assert_non_null(strstr(text, "1000 classes"));
}

/* Multiply-adds as published, of one picture of 224 x 224 (torchvision's table: 7.73, 4.09 and 0.30 G). */
static void test_macs(void **state)
{
    static const struct {
        const char *arch;
        double macs;
    } published[] = {{"densenet161", 7.73e9}, {"resnet50", 4.09e9}, {"mobilenet_v2", 0.30e9}};
    (void)state;

    for (int i = 0; i < 3; i++) {
        struct geometry geometry;
        struct weights *weights;
        struct graph graph;
        assert_int_equal(network_geometry(published[i].arch, CBAM_NONE, 1000, &geometry), STATUS_OK);
        assert_int_equal(weights_declare(&weights), STATUS_OK);
        assert_int_equal(network_build(&geometry, weights, 224, &graph), STATUS_OK);
        assert_float_equal((double)graph_count_macs(&graph) / published[i].macs, 1, 0.01);
        graph_free(&graph);
        weights_close(weights);
    }
}

static void test_picture_too_small(void **state)
{
    struct geometry geometry = narrow_geometry(ARCH_DENSENET, CBAM_NONE, 2);
    struct stage stage = {.std = {1, 1, 1}, .n_variants = 1, .name = "gate"};
    char text[2048];
    (void)state;

    snprintf(stage.weights_path, sizeof(stage.weights_path), "%s", write_changed(&geometry, no_change));
    support_capture();
    enum status rc = stage_open(&stage, 16, NULL, NULL);
    support_captured(text, sizeof(text));
    assert_int_equal(rc, STATUS_INPUT);
    assert_non_null(strstr(text, "--size"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_are_recognised), cmocka_unit_test(test_wide_resnet),
        cmocka_unit_test(test_spellings),          cmocka_unit_test(test_batches_tracked_as_integer),
        cmocka_unit_test(test_wrong_files),        cmocka_unit_test(test_stage_named_like_another),
        cmocka_unit_test(test_class_counts),       cmocka_unit_test(test_macs),
        cmocka_unit_test(test_picture_too_small),
    };
    return cmocka_run_group_tests_name("stages from files", tests, NULL, support_teardown);
}
