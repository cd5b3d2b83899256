/*
 * Strict UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF.
 */
#ifndef EYESORE_SHARDS_UTF8_H
#define EYESORE_SHARDS_UTF8_H

#include <stddef.h>

/* How many leading bytes are whole, valid UTF-8; `size` where all are. NUL counts as valid. */
size_t utf8_valid_bytes(const char *bytes, size_t size);

#endif
