/* The simulated NCCL itself: what works, with ranks as threads and as processes. */
#include "tests/cuda/sim/nccl/test_scene.h"

#include <stdlib.h>
#include <time.h>

static unsigned char byte_of(size_t i)
{
    return (unsigned char)(i * 131 + i / 997);
}

/* More than a round, and not a whole number of them; from rank 1, out of place there. */
static int broadcast(const struct actor *actor, ncclComm_t comm, cudaStream_t stream)
{
    size_t n = 2 * MIB + 777;
    unsigned char *host = malloc(n);
    void *from, *to;

    NEED(host != NULL);
    for (size_t i = 0; i < n; i++)
        host[i] = actor->rank == 1 ? byte_of(i) : 0;
    OK(cudaMalloc(&from, n));
    OK(cudaMalloc(&to, n));
    OK(cudaMemcpy(from, host, n, cudaMemcpyHostToDevice));
    OK(ncclBroadcast(actor->rank == 1 ? from : NULL, to, n, ncclUint8, 1, comm, stream));
    OK(cudaStreamSynchronize(stream));
    OK(cudaMemcpy(host, to, n, cudaMemcpyDeviceToHost));
    for (size_t i = 0; i < n; i++)
        NEED(host[i] == byte_of(i));
    OK(cudaFree(from));
    OK(cudaFree(to));
    free(host);
    return 0;
}

static int sums(const struct actor *actor, ncclComm_t comm, cudaStream_t stream)
{
    enum { N = 200000 }; /* of 8 bytes: more than a round */
    uint64_t *host = malloc(N * sizeof(*host)), ranks = (uint64_t)actor->n_ranks;
    void *device;

    NEED(host != NULL);
    for (uint64_t i = 0; i < N; i++)
        host[i] = i * (uint64_t)(actor->rank + 1) + (1ULL << 40);
    OK(cudaMalloc(&device, N * sizeof(*host)));
    OK(cudaMemcpy(device, host, N * sizeof(*host), cudaMemcpyHostToDevice));
    OK(ncclAllReduce(device, device, N, ncclUint64, ncclSum, comm, stream));
    OK(cudaStreamSynchronize(stream));
    OK(cudaMemcpy(host, device, N * sizeof(*host), cudaMemcpyDeviceToHost));
    for (uint64_t i = 0; i < N; i++)
        NEED(host[i] == i * (ranks * (ranks + 1) / 2) + ranks * (1ULL << 40));
    OK(cudaFree(device));
    free(host);
    return 0;
}

static int extremes(const struct actor *actor, ncclComm_t comm, cudaStream_t stream)
{
    struct {
        float low, high;
        int32_t least;
        int64_t sum;
    } host = {-(float)actor->rank, (float)actor->rank, -actor->rank, -5}, *device;

    OK(cudaMalloc((void **)&device, sizeof(*device)));
    OK(cudaMemcpy(device, &host, sizeof(host), cudaMemcpyHostToDevice));
    OK(ncclGroupStart());
    OK(ncclAllReduce(&device->low, &device->low, 2, ncclFloat, ncclMax, comm, stream));
    OK(ncclAllReduce(&device->least, &device->least, 1, ncclInt32, ncclMin, comm, stream));
    OK(ncclReduce(&device->sum, &device->sum, 1, ncclInt64, ncclSum, 0, comm, stream));
    OK(ncclGroupEnd());
    OK(cudaStreamSynchronize(stream));
    OK(cudaMemcpy(&host, device, sizeof(host), cudaMemcpyDeviceToHost));
    NEED(host.low >= 0 && host.high >= (float)(actor->n_ranks - 1) && host.least == 1 - actor->n_ranks);
    NEED(host.sum == (actor->rank == 0 ? -5 * actor->n_ranks : -5));
    OK(cudaFree(device));
    return 0;
}

static int scene_all(const struct actor *actor)
{
    ncclComm_t comm;
    cudaStream_t stream;
    ncclResult_t error;
    int n, rank;

    OK(ncclCommInitRank(&comm, actor->n_ranks, actor->id, actor->rank));
    OK(ncclCommCount(comm, &n));
    OK(ncclCommUserRank(comm, &rank));
    NEED(n == actor->n_ranks && rank == actor->rank);
    OK(cudaStreamCreate(&stream));
    for (int i = 0; i < 2; i++) {
        OK(broadcast(actor, comm, stream));
        OK(sums(actor, comm, stream));
        OK(extremes(actor, comm, stream));
    }
    OK(ncclCommGetAsyncError(comm, &error));
    OK(error);
    OK(ncclCommFinalize(comm));
    OK(ncclCommDestroy(comm));
    OK(cudaStreamDestroy(stream));
    return 0;
}

static void test_collectives(void **state)
{
    (void)state;
    scene_play(SCENE_MAX_RANKS, scene_all);
    scene_play(2, scene_all);
}

/* Two streams, one communicator: the calls' order counts, whatever the streams' is. Nobody waits in between.
 */
static int scene_streams(const struct actor *actor)
{
    ncclComm_t comm;
    cudaStream_t streams[2];
    int32_t host[2] = {actor->rank + 1, 10 * (actor->rank + 1)}, *device;

    OK(ncclCommInitRank(&comm, actor->n_ranks, actor->id, actor->rank));
    OK(cudaMalloc((void **)&device, sizeof(host)));
    OK(cudaMemcpy(device, host, sizeof(host), cudaMemcpyHostToDevice));
    for (int i = 0; i < 2; i++) {
        OK(cudaStreamCreateWithFlags(&streams[i], cudaStreamNonBlocking));
        OK(ncclAllReduce(device + i, device + i, 1, ncclInt32, ncclSum, comm, streams[i]));
    }
    OK(ncclCommDestroy(comm)); /* waits for both */
    for (int i = 0; i < 2; i++) {
        OK(cudaStreamSynchronize(streams[i]));
        OK(cudaStreamDestroy(streams[i]));
    }
    OK(cudaMemcpy(host, device, sizeof(host), cudaMemcpyDeviceToHost));
    NEED(host[0] == 3 && host[1] == 30);
    OK(cudaFree(device));
    return 0;
}

