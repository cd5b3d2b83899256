/*
 * The checksums of a part (schema.h): attributes named `xxh3`, XXH3-64 of the bytes of each dataset, and one
 * of the root's attributes. They find torn, changed and mixed-up files, not forged ones.
 */
#ifndef EYESORE_RESULTS_CHECKSUM_H
#define EYESORE_RESULTS_CHECKSUM_H

#include "results/h5.h"

#define CHECKSUM_ATTRIBUTE "xxh3"

/* XXH3-64 of `size` bytes; bytes may be NULL with size 0. */
uint64_t checksum_bytes(const void *bytes, size_t size);

/* Attach a dataset's checksum to it. `name` is the file's, `path` the dataset's, for messages. */
enum status checksum_put(hid_t dataset, const char *name, const char *path, uint64_t sum);

/* Read a dataset's checksum. STATUS_INPUT where it has none. */
enum status checksum_get(hid_t file, const char *name, const char *path, uint64_t *sum);

/*
 * Write the root's own: XXH3-64 over its other attributes in the order of their names, of each the name, the
 * class and size of its type, the number of values (uint64) and the bytes stored. Last of all: an attribute
 * of the root that is written later makes the part a bad one.
 */
enum status checksum_seal_root(hid_t file, const char *name);

/* STATUS_INPUT where the root's attributes are not those that were sealed, or never were. */
enum status checksum_check_root(hid_t file, const char *name);

#endif
