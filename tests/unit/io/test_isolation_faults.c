/*
 * Helpers, their fork server and their rank killed from outside, and what else the place can do to them.
 */
#include "base/clock.h"
#include "io/isolation_internal.h"
#include "io/sandbox.h"
#include "make_picture.h"
#include "misbehave.h"
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SIZE 64
#define CROP_BYTES ((size_t)3 * SIZE * SIZE)
#define PATIENCE_S 30.0

static struct file_bytes jpeg;

static struct isolation_options options_with(unsigned cpu_timeout_s)
{
    return (struct isolation_options){
        .max_bytes = 1 << 20, .crop_side = SIZE, .cpu_timeout_s = cpu_timeout_s, .max_pixels = 10000000};
}

static struct picture_options picture_options(void)
{
    struct picture_options options = picture_options_default();

    options.resize = options.size = SIZE;
    options.max_pixels = 10000000;
    return options;
}

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static struct isolation *start_with_silence(unsigned cpu_timeout_s, double silence_s)
{
    struct isolation_options options = options_with(cpu_timeout_s);
    struct isolation *isolation = NULL;

    assert_int_equal(isolation_start_with(&options, misbehave_or_decode, silence_s, &isolation), STATUS_OK);
    return isolation;
}

static struct isolation *start(unsigned cpu_timeout_s)
{
    return start_with_silence(cpu_timeout_s, 0);
}

static struct isolated_decoder *open_decoder(struct isolation *isolation)
{
    struct isolated_decoder *d = NULL;

    assert_int_equal(isolated_decoder_open(isolation, &d), STATUS_OK);
    return d;
}

static enum status decode(struct isolated_decoder *d, const void *bytes, size_t n, struct picture_info *info)
{
    struct picture_options options = picture_options();
    uint8_t crop[CROP_BYTES];

    return isolated_decoder_decode(d, bytes, n, &options, crop, info);
}

static void assert_decodes(struct isolated_decoder *d)
{
    struct picture_info info;

    assert_int_equal(decode(d, jpeg.bytes, jpeg.n, &info), STATUS_OK);
    assert_int_equal(info.status, ITEM_OK);
}

/* Is the process gone, or a zombie that only waits for its parent? */
static bool is_gone(pid_t pid)
{
    char path[64], text[512] = "";

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return true;
    (void)!fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    const char *state = strrchr(text, ')');
    return state == NULL || state[1] == '\0' || state[2] == 'Z' || state[2] == 'X';
}

static void assert_goes(pid_t pid)
{
    for (double start_s = clock_seconds(); clock_seconds() - start_s < PATIENCE_S; sleep_ms(10))
        if (is_gone(pid))
            return;
    fail_msg("process %d is still there", (int)pid);
}

static void test_helper_killed_between_pictures(void **state)
{
    struct isolation *isolation = start(30);
    struct isolated_decoder *d = open_decoder(isolation);

    (void)state;
    for (int i = 0; i < 5; i++) {
        pid_t pid = isolated_decoder_pid(d);
        kill(pid, SIGKILL);
        if (i % 2 == 0)
            assert_goes(pid);
        assert_decodes(d);
        assert_int_not_equal(isolated_decoder_pid(d), pid);
    }
    assert_int_equal(isolation_replaced(isolation), 5);
    isolated_decoder_close(d);
    isolation_stop(isolation);
}

/* What a terminal or a launcher sends to the group does not end them. */
static void test_signals_of_the_group(void **state)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGUSR1, SIGHUP, SIGQUIT};
    struct isolation *isolation = start(30);
    struct isolated_decoder *d = open_decoder(isolation);
    pid_t pid = isolated_decoder_pid(d);

    (void)state;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        kill(isolation_server_pid(isolation), numbers[i]);
        kill(pid, numbers[i]);
    }
    assert_decodes(d);
    assert_int_equal(isolated_decoder_pid(d), pid);
    kill(pid, SIGKILL);
    assert_decodes(d); /* and the server is well */
    isolated_decoder_close(d);
    isolation_stop(isolation);
}

/* Sends a signal to whichever helper the decoder has, n times; SIGKILL as an OOM killer does. */
struct killer {
    struct isolated_decoder *decoder;
    int n, number;
};

static void *kill_helpers(void *argument)
{
    const struct killer *k = argument;
    pid_t last = 0;

    for (int i = 0; i < k->n; i++) {
        pid_t pid;
        while ((pid = isolated_decoder_pid(k->decoder)) == 0 || pid == last)
            sleep_ms(5);
        sleep_ms(200); /* it is at the picture */
        kill(pid, k->number);
        last = pid;
    }
    return NULL;
}

