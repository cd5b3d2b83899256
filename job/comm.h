/*
 * The ranks of a scan. No rank leaves a collective alone: where all meet they agree first on the worst
 * status, then all go on or all leave. Waiting polls with a sleep of 1 ms, since a blocking MPI call burns a
 * core.
 */
#ifndef EYESORE_JOB_COMM_H
#define EYESORE_JOB_COMM_H

#include "base/status.h"

#include <mpi.h>

struct comm {
    MPI_Comm world;
    int rank, n_ranks;
    int local_rank, n_local; /* among the ranks of this host */
};

/* Start MPI (MPI_THREAD_MULTIPLE: the claims are served by a thread). Without mpirun: one rank. */
enum status comm_open(struct comm *comm);

/* End MPI. Collective. */
void comm_close(struct comm *comm);

/* Collective: the worst status of all ranks, the same on all of them. */
enum status comm_agree(const struct comm *comm, enum status status);

/* Collective: sums over all ranks, in place. */
enum status comm_sum(const struct comm *comm, uint64_t *values, int n);

/* Collective: is it true on every rank? */
enum status comm_all(const struct comm *comm, bool *value);

/* Collective. Rank 0's bytes to all. */
enum status comm_broadcast(const struct comm *comm, void *bytes, size_t n_bytes);

/* Collective: the smallest of all ranks' values. */
enum status comm_least(const struct comm *comm, int *value);

/* Collective. OUT all: [n_ranks * n_bytes], everybody's bytes in rank order. */
enum status comm_gather_all(const struct comm *comm, const void *bytes, size_t n_bytes, void *all);

/* Collective. OUT hosts on rank 0: "node1 node2", each once, in rank order; the caller frees. NULL elsewhere.
 */
enum status comm_hosts(const struct comm *comm, char **hosts);

/* TRY for something that every rank does: all leave together, with the worst of their statuses. */
#define TRY_TOGETHER(comm, expr)                                                                             \
    do {                                                                                                     \
        rc = comm_agree(comm, expr);                                                                         \
        if (rc != STATUS_OK)                                                                                 \
            goto out;                                                                                        \
    } while (0)

#endif
