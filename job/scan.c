/*
 * eyesore scan: the way of a sweep, from manifest to sweep.h5. Read command_scan at the end of this file
 * first, then the shard loop in sweep.c.
 *
 * The set of part files is the ledger: whatever happens, the same command goes on with the shards whose part
 * is missing. When none is, all ranks gather the parts into sweep.h5.
 */
#include "io/isolation.h"
#include "job/attempts.h"
#include "job/commands.h"
#include "job/crash.h"
#include "job/finish.h"
#include "job/gpu.h"
#include "job/inputs.h"
#include "job/output_lock.h"
#include "job/run.h"
#include "job/signals.h"
#include "job/sweep.h"
#include "job/watch.h"

#include <inttypes.h>
#include <time.h>

/* --dry-run, rank 0: what would be done. */
static void print_plan(const struct run *run)
{
    const struct plan *plan = &run->plan;
    struct shard last = plan_shard(plan, plan->n_shards - 1);

    printf("manifest  %s (%s), hash %s\n", run->options->manifest, manifest_format_name(plan->format),
           plan->manifest_hash);
    printf("rows      %" PRIu64 "\n", plan->n_rows);
    printf("shards    %" PRIu64 ", the first of %" PRIu64 " rows, the last of %" PRIu64 "\n", plan->n_shards,
           plan_shard(plan, 0).n_rows, last.n_rows);
    for (size_t i = 0; i < plan->n_columns; i++)
        printf("column    %s, longest value %" PRIu64 " bytes\n", plan->columns[i].name,
               plan->columns[i].longest_bytes);
    for (int i = 0; i < run->cascade.n_stages; i++) {
        const struct stage *s = &run->cascade.stages[i];
        bool open = run->options->engine == ENGINE_CHOICE_AUTO &&
                    run->options->precision == PRECISION_CHOICE_AUTO &&
                    !run->options->stages.items[i].has_precision;
        printf("stage     %s: %s, attention %s, %.2f GMAC, %s, threshold %.9g%s\n", s->name, s->arch,
               s->attention, 1e-9 * (double)s->macs,
               open ? "precision as the engine has it" : precision_name(s->variants[0].precision),
               (double)s->threshold, s->trained ? "" : ", UNTRAINED");
    }
    printf("order     %s\n", run->options->order == ORDER_GIVEN || run->cascade.n_stages < 2
                                 ? "as given"
                                 : "measured when the sweep begins");
}

/* From here on nothing hangs or crashes without a word. */
static enum status start_watching(struct run *run)
{
    enum status rc = STATUS_OK;

    TRY_TOGETHER(&run->comm, watch_start((double)run->options->stall_timeout, run, attempts_note_stall));
    TRY_TOGETHER(&run->comm, run->options->dry_run ? STATUS_OK : crash_install(run));
out:
    return rc;
}

static enum status scan(struct run *run)
{
    enum status rc = STATUS_OK;

    TRY_TOGETHER(&run->comm, run->comm.rank == 0 ? options_print_table(run->options, stderr) : STATUS_OK);
    if (!run->options->dry_run)
        TRY(output_lock_take(run));
    TRY(start_watching(run));
    TRY(engine_choice_make(run));
    TRY(gpu_join(run));
    TRY(run_load_stages(run));
    TRY(run_plan(run));
    if (run->options->dry_run) {
        if (run->comm.rank == 0)
            print_plan(run);
        goto out;
    }
    TRY(run_order_stages(run));
    TRY(run_identify(run));
    TRY(run_open_engine(run));
    TRY(run_begin(run));
    run_release_weights(run);
    TRY(sweep_run(run));
    TRY(inputs_check(run));
    TRY(finish_gather(run));
out:
    return rc;
}

/* Before everything else: what the fork server forks later is a copy of what is there now. */
static enum status start_isolation(struct run *run)
{
    enum status rc = STATUS_OK;
    const struct options *o = run->options;
    struct isolation_options how = {
        .max_bytes = o->max_bytes,
        .crop_side = (int)o->size,
        .cpu_timeout_s = (unsigned)o->decode_timeout,
        .max_pixels = o->max_pixels,
    };

    if (o->decode_isolation == DECODE_ISOLATION_ON && !o->dry_run)
        TRY(isolation_start(&how, &run->isolation));
out:
    return rc;
}

/* After the last picture. */
static void stop_isolation(struct run *run)
{
    uint64_t n = isolation_replaced(run->isolation);

    if (n > 0)
        log_info("decode helpers replaced: %" PRIu64
                 " (each for a picture that it did not survive, or because "
                 "it was killed)",
                 n);
    isolation_stop(run->isolation);
    run->isolation = NULL;
}

enum status command_scan(const struct options *options)
{
    enum status rc = STATUS_OK;
    struct run run = {.options = options};

    TRY(start_isolation(&run));
    TRY(signals_install()); /* before MPI_Init, which takes long on a large job, ... */
    TRY(comm_open(&run.comm));
    TRY_TOGETHER(&run.comm, signals_install()); /* ... and after it, since it may set handlers of its own */
    run.started = time(NULL);
    TRY(comm_broadcast(&run.comm, &run.started, sizeof(run.started)));
    TRY(scan(&run));
out:
    if (rc == STATUS_PLACE)
        gpu_note_fault(&run);
    if (rc == STATUS_RESUME && run.comm.rank == 0)
        log_warn("stopped before the end: run the same command again to go on");
    run_close(&run);
    stop_isolation(&run);
    output_lock_release(&run);
    watch_stop();
    if (run.comm.n_ranks > 0)
        comm_close(&run.comm);
    return rc;
}
