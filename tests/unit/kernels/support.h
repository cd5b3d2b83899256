/* What the tests of kernels/ share: narrow networks, made-up values, a folder, and what was logged. */
#ifndef EYESORE_TESTS_KERNELS_SUPPORT_H
#define EYESORE_TESTS_KERNELS_SUPPORT_H

#include "kernels/cpu/program.h"
#include "kernels/networks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define NARROW_SIZE 64

/* A folder of this process, made on first use; support_teardown removes it and what is in it. */
const char *support_path(const char *name);
int support_teardown(void **state);

/* What is logged between the two, at most size - 1 bytes. */
void support_capture(void);
void support_captured(char *text, size_t size);

/* Uniform in [low, high), the same for the same seed. */
float support_random(uint64_t *state, float low, float high);
void support_fill(uint64_t seed, float low, float high, float *values, size_t n);
void support_fill_pixels(uint64_t seed, uint8_t *pixels, size_t n);

/*
 * Networks like the published ones and much narrower: DenseNet [2,2,2,2] growth 16, ResNet [2,1,1,1] width
 * 16, MobileNetV2 of 17 blocks with 8 to 64 channels (so some channel blocks are not full).
 */
struct geometry narrow_geometry(enum arch arch, enum cbam_layout attention, int n_classes);

/* Fill a declared network's tensors with values that keep activations near 1. */
void narrow_fill(uint64_t seed, const struct graph *graph);

/* Declare, build and fill. OUT: the caller frees both. */
void narrow_build(const struct geometry *geometry, uint64_t seed, struct weights **weights,
                  struct graph *graph);

/* The same, written to a file in the folder. Returns its path. */
const char *narrow_write(const struct geometry *geometry, uint64_t seed, const char *name);

/* A map of its own memory, zeroed; support_map_free frees. */
struct ops_map support_map_new(enum precision precision, int c, int h, int w, int block);
void support_map_free(struct ops_map *map);

/* Channel c (lanes beyond map->c may be read too) at place p, or planar where block is 0. */
float support_map_get(const struct ops_map *map, int block, int c, int p);
void support_map_set(const struct ops_map *map, int block, int c, int p, float value);

#endif
