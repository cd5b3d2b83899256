/*
 * Numbers and words as people write them, parsed strictly (all of the text or nothing) and written back.
 */
#ifndef EYESORE_JOB_NUMBER_H
#define EYESORE_JOB_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decimal digits alone: no sign, no spaces, no overflow. */
bool number_parse_u64(const char *text, uint64_t *value);

/*
 * Digits and perhaps one of k, M, G, T (K and lower case too): powers of `unit`, which is 1000 for counts and
 * 1024 for bytes.
 */
bool number_parse_scaled(const char *text, uint64_t unit, uint64_t *value);

/* Seconds: digits and perhaps one of s, m, h, d. */
bool number_parse_time(const char *text, uint64_t *value_s);

/* "0.05" or "5%". Finite; the range is the caller's to check. */
bool number_parse_fraction(const char *text, double *value);

/* Decimal notation, finite, rounded once to float32. */
bool number_parse_float(const char *text, float *value);

/* The inverse of number_parse_scaled: "64M", "1500". OUT text: at least 32 bytes. */
void number_format_scaled(uint64_t value, uint64_t unit, char *text, size_t size);

/* The inverse of number_parse_time: "90s", "10m", in the largest unit that divides it. OUT text: at least 32
 * bytes. */
void number_format_time(uint64_t value_s, char *text, size_t size);

/* The inverse of number_parse_fraction: "5%", with as many digits as it takes to get the same number back. */
void number_format_fraction(double value, char *text, size_t size);

/* The place of `word` in "a|b|c", or -1. */
int choice_find(const char *choices, const char *word);

/* Word `index` of "a|b|c" copied to text; empty where there is none. */
void choice_name(const char *choices, int index, char *text, size_t size);

#endif
