#include "job/engine_choice.h"

#include "base/file.h"
#include "job/run.h"
#include "kernels/cuda/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What OUT/plan/engine.txt says of a sweep that has begun (there is a run.txt); the same on all ranks. */
struct remembered {
    bool any;
    struct engine_choice_made made;
};

static bool is_begun(const struct run *run)
{
    char path[RUN_PATH_SIZE];
    return run_path(run, "plan/run.txt", path) == STATUS_OK && access(path, F_OK) == 0;
}

const char *engine_kind_name(enum engine_kind kind)
{
    return kind == ENGINE_CUDA ? "cuda" : kind == ENGINE_NULL ? "null" : "cpu";
}

static bool parse_kind(const char *name, enum engine_kind *out)
{
    for (enum engine_kind kind = ENGINE_CPU; kind <= ENGINE_NULL; kind++) {
        if (strcmp(name, engine_kind_name(kind)) == 0) {
            *out = kind;
            return true;
        }
    }
    return false;
}

static bool parse_precision(const char *name, enum precision *out)
{
    for (enum precision p = PRECISION_F32; p <= PRECISION_F16; p++) {
        if (strcmp(name, precision_name(p)) == 0) {
            *out = p;
            return true;
        }
    }
    return false;
}

static enum status parse_memory(const char *path, const char *text, struct remembered *out)
{
    enum status rc = STATUS_OK;
    char engine[8], precision[8];
    struct engine_choice_made *made = &out->made;

    if (sscanf(text, "engine=%7s auto_precision=%7s batch=%d later_batch=%d", engine, precision, &made->batch,
               &made->later_batch) != 4 ||
        !parse_kind(engine, &made->kind) || !parse_precision(precision, &made->precision) ||
        made->batch < 1 || made->batch > 1024 || made->later_batch < 0 || made->later_batch > made->batch)
        FAIL(STATUS_INPUT,
             "%s is damaged: remove this file, and give --engine, --precision and --batch as the sweep "
             "was begun with (plan/run.txt beside it has them)",
             path);
    out->any = true;
out:
    return rc;
}

/* On rank 0. */
static enum status remember(const struct run *run, struct remembered *out)
{
    enum status rc = STATUS_OK;
    char path[RUN_PATH_SIZE], *text = NULL;
    size_t size;

    *out = (struct remembered){0};
    if (run->options->dry_run || !is_begun(run))
        goto out;
    TRY(run_path(run, "plan/engine.txt", path));
    if (access(path, F_OK) == 0) {
        TRY(file_read(path, 4096, &text, &size));
        TRY(parse_memory(path, text, out));
    }
out:
    free(text);
    return rc;
}

/* On a rank without a GPU that can be used, where one is needed. */
static enum status refuse_cuda(const struct run *run)
{
    enum status rc = STATUS_OK;
    char host[256] = "?", why[DEVICE_REASON_SIZE];
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");

    device_count(why);
    gethostname(host, sizeof(host) - 1);
    if (!device_is_built())
        FAIL(STATUS_USAGE,
             "--engine cuda: this eyesore was built without CUDA: use --engine cpu, or build it where "
             "nvcc, cuDNN and NCCL are installed");
    FAIL(STATUS_USAGE,
         "rank %d on host %s has no GPU for the cuda engine: %s (CUDA_VISIBLE_DEVICES %s%s); mend it, "
         "leave the host out, or compute on CPUs: --engine cpu",
         run->comm.rank, host, why, visible == NULL ? "is not set" : "is ", visible == NULL ? "" : visible);
out:
    return rc;
}

/*
 * Collective, for --engine auto: GPUs where every rank has one, CPUs where none has. A sweep that should run
 * on GPUs must not crawl along on CPUs unseen: where only some have one, or a driver does not work, it is
 * refused.
 */
static enum status look_for_gpus(struct run *run)
{
    enum status rc = STATUS_OK;
    char why[DEVICE_REASON_SIZE];
    int n = device_count(why);
    uint64_t counts[] = {n > 0, n < 0};

    TRY(comm_sum(&run->comm, counts, 2));
    bool all = counts[0] == (uint64_t)run->comm.n_ranks, some = counts[0] > 0 || counts[1] > 0;
    run->choice.kind = all ? ENGINE_CUDA : ENGINE_CPU;
    TRY_TOGETHER(&run->comm, !all && some && n <= 0 ? refuse_cuda(run) : STATUS_OK);
out:
    return rc;
}

/* A sweep keeps to its engine: numbers of two would be mixed. */
static enum status check_engine(const struct run *run, const struct remembered *memory)
{
    enum status rc = STATUS_OK;
    char why[DEVICE_REASON_SIZE];

