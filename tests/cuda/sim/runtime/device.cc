/* The runtime functions about devices, versions and the last error. Part of the test instrument. */
#include "grid.h"
#include "state.h"

#include <cstdio>
#include <cstring>

using namespace sim;

namespace
{

constexpr int N_MULTIPROCESSORS = 4; /* few, so that grids sized by them stay small */

bool is_device(int device)
{
    return device >= 0 && device < the_options().n_devices;
}

void describe(int device, struct cudaDeviceProp *properties)
{
    *properties = {};
    snprintf(properties->name, sizeof(properties->name), "%s", the_options().name.c_str());
    memset(properties->uuid.bytes, device + 1, sizeof(properties->uuid.bytes));
    properties->major = 9;
    properties->minor = 0;
    properties->totalGlobalMem = the_options().memory_bytes;
    properties->sharedMemPerBlock = MAX_SHARED;
    properties->sharedMemPerBlockOptin = MAX_SHARED_OPT_IN;
    properties->sharedMemPerMultiprocessor = MAX_SHARED_OPT_IN + 1024;
    properties->regsPerBlock = properties->regsPerMultiprocessor = 65536;
    properties->warpSize = WARP;
    properties->maxThreadsPerBlock = properties->maxThreadsDim[0] = properties->maxThreadsDim[1] = 1024;
    properties->maxThreadsDim[2] = 64;
    properties->maxGridSize[0] = 0x7fffffff;
    properties->maxGridSize[1] = properties->maxGridSize[2] = 65535;
    properties->maxThreadsPerMultiProcessor = 2048;
    properties->maxBlocksPerMultiProcessor = 32;
    properties->multiProcessorCount = N_MULTIPROCESSORS;
    properties->l2CacheSize = 4 << 20;
    properties->memoryBusWidth = 5120;
    properties->asyncEngineCount = 2;
    properties->concurrentKernels = 1;
    properties->unifiedAddressing = 1;
    properties->canMapHostMemory = 1;
    properties->ECCEnabled = 1;
    properties->pciBusID = device + 1;
}

cudaError_t attribute_of(const struct cudaDeviceProp &properties, enum cudaDeviceAttr attribute, int *value)
{
    const struct {
        enum cudaDeviceAttr attribute;
        int value;
    } known[] = {
        {cudaDevAttrMaxThreadsPerBlock, properties.maxThreadsPerBlock},
        {cudaDevAttrMaxBlockDimX, properties.maxThreadsDim[0]},
        {cudaDevAttrMaxBlockDimY, properties.maxThreadsDim[1]},
        {cudaDevAttrMaxBlockDimZ, properties.maxThreadsDim[2]},
        {cudaDevAttrMaxGridDimX, properties.maxGridSize[0]},
        {cudaDevAttrMaxGridDimY, properties.maxGridSize[1]},
        {cudaDevAttrMaxGridDimZ, properties.maxGridSize[2]},
        {cudaDevAttrMaxSharedMemoryPerBlock, (int)properties.sharedMemPerBlock},
        {cudaDevAttrMaxSharedMemoryPerBlockOptin, (int)properties.sharedMemPerBlockOptin},
        {cudaDevAttrMaxSharedMemoryPerMultiprocessor, (int)properties.sharedMemPerMultiprocessor},
        {cudaDevAttrReservedSharedMemoryPerBlock, 1024},
        {cudaDevAttrWarpSize, properties.warpSize},
        {cudaDevAttrMaxRegistersPerBlock, properties.regsPerBlock},
        {cudaDevAttrMaxRegistersPerMultiprocessor, properties.regsPerMultiprocessor},
        {cudaDevAttrClockRate, 1000000},
        {cudaDevAttrMemoryClockRate, 1000000},
        {cudaDevAttrGlobalMemoryBusWidth, properties.memoryBusWidth},
        {cudaDevAttrMultiProcessorCount, properties.multiProcessorCount},
        {cudaDevAttrL2CacheSize, properties.l2CacheSize},
        {cudaDevAttrMaxThreadsPerMultiProcessor, properties.maxThreadsPerMultiProcessor},
        {cudaDevAttrMaxBlocksPerMultiprocessor, properties.maxBlocksPerMultiProcessor},
        {cudaDevAttrComputeCapabilityMajor, properties.major},
        {cudaDevAttrComputeCapabilityMinor, properties.minor},
        {cudaDevAttrPciBusId, properties.pciBusID},
        {cudaDevAttrPciDeviceId, properties.pciDeviceID},
        {cudaDevAttrPciDomainId, properties.pciDomainID},
        {cudaDevAttrEccEnabled, properties.ECCEnabled},
        {cudaDevAttrUnifiedAddressing, properties.unifiedAddressing},
        {cudaDevAttrConcurrentKernels, properties.concurrentKernels},
        {cudaDevAttrAsyncEngineCount, properties.asyncEngineCount},
        {cudaDevAttrIntegrated, 0},
        {cudaDevAttrTccDriver, 0},
        {cudaDevAttrComputeMode, cudaComputeModeDefault},
        {cudaDevAttrCooperativeLaunch, 1},
        {cudaDevAttrCanMapHostMemory, properties.canMapHostMemory},
    };

    for (const auto &one : known)
        if (one.attribute == attribute) {
            *value = one.value;
            return cudaSuccess;
        }
    return cudaErrorInvalidValue;
}

} // namespace

extern "C" {

cudaError_t cudaGetDeviceCount(int *n)
{
    SIM_QUERY_CALL();
    if (n == nullptr)
        return call.end(cudaErrorInvalidValue);
    *n = the_options().n_devices;
    return call.end(*n == 0 ? cudaErrorNoDevice : cudaSuccess);
}

/* Works with a broken device: another one may be meant. */
cudaError_t cudaSetDevice(int device)
{
    SIM_QUERY_CALL();
    if (!is_device(device))
        return call.end(the_options().n_devices == 0 ? cudaErrorNoDevice : cudaErrorInvalidDevice);
    set_current_device(device);
    return call.end(the_device(device).broken);
}

cudaError_t cudaGetDevice(int *device)
{
    SIM_QUERY_CALL();
    *device = current_device();
    return call.end(cudaSuccess);
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device)
{
    SIM_QUERY_CALL();
    if (!is_device(device))
        return call.end(cudaErrorInvalidDevice);
    describe(device, properties);
    return call.end(cudaSuccess);
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device)
{
    SIM_QUERY_CALL();
    struct cudaDeviceProp properties;

    if (!is_device(device))
        return call.end(cudaErrorInvalidDevice);
    describe(device, &properties);
    return call.end(attribute_of(properties, attribute, value));
}

cudaError_t cudaDeviceGetPCIBusId(char *id, int n, int device)
{
    SIM_QUERY_CALL();
    if (!is_device(device))
        return call.end(cudaErrorInvalidDevice);
    if (id == nullptr || snprintf(id, (size_t)n, "0000:%02x:00.0", device + 1) >= n)
        return call.end(cudaErrorInvalidValue);
    return call.end(cudaSuccess);
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    SIM_QUERY_CALL();
    *version = CUDART_VERSION;
    return call.end(cudaSuccess);
}

cudaError_t cudaDriverGetVersion(int *version)
{
    SIM_QUERY_CALL();
    *version = CUDART_VERSION;
    return call.end(cudaSuccess);
}

cudaError_t cudaGetLastError(void)
{
    SIM_QUERY_CALL();
    return take_last_error(true);
}

cudaError_t cudaPeekAtLastError(void)
{
    SIM_QUERY_CALL();
    return take_last_error(false);
}
}
