/*
 * From a head's logits to a stage's score, its margin, and the direction Grad-CAM looks along.
 *
 * A stage watches a set of classes S:
 *   softmax: score = sum of the probabilities of S; margin = log of score / (1 - score);
 *            the heat map explains logsumexp of S's logits, each class weighing as much as its share of it;
 *   sigmoid: score = the largest probability in S; margin = its logit; the heat map explains that class.
 */
#ifndef EYESORE_KERNELS_SCORE_H
#define EYESORE_KERNELS_SCORE_H

#include "base/status.h"

enum head_kind { HEAD_SOFTMAX, HEAD_SIGMOID };

struct class_set {
    enum head_kind kind;
    int n_classes; /* of the network */
    int n_watched; /* |S| */
    int *watched;  /* [n_watched] ascending class numbers; owned */
};

/*
 * The class set of a stage. `text` is "1", "300-326" or "1,5,7-9", or NULL for the default: class 1 of 2,
 * class 0 of 1; more classes need a choice. `kind_text` is "softmax", "sigmoid" or NULL: softmax for 2+
 * classes, sigmoid for 1. STATUS_USAGE with a message naming `stage`. class_set_free frees.
 */
enum status class_set_parse(const char *stage, const char *text, const char *kind_text, int n_classes,
                            struct class_set *out);
void class_set_free(struct class_set *set);

struct score {
    float score;  /* 0..1 */
    float margin; /* in logits: 0 is a score of one half */
};

/*
 * IN logits: [n_classes]. OUT shares: [n_classes], how much each class's logit moves the watched quantity:
 * the weights of Grad-CAM's direction, 0 outside S. Not finite logits give a not finite score.
 */
struct score score_logits(const struct class_set *set, const float *logits, float *shares);

/* The margin at which a score equals `threshold`. +-INFINITY at 0 and 1. */
double score_margin_of(float threshold);

#endif
