/* Names and their numbers: each different name once, numbered 0, 1, ... in the order they came. */
#ifndef EYESORE_JOB_STATUS_NAMES_H
#define EYESORE_JOB_STATUS_NAMES_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* Zero-initialised: none. */
struct names {
    char **items; /* [n] owned */
    size_t n, room;
    uint32_t *slots; /* [n_slots] a hash table of numbers + 1; 0: free */
    size_t n_slots;
};

/* OUT number: of the name, which is added where it is new. STATUS_MEMORY. */
enum status names_number(struct names *names, const char *name, uint32_t *number);

void names_free(struct names *names);

#endif
