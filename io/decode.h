/*
 * From a picture file's bytes to the crop that a network sees.
 */
#ifndef EYESORE_IO_DECODE_H
#define EYESORE_IO_DECODE_H

#include "io/picture.h"

struct decoder;

/* One per thread. STATUS_MEMORY, or OK. */
enum status decoder_open(struct decoder **out);

void decoder_close(struct decoder *decoder);

/*
 * Decode a JPEG, PNG, WebP or GIF (its first frame), turn it upright, lay it over white, resize and crop.
 *
 * bytes: [n], the file. OUT crop: uint8 [size, size, 3], RGB, written where info->status ends as ITEM_OK or
 * ITEM_TRUNCATED, and undefined otherwise. OUT info: all of it; what it held before is lost.
 *
 * A fault of the picture is STATUS_OK with info->status and info->message. STATUS_MEMORY: no memory for a
 * picture within the bounds; the decoder can go on with the next. STATUS_INPUT: options out of range.
 *
 * Memory: a baseline JPEG or a plain PNG streams by rows, whatever its size. A progressive JPEG holds its
 * coefficients (at most 400 MiB, or it is ITEM_TOO_LARGE), an interlaced PNG 4 bytes a pixel, a GIF 1, a WebP
 * 8; what exceeds 64 MiB is given back after the picture.
 */
enum status decoder_decode(struct decoder *decoder, const uint8_t *bytes, size_t n,
                           const struct picture_options *options, uint8_t *crop, struct picture_info *info);

#endif