static void signal_while_decoding(int number, int n, double silence_s, enum status expected,
                                  enum item_status item)
{
    struct isolation *isolation = start_with_silence(2, silence_s);
    struct isolated_decoder *d = open_decoder(isolation);
    struct killer killer = {d, n, number};
    struct picture_info info;
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, kill_helpers, &killer), 0);
    assert_int_equal(decode(d, "!hang", 5, &info), expected);
    pthread_join(thread, NULL);
    if (expected == STATUS_OK)
        assert_int_equal(info.status, item);
    assert_decodes(d);
    isolated_decoder_close(d);
    isolation_stop(isolation);
}

/* The picture is decoded again and ends as it would have; and a host that kills every helper is to blame. */
static void test_helper_killed_while_decoding(void **state)
{
    (void)state;
    signal_while_decoding(SIGKILL, 2, 0, STATUS_OK, ITEM_DECODER_TIMEOUT);
    signal_while_decoding(SIGKILL, 4, 0, STATUS_PLACE, ITEM_OK);
}

/* A helper that stands still is given up after a while, and so is a host where the next one does so too. */
static void test_silent_helper(void **state)
{
    (void)state;
    signal_while_decoding(SIGSTOP, 1, 5, STATUS_OK, ITEM_DECODER_TIMEOUT);
    signal_while_decoding(SIGSTOP, 2, 1.5, STATUS_PLACE, ITEM_OK);
}

/* Sleeping is not using the processor: a helper that is stopped for longer than the limit goes on. */
static void *stop_for_a_while(void *argument)
{
    pid_t pid = isolated_decoder_pid(argument);

    sleep_ms(100);
    kill(pid, SIGSTOP);
    sleep_ms(2500);
    kill(pid, SIGCONT);
    return NULL;
}

static void test_stopped_helper_is_not_late(void **state)
{
    struct isolation *isolation = start(1);
    struct isolated_decoder *d = open_decoder(isolation);
    struct picture_info info;
    pthread_t thread;
    double start_s = clock_seconds();

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, stop_for_a_while, d), 0);
    assert_int_equal(decode(d, "!half a second", 14, &info), STATUS_OK);
    pthread_join(thread, NULL);
    assert_int_equal(info.status, ITEM_UNSUPPORTED);
    assert_true(clock_seconds() - start_s > 2.4);
    assert_int_equal(isolation_replaced(isolation), 0);
    isolated_decoder_close(d);
    isolation_stop(isolation);
}

static void test_server_killed(void **state)
{
    struct isolation *isolation = start(30);
    struct isolated_decoder *d = open_decoder(isolation), *none = NULL;
    struct picture_info info;
    pid_t helper = isolated_decoder_pid(d), server = isolation_server_pid(isolation);

    (void)state;
    kill(server, SIGKILL);
    assert_goes(helper);
    assert_int_equal(decode(d, jpeg.bytes, jpeg.n, &info), STATUS_PLACE);
    assert_int_equal(decode(d, jpeg.bytes, jpeg.n, &info), STATUS_PLACE);
    assert_int_equal(isolated_decoder_open(isolation, &none), STATUS_PLACE);
    assert_null(none);
    isolated_decoder_close(d);
    isolation_stop(isolation);
}

/* A rank with an idle and a spinning helper, which tells their process ids and the server's. */
static void run_rank(int fd)
{
    struct isolation *isolation = start(300);
    struct isolated_decoder *idle = open_decoder(isolation), *busy = open_decoder(isolation);
    pid_t pids[3] = {isolation_server_pid(isolation), isolated_decoder_pid(idle), isolated_decoder_pid(busy)};
    struct picture_info info;

    (void)!write(fd, pids, sizeof(pids));
    (void)decode(busy, "!hang", 5, &info);
}

static void test_rank_killed(void **state)
{
    int fds[2];
    pid_t pids[3];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    pid_t rank = fork();
    assert_true(rank >= 0);
    if (rank == 0) {
        run_rank(fds[1]);
        _exit(0);
    }
    close(fds[1]);
    assert_int_equal(read(fds[0], pids, sizeof(pids)), sizeof(pids));
    close(fds[0]);
    sleep_ms(200);
    for (int i = 0; i < 3; i++)
        assert_false(is_gone(pids[i]));
    kill(rank, SIGKILL);
    assert_int_equal(waitpid(rank, NULL, 0), rank);
    for (int i = 0; i < 3; i++)
        assert_goes(pids[i]);
}

