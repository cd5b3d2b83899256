/*
 * A network's parameters as one block of memory, laid out once on the host and uploaded in one copy. Internal
 * to kernels/cuda.
 */
#ifndef EYESORE_KERNELS_CUDA_PACK_H
#define EYESORE_KERNELS_CUDA_PACK_H

#include "kernels/cuda/device_program.h"

/*
 * IN program: steps and element; stage: mean, std, classes. OUT program->parameters, parameter_memory
 * (device) and parameter_bytes. The graph's own float32 copies are dropped.
 */
enum status pack_parameters(const struct stage *stage, struct device_program *program);

#endif
