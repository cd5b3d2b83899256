/*
 * Changes to a file of STRANGE_ROWS rows (of sample.h, opened for writing) after which it is none of ours.
 * Each is named in strange.c.
 */
#ifndef EYESORE_TESTS_RESULTS_STRANGE_H
#define EYESORE_TESTS_RESULTS_STRANGE_H

#include <hdf5.h>
#include <stddef.h>

#define STRANGE_ROWS 100

/* How a dataset is made anew. */
struct remake {
    hid_t type;
    int rank;
    hsize_t dims[3];
    hid_t options; /* H5P_DEFAULT, or closed by remake */
};

void strange_remake(hid_t file, const char *path, struct remake as);

/* An attribute of n values, or with rank 0 of one, in place of what is there. value: NULL for none written.
 */
void strange_attribute(hid_t file, const char *path, const char *key, hid_t type, int rank, hsize_t n,
                       const void *value);

extern const char *strange_folder; /* where a sweep.h5 is, for what refers to other files */

struct strange_change {
    const char *name;
    void (*change)(hid_t file);
};

extern const struct strange_change strange_changes[];
extern const size_t strange_n_changes;

#endif
