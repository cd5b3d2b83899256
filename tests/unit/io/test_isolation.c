/*
 * Decoding in helper processes gives what decoding here gives, and whatever a picture does to its helper
 * costs that picture alone. The helpers are the real ones; a test's own decode function makes them misbehave
 * where a file begins with a magic word.
 *
 *     test_isolation [FOLDER...]: where to find real pictures
 */
#include "base/clock.h"
#include "base/file.h"
#include "io/isolation_internal.h"
#include "io/sandbox.h"
#include "make_picture.h"
#include "misbehave.h"
#include "test.h"

#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE 224
#define CROP_BYTES ((size_t)3 * SIZE * SIZE)
#define SKIPPED_IN_SANITIZED_BUILDS()                                                                        \
    if (!sandbox_limits_memory)                                                                              \
    skip()

static struct isolation *isolation;
static struct isolated_decoder *isolated;
static uint8_t crop[CROP_BYTES];

static struct isolation_options options_of_test(void)
{
    return (struct isolation_options){.max_bytes = 64 << 20,
                                      .crop_side = SIZE,
                                      .memory_bytes = (uint64_t)600 << 20,
                                      .cpu_timeout_s = 1,
                                      .max_pixels = picture_options_default().max_pixels};
}

static int set_up(void **state)
{
    struct isolation_options options = options_of_test();

    (void)state;
    if (isolation_start_with(&options, misbehave_or_decode, 0, &isolation) != STATUS_OK ||
        isolated_decoder_open(isolation, &isolated) != STATUS_OK)
        return -1;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    isolated_decoder_close(isolated);
    isolation_stop(isolation);
    isolated = NULL;
    isolation = NULL;
    return 0;
}

static struct picture_info decode(const void *bytes, size_t n)
{
    struct picture_options options = picture_options_default();
    struct picture_info info;

    assert_int_equal(isolated_decoder_decode(isolated, bytes, n, &options, crop, &info), STATUS_OK);
    return info;
}

/* A picture that is well, in the same helper or the one that took its place. */
static void assert_next_is_fine(void)
{
    struct file_bytes png = make_png(300, 200);
    struct picture_info info = decode(png.bytes, png.n);

    assert_int_equal(info.status, ITEM_OK);
    assert_int_equal(info.width, 300);
    assert_int_equal(info.height, 200);
    free(png.bytes);
}

/* The misbehaviour costs this picture; its message has this text, and n_replaced helpers were lost. */
static void assert_costs_one(const char *word, enum item_status status, const char *text, uint64_t n_replaced)
{
    uint64_t before = isolation_replaced(isolation);
    struct picture_info info = decode(word, strlen(word));

    assert_int_equal(info.status, status);
    if (strstr(info.message, text) == NULL)
        fail_msg("%s: the message is '%s', expected '%s' in it", word, info.message, text);
    assert_int_equal(isolation_replaced(isolation) - before, n_replaced);
    assert_int_equal(info.width, 0);
    assert_int_equal(info.orientation, 1);
    assert_next_is_fine();
    assert_int_equal(isolation_replaced(isolation) - before, n_replaced);
}

/* The same file here and there. */
static struct decoder *here;
static int n_compared;

static void compare(const uint8_t *bytes, size_t n)
{
    static uint8_t crop_here[CROP_BYTES];
    struct picture_options options = picture_options_default();
    struct picture_info info_here, info;

    for (int mode = DECODE_EXACT; mode <= DECODE_FAST; mode++) {
        uint8_t *there = mode == DECODE_FAST ? isolated_decoder_crop(isolated) : crop; /* either way */
        options.mode = (enum decode_mode)mode;
        memset(&info_here, 0, sizeof(info_here));
        memset(&info, 0xff, sizeof(info));
        assert_int_equal(decoder_decode(here, bytes, n, &options, crop_here, &info_here), STATUS_OK);
        assert_int_equal(isolated_decoder_decode(isolated, bytes, n, &options, there, &info), STATUS_OK);
        assert_int_equal(info.status, info_here.status);
        assert_int_equal(info.width, info_here.width);
        assert_int_equal(info.height, info_here.height);
        assert_int_equal(info.orientation, info_here.orientation);
        assert_memory_equal(info.content_hash, info_here.content_hash, sizeof(info.content_hash));
        assert_string_equal(info.message, info_here.message);
        if (info.status == ITEM_OK || info.status == ITEM_TRUNCATED)
            assert_memory_equal(there, crop_here, CROP_BYTES);
    }
    n_compared++;
}

static void test_made_pictures_are_the_same(void **state)
{
    struct file_bytes files[] = {make_jpeg(300, 200, false),
                                 make_jpeg(640, 480, true),
                                 make_png(300, 200),
                                 make_webp(301, 207),
                                 make_gif(2, 2),
                                 make_gif(60000, 60000)};

    (void)state;
    assert_int_equal(decoder_open(&here), STATUS_OK);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        compare(files[i].bytes, files[i].n);
        compare(files[i].bytes, files[i].n / 2); /* cut */
        compare(files[i].bytes, 9);
        free(files[i].bytes);
    }
    compare((const uint8_t *)"", 0);
    compare((const uint8_t *)"BM not of our kinds", 19);
    decoder_close(here);
    assert_int_equal(isolation_replaced(isolation), 0);
}

