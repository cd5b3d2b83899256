/*
 * "did you mean ...?"
 */
#ifndef EYESORE_JOB_NEAREST_H
#define EYESORE_JOB_NEAREST_H

#include <stdbool.h>
#include <stddef.h>

/*
 * How many letters have to be changed, added, dropped or swapped with their neighbour to make `a` of `b`
 * (optimal string alignment distance). Words over 63 bytes are cut.
 */
int nearest_distance(const char *a, const char *b);

/* Is a word at this distance near enough to `given` to be worth proposing? */
bool nearest_plausible(const char *given, int distance);

/* The nearest word of "a|b|c", where one is plausible. */
bool nearest_choice(const char *choices, const char *given, char *word, size_t size);

#endif
