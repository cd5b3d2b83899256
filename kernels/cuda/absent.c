/* The face of the CUDA engine in a program that was built without it (WITH_CUDA=OFF, or no toolkit found). */
#include "kernels/cuda/device.h"
#include "kernels/cuda/group.h"
#include "kernels/engine.h"

#include <stdio.h>

static enum status refuse(void)
{
    log_error(
        "this eyesore was built without CUDA: use --engine cpu, or build with -DWITH_CUDA=ON where nvcc, "
        "cuDNN and NCCL are installed");
    return STATUS_USAGE;
}

bool device_is_built(void)
{
    return false;
}

int device_count(char why[DEVICE_REASON_SIZE])
{
    snprintf(why, DEVICE_REASON_SIZE, "this eyesore was built without CUDA");
    return 0;
}

enum status device_describe(int index, char name[DEVICE_NAME_SIZE], char id[DEVICE_ID_SIZE])
{
    (void)index;
    (void)name;
    (void)id;
    return refuse();
}

enum status device_choose(int index)
{
    (void)index;
    return refuse();
}

enum status device_enter(void)
{
    return refuse();
}

void device_enter_to_close(void)
{
}

const char *device_label(void)
{
    return "no GPU";
}

void device_read_fault(char text[DEVICE_FAULT_SIZE])
{
    text[0] = '\0';
}

void device_note_fault(const char *text)
{
    (void)text;
}

enum status group_make_id(unsigned char id[GROUP_ID_BYTES])
{
    (void)id;
    return refuse();
}

enum status group_open(int rank, struct group **out)
{
    (void)rank;
    (void)out;
    return refuse();
}

enum status group_join(struct group *group, const unsigned char id[GROUP_ID_BYTES], int n_ranks)
{
    (void)group;
    (void)id;
    (void)n_ranks;
    return refuse();
}

enum status group_broadcast(struct group *group, void *bytes, size_t n_bytes)
{
    (void)group;
    (void)bytes;
    (void)n_bytes;
    return refuse();
}

enum status group_sum(struct group *group, uint64_t *values, size_t n)
{
    (void)group;
    (void)values;
    (void)n;
    return refuse();
}

void group_close(struct group *group)
{
    (void)group; /* there never was one */
}

enum status engine_cuda_open(const struct cascade *cascade, const struct engine_options *options,
                             struct engine **out)
{
    (void)cascade;
    (void)options;
    (void)out;
    return refuse();
}

enum status engine_cuda_fit_batch(const struct cascade *cascade, const struct engine_options *options,
                                  int *batch)
{
    (void)cascade;
    (void)options;
    (void)batch;
    return refuse();
}
