/*
 * What a call writes to stderr, so that tests can look at the messages users get.
 */
#ifndef EYESORE_TESTS_CAPTURE_H
#define EYESORE_TESTS_CAPTURE_H

#include <stddef.h>

/* Redirect stderr to a file. capture_end puts it back and copies what was written. */
void capture_begin(void);
void capture_end(char *text, size_t size);

#endif
