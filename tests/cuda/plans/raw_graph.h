/*
 * A convolution's graph with any sizes, right or wrong, as cuDNN sees it: to find out what it takes.
 */
#ifndef EYESORE_TESTS_CUDA_PLANS_RAW_GRAPH_H
#define EYESORE_TESTS_CUDA_PLANS_RAW_GRAPH_H

#include "kernels/cuda/conv_graph.h"

/* y = ReLU(x * w + bias + residual); w is 1x1, without padding. Each [n, c, h, w] (w: [k, c, 1, 1]), stored
 * channels-last; float16, the bias float32. */
struct raw_graph {
    int64_t x[4], w[4], bias[4], residual[4], y[4];
};

/* Does cuDNN go all the way to a finished plan, without an error anywhere? */
bool raw_graph_is_taken(const struct raw_graph *graph, const struct conv_target *target);

#endif
