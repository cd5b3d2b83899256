#include "tests/cuda/sim/kernel_head.h"

#include "kernels/gradcam.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct head_rules head_rules_make(int c, int n_places, int n_classes, const char *classes, const char *kind,
                                  float threshold, uint64_t seed)
{
    float spread = 4 / sqrtf((float)c);
    struct head_rules rules = {
        .stage = {.name = "gate", .threshold = threshold, .n_variants = 1},
        .c = c,
        .n_places = n_places,
        .weight = random_floats(seed, -spread, spread, (size_t)n_classes * (size_t)c),
        .bias = random_floats(seed + 1, -1, 1, (size_t)n_classes),
        .maps = KERNEL_MAPS_ALL,
    };

    assert_int_equal(class_set_parse("gate", classes, kind, n_classes, &rules.stage.classes), STATUS_OK);
    return rules;
}

void head_rules_free(struct head_rules *rules)
{
    class_set_free(&rules->stage.classes);
    free(rules->weight);
    free(rules->bias);
    free(rules->scale);
    free(rules->shift);
}

/* The features behind the prologue. Own memory. */
static float *behind_prologue(const struct head_rules *rules, const float *features)
{
    size_t n = (size_t)rules->c * (size_t)rules->n_places;
    float *values = malloc(n * sizeof(*values));

    assert_non_null(values);
    for (size_t i = 0; i < n; i++) {
        size_t c = i % (size_t)rules->c;
        float value = rules->scale == NULL ? features[i] : features[i] * rules->scale[c] + rules->shift[c];
        if (rules->activation != KERNEL_NONE && value < 0)
            value = 0;
        values[i] = rules->activation == KERNEL_RELU6 && value > 6 ? 6 : value;
    }
    return values;
}

static void expect_logits(const struct head_rules *rules, const float *features, float *logits)
{
    size_t c = (size_t)rules->c, n_places = (size_t)rules->n_places;

    for (int k = 0; k < rules->stage.classes.n_classes; k++) {
        double sum = 0;
        for (size_t i = 0; i < c * n_places; i++)
            sum += (double)rules->weight[(size_t)k * c + i % c] * features[i] / (double)n_places;
        logits[k] = (float)(sum + rules->bias[k]);
    }
}

static int state_after(enum stage_answer answer, bool exhaustive)
{
    if (answer == STAGE_SCORE_AGAIN)
        return ROW_AGAIN;
    return answer == STAGE_PASS || exhaustive ? ROW_WANTED : ROW_OFF;
}

/* As engine_cpu.c's make_map. */
static void expect_map(const struct head_rules *rules, const float *shares, const float *features,
                       struct head_expected *out)
{
    float *direction = malloc((size_t)rules->c * sizeof(*direction));

    assert_non_null(direction);
    gradcam_direction(rules->weight, shares, rules->stage.classes.n_classes, rules->c, rules->n_places,
                      direction);
    gradcam_raw(features, direction, rules->c, rules->c, rules->n_places, out->map);
    gradcam_rectify(out->map, rules->n_places);
    out->row.flags |= RESULT_MAP;
    for (int p = 0; p < rules->n_places; p++)
        if (!isfinite(out->map[p]))
            out->row.flags |= RESULT_NUMERIC_ERROR;
    free(direction);
}

struct head_expected head_expect(const struct head_rules *rules, int variant, bool exhaustive,
                                 const float *features)
{
    size_t n_classes = (size_t)rules->stage.classes.n_classes;
    struct head_expected out = {.logits = malloc(n_classes * sizeof(float)),
                                .map = malloc((size_t)rules->n_places * sizeof(float))};
    float *shares = malloc(n_classes * sizeof(*shares)), *values = behind_prologue(rules, features);

    assert_true(out.logits != NULL && out.map != NULL && shares != NULL);
    expect_logits(rules, values, out.logits);
    struct score score = score_logits(&rules->stage.classes, out.logits, shares);
    enum stage_answer answer = cascade_answer(&rules->stage, variant, score);
    out.row = (struct row_result){score.score, RESULT_RAN};
    if (answer == STAGE_NUMERIC_ERROR)
        out.row.flags |= RESULT_NUMERIC_ERROR;
    out.state = state_after(answer, exhaustive);
    if ((rules->maps == KERNEL_MAPS_ALL && answer != STAGE_SCORE_AGAIN) ||
        (rules->maps == KERNEL_MAPS_PASSED && answer == STAGE_PASS))
        expect_map(rules, shares, values, &out);
    free(shares);
    free(values);
    return out;
}

void head_expected_free(struct head_expected *expected)
{
    free(expected->logits);
    free(expected->map);
}

struct head_args head_args_make(const struct head_rules *rules, int variant, enum element element)
{
    const struct stage *stage = &rules->stage;
    size_t n_classes = (size_t)stage->classes.n_classes, c = (size_t)rules->c;
    uint8_t *watched = calloc(n_classes, 1);
    struct head_args args = {
        .prologue.activation = rules->activation,
        .weight = device_floats(rules->weight, n_classes * c),
        .bias = device_floats(rules->bias, n_classes),
        .n_classes = stage->classes.n_classes,
        .n_watched = stage->classes.n_watched,
        .only_class = stage->classes.n_watched == 1 ? stage->classes.watched[0] : -1,
        .kind = (enum kernel_head)stage->classes.kind,
        .maps = rules->maps,
        .threshold = stage->threshold,
        .threshold_margin = score_margin_of(stage->threshold),
        .band = (double)stage->variants[variant].band,
        .is_last_variant = variant + 1 == stage->n_variants,
        .element = element,
    };

    assert_non_null(watched);
    for (int i = 0; i < stage->classes.n_watched; i++)
        watched[stage->classes.watched[i]] = 1;
    args.watched = device_copy(watched, n_classes);
    if (rules->scale != NULL) {
        args.prologue.scale = device_floats(rules->scale, c);
        args.prologue.shift = device_floats(rules->shift, c);
    }
    free(watched);
    return args;
}

struct stage_results head_lay_out(const struct head_rules *rules, int batch, size_t *bytes)
{
    struct stage_results at = {.rows = (*bytes + 7) / 8 * 8};
    size_t n = (size_t)batch, n_classes = (size_t)rules->stage.classes.n_classes;

    at.logits = at.rows + n * sizeof(struct row_result);
    at.maps = (at.logits + n * n_classes * sizeof(float) + 7) / 8 * 8;
    *bytes = at.maps + n * (size_t)rules->n_places * sizeof(float);
    return at;
}

void head_assert_row(const struct head_rules *rules, const unsigned char *results, struct stage_results at,
                     int row, const struct head_expected *expected)
{
    const struct row_result *got = (const struct row_result *)(const void *)(results + at.rows) + row;
    int n_classes = rules->stage.classes.n_classes;
    const float *logits = (const float *)(const void *)(results + at.logits) + (size_t)(row * n_classes);
    const float *map = (const float *)(const void *)(results + at.maps) + (size_t)(row * rules->n_places);

    assert_near(got->score, expected->row.score, 1e-4f, 1e-6f, "score", (size_t)row);
    assert_int_equal(got->flags, expected->row.flags);
    for (int k = 0; k < n_classes; k++)
        assert_near(logits[k], expected->logits[k], 1e-5f, 1e-5f, "logits", (size_t)k);
    for (int p = 0; (got->flags & RESULT_MAP) != 0 && p < rules->n_places; p++)
        assert_near(map[p], expected->map[p], 1e-4f, 1e-5f, "map", (size_t)p);
}
