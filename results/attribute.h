/*
 * Attributes as a list: job/ fills it (options, stages, hosts, times), the gather writes it.
 */
#ifndef EYESORE_RESULTS_ATTRIBUTE_H
#define EYESORE_RESULTS_ATTRIBUTE_H

#include "results/h5.h"

enum sweep_attribute_type { ATTRIBUTE_STRING, ATTRIBUTE_U64, ATTRIBUTE_U8, ATTRIBUTE_F32, ATTRIBUTE_F64 };

struct sweep_attribute {
    const char *path; /* "/", "/stages/<name>", "/run": groups are made where missing */
    const char *key;
    enum sweep_attribute_type type;
    union {
        const char *string; /* UTF-8 */
        uint64_t u64;
        uint8_t u8;
        float f32;
        double f64;
    } value;
};

/* Borrowed: whoever fills it keeps the strings until the call that takes it returns. */
struct sweep_attributes {
    const struct sweep_attribute *list;
    size_t n;
};

/* Write them all; a later one of the same path and key replaces an earlier. `name` is the file's. */
enum status sweep_attributes_write(hid_t file, const char *name, const struct sweep_attributes *attributes);

/*
 * What a file tells of its layout by attributes: on the root and on each stage and column (schema.h). Used by
 * parts and sweeps alike.
 */
enum status sweep_layout_write(hid_t file, const char *name, const struct sweep_layout *layout);

/* The layout of a part or a sweep that is read, found from its attributes and datasets. The caller frees with
 * sweep_layout_free in any case. STATUS_INPUT where the file is not one of ours. */
enum status sweep_layout_read(hid_t file, const char *name, struct sweep_layout *layout);

#endif
