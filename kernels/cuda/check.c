#include "kernels/cuda/check.h"

#include "kernels/cuda/device.h"

#include <stdio.h>
#include <unistd.h>

enum status call_conclude(enum status status, struct call_site at, const char *library, const char *code,
                          const char *detail)
{
    char host[256] = "?", text[DEVICE_FAULT_SIZE];

    gethostname(host, sizeof(host) - 1);
    snprintf(text, sizeof(text), "%s: %s (%.300s) on host %s, %s, at %s:%d: %.200s", library, code, detail,
             host, device_label(), at.file, at.line, at.call);
    log_line(status == STATUS_MEMORY ? LOG_WARN : LOG_ERROR, "%s", text);
    if (status == STATUS_PLACE)
        device_note_fault(text);
    return status;
}

static enum status judge_cuda(cudaError_t error)
{
    switch (error) {
    case cudaErrorMemoryAllocation:
        return STATUS_MEMORY;
    case cudaErrorInvalidValue:
    case cudaErrorInvalidConfiguration:
    case cudaErrorInvalidResourceHandle:
    case cudaErrorInvalidDeviceFunction:
    case cudaErrorStreamCaptureUnsupported:
    case cudaErrorStreamCaptureInvalidated:
        return STATUS_INTERNAL;
    default:
        return STATUS_PLACE;
    }
}

enum status cuda_status(cudaError_t error, struct call_site at)
{
    if (error == cudaSuccess)
        return STATUS_OK;
    (void)cudaGetLastError(); /* else the next launch would report it once more; a sticky one stays */
    return call_conclude(judge_cuda(error), at, "CUDA", cudaGetErrorName(error), cudaGetErrorString(error));
}

static enum status judge_cudnn(cudnnStatus_t error)
{
    int category = CUDNN_STATUS_CATEGORY(error);

    if (error == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
        error == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED)
        return STATUS_MEMORY;
    return category == CUDNN_STATUS_BAD_PARAM || category == CUDNN_STATUS_NOT_SUPPORTED ? STATUS_INTERNAL
                                                                                        : STATUS_PLACE;
}

enum status cudnn_status(cudnnStatus_t error, struct call_site at)
{
    char detail[512] = "";

    if (error == CUDNN_STATUS_SUCCESS)
        return STATUS_OK;
    cudnnGetLastErrorString(detail, sizeof(detail));
    return call_conclude(judge_cudnn(error), at, "cuDNN", cudnnGetErrorString(error), detail);
}
