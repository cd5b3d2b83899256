#include "io/axis.h"

#include "io/grow.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void axis_resized_sides(int width, int height, int resize, int64_t *new_width, int64_t *new_height)
{
    int64_t shorter = width < height ? width : height, longer = width < height ? height : width;
    int64_t new_longer = (int64_t)((double)(resize * longer) / (double)shorter);

    *new_width = width <= height ? resize : new_longer;
    *new_height = width <= height ? new_longer : resize;
}

static double filter_bilinear(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

/* Keys' cubic with a = -0.5, in the form whose rounding Pillow's has. */
static double filter_bicubic(double x)
{
    const double a = -0.5;

    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

/* The samples and fixed-point weights that make resized sample `at`. */
struct window {
    enum resample resample;
    int n_source;
    double scale; /* source samples per output sample */
};

static double window_support(const struct window *w)
{
    return (w->resample == RESAMPLE_BICUBIC ? 2.0 : 1.0) * (w->scale < 1.0 ? 1.0 : w->scale);
}

static void window_bounds(const struct window *w, int64_t at, int *first, int *count)
{
    double center = ((double)at + 0.5) * w->scale, support = window_support(w);
    double low = center - support + 0.5, high = center + support + 0.5;
    int begin = low < 0 ? 0 : (int)low, end = high > w->n_source ? w->n_source : (int)high;

    *first = begin;
    *count = end - begin;
}

static void window_weights(const struct window *w, int64_t at, int first, int count, double *real,
                           int32_t *fixed)
{
    double (*filter)(double) = w->resample == RESAMPLE_BICUBIC ? filter_bicubic : filter_bilinear;
    double center = ((double)at + 0.5) * w->scale, inverse = 1.0 / (w->scale < 1.0 ? 1.0 : w->scale),
           sum = 0.0;

    for (int k = 0; k < count; k++) {
        real[k] = filter((k + first - center + 0.5) * inverse);
        sum += real[k];
    }
    for (int k = 0; k < count; k++) {
        double value = (sum != 0.0 ? real[k] / sum : real[k]) * (1 << AXIS_WEIGHT_BITS);
        fixed[k] = (int32_t)(value < 0 ? value - 0.5 : value + 0.5);
    }
}

/* Python's round((n_resized - n_out) / 2.0): halves go to the even side. */
static int64_t crop_first(int64_t n_resized, int n_out)
{
    return (int64_t)rint((double)(n_resized - n_out) / 2.0);
}

static void plan_tap(struct axis *axis, const struct window *w, int i, int64_t at, bool mirrored)
{
    struct axis_tap *tap = &axis->taps[i];
    int first, count;

    window_bounds(w, at, &first, &count);
    int32_t *weights = axis->weights + tap->weights;
    window_weights(w, at, first, count, axis->scratch, weights);
    if (mirrored) {
        first = w->n_source - first - count;
        for (int k = 0; k < count / 2; k++) {
            int32_t kept = weights[k];
            weights[k] = weights[count - 1 - k];
            weights[count - 1 - k] = kept;
        }
    }
    tap->first = first;
    tap->count = count;
    axis->begin = first < axis->begin ? first : axis->begin;
    axis->end = first + count > axis->end ? first + count : axis->end;
    axis->max_count = count > axis->max_count ? count : axis->max_count;
}

enum status axis_plan(struct axis *axis, enum resample resample, int n_source, double extent,
                      int64_t n_resized, int n_out, bool mirrored)
{
    enum status rc = STATUS_OK;
    struct window w = {resample, n_source, extent / (double)n_resized};
    int padding = n_resized < n_out ? (int)((n_out - n_resized) / 2) : 0;
    int n_valid = n_resized < n_out ? (int)n_resized : n_out;
    int64_t crop = n_resized < n_out ? 0 : crop_first(n_resized, n_out);
    size_t most = 2 * (size_t)ceil(window_support(&w)) + 1;

    most = most < (size_t)n_source ? most : (size_t)n_source;
    most += most % 2; /* axis_pair_weights */
    GROW(axis->taps, axis->taps_capacity, (size_t)n_out);
    GROW(axis->weights, axis->weights_capacity, most * (size_t)n_valid);
    GROW(axis->scratch, axis->scratch_capacity, most);
    axis->n_out = n_out;
    axis->begin = n_source;
    axis->end = 0;
    axis->max_count = 1;
    memset(axis->taps, 0, (size_t)n_out * sizeof(*axis->taps));
    axis->valid_begin = mirrored ? n_out - padding - n_valid : padding;
    axis->valid_end = axis->valid_begin + n_valid;
    for (int j = 0; j < n_valid; j++) {
        int i = mirrored ? n_out - 1 - padding - j : padding + j;
        axis->taps[i].weights = (size_t)j * most;
        plan_tap(axis, &w, i, crop + j, mirrored);
    }
out:
    return rc;
}

enum status axis_pair_weights(struct axis *axis)
{
    enum status rc = STATUS_OK;

    GROW(axis->pairs, axis->pairs_capacity, 4 * axis->weights_capacity);
    for (int i = axis->valid_begin; i < axis->valid_end; i++) {
        const struct axis_tap *tap = &axis->taps[i];
        const int32_t *weights = axis->weights + tap->weights;
        int32_t *pairs = axis->pairs + 4 * tap->weights;
        for (int k = 0; k < tap->count + tap->count % 2; k++)
            for (int lane = 0; lane < 4; lane++)
                pairs[4 * k + lane] = k < tap->count ? weights[k] : 0;
    }
out:
    return rc;
}

void axis_free(struct axis *axis)
{
    free(axis->taps);
    free(axis->weights);
    free(axis->pairs);
    free(axis->scratch);
    *axis = (struct axis){0};
}