static void test_streams(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        scene_play(2, scene_streams);
}

/* The answer to `in progress` is to ask until it is not; before that nothing is queued. */
static int until_done(ncclComm_t comm)
{
    ncclResult_t result = ncclInProgress;

    for (int i = 0; i < 20000 && result == ncclInProgress; i++) {
        OK(ncclCommGetAsyncError(comm, &result));
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    return (int)result;
}

static int scene_nonblocking(const struct actor *actor)
{
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    ncclComm_t comm;
    int32_t host = 1, *device;

    config.blocking = 0;
    NEED(ncclCommInitRankConfig(&comm, actor->n_ranks, actor->id, actor->rank, &config) == ncclInProgress);
    OK(cudaMalloc((void **)&device, sizeof(host)));
    OK(cudaMemcpy(device, &host, sizeof(host), cudaMemcpyHostToDevice));
    NEED(ncclAllReduce(device, device, 1, ncclInt32, ncclSum, comm, NULL) == ncclInvalidArgument);
    OK(until_done(comm));
    NEED(ncclAllReduce(device, device, 1, ncclInt32, ncclSum, comm, NULL) == ncclInProgress);
    OK(cudaMemcpy(&host, device, sizeof(host), cudaMemcpyDeviceToHost));
    NEED(host == 1); /* still */
    NEED(ncclAllReduce(device, device, 1, ncclInt32, ncclSum, comm, NULL) == ncclInvalidArgument);
    OK(until_done(comm));
    NEED(ncclCommFinalize(comm) == ncclInProgress);
    OK(until_done(comm));
    OK(cudaMemcpy(&host, device, sizeof(host), cudaMemcpyDeviceToHost));
    NEED(host == actor->n_ranks);
    OK(ncclCommDestroy(comm));
    OK(cudaFree(device));
    return 0;
}

static void test_nonblocking(void **state)
{
    (void)state;
    scene_play(2, scene_nonblocking);
}

/* Captured once, launched three times. */
static int scene_capture(const struct actor *actor)
{
    ncclComm_t comm;
    cudaStream_t stream;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    int32_t host = 1, *device;

    OK(ncclCommInitRank(&comm, actor->n_ranks, actor->id, actor->rank));
    OK(cudaStreamCreate(&stream));
    OK(cudaMalloc((void **)&device, sizeof(host)));
    OK(cudaMemcpy(device, &host, sizeof(host), cudaMemcpyHostToDevice));
    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    OK(ncclAllReduce(device, device, 1, ncclInt32, ncclSum, comm, stream));
    OK(cudaStreamEndCapture(stream, &graph));
    OK(cudaGraphInstantiate(&exec, graph, 0));
    OK(cudaGraphDestroy(graph));
    for (int i = 0; i < 3; i++)
        OK(cudaGraphLaunch(exec, stream));
    OK(cudaStreamSynchronize(stream));
    OK(cudaMemcpy(&host, device, sizeof(host), cudaMemcpyDeviceToHost));
    NEED(host == 8);
    OK(cudaGraphExecDestroy(exec));
    OK(ncclCommDestroy(comm));
    OK(cudaStreamDestroy(stream));
    OK(cudaFree(device));
    return 0;
}

static void test_capture(void **state)
{
    (void)state;
    scene_play(2, scene_capture);
}

/* One thread is all ranks, with groups. */
static void test_one_thread(void **state)
{
    ncclUniqueId id;
    ncclComm_t comms[2];
    int32_t host = 4, *device[2];
    (void)state;

    sim_reset(&scene_options);
    assert_int_equal(ncclGetUniqueId(&id), ncclSuccess);
    assert_int_equal(ncclGroupStart(), ncclSuccess);
    for (int rank = 0; rank < 2; rank++) {
        cudaSetDevice(rank);
        assert_int_equal(cudaMalloc((void **)&device[rank], 4), cudaSuccess);
        assert_int_equal(cudaMemcpy(device[rank], &host, 4, cudaMemcpyHostToDevice), cudaSuccess);
        assert_int_equal(ncclCommInitRank(&comms[rank], 2, id, rank), ncclSuccess);
    }
    assert_int_equal(ncclGroupEnd(), ncclSuccess);
    assert_int_equal(ncclGroupEnd(), ncclInvalidUsage);
    assert_int_equal(ncclGroupStart(), ncclSuccess);
    for (int rank = 0; rank < 2; rank++) {
        cudaSetDevice(rank);
        assert_int_equal(ncclAllReduce(device[rank], device[rank], 1, ncclInt, ncclSum, comms[rank], NULL),
                         ncclSuccess);
    }
    assert_int_equal(ncclGroupEnd(), ncclSuccess);
    for (int rank = 0; rank < 2; rank++) {
        cudaSetDevice(rank);
        assert_int_equal(cudaMemcpy(&host, device[rank], 4, cudaMemcpyDeviceToHost), cudaSuccess);
        assert_int_equal(host, 8);
        assert_int_equal(ncclCommDestroy(comms[rank]), ncclSuccess);
        assert_int_equal(cudaFree(device[rank]), cudaSuccess);
    }
    assert_int_equal(sim_count_leaks(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_collectives), cmocka_unit_test(test_streams),
        cmocka_unit_test(test_nonblocking), cmocka_unit_test(test_capture),
        cmocka_unit_test(test_one_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
