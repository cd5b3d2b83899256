/*
 * What a picture is decoded to, and what is told about it. Used by fetch.h and decode.h.
 */
#ifndef EYESORE_IO_PICTURE_H
#define EYESORE_IO_PICTURE_H

#include "base/item.h"
#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/*
 * DECODE_EXACT agrees with Pillow to 1 level; DECODE_FAST lets libjpeg decode a JPEG at 1/2, 1/4 or 1/8 of
 * its size where that still is at least twice the size asked for, and is DECODE_EXACT for every other
 * picture.
 */
enum decode_mode { DECODE_EXACT, DECODE_FAST };

enum resample { RESAMPLE_BILINEAR, RESAMPLE_BICUBIC };

/* As torchvision's Resize(resize, antialias=True) and CenterCrop(size). */
struct picture_options {
    enum decode_mode mode;
    enum resample resample;
    int resize;          /* the shorter side after resizing, in pixels; 1..PICTURE_SIDE_LIMIT */
    int size;            /* side of the centre crop, in pixels; 1..PICTURE_SIDE_LIMIT */
    uint64_t max_pixels; /* a picture with more is ITEM_TOO_LARGE, told from its header */
};

#define PICTURE_SIDE_LIMIT 4096

/* EXACT, BILINEAR, 256, 224, and Pillow's limit against decompression bombs: 178,956,970 pixels. */
struct picture_options picture_options_default(void);

struct picture_info {
    enum item_status status;
    int32_t width, height;    /* as stored in the file, before orientation; 0: not known */
    int32_t orientation;      /* EXIF 1..8; 1 where the file has none */
    uint8_t content_hash[16]; /* XXH3-128 of the file's bytes, canonical (big-endian); 0 where unread */
    char message[192];        /* why status is not ITEM_OK; empty otherwise */
};

/* Nothing known yet: ITEM_OK, orientation 1, all else 0. */
void picture_info_reset(struct picture_info *info);

/* Set status and message. The first fault found is the cause: a later call leaves it as it is. */
void picture_fault(struct picture_info *info, enum item_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * Write width and height and check them: false, with ITEM_TOO_LARGE or ITEM_CORRUPT set, where they are out
 * of bounds. To be called before anything is allocated for the picture.
 */
bool picture_bounds(struct picture_info *info, const struct picture_options *options, int64_t width,
                    int64_t height);

#endif
