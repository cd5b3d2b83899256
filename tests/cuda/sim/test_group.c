/*
 * Ranks joined over NCCL (the simulated one, between real processes): a broadcast in pieces, sums, a rank
 * that never comes, a rank that dies in the middle, a fault of the library. Each rank is a process, as under
 * mpirun.
 */
#include "kernels/cuda/device.h"
#include "kernels/cuda/group.h"
#include "tests/cuda/sim/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define N_RANKS 2
#define LARGE ((size_t)40 << 20) /* more than two pieces */

/* What a rank does; its answer is a status, or 100 and more for what must not be. */
typedef int rank_body(int rank, const unsigned char *id);

enum { WRONG_VALUES = 100, LEFT_BEHIND };

static int run_rank(rank_body *body, int rank, const unsigned char *id)
{
    struct sim_options how = {1 + (unsigned)rank, N_RANKS, (size_t)256 << 20, "Simulated GPU"};

    alarm(60);
    sim_reset(&how);
    if (device_choose(rank) != STATUS_OK)
        return STATUS_INTERNAL;
    int answer = body(rank, id);
    return answer == STATUS_OK && sim_count_leaks() != 0 ? LEFT_BEHIND : answer;
}

/* OUT answers: [N_RANKS], what each process exited with; 200 where a signal ended it. */
static void run_ranks(rank_body *body, int *answers)
{
    unsigned char id[GROUP_ID_BYTES];
    pid_t pids[N_RANKS];

    assert_int_equal(group_make_id(id), STATUS_OK);
    for (int rank = 0; rank < N_RANKS; rank++) {
        fflush(NULL);
        pids[rank] = fork();
        assert_true(pids[rank] >= 0);
        if (pids[rank] == 0)
            _exit(run_rank(body, rank, id));
    }
    for (int rank = 0; rank < N_RANKS; rank++) {
        int status;
        assert_int_equal(waitpid(pids[rank], &status, 0), pids[rank]);
        answers[rank] = WIFEXITED(status) ? WEXITSTATUS(status) : 200;
    }
}

static uint64_t counter(int rank, int i)
{
    return (uint64_t)(rank + 1) * 1000003u + (uint64_t)i * (uint64_t)i + (i == 7 ? (uint64_t)1 << 60 : 0);
}

static int broadcast_and_sum(int rank, const unsigned char *id)
{
    enum status rc = STATUS_OK;
    struct group *group = NULL;
    uint64_t values[200];
    unsigned char *bytes = malloc(LARGE);
    int answer = STATUS_OK;

    if (bytes == NULL)
        return STATUS_MEMORY;
    for (size_t i = 0; i < LARGE; i++)
        bytes[i] = rank == 0 ? (unsigned char)(i * 2654435761u >> 13) : 0;
    TRY(group_open(rank, &group));
    TRY(group_join(group, id, N_RANKS));
    TRY(group_broadcast(group, bytes, LARGE));
    for (size_t i = 0; i < LARGE; i++)
        if (bytes[i] != (unsigned char)(i * 2654435761u >> 13))
            answer = WRONG_VALUES;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 200; i++)
            values[i] = counter(rank, i + round);
        TRY(group_sum(group, values, 200));
        for (int i = 0; i < 200; i++)
            if (values[i] != counter(0, i + round) + counter(1, i + round))
                answer = WRONG_VALUES;
    }
out:
    group_close(group);
    free(bytes);
    return rc == STATUS_OK ? answer : (int)rc;
}

static void test_broadcast_and_sum(void **state)
{
    int answers[N_RANKS];
    (void)state;

    run_ranks(broadcast_and_sum, answers);
    for (int rank = 0; rank < N_RANKS; rank++)
        assert_int_equal(answers[rank], STATUS_OK);
}

static int never_comes(int rank, const unsigned char *id)
{
    enum status rc = STATUS_OK;
    struct group *group = NULL;

    TRY(group_open(rank, &group));
    if (rank == 0)
        TRY(group_join(group, id, N_RANKS));
out:
    group_close(group);
    return (int)rc;
}

static int dies(int rank, const unsigned char *id)
{
    enum status rc = STATUS_OK;
    struct group *group = NULL;
    unsigned char bytes[1000] = {0};

    TRY(group_open(rank, &group));
    TRY(group_join(group, id, N_RANKS));
    TRY(group_broadcast(group, bytes, sizeof(bytes)));
    if (rank == 1)
        _exit(0); /* without a word */
    TRY(group_broadcast(group, bytes, sizeof(bytes)));
out:
    if (rc != STATUS_OK && group != NULL && group_broadcast(group, bytes, sizeof(bytes)) != STATUS_PLACE)
        rc = STATUS_INTERNAL; /* a dead group stays dead */
    group_close(group);
    return (int)rc;
}

static void test_a_rank_that_is_missing(void **state)
{
    int answers[N_RANKS];
    (void)state;

    setenv("EYESORE_NCCL_TIMEOUT_S", "3", 1);
    setenv("SIM_NCCL_TIMEOUT_MS", "2000", 1);
    run_ranks(never_comes, answers);
    assert_int_equal(answers[0], STATUS_PLACE);
    run_ranks(dies, answers);
    assert_int_equal(answers[0], STATUS_PLACE);
    assert_int_equal(answers[1], 0);
    unsetenv("EYESORE_NCCL_TIMEOUT_S");
    unsetenv("SIM_NCCL_TIMEOUT_MS");
}

static int library_fails(int rank, const unsigned char *id)
{
    enum status rc = STATUS_OK;
    struct group *group = NULL;
    uint64_t value = 1;

    TRY(group_open(rank, &group));
    TRY(group_join(group, id, N_RANKS));
    if (rank == 1)
        sim_fault("ncclAllReduce", 1, 6 /* ncclRemoteError */);
    TRY(group_sum(group, &value, 1));
out:
    group_close(group);
    return rc == STATUS_PLACE && sim_count_leaks() != 0 ? LEFT_BEHIND : (int)rc;
}

static void test_a_call_that_fails(void **state)
{
    int answers[N_RANKS];
    (void)state;

    setenv("EYESORE_NCCL_TIMEOUT_S", "3", 1);
    setenv("SIM_NCCL_TIMEOUT_MS", "2000", 1);
    run_ranks(library_fails, answers);
    assert_int_equal(answers[0], STATUS_PLACE); /* its peer is gone */
    assert_int_equal(answers[1], STATUS_PLACE);
    unsetenv("EYESORE_NCCL_TIMEOUT_S");
    unsetenv("SIM_NCCL_TIMEOUT_MS");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_broadcast_and_sum),
        cmocka_unit_test(test_a_rank_that_is_missing),
        cmocka_unit_test(test_a_call_that_fails),
    };
    return cmocka_run_group_tests_name("ranks over the simulated NCCL", tests, NULL, NULL);
}
