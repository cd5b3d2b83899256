/* Faults: a call that fails, a launch that fails, a device that breaks; the environment. */
#include "test_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void the_nth_call_fails(void **state)
{
    void *memory[3] = {NULL, NULL, NULL};

    (void)state;
    sim_fault("cudaMalloc", 2, cudaErrorMemoryAllocation);
    OK(cudaMalloc(&memory[0], 1));
    assert_false(sim_fault_happened());
    FAILS(cudaErrorMemoryAllocation, cudaMalloc(&memory[1], 1));
    assert_true(sim_fault_happened());
    OK(cudaMalloc(&memory[2], 1));
    FAILS(cudaErrorMemoryAllocation, cudaGetLastError());
    sim_fault("cudaFree", 1, cudaErrorUnknown);
    FAILS(cudaErrorUnknown, cudaFree(memory[0])); /* freed nevertheless */
    OK(cudaFree(memory[2]));
    FAILS(cudaErrorUnknown, cudaGetLastError());
}

static void any_call_may_fail(void **state)
{
    int before = sim_count_calls(), error = 0;

    (void)state;
    sim_fault("*", 3, 0);
    OK(cudaDeviceSynchronize());
    assert_false(sim_call("cudnnCreate", &error));
    assert_true(sim_call("cudnnBackendFinalize", &error));
    assert_int_equal(error, 5000);
    sim_fault("*", 1, 0);
    assert_true(sim_call("ncclBroadcast", &error));
    assert_int_equal(error, 1);
    sim_fault("*", 1, 0);
    FAILS(cudaErrorUnknown, cudaDeviceSynchronize());
    OK(cudaDeviceSynchronize());
    assert_int_equal(sim_count_calls() - before, 6);
    sim_fault("*", 1, 0);
    sim_fault("*", 0, 0);
    OK(cudaDeviceSynchronize());
    assert_false(sim_fault_happened());
    FAILS(cudaErrorUnknown, cudaGetLastError());
}

static void a_launch_fails_at_once(void **state)
{
    int *device = new_int(0);

    (void)state;
    sim_fault("launch", 2, cudaErrorLaunchOutOfResources);
    for (int i = 0; i < 3; i++) {
        affine_launch(device, 1, 1, NULL);
        FAILS(i == 1 ? cudaErrorLaunchOutOfResources : cudaSuccess, cudaGetLastError());
    }
    assert_int_equal(int_at(device), 2);
    OK(cudaFree(device));
}

/* Every later call says so, but the frees and the pure queries; and later work does not run. */
static void check_broken(cudaError_t error, cudaStream_t stream, int *device, int *pinned)
{
    struct cudaDeviceProp properties;
    void *more;
    int n;

    FAILS(error, cudaStreamSynchronize(stream));
    FAILS(error, cudaGetLastError());
    FAILS(error, cudaGetLastError());
    FAILS(error, cudaMalloc(&more, 1));
    FAILS(error, cudaDeviceSynchronize());
    fill_launch(device, 5, stream);
    FAILS(error, cudaPeekAtLastError());
    FAILS(error, cudaMemcpyAsync(pinned, device, sizeof(int), cudaMemcpyDeviceToHost, stream));
    FAILS(error, cudaStreamSynchronize(stream));
    assert_int_equal(*pinned, -1);
    OK(cudaGetDeviceCount(&n));
    OK(cudaGetDeviceProperties(&properties, 0));
    assert_non_null(cudaGetErrorName(error));
    OK(cudaFree(device));
    OK(cudaFreeHost(pinned));
    OK(cudaStreamDestroy(stream));
    assert_int_equal(sim_count_leaks(), 0);
    sim_reset(NULL);
    OK(cudaGetLastError());
}

