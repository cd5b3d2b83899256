/*
 * A libcuda.so.1 for machines without an NVIDIA driver: for tests/cuda/plans alone, never installed, never on
 * the way of a program that computes. cuDNN makes plans for a device that is only described (ahead of time),
 * but opens the driver's library on the way and gives up where it finds none, or one in which a compiled
 * kernel cannot be loaded. This one has no device, says so, and takes any kernel: plans become complete, and
 * cannot be run.
 *
 * Its soname is libcuda.so.1, by which cuDNN asks for it; a test program links it first, so that it is there
 * when cuDNN asks. It has the functions that cuDNN 9.19 looks up by name and cannot do without.
 */
#include <stddef.h>

/* Of cuda.h's CUresult. Its prototypes are not used: there a name may be a macro for a later version of it.
 */
enum { SUCCESS = 0, NO_DEVICE = 100, NOT_SUPPORTED = 801 };

#define DRIVER_VERSION 13000 /* 13.0, as the toolkit that the tests are built with, or later */

static int dummy_library, dummy_kernel;

int cuInit(unsigned flags);
int cuInit(unsigned flags)
{
    (void)flags;
    return SUCCESS;
}

int cuDriverGetVersion(int *version);
int cuDriverGetVersion(int *version)
{
    *version = DRIVER_VERSION;
    return SUCCESS;
}

int cuDeviceGetCount(int *count);
int cuDeviceGetCount(int *count)
{
    *count = 0;
    return NO_DEVICE;
}

int cuGetErrorName(int error, const char **name);
int cuGetErrorName(int error, const char **name)
{
    *name = error == SUCCESS     ? "CUDA_SUCCESS"
            : error == NO_DEVICE ? "CUDA_ERROR_NO_DEVICE"
                                 : "CUDA_ERROR_NOT_SUPPORTED";
    return SUCCESS;
}

int cuGetErrorString(int error, const char **text);
int cuGetErrorString(int error, const char **text)
{
    *text = error == SUCCESS ? "no error" : "the driver stub of tests/cuda/plans has no device";
    return SUCCESS;
}

/* A kernel that was compiled is "loaded" here when its plan is finished. */
int cuLibraryLoadData(void **library, const void *code, void *options, void **values, unsigned n_options,
                      void *library_options, void **library_values, unsigned n_library_options);
int cuLibraryLoadData(void **library, const void *code, void *options, void **values, unsigned n_options,
                      void *library_options, void **library_values, unsigned n_library_options)
{
    (void)code, (void)options, (void)values, (void)n_options;
    (void)library_options, (void)library_values, (void)n_library_options;
    *library = &dummy_library;
    return SUCCESS;
}

int cuLibraryUnload(void *library);
int cuLibraryUnload(void *library)
{
    (void)library;
    return SUCCESS;
}

int cuLibraryGetKernel(void **kernel, void *library, const char *name);
int cuLibraryGetKernel(void **kernel, void *library, const char *name)
{
    (void)library, (void)name;
    *kernel = &dummy_kernel;
    return SUCCESS;
}

/* Asked for by name, and not needed while plans are made: whatever they are called with, the answer is no. */
#define REFUSE(name)                                                                                         \
    int name(void);                                                                                          \
    int name(void)                                                                                           \
    {                                                                                                        \
        return NOT_SUPPORTED;                                                                                \
    }

REFUSE(cuCtxGetCurrent)
REFUSE(cuCtxGetLimit)
REFUSE(cuCtxPopCurrent)
REFUSE(cuCtxPushCurrent)
REFUSE(cuDeviceGet)
REFUSE(cuGetExportTable)
REFUSE(cuKernelGetAttribute)
REFUSE(cuKernelSetAttribute)
REFUSE(cuLaunchCooperativeKernel)
REFUSE(cuLaunchKernel)
REFUSE(cuLaunchKernelEx)
REFUSE(cuLibraryLoadFromFile)
REFUSE(cuLinkAddData)
REFUSE(cuLinkComplete)
REFUSE(cuLinkCreate)
REFUSE(cuLinkDestroy)
REFUSE(cuOccupancyMaxPotentialClusterSize)
REFUSE(cuStreamGetCtx)
