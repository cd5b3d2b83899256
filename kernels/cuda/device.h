/*
 * The GPU of this process: a rank has one. The face that job/ sees; where the program was built without CUDA,
 * absent.c answers: no devices.
 */
#ifndef EYESORE_KERNELS_CUDA_DEVICE_H
#define EYESORE_KERNELS_CUDA_DEVICE_H

#include "base/status.h"

#define DEVICE_NAME_SIZE 128
#define DEVICE_ID_SIZE 33
#define DEVICE_FAULT_SIZE 768

/* Was the program built with the CUDA engine? */
bool device_is_built(void);

/* How many devices this process may use (CUDA_VISIBLE_DEVICES); 0 where there is no driver. Logs nothing. */
int device_count(void);

/*
 * Make device `index` this process's, before any other thread uses it. OUT name: "NVIDIA H100 80GB HBM3"; id:
 * in hexadecimal, of the card itself, whatever number it has in which process. STATUS_PLACE where it does not
 * answer.
 */
enum status device_choose(int index, char name[DEVICE_NAME_SIZE], char id[DEVICE_ID_SIZE]);

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
