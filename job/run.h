/*
 * A scan made ready: what every step of job/scan.c works on. The same on all ranks, but for what says
 * otherwise.
 */
#ifndef EYESORE_JOB_RUN_H
#define EYESORE_JOB_RUN_H

#include "base/fingerprint.h"
#include "job/comm.h"
#include "job/engine_choice.h"
#include "job/inputs.h"
#include "job/options.h"
#include "job/output_lock.h"
#include "kernels/cuda/device.h"
#include "kernels/engine.h"
#include "results/schema.h"
#include "shards/ledger.h"
#include "shards/plan.h"

#include <time.h>

struct group;       /* kernels/cuda/group.h */
struct isolation;   /* io/isolation.h */
struct output_lock; /* output_lock.h */

struct run {
    const struct options *options; /* borrowed */
    struct comm comm;
    time_t started;
    struct isolation *isolation; /* NULL: pictures are decoded in this process */
    struct output_lock *lock;    /* rank 0 */
    char lock_token[OUTPUT_LOCK_TOKEN_SIZE];
    struct input_stamp manifest_stamp; /* as this rank saw it before it was planned or checked */
    struct input_stamp weights_stamps[CASCADE_MAX_STAGES];
    struct plan plan;
    struct cascade cascade;
    char weights_sha256[CASCADE_MAX_STAGES][SHA256_HEX_SIZE]; /* in cascade order, as are the next */
    struct fingerprint stage_prints[CASCADE_MAX_STAGES];      /* may a score be reused? */
    struct fingerprint print;                                 /* does a part belong? */
    struct sweep_layout layout;
    struct engine_choice_made choice;
    bool begun;           /* this is a resume, and OUT/plan/engine.txt was kept to */
    bool bf16_everywhere; /* can all ranks compute in bf16? */
    double pass_rate;     /* of the stage that runs first: measured or supposed; 0: not known yet */
    struct engine *engine;
    int n_workers; /* of this rank */
    /* gpu.c; the engine being cuda. */
    struct group *gpus;                                 /* of all ranks; NULL: there is one rank */
    bool leads;                                         /* this rank chooses plans for its model of GPU */
    char gpu_model[DEVICE_NAME_SIZE];                   /* "NVIDIA H100 80GB HBM3" */
    struct weights *shared_weights[CASCADE_MAX_STAGES]; /* until the stages take them */
    struct engine_notes noted;                          /* what OUT/attempts has been told */
};

/*
 * Each step is collective and ends with all ranks agreeing. In this order:
 * the engine and the precision are chosen (engine_choice.h), GPUs bound (gpu.h) and weights loaded; the
 * manifest is planned (rank 0) or the plan in OUT/plan checked; the order of the stages is given, read or
 * measured; the run gets its fingerprint, which is compared with the one in OUT/plan; the engine is opened.
 */
enum status run_plan(struct run *run);
enum status run_load_stages(struct run *run);
enum status run_order_stages(struct run *run);
enum status run_identify(struct run *run);
enum status run_open_engine(struct run *run);

/* Collective: everything is ready; from here on OUT belongs to this run (OUT/plan/run.txt). */
enum status run_begin(struct run *run);

/* The engine has packed the weights: give back the files and their op lists. */
void run_release_weights(struct run *run);

void run_close(struct run *run);

/* What decides how the manifest is cut. */
struct plan_options run_plan_options(const struct options *options);

/* OUT/NAME as a path of at most 4096 bytes. */
#define RUN_PATH_SIZE 4096
enum status run_path(const struct run *run, const char *name, char path[RUN_PATH_SIZE]);

/* On one rank, when sweep.h5 is in place: remove the temporary files of attempts that were killed. */
void run_remove_leftovers(const struct run *run);

/* Rank 0: which parts are there? STATUS_MISMATCH where some are of another run. OUT: ledger_free. */
enum status run_scan_ledger(const struct run *run, struct ledger *ledger);

/* Put the stages, and what belongs to them, in this order. */
void run_reorder(struct run *run, const int *order);

/* "300-326" or "1": the watched classes as text. The caller frees; NULL without memory. */
char *run_format_classes(const struct class_set *set);

#endif
