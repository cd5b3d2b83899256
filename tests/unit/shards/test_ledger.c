/* The ledger: which parts are there, whose, and what dead attempts left. */
#include "support.h"

#include "base/file.h"
#include "shards/ledger.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char ours[] = "0123456789abcdef0123456789abcdef";
static const char theirs[] = "fedcba98765432100123456789abcdef";

static void put(uint64_t shard, const char *fingerprint, const char *suffix)
{
    char path[LEDGER_PATH_SIZE + 64];

    assert_int_equal(ledger_part_folder(support_path("out"), shard, path), STATUS_OK);
    assert_int_equal(file_make_folders(path), STATUS_OK);
    assert_int_equal(ledger_part_path(support_path("out"), shard, fingerprint, path), STATUS_OK);
    strcat(path, suffix);
    assert_int_equal(file_write(path, "x", 1), STATUS_OK);
}

static void part_paths_are_as_promised(void **state)
{
    char path[LEDGER_PATH_SIZE];

    (void)state;
    assert_int_equal(ledger_part_path("/out", 1234567, ours, path), STATUS_OK);
    assert_string_equal(path, "/out/parts/1234/shard-01234567-0123456789abcdef.h5");
    assert_int_equal(ledger_part_path("/out", 7, ours, path), STATUS_OK);
    assert_string_equal(path, "/out/parts/0000/shard-00000007-0123456789abcdef.h5");
    assert_int_equal(ledger_part_path("/out", 7, "0123", path), STATUS_INTERNAL);
}

static void scan_finds_what_is_done(void **state)
{
    struct ledger ledger;
    char foreign[LEDGER_PATH_SIZE];
    uint64_t *missing = NULL, n_missing = 0;

    (void)state;
    assert_int_equal(ledger_scan(support_path("out"), ours, 5, &ledger, foreign), STATUS_OK);
    assert_int_equal(ledger.n_done, 0);
    ledger_free(&ledger);

    put(0, ours, "");
    put(999, ours, "");
    put(1000, ours, "");
    put(2001, ours, "");
    put(3, ours, ".tmp-00ff00ff00ff00ff");
    put(4, theirs, ".tmp-00ff00ff00ff00ff"); /* another run's leftover is no part */
    assert_int_equal(file_write(support_path("out/parts/0000/notes.txt"), "x", 1), STATUS_OK);
    assert_int_equal(file_write(support_path("out/parts/0000/shard-1-0123456789abcdef.h5"), "x", 1),
                     STATUS_OK);
    assert_int_equal(file_write(support_path("out/parts/README"), "x", 1), STATUS_OK);
    assert_int_equal(ledger_scan(support_path("out"), ours, 2002, &ledger, foreign), STATUS_OK);
    assert_string_equal(foreign, "");
    assert_int_equal(ledger.n_done, 4);
    assert_int_equal(ledger.n_leftover, 2);
    assert_true(ledger_is_done(&ledger, 0) && ledger_is_done(&ledger, 999) && ledger_is_done(&ledger, 1000) &&
                ledger_is_done(&ledger, 2001));
    assert_false(ledger_is_done(&ledger, 1) || ledger_is_done(&ledger, 3) || ledger_is_done(&ledger, 2000));
    assert_int_equal(ledger_missing(&ledger, &missing, &n_missing), STATUS_OK);
    assert_int_equal(n_missing, 1998);
    assert_int_equal(missing[0], 1);
    assert_int_equal(missing[997], 998);
    assert_int_equal(missing[998], 1001);
    assert_int_equal(missing[1997], 2000);
    free(missing);
    ledger_free(&ledger);
}

