/*
 * make_seeds FOLDER: writes FOLDER/decode/seed.KIND (a small picture in each encoding) and
 * FOLDER/sweep/NAME.h5 (small parts). Run once; what it made is kept in seeds/. The other seeds are text,
 * written by hand.
 */
#include "encode.h"
#include "tests/unit/results/sample.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SIDE 24
#define LARGE_SIDE 240 /* --decode fast scales it */

static bool write_file(const char *path, const uint8_t *bytes, size_t n)
{
    FILE *file = fopen(path, "wbe");
    bool good = file != NULL && fwrite(bytes, 1, n, file) == n;

    if (file != NULL)
        good &= fclose(file) == 0;
    if (!good)
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
    return good;
}

/* rgb: [side, side, 3] */
static void paint(uint8_t *rgb, int side)
{
    for (int i = 0; i < side * side; i++) {
        rgb[3 * i] = (uint8_t)(i % side * 240 / side);
        rgb[3 * i + 1] = (uint8_t)(i / side * 240 / side);
        rgb[3 * i + 2] = (i % side / 5 + i / side / 3) % 2 == 0 ? 250 : 20;
    }
}

static bool make_pictures(const char *folder)
{
    static uint8_t rgb[LARGE_SIDE * LARGE_SIDE * 3];
    char path[PATH_MAX];
    bool good = true;

    for (int e = 0; e <= ENCODING_COUNT; e++) {
        size_t n = 0;
        bool large = e == ENCODING_COUNT;
        enum encoding encoding = large ? ENCODE_JPEG_GRAY : (enum encoding)e;
        paint(rgb, large ? LARGE_SIDE : SIDE);
        uint8_t *bytes = encode(encoding, rgb, large ? LARGE_SIDE : SIDE, &n);
        snprintf(path, sizeof(path), "%s/decode/%s.%s", folder, large ? "large" : "seed",
                 encoding_name(encoding));
        good &= bytes != NULL && write_file(path, bytes, n);
        free(bytes);
    }
    return good;
}

static enum status make_part(const char *folder, const char *name, enum sample_kind kind, uint64_t n_rows)
{
    enum status rc = STATUS_OK;
    struct sweep_layout layout = {0};
    struct part *part = NULL;
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/sweep/%s", folder, name);
    TRY(sample_layout(&layout));
    TRY(sample_part(&layout, kind, 0, 0, n_rows, &part));
    TRY(part_write(part, path, SAMPLE_FINGERPRINT));
out:
    part_free(part);
    sweep_layout_free(&layout);
    return rc;
}

int main(int argc, char **argv)
{
    char path[PATH_MAX];

    if (argc != 2) {
        fprintf(stderr, "usage: make_seeds FOLDER\n");
        return 2;
    }
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/%s", argv[1], i == 0 ? "decode" : "sweep");
        (void)mkdir(path, 0777); /* it may be there; what is written into it tells */
    }
    bool good = make_pictures(argv[1]) && make_part(argv[1], "part.h5", SAMPLE_MIXED, 12) == STATUS_OK &&
                make_part(argv[1], "pass.h5", SAMPLE_ALL_PASS, 1) == STATUS_OK;
    return good ? 0 : 1;
}
