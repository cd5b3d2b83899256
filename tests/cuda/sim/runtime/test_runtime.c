/*
 * Proves the instrument: the simulated CUDA runtime computes what a device would, and finds each mistake that
 * is planted here.
 */
#include "test_support.h"

#include <string.h>

int main(int argc, char **argv)
{
    int n_failed = 0;

    if (argc == 2 && strcmp(argv[1], "environment") == 0)
        return fault_environment_child();
    n_failed += run_block_tests();
    n_failed += run_memory_tests();
    n_failed += run_stream_tests();
    n_failed += run_graph_tests();
    n_failed += run_fault_tests();
    return n_failed != 0;
}
