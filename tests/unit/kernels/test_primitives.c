/* No primitive of any network may fall to oneDNN's reference code, which is hundreds of times slower. */
#include "kernels/engine.h"
#include "tests/unit/kernels/support.h"

#include <omp.h>
#include <stdio.h>
#include <string.h>

static void check_network(dnnl_engine_t onednn, const char *arch, int size, enum precision precision)
{
    struct stage stage = {.std = {1, 1, 1}};
    struct geometry geometry;
    struct weights *weights;
    struct program program;
    int n_primitives = 0;

    assert_int_equal(network_geometry(arch, CBAM_NONE, 2, &geometry), STATUS_OK);
    assert_int_equal(weights_declare(&weights), STATUS_OK);
    assert_int_equal(network_build(&geometry, weights, size, &stage.plain), STATUS_OK);
    assert_int_equal(program_open(&stage, precision, onednn, &program), STATUS_OK);
    for (int i = 0; i < program.graph.n_ops; i++) {
        const char *implementation = program.steps[i].primitive.implementation;
        if (program.steps[i].primitive.handle == NULL)
            continue;
        n_primitives++;
        if (implementation[0] == '\0' || strncmp(implementation, "ref", 3) == 0 ||
            strstr(implementation, "gemm:ref") != NULL)
            fail_msg("%s at %s: op %s runs as '%s'", arch, precision_name(precision),
                     program.graph.ops[i].name, implementation);
    }
    assert_true(n_primitives >= 50);
    program_close(&program);
    graph_free(&stage.plain);
    weights_close(weights);
}

static void test_no_reference_primitive(void **state)
{
    static const char *const archs[] = {"densenet161", "resnet50", "mobilenet_v2"};
    dnnl_engine_t onednn;
    (void)state;

    omp_set_num_threads(1);
    assert_int_equal(dnnl_engine_create(&onednn, dnnl_cpu, 0), dnnl_success);
    for (int i = 0; i < 3; i++) {
        check_network(onednn, archs[i], 224, PRECISION_F32);
        if (engine_cpu_has_bf16())
            check_network(onednn, archs[i], 224, PRECISION_BF16);
    }
    check_network(onednn, "resnet50", 160, PRECISION_F32);
    if (!engine_cpu_has_bf16())
        printf("           bf16 skipped: this CPU has none\n");
    dnnl_engine_destroy(onednn);
}

/* Groups of three channels fit no channel block: there is only reference code for them. */
static void test_reference_primitive_is_refused(void **state)
{
    struct primitive_spec spec = {.kind = OP_CONV,
                                  .precision = PRECISION_F32,
                                  .in = {12, 9, 9},
                                  .out = {20, 9, 9},
                                  .kernel = 3,
                                  .stride = 1,
                                  .pad = 1,
                                  .groups = 4,
                                  .activation = ACTIVATION_NONE,
                                  .block = ops_choose()->block};
    struct primitive primitive = {0};
    static float weights[20 * 3 * 9];
    dnnl_engine_t onednn;
    char text[1024];
    (void)state;

    assert_int_equal(dnnl_engine_create(&onednn, dnnl_cpu, 0), dnnl_success);
    support_capture();
    enum status refused = primitive_open(onednn, &spec, "odd.conv", weights, NULL, &primitive);
    support_captured(text, sizeof(text));
    assert_int_equal(refused, STATUS_INTERNAL);
    assert_non_null(strstr(text, "reference code"));
    assert_non_null(strstr(text, "odd.conv"));
    assert_null(primitive.handle);
    dnnl_engine_destroy(onednn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_reference_primitive),
        cmocka_unit_test(test_reference_primitive_is_refused),
    };
    return cmocka_run_group_tests_name("oneDNN's implementations", tests, NULL, NULL);
}
