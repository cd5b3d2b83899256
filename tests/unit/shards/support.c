#include "support.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[256];

const char *support_make_folder(void)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(folder, sizeof(folder), "%s/eyesore-shards-XXXXXX", tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(folder));
    return folder;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st;
    (void)type;
    (void)where;
    return remove(path);
}

void support_remove_folder(void)
{
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

const char *support_path(const char *name)
{
    static char paths[32][512];
    static size_t next;
    char *path = paths[next++ % 32];

    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

const char *support_write(const char *name, const void *bytes, size_t size)
{
    const char *path = support_path(name);
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    return path;
}

const char *support_write_text(const char *name, const char *text)
{
    return support_write(name, text, strlen(text));
}

int support_setup(void **state)
{
    (void)state;
    support_make_folder();
    return 0;
}

int support_teardown(void **state)
{
    (void)state;
    support_remove_folder();
    return 0;
}

void support_assert_field(const struct manifest_field *field, const char *expected)
{
    assert_int_equal(field->size, strlen(expected));
    assert_memory_equal(field->bytes, expected, field->size);
}