/* Two threads, with pictures that crash among them: each gets its own answers. */
struct thread_work {
    struct isolation *isolation;
    int index;
    atomic_int n_wrong;
};

static void *decode_many(void *argument)
{
    struct thread_work *w = argument;
    struct file_bytes own = w->index == 0 ? make_png(300, 200) : make_webp(400, 100);
    struct isolated_decoder *d = NULL;
    struct picture_info info;
    int width = w->index == 0 ? 300 : 400;

    if (isolated_decoder_open(w->isolation, &d) != STATUS_OK) {
        w->n_wrong++;
        d = NULL;
    }
    for (int i = 0; d != NULL && i < 60; i++) {
        enum status status = decode(d, own.bytes, own.n, &info);
        w->n_wrong += status != STATUS_OK || info.status != ITEM_OK || info.width != width;
        if (i % 20 == 10) {
            status = decode(d, "!rc", 3, &info);
            w->n_wrong += status != STATUS_OK || info.status != ITEM_DECODER_CRASHED;
        }
    }
    isolated_decoder_close(d);
    free(own.bytes);
    return NULL;
}

static void test_two_threads(void **state)
{
    struct isolation *isolation = start(30);
    struct thread_work work[2] = {{isolation, 0, 0}, {isolation, 1, 0}};
    pthread_t threads[2];

    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, decode_many, &work[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(work[0].n_wrong, 0);
    assert_int_equal(work[1].n_wrong, 0);
    assert_int_equal(isolation_replaced(isolation), 12);
    isolation_stop(isolation);
}

static int n_open_files(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int n = 0;

    assert_non_null(folder);
    while (readdir(folder) != NULL)
        n++;
    closedir(folder);
    return n;
}

/* Neither descriptors nor processes pile up, whatever happens to helpers. */
static void test_nothing_is_left(void **state)
{
    int before = n_open_files();
    struct isolation *isolation = start(30);
    struct isolated_decoder *d = open_decoder(isolation);
    struct picture_info info;
    pid_t server = isolation_server_pid(isolation);
    int with_helper = n_open_files();

    (void)state;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(decode(d, "!garbage", 8, &info), STATUS_OK);
        assert_decodes(d);
    }
    assert_int_equal(n_open_files(), with_helper);
    pid_t helper = isolated_decoder_pid(d);
    isolated_decoder_close(d);
    assert_int_equal(kill(helper, 0), -1); /* reaped, not only dead */
    assert_int_equal(errno, ESRCH);
    isolation_stop(isolation);
    assert_int_equal(kill(server, 0), -1);
    assert_int_equal(n_open_files(), before);
}

static void test_requests_out_of_range(void **state)
{
    struct isolation *isolation = start(30);
    struct isolated_decoder *d = open_decoder(isolation);
    struct picture_options options = picture_options();
    struct picture_info info;
    uint8_t crop[CROP_BYTES], *large = calloc(1, (1 << 20) + 1);

    (void)state;
    assert_non_null(large);
    assert_int_equal(isolated_decoder_decode(d, large, (1 << 20) + 1, &options, crop, &info), STATUS_INPUT);
    assert_int_equal(isolated_decoder_decode(d, large, 1 << 20, &options, crop, &info), STATUS_OK);
    assert_int_equal(info.status, ITEM_UNSUPPORTED);
    options.size = SIZE + 1;
    assert_int_equal(isolated_decoder_decode(d, large, 9, &options, crop, &info), STATUS_INPUT);
    options.size = 0;
    assert_int_equal(isolated_decoder_decode(d, large, 9, &options, crop, &info), STATUS_INPUT);
    assert_decodes(d);
    free(large);
    isolated_decoder_close(d);
    isolation_stop(isolation);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_helper_killed_between_pictures),
        cmocka_unit_test(test_signals_of_the_group),
        cmocka_unit_test(test_helper_killed_while_decoding),
        cmocka_unit_test(test_silent_helper),
        cmocka_unit_test(test_stopped_helper_is_not_late),
        cmocka_unit_test(test_server_killed),
        cmocka_unit_test(test_rank_killed),
        cmocka_unit_test(test_two_threads),
        cmocka_unit_test(test_nothing_is_left),
        cmocka_unit_test(test_requests_out_of_range),
    };
    jpeg = make_jpeg(300, 200, false);
    int n_failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(jpeg.bytes);
    return n_failed;
}
