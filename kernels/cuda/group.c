#include "kernels/cuda/group.h"
#include "base/clock.h"

#include "kernels/cuda/check.h"
#include "kernels/cuda/device.h"

#include <nccl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STAGE_BYTES ((size_t)16 << 20) /* of device memory, through which a broadcast goes piece by piece */
#define POLL_NS 200000

_Static_assert(GROUP_ID_BYTES == NCCL_UNIQUE_ID_BYTES, "an id is NCCL's");

struct group {
    ncclComm_t comm;
    cudaStream_t stream;
    unsigned char *stage; /* device, [STAGE_BYTES] */
    int rank;
    bool dead;
};

static enum status nccl_status(ncclResult_t error, struct call_site at)
{
    if (error == ncclSuccess || error == ncclInProgress)
        return STATUS_OK;
    bool misused = error == ncclInvalidArgument || error == ncclInvalidUsage;
    return call_conclude(misused ? STATUS_INTERNAL : STATUS_PLACE, at, "NCCL", ncclGetErrorString(error),
                         ncclGetLastError(NULL));
}

#define TRY_NCCL(call) TRY(nccl_status((call), CUDA_HERE(#call)))

static double deadline(void)
{
    const char *given = getenv("EYESORE_NCCL_TIMEOUT_S");
    double seconds = given == NULL ? 0 : strtod(given, NULL);
    return clock_seconds() + (seconds > 0 ? seconds : GROUP_TIMEOUT_S);
}

static void pause_briefly(void)
{
    nanosleep(&(struct timespec){0, POLL_NS}, NULL);
}

/* Until what was begun on the communicator is begun everywhere. */
static enum status wait_for_communicator(struct group *g, double until, const char *what)
{
    enum status rc = STATUS_OK;
    ncclResult_t state = ncclInProgress;

    for (;;) {
        TRY_NCCL(ncclCommGetAsyncError(g->comm, &state));
        if (state != ncclInProgress)
            break;
        if (clock_seconds() > until)
            FAIL(STATUS_PLACE, "NCCL: %s: no answer from some rank in time: is a host or a link down?", what);
        pause_briefly();
    }
    TRY(nccl_status(state, CUDA_HERE("ncclCommGetAsyncError")));
out:
    return rc;
}

/* Until the stream has done it, watching for a peer's failure meanwhile. */
static enum status wait_for_stream(struct group *g, const char *what)
{
    enum status rc = STATUS_OK;
    double until = deadline();

    TRY(wait_for_communicator(g, until, what)); /* only now is it on the stream */
    for (;;) {
        cudaError_t state = cudaStreamQuery(g->stream);
        if (state == cudaSuccess)
            break;
        if (state != cudaErrorNotReady)
            TRY(cuda_status(state, CUDA_HERE("cudaStreamQuery")));
        (void)cudaGetLastError(); /* "not ready" would be taken for the next launch's error */
        TRY(wait_for_communicator(g, until, what));
        if (clock_seconds() > until)
            FAIL(STATUS_PLACE, "NCCL: %s: not done in time: is a host or a link down?", what);
        pause_briefly();
    }
    TRY(wait_for_communicator(g, until, what));
out:
    return rc;
}

enum status group_make_id(unsigned char id[GROUP_ID_BYTES])
{
    enum status rc = STATUS_OK;
    ncclUniqueId made;

    TRY_NCCL(ncclGetUniqueId(&made));
    memcpy(id, made.internal, GROUP_ID_BYTES);
out:
    return rc;
}

enum status group_open(int rank, struct group **out)
{
    enum status rc = STATUS_OK;
    struct group *g = calloc(1, sizeof(*g));

    if (g == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    g->rank = rank;
    g->dead = true; /* until it is joined */
    TRY(device_enter());
    TRY_CUDA(cudaStreamCreateWithFlags(&g->stream, cudaStreamNonBlocking));
    TRY_CUDA(cudaMalloc((void **)&g->stage, STAGE_BYTES));
    *out = g;
    g = NULL;
out:
    group_close(g);
    return rc;
}

enum status group_join(struct group *g, const unsigned char id[GROUP_ID_BYTES], int n_ranks)
{
    enum status rc = STATUS_OK;
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    ncclUniqueId shared;

    memcpy(shared.internal, id, GROUP_ID_BYTES);
    config.blocking = 0;
    TRY(device_enter());
    TRY_NCCL(ncclCommInitRankConfig(&g->comm, n_ranks, shared, g->rank, &config));
    TRY(wait_for_communicator(g, deadline(), "joining the GPUs of all ranks"));
    g->dead = false;
out:
    return rc;
}

static enum status broadcast_piece(struct group *g, unsigned char *bytes, size_t n)
{
    enum status rc = STATUS_OK;

    if (g->rank == 0)
        TRY_CUDA(cudaMemcpyAsync(g->stage, bytes, n, cudaMemcpyHostToDevice, g->stream));
    TRY_NCCL(ncclBroadcast(g->stage, g->stage, n, ncclUint8, 0, g->comm, g->stream));
    TRY(wait_for_stream(g, "broadcasting the weights"));
    if (g->rank != 0)
        TRY_CUDA(cudaMemcpyAsync(bytes, g->stage, n, cudaMemcpyDeviceToHost, g->stream));
    TRY_CUDA(cudaStreamSynchronize(g->stream));
out:
    return rc;
}

enum status group_broadcast(struct group *g, void *bytes, size_t n_bytes)
{
    enum status rc = STATUS_OK;

    if (g->dead)
        FAIL(STATUS_PLACE, "NCCL: the GPUs of this job are not joined any more");
    TRY(device_enter());
    for (size_t done = 0; done < n_bytes; done += STAGE_BYTES) {
        size_t left = n_bytes - done;
        TRY(broadcast_piece(g, (unsigned char *)bytes + done, left < STAGE_BYTES ? left : STAGE_BYTES));
    }
out:
    g->dead = g->dead || rc != STATUS_OK;
    return rc;
}

enum status group_sum(struct group *g, uint64_t *values, size_t n)
{
    enum status rc = STATUS_OK;

    if (g->dead)
        FAIL(STATUS_PLACE, "NCCL: the GPUs of this job are not joined any more");
    if (n * sizeof(*values) > STAGE_BYTES)
        FAIL(STATUS_INTERNAL, "NCCL: %zu values at once are too many", n);
    TRY(device_enter());
    TRY_CUDA(cudaMemcpyAsync(g->stage, values, n * sizeof(*values), cudaMemcpyHostToDevice, g->stream));
    TRY_NCCL(ncclAllReduce(g->stage, g->stage, n, ncclUint64, ncclSum, g->comm, g->stream));
    TRY(wait_for_stream(g, "adding up the counters"));
    TRY_CUDA(cudaMemcpyAsync(values, g->stage, n * sizeof(*values), cudaMemcpyDeviceToHost, g->stream));
    TRY_CUDA(cudaStreamSynchronize(g->stream));
out:
    g->dead = g->dead || rc != STATUS_OK;
    return rc;
}

void group_close(struct group *g)
{
    if (g == NULL)
        return;
    device_enter_to_close();
    /* Abort also where nothing is wrong: unlike destroy it waits for nobody. */
    if (g->comm != NULL)
        (void)ncclCommAbort(g->comm);
    if (g->stage != NULL)
        (void)cudaFree(g->stage);
    if (g->stream != NULL)
        (void)cudaStreamDestroy(g->stream);
    free(g);
}
