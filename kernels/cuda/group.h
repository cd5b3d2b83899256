/*
 * The GPUs of a job as one NCCL communicator: rank 0 reads the weights once and the others get them from its
 * GPU; counters are summed at the end. No MPI here: the caller carries the id to the ranks.
 *
 * Nothing waits for ever: every call has a deadline (GROUP_TIMEOUT_S, or the environment's
 * EYESORE_NCCL_TIMEOUT_S), after which the communicator is aborted. A failure is STATUS_PLACE; the group is
 * then dead and only group_close may follow. The ranks agree (over MPI) before they call together, so that
 * none is left alone in a call.
 */
#ifndef EYESORE_KERNELS_CUDA_GROUP_H
#define EYESORE_KERNELS_CUDA_GROUP_H

#include "base/status.h"

#include <stddef.h>

#define GROUP_ID_BYTES 128
#define GROUP_TIMEOUT_S 300

struct group;

/* On rank 0. OUT id: for group_open on every rank. */
enum status group_make_id(unsigned char id[GROUP_ID_BYTES]);

/* What this rank needs for it on its own device (device_choose); not collective. OUT: group_close. */
enum status group_open(int rank, struct group **out);

/* Collective among n_ranks, one device each, all of which have a group open: else the others wait in vain. */
enum status group_join(struct group *group, const unsigned char id[GROUP_ID_BYTES], int n_ranks);

/* Collective. Rank 0's bytes, in host memory, to all. */
enum status group_broadcast(struct group *group, void *bytes, size_t n_bytes);

/* Collective. Sums over the ranks, in place, in host memory. */
enum status group_sum(struct group *group, uint64_t *values, size_t n);

void group_close(struct group *group);

#endif
