/*
 * What the decoders of the single formats share. Private to io/.
 *
 * Each format has one function. It checks the header against the bounds before it allocates, tells a fault of
 * the picture through info, and answers an error status only where memory ran out. On ITEM_OK and
 * ITEM_TRUNCATED the crop is written.
 */
#ifndef EYESORE_IO_FORMAT_H
#define EYESORE_IO_FORMAT_H

#include "io/picture.h"
#include "io/resize.h"

struct decoding {
    const uint8_t *bytes;
    size_t n;
    const struct picture_options *options;
    uint8_t *crop;
    struct picture_info *info;
    struct resizer *resizer;
    uint8_t **pixels; /* the decoder's scratch, see grow.h: a row, or where a format needs it the picture */
    size_t *pixels_capacity;
};

enum status jpeg_decode(struct decoding *d);
enum status png_decode(struct decoding *d);
enum status webp_decode(struct decoding *d);
enum status gif_decode(struct decoding *d);

/* Plan the resize of an unscaled picture of info's sides and orientation. */
enum status decoding_plan(struct decoding *d);

/* Lay n samples of RGBA over white, in place. */
void decoding_over_white(uint8_t *rgba, size_t n);

#endif
