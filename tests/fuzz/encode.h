/* Pictures written in each format and its variants, so that all decoders are tried wherever some picture is
 * at hand. */
#ifndef EYESORE_TESTS_FUZZ_ENCODE_H
#define EYESORE_TESTS_FUZZ_ENCODE_H

#include <stddef.h>
#include <stdint.h>

enum encoding {
    ENCODE_JPEG,
    ENCODE_JPEG_PROGRESSIVE,
    ENCODE_JPEG_GRAY,
    ENCODE_JPEG_CMYK,
    ENCODE_PNG,
    ENCODE_PNG_INTERLACED,
    ENCODE_WEBP,
    ENCODE_WEBP_LOSSLESS,
    ENCODE_GIF,
    ENCODE_GIF_INTERLACED,
    ENCODING_COUNT
};

const char *encoding_name(enum encoding encoding);

/* rgb: uint8 [side, side, 3]. Answers the file, [*n], which the caller frees; NULL where it cannot be made.
 */
uint8_t *encode(enum encoding encoding, const uint8_t *rgb, int side, size_t *n);

#endif
