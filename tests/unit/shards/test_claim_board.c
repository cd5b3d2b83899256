/*
 * The board of missing shards with hosts and a clock of the test's own. By hand:
 * ctest --test-dir build -R claim_board --output-on-failure
 */
#include "shards/claim_board.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Ranks 0 and 1 on host 100, rank 2 on 101, rank 3 on 102, rank 4 on 103. */
static const uint64_t hosts[] = {100, 100, 101, 102, 103};
#define N_RANKS 5

static struct claim_board *open_board(const uint64_t *missing, uint64_t n,
                                      const struct claim_failure *failures, size_t n_failures)
{
    struct claim_options options = {.missing = missing,
                                    .n_missing = n,
                                    .failures = failures,
                                    .n_failures = n_failures,
                                    .set_aside_after = 3,
                                    .reissue_after_s = 10};
    struct claim_board *board = NULL;

    assert_int_equal(claim_board_open(&options, hosts, N_RANKS, &board), STATUS_OK);
    return board;
}

static void expect(struct claim_board *board, int rank, double now_s, enum claim_kind kind, uint64_t shard)
{
    struct claim_answer answer = {.shard = 12345};

    claim_board_pick(board, rank, now_s, &answer);
    assert_int_equal(answer.kind, kind);
    if (kind == CLAIM_SHARD || kind == CLAIM_SET_ASIDE)
        assert_int_equal(answer.shard, shard);
}

static void test_in_order_then_wait_then_none(void **state)
{
    static const uint64_t missing[] = {3, 5, 9};
    struct claim_board *board = open_board(missing, 3, NULL, 0);

    (void)state;
    expect(board, 0, 0, CLAIM_SHARD, 3);
    expect(board, 1, 0, CLAIM_SHARD, 5);
    assert_int_equal(claim_board_unclaimed(board), 1);
    expect(board, 2, 0, CLAIM_SHARD, 9);
    expect(board, 3, 1, CLAIM_WAIT, 0);
    claim_board_hand_back(board, 1, 5);
    expect(board, 3, 1, CLAIM_SHARD, 5);
    claim_board_done(board, 0, 3, 2);
    claim_board_done(board, 2, 9, 2);
    expect(board, 0, 2, CLAIM_WAIT, 0);
    claim_board_done(board, 3, 5, 2);
    expect(board, 0, 2, CLAIM_NONE, 0);
    claim_board_close(board);
}

static void test_failed_goes_elsewhere_and_last(void **state)
{
    static const uint64_t missing[] = {1, 2};
    struct claim_board *board = open_board(missing, 2, NULL, 0);

    (void)state;
    expect(board, 0, 0, CLAIM_SHARD, 1);
    assert_int_equal(claim_board_failed(board, 0, 1), STATUS_OK);
    expect(board, 1, 0, CLAIM_SHARD, 2); /* what has not failed comes first */
    expect(board, 1, 0, CLAIM_WAIT, 0);  /* the same host: others may try it */
    expect(board, 2, 0, CLAIM_SHARD, 1);
    assert_int_equal(claim_board_failed(board, 2, 1), STATUS_OK);
    expect(board, 3, 0, CLAIM_SHARD, 1);
    assert_int_equal(claim_board_failed(board, 3, 1), STATUS_OK);
    expect(board, 1, 0, CLAIM_SET_ASIDE, 1); /* three hosts: anybody gives it up */
    claim_board_done(board, 1, 1, 1);
    claim_board_done(board, 1, 2, 1);
    expect(board, 4, 1, CLAIM_NONE, 0);
    claim_board_close(board);
}

static void test_same_host_again_for_want_of_others(void **state)
{
    static const uint64_t missing[] = {7};
    struct claim_board *board = open_board(missing, 1, NULL, 0);

    (void)state;
    expect(board, 0, 0, CLAIM_SHARD, 7);
    assert_int_equal(claim_board_failed(board, 0, 7), STATUS_OK);
    for (int rank = 2; rank < N_RANKS; rank++)
        claim_board_leave(board, rank);
    expect(board, 1, 0, CLAIM_SHARD, 7);
    assert_int_equal(claim_board_failed(board, 1, 7), STATUS_OK); /* host 100 once more: still one host */
    expect(board, 1, 0, CLAIM_SHARD, 7);
    claim_board_close(board);
}

static void test_failures_of_earlier_attempts(void **state)
{
    static const uint64_t missing[] = {1, 2, 3};
    static const struct claim_failure failures[] = {{1, 100}, {2, 100}, {2, 101},
                                                    {2, 555}, {2, 101}, {99, 100}};
    struct claim_board *board = open_board(missing, 3, failures, 6);

    (void)state;
    expect(board, 0, 0, CLAIM_SHARD, 3);
    expect(board, 0, 0, CLAIM_SET_ASIDE, 2);
    expect(board, 0, 0, CLAIM_WAIT, 0); /* 1 failed on this host */
    expect(board, 2, 0, CLAIM_SHARD, 1);
    claim_board_close(board);
}

static void test_straggler(void **state)
{
    static const uint64_t missing[] = {1, 2, 3};
    struct claim_board *board = open_board(missing, 3, NULL, 0);
    uint64_t shard;

    (void)state;
    expect(board, 0, 0, CLAIM_SHARD, 1);
    expect(board, 1, 0, CLAIM_SHARD, 2);
    expect(board, 1, 0, CLAIM_SHARD, 3);
    claim_board_done(board, 1, 2, 5);
    claim_board_done(board, 1, 3, 5);
    expect(board, 1, 14.9, CLAIM_WAIT, 0);  /* three times the mean of 5 s */
    expect(board, 0, 15.1, CLAIM_WAIT, 0);  /* its own */
    expect(board, 1, 15.1, CLAIM_SHARD, 1); /* as well */
    expect(board, 2, 99, CLAIM_WAIT, 0);    /* two are enough */
    claim_board_done(board, 1, 1, 20);
    assert_false(claim_board_drop(board, 1, &shard));
    assert_true(claim_board_drop(board, 0, &shard));
    assert_int_equal(shard, 1);
    assert_false(claim_board_drop(board, 0, &shard));
    claim_board_done(board, 0, 1, 21); /* it finished all the same: counted once */
    expect(board, 0, 21, CLAIM_NONE, 0);
    claim_board_close(board);
}

static void test_a_leavers_shards_are_free(void **state)
{
    static const uint64_t missing[] = {1, 2};
    struct claim_board *board = open_board(missing, 2, NULL, 0);

    (void)state;
    expect(board, 4, 0, CLAIM_SHARD, 1);
    expect(board, 4, 0, CLAIM_SHARD, 2);
    claim_board_leave(board, 4);
    assert_int_equal(claim_board_unclaimed(board), 2);
    struct claim_answer a, b;
    claim_board_pick(board, 0, 0, &a);
    claim_board_pick(board, 0, 0, &b);
    assert_int_equal(a.kind, CLAIM_SHARD);
    assert_int_equal(b.kind, CLAIM_SHARD);
    assert_int_equal(a.shard + b.shard, 3);
    claim_board_close(board);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_order_then_wait_then_none),
        cmocka_unit_test(test_failed_goes_elsewhere_and_last),
        cmocka_unit_test(test_same_host_again_for_want_of_others),
        cmocka_unit_test(test_failures_of_earlier_attempts),
        cmocka_unit_test(test_straggler),
        cmocka_unit_test(test_a_leavers_shards_are_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
