/*
 * The one thing EXIF is read for: which way up the picture is.
 */
#ifndef EYESORE_IO_EXIF_H
#define EYESORE_IO_EXIF_H

#include <stddef.h>
#include <stdint.h>

/*
 * Orientation (tag 0x0112) of the first directory of a TIFF block, with or without `Exif\0\0` before it.
 * Answers what is stored there (usually 1..8; 0 and larger values occur), or -1 where there is no such tag or
 * the block is broken. Never reads outside [bytes, bytes+n).
 *
 * Source: Exif 2.32, section 4.6; TIFF 6.0, section 2.
 */
int32_t exif_orientation(const uint8_t *bytes, size_t n);

/*
 * The same from an XMP packet: the digit after `tiff:Orientation="` or `tiff:Orientation>`, or -1. Pillow
 * looks there where EXIF has no orientation, so DECODE_EXACT has to.
 */
int32_t exif_xmp_orientation(const uint8_t *bytes, size_t n);

/* EXIF's answer, else XMP's, as an orientation 1..8; all that is neither is 1. */
int32_t exif_choose(int32_t exif, int32_t xmp);

#endif
