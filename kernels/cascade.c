#include "kernels/cascade.h"

#include <math.h>
#include <string.h>

const char *precision_name(enum precision precision)
{
    static const char *const names[] = {
        [PRECISION_F32] = "f32", [PRECISION_BF16] = "bf16", [PRECISION_F16] = "f16"};
    return names[precision];
}

enum stage_answer cascade_answer(const struct stage *stage, int variant, struct score score)
{
    if (!isfinite(score.score))
        return STAGE_NUMERIC_ERROR;
    if (variant + 1 < stage->n_variants) {
        double distance = fabs((double)score.margin - score_margin_of(stage->threshold));
        if (!(distance >= stage->variants[variant].band)) /* also where the margin is not a number */
            return STAGE_SCORE_AGAIN;
    }
    return score.score >= stage->threshold ? STAGE_PASS : STAGE_REJECT;
}

enum verdict cascade_verdict(const struct cascade *cascade, const float *scores, bool numeric_error)
{
    enum verdict verdict = VERDICT_FLAGGED;

    if (numeric_error)
        return VERDICT_FAILED;
    for (int s = 0; s < cascade->n_stages; s++) {
        if (scores[s] < cascade->stages[s].threshold)
            return VERDICT_PASS;
        if (isnan(scores[s]))
            verdict = VERDICT_FAILED;
    }
    return verdict;
}

/* Cost per rejected picture: infinite where nothing is rejected. */
static double cost_per_reject(double cost, double pass_rate)
{
    return pass_rate >= 1 ? INFINITY : cost / (1 - pass_rate);
}

void cascade_order(const double *cost, const double *pass_rate, int n, int *order)
{
    for (int i = 0; i < n; i++) {
        double own = cost_per_reject(cost[i], pass_rate[i]);
        int at = i;
        for (; at > 0 && cost_per_reject(cost[order[at - 1]], pass_rate[order[at - 1]]) > own; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
}

bool cascade_order_settled(const double *cost, const int *n_seen, const int *n_passed, int n_sample, int n,
                           int *order)
{
    double low[CASCADE_MAX_STAGES], high[CASCADE_MAX_STAGES], middle[CASCADE_MAX_STAGES] = {0};

    for (int i = 0; i < n; i++) {
        double fewest = (double)n_passed[i] / n_sample;
        double most = (double)(n_passed[i] + n_sample - n_seen[i]) / n_sample;
        low[i] = cost_per_reject(cost[i], fewest);
        high[i] = cost_per_reject(cost[i], most);
        middle[i] = fewest;
    }
    cascade_order(cost, middle, n, order);
    for (int k = 0; k + 1 < n; k++) {
        int a = order[k], b = order[k + 1];
        bool both_known = n_seen[a] == n_sample && n_seen[b] == n_sample;
        if (!both_known && !(high[a] < low[b]))
            return false;
    }
    return true;
}

#define LEAST_LATER 8

int cascade_later_batch(int batch, double pass_rate)
{
    int later = LEAST_LATER < batch ? LEAST_LATER : batch;

    while (later < 2 * pass_rate * batch && 2 * later <= batch)
        later *= 2;
    return later;
}

void cascade_reorder(struct cascade *cascade, const int *order)
{
    struct stage sorted[CASCADE_MAX_STAGES] = {0};

    for (int i = 0; i < cascade->n_stages; i++)
        sorted[i] = cascade->stages[order[i]];
    memcpy(cascade->stages, sorted, (size_t)cascade->n_stages * sizeof(sorted[0]));
}