static void break_by(const char *fault, int n, cudaError_t error)
{
    cudaStream_t stream = new_stream();
    int *device = new_int(0), *pinned;

    OK(cudaMallocHost((void **)&pinned, sizeof(*pinned)));
    OK(cudaDeviceSynchronize());
    *pinned = -1;
    sim_fault(fault, n, (int)error);
    fill_launch(device, 1, stream);
    fill_launch(device, 2, stream);
    OK(cudaGetLastError());
    OK(cudaMemcpyAsync(pinned, device, sizeof(int), cudaMemcpyDeviceToHost, stream));
    check_broken(error, stream, device, pinned);
}

static void sticky_errors_stay(void **state)
{
    (void)state;
    break_by("launch", 2, cudaErrorIllegalAddress);
    break_by("exec", 1, cudaErrorECCUncorrectable);
    break_by("exec", 3, cudaErrorLaunchFailure);
    break_by("cudaStreamSynchronize", 1, cudaErrorAssert);
}

static void one_device_breaks_alone(void **state)
{
    struct sim_options options = {.seed = 1, .n_devices = 2, .memory_bytes = 1 << 20};

    (void)state;
    sim_reset(&options);
    int *first = new_int(1);
    OK(cudaSetDevice(1));
    int *second = new_int(1);
    sim_fault("exec", 1, cudaErrorIllegalAddress);
    fill_launch(second, 2, NULL);
    FAILS(cudaErrorIllegalAddress, cudaDeviceSynchronize());
    OK(cudaSetDevice(0));
    fill_launch(first, 3, NULL);
    OK(cudaDeviceSynchronize());
    assert_int_equal(int_at(first), 3);
    FAILS(cudaErrorIllegalAddress, cudaSetDevice(1));
    OK(cudaFree(first));
    OK(cudaFree(second));
    sim_reset(NULL);
}

static void a_graph_breaks_in_the_middle(void **state)
{
    cudaStream_t stream = new_stream();
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    int *device = new_int(0);

    (void)state;
    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    for (int i = 0; i < 5; i++)
        affine_launch(device, 1, 1, stream);
    OK(cudaStreamEndCapture(stream, &graph));
    OK(cudaGraphInstantiate(&exec, graph, 0));
    sim_fault("exec", 7, cudaErrorIllegalAddress);
    OK(cudaGraphLaunch(exec, stream));
    OK(cudaStreamSynchronize(stream));
    OK(cudaGraphLaunch(exec, stream));
    OK(cudaGraphLaunch(exec, stream));
    FAILS(cudaErrorIllegalAddress, cudaStreamSynchronize(stream));
    FAILS(cudaErrorIllegalAddress, cudaGraphLaunch(exec, stream));
    OK(cudaGraphDestroy(graph));
    OK(cudaGraphExecDestroy(exec));
    OK(cudaStreamDestroy(stream));
    OK(cudaFree(device));
}

/* ---- The environment is read at the start of a program: a new one of this program, told to be it. */

int fault_environment_child(void)
{
    size_t available, all;
    void *memory;
    int n;

    if (cudaGetDeviceCount(&n) != cudaSuccess || n != 2)
        return 1;
    if (cudaMemGetInfo(&available, &all) != cudaSuccess || all != 3 << 20)
        return 2;
    if (cudaMalloc(&memory, 1) != cudaSuccess)
        return 3;
    return cudaMalloc(&memory, 1) == cudaErrorMemoryAllocation ? 0 : 4;
}

static void the_environment_tells_programs(void **state)
{
    char self[256], command[512];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

    (void)state;
    assert_true(n > 0);
    self[n] = '\0';
    snprintf(command, sizeof(command),
             "SIM_SEED=7 SIM_DEVICES=2 SIM_MEMORY_MIB=3 SIM_FAULT=cudaMalloc:2:2 '%s' environment", self);
    assert_int_equal(system(command), 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, support_reset, support_no_leaks)

int run_fault_tests(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_nth_call_fails),
        TEST(any_call_may_fail),
        TEST(a_launch_fails_at_once),
        TEST(sticky_errors_stay),
        TEST(one_device_breaks_alone),
        TEST(a_graph_breaks_in_the_middle),
        TEST(the_environment_tells_programs),
    };
    return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
