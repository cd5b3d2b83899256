#include "io/decode.h"

#include "io/format.h"
#include "io/grow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define KEPT_BYTES ((size_t)64 << 20)

struct decoder {
    struct resizer resizer;
    uint8_t *pixels;
    size_t pixels_capacity;
};

enum status decoder_open(struct decoder **out)
{
    enum status rc = STATUS_OK;
    struct decoder *decoder = calloc(1, sizeof(*decoder));

    if (decoder == NULL)
        FAIL(STATUS_MEMORY, "no memory for a decoder");
    *out = decoder;
out:
    return rc;
}

void decoder_close(struct decoder *decoder)
{
    if (decoder == NULL)
        return;
    resizer_free(&decoder->resizer);
    free(decoder->pixels);
    free(decoder);
}

enum status decoding_plan(struct decoding *d)
{
    int width = d->info->width, height = d->info->height;
    struct resize_source source = {.width = width,
                                   .height = height,
                                   .extent_width = width,
                                   .extent_height = height,
                                   .full_width = width,
                                   .full_height = height,
                                   .orientation = d->info->orientation};

    return resizer_plan(d->resizer, d->options, &source, d->crop);
}

void decoding_over_white(uint8_t *rgba, size_t n)
{
    for (size_t i = 0; i < n; i++, rgba += 4) {
        unsigned int alpha = rgba[3];
        for (int c = 0; c < 3; c++) { /* /255, rounded */
            unsigned int sum = rgba[c] * alpha + 255 * (255 - alpha) + 128;
            rgba[c] = (uint8_t)((sum + (sum >> 8)) >> 8);
        }
    }
}

static bool starts_with(const uint8_t *bytes, size_t n, const char *magic, size_t n_magic)
{
    return n >= n_magic && memcmp(bytes, magic, n_magic) == 0;
}

/* The name of a format that is known but not decoded, for the message. */
static const char *foreign_format(const uint8_t *bytes, size_t n)
{
    static const struct {
        const char *magic;
        size_t n, at;
        const char *name;
    } known[] = {
        {"BM", 2, 0, "a BMP"},         {"II*\0", 4, 0, "a TIFF"},         {"MM\0*", 4, 0, "a TIFF"},
        {"\0\0\1\0", 4, 0, "an icon"}, {"ftypavif", 8, 4, "an AVIF"},     {"ftyphei", 7, 4, "a HEIF"},
        {"ftypmif1", 8, 4, "a HEIF"},  {"\xff\x0a", 2, 0, "a JPEG XL"},   {"JXL ", 4, 4, "a JPEG XL"},
        {"jP  ", 4, 4, "a JPEG 2000"}, {"%PDF", 4, 0, "a PDF"},           {"<svg", 4, 0, "an SVG"},
        {"<?xml", 5, 0, "XML"},        {"<!DOCTYPE", 9, 0, "a web page"}, {"<html", 5, 0, "a web page"},
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (n >= known[i].at && starts_with(bytes + known[i].at, n - known[i].at, known[i].magic, known[i].n))
            return known[i].name;
    return "of an unknown kind";
}

static enum status decode_by_magic(struct decoding *d)
{
    const uint8_t *bytes = d->bytes;
    size_t n = d->n;

    if (starts_with(bytes, n, "\xff\xd8", 2))
        return jpeg_decode(d);
    if (starts_with(bytes, n, "\x89PNG\r\n\x1a\n", 8))
        return png_decode(d);
    if (starts_with(bytes, n, "RIFF", 4) && n >= 12 && memcmp(bytes + 8, "WEBP", 4) == 0)
        return webp_decode(d);
    if (starts_with(bytes, n, "GIF87a", 6) || starts_with(bytes, n, "GIF89a", 6))
        return gif_decode(d);
    if (n == 0)
        picture_fault(d->info, ITEM_CORRUPT, "the file is empty");
    else
        picture_fault(d->info, ITEM_UNSUPPORTED, "the file is %s, not a JPEG, PNG, WebP or GIF",
                      foreign_format(bytes, n));
    return STATUS_OK;
}

/*
 * Some libraries call a picture broken where memory ran out, and no picture must be blamed for that. malloc
 * leaves its word in errno then; since it may do so where it found memory elsewhere after all, what is not
 * whole is decoded once more before memory is blamed.
 */
static enum status decode_with_care(struct decoding *d)
{
    enum status rc = STATUS_OK;
    struct picture_info before = *d->info;

    for (int attempt = 0; attempt < 2; attempt++) {
        *d->info = before;
        errno = 0;
        TRY(decode_by_magic(d));
        if (d->info->status == ITEM_OK || errno != ENOMEM)
            goto out;
    }
    FAIL(STATUS_MEMORY, "no memory to decode a picture of %zu bytes", d->n);
out:
    return rc;
}

enum status decoder_decode(struct decoder *decoder, const uint8_t *bytes, size_t n,
                           const struct picture_options *options, uint8_t *crop, struct picture_info *info)
{
    enum status rc = STATUS_OK;
    struct decoding d = {
        bytes, n, options, crop, info, &decoder->resizer, &decoder->pixels, &decoder->pixels_capacity};
    XXH128_canonical_t hash;

    picture_info_reset(info);
    if (options->resize < 1 || options->resize > PICTURE_SIDE_LIMIT || options->size < 1 ||
        options->size > PICTURE_SIDE_LIMIT)
        FAIL(STATUS_INPUT, "resize %d, size %d: expected 1 to %d pixels", options->resize, options->size,
             PICTURE_SIDE_LIMIT);
    XXH128_canonicalFromHash(&hash, XXH3_128bits(bytes, n));
    memcpy(info->content_hash, hash.digest, sizeof(info->content_hash));
    TRY(decode_with_care(&d));
out:
    if (decoder->pixels_capacity > KEPT_BYTES) {
        free(decoder->pixels);
        decoder->pixels = NULL;
        decoder->pixels_capacity = 0;
    }
    return rc;
}
