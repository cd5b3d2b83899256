/* A device that is not there, as cuDNN makes plans for it: described by a file of properties. */
#ifndef EYESORE_TESTS_CUDA_PLANS_DESCRIBED_H
#define EYESORE_TESTS_CUDA_PLANS_DESCRIBED_H

#include "kernels/cuda/conv_graph.h"

/* IN path: a100.json, h100.json, b200.json. OUT: described_close. */
enum status described_open(const char *path, struct conv_target *out);
void described_close(struct conv_target *target);

#endif
