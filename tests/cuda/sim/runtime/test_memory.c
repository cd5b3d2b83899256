/* Memory: what is allocated, copied, touched by whom, and left behind. */
#include "test_support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void allocations_are_counted(void **state)
{
    size_t available, all, before;
    void *one, *two, *none = &all;

    (void)state;
    reset_to_seed(1);
    OK(cudaMemGetInfo(&before, &all));
    assert_int_equal(all, 16 << 20);
    assert_int_equal(before, all);
    OK(cudaMalloc(&one, 1000));
    OK(cudaMalloc(&two, 1));
    assert_int_equal((uintptr_t)one % 256, 0);
    assert_int_equal((uintptr_t)two % 256, 0);
    OK(cudaMemGetInfo(&available, &all));
    assert_int_equal(available, before - 1536);
    FAILS(cudaErrorMemoryAllocation, cudaMalloc(&none, 16 << 20));
    assert_null(none);
    FAILS(cudaErrorMemoryAllocation, cudaGetLastError());
    OK(cudaGetLastError());
    OK(cudaFree(one));
    FAILS(cudaErrorInvalidValue, cudaFree(one));
    FAILS(cudaErrorInvalidValue, cudaFree((char *)two + 256));
    OK(cudaFree(two));
    OK(cudaFree(NULL));
    OK(cudaMalloc(&one, 16 << 20));
    OK(cudaFree(one));
}

static void new_memory_is_nan(void **state)
{
    float *device, *pinned, host[2];

    (void)state;
    OK(cudaMalloc((void **)&device, sizeof(host)));
    OK(cudaMemcpy(host, device, sizeof(host), cudaMemcpyDeviceToHost));
    OK(cudaHostAlloc((void **)&pinned, sizeof(host), cudaHostAllocDefault));
    assert_true(isnan(host[0]) && isnan(host[1]) && isnan(pinned[0]));
    OK(cudaFreeHost(pinned));
    OK(cudaFree(device));
}

static void read_on_host(void *device)
{
    (void)*(volatile int *)device;
}

static void write_on_host(void *device)
{
    *(volatile int *)device = 1;
}

static void the_host_may_not_touch(void **state)
{
    int *device = new_int(1);

    (void)state;
    expect_abort(read_on_host, device, "sim: host touched device memory at 0x");
    expect_abort(write_on_host, device, "sim: host touched device memory at 0x");
    OK(cudaFree(device));
}

static void run_outside(void *device)
{
    fill_launch(device, 1, NULL);
    cudaDeviceSynchronize();
}

static void writes_outside_allocations_are_found(void **state)
{
    int *device = new_int(1);

    (void)state;
    expect_abort_by(run_outside, device + 1, "wrote outside an allocation of 4 bytes", 1);
    expect_abort_by(run_outside, device - 1, "wrote outside an allocation of 4 bytes", 1);
    expect_abort(run_outside, device + (64 << 20), "device work touched memory nobody allocated");
    OK(cudaFree(device));
}

static void copies_are_checked(void **state)
{
    char host[64], *device, *pinned;
    enum cudaMemcpyKind out = cudaMemcpyDeviceToHost, in = cudaMemcpyHostToDevice;

    (void)state;
    OK(cudaMalloc((void **)&device, 64));
    OK(cudaMallocHost((void **)&pinned, 64));
    memset(host, 1, sizeof(host));
    OK(cudaMemcpy(device, host, 64, in));
    OK(cudaMemcpy(device + 32, host, 32, in));
    OK(cudaMemcpy(pinned, device, 64, cudaMemcpyDefault));
    assert_memory_equal(pinned, host, 64);
    FAILS(cudaErrorInvalidValue, cudaMemcpy(device, host, 65, in));
    FAILS(cudaErrorInvalidValue, cudaMemcpy(device + 1, host, 64, in));
    FAILS(cudaErrorInvalidValue, cudaMemcpy(host, device + 33, 32, out));
    FAILS(cudaErrorInvalidValue, cudaMemcpy(device, host, 64, out));
    FAILS(cudaErrorInvalidValue, cudaMemcpy(host, device, 64, in));
    FAILS(cudaErrorInvalidValue, cudaMemcpy(device, host, 64, cudaMemcpyDeviceToDevice));
    FAILS(cudaErrorInvalidValue, cudaMemcpy(device, pinned, 65, in));
    FAILS(cudaErrorInvalidValue, cudaMemcpy(device, NULL, 1, in));
    FAILS(cudaErrorInvalidValue, cudaMemset(device, 0, 65));
    FAILS(cudaErrorInvalidValue, cudaMemset(host, 0, 64));
    OK(cudaMemset(device, 2, 64));
    OK(cudaMemcpy(host, device, 64, out));
    assert_int_equal(host[63], 2);
    OK(cudaFreeHost(pinned));
    OK(cudaFree(device));
    FAILS(cudaErrorInvalidValue, cudaMemcpy(device, host, 64, in));
    FAILS(cudaErrorInvalidValue, cudaGetLastError());
}

