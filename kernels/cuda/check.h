/*
 * What becomes of a status of CUDA or cuDNN (group.c: NCCL). Each is checked where the call is made and
 * logged once, with the call, the place in the source, the device and the host. Internal to kernels/cuda.
 *
 *     out of memory                          STATUS_MEMORY    the engine halves its batch and goes on
 *     a call made wrongly (bad parameter)    STATUS_INTERNAL  a bug: the job ends
 *     anything else: no driver, illegal address, ECC, fallen off the bus, a peer that left
 *                                            STATUS_PLACE     this rank hands its shards back and leaves
 */
#ifndef EYESORE_KERNELS_CUDA_CHECK_H
#define EYESORE_KERNELS_CUDA_CHECK_H

#include "base/status.h"

#include <cuda_runtime_api.h>
#include <cudnn.h>

/* Where in the source: CUDA_HERE. */
struct call_site {
    const char *file, *call;
    int line;
};
#define CUDA_HERE(text) ((struct call_site){__FILE__, text, __LINE__})

/* Say what came of a call, and where it is the place's fault keep it for the records. Returns `status`. */
enum status call_conclude(enum status status, struct call_site at, const char *library, const char *code,
                          const char *detail);

enum status cuda_status(cudaError_t error, struct call_site at);
enum status cudnn_status(cudnnStatus_t error, struct call_site at);

#define TRY_CUDA(call) TRY(cuda_status((call), CUDA_HERE(#call)))
#define TRY_CUDNN(call) TRY(cudnn_status((call), CUDA_HERE(#call)))

#endif