    if (memory->any && memory->made.kind != run->choice.kind)
        FAIL(STATUS_MISMATCH,
             "%s was begun with --engine %s: leave --engine out to go on with it, or give another --out",
             run->options->out, engine_kind_name(memory->made.kind));
    if (run->choice.kind == ENGINE_CUDA && device_count(why) <= 0)
        TRY(refuse_cuda(run));
out:
    return rc;
}

static enum status choose_engine(struct run *run, const struct remembered *memory)
{
    enum status rc = STATUS_OK;
    enum engine_choice asked = run->options->engine;

    if (asked != ENGINE_CHOICE_AUTO)
        run->choice.kind = asked == ENGINE_CHOICE_CUDA   ? ENGINE_CUDA
                           : asked == ENGINE_CHOICE_NULL ? ENGINE_NULL
                                                         : ENGINE_CPU;
    else if (memory->any)
        run->choice.kind = memory->made.kind;
    else if (!run->options->dry_run) /* which may run anywhere */
        TRY(look_for_gpus(run));
    if (run->options->dry_run)
        goto out;
    TRY_TOGETHER(&run->comm, check_engine(run, memory));
out:
    return rc;
}

/* What auto means on this engine, everywhere. */
static enum status choose_precision(struct run *run, const struct remembered *memory)
{
    enum status rc = STATUS_OK;
    bool bf16 = engine_cpu_has_bf16();

    TRY(comm_all(&run->comm, &bf16));
    run->bf16_everywhere = bf16 || run->choice.kind == ENGINE_CUDA;
    if (memory->any && memory->made.kind == run->choice.kind)
        run->choice.precision = memory->made.precision;
    else if (run->choice.kind == ENGINE_CUDA)
        run->choice.precision = PRECISION_F16;
    else
        run->choice.precision = bf16 ? PRECISION_BF16 : PRECISION_F32;
out:
    return rc;
}

enum status engine_choice_make(struct run *run)
{
    enum status rc = STATUS_OK;
    struct remembered memory = {0};

    TRY_TOGETHER(&run->comm, run->comm.rank == 0 ? remember(run, &memory) : STATUS_OK);
    TRY(comm_broadcast(&run->comm, &memory, sizeof(memory)));
    TRY(choose_engine(run, &memory));
    TRY(choose_precision(run, &memory));
    bool keeps = memory.any && memory.made.kind == run->choice.kind;
    run->begun = memory.any;
    run->choice.batch = keeps ? memory.made.batch : 0;
    run->choice.later_batch = keeps ? memory.made.later_batch : 0;
out:
    return rc;
}

/* On rank 0. */
static enum status write_memory(const struct run *run)
{
    enum status rc = STATUS_OK;
    char path[RUN_PATH_SIZE], folder[RUN_PATH_SIZE], text[128];

    TRY(run_path(run, "plan", folder));
    TRY(file_make_folders(folder));
    TRY(run_path(run, "plan/engine.txt", path));
    snprintf(text, sizeof(text), "engine=%s\nauto_precision=%s\nbatch=%d\nlater_batch=%d\n",
             engine_kind_name(run->choice.kind), precision_name(run->choice.precision), run->choice.batch,
             run->choice.later_batch);
    TRY(file_write(path, text, strlen(text)));
out:
    return rc;
}

static enum status fit_batch(struct run *run, int *batch)
{
    struct engine_options how = {.all_stages = true}; /* room for any order of the stages */
    return engine_cuda_fit_batch(&run->cascade, &how, batch);
}

enum status engine_choice_settle_batch(struct run *run)
{
    enum status rc = STATUS_OK;
    int asked = (int)run->options->batch, remembered = run->choice.batch, fit = 1;
    struct engine_choice_made before = run->choice;

    if (run->choice.kind != ENGINE_CUDA) {
        if (asked != 0 && run->choice.batch == 0 && run->comm.rank == 0)
            log_warn("--batch is for GPUs: the %s engine takes a picture at a time",
                     engine_kind_name(run->choice.kind));
        run->choice.batch = 1;
    } else if (asked == 0 && remembered == 0) {
        TRY_TOGETHER(&run->comm, fit_batch(run, &fit));
        TRY(comm_least(&run->comm, &fit));
        run->choice.batch = fit;
    } else if (asked != 0) {
        run->choice.batch = asked;
    }
    if (run->choice.later_batch == 0 && run->pass_rate > 0)
        run->choice.later_batch = cascade_later_batch(run->choice.batch, run->pass_rate);
    if (run->begun && remembered != 0 && remembered != run->choice.batch) {
        log_error("this sweep was begun with --batch %d, which decides how its scores are rounded: leave "
                  "--batch out to go on with it",
                  remembered);
        rc = STATUS_MISMATCH;
    }
    TRY_TOGETHER(&run->comm, rc);
    bool is_new = before.batch != run->choice.batch || before.later_batch != run->choice.later_batch;
    TRY_TOGETHER(&run->comm, run->comm.rank == 0 && is_new ? write_memory(run) : STATUS_OK);
out:
    return rc;
}