static void pointers_have_kinds(void **state)
{
    struct cudaPointerAttributes attributes;
    int host, *device = new_int(0), *pinned;

    (void)state;
    OK(cudaMallocHost((void **)&pinned, sizeof(*pinned)));
    OK(cudaPointerGetAttributes(&attributes, device));
    assert_int_equal(attributes.type, cudaMemoryTypeDevice);
    OK(cudaPointerGetAttributes(&attributes, pinned));
    assert_int_equal(attributes.type, cudaMemoryTypeHost);
    OK(cudaPointerGetAttributes(&attributes, &host));
    assert_int_equal(attributes.type, cudaMemoryTypeUnregistered);
    OK(cudaFreeHost(pinned));
    OK(cudaFree(device));
}

static void leaks_are_counted(void **state)
{
    cudaStream_t stream = new_stream();
    cudaEvent_t event = new_event();
    cudaGraph_t graph, captured;
    cudaGraphExec_t exec;
    int *device = new_int(0), *pinned;

    (void)state;
    OK(cudaMallocHost((void **)&pinned, 1));
    OK(cudaGraphCreate(&graph, 0));
    OK(cudaGraphInstantiate(&exec, graph, 0));
    sim_track("test descriptors", 2);
    assert_int_equal(sim_count_leaks(), 8);
    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
    assert_int_equal(sim_count_leaks(), 10); /* the capture and its graph */
    OK(cudaStreamEndCapture(stream, &captured));
    OK(cudaGraphDestroy(captured));
    OK(cudaStreamDestroy(stream));
    OK(cudaEventDestroy(event));
    OK(cudaGraphDestroy(graph));
    OK(cudaGraphExecDestroy(exec));
    OK(cudaFree(device));
    OK(cudaFreeHost(pinned));
    assert_int_equal(sim_count_leaks(), 2);
    sim_track("test descriptors", -2);
}

static void devices_are_described(void **state)
{
    struct sim_options options = {.seed = 1, .n_devices = 2, .memory_bytes = 1 << 20, .name = "Test GPU"};
    struct cudaDeviceProp properties;
    char id[16];
    void *memory;
    int value;

    (void)state;
    sim_reset(&options);
    OK(cudaGetDeviceCount(&value));
    assert_int_equal(value, 2);
    OK(cudaSetDevice(1));
    OK(cudaGetDevice(&value));
    assert_int_equal(value, 1);
    FAILS(cudaErrorInvalidDevice, cudaSetDevice(2));
    OK(cudaGetDeviceProperties(&properties, 1));
    assert_string_equal(properties.name, "Test GPU");
    assert_int_equal(properties.totalGlobalMem, 1 << 20);
    OK(cudaDeviceGetAttribute(&value, cudaDevAttrComputeCapabilityMajor, 0));
    assert_int_equal(value, 9);
    OK(cudaDeviceGetPCIBusId(id, sizeof(id), 1));
    assert_string_equal(id, "0000:02:00.0");
    OK(cudaRuntimeGetVersion(&value));
    assert_int_equal(value, CUDART_VERSION);
    assert_string_equal(cudaGetErrorName(cudaErrorIllegalAddress), "cudaErrorIllegalAddress");
    FAILS(cudaErrorInvalidDevice, cudaGetLastError());
    options.n_devices = 0;
    sim_reset(&options);
    FAILS(cudaErrorNoDevice, cudaGetDeviceCount(&value));
    FAILS(cudaErrorNoDevice, cudaMalloc(&memory, 1));
    sim_reset(NULL);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, support_reset, support_no_leaks)

int run_memory_tests(void)
{
    const struct CMUnitTest tests[] = {
        TEST(allocations_are_counted), TEST(new_memory_is_nan),
        TEST(the_host_may_not_touch),  TEST(writes_outside_allocations_are_found),
        TEST(copies_are_checked),      TEST(pointers_have_kinds),
        TEST(leaks_are_counted),       TEST(devices_are_described),
    };
    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
