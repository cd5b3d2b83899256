/*
 * Chosen plans, as cuDNN's JSON, a file per convolution. Choosing is by timing, so two jobs may choose
 * differently and then differ in the last bits: a run's plans are therefore kept with the run (OUT/plan),
 * from which every rank and every resume takes them. A cache, shared by runs, saves the next run the
 * choosing; without a writable one the job still runs. Both are sorted by device model and cuDNN version.
 *
 * A plan holds a compiled kernel, and cuDNN does not notice every damage to it: a file begins with a line
 * that names its key and a checksum of what follows, and one that does not fit is not used.
 */
#ifndef EYESORE_KERNELS_CUDA_PLAN_STORE_H
#define EYESORE_KERNELS_CUDA_PLAN_STORE_H

#include "base/status.h"

#include <stddef.h>

#define PLAN_PATH_SIZE 4096

struct plan_store {
    char run[PLAN_PATH_SIZE], cache[PLAN_PATH_SIZE]; /* "": none */
    bool cache_closed;                               /* not written (any more) */
};

/* IN run_folder, cache_folder: may be NULL; made when something is kept. device: "NVIDIA H100 80GB HBM3". */
enum status plan_store_open(const char *run_folder, const char *cache_folder, const char *device,
                            size_t version, struct plan_store *out);

/* The plan of this key from the run, else from the cache (which is then kept with the run). OUT json: NULL
 * where there is none; the caller frees. STATUS_PLACE where the run's folder cannot be written. */
enum status plan_store_find(struct plan_store *store, const char *key, char **json);

/* Keep a plan in both. */
enum status plan_store_keep(struct plan_store *store, const char *key, const char *json);

#endif
