/* The simulated NCCL itself: what goes wrong is reported to every rank, in time, and nothing is left behind.
 */
#include "tests/cuda/sim/nccl/test_scene.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { IMPATIENT_MS = 300 };

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void be_patient(int ms)
{
    char text[16];

    snprintf(text, sizeof(text), "%d", ms);
    setenv("SIM_NCCL_TIMEOUT_MS", text, 1);
}

/* A collective in which rank 1 wants `other`, and what becomes of it. */
static int want(const struct actor *actor, bool other_size)
{
    ncclComm_t comm;
    ncclResult_t error;
    int32_t *device;

    OK(ncclCommInitRank(&comm, actor->n_ranks, actor->id, actor->rank));
    OK(cudaMalloc((void **)&device, 64));
    if (actor->rank == 1 && other_size)
        OK(ncclAllReduce(device, device, 2, ncclInt32, ncclSum, comm, NULL));
    else if (actor->rank == 1)
        OK(ncclBroadcast(device, device, 3, ncclInt32, 0, comm, NULL));
    else
        OK(ncclAllReduce(device, device, 3, ncclInt32, ncclSum, comm, NULL));
    OK(cudaStreamSynchronize(NULL)); /* the stream goes on */
    OK(ncclCommGetAsyncError(comm, &error));
    NEED(error == ncclInvalidUsage || error == ncclRemoteError);
    NEED(strlen(ncclGetLastError(comm)) > 0);
    NEED(ncclAllReduce(device, device, 3, ncclInt32, ncclSum, comm, NULL) == error);
    OK(ncclCommAbort(comm));
    OK(cudaFree(device));
    return 0;
}

static int scene_other_size(const struct actor *actor)
{
    return want(actor, true);
}

static int scene_other_kind(const struct actor *actor)
{
    return want(actor, false);
}

static void test_mismatch(void **state)
{
    (void)state;
    be_patient(20000);
    scene_play(2, scene_other_size);
    scene_play(2, scene_other_kind);
}

/* Rank 1 never joins. */
static int scene_missing(const struct actor *actor)
{
    ncclComm_t comm;
    double start = now_s();

    if (actor->rank == 1)
        return 0;
    NEED(ncclCommInitRank(&comm, actor->n_ranks, actor->id, actor->rank) == ncclRemoteError);
    NEED(comm == NULL);
    NEED(now_s() - start < 5);
    return 0;
}

static int scene_missing_nonblocking(const struct actor *actor)
{
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    ncclComm_t comm;
    ncclResult_t result = ncclInProgress;

    if (actor->rank == 1)
        return 0;
    config.blocking = 0;
    NEED(ncclCommInitRankConfig(&comm, actor->n_ranks, actor->id, actor->rank, &config) == ncclInProgress);
    while (result == ncclInProgress)
        OK(ncclCommGetAsyncError(comm, &result));
    NEED(result == ncclRemoteError);
    OK(ncclCommAbort(comm));
    return 0;
}

static void test_missing(void **state)
{
    (void)state;
    be_patient(IMPATIENT_MS);
    scene_play(2, scene_missing);
    scene_play(2, scene_missing_nonblocking);
}

/* Rank 1 does not come to the collective: it has left, or it stays and does nothing. */
static int absent(const struct actor *actor, bool leaves)
{
    ncclComm_t comm;
    ncclResult_t error;
    int32_t *device;
    double start = now_s();

    OK(ncclCommInitRank(&comm, actor->n_ranks, actor->id, actor->rank));
    if (actor->rank == 1 && !leaves)
        nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
    if (actor->rank == 1)
        return (int)ncclCommDestroy(comm);
    OK(cudaMalloc((void **)&device, 64));
    OK(ncclAllReduce(device, device, 3, ncclInt32, ncclSum, comm, NULL));
    OK(cudaStreamSynchronize(NULL));
    OK(ncclCommGetAsyncError(comm, &error));
    NEED(error == ncclRemoteError);
    NEED(ncclCommFinalize(comm) == ncclRemoteError);
    OK(ncclCommDestroy(comm));
    OK(cudaFree(device));
    NEED(now_s() - start < 5);
    return 0;
}

