/* The names of errors. They take no lock, so that they work anywhere. Part of the test instrument. */
#include <cuda_runtime_api.h>

#define NAME(error, text)                                                                                    \
    {                                                                                                        \
        error, #error, text                                                                                  \
    }

static const struct {
    cudaError_t error;
    const char *name, *text;
} names[] = {
    NAME(cudaSuccess, "no error"),
    NAME(cudaErrorInvalidValue, "invalid argument"),
    NAME(cudaErrorMemoryAllocation, "out of memory"),
    NAME(cudaErrorInitializationError, "initialization error"),
    NAME(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    NAME(cudaErrorInvalidMemcpyDirection, "invalid copy direction"),
    NAME(cudaErrorStubLibrary, "stub library"),
    NAME(cudaErrorInsufficientDriver, "the driver is too old"),
    NAME(cudaErrorDevicesUnavailable, "all devices are busy"),
    NAME(cudaErrorInvalidDeviceFunction, "no such device function"),
    NAME(cudaErrorNoDevice, "no device"),
    NAME(cudaErrorInvalidDevice, "no such device"),
    NAME(cudaErrorNoKernelImageForDevice, "no kernel for this device"),
    NAME(cudaErrorECCUncorrectable, "uncorrectable ECC error"),
    NAME(cudaErrorNvlinkUncorrectable, "uncorrectable NVLink error"),
    NAME(cudaErrorContained, "contained error"),
    NAME(cudaErrorOperatingSystem, "error of the operating system"),
    NAME(cudaErrorInvalidResourceHandle, "invalid handle"),
    NAME(cudaErrorIllegalState, "not in this state"),
    NAME(cudaErrorNotReady, "not ready"),
    NAME(cudaErrorIllegalAddress, "an illegal memory access"),
    NAME(cudaErrorLaunchOutOfResources, "too many resources for a launch"),
    NAME(cudaErrorLaunchTimeout, "a kernel took too long"),
    NAME(cudaErrorAssert, "a kernel's assertion failed"),
    NAME(cudaErrorHardwareStackError, "stack error on the device"),
    NAME(cudaErrorIllegalInstruction, "an illegal instruction"),
    NAME(cudaErrorMisalignedAddress, "a misaligned address"),
    NAME(cudaErrorInvalidAddressSpace, "an address of the wrong space"),
    NAME(cudaErrorInvalidPc, "an invalid program counter"),
    NAME(cudaErrorLaunchFailure, "a kernel failed"),
    NAME(cudaErrorTensorMemoryLeak, "tensor memory leaked"),
    NAME(cudaErrorNotPermitted, "not permitted"),
    NAME(cudaErrorNotSupported, "not supported"),
    NAME(cudaErrorStreamCaptureUnsupported, "not permitted while a stream captures"),
    NAME(cudaErrorStreamCaptureInvalidated, "the capture failed before"),
    NAME(cudaErrorStreamCaptureMerge, "two captures would merge"),
    NAME(cudaErrorStreamCaptureUnmatched, "the capture began on another stream"),
    NAME(cudaErrorStreamCaptureUnjoined, "a fork of the capture was not joined"),
    NAME(cudaErrorStreamCaptureIsolation, "the capture depends on what is not captured"),
    NAME(cudaErrorStreamCaptureImplicit, "the capture depends on stream 0"),
    NAME(cudaErrorCapturedEvent, "the event was recorded in a capture"),
    NAME(cudaErrorStreamCaptureWrongThread, "another thread captures"),
    NAME(cudaErrorUnknown, "unknown error"),
};

extern "C" {

const char *cudaGetErrorName(cudaError_t error)
{
    for (const auto &known : names)
        if (known.error == error)
            return known.name;
    return "unrecognized error code";
}

const char *cudaGetErrorString(cudaError_t error)
{
    for (const auto &known : names)
        if (known.error == error)
            return known.text;
    return "unrecognized error code";
}
}
