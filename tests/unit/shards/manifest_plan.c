/*
 * Plan one manifest and print what came of it: manifest_plan MANIFEST SHARD_ROWS FOLDER. For
 * bench/manifest_plan.sh.
 */
#include "shards/plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int main(int argc, char **argv)
{
    enum status rc = STATUS_OK;
    struct plan plan = {0}, loaded = {0};
    struct rusage usage;

    if (argc != 4)
        FAIL(STATUS_USAGE, "usage: manifest_plan MANIFEST SHARD_ROWS FOLDER");
    struct plan_options options = {.shard_rows = strtoull(argv[2], NULL, 10)};
    double start = now_s();
    TRY(plan_make(argv[1], &options, argv[3], &plan, NULL));
    double made = now_s();
    TRY(plan_write(&plan, argv[3]));
    TRY(plan_load(argv[3], &loaded));
    double reloaded = now_s();
    TRY(plan_check(&loaded, argv[1], &options));
    double checked = now_s();
    getrusage(RUSAGE_SELF, &usage);
    printf("rows=%" PRIu64 " bytes=%" PRIu64 " shards=%" PRIu64 " plan_s=%.1f write_load_s=%.1f check_s=%.1f "
           "rows_per_s=%.0f peak_mb=%ld\n",
           plan.n_rows, plan.manifest_bytes, plan.n_shards, made - start, reloaded - made, checked - reloaded,
           (double)plan.n_rows / (made - start), usage.ru_maxrss / 1000);
out:
    plan_free(&loaded);
    plan_free(&plan);
    return (int)status_exit_code(rc);
}
