#include "job/stage_option.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static struct stage_option *parse(struct stage_list *list, const char *text)
{
    if (stage_list_add(list, text, "--stage") != STATUS_OK)
        fail_msg("refused: %s", text);
    return &list->items[list->n - 1];
}

static void test_plain(void **state)
{
    struct stage_list list = {0};
    (void)state;

    struct stage_option *stage = parse(&list, "densenet161=d161.safetensors@0.80");
    assert_string_equal(stage->name, "densenet161");
    assert_string_equal(stage->file, "d161.safetensors");
    assert_true(stage->threshold == 0.80f);
    assert_null(stage->class_text);
    assert_int_equal(stage->n_classes, 0);
    assert_null(stage->head);
    assert_false(stage->has_precision);
    assert_true(stage->mean[0] == 0.485f && stage->mean[1] == 0.456f && stage->mean[2] == 0.406f);
    assert_true(stage->std[0] == 0.229f && stage->std[1] == 0.224f && stage->std[2] == 0.225f);
    assert_string_equal(stage->text, "densenet161=d161.safetensors@0.80");
    stage_list_free(&list);
    assert_int_equal(list.n, 0);
}

static void test_everything(void **state)
{
    struct stage_list list = {0};
    (void)state;

    struct stage_option *stage =
        parse(&list, "cold-start=/w/x.safetensors@1:class=400,300-326,9:head=sigmoid:"
                     "mean=0.5,0.5,0.5:std=1,1e0,0.25:precision=bf16");
    assert_true(stage->threshold == 1);
    assert_string_equal(stage->class_text, "400,300-326,9");
    assert_int_equal(stage->n_classes, 3);
    assert_int_equal(stage->classes[0].first, 9);
    assert_int_equal(stage->classes[0].last, 9);
    assert_int_equal(stage->classes[1].first, 300);
    assert_int_equal(stage->classes[1].last, 326);
    assert_int_equal(stage->classes[2].first, 400);
    assert_string_equal(stage->head, "sigmoid");
    assert_true(stage->mean[2] == 0.5f && stage->std[1] == 1 && stage->std[2] == 0.25f);
    assert_true(stage->has_precision);
    assert_int_equal(stage->precision, PRECISION_CHOICE_BF16);
    stage_list_free(&list);
}

static void test_odd_file_names(void **state)
{
    static const struct {
        const char *text, *file;
    } names[] = {
        {"a=x@y.st@0.5", "x@y.st"},
        {"b=/a:b/c=d.st@0.5:class=1", "/a:b/c=d.st"},
        {"c=@@0.5", "@"},
        {"d=with space and \xe8\xbe\xa3.st@0.5", "with space and \xe8\xbe\xa3.st"},
        {"e=f@0.9:class=1@0.5", "f@0.9:class=1"},
    };
    struct stage_list list = {0};
    (void)state;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct stage_option *stage = parse(&list, names[i].text);
        assert_string_equal(stage->file, names[i].file);
        assert_true(stage->threshold == 0.5f);
    }
    assert_int_equal(list.n, 5);
    stage_list_free(&list);
}

static void test_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "name",
        "=f@0.5",
        "n=@0.5",
        "n=f",
        "n=f@",
        "n@0.5",
        "n@0.5=f",
        "n=f@1.01",
        "n=f@-0.1",
        "n=f@nan",
        "n=f@0x1p-1",
        "n=f@0.5x",
        "n=f@ 0.5",
        "n=f@50%",
        "n/m=f@0.5",
        "n m=f@0.5",
        ".=f@0.5",
        "row=f@0.5",
        "a23456789012345678901234567890_2=f@0.5",
        "n=f@0.5:",
        "n=f@0.5:class",
        "n=f@0.5:class=",
        "n=f@0.5:class=,",
        "n=f@0.5:class=1,",
        "n=f@0.5:class=a",
        "n=f@0.5:class=-1",
        "n=f@0.5:class=3-2",
        "n=f@0.5:class=1-2-3",
        "n=f@0.5:class=1-",
        "n=f@0.5:class=1,1",
        "n=f@0.5:class=1-5,3",
        "n=f@0.5:class=1000000",
        "n=f@0.5:class=99999999999999999999",
        "n=f@0.5:class=1:class=2",
        "n=f@0.5:clas=1",
        "n=f@0.5:head=relu",
        "n=f@0.5:head=",
        "n=f@0.5:mean=0.5",
        "n=f@0.5:mean=0.5,0.5",
        "n=f@0.5:mean=0.5,0.5,0.5,0.5",
        "n=f@0.5:mean=123.7,116.3,103.5",
        "n=f@0.5:std=0,1,1",
        "n=f@0.5:std=-1,1,1",
        "n=f@0.5:std=nan,1,1",
        "n=f@0.5:precision=fp16",
    };
    struct stage_list list = {0};
    (void)state;

    parse(&list, "before=f@0.5");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (stage_list_add(&list, bad[i], "--stage") != STATUS_USAGE)
            fail_msg("not refused: '%s'", bad[i]);
        assert_int_equal(list.n, 1);
    }
    assert_int_equal(stage_list_add(&list, "before=other@0.5", "--stage"), STATUS_USAGE);
    for (int i = 1; i < STAGES_MAX; i++) {
        char text[32];
        snprintf(text, sizeof(text), "s%d=f@0.5", i);
        parse(&list, text);
    }
    assert_int_equal(stage_list_add(&list, "ninth=f@0.5", "--stage"), STATUS_USAGE);
    stage_list_free(&list);
}

static void test_thresholds(void **state)
{
    static const char *const bad[] = {"", "n", "@0.5", "n@", "n@2", "n=f@0.5", "n@0.5:class=1"};
    struct stage_list list = {0};
    (void)state;

    assert_int_equal(stage_list_add_threshold(&list, "densenet161@0.7", "--stage"), STATUS_OK);
    assert_string_equal(list.items[0].name, "densenet161");
    assert_true(list.items[0].threshold == 0.7f);
    assert_null(list.items[0].file);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(stage_list_add_threshold(&list, bad[i], "--stage"), STATUS_USAGE);
    assert_int_equal(list.n, 1);
    stage_list_free(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),          cmocka_unit_test(test_everything),
        cmocka_unit_test(test_odd_file_names), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_thresholds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
