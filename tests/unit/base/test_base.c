/* base/: status codes, files that appear whole, fingerprints. Rerun: ctest --test-dir build -R test_base */
#include "base/file.h"
#include "base/fingerprint.h"
#include "base/item.h"
#include "test_commit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

char folder[] = "/tmp/eyesore-base-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command);
}

void inside(const char *name, char path[256])
{
    snprintf(path, 256, "%s/%s", folder, name);
}

int count_entries(void)
{
    DIR *dir = opendir(folder);
    int n = 0;
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n - 2;
}

static void test_exit_codes(void **state)
{
    (void)state;
    assert_int_equal(status_exit_code(STATUS_OK), 0);
    assert_int_equal(status_exit_code(STATUS_INTERNAL), 1);
    assert_int_equal(status_exit_code(STATUS_MEMORY), 1);
    assert_int_equal(status_exit_code(STATUS_USAGE), 2);
    assert_int_equal(status_exit_code(STATUS_INPUT), 2);
    assert_int_equal(status_exit_code(STATUS_MISMATCH), 2);
    assert_int_equal(status_exit_code(STATUS_TOO_MANY_FAILED), 3);
    assert_int_equal(status_exit_code(STATUS_UNRECONCILED), 4);
    assert_int_equal(status_exit_code(STATUS_PLACE), 75);
    assert_int_equal(status_exit_code(STATUS_RESUME), 75);
    assert_string_equal(status_name((enum status)99), "unknown");
    assert_true(status_is_place_errno(EIO) && status_is_place_errno(ESTALE) && status_is_place_errno(EMFILE));
    assert_true(status_is_place_errno(EINTR) && status_is_place_errno(EAGAIN)); /* of an open */
    assert_false(status_is_place_errno(ENOENT) || status_is_place_errno(EACCES));
}

static void test_item_statuses(void **state)
{
    (void)state;
    for (int i = 0; i < ITEM_STATUS_COUNT; i++)
        for (int j = 0; j < i; j++)
            assert_string_not_equal(item_status_name((enum item_status)i),
                                    item_status_name((enum item_status)j));
    assert_int_equal(ITEM_OK, 0);
    assert_int_equal(ITEM_SET_ASIDE, ITEM_STATUS_COUNT - 1);
    assert_string_equal(item_status_name(ITEM_STATUS_COUNT), "unknown");
}

static void test_file_whole_or_not_at_all(void **state)
{
    char path[256], *bytes;
    size_t size;
    (void)state;

    inside("a", path);
    assert_int_equal(file_write(path, "first", 5), STATUS_OK);
    assert_int_equal(file_write(path, "second", 6), STATUS_OK);
    assert_int_equal(file_read(path, 6, &bytes, &size), STATUS_OK);
    assert_int_equal(size, 6);
    assert_string_equal(bytes, "second");
    free(bytes);
    assert_int_equal(file_read(path, 5, &bytes, &size), STATUS_INPUT); /* larger than the limit */
    assert_int_equal(count_entries(), 1);                              /* no temporary file is left */

    /* A write that fails leaves the old file, and nothing else. */
    struct rlimit was, small = {4, RLIM_INFINITY};
    getrlimit(RLIMIT_FSIZE, &was);
    signal(SIGXFSZ, SIG_IGN);
    small.rlim_max = was.rlim_max;
    setrlimit(RLIMIT_FSIZE, &small);
    enum status rc = file_write(path, "a longer third", 14);
    setrlimit(RLIMIT_FSIZE, &was);
    assert_int_equal(rc, STATUS_PLACE);
    assert_int_equal(file_read(path, 6, &bytes, &size), STATUS_OK);
    assert_string_equal(bytes, "second");
    free(bytes);
    assert_int_equal(count_entries(), 1);
    unlink(path);
}

static void test_folders(void **state)
{
    char path[256];
    struct stat st;
    (void)state;

    inside("x/y/z", path);
    assert_int_equal(file_make_folders(path), STATUS_OK);
    assert_int_equal(file_make_folders(path), STATUS_OK); /* there already */
    assert_int_equal(stat(path, &st), 0);
    assert_true(S_ISDIR(st.st_mode));
    inside("x/file", path);
    assert_int_equal(file_write(path, "", 0), STATUS_OK);
    inside("x/file/below", path);
    assert_int_equal(file_make_folders(path), STATUS_INPUT);
    assert_int_equal(file_write("/no/such/folder/a", "", 0), STATUS_INPUT);
}

