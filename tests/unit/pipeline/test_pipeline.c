/*
 * The pipeline with real picture files and an engine that wants batches: each row gets its own picture's
 * score and map; a slot that cannot be computed gives up its shards and no others; giving up leaves nothing
 * behind. All of it with pictures decoded here and in helper processes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "counting_engine.h"
#include "io/isolation_internal.h"
#include "job/pipeline.h"
#include "results/half.h"

#include <png.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIZE 8
#define MAP_SIDE 2
#define N_PICTURES 60

struct fixture {
    char folder[64];
    struct sweep_layout layout;
    struct cascade cascade;
};

static struct isolation *isolation; /* NULL: decode here */

static int number_of(int picture)
{
    return 1000 + picture * 250007 % 16000000;
}

static void write_picture(const char *folder, int picture)
{
    uint8_t pixels[SIZE * SIZE * 3];
    char path[128];
    png_image image = {.version = PNG_IMAGE_VERSION, .width = SIZE, .height = SIZE, .format = PNG_FORMAT_RGB};

    counting_paint(number_of(picture), SIZE, pixels);
    snprintf(path, sizeof(path), "%s/%d.png", folder, picture);
    assert_true(png_image_write_to_file(&image, path, 0, pixels, 0, NULL));
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    strcpy(f->folder, "/tmp/eyesore-pipeline-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    for (int i = 0; i < N_PICTURES; i++)
        write_picture(f->folder, i);
    assert_int_equal(sweep_layout_init(&f->layout, 8, HEATMAPS_ALL, 0), STATUS_OK);
    assert_int_equal(sweep_layout_add_stage(&f->layout, "one", MAP_SIDE, MAP_SIDE, true), STATUS_OK);
    f->cascade.n_stages = 1;
    f->cascade.size = SIZE;
    f->cascade.stages[0].threshold = 0.5f;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    char path[128];

    for (int i = 0; i < N_PICTURES; i++) {
        snprintf(path, sizeof(path), "%s/%d.png", f->folder, i);
        unlink(path);
    }
    rmdir(f->folder);
    sweep_layout_free(&f->layout);
    free(f);
    return 0;
}

static struct pipeline *open_pipeline(const struct fixture *f, struct engine *engine, int n_workers)
{
    struct pipeline *pipeline;
    struct pipeline_options options = {
        .engine = engine,
        .cascade = &f->cascade,
        .isolation = isolation,
        .root = f->folder,
        .max_bytes = 1 << 20,
        .picture = {DECODE_EXACT, RESAMPLE_BILINEAR, SIZE, SIZE, 1 << 20},
        .heatmaps = HEATMAPS_ALL,
        .n_workers = n_workers,
    };
    assert_int_equal(pipeline_open(&options, &pipeline), STATUS_OK);
    return pipeline;
}

/* Row i of shard s is picture (s * n_rows + i) % N_PICTURES; every seventh is not there. */
static bool is_missing(int picture)
{
    return picture % 7 == 3;
}

static int picture_of(const struct work *work, uint64_t row)
{
    return (int)((work->shard * work->n_rows + row) % N_PICTURES);
}

static void push(const struct fixture *f, struct pipeline *pipeline, uint64_t shard, uint64_t n_rows)
{
    struct work *work;
    char uri[64];

    assert_int_equal(work_create(&f->layout, shard, shard * n_rows, n_rows, &work), STATUS_OK);
    for (uint64_t i = 0; i < n_rows; i++) {
        int picture = picture_of(work, i);
        snprintf(uri, sizeof(uri), is_missing(picture) ? "gone-%d.png" : "%d.png", picture);
        work->uris[i] = strdup(uri);
    }
    pipeline_push(pipeline, work);
}

static struct work *take(struct pipeline *pipeline)
{
    struct work *work = NULL;

    for (int i = 0; work == NULL && i < 100; i++)
        work = pipeline_take(pipeline, 100);
    assert_non_null(work);
    return work;
}

static void check_row(const struct work *work, uint64_t row)
{
    const struct part *part = work->part;
    int picture = picture_of(work, row);
    float score = counting_score(number_of(picture));

    if (is_missing(picture)) {
        assert_int_equal(part->status[row], ITEM_MISSING);
        assert_int_equal(part->verdict[row], SWEEP_FAILED);
        assert_null(part->maps[row]);
        return;
    }
    assert_int_equal(part->status[row], ITEM_OK);
    assert_true(part->scores[row] == score);
    assert_int_equal(part->verdict[row], score >= 0.5f ? SWEEP_FLAGGED : SWEEP_PASS);
    assert_non_null(part->maps[row]);
    for (int i = 0; i < MAP_SIDE * MAP_SIDE; i++)
        assert_int_equal(part->maps[row][i], half_from_float(score));
}

static void every_row_has_its_own_pictures_result(void **state)
{
    const struct fixture *f = *state;
    const struct counting_options options = {.batch = 4,
                                             .n_slots = 3,
                                             .max_instances = 2,
                                             .size = SIZE,
                                             .map_side = MAP_SIDE,
                                             .fail_at = -1,
                                             .delay_us = 200};
    const uint64_t n_shards = 40, n_rows = 13;
    uint64_t seen = 0;
    struct pipeline_totals totals;
    struct engine *engine;

    assert_int_equal(counting_engine_open(&options, &engine), STATUS_OK);
    struct pipeline *pipeline = open_pipeline(f, engine, 5);
    for (uint64_t shard = 0; shard < n_shards; shard++)
        push(f, pipeline, shard, n_rows);
    for (uint64_t k = 0; k < n_shards; k++) {
        struct work *work = take(pipeline);
        assert_int_equal(work->status, STATUS_OK);
        assert_false(seen >> work->shard & 1);
        seen |= UINT64_C(1) << work->shard;
        for (uint64_t row = 0; row < n_rows; row++)
            check_row(work, row);
        work_free(work);
    }
    assert_true(pipeline_is_empty(pipeline));
    pipeline_read_totals(pipeline, &totals);
    assert_int_equal(totals.counts.rows_by_status[ITEM_OK] + totals.counts.rows_by_status[ITEM_MISSING],
                     n_shards * n_rows);
    pipeline_close(pipeline);
    struct counting_totals used = counting_engine_totals(engine);
    assert_int_equal(used.n_misused, 0);
    assert_int_equal(used.n_pictures, totals.counts.rows_by_status[ITEM_OK]);
    engine->close(engine);
}

/* Nothing else is coming: what waits in a slot that is not full is run all the same. */
static void the_last_pictures_are_flushed(void **state)
{
    const struct fixture *f = *state;
    const struct counting_options options = {
        .batch = 64, .n_slots = 3, .max_instances = 1, .size = SIZE, .map_side = MAP_SIDE, .fail_at = -1};
    struct engine *engine;

    assert_int_equal(counting_engine_open(&options, &engine), STATUS_OK);
    struct pipeline *pipeline = open_pipeline(f, engine, 4);
    for (uint64_t shard = 0; shard < 20; shard++) {
        push(f, pipeline, shard, 1 + shard % 3);
        struct work *work = take(pipeline);
        assert_int_equal(work->status, STATUS_OK);
        for (uint64_t row = 0; row < work->n_rows; row++)
            check_row(work, row);
        work_free(work);
    }
    pipeline_close(pipeline);
    engine->close(engine);
}

static void a_slot_that_fails_gives_up_its_shards(void **state)
{
    const struct fixture *f = *state;
    struct counting_options options = {.batch = 4,
                                       .n_slots = 3,
                                       .max_instances = 1,
                                       .size = SIZE,
                                       .map_side = MAP_SIDE,
                                       .fail_at = number_of(25),
                                       .delay_us = 500};
    const uint64_t n_shards = 6, n_rows = 10; /* picture 25 is in shard 2 */

    for (int late = 0; late < 2; late++) {
        struct engine *engine;
        int n_given_up = 0;
        options.fail_late = late == 1;
        assert_int_equal(counting_engine_open(&options, &engine), STATUS_OK);
        struct pipeline *pipeline = open_pipeline(f, engine, 3);
        for (uint64_t shard = 0; shard < n_shards; shard++)
            push(f, pipeline, shard, n_rows);
        for (uint64_t k = 0; k < n_shards; k++) {
            struct work *work = take(pipeline);
            if (work->shard == 2)
                assert_int_equal(work->status, STATUS_INTERNAL);
            n_given_up += work->status != STATUS_OK;
            for (uint64_t row = 0; work->status == STATUS_OK && row < n_rows; row++)
                check_row(work, row);
            work_free(work);
        }
        assert_in_range(n_given_up, 1, 2); /* a slot of 4 lies in two shards of 10 at most */
        assert_true(pipeline_is_empty(pipeline));
        pipeline_close(pipeline);
        assert_int_equal(counting_engine_totals(engine).n_misused, 0);
        engine->close(engine);
    }
}

static void abandoning_gives_all_shards_back(void **state)
{
    const struct fixture *f = *state;
    const struct counting_options options = {.batch = 4,
                                             .n_slots = 3,
                                             .max_instances = 1,
                                             .size = SIZE,
                                             .map_side = MAP_SIDE,
                                             .fail_at = -1,
                                             .delay_us = 2000};

    for (int round = 0; round < 20; round++) {
        struct engine *engine;
        assert_int_equal(counting_engine_open(&options, &engine), STATUS_OK);
        struct pipeline *pipeline = open_pipeline(f, engine, 3);
        for (uint64_t shard = 0; shard < 8; shard++)
            push(f, pipeline, shard, 20);
        usleep((useconds_t)(round * 500));
        pipeline_abandon(pipeline);
        for (int k = 0; k < 8; k++) {
            struct work *work = take(pipeline);
            assert_true(work->status == STATUS_RESUME || work->status == STATUS_OK);
            for (uint64_t row = 0; work->status == STATUS_OK && row < 20; row++)
                check_row(work, row);
            work_free(work);
        }
        assert_true(pipeline_is_empty(pipeline));
        pipeline_close(pipeline);
        assert_int_equal(counting_engine_totals(engine).n_misused, 0);
        engine->close(engine);
    }
}

/* Closed in the middle, as after an error elsewhere: nothing hangs, nothing leaks. */
static void closing_in_the_middle_frees_everything(void **state)
{
    const struct fixture *f = *state;
    const struct counting_options options = {.batch = 4,
                                             .n_slots = 2,
                                             .max_instances = 1,
                                             .size = SIZE,
                                             .map_side = MAP_SIDE,
                                             .fail_at = -1,
                                             .delay_us = 1000};

    for (int round = 0; round < 20; round++) {
        struct engine *engine;
        assert_int_equal(counting_engine_open(&options, &engine), STATUS_OK);
        struct pipeline *pipeline = open_pipeline(f, engine, 3);
        for (uint64_t shard = 0; shard < 8; shard++)
            push(f, pipeline, shard, 20);
        usleep((useconds_t)(round * 300));
        pipeline_close(pipeline);
        engine->close(engine);
    }
}

/* No picture can be decoded any more: that is no picture's fault. */
static void a_fork_server_that_is_killed_gives_up_the_shards(void **state)
{
    const struct fixture *f = *state;
    const struct counting_options options = {
        .batch = 1, .n_slots = 2, .max_instances = 2, .size = SIZE, .map_side = MAP_SIDE, .fail_at = -1};
    struct engine *engine;

    assert_int_equal(counting_engine_open(&options, &engine), STATUS_OK);
    struct pipeline *pipeline = open_pipeline(f, engine, 2);
    kill(isolation_server_pid(isolation), SIGKILL);
    for (uint64_t shard = 0; shard < 2; shard++)
        push(f, pipeline, shard, 13);
    for (int i = 0; i < 2; i++) {
        struct work *work = take(pipeline);
        assert_int_equal(work->status, STATUS_PLACE);
        work_free(work);
    }
    pipeline_close(pipeline);
    engine->close(engine);
}

static int start_isolation(void **state)
{
    const struct isolation_options options = {
        .max_bytes = 1 << 20, .crop_side = SIZE, .cpu_timeout_s = 30, .max_pixels = 1 << 20};

    (void)state;
    return isolation_start(&options, &isolation) == STATUS_OK ? 0 : -1;
}

static int stop_isolation(void **state)
{
    (void)state;
    isolation_stop(isolation);
    isolation = NULL;
    return 0;
}

#define WITH_FILES(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest here[] = {
        WITH_FILES(every_row_has_its_own_pictures_result),  WITH_FILES(the_last_pictures_are_flushed),
        WITH_FILES(a_slot_that_fails_gives_up_its_shards),  WITH_FILES(abandoning_gives_all_shards_back),
        WITH_FILES(closing_in_the_middle_frees_everything),
    };
    const struct CMUnitTest in_helpers[] = {
        WITH_FILES(every_row_has_its_own_pictures_result),
        WITH_FILES(the_last_pictures_are_flushed),
        WITH_FILES(a_slot_that_fails_gives_up_its_shards),
        WITH_FILES(abandoning_gives_all_shards_back),
        WITH_FILES(closing_in_the_middle_frees_everything),
        WITH_FILES(
            a_fork_server_that_is_killed_gives_up_the_shards), /* the last: there is no more after it */
    };
    int n_failed = cmocka_run_group_tests(in_helpers, start_isolation, stop_isolation);
    return n_failed + cmocka_run_group_tests(here, NULL, NULL);
}
