/*
 * A lane: one instance of the engine and its slots, shared by some workers. A crop takes the next place of
 * the slot that is being filled; whoever fills the last place runs the slot and delivers its results, while
 * the others fill the next one. With the CPU engine (one picture a slot, a lane for each worker) a crop is
 * run at once.
 */
#ifndef EYESORE_JOB_LANE_H
#define EYESORE_JOB_LANE_H

#include "io/picture.h"
#include "kernels/engine.h"

struct lane;
struct work;

/* A picture that waits for its result. */
struct ticket {
    struct work *work;
    uint64_t row;
    struct engine_request request;
    struct picture_info info;
};

/* Where results go; called by the worker that ran the slot. */
struct lane_receiver {
    struct pipeline *pipeline;
    void (*deliver)(struct pipeline *pipeline, const struct ticket *ticket,
                    const struct engine_result *result);
    /* The slot could not be computed: the shards of its pictures are abandoned. */
    void (*fail)(struct pipeline *pipeline, const struct ticket *ticket, enum status status);
};

/* IN size: side of a crop. OUT lane: lane_close. */
enum status lane_open(struct engine *engine, int size, struct lane_receiver receiver, struct lane **out);
void lane_close(struct lane *lane);

/* Put in a crop, uint8 [size, size, 3]; it is copied. Runs the slot when this filled it. */
void lane_put(struct lane *lane, const uint8_t *crop, const struct ticket *ticket);

/* No further crop is in sight: run what is there, unless others are still filling it (they will then do it).
 */
void lane_flush(struct lane *lane);

#endif
