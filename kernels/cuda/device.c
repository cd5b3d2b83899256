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

int device_count(void)
{
    int n = 0;

    if (cudaGetDeviceCount(&n) != cudaSuccess) {
        (void)cudaGetLastError(); /* not a fault: there is no driver */
        return 0;
    }
    return n;
}

enum status device_choose(int index, char name[DEVICE_NAME_SIZE], char id[DEVICE_ID_SIZE])
{
    enum status rc = STATUS_OK;
    struct cudaDeviceProp properties;

    snprintf(label, sizeof(label), "GPU %d", index);
    TRY_CUDA(cudaSetDevice(index));
    TRY_CUDA(cudaGetDeviceProperties(&properties, index));
    chosen_index = index;
    snprintf(label, sizeof(label), "GPU %d, %.100s", index, properties.name);
    snprintf(name, DEVICE_NAME_SIZE, "%.127s", properties.name);
    for (int i = 0; i < 16; i++)
        snprintf(id + 2 * i, 3, "%02x", (unsigned)(unsigned char)properties.uuid.bytes[i]);
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
