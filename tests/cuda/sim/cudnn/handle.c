/* Simulated cuDNN (a test instrument): handles, versions, messages. */
#include "tests/cuda/sim/cudnn/parts.h"
#include "tests/cuda/sim/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local char last_message[256];

cudnnStatus_t dnnsim_fail(cudnnStatus_t status, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(last_message, sizeof(last_message), format, arguments);
    va_end(arguments);
    return status;
}

/* Calls that cannot fail are not counted: a fault there would be one that nobody could report. */
size_t cudnnGetVersion(void)
{
    return CUDNN_VERSION;
}

size_t cudnnGetCudartVersion(void)
{
    return CUDART_VERSION;
}

const char *cudnnGetErrorString(cudnnStatus_t status)
{
    static const struct {
        cudnnStatus_t status;
        const char *name;
    } names[] = {
        {CUDNN_STATUS_SUCCESS, "CUDNN_STATUS_SUCCESS"},
        {CUDNN_STATUS_NOT_INITIALIZED, "CUDNN_STATUS_NOT_INITIALIZED"},
        {CUDNN_STATUS_BAD_PARAM, "CUDNN_STATUS_BAD_PARAM"},
        {CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "CUDNN_STATUS_BAD_PARAM_NULL_POINTER"},
        {CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER, "CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER"},
        {CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED, "CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED"},
        {CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT, "CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT"},
        {CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE, "CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE"},
        {CUDNN_STATUS_NOT_SUPPORTED, "CUDNN_STATUS_NOT_SUPPORTED"},
        {CUDNN_STATUS_NOT_SUPPORTED_ARCH_MISMATCH, "CUDNN_STATUS_NOT_SUPPORTED_ARCH_MISMATCH"},
        {CUDNN_STATUS_INTERNAL_ERROR, "CUDNN_STATUS_INTERNAL_ERROR"},
        {CUDNN_STATUS_INTERNAL_ERROR_COMPILATION_FAILED, "CUDNN_STATUS_INTERNAL_ERROR_COMPILATION_FAILED"},
        {CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED,
         "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED"},
        {CUDNN_STATUS_EXECUTION_FAILED, "CUDNN_STATUS_EXECUTION_FAILED"},
        {CUDNN_STATUS_EXECUTION_FAILED_CUDART, "CUDNN_STATUS_EXECUTION_FAILED_CUDART"},
        {CUDNN_STATUS_SERIALIZATION_VERSION_MISMATCH, "CUDNN_STATUS_SERIALIZATION_VERSION_MISMATCH"},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (names[i].status == status)
            return names[i].name;
    }
    return "CUDNN_STATUS_UNKNOWN";
}

void cudnnGetLastErrorString(char *message, size_t max_size)
{
    if (message != NULL && max_size > 0)
        snprintf(message, max_size, "%s", last_message);
    last_message[0] = '\0';
}

cudnnStatus_t cudnnCreate(cudnnHandle_t *handle)
{
    struct cudaDeviceProp properties;
    int error, device;

    if (sim_call("cudnnCreate", &error))
        return dnnsim_fail((cudnnStatus_t)error, "injected");
    if (handle == NULL)
        return dnnsim_fail(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "cudnnCreate: handle is NULL");
    if (cudaGetDevice(&device) != cudaSuccess || cudaGetDeviceProperties(&properties, device) != cudaSuccess)
        return dnnsim_fail(CUDNN_STATUS_NOT_INITIALIZED, "cudnnCreate: there is no CUDA device");
    struct cudnnContext *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return dnnsim_fail(CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED, "cudnnCreate: out of memory");
    snprintf(made->device, sizeof(made->device), "%s", properties.name);
    sim_track("cudnn handles", 1);
    *handle = made;
    return CUDNN_STATUS_SUCCESS;
}

/* An injected fault is reported, but the handle goes all the same: nobody could destroy it again. */
cudnnStatus_t cudnnDestroy(cudnnHandle_t handle)
{
    int error;
    bool fault = sim_call("cudnnDestroy", &error);

    if (handle == NULL)
        return dnnsim_fail(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "cudnnDestroy: handle is NULL");
    free(handle);
    sim_track("cudnn handles", -1);
    return fault ? dnnsim_fail((cudnnStatus_t)error, "injected") : CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream)
{
    int error;

    if (sim_call("cudnnSetStream", &error))
        return dnnsim_fail((cudnnStatus_t)error, "injected");
    if (handle == NULL)
        return dnnsim_fail(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "cudnnSetStream: handle is NULL");
    handle->stream = stream;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetStream(cudnnHandle_t handle, cudaStream_t *stream)
{
    int error;

    if (sim_call("cudnnGetStream", &error))
        return dnnsim_fail((cudnnStatus_t)error, "injected");
    if (handle == NULL || stream == NULL)
        return dnnsim_fail(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "cudnnGetStream: an argument is NULL");
    *stream = handle->stream;
    return CUDNN_STATUS_SUCCESS;
}
