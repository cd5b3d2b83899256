/* What the tests of the simulated runtime share. */
#ifndef EYESORE_SIM_TEST_SUPPORT_H
#define EYESORE_SIM_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "test_kernels.h"
#include "tests/cuda/sim/sim.h"

#define MANY_SEEDS 40

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#else
#define HAS_ASAN 0
#endif

#define OK(call) assert_int_equal(call, cudaSuccess)
#define FAILS(error, call) assert_int_equal(call, error)

/* Setup and teardown of each test: the defaults; and nothing left behind. */
int support_reset(void **state);
int support_no_leaks(void **state);

void reset_to_seed(unsigned seed);
cudaStream_t new_stream(void);
cudaEvent_t new_event(void);
/* Filled from the host: value, value + 1, ... */
float *new_floats(int n, float value);
int *new_int(int value);
int int_at(const int *device);

/* In a process of its own, the function aborts, and says so with these words (or, where AddressSanitizer is
 * at work and `by_asan`, with its own). */
void expect_abort_by(void (*function)(void *argument), void *argument, const char *words, int by_asan);
void expect_abort(void (*function)(void *argument), void *argument, const char *words);

int run_block_tests(void);
int run_memory_tests(void);
int run_stream_tests(void);
int run_graph_tests(void);
int run_fault_tests(void);
int fault_environment_child(void); /* what a program does that the test starts: 0: as told */

#endif
