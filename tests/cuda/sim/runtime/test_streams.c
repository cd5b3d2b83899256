/* Streams and events: what is ordered is, and what is not goes wrong under some seed. */
#include "test_support.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static void queued_work_runs_late(void **state)
{
    int *pinned, *device = new_int(0);
    cudaStream_t stream = new_stream();

    (void)state;
    OK(cudaMallocHost((void **)&pinned, sizeof(*pinned)));
    *pinned = 1;
    OK(cudaMemcpyAsync(device, pinned, sizeof(*pinned), cudaMemcpyHostToDevice, stream));
    affine_launch(device, 10, 0, stream);
    OK(cudaMemcpyAsync(pinned, device, sizeof(*pinned), cudaMemcpyDeviceToHost, stream));
    assert_int_equal(*pinned, 1);
    *pinned = 2; /* too early: the copy takes it */
    OK(cudaStreamSynchronize(stream));
    assert_int_equal(*pinned, 20);
    OK(cudaStreamDestroy(stream));
    OK(cudaFreeHost(pinned));
    OK(cudaFree(device));
}

static void pageable_memory_is_staged(void **state)
{
    int host = 1, *device = new_int(0);
    cudaStream_t stream = new_stream();

    (void)state;
    OK(cudaMemcpyAsync(device, &host, sizeof(host), cudaMemcpyHostToDevice, stream));
    host = 2;
    affine_launch(device, 10, 0, stream);
    OK(cudaMemcpyAsync(&host, device, sizeof(host), cudaMemcpyDeviceToHost, stream));
    assert_int_equal(host, 10);
    OK(cudaStreamDestroy(stream));
    OK(cudaFree(device));
}

/* One stream doubles what another has written, with an event between or without. */
static int write_then_double(unsigned seed, int with_event)
{
    reset_to_seed(seed);
    cudaStream_t first = new_stream(), second = new_stream();
    cudaEvent_t event = new_event();
    int *device = new_int(1);

    OK(cudaDeviceSynchronize());
    fill_launch(device, 21, first);
    OK(cudaEventRecord(event, first));
    if (with_event)
        OK(cudaStreamWaitEvent(second, event, 0));
    affine_launch(device, 2, 0, second);
    OK(cudaStreamSynchronize(second));
    OK(cudaDeviceSynchronize());
    int value = int_at(device);
    OK(cudaStreamDestroy(first));
    OK(cudaStreamDestroy(second));
    OK(cudaEventDestroy(event));
    OK(cudaFree(device));
    return value;
}

static void missing_events_show(void **state)
{
    int n_right = 0;

    (void)state;
    for (unsigned seed = 0; seed < MANY_SEEDS; seed++) {
        assert_int_equal(write_then_double(seed, 1), 42);
        n_right += write_then_double(seed, 0) == 42;
    }
    assert_true(n_right > 0 && n_right < MANY_SEEDS);
}

/* Two batches go through one pinned slot; the host waits for the first copy, or forgets to. */
static int fill_twice(unsigned seed, int waits)
{
    int *pinned, sum;

    reset_to_seed(seed);
    cudaStream_t stream = new_stream();
    cudaEvent_t copied = new_event();
    int *device = new_int(0), *other = new_int(0);
    OK(cudaMallocHost((void **)&pinned, sizeof(*pinned)));
    *pinned = 1;
    OK(cudaMemcpyAsync(device, pinned, sizeof(*pinned), cudaMemcpyHostToDevice, stream));
    OK(cudaEventRecord(copied, stream));
    if (waits)
        OK(cudaEventSynchronize(copied));
    *pinned = 2;
    OK(cudaMemcpyAsync(other, pinned, sizeof(*pinned), cudaMemcpyHostToDevice, stream));
    OK(cudaStreamSynchronize(stream));
    sum = 10 * int_at(device) + int_at(other);
    OK(cudaStreamDestroy(stream));
    OK(cudaEventDestroy(copied));
    OK(cudaFreeHost(pinned));
    OK(cudaFree(device));
    OK(cudaFree(other));
    return sum;
}

static void reused_slots_show(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < MANY_SEEDS; seed++) {
        assert_int_equal(fill_twice(seed, 1), 12);
        assert_int_equal(fill_twice(seed, 0), 22);
    }
}

