/*
 * The GPU of this process: a rank has one. The face that job/ sees; where the program was built without CUDA,
 * absent.c answers: no devices.
 */
#ifndef EYESORE_KERNELS_CUDA_DEVICE_H
#define EYESORE_KERNELS_CUDA_DEVICE_H

#include "base/status.h"

#define DEVICE_NAME_SIZE 128
#define DEVICE_ID_SIZE 32
#define DEVICE_REASON_SIZE 256
#define DEVICE_FAULT_SIZE 768

/* Was the program built with the CUDA engine? */
bool device_is_built(void);

/*
 * How many devices this process may use (CUDA_VISIBLE_DEVICES) and the engine can: compute capability 8.0 or
 * later; -1 where there is a driver that does not work. OUT why, where it is not positive: "no NVIDIA
 * driver", "the driver supports CUDA 12.4, ...". Logs nothing.
 */
int device_count(char why[DEVICE_REASON_SIZE]);

/*
 * What device `index` (0 to device_count - 1) is, without taking it. OUT name: "NVIDIA H100 80GB HBM3"; id:
 * the PCI address of the card, whatever number it has in which process. STATUS_PLACE where it does not
 * answer.
 */
enum status device_describe(int index, char name[DEVICE_NAME_SIZE], char id[DEVICE_ID_SIZE]);

/* Make device `index` this process's, before any other thread uses it. STATUS_PLACE where it cannot be had.
 */
enum status device_choose(int index);

/* The current device is per thread: called at the entry of everything that a worker thread may call. */
enum status device_enter(void);

/* The same before cleaning up: whatever state the device is in; logs nothing. */
void device_enter_to_close(void);

/* "GPU 2, NVIDIA H100 80GB HBM3" */
const char *device_label(void);

/* The first fault of the device, as logged (call, place, host, device); "" where there was none. */
void device_read_fault(char text[DEVICE_FAULT_SIZE]);

/* Remember a fault: the first stays. */
void device_note_fault(const char *text);

#endif