static void foreign_parts_are_named(void **state)
{
    struct ledger ledger;
    char foreign[LEDGER_PATH_SIZE];

    (void)state;
    put(1, ours, "");
    put(2, theirs, "");
    assert_int_equal(ledger_scan(support_path("out"), ours, 5, &ledger, foreign), STATUS_MISMATCH);
    assert_non_null(strstr(foreign, "out/parts/0000/shard-00000002-fedcba9876543210.h5"));
    unlink(foreign);
    assert_int_equal(ledger_scan(support_path("out"), ours, 5, &ledger, foreign), STATUS_OK);
    ledger_free(&ledger);
    assert_int_equal(ledger_scan(support_path("out"), ours, 1, &ledger, foreign), STATUS_MISMATCH);
    assert_non_null(strstr(foreign, "shard-00000001"));

    /* A part moved to another folder would be found by nobody who looks for it by name. */
    assert_int_equal(file_make_folders(support_path("out/parts/0001")), STATUS_OK);
    assert_int_equal(file_write(support_path("out/parts/0001/shard-00000003-0123456789abcdef.h5"), "x", 1),
                     STATUS_OK);
    assert_int_equal(ledger_scan(support_path("out"), ours, 5, &ledger, foreign), STATUS_MISMATCH);
    assert_non_null(strstr(foreign, "0001/shard-00000003"));
}

static void leftovers_are_removed_and_nothing_else(void **state)
{
    struct ledger ledger;
    char foreign[LEDGER_PATH_SIZE];
    uint64_t n = 0;

    (void)state;
    assert_int_equal(ledger_remove_leftovers(support_path("out"), &n), STATUS_OK);
    put(1, ours, "");
    put(2, ours, ".tmp-1");
    put(3000, ours, ".tmp-2");
    assert_int_equal(file_write(support_path("out/parts/0000/mine.tmp-3"), "x", 1), STATUS_OK);
    assert_int_equal(ledger_remove_leftovers(support_path("out"), &n), STATUS_OK);
    assert_int_equal(n, 2);
    assert_int_equal(access(support_path("out/parts/0000/mine.tmp-3"), F_OK), 0);
    assert_int_equal(ledger_scan(support_path("out"), ours, 5000, &ledger, foreign), STATUS_OK);
    assert_int_equal(ledger.n_done, 1);
    ledger_free(&ledger);
}

/* Moved, never deleted; twice is fine; the scan no longer counts it. */
static void bad_parts_are_set_aside(void **state)
{
    struct ledger ledger;
    char foreign[LEDGER_PATH_SIZE], path[LEDGER_PATH_SIZE], *bytes;
    glob_t found;
    size_t size;

    (void)state;
    put(5, ours, "");
    put(6, ours, "");
    assert_int_equal(ledger_set_aside(support_path("out"), 5, ours, "it is cut short"), STATUS_OK);
    assert_int_equal(ledger_scan(support_path("out"), ours, 10, &ledger, foreign), STATUS_OK);
    assert_int_equal(ledger.n_done, 1);
    assert_false(ledger_is_done(&ledger, 5));
    ledger_free(&ledger);
    assert_int_equal(ledger_set_aside(support_path("out"), 5, ours, "it is cut short"), STATUS_OK);
    put(5, ours, "");
    assert_int_equal(ledger_set_aside(support_path("out"), 5, ours, "again"), STATUS_OK);

    assert_int_equal(
        glob(support_path("out/set-aside/"
                          "shard-00000005-0123456789abcdef.h5.20??????T??????Z-????????????????"),
             0, NULL, &found),
        0);
    assert_int_equal(found.gl_pathc, 2);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        assert_int_equal(file_read(found.gl_pathv[i], 10, &bytes, &size), STATUS_OK);
        assert_string_equal(bytes, "x");
        free(bytes);
    }
    globfree(&found);

    /* Where it cannot be moved, it says so and the part stays. */
    assert_int_equal(rename(support_path("out/set-aside"), support_path("out/kept")), 0);
    assert_int_equal(file_write(support_path("out/set-aside"), "x", 1), STATUS_OK);
    assert_int_not_equal(ledger_set_aside(support_path("out"), 6, ours, "torn"), STATUS_OK);
    assert_int_equal(ledger_part_path(support_path("out"), 6, ours, path), STATUS_OK);
    assert_int_equal(access(path, F_OK), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, support_setup, support_teardown)
    const struct CMUnitTest tests[] = {
        T(part_paths_are_as_promised), T(scan_finds_what_is_done),
        T(foreign_parts_are_named),    T(leftovers_are_removed_and_nothing_else),
        T(bad_parts_are_set_aside),
    };
#undef T

    return cmocka_run_group_tests_name("ledger", tests, NULL, NULL);
}
