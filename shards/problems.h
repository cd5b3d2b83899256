/*
 * The faults of a manifest: the first ten by line, and how many there are.
 */
#ifndef EYESORE_SHARDS_PROBLEMS_H
#define EYESORE_SHARDS_PROBLEMS_H

#include <stddef.h>
#include <stdint.h>

#define PROBLEMS_SHOWN 10

struct problem {
    uint64_t line;
    char text[512];
};

struct problems {
    struct problem shown[PROBLEMS_SHOWN]; /* ascending by line */
    size_t n_shown;
    uint64_t n_total;
};

void problems_add(struct problems *problems, uint64_t line, const char *text);

/* Count some that are not shown. */
void problems_count(struct problems *problems, uint64_t n);

/* One log line each, `path:line: text`, and one with the total. Nothing where there are none. */
void problems_log(const struct problems *problems, const char *path);

#endif
