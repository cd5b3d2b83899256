/*
 * What the fuzz targets share. A target is LLVMFuzzerTestOneInput in fuzz_NAME.c: libFuzzer calls it with
 * inputs of its own making (preset fuzz, tests/fuzz/run.sh), replay.c with the files of seeds/NAME and
 * regressions/NAME (every build).
 */
#ifndef EYESORE_TESTS_FUZZ_TARGET_H
#define EYESORE_TESTS_FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* bytes: [n], any. Always 0; what must not happen ends the process. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* Called once, before the first input. */
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* Change bytes in place: [n] of [capacity]. Answers the new length. */
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t n, size_t capacity, unsigned int seed);

/* libFuzzer's own. */
size_t LLVMFuzzerMutate(uint8_t *bytes, size_t n, size_t capacity);

/* Unlike assert: also in a release build. */
#define MUST(holds)                                                                                          \
    do {                                                                                                     \
        if (!(holds)) {                                                                                      \
            fprintf(stderr, "%s:%d: this does not hold: %s\n", __FILE__, __LINE__, #holds);                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

/* A file with these bytes, for code that opens its input by name. Good until the next call. */
const char *bytes_file(const uint8_t *bytes, size_t n);

/* How many inputs were good ones: seeds that are all refused would prove nothing (replay.c). Each target
 * counts. */
extern uint64_t n_accepted;

#endif