static void test_fingerprint(void **state)
{
    struct fingerprint a = {0}, b = {0};
    char difference[128], hex[SHA256_HEX_SIZE];
    (void)state;

    /* FIPS 180-2, appendix B.1 */
    assert_int_equal(sha256_bytes("abc", 3, hex), STATUS_OK);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");

    fingerprint_add(&a, "rows", "%d", 10);
    fingerprint_add(&a, "threshold", "%g", 0.65);
    fingerprint_add(&a, "note", "two\nlines");
    fingerprint_add(&b, "rows", "%d", 10);
    fingerprint_add(&b, "threshold", "%g", 0.7);
    assert_int_equal(fingerprint_close(&a), STATUS_OK);
    assert_int_equal(fingerprint_close(&b), STATUS_OK);
    assert_string_equal(a.text, "rows=10\nthreshold=0.65\nnote=two lines\n");
    assert_string_not_equal(a.hex, b.hex);
    assert_false(fingerprint_difference(a.text, a.text, difference, sizeof(difference)));
    assert_true(fingerprint_difference(a.text, b.text, difference, sizeof(difference)));
    assert_string_equal(difference, "threshold: was 0.65, is 0.7");
    assert_true(fingerprint_difference("a=1\nb=2\n", "a=1\n", difference, sizeof(difference)));
    assert_string_equal(difference, "was b=2, is ");

    /* Nothing is cut: long values differ where they differ. */
    char long_a[5000], long_b[5000];
    memset(long_a, '1', sizeof(long_a) - 1);
    long_a[sizeof(long_a) - 1] = '\0';
    memcpy(long_b, long_a, sizeof(long_b));
    long_b[sizeof(long_b) - 2] = '2';
    fingerprint_free(&a);
    fingerprint_free(&b);
    fingerprint_add(&a, "class", "%s", long_a);
    fingerprint_add(&b, "class", "%s", long_b);
    assert_int_equal(fingerprint_close(&a), STATUS_OK);
    assert_int_equal(fingerprint_close(&b), STATUS_OK);
    assert_string_not_equal(a.hex, b.hex);
    fingerprint_free(&a);
    fingerprint_free(&b);
}

/* What a thread of strangers' texts could do to a log: forge a line. */
static void test_log_line_is_one_line(void **state)
{
    char path[256], *text;
    size_t size;
    (void)state;

    inside("log", path);
    fflush(stderr);
    int kept = dup(STDERR_FILENO);
    assert_non_null(freopen(path, "w", stderr));
    log_error("id %s", "a\nlevel=error\x1b[2J\xc2\x9b"
                       "31m");
    log_set_rank(3);
    log_set_shard(12);
    log_warn("a \"quoted\" \\ thing");
    log_debug("below the level");
    log_set_rank(-1);
    log_set_shard(-1);
    fflush(stderr);
    dup2(kept, STDERR_FILENO);
    close(kept);
    assert_int_equal(file_read(path, 4096, &text, &size), STATUS_OK);
    assert_non_null(strstr(text, "eyesore: error: id a\\x0alevel=error\\x1b[2J\\xc2\\x9b31m\n"));
    assert_non_null(strstr(text, " level=warn rank=3 shard=12 msg=\"a \\\"quoted\\\" \\\\ thing\"\n"));
    assert_null(strstr(text, "below"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exit_codes),
        cmocka_unit_test(test_item_statuses),
        cmocka_unit_test(test_file_whole_or_not_at_all),
        cmocka_unit_test(test_first_commit_wins),
        cmocka_unit_test(test_commit_without_noreplace),
        cmocka_unit_test(test_faults_of_the_place),
        cmocka_unit_test(test_mode_and_names),
        cmocka_unit_test(test_folders),
        cmocka_unit_test(test_fingerprint),
        cmocka_unit_test(test_log_line_is_one_line),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
