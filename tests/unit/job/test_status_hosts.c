/* Which hosts are left out. */
#include "job/status_hosts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* "A: n1 n2 n3 n4" took part. */
static void began(struct host_table *table, const char *attempt, int n_hosts)
{
    char host[16];

    for (int i = 1; i <= n_hosts; i++) {
        snprintf(host, sizeof(host), "n%d", i);
        assert_int_equal(host_table_begin(table, attempt, host), STATUS_OK);
        assert_int_equal(host_table_begin(table, attempt, host), STATUS_OK); /* a second rank */
    }
}

static void failed(struct host_table *table, const char *attempt, const char *host, enum host_fault fault)
{
    assert_int_equal(host_table_fault(table, attempt, host, fault), STATUS_OK);
}

static const struct host_record *find(const struct host_table *table, const char *host)
{
    for (size_t i = 0; i < table->names.n; i++)
        if (strcmp(table->records[i].name, host) == 0)
            return &table->records[i];
    fail_msg("no host %s", host);
    return NULL;
}

static void test_twice(void **state)
{
    struct host_table table = {0};
    (void)state;

    began(&table, "1/0", 4);
    began(&table, "1/1", 4);
    began(&table, "1/2", 4);
    failed(&table, "1/0", "n2", HOST_NODE_FAILED);
    failed(&table, "1/0", "n2", HOST_STALLED); /* the same attempt: once */
    failed(&table, "1/0", "n3", HOST_STALLED);
    failed(&table, "1/1", "n3", HOST_SHARD_FAILED);
    failed(&table, "1/2", "n4", HOST_PLACE);
    assert_int_equal(host_table_judge(&table, NULL), STATUS_OK);
    assert_int_equal(find(&table, "n1")->n_attempts_failed, 0);
    assert_int_equal(find(&table, "n2")->n_attempts_failed, 1);
    assert_int_equal(find(&table, "n2")->n_faults[HOST_STALLED], 1);
    assert_int_equal(find(&table, "n3")->n_attempts_failed, 2);
    assert_true(find(&table, "n3")->left_out);
    assert_false(find(&table, "n2")->left_out || find(&table, "n4")->left_out ||
                 find(&table, "n1")->left_out);
    host_table_free(&table);
}

static void test_device(void **state)
{
    struct host_table table = {0};
    (void)state;

    began(&table, "1/0", 1);
    failed(&table, "1/0", "n1", HOST_DEVICE_FAILED);
    assert_int_equal(host_table_judge(&table, "1/0"), STATUS_OK);
    assert_true(find(&table, "n1")->left_out);
    assert_int_equal(find(&table, "n1")->n_attempts_failed, 0);
    host_table_free(&table);
}

/* More than half of an attempt's hosts failed: it speaks against none. */
static void test_majority(void **state)
{
    struct host_table table = {0};
    (void)state;

    for (int i = 0; i < 3; i++) {
        const char *attempt = i == 0 ? "1/0" : i == 1 ? "1/1" : "1/2";
        began(&table, attempt, 4);
        failed(&table, attempt, "n1", HOST_PLACE);
        failed(&table, attempt, "n2", HOST_PLACE);
        if (i == 2)
            failed(&table, attempt, "n3", HOST_PLACE);
    }
    assert_int_equal(host_table_judge(&table, NULL), STATUS_OK);
    assert_int_equal(find(&table, "n1")->n_attempts_failed, 2); /* half is not more than half */
    assert_int_equal(find(&table, "n3")->n_attempts_failed, 0);
    host_table_free(&table);
}

/* A rank's fault ends the others without a word. */
static void test_silence(void **state)
{
    struct host_table table = {0};
    (void)state;

    began(&table, "1/0", 4);
    failed(&table, "1/0", "n1", HOST_SILENT);
    began(&table, "1/1", 4);
    failed(&table, "1/1", "n1", HOST_SILENT);
    failed(&table, "1/1", "n2", HOST_SILENT);
    failed(&table, "1/1", "n3", HOST_SILENT);
    failed(&table, "1/1", "n4", HOST_STALLED);
    failed(&table, "1/1", "n4", HOST_SILENT);
    assert_int_equal(host_table_judge(&table, NULL), STATUS_OK);
    assert_int_equal(find(&table, "n1")->n_attempts_failed, 1);
    assert_int_equal(find(&table, "n2")->n_attempts_failed, 0);
    assert_int_equal(find(&table, "n4")->n_attempts_failed, 1);
    host_table_free(&table);
}

static void test_running(void **state)
{
    struct host_table table = {0};
    (void)state;

    began(&table, "1/0", 4);
    began(&table, "1/1", 4);
    failed(&table, "1/0", "n1", HOST_STALLED);
    failed(&table, "1/1", "n1", HOST_STALLED);
    assert_int_equal(host_table_leave_out(&table, "1/0", "n8"), STATUS_OK);
    assert_int_equal(host_table_leave_out(&table, "1/1", "n9"), STATUS_OK);
    assert_int_equal(host_table_judge(&table, "1/1"), STATUS_OK);
    assert_int_equal(find(&table, "n1")->n_attempts_failed, 1);
    assert_false(find(&table, "n8")->left_out_now);
    assert_true(find(&table, "n9")->left_out_now);
    host_table_free(&table);
    assert_int_equal(host_table_judge(&table, NULL), STATUS_OK); /* nothing at all */
    host_table_free(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_twice),   cmocka_unit_test(test_device),  cmocka_unit_test(test_majority),
        cmocka_unit_test(test_silence), cmocka_unit_test(test_running),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