static int scene_leaves(const struct actor *actor)
{
    return absent(actor, true);
}

static int scene_stays_away(const struct actor *actor)
{
    return absent(actor, false);
}

static void test_absent(void **state)
{
    (void)state;
    be_patient(20000);
    scene_play(2, scene_leaves);
    be_patient(IMPATIENT_MS);
    scene_play(2, scene_stays_away);
}

/* Wrong arguments: of one rank, so that nobody waits; and the same of two. */
static void test_arguments(void **state)
{
    ncclUniqueId id, nonsense = {{0}};
    ncclConfig_t blank = {0};
    ncclComm_t comm;
    float *device;
    (void)state;

    sim_reset(NULL);
    assert_int_equal(ncclGetUniqueId(&id), ncclSuccess);
    assert_int_equal(ncclCommInitRank(&comm, 1, nonsense, 0), ncclInvalidArgument);
    assert_int_equal(ncclCommInitRank(&comm, 1, id, 1), ncclInvalidArgument);
    assert_int_equal(ncclCommInitRank(&comm, 0, id, 0), ncclInvalidArgument);
    assert_int_equal(ncclCommInitRankConfig(&comm, 1, id, 0, &blank), ncclInvalidArgument);
    assert_int_equal(ncclCommInitRank(&comm, 1, id, 0), ncclSuccess);
    assert_int_equal(cudaMalloc((void **)&device, 64), cudaSuccess);
    assert_int_equal(ncclBroadcast(NULL, device, 4, ncclFloat, 0, comm, NULL), ncclInvalidArgument);
    assert_int_equal(ncclBroadcast(device, device, 4, ncclFloat, 1, comm, NULL), ncclInvalidArgument);
    assert_int_equal(ncclAllReduce(device, device, 4, ncclFloat, ncclAvg, comm, NULL), ncclInvalidArgument);
    assert_int_equal(ncclAllReduce(device, device, 4, ncclFloat, ncclSum, NULL, NULL), ncclInvalidArgument);
    assert_int_equal(ncclAllReduce(device, device, 0, ncclFloat, ncclSum, comm, NULL), ncclSuccess);
    assert_int_equal(ncclBcast(device, 4, ncclFloat, 0, comm, NULL), ncclSuccess);
    assert_int_equal(ncclCommFinalize(comm), ncclSuccess);
    assert_int_equal(ncclBcast(device, 4, ncclFloat, 0, comm, NULL), ncclInvalidArgument);
    assert_int_equal(ncclCommDestroy(comm), ncclSuccess);
    assert_int_equal(cudaFree(device), cudaSuccess);
    assert_int_equal(sim_count_leaks(), 0);
}

static int scene_one_device(const struct actor *actor)
{
    ncclComm_t comm;

    OK(cudaSetDevice(0));
    ncclResult_t result = ncclCommInitRank(&comm, actor->n_ranks, actor->id, actor->rank);
    NEED(result == ncclInvalidUsage || result == ncclRemoteError);
    return 0;
}

static int scene_other_number(const struct actor *actor)
{
    ncclComm_t comm;

    ncclResult_t result = ncclCommInitRank(&comm, 2 + actor->rank, actor->id, actor->rank);
    NEED(result == ncclInvalidArgument || result == ncclRemoteError);
    return 0;
}

static int scene_same_rank(const struct actor *actor)
{
    ncclComm_t comm;

    ncclResult_t result = ncclCommInitRank(&comm, 2, actor->id, 0);
    NEED(result == ncclInvalidUsage || result == ncclRemoteError);
    return 0;
}