/* Stream 0 is in order with blocking streams only. */
static int through_stream_0(unsigned seed, unsigned flags)
{
    cudaStream_t stream;

    reset_to_seed(seed);
    OK(cudaStreamCreateWithFlags(&stream, flags));
    int *device = new_int(1);
    fill_launch(device, 2, stream);
    affine_launch(device, 3, 0, NULL);
    affine_launch(device, 1, 1, stream);
    OK(cudaDeviceSynchronize());
    int value = int_at(device);
    OK(cudaStreamDestroy(stream));
    OK(cudaFree(device));
    return value;
}

static void stream_0_waits_for_blocking_streams(void **state)
{
    int n_right = 0;

    (void)state;
    for (unsigned seed = 0; seed < MANY_SEEDS; seed++) {
        assert_int_equal(through_stream_0(seed, cudaStreamDefault), 7);
        n_right += through_stream_0(seed, cudaStreamNonBlocking) == 7;
    }
    assert_true(n_right < MANY_SEEDS);
}

static void queries_come_to_an_end(void **state)
{
    cudaStream_t stream = new_stream();
    cudaEvent_t event = new_event();
    int *device = new_int(0), n_not_ready = 0;
    cudaError_t error;

    (void)state;
    for (int i = 0; i < 50; i++)
        affine_launch(device, 1, 1, stream);
    OK(cudaEventRecord(event, stream));
    while ((error = cudaEventQuery(event)) == cudaErrorNotReady)
        n_not_ready++;
    OK(error);
    assert_true(n_not_ready > 0);
    FAILS(cudaErrorNotReady, cudaGetLastError());
    while (cudaStreamQuery(stream) == cudaErrorNotReady)
        ;
    OK(cudaStreamQuery(stream));
    assert_int_equal(int_at(device), 50);
    (void)cudaGetLastError();
    OK(cudaStreamDestroy(stream));
    OK(cudaEventDestroy(event));
    OK(cudaFree(device));
}

static void streams_outlive_their_handles(void **state)
{
    cudaStream_t stream = new_stream();
    int *device = new_int(0);

    (void)state;
    for (int i = 0; i < 3000; i++) /* more than a queue holds */
        affine_launch(device, 1, 1, stream);
    OK(cudaStreamDestroy(stream));
    fill_launch(device, 0, stream);
    FAILS(cudaErrorInvalidResourceHandle, cudaGetLastError());
    OK(cudaDeviceSynchronize());
    assert_int_equal(int_at(device), 3000);
    OK(cudaFree(device));
}

static float time_of(unsigned seed, int n_bytes, int n_kernels)
{
    cudaEvent_t start, end;
    float ms;
    char *device;

    reset_to_seed(seed);
    cudaStream_t stream = new_stream(), other = new_stream();
    OK(cudaEventCreate(&start));
    OK(cudaEventCreate(&end));
    OK(cudaMalloc((void **)&device, 1 << 20));
    OK(cudaMemsetAsync(device, 0, 1 << 20, other));
    OK(cudaEventRecord(start, stream));
    OK(cudaMemsetAsync(device, 0, (size_t)n_bytes, stream));
    for (int i = 0; i < n_kernels; i++)
        fill_launch((int *)device, 1, stream);
    OK(cudaEventRecord(end, stream));
    FAILS(cudaErrorNotReady, cudaEventElapsedTime(&ms, start, end));
    OK(cudaEventSynchronize(end));
    OK(cudaEventElapsedTime(&ms, start, end));
    OK(cudaStreamDestroy(stream));
    OK(cudaStreamDestroy(other));
    OK(cudaEventDestroy(start));
    OK(cudaEventDestroy(end));
    OK(cudaFree(device));
    FAILS(cudaErrorNotReady, cudaGetLastError());
    return ms;
}

static void times_depend_on_the_work_alone(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 8; seed++) {
        assert_true(time_of(seed, 1000, 0) == time_of(0, 1000, 0));
        assert_true(time_of(seed, 1 << 20, 3) == time_of(0, 1 << 20, 3));
    }
    assert_true(time_of(0, 1000, 0) < time_of(0, 1000, 1));
    assert_true(time_of(0, 1000, 0) < time_of(0, 1 << 20, 0));
}

struct foreign {
    int *device;
    int n_runs, n_releases;
};

