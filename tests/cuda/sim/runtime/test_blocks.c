/* Blocks and threads: right kernels, and the mistakes that are found in wrong ones. */
#include "test_support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define N 5000

static void threads_see_their_elements(void **state)
{
    float *from = new_floats(N, 0), *to = new_floats(N, 0), host[N];

    (void)state;
    add_launch(to, from, 0.5f, N, NULL);
    OK(cudaGetLastError());
    OK(cudaMemcpy(host, to, sizeof(host), cudaMemcpyDeviceToHost));
    for (int i = 0; i < N; i++)
        assert_true(host[i] == (float)i + 0.5f);
    OK(cudaFree(from));
    OK(cudaFree(to));
}

static void shuffles_and_barriers_sum(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < MANY_SEEDS; seed++) {
        double host[3], *sums;

        reset_to_seed(seed);
        float *values = new_floats(3 * 1024, 1);
        OK(cudaMalloc((void **)&sums, sizeof(host)));
        sum_launch(sums, values, 3, 1024, NULL);
        OK(cudaGetLastError());
        OK(cudaMemcpy(host, sums, sizeof(host), cudaMemcpyDeviceToHost));
        for (int b = 0; b < 3; b++)
            assert_true(host[b] == 1024.0 * (1024 * b + 512.5));
        OK(cudaFree(sums));
        OK(cudaFree(values));
    }
}

static void coordinates_have_three_dimensions(void **state)
{
    int host[6 * 24], *device;

    (void)state;
    OK(cudaMalloc((void **)&device, sizeof(host)));
    coordinates_launch(device, (dim3){3, 2, 1}, (dim3){4, 3, 2}, NULL);
    OK(cudaMemcpy(host, device, sizeof(host), cudaMemcpyDeviceToHost));
    for (int i = 0; i < 6 * 24; i++)
        assert_int_equal(host[i], i);
    OK(cudaFree(device));
}

static void halves_round_to_nearest(void **state)
{
    float host[3] = {1 + 1 / 2048.0f, 1 + 3 / 2048.0f, 70000}, *device;

    (void)state;
    OK(cudaMalloc((void **)&device, sizeof(host)));
    OK(cudaMemcpy(device, host, sizeof(host), cudaMemcpyHostToDevice));
    half_launch(device, 3, NULL);
    OK(cudaMemcpy(host, device, sizeof(host), cudaMemcpyDeviceToHost));
    assert_true(host[0] == 1 && host[1] == 1 + 2 / 1024.0f && isinf(host[2]));
    OK(cudaFree(device));
}

typedef void reverser(float *to, const float *from, cudaStream_t stream);

static void reverse_dynamic(float *to, const float *from, cudaStream_t stream)
{
    reverse_dynamic_launch(to, from, REVERSED * sizeof(float), stream);
}

/* Under how many seeds does it give `expected`? */
static int count_right(reverser *launch, const float *expected)
{
    int n_right = 0;

    for (unsigned seed = 0; seed < MANY_SEEDS; seed++) {
        float host[REVERSED];

        reset_to_seed(seed);
        float *from = new_floats(REVERSED, 0), *to = new_floats(REVERSED, 0);
        launch(to, from, NULL);
        OK(cudaMemcpy(host, to, sizeof(host), cudaMemcpyDeviceToHost));
        n_right += memcmp(host, expected, sizeof(host)) == 0;
        OK(cudaFree(from));
        OK(cudaFree(to));
    }
    return n_right;
}

static void missing_barriers_show(void **state)
{
    float reversed[REVERSED], next[REVERSED];

    (void)state;
    for (int i = 0; i < REVERSED; i++) {
        reversed[i] = (float)(REVERSED - 1 - i);
        next[i] = i + 1 < REVERSED ? (float)(i + 1) : 0;
    }
    assert_int_equal(count_right(reverse_launch, reversed), MANY_SEEDS);
    assert_int_equal(count_right(reverse_dynamic, reversed), MANY_SEEDS);
    assert_int_equal(count_right(reverse_without_barrier_launch, reversed), 0);
    assert_true(count_right(next_without_barrier_launch, next) < MANY_SEEDS);
}

static void shared_memory_is_poisoned(void **state)
{
    float host[64], *device = new_floats(64, 0);
    int n_nan = 0;

    (void)state;
    read_unset_shared_launch(device, NULL);
    OK(cudaMemcpy(host, device, sizeof(host), cudaMemcpyDeviceToHost));
    for (int i = 0; i < 64; i++)
        n_nan += isnan(host[i]) != 0;
    assert_int_equal(n_nan, 32);
    assert_true(host[0] == 1);
    OK(cudaFree(device));
}

static void synchronise(void *argument)
{
    (void)argument;
    cudaDeviceSynchronize();
}

static void divergent(void *argument)
{
    divergent_barrier_launch(64, NULL);
    synchronise(argument);
}

static void missing_lane(void *argument)
{
    missing_lane_launch(NULL);
    synchronise(argument);
}

static void short_warp(void *argument)
{
    short_warp_launch(NULL);
    synchronise(argument);
}