static const char *const *folders;
static int n_folders;

static int compare_file(const char *path, const struct stat *stat, int type, struct FTW *at)
{
    char *bytes;
    size_t n;

    (void)at;
    if (type != FTW_F || stat->st_size > 8 << 20 || n_compared >= 900)
        return 0;
    assert_int_equal(file_read(path, 8 << 20, &bytes, &n), STATUS_OK);
    compare((const uint8_t *)bytes, n);
    free(bytes);
    return 0;
}

static void test_real_pictures_are_the_same(void **state)
{
    (void)state;
    n_compared = 0;
    assert_int_equal(decoder_open(&here), STATUS_OK);
    for (int i = 0; i < n_folders; i++)
        nftw(folders[i], compare_file, 16, FTW_PHYS);
    decoder_close(here);
    print_message("%d real files compared\n", n_compared);
    if (n_compared == 0)
        skip();
    assert_int_equal(isolation_replaced(isolation), 0);
}

/* Twice each: only a fresh helper can convict. */
static void test_crashes(void **state)
{
    (void)state;
    SKIPPED_IN_SANITIZED_BUILDS(); /* which turn them into reports and exit codes */
    assert_costs_one("!segv", ITEM_DECODER_CRASHED, "SIGSEGV", 2);
    assert_costs_one("!abort", ITEM_DECODER_CRASHED, "SIGABRT", 2);
    assert_costs_one("!exit", ITEM_DECODER_CRASHED, "exit code 7", 2);
    assert_costs_one("!divide", ITEM_DECODER_CRASHED, "SIGFPE", 2);
}

static void test_hang(void **state)
{
    (void)state;
    assert_costs_one("!hang", ITEM_DECODER_TIMEOUT, "1 s of processor time", 1);
}

/* Beyond its bound: where the decoder says so, and where it does not look. */
static void test_balloons(void **state)
{
    (void)state;
    SKIPPED_IN_SANITIZED_BUILDS(); /* no bound there */
    assert_costs_one("!balloon", ITEM_DECODER_CRASHED, "MiB of memory", 2);
    assert_costs_one("!unchecked balloon", ITEM_DECODER_CRASHED, "SIGSEGV", 2);
}

static void test_forbidden_calls(void **state)
{
    static const char *const words[] = {"!open",        "!openat", "!socket",      "!fork",
                                        "!execve",      "!kill",   "!ptrace",      "!prctl",
                                        "!exec memory", "!write",  "!abort others"};

    (void)state;
    SKIPPED_IN_SANITIZED_BUILDS(); /* a wider filter */
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        assert_costs_one(words[i], ITEM_DECODER_CRASHED, "SIGSYS", 2);
}

static void test_hostile_answers(void **state)
{
    static const char *const words[] = {"!garbage", "!status",   "!unscored",    "!no end",
                                        "!control", "!negative", "!orientation", "!pixels",
                                        "!ok, but", "!crashed",  "!rc",          "!early answer"};

    (void)state;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        assert_costs_one(words[i], ITEM_DECODER_CRASHED, "no decoder would", 2);
}

/* A hash that the helper makes up is not believed. */
static void test_hash_is_own(void **state)
{
    struct picture_info info = decode("!wrong hash", 11), plain;
    struct picture_options options = picture_options_default();

    (void)state;
    assert_int_equal(decoder_open(&here), STATUS_OK);
    assert_int_equal(decoder_decode(here, (const uint8_t *)"!wrong hash", 11, &options, crop, &plain),
                     STATUS_OK);
    decoder_close(here);
    assert_int_equal(info.status, ITEM_UNSUPPORTED);
    assert_memory_equal(info.content_hash, plain.content_hash, sizeof(info.content_hash));
}

/* A crash that is not the picture's: the helper was hurt by the one before. */
static void test_innocent_picture_is_cleared(void **state)
{
    (void)state;
    SKIPPED_IN_SANITIZED_BUILDS();
    uint64_t before = isolation_replaced(isolation);
    assert_int_equal(decode("!poison", 7).status, ITEM_UNSUPPORTED);
    assert_int_equal(isolation_replaced(isolation) - before, 0);
    assert_next_is_fine();
    assert_int_equal(isolation_replaced(isolation) - before, 1);
}

int main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_made_pictures_are_the_same),
        cmocka_unit_test(test_real_pictures_are_the_same),
        cmocka_unit_test(test_crashes),
        cmocka_unit_test(test_hang),
        cmocka_unit_test(test_balloons),
        cmocka_unit_test(test_forbidden_calls),
        cmocka_unit_test(test_hostile_answers),
        cmocka_unit_test(test_hash_is_own),
        cmocka_unit_test(test_innocent_picture_is_cleared),
    };
    folders = (const char *const *)argv + 1;
    n_folders = argc - 1;
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
