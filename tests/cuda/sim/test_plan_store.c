/* Chosen plans: kept with the run, found in the cache, damaged, without a folder that can be written. */
#include "kernels/cuda/plan_store.h"
#include "tests/unit/kernels/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY "f16-n8-c64_64-14x14-k64_64-1x1s1p0-bias-relu"
#define JSON "{\"plan\": [1, 2, 3]}\nsecond line"
#define FOLDER "nvidia-h100-80gb-hbm3-cudnn91900"

static void open_store(struct plan_store *store, const char *run, const char *cache)
{
    assert_int_equal(plan_store_open(run, cache, "NVIDIA H100 80GB HBM3", 91900, store), STATUS_OK);
}

/* OUT: whether the plan is there, as it was kept. */
static bool finds(struct plan_store *store, const char *key)
{
    char *json = NULL;

    assert_int_equal(plan_store_find(store, key, &json), STATUS_OK);
    bool found = json != NULL;
    if (found)
        assert_string_equal(json, JSON);
    free(json);
    return found;
}

static void test_run_and_cache(void **state)
{
    struct plan_store store;
    char run[300], cache[300], path[800];
    (void)state;

    snprintf(run, sizeof(run), "%s", support_path("run"));
    snprintf(cache, sizeof(cache), "%s", support_path("cache"));
    open_store(&store, run, cache);
    assert_false(finds(&store, KEY));
    assert_int_equal(plan_store_keep(&store, KEY, JSON), STATUS_OK);
    assert_true(finds(&store, KEY));
    assert_false(finds(&store, "another"));
    /* Another run takes it from the cache, and keeps it: the cache may then go. */
    open_store(&store, support_path("run2"), cache);
    assert_true(finds(&store, KEY));
    open_store(&store, support_path("run2"), NULL);
    assert_true(finds(&store, KEY));
    /* Another version or device has its own. */
    assert_int_equal(plan_store_open(run, cache, "NVIDIA H100 80GB HBM3", 92000, &store), STATUS_OK);
    assert_false(finds(&store, KEY));
    assert_int_equal(plan_store_open(run, cache, "NVIDIA A100", 91900, &store), STATUS_OK);
    assert_false(finds(&store, KEY));
    snprintf(path, sizeof(path), "%s/%s/%s.json", run, FOLDER, KEY);
    assert_int_equal(access(path, R_OK), 0);
}

static void damage(const char *path, long at)
{
    FILE *file = fopen(path, "r+b");

    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_END), 0);
    int byte = fgetc(file);
    assert_int_equal(fseek(file, at, SEEK_END), 0);
    fputc(byte ^ 1, file);
    fclose(file);
}

static void test_damaged(void **state)
{
    struct plan_store store;
    char run[300], path[800], other[800], said[4000];
    (void)state;

    snprintf(run, sizeof(run), "%s", support_path("damaged"));
    open_store(&store, run, NULL);
    assert_int_equal(plan_store_keep(&store, KEY, JSON), STATUS_OK);
    snprintf(path, sizeof(path), "%s/%s/%s.json", run, FOLDER, KEY);
    snprintf(other, sizeof(other), "%s/%s/other.json", run, FOLDER);
    support_capture();
    damage(path, -3);
    assert_false(finds(&store, KEY));
    damage(path, -3);
    assert_true(finds(&store, KEY));
    assert_int_equal(rename(path, other), 0); /* another convolution's */
    assert_false(finds(&store, "other"));
    assert_int_equal(truncate(other, 0), 0);
    assert_false(finds(&store, "other"));
    support_captured(said, sizeof(said));
    assert_non_null(strstr(said, "is damaged, or another convolution's: the plan is chosen anew"));
}

/* A cache that cannot be written costs nothing; a run that cannot be is a fault of the place. */
static void test_not_writable(void **state)
{
    struct plan_store store;
    char said[4000];
    (void)state;

    support_capture();
    open_store(&store, support_path("run3"), "/proc/nowhere");
    assert_int_equal(plan_store_keep(&store, KEY, JSON), STATUS_OK);
    assert_int_equal(plan_store_keep(&store, "second", JSON), STATUS_OK);
    assert_true(finds(&store, KEY));
    open_store(&store, "/proc/nowhere", NULL);
    assert_int_not_equal(plan_store_keep(&store, KEY, JSON), STATUS_OK);
    support_captured(said, sizeof(said));
    const char *first = strstr(said, "plans are kept with this run only");
    assert_non_null(first);
    assert_null(strstr(first + 1, "plans are kept with this run only")); /* said once */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run_and_cache),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_not_writable),
    };
    return cmocka_run_group_tests_name("plans that are kept", tests, NULL, support_teardown);
}
