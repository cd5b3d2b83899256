/*
 * Test support for shards/: a scratch folder, files in it, and small checks.
 */
#ifndef EYESORE_TESTS_UNIT_SHARDS_SUPPORT_H
#define EYESORE_TESTS_UNIT_SHARDS_SUPPORT_H

#include <stddef.h>
#include <stdint.h>

/* cmocka wants these first */
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "shards/manifest.h"

/* A fresh folder; the same text until support_remove_folder. */
const char *support_make_folder(void);
void support_remove_folder(void);

/* Path of `name` in the folder; valid until 32 calls later. */
const char *support_path(const char *name);

/* Write a file in the folder; returns its path as support_path does. */
const char *support_write(const char *name, const void *bytes, size_t size);
const char *support_write_text(const char *name, const char *text);

int support_setup(void **state);
int support_teardown(void **state);

void support_assert_field(const struct manifest_field *field, const char *expected);

#endif
