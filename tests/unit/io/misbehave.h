/*
 * A decode function for helpers under test: a file that begins with "!word" makes the helper do what the word
 * says (see misbehave.c); any other is decoded.
 */
#ifndef EYESORE_TESTS_IO_MISBEHAVE_H
#define EYESORE_TESTS_IO_MISBEHAVE_H

#include "io/decode.h"

enum status misbehave_or_decode(struct decoder *decoder, const uint8_t *bytes, size_t n,
                                const struct picture_options *options, uint8_t *crop,
                                struct picture_info *info);

#endif
