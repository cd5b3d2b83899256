/*
 * A stage at one precision, made ready for this CPU: the lowered list as steps, weights packed once and
 * shared by all instances. Internal to kernels/cpu.
 */
#ifndef EYESORE_KERNELS_CPU_PROGRAM_H
#define EYESORE_KERNELS_CPU_PROGRAM_H

#include "kernels/cpu/onednn.h"
#include "kernels/cpu/ops.h"

struct step {
    struct primitive primitive; /* OP_CONV and pools */
    float *scale, *shift;       /* OP_SCALE: [c rounded up to block], zero beyond; owned */
    struct ops_cbam cbam;       /* OP_CBAM: points into the graph */
};

struct program {
    struct graph graph; /* lowered; owned. Convolution weights are dropped once they are packed */
    enum precision precision;
    struct step *steps; /* [graph.n_ops] */
    const struct ops *ops;
    float input_table[3][256]; /* the normalised value of each level */
    size_t arena_bytes, scratch_bytes, scratch_floats;
};

/* A program bound to one instance's memory. */
struct runner {
    const struct program *program;
    struct primitive_call *calls; /* [graph.n_ops] */
    unsigned char *arena;         /* the instance's */
    float *scratch;
};

enum status program_open(const struct stage *stage, enum precision precision, dnnl_engine_t engine,
                         struct program *out);
void program_close(struct program *program);

enum status runner_open(const struct program *program, unsigned char *arena, unsigned char *scratch,
                        struct runner *out);
void runner_close(struct runner *runner);

/*
 * Run up to the head: pixels uint8 [size, size, 3] to the head's input as f32.
 * OUT features: [ceil(c / block)][n_places][block]; means: [c rounded up], over the places.
 */
enum status runner_execute(const struct runner *runner, dnnl_stream_t stream, const uint8_t *pixels,
                           float *features, float *means);

/* The value of op `index` in the instance's memory (for tests: every op can be looked at after it ran). */
struct ops_map runner_map(const struct runner *runner, int index);

/* Run the op `index` alone, its inputs being in place. */
enum status runner_step(const struct runner *runner, dnnl_stream_t stream, const uint8_t *pixels, int index);

#endif
