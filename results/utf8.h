/* UTF-8 (RFC 3629), as far as results/ needs it. */
#ifndef EYESORE_RESULTS_UTF8_H
#define EYESORE_RESULTS_UTF8_H

#include <stddef.h>

/* Bytes (1..4) of the well-formed character that starts bytes[0..size), size > 0; 0 where there is none. */
size_t utf8_character_size(const char *bytes, size_t size);

#endif