static void barrier_or_shuffle(void *argument)
{
    barrier_or_shuffle_launch(NULL);
    synchronise(argument);
}

static void who_waits_for_nobody_is_found(void **state)
{
    (void)state;
    expect_abort(divergent, NULL, "has finished, and thread");
    expect_abort(divergent, NULL, "sim: kernel divergent_barrier, block (");
    expect_abort(missing_lane, NULL, "thread (37,0,0) has finished, and lane");
    expect_abort(short_warp, NULL, "is in a warp of fewer than 32 threads");
    expect_abort(barrier_or_shuffle, NULL, "waits at a barrier, and lane 16 of its warp waits for it");
}

static void overrun_shared(void *by)
{
    overrun_shared_launch(*(int *)by, NULL);
    synchronise(by);
}

static void overrun_dynamic(void *by)
{
    overrun_dynamic_launch(*(int *)by, 32 * sizeof(int), NULL);
    synchronise(by);
}

static void no_dynamic(void *argument)
{
    overrun_dynamic_launch(0, 0, NULL);
    synchronise(argument);
}

static void deep_stack(void *argument)
{
    deep_stack_launch(1000, NULL);
    synchronise(argument);
}

static void overruns_are_found(void **state)
{
    int up = 1, down = -1, none = 0;

    (void)state;
    overrun_shared(&none);
    overrun_dynamic(&none);
    OK(cudaDeviceSynchronize());
    expect_abort_by(overrun_shared, &up, "beyond shared array few", 1);
    expect_abort_by(overrun_shared, &down, "before shared array few", 1);
    expect_abort_by(overrun_dynamic, &up, "beyond shared array of dynamic size", 1);
    expect_abort_by(overrun_dynamic, &down, "before shared array of dynamic size", 1);
    expect_abort(no_dynamic, NULL, "and the launch gives none");
    expect_abort(deep_stack, NULL, "a kernel's stack is too large");
}

static cudaError_t launch_of(dim3 grid, dim3 block, size_t shared_bytes)
{
    bounded_launch(grid, block, shared_bytes, NULL);
    cudaError_t error = cudaPeekAtLastError();
    assert_int_equal(cudaGetLastError(), error);
    assert_int_equal(cudaGetLastError(), cudaSuccess);
    return error;
}

static void too_much_shared(void *argument)
{
    large_shared_launch(9 * 1024, NULL);
    synchronise(argument);
}

static void launches_are_checked(void **state)
{
    dim3 one = {1, 1, 1};

    (void)state;
    OK(launch_of(one, (dim3){256, 1, 1}, 48 * 1024));
    FAILS(cudaErrorInvalidValue, launch_of(one, (dim3){257, 1, 1}, 0));
    FAILS(cudaErrorInvalidConfiguration, launch_of(one, (dim3){1025, 1, 1}, 0));
    FAILS(cudaErrorInvalidConfiguration, launch_of(one, (dim3){1, 1, 65}, 0));
    FAILS(cudaErrorInvalidConfiguration, launch_of(one, (dim3){0, 1, 1}, 0));
    FAILS(cudaErrorInvalidConfiguration, launch_of((dim3){0, 1, 1}, one, 0));
    FAILS(cudaErrorInvalidConfiguration, launch_of((dim3){1, 65536, 1}, one, 0));
    FAILS(cudaErrorInvalidConfiguration, launch_of((dim3){1, 1, 65536}, one, 0));
    FAILS(cudaErrorInvalidValue, launch_of(one, one, 48 * 1024 + 1));
    large_shared_launch(8 * 1024, NULL);
    OK(cudaDeviceSynchronize());
    expect_abort(too_much_shared, NULL, "static and dynamic shared memory");
}

static void host_argument(void *argument)
{
    fill_launch(argument, 1, NULL);
}

static void host_pointers_as_arguments_are_found(void **state)
{
    int *heap = malloc(sizeof(*heap)), stack, *pinned;

    (void)state;
    expect_abort(host_argument, heap, "kernel fill gets the host address");
    expect_abort(host_argument, &stack, "kernel fill gets the host address");
    OK(cudaMallocHost((void **)&pinned, sizeof(*pinned)));
    fill_launch(pinned, 7, NULL);
    OK(cudaDeviceSynchronize());
    assert_int_equal(*pinned, 7);
    OK(cudaFreeHost(pinned));
    free(heap);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, support_reset, support_no_leaks)

int run_block_tests(void)
{
    const struct CMUnitTest tests[] = {
        TEST(threads_see_their_elements),
        TEST(shuffles_and_barriers_sum),
        TEST(coordinates_have_three_dimensions),
        TEST(halves_round_to_nearest),
        TEST(missing_barriers_show),
        TEST(shared_memory_is_poisoned),
        TEST(who_waits_for_nobody_is_found),
        TEST(overruns_are_found),
        TEST(launches_are_checked),
        TEST(host_pointers_as_arguments_are_found),
    };
    return cmocka_run_group_tests_name("blocks", tests, NULL, NULL);
}
