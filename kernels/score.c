#include "kernels/score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static enum status parse_number(const char *stage, const char **text, int *value)
{
    enum status rc = STATUS_OK;
    char *end;

    if (**text < '0' || **text > '9')
        FAIL(STATUS_USAGE,
             "stage %s: class=...%s is not a class number, a range (300-326) or a list (1,5,7-9)", stage,
             *text);
    long n = strtol(*text, &end, 10);
    if (n > 1000000)
        FAIL(STATUS_USAGE, "stage %s: class %ld is out of range", stage, n);
    *value = (int)n;
    *text = end;
out:
    return rc;
}

/* Mark the classes named by `text` in watched [n_classes]. */
static enum status mark_classes(const char *stage, const char *text, int n_classes, bool *watched)
{
    enum status rc = STATUS_OK;

    for (;;) {
        int low, high;
        TRY(parse_number(stage, &text, &low));
        high = low;
        if (*text == '-') {
            text++;
            TRY(parse_number(stage, &text, &high));
        }
        if (low > high || high >= n_classes)
            FAIL(STATUS_USAGE, "stage %s: class %d-%d, but the network has classes 0-%d", stage, low, high,
                 n_classes - 1);
        for (int k = low; k <= high; k++)
            watched[k] = true;
        if (*text == '\0')
            break;
        if (*text != ',')
            FAIL(STATUS_USAGE, "stage %s: class list breaks off at '%s'", stage, text);
        text++;
    }
out:
    return rc;
}

static enum status choose_kind(const char *stage, const char *kind_text, int n_classes, enum head_kind *kind)
{
    enum status rc = STATUS_OK;

    *kind = n_classes == 1 ? HEAD_SIGMOID : HEAD_SOFTMAX;
    if (kind_text == NULL)
        goto out;
    if (strcmp(kind_text, "softmax") == 0 && n_classes > 1)
        *kind = HEAD_SOFTMAX;
    else if (strcmp(kind_text, "sigmoid") == 0)
        *kind = HEAD_SIGMOID;
    else
        FAIL(STATUS_USAGE,
             "stage %s: head=%s does not fit a network of %d classes: softmax (2 or more) or sigmoid", stage,
             kind_text, n_classes);
out:
    return rc;
}

enum status class_set_parse(const char *stage, const char *text, const char *kind_text, int n_classes,
                            struct class_set *out)
{
    enum status rc = STATUS_OK;
    struct class_set set = {.n_classes = n_classes};
    bool *watched = calloc((size_t)n_classes, sizeof(*watched));

    set.watched = calloc((size_t)n_classes, sizeof(*set.watched));
    if (watched == NULL || set.watched == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    TRY(choose_kind(stage, kind_text, n_classes, &set.kind));
    if (text == NULL && n_classes > 2)
        FAIL(STATUS_USAGE, "stage %s: the network has %d classes; say which to watch: class=K, A-B or A,B,C",
             stage, n_classes);
    if (text == NULL)
        watched[n_classes - 1] = true;
    else
        TRY(mark_classes(stage, text, n_classes, watched));
    for (int k = 0; k < n_classes; k++)
        if (watched[k])
            set.watched[set.n_watched++] = k;
    if (set.kind == HEAD_SOFTMAX && set.n_watched == n_classes)
        FAIL(STATUS_USAGE, "stage %s: all %d classes are watched, so every score would be 1", stage,
             n_classes);
    *out = set;
    set.watched = NULL;
out:
    free(set.watched);
    free(watched);
    return rc;
}

void class_set_free(struct class_set *set)
{
    if (set == NULL)
        return;
    free(set->watched);
    *set = (struct class_set){0};
}

static struct score score_softmax(const struct class_set *set, const float *logits, float *shares)
{
    double largest = logits[0], inside = 0, all = 0;
    int next = 0;

    for (int k = 1; k < set->n_classes; k++)
        if (logits[k] > largest)
            largest = logits[k];
    for (int k = 0; k < set->n_classes; k++) {
        double e = exp(logits[k] - largest);
        all += e;
        if (next < set->n_watched && set->watched[next] == k) {
            inside += e;
            next++;
        }
    }
    /* Relative to the watched logits' own largest, since all of `inside` may have underflowed. */
    double own_largest = logits[set->watched[0]], own = 0;
    for (int i = 1; i < set->n_watched; i++)
        own_largest = fmax(own_largest, logits[set->watched[i]]);
    for (int i = 0; i < set->n_watched; i++)
        own += exp(logits[set->watched[i]] - own_largest);
    for (int i = 0; i < set->n_watched; i++)
        shares[set->watched[i]] = (float)(exp(logits[set->watched[i]] - own_largest) / own);
    return (struct score){(float)(inside / all), (float)(log(inside) - log(all - inside))};
}

static struct score score_sigmoid(const struct class_set *set, const float *logits, float *shares)
{
    int best = set->watched[0];

    for (int i = 0; i < set->n_watched; i++) {
        int k = set->watched[i];
        if (!isfinite(logits[k])) /* comparisons would hide a NaN, and an infinity makes a score of 0 or 1 */
            return (struct score){NAN, NAN};
        if (logits[k] > logits[best])
            best = k;
    }
    shares[best] = 1;
    return (struct score){(float)(1 / (1 + exp(-(double)logits[best]))), logits[best]};
}

struct score score_logits(const struct class_set *set, const float *logits, float *shares)
{
    memset(shares, 0, (size_t)set->n_classes * sizeof(*shares));
    for (int k = 0; k < set->n_classes; k++)
        if (!isfinite(logits[k]) && set->kind == HEAD_SOFTMAX)
            return (struct score){NAN, NAN};
    return set->kind == HEAD_SOFTMAX ? score_softmax(set, logits, shares)
                                     : score_sigmoid(set, logits, shares);
}

double score_margin_of(float threshold)
{
    return log((double)threshold) - log1p(-(double)threshold);
}
