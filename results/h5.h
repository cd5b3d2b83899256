/*
 * The little of HDF5 that results/ needs, with errors as in base/status.h and everything that is read checked
 * first: a file may come from anywhere. One thread at a time (Debian's HDF5 is not thread-safe).
 */
#ifndef EYESORE_RESULTS_H5_H
#define EYESORE_RESULTS_H5_H

#include "results/field.h"

#include <hdf5.h>

/* No HDF5 call is asked to move more than this; MPI-IO counts bytes in an int. */
#define H5_SLAB_BYTES_MAX ((size_t)1 << 30)

/*
 * Before MPI_Init and anything of HDF5: start it so that neither the end of the process nor MPI_Finalize
 * shuts it down. A file that cannot be closed (disk full, EIO) keeps an identifier without a file behind it,
 * and shutting down crashes on that (1.10.8). What is open at the end was not put in place anyway.
 */
void h5_begin(void);

/* HDF5 prints its error stack by default; from here on it is read by h5_fault instead. */
void h5_quiet(void);

/*
 * After a failed HDF5 call: log `file: what: cause` from HDF5's error stack, and answer STATUS_PLACE where
 * the cause is a fault of the place (errno in the stack), else `otherwise`.
 */
enum status h5_fault(enum status otherwise, const char *file, const char *what);

#define H5_TRY(call, otherwise, file, what)                                                                  \
    do {                                                                                                     \
        if ((call) < 0) {                                                                                    \
            rc = h5_fault(otherwise, file, what);                                                            \
            goto out;                                                                                        \
        }                                                                                                    \
    } while (0)

/* Is there an object at this absolute path, reached by hard links alone (a stranger's file shall not make us
 * open others)? */
bool h5_has(hid_t file, const char *path);

/* Open for reading. STATUS_INPUT: not there, not HDF5, or cut short. Close with h5_file_close. */
enum status h5_file_open(const char *path, hid_t *file);

/* H5Fclose; does nothing for a negative id. */
void h5_file_close(hid_t file);

/*
 * Close a file that could not be written. HDF5 1.10.8 would try again to write what it holds, and after a
 * close that fails it crashes when the library ends; so from here on it writes to memory instead.
 */
void h5_file_give_up(hid_t file);

/* Make the field's dataset with `count` entries: contiguous, never filled, allocated at once; and the groups
 * on the way, without times. `name` is the file's, for messages. */
enum status h5_dataset_create(hid_t file, const char *name, const struct field *field, uint64_t count);

/*
 * Open the field's dataset and check type, shape and storage against the field. OUT count: its entries.
 * STATUS_INPUT names what differs. The caller closes with H5Dclose.
 */
enum status h5_dataset_open(hid_t file, const char *name, const struct field *field, hid_t *dataset,
                            uint64_t *count);

/* Entries start .. start+count of an opened dataset, as bytes of the field's type; count 0 is fine. `buffer`
 * holds count * field_record_bytes(field). At most H5_SLAB_BYTES_MAX a call, else STATUS_INTERNAL. */
enum status h5_slab_read(hid_t dataset, const char *name, const struct field *field, uint64_t start,
                         uint64_t count, void *buffer);
enum status h5_slab_write(hid_t dataset, const char *name, const struct field *field, uint64_t start,
                          uint64_t count, const void *buffer);

/* Attributes of the object at an absolute path (`/` for the root). Writing replaces one that is there, and
 * makes the groups on the way. `name` is the file's, for messages. */
enum status h5_put_string(hid_t file, const char *name, const char *path, const char *key, const char *value);
enum status h5_put_u64s(hid_t file, const char *name, const char *path, const char *key,
                        const uint64_t *values, size_t n);
enum status h5_put_u64(hid_t file, const char *name, const char *path, const char *key, uint64_t value);
enum status h5_put_u8(hid_t file, const char *name, const char *path, const char *key, uint8_t value);
enum status h5_put_f32(hid_t file, const char *name, const char *path, const char *key, float value);
enum status h5_put_f64(hid_t file, const char *name, const char *path, const char *key, double value);

/* Is there such an attribute? */
bool h5_has_attribute(hid_t file, const char *path, const char *key);

/* The same for what is optional and must not be overlooked: STATUS_INPUT where the object is damaged. */
enum status h5_find_attribute(hid_t file, const char *name, const char *path, const char *key, bool *found);

/* STATUS_INPUT where the attribute is missing or not of this kind. Integers of any width are taken for u64,
 * floats of any width for f64. A string is cut to size. */
enum status h5_get_string(hid_t file, const char *name, const char *path, const char *key, char *value,
                          size_t size);
enum status h5_get_u64s(hid_t file, const char *name, const char *path, const char *key, uint64_t *values,
                        size_t n);
/* The same, of 1 .. n integers; OUT values: those that the file has not are 0. */
enum status h5_get_u64s_upto(hid_t file, const char *name, const char *path, const char *key,
                             uint64_t *values, size_t n);
enum status h5_get_f64(hid_t file, const char *name, const char *path, const char *key, double *value);

#endif