static void run_foreign(void *argument)
{
    struct foreign *foreign = argument;
    *foreign->device += 1;
    foreign->n_runs++;
    sim_spend_ns(500);
}

static void release_foreign(void *argument)
{
    ((struct foreign *)argument)->n_releases++;
}

static void other_libraries_enqueue(void **state)
{
    struct foreign foreign = {.device = new_int(1)};
    cudaStream_t stream = new_stream();
    cudaEvent_t start, end;
    float ms;

    (void)state;
    OK(cudaEventCreate(&start));
    OK(cudaEventCreate(&end));
    OK(cudaEventRecord(start, stream));
    OK(sim_enqueue(stream, run_foreign, &foreign, release_foreign));
    OK(cudaEventRecord(end, stream));
    assert_int_equal(foreign.n_runs, 0);
    OK(cudaStreamSynchronize(stream));
    assert_int_equal(foreign.n_runs, 1);
    assert_int_equal(foreign.n_releases, 1);
    assert_int_equal(int_at(foreign.device), 2);
    OK(cudaEventElapsedTime(&ms, start, end));
    assert_true(ms == 0.0015f);
    OK(cudaEventDestroy(start));
    OK(cudaEventDestroy(end));
    OK(cudaStreamDestroy(stream));
    OK(cudaFree(foreign.device));
}

/* ---- Two ranks, as threads, with a device each, meet in their work; nobody may need the other's host. */

static int n_arrived, n_met; /* under the simulator's lock, as all device work */

struct meeting {
    int round;
};

static void meet(void *argument)
{
    struct meeting *mine = argument;

    if (++n_arrived == 2 * (mine->round + 1))
        n_met++;
    while (n_met <= mine->round)
        sim_yield();
}

#define ROUNDS 20

static void *be_rank(void *argument)
{
    struct meeting *rounds = calloc(ROUNDS, sizeof(*rounds));

    OK(cudaSetDevice(*(int *)argument));
    cudaStream_t stream = new_stream();
    int *device = new_int(0);
    for (int r = 0; r < ROUNDS; r++) {
        rounds[r].round = r;
        affine_launch(device, 1, 1, stream);
        OK(sim_enqueue(stream, meet, &rounds[r], NULL));
        if (r % 3 == 0)
            OK(cudaStreamSynchronize(stream));
    }
    OK(cudaStreamSynchronize(stream));
    assert_int_equal(int_at(device), ROUNDS);
    OK(cudaFree(device));
    OK(cudaStreamDestroy(stream));
    free(rounds);
    return NULL;
}

static void host_threads_share_the_device(void **state)
{
    struct sim_options options = {.seed = 3, .n_devices = 2, .memory_bytes = 1 << 20};
    int rank[2] = {0, 1};
    pthread_t other;

    (void)state;
    for (int i = 0; i < 10; i++) {
        options.seed++;
        sim_reset(&options);
        n_arrived = n_met = 0;
        assert_int_equal(pthread_create(&other, NULL, be_rank, &rank[1]), 0);
        be_rank(&rank[0]);
        assert_int_equal(pthread_join(other, NULL), 0);
        assert_int_equal(n_met, ROUNDS);
    }
}

static void call_from_work(void *argument)
{
    (void)argument;
    cudaDeviceSynchronize();
}

static void call_runtime_in_work(void *argument)
{
    sim_enqueue(NULL, call_from_work, argument, NULL);
    cudaDeviceSynchronize();
}

static void work_may_not_call_the_runtime(void **state)
{
    (void)state;
    expect_abort(call_runtime_in_work, NULL, "device work calls the CUDA runtime");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, support_reset, support_no_leaks)

int run_stream_tests(void)
{
    const struct CMUnitTest tests[] = {
        TEST(queued_work_runs_late),
        TEST(pageable_memory_is_staged),
        TEST(missing_events_show),
        TEST(reused_slots_show),
        TEST(stream_0_waits_for_blocking_streams),
        TEST(queries_come_to_an_end),
        TEST(streams_outlive_their_handles),
        TEST(times_depend_on_the_work_alone),
        TEST(other_libraries_enqueue),
        TEST(host_threads_share_the_device),
        TEST(work_may_not_call_the_runtime),
    };
    return cmocka_run_group_tests_name("streams", tests, NULL, NULL);
}
