/*
 * An engine for testing what is above engine.h: its score of a picture is the number that its first pixel
 * spells, and it counts how it is used. It obeys engine.h as a GPU's would: a slot takes a batch, several
 * slots are in flight, computing takes time.
 */
#ifndef EYESORE_TESTS_COUNTING_ENGINE_H
#define EYESORE_TESTS_COUNTING_ENGINE_H

#include "kernels/engine.h"

struct counting_options {
    int batch, n_slots, max_instances;
    int size;       /* side of a crop */
    int map_side;   /* of the one map, filled with the score; 0: no maps */
    int fail_at;    /* the slot with this picture cannot be computed; -1: none */
    bool fail_late; /* in collect, not in submit */
    int delay_us;   /* of collect */
};

/* Over all instances. */
struct counting_totals {
    int n_pictures, n_slots_run, n_partial_slots;
    int n_misused; /* calls that engine.h does not allow: a slot submitted twice, two submits at a time, ...
                    */
    int most_in_flight; /* slots of one instance submitted and not collected, at once */
};

/* The picture's number as its pixels: [size, size, 3], all of one colour. 0 <= number < 2^24. */
void counting_paint(int number, int size, uint8_t *pixels);

/* Its score, exact in float. */
float counting_score(int number);

/* OUT engine: engine->close. */
enum status counting_engine_open(const struct counting_options *options, struct engine **out);
struct counting_totals counting_engine_totals(struct engine *engine);

#endif
