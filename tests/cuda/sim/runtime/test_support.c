/* See test_support.h. */
#include "test_support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int support_reset(void **state)
{
    (void)state;
    sim_reset(NULL);
    return cudaGetLastError() != cudaSuccess;
}

int support_no_leaks(void **state)
{
    (void)state;
    return sim_count_leaks();
}

void reset_to_seed(unsigned seed)
{
    struct sim_options options = {.seed = seed, .n_devices = 1, .memory_bytes = 16 << 20};
    sim_reset(&options);
}

cudaStream_t new_stream(void)
{
    cudaStream_t stream;
    OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    return stream;
}

cudaEvent_t new_event(void)
{
    cudaEvent_t event;
    OK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    return event;
}

float *new_floats(int n, float value)
{
    float *host = malloc((size_t)n * sizeof(*host)), *device = NULL;

    assert_non_null(host);
    for (int i = 0; i < n; i++)
        host[i] = value + (float)i;
    OK(cudaMalloc((void **)&device, (size_t)n * sizeof(*device)));
    OK(cudaMemcpy(device, host, (size_t)n * sizeof(*device), cudaMemcpyHostToDevice));
    free(host);
    return device;
}

int *new_int(int value)
{
    int *device = NULL;

    OK(cudaMalloc((void **)&device, sizeof(*device)));
    OK(cudaMemcpy(device, &value, sizeof(value), cudaMemcpyHostToDevice));
    return device;
}

int int_at(const int *device)
{
    int value;
    OK(cudaMemcpy(&value, device, sizeof(value), cudaMemcpyDeviceToHost));
    return value;
}

static void run_child(int out, void (*function)(void *argument), void *argument)
{
    struct rlimit no_core = {0, 0};

    setrlimit(RLIMIT_CORE, &no_core);
    signal(SIGABRT, SIG_DFL); /* not the test framework's */
    dup2(out, STDERR_FILENO);
    function(argument);
    _exit(0);
}

void expect_abort_by(void (*function)(void *argument), void *argument, const char *words, int by_asan)
{
    char text[1 << 16];
    size_t n = 0;
    ssize_t got;
    int ends[2], status;

    fflush(NULL);
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        run_child(ends[1], function, argument);
    close(ends[1]);
    while ((got = read(ends[0], text + n, sizeof(text) - 1 - n)) > 0)
        n += (size_t)got;
    text[n] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (by_asan && HAS_ASAN)
        words = "AddressSanitizer";
    if (strstr(text, words) == NULL)
        fail_msg("expected \"%s\", got status %#x and: %s", words, (unsigned)status, text);
    if (!(by_asan && HAS_ASAN))
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

void expect_abort(void (*function)(void *argument), void *argument, const char *words)
{
    expect_abort_by(function, argument, words, 0);
}
