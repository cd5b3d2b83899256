/* Simulated NCCL (a test instrument): the shared memory in which ranks meet. */
#include "tests/cuda/sim/nccl/parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* Pages come into being when they are touched, so a large object costs nothing. New ones are all zero. */
static struct region *map(const char *name)
{
    int file = shm_open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void *memory = MAP_FAILED;

    if (file < 0)
        return NULL;
    if (ftruncate(file, sizeof(struct region)) == 0)
        memory = mmap(NULL, sizeof(struct region), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    return memory == MAP_FAILED ? NULL : memory;
}

ncclResult_t ncclsim_region_join(const char *name, int n_ranks, int rank, int device, struct region **out)
{
    struct region *region = map(name);
    uint32_t not_joined = 0;
    int not_said = 0;

    if (region == NULL)
        return ncclsim_fail(ncclSystemError, "shared memory %s: %s", name, strerror(errno));
    if (!atomic_compare_exchange_strong(&region->n_ranks, &not_said, n_ranks) && not_said != n_ranks) {
        ncclsim_fail(ncclInvalidArgument, "rank %d says %d ranks, others say %d", rank, n_ranks, not_said);
    } else if (!atomic_compare_exchange_strong(&region->ranks[rank].joined, &not_joined, 1)) {
        ncclsim_fail(ncclInvalidUsage, "there are two ranks %d", rank);
    } else {
        atomic_store(&region->ranks[rank].device, device);
        atomic_fetch_add(&region->n_joined, 1);
        *out = region;
        return ncclSuccess;
    }
    atomic_store(&region->failed, 1); /* the others need not wait */
    ncclsim_region_close(region);
    return not_joined != 0 ? ncclInvalidUsage : ncclInvalidArgument;
}

void ncclsim_region_close(struct region *region)
{
    if (region != NULL)
        munmap(region, sizeof(*region));
}

/* Once everybody is in it the name is of no use; nor where they will never be. */
void ncclsim_region_unlink(const char *name)
{
    shm_unlink(name);
}

enum { MOST_AT_ONCE_NS = 50000000 };

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void ncclsim_patience_begin(struct patience *patience)
{
    *patience = (struct patience){.looked_ns = now_ns()};
}

bool ncclsim_patience_over(struct patience *patience)
{
    const char *text = getenv("SIM_NCCL_TIMEOUT_MS");
    int64_t limit_ms = text == NULL || *text == '\0' ? 30000 : strtoll(text, NULL, 10), now = now_ns();
    int64_t passed = now - patience->looked_ns;

    patience->looked_ns = now;
    patience->waited_ns += passed < MOST_AT_ONCE_NS ? passed : MOST_AT_ONCE_NS;
    return patience->waited_ns > limit_ms * 1000000;
}