static void test_disagreements(void **state)
{
    (void)state;
    be_patient(IMPATIENT_MS); /* who comes after the others gave up finds nobody */
    scene_play(2, scene_one_device);
    scene_play(2, scene_other_number);
    scene_play(2, scene_same_rank);
}

/* What a program does with NCCL, up to the first error, which it returns. */
static int whole_pass(void)
{
    ncclUniqueId id;
    ncclComm_t comm = NULL;
    ncclResult_t async = ncclSuccess;
    void *device = NULL;
    int result = (int)ncclGetUniqueId(&id), end;

    if (result == 0)
        result = (int)ncclCommInitRank(&comm, 1, id, 0);
    if (result == 0)
        result = (int)cudaMalloc(&device, 64);
    if (result == 0)
        result = (int)ncclGroupStart();
    if (result == 0) {
        result = (int)ncclBroadcast(device, device, 8, ncclUint64, 0, comm, NULL);
        end = (int)ncclGroupEnd();
        result = result == 0 ? end : result;
    }
    if (result == 0)
        result = (int)ncclAllReduce(device, device, 8, ncclUint64, ncclSum, comm, NULL);
    if (result == 0)
        result = (int)cudaStreamSynchronize(NULL);
    if (result == 0)
        result = (int)ncclCommGetAsyncError(comm, &async);
    if (result == 0)
        result = (int)async;
    end = comm == NULL ? 0 : result == 0 ? (int)ncclCommDestroy(comm) : (int)ncclCommAbort(comm);
    result = result == 0 ? end : result;
    end = (int)cudaFree(device);
    return result == 0 ? end : result;
}

static void test_faults(void **state)
{
    int n = 1;
    (void)state;

    be_patient(IMPATIENT_MS);
    for (;; n++) {
        sim_reset(NULL);
        sim_fault("*", n, 0);
        int result = whole_pass();
        if (!sim_fault_happened())
            break;
        assert_int_not_equal(result, 0);
        assert_int_equal(sim_count_leaks(), 0);
    }
    assert_true(n > 10);
    sim_fault("ncclAllReduce", 1, ncclRemoteError);
    assert_int_equal(whole_pass(), ncclRemoteError);
    sim_fault("*", 0, 0);
    sim_reset(NULL);
    for (int item = 1; item <= 2; item++) { /* a device that breaks where a collective runs */
        sim_fault("exec", item, cudaErrorIllegalAddress);
        assert_int_equal(whole_pass(), cudaErrorIllegalAddress);
        assert_int_equal(sim_count_leaks(), 0);
        sim_reset(NULL);
    }
}

/* A device that breaks is seen by the other rank, and soon. */
static int scene_broken(const struct actor *actor)
{
    ncclComm_t comm;
    ncclResult_t error;
    void *device;
    double start = now_s();

    OK(ncclCommInitRank(&comm, actor->n_ranks, actor->id, actor->rank));
    OK(cudaMalloc(&device, 64));
    if (actor->rank == 1)
        sim_fault("exec", 1, cudaErrorIllegalAddress);
    OK(ncclAllReduce(device, device, 8, ncclUint64, ncclSum, comm, NULL));
    cudaError_t result = cudaStreamSynchronize(NULL);
    OK(ncclCommGetAsyncError(comm, &error));
    NEED(actor->rank == 1 ? result == cudaErrorIllegalAddress && error == ncclUnhandledCudaError
                          : result == cudaSuccess && error == ncclRemoteError);
    NEED(now_s() - start < 5);
    OK(ncclCommAbort(comm));
    cudaFree(device);
    return 0;
}

static void test_broken(void **state)
{
    (void)state;
    be_patient(20000);
    scene_play_as_processes(2, scene_broken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mismatch),  cmocka_unit_test(test_missing),       cmocka_unit_test(test_absent),
        cmocka_unit_test(test_arguments), cmocka_unit_test(test_disagreements), cmocka_unit_test(test_faults),
        cmocka_unit_test(test_broken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
