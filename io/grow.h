/*
 * Scratch that grows and is reused, so that nothing is allocated per picture once a worker is warm.
 */
#ifndef EYESORE_IO_GROW_H
#define EYESORE_IO_GROW_H

#include "base/status.h"

#include <stdint.h>
#include <stdlib.h>

/*
 * Make `pointer` hold at least `wanted` elements; what it held is lost when it grows. For use in a function
 * with `rc` and `out:`; STATUS_MEMORY where there is none left.
 */
#define GROW(pointer, capacity, wanted)                                                                      \
    do {                                                                                                     \
        size_t grow_wanted_ = (wanted);                                                                      \
        if (grow_wanted_ > (capacity)) {                                                                     \
            free(pointer);                                                                                   \
            (capacity) = 0;                                                                                  \
            (pointer) = grow_wanted_ > SIZE_MAX / sizeof(*(pointer))                                         \
                            ? NULL                                                                           \
                            : aligned_alloc(64, (grow_wanted_ * sizeof(*(pointer)) + 63) / 64 * 64);         \
            if ((pointer) == NULL)                                                                           \
                FAIL(STATUS_MEMORY,                                                                          \
                     "no memory for %zu bytes of a picture: fewer workers, or a smaller "                    \
                     "--max-pixels",                                                                         \
                     grow_wanted_ * sizeof(*(pointer)));                                                     \
            (capacity) = grow_wanted_;                                                                       \
        }                                                                                                    \
    } while (0)

#endif
