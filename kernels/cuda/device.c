#include "kernels/cuda/device.h"

#include "kernels/cuda/check.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* Of this process. Index and label are written once, before any worker thread. */
static int chosen_index;
static char label[DEVICE_NAME_SIZE + 16] = "no GPU chosen";
static pthread_mutex_t fault_lock = PTHREAD_MUTEX_INITIALIZER;
static char first_fault[DEVICE_FAULT_SIZE];

bool device_is_built(void)
{
    return true;
}

#define MOST_DEVICES 64
#define OLDEST_CAPABILITY 8 /* the own kernels are compiled for sm_80 and later */

/* Why the runtime sees no device; what device_count then answers. A driver that is too old, or a fabric that
 * is not up, is worth a word. */
static int explain(cudaError_t error, char why[DEVICE_REASON_SIZE])
{
    int driver = 0, built = CUDART_VERSION;

    if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
        snprintf(why, DEVICE_REASON_SIZE, "no NVIDIA driver");
    else if (error == cudaErrorInsufficientDriver)
        snprintf(why, DEVICE_REASON_SIZE,
                 "the driver supports CUDA %d.%d, this program needs %d.%d: update it", driver / 1000,
                 driver % 100 / 10, built / 1000, built % 100 / 10);
    else
        snprintf(why, DEVICE_REASON_SIZE, "%s (%s)", cudaGetErrorName(error), cudaGetErrorString(error));
    (void)cudaGetLastError(); /* not a fault of this program's */
    return driver == 0 || error == cudaErrorNoDevice ? 0 : -1;
}

/* OUT ordinals: the runtime's numbers of the devices that the engine can use. */
static int list_devices(int ordinals[MOST_DEVICES], char why[DEVICE_REASON_SIZE])
{
    int n = 0, n_usable = 0, major = 0;
    cudaError_t error = cudaGetDeviceCount(&n);

    why[0] = '\0';
    if (error != cudaSuccess || n == 0) {
        return explain(error == cudaSuccess ? cudaErrorNoDevice : error, why);
    }
    for (int i = 0; i < n && n_usable < MOST_DEVICES; i++)
        if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, i) == cudaSuccess &&
            major >= OLDEST_CAPABILITY)
            ordinals[n_usable++] = i;
    if (n_usable == 0)
        snprintf(why, DEVICE_REASON_SIZE, "its GPUs are older than compute capability %d.0",
                 OLDEST_CAPABILITY);
    return n_usable;
}

int device_count(char why[DEVICE_REASON_SIZE])
{
    int ordinals[MOST_DEVICES];
    return list_devices(ordinals, why);
}

static enum status find_ordinal(int index, int *ordinal)
{
    enum status rc = STATUS_OK;
    int ordinals[MOST_DEVICES];
    char why[DEVICE_REASON_SIZE];
    int n = list_devices(ordinals, why);

    if (index < 0 || index >= n)
        FAIL(STATUS_PLACE, "GPU %d is not there any more: %s", index, n <= 0 ? why : "fewer are visible now");
    *ordinal = ordinals[index];
out:
    return rc;
}

enum status device_describe(int index, char name[DEVICE_NAME_SIZE], char id[DEVICE_ID_SIZE])
{
    enum status rc = STATUS_OK;
    struct cudaDeviceProp properties;
    int ordinal;

    TRY(find_ordinal(index, &ordinal));
    TRY_CUDA(cudaGetDeviceProperties(&properties, ordinal));
    TRY_CUDA(cudaDeviceGetPCIBusId(id, DEVICE_ID_SIZE, ordinal));
    snprintf(name, DEVICE_NAME_SIZE, "%.127s", properties.name);
out:
    return rc;
}

enum status device_choose(int index)
{
    enum status rc = STATUS_OK;
    char name[DEVICE_NAME_SIZE], id[DEVICE_ID_SIZE];

    TRY(find_ordinal(index, &chosen_index));
    TRY(device_describe(index, name, id));
    snprintf(label, sizeof(label), "GPU %d, %.100s", chosen_index, name);
    TRY_CUDA(cudaSetDevice(chosen_index));
out:
    return rc;
}

enum status device_enter(void)
{
    enum status rc = STATUS_OK;
    TRY_CUDA(cudaSetDevice(chosen_index));
out:
    return rc;
}

void device_enter_to_close(void)
{
    (void)cudaSetDevice(chosen_index);
}

const char *device_label(void)
{
    return label;
}

void device_note_fault(const char *text)
{
    pthread_mutex_lock(&fault_lock);
    if (first_fault[0] == '\0')
        snprintf(first_fault, sizeof(first_fault), "%s", text);
    pthread_mutex_unlock(&fault_lock);
}

void device_read_fault(char text[DEVICE_FAULT_SIZE])
{
    pthread_mutex_lock(&fault_lock);
    memcpy(text, first_fault, DEVICE_FAULT_SIZE);
    pthread_mutex_unlock(&fault_lock);
}
