#include "tests/unit/kernels/support.h"

#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_PATHS 64

static char folder[64];
static char paths[MAX_PATHS][256];
static int n_paths;
static int kept = -1;
static FILE *sink;

const char *support_path(const char *name)
{
    if (folder[0] == '\0') {
        snprintf(folder, sizeof(folder), "/tmp/eyesore-kernels-XXXXXX");
        assert_non_null(mkdtemp(folder));
    }
    char *path = paths[n_paths++ % MAX_PATHS];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st, (void)kind, (void)where;
    return remove(path);
}

int support_teardown(void **state)
{
    (void)state;
    int failed = folder[0] == '\0' ? 0 : nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    folder[0] = '\0';
    return failed;
}

void support_capture(void)
{
    sink = tmpfile();
    kept = dup(STDERR_FILENO);
    assert_true(sink != NULL && kept >= 0);
    assert_true(dup2(fileno(sink), STDERR_FILENO) >= 0);
}

void support_captured(char *text, size_t size)
{
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    close(kept);
    rewind(sink);
    text[fread(text, 1, size - 1, sink)] = '\0';
    fclose(sink);
}

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

float support_random(uint64_t *state, float low, float high)
{
    return low + (high - low) * (float)(random_next(state) >> 40) * 0x1p-24f;
}

void support_fill(uint64_t seed, float low, float high, float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        values[i] = support_random(&seed, low, high);
}

void support_fill_pixels(uint64_t seed, uint8_t *pixels, size_t n)
{
    for (size_t i = 0; i < n; i++)
        pixels[i] = (uint8_t)(random_next(&seed) >> 56);
}

static void narrow_mobilenet(struct geometry *g)
{
    static const int channels[17] = {8, 16, 16, 24, 24, 24, 24, 24, 24, 24, 32, 32, 32, 40, 40, 40, 64};
    int c = g->stem = 16;

    mobilenet_v2_geometry(g);
    g->stem = c;
    for (int n = 0; n < g->n_residuals; n++) {
        g->expanded[n] = n == 0 ? c : 3 * c;
        g->projected[n] = c = channels[n];
    }
    g->last = 96;
}

struct geometry narrow_geometry(enum arch arch, enum cbam_layout attention, int n_classes)
{
    struct geometry g = {.arch = arch, .attention = attention, .n_classes = n_classes};

    snprintf(g.name, sizeof(g.name), "narrow");
    if (arch == ARCH_MOBILENET_V2) {
        narrow_mobilenet(&g);
        return g;
    }
    for (int i = 0; i < 4; i++)
        g.layers[i] = arch == ARCH_DENSENET || i == 0 ? 2 : 1;
    g.stem = arch == ARCH_DENSENET ? 32 : 16;
    g.growth = 16;
    g.bottleneck = 64;
    g.width = 16;
    g.block_out = 64;
    return g;
}

static void fill_tensor(uint64_t *state, const struct tensor *t, float low, float high)
{
    for (int64_t i = 0; t != NULL && i < t->n_elements; i++)
        t->own[i] = support_random(state, low, high);
}

static void fill_batch_norm(uint64_t *state, struct tensor *const *bn)
{
    fill_tensor(state, bn[BN_WEIGHT], 0.7f, 1.3f);
    fill_tensor(state, bn[BN_BIAS], -0.2f, 0.2f);
    fill_tensor(state, bn[BN_MEAN], -0.2f, 0.2f);
    fill_tensor(state, bn[BN_VAR], 0.6f, 1.4f);
}

void narrow_fill(uint64_t seed, const struct graph *graph)
{
    for (int i = 0; i < graph->n_ops; i++) {
        const struct op *op = &graph->ops[i];
        const struct tensor *w = op->param[0];
        float limit = w == NULL ? 0 : sqrtf(6 * (float)w->dim[0] / (float)w->n_elements); /* He, uniform */
        if (op->kind == OP_CONV) {
            /* A depthwise kernel of one sign: a smoothing, which does not blow rounding errors up. */
            fill_tensor(&seed, w, op->groups > 1 ? 0 : -limit, limit);
        } else if (op->kind == OP_BATCH_NORM) {
            fill_batch_norm(&seed, op->param);
        } else if (op->kind == OP_HEAD) {
            fill_tensor(&seed, w, -limit, limit);
            fill_tensor(&seed, op->param[HEAD_BIAS], -1, 1);
        } else if (op->kind == OP_CBAM) {
            for (int k = CBAM_FC1_WEIGHT; k <= CBAM_FC2_BIAS; k++)
                fill_tensor(&seed, op->param[k], -0.5f, 0.5f);
            fill_tensor(&seed, op->param[CBAM_CONV], -0.2f, 0.2f);
            fill_batch_norm(&seed, op->param + CBAM_BN_WEIGHT);
        }
    }
}

void narrow_build(const struct geometry *geometry, uint64_t seed, struct weights **weights,
                  struct graph *graph)
{
    assert_int_equal(weights_declare(weights), STATUS_OK);
    assert_int_equal(network_build(geometry, *weights, NARROW_SIZE, graph), STATUS_OK);
    narrow_fill(seed, graph);
}

const char *narrow_write(const struct geometry *geometry, uint64_t seed, const char *name)
{
    const char *path = support_path(name);
    struct weights *weights;
    struct graph graph;

    narrow_build(geometry, seed, &weights, &graph);
    assert_int_equal(weights_write(weights, path, "a test"), STATUS_OK);
    graph_free(&graph);
    weights_close(weights);
    return path;
}

struct ops_map support_map_new(enum precision precision, int c, int h, int w, int block)
{
    size_t n = (size_t)((c + block - 1) / block * block) * (size_t)(h * w);
    struct ops_map map = {.precision = precision, .c = c, .h = h, .w = w};
    map.data = aligned_alloc(64, (n * 4 + 63) / 64 * 64);
    assert_non_null(map.data);
    memset(map.data, 0, n * 4);
    return map;
}

void support_map_free(struct ops_map *map)
{
    free(map->data);
    map->data = NULL;
}

static size_t map_index(const struct ops_map *map, int block, int c, int p)
{
    size_t n = (size_t)map->h * (size_t)map->w;
    if (block == 0)
        return (size_t)c * n + (size_t)p;
    return ((size_t)(c / block) * n + (size_t)p) * (size_t)block + (size_t)(c % block);
}

float support_map_get(const struct ops_map *map, int block, int c, int p)
{
    size_t at = map_index(map, block, c, p);
    float value;

    if (map->precision == PRECISION_BF16) {
        uint16_t raw;
        memcpy(&raw, map->data + 2 * at, sizeof(raw));
        uint32_t bits = (uint32_t)raw << 16;
        memcpy(&value, &bits, sizeof(value));
    } else {
        memcpy(&value, map->data + 4 * at, sizeof(value));
    }
    return value;
}

void support_map_set(const struct ops_map *map, int block, int c, int p, float value)
{
    size_t at = map_index(map, block, c, p);

    if (map->precision == PRECISION_BF16) { /* to nearest even */
        uint32_t bits;
        memcpy(&bits, &value, sizeof(bits));
        uint16_t raw = (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
        memcpy(map->data + 2 * at, &raw, sizeof(raw));
    } else {
        memcpy(map->data + 4 * at, &value, sizeof(value));
    }
}
