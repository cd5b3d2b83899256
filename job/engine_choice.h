/*
 * What computes: engine, precision and batch. `auto` is settled by all ranks together, written to
 * OUT/plan/engine.txt when the sweep begins, and kept to by every resume, so that it computes the same
 * numbers.
 */
#ifndef EYESORE_JOB_ENGINE_CHOICE_H
#define EYESORE_JOB_ENGINE_CHOICE_H

#include "kernels/cascade.h"

#include "base/status.h"

struct run;

enum engine_kind { ENGINE_CPU, ENGINE_CUDA, ENGINE_NULL };

/* "cpu", "cuda", "null". */
const char *engine_kind_name(enum engine_kind kind);

struct engine_choice_made {
    enum engine_kind kind;
    enum precision precision; /* of stages without one of their own */
    int batch;                /* pictures at once on a GPU; 0: not settled yet */
    int later_batch;          /* the same in stages behind the first; 0: not settled yet */
};

/*
 * Collective. Settle engine and precision: the options', else what OUT/plan remembers, else what all ranks
 * can do. STATUS_USAGE where a rank has no GPU but the engine is to be cuda.
 */
enum status engine_choice_make(struct run *run);

/*
 * Collective. Settle the batch: the option's, else the remembered one, else the smallest that fits
 * everywhere; and, once run->pass_rate is known, that of later stages: twice the pictures that the first
 * stage is expected to let through. Then remember all of it. STATUS_MISMATCH where the sweep has begun with
 * another --batch.
 */
enum status engine_choice_settle_batch(struct run *run);

#endif
