/*
 * Fingerprints: a short text of `key=value` lines, kept beside what it identifies, and its SHA-256. Two texts
 * that differ can be compared line by line, so a mismatch names the field, never just "the hash differs".
 */
#ifndef EYESORE_BASE_FINGERPRINT_H
#define EYESORE_BASE_FINGERPRINT_H

#include "base/status.h"

#include <stddef.h>

#define SHA256_HEX_SIZE 65 /* 64 digits and the NUL */

struct fingerprint {
    char *text;                /* lines `key=value\n`, in the order added; owned */
    size_t used;               /* bytes of text, without its NUL */
    bool failed;               /* an add ran out of memory; told by fingerprint_close */
    char hex[SHA256_HEX_SIZE]; /* set by fingerprint_close */
};

/* Zero-initialise, add lines, close, free. Values must not contain newlines (they become spaces). */
void fingerprint_add(struct fingerprint *fp, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
enum status fingerprint_close(struct fingerprint *fp);
void fingerprint_free(struct fingerprint *fp);

/*
 * Describe the first line in which two texts differ: `threshold.resnet50: was 0.65, is 0.7`.
 * OUT difference: cut to size. Returns false where they are equal.
 */
bool fingerprint_difference(const char *was, const char *is, char *difference, size_t size);

enum status sha256_bytes(const void *bytes, size_t size, char hex[SHA256_HEX_SIZE]);

#endif
