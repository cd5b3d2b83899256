/*
 * Resize, orient and crop a picture while its rows arrive, top to bottom as stored: no buffer of the whole
 * picture is needed. The result is Pillow's to the bit: horizontal pass first (as oriented), rounded to 8
 * bits, then the vertical one.
 *
 * Where the orientation swaps the axes, the pass that comes first runs down the stored columns; the rows that
 * it needs at a time wait in a ring.
 */
#ifndef EYESORE_IO_RESIZE_H
#define EYESORE_IO_RESIZE_H

#include "io/axis.h"
#include "io/passes.h"

struct resizer {
    struct axis across, down; /* the stored rows' and the stored columns' axis */
    int orientation;
    int size;
    int next_out;  /* stored output row to be made next */
    int next_row;  /* stored source row to be pushed next */
    uint8_t *crop; /* OUT [size, size, 3] */
    uint8_t *rows; /* ring of rows of 4 bytes a sample */
    size_t rows_capacity;
    uint8_t *line; /* one row in between */
    size_t line_capacity;
    int ring_rows;
    size_t row_bytes; /* of a row in the ring */
};

/* What is pushed: where a scaled decode made stored_* of the file's size. */
struct resize_source {
    int width, height;                  /* samples that will be pushed, as stored */
    double extent_width, extent_height; /* what they stand for; equal to width, height unless scaled */
    int full_width, full_height;        /* of the picture before any scaling: decides the resized sides */
    int orientation;                    /* EXIF 1..8 */
};

/*
 * Plan for one picture. After it rows [down.begin, down.end) are to be pushed, of which samples
 * [across.begin, across.end) are looked at. crop is written as rows complete: black where nothing is pushed.
 * STATUS_MEMORY, or OK. Zero-initialise the resizer before its first use; resizer_free after its last.
 */
enum status resizer_plan(struct resizer *resizer, const struct picture_options *options,
                         const struct resize_source *source, uint8_t *crop);

/*
 * Push one stored row, 4 bytes a sample (R, G, B, anything); row numbers must grow by 1 from down.begin on.
 * rgbx points at sample across.begin; those of [across.begin, across.end) count, and PASS_PADDING bytes
 * behind them must be there to be read.
 */
void resizer_push(struct resizer *resizer, const uint8_t *rgbx);

/* The rows that never came are `fill` (grey level): black for a truncated RGB, white for a transparent one.
 */
enum status resizer_finish(struct resizer *resizer, const uint8_t fill[4]);

void resizer_free(struct resizer *resizer);

#endif
