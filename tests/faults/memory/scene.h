/*
 * A piece of the program's work that is done again and again, each time with another allocation failing.
 */
#ifndef EYESORE_TESTS_MEMORY_SCENE_H
#define EYESORE_TESTS_MEMORY_SCENE_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* What came out, for comparison. */
struct outcome {
    uint64_t hash;
};

void outcome_add(struct outcome *outcome, const void *bytes, size_t n);
void outcome_add_text(struct outcome *outcome, const char *text);

/* Add a whole file. A file that cannot be read ends the test. */
void outcome_add_file(struct outcome *outcome, const char *path);

struct scene {
    const char *name;
    /* Make what run needs, in `folder`. A fault ends the test. */
    void (*prepare)(const char *folder);
    /* OUT outcome: on STATUS_OK, all that the work gave. Nothing may be left allocated. */
    enum status (*run)(const char *folder, struct outcome *outcome);
    /* Libraries' own allocations are left alone: for those that do not survive without (HDF5). */
    bool own_only;
};

/* Ending with an empty one. */
extern const struct scene scenes_of_io[], scenes_of_inputs[], scenes_of_results[];

/* "folder/name"; valid until 8 calls later. */
const char *scene_path(const char *folder, const char *name);

/* Write a file, or end the test. */
void scene_write(const char *path, const void *bytes, size_t n);

/* End the test: the scene cannot even be set up. */
_Noreturn void scene_fail(const char *what);

#endif
