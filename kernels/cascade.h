/*
 * The cascade: an ordered list of stages joined by AND, and the rules for it. Pure: no I/O, no engine.
 */
#ifndef EYESORE_KERNELS_CASCADE_H
#define EYESORE_KERNELS_CASCADE_H

#include "kernels/graph.h"
#include "kernels/score.h"

#define CASCADE_MAX_STAGES 8
#define STAGE_MAX_VARIANTS 3
#define STAGE_NAME_SIZE 32

enum precision { PRECISION_F32, PRECISION_BF16, PRECISION_F16 };

/* "f32", "bf16", "f16". */
const char *precision_name(enum precision precision);

/* A way to run a stage. A margin closer than `band` to the threshold's is scored again by the next variant.
 */
struct variant {
    enum precision precision;
    float band; /* in logits; 0 for the last variant */
};

struct stage {
    char name[STAGE_NAME_SIZE];
    char arch[32], attention[16];
    char weights_path[512];
    bool trained;
    float threshold; /* flagged means score >= threshold, in float32 */
    struct class_set classes;
    float mean[3], std[3]; /* of pixel values in 0..1 */
    struct variant variants[STAGE_MAX_VARIANTS];
    int n_variants;
    uint64_t macs; /* of the network as written, one picture */
    int map_height, map_width;
    struct weights *weights; /* owned; stage_release_weights may close it early */
    struct graph plain;      /* points into weights */
};

struct cascade {
    int n_stages;
    struct stage stages[CASCADE_MAX_STAGES]; /* in the order of execution */
    int size;                                /* pictures are [3, size, size] */
};

enum stage_answer { STAGE_REJECT, STAGE_PASS, STAGE_SCORE_AGAIN, STAGE_NUMERIC_ERROR };

/* What variant `variant` of the stage makes of a score. */
enum stage_answer cascade_answer(const struct stage *stage, int variant, struct score score);

enum verdict { VERDICT_PASS, VERDICT_FLAGGED, VERDICT_FAILED };

/*
 * The verdict from the scores of the stages in order; NaN means not run, which is right only behind a stage
 * that rejected. `numeric_error`: a score or map was not finite, so the verdict is failed, never a silent
 * pass.
 */
enum verdict cascade_verdict(const struct cascade *cascade, const float *scores, bool numeric_error);

/*
 * The cheapest order: ascending cost[i] / (1 - pass_rate[i]) (for two: c1 + p1*c2 against c2 + p2*c1). Ties
 * keep the given order. OUT order: [n], order[0] runs first.
 */
void cascade_order(const double *cost, const double *pass_rate, int n, int *order);

/*
 * The same from a sample of which each stage has seen n_seen[i] of n_sample pictures and passed n_passed[i].
 * Returns true, with the order, where no outcome on the rest of the sample could change it: then the sample
 * need not be finished.
 */
bool cascade_order_settled(const double *cost, const int *n_seen, const int *n_passed, int n_sample, int n,
                           int *order);

/*
 * Pictures that a stage behind the first computes at once, where the first takes `batch` and lets pass_rate
 * of them through: the power of two from twice the expected on, at least 8, at most the batch. Batches are
 * computed whole.
 */
int cascade_later_batch(int batch, double pass_rate);

/* Put the stages in this order. */
void cascade_reorder(struct cascade *cascade, const int *order);

/*
 * Load a stage: open and check the weights, recognise the network, build its plain list.
 * IN: name, weights_path, threshold, mean, std, variants; weights where they are open already, else NULL;
 * `classes_text`, `head_text` as in class_set_parse. A stage named like an architecture must be one ("is this
 * a DenseNet121?"). stage_close frees what it made.
 */
enum status stage_open(struct stage *stage, int size, const char *classes_text, const char *head_text);
void stage_close(struct stage *stage);

/* Once engines have been opened: give back the weights' file and the plain list; the rules stay. */
void stage_release_weights(struct stage *stage);

#endif
