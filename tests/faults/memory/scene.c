#include "scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

void outcome_add(struct outcome *outcome, const void *bytes, size_t n)
{
    outcome->hash = XXH3_64bits_withSeed(bytes, n, outcome->hash ^ n);
}

void outcome_add_text(struct outcome *outcome, const char *text)
{
    outcome_add(outcome, text == NULL ? "\1" : text, text == NULL ? 1 : strlen(text));
}

void outcome_add_file(struct outcome *outcome, const char *path)
{
    static char bytes[1 << 16]; /* no allocation: it would be counted */
    FILE *file = fopen(path, "rbe");
    size_t n;

    if (file == NULL)
        scene_fail(path);
    setvbuf(file, NULL, _IONBF, 0);
    while ((n = fread(bytes, 1, sizeof(bytes), file)) > 0)
        outcome_add(outcome, bytes, n);
    fclose(file);
}

const char *scene_path(const char *folder, const char *name)
{
    static char paths[8][4096];
    static size_t next;
    char *path = paths[next++ % 8];

    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

void scene_write(const char *path, const void *bytes, size_t n)
{
    FILE *file = fopen(path, "wbe");

    if (file == NULL || fwrite(bytes, 1, n, file) != n || fclose(file) != 0)
        scene_fail(path);
}

_Noreturn void scene_fail(const char *what)
{
    printf("cannot set up: %s\n", what);
    exit(1);
}
