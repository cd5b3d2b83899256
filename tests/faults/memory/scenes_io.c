/* Decoding of each format, fetching of files and tar members, and the listing of both. */
#include "scene.h"

#include "io/decode.h"
#include "io/fetch.h"
#include "io/listing.h"
#include "memory_fault.h"
#include "tests/unit/io/make_picture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <png.h>

#define SIDE 61
#define CROP 24
#define PICTURE_BYTES_MOST 65536

static struct {
    uint8_t bytes[PICTURE_BYTES_MOST];
    size_t n;
} picture;

static void keep(struct file_bytes made)
{
    if (made.bytes == NULL || made.n == 0 || made.n > sizeof(picture.bytes))
        scene_fail("a picture");
    memcpy(picture.bytes, made.bytes, made.n);
    picture.n = made.n;
    free(made.bytes);
}

static void prepare_jpeg(const char *folder)
{
    (void)folder;
    keep(make_jpeg(SIDE, SIDE, false));
}

/* With EXIF and XMP in front, each of which is looked at. */
static void prepare_progressive(const char *folder)
{
    static const uint8_t exif[] = {0xff, 0xe1, 0, 34, 'E', 'x', 'i', 'f', 0,   0,    'M', 'M',
                                   0,    '*',  0, 0,  0,   8,   0,   1,   0x1, 0x12, 0,   3,
                                   0,    0,    0, 1,  0,   6,   0,   0,   0,   0,    0,   0};
    (void)folder;
    keep(make_jpeg(SIDE, SIDE, true));
    memmove(picture.bytes + 2 + sizeof(exif), picture.bytes + 2, picture.n - 2);
    memcpy(picture.bytes + 2, exif, sizeof(exif));
    picture.n += sizeof(exif);
}

static void prepare_png(const char *folder)
{
    (void)folder;
    keep(make_png(SIDE, SIDE));
}

static void append(png_structp png, png_bytep bytes, size_t n)
{
    (void)png;
    if (picture.n + n > sizeof(picture.bytes))
        scene_fail("an interlaced PNG");
    memcpy(picture.bytes + picture.n, bytes, n);
    picture.n += n;
}

/* Palette, transparency, a text, a profile of colours, interlaced: all that libpng keeps something for. */
static void prepare_interlaced(const char *folder)
{
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_color colors[256];
    png_byte alpha[256];
    png_byte row[SIDE];
    char keyword[] = "Comment", value[] = "made";
    png_text comment = {.compression = PNG_TEXT_COMPRESSION_zTXt, .key = keyword, .text = value};
    (void)folder;

    for (int i = 0; i < 256; i++) {
        colors[i] = (png_color){(png_byte)i, (png_byte)(255 - i), (png_byte)(i * 7)};
        alpha[i] = (png_byte)(i * 3);
    }
    picture.n = 0;
    png_set_write_fn(png, NULL, append, NULL);
    png_set_IHDR(png, info, SIDE, SIDE, 8, PNG_COLOR_TYPE_PALETTE, PNG_INTERLACE_ADAM7,
                 PNG_COMPRESSION_TYPE_BASE, PNG_FILTER_TYPE_BASE);
    png_set_PLTE(png, info, colors, 256);
    png_set_tRNS(png, info, alpha, 256, NULL);
    png_set_gAMA(png, info, 0.45455);
    png_set_text(png, info, &comment, 1);
    png_write_info(png, info);
    for (int pass = png_set_interlace_handling(png); pass > 0; pass--)
        for (int y = 0; y < SIDE; y++) {
            for (int x = 0; x < SIDE; x++)
                row[x] = (png_byte)(x * y + x);
            png_write_row(png, row);
        }
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
}

static void prepare_webp(const char *folder)
{
    (void)folder;
    keep(make_webp(SIDE, SIDE));
}

static void prepare_gif(const char *folder)
{
    (void)folder;
    keep(make_gif(2, 2));
}

static enum status decode(struct decoder *decoder, struct outcome *outcome)
{
    enum status rc = STATUS_OK;
    struct picture_options options = picture_options_default();
    struct picture_info info;
    uint8_t crop[CROP * CROP * 3];

    options.resize = 32;
    options.size = CROP;
    TRY(decoder_decode(decoder, picture.bytes, picture.n, &options, crop, &info));
    outcome_add(outcome, &info.status, sizeof(info.status));
    outcome_add(outcome, &info.width, sizeof(info.width));
    outcome_add(outcome, &info.height, sizeof(info.height));
    outcome_add(outcome, &info.orientation, sizeof(info.orientation));
    outcome_add_text(outcome, info.message);
    if (info.status == ITEM_OK || info.status == ITEM_TRUNCATED)
        outcome_add(outcome, crop, sizeof(crop));
out:
    return rc;
}

/* Twice: a decoder that ran out of memory can go on with the next picture. */
static enum status run_decode(const char *folder, struct outcome *outcome)
{
    enum status rc = STATUS_OK;
    struct decoder *decoder = NULL;
    struct outcome first = {0}, second = {0};
    (void)folder;

    TRY(decoder_open(&decoder));
    rc = decode(decoder, &first);
    memory_fault_stop();
    if (decode(decoder, &second) != STATUS_OK || (rc == STATUS_OK && first.hash != second.hash))
        FAIL(STATUS_INTERNAL, "the decoder does not go on with the next picture");
    *outcome = second;
out:
    decoder_close(decoder);
    return rc;
}

/* Append a member to a tar in memory; `n` is a multiple of nothing in particular. */
static size_t add_member(uint8_t *tar, size_t at, const char *name, char type, const void *bytes, size_t n)
{
    unsigned int sum = 0;
    char *header = (char *)tar + at;

    memset(header, 0, 512);
    snprintf(header, 100, "%s", name);
    snprintf(header + 100, 8, "%07o", 0644u);
    snprintf(header + 124, 12, "%011zo", n);
    memset(header + 148, ' ', 8);
    header[156] = type;
    memcpy(header + 257, "ustar\00000", 8);
    for (int i = 0; i < 512; i++)
        sum += (unsigned char)header[i];
    snprintf(header + 148, 8, "%06o", sum);
    memcpy(tar + at + 512, bytes, n);
    return at + 512 + (n + 511) / 512 * 512;
}

/* pool/a.jpg, pool/b/c.png, pool/t.tar with x.jpg and a member whose long name stands in a pax record. */
static void prepare_pool(const char *folder)
{
    static uint8_t tar[4 * PICTURE_BYTES_MOST];
    static const char record[] = "22 path=long/name.jpg\n";
    size_t at = 0;

    if ((mkdir(scene_path(folder, "pool"), 0700) != 0 || mkdir(scene_path(folder, "pool/b"), 0700) != 0) &&
        errno != EEXIST)
        scene_fail("the pool");
    prepare_png(folder);
    scene_write(scene_path(folder, "pool/b/c.png"), picture.bytes, picture.n);
    prepare_jpeg(folder);
    scene_write(scene_path(folder, "pool/a.jpg"), picture.bytes, picture.n);
    memset(tar, 0, sizeof(tar));
    at = add_member(tar, at, "x.jpg", '0', picture.bytes, picture.n);
    at = add_member(tar, at, "pax", 'x', record, strlen(record));
    at = add_member(tar, at, "short.jpg", '0', picture.bytes, picture.n);
    scene_write(scene_path(folder, "pool/t.tar"), tar, at + 1024);
}

static enum status run_fetch(const char *folder, struct outcome *outcome)
{
    enum status rc = STATUS_OK;
    static const char *const uris[] = {"a.jpg",   "t.tar#long/name.jpg", "t.tar#x.jpg",
                                       "b/c.png", "t.tar#gone",          "gone"};
    struct fetch_options options = {.root = scene_path(folder, "pool"), .max_bytes = 1 << 20};
    struct fetcher *fetcher = NULL;
    struct picture_info info;
    const uint8_t *bytes;
    size_t n;

    TRY(fetcher_open(&options, &fetcher));
    for (size_t i = 0; i < sizeof(uris) / sizeof(uris[0]); i++) {
        TRY(fetcher_read(fetcher, uris[i], &bytes, &n, &info));
        outcome_add(outcome, &info.status, sizeof(info.status));
        if (info.status == ITEM_OK)
            outcome_add(outcome, bytes, n);
    }
out:
    fetcher_close(fetcher);
    return rc;
}

static enum status visit(void *context, const char *uri, const char *category)
{
    outcome_add_text(context, uri);
    outcome_add_text(context, category);
    return STATUS_OK;
}

static enum status run_listing(const char *folder, struct outcome *outcome)
{
    enum status rc = STATUS_OK;
    struct listing_counts counts;
    char path[4096];

    snprintf(path, sizeof(path), "%s", scene_path(folder, "pool"));
    TRY(listing_walk(path, NULL, visit, outcome, &counts));
    outcome_add(outcome, &counts.n_pictures, sizeof(counts.n_pictures));
    TRY(listing_walk(scene_path(folder, "pool/t.tar"), NULL, visit, outcome, &counts));
    outcome_add(outcome, &counts.n_pictures, sizeof(counts.n_pictures));
out:
    return rc;
}

const struct scene scenes_of_io[] = {
    {.name = "decode_jpeg", .prepare = prepare_jpeg, .run = run_decode},
    {.name = "decode_jpeg_progressive", .prepare = prepare_progressive, .run = run_decode},
    {.name = "decode_png", .prepare = prepare_png, .run = run_decode},
    {.name = "decode_png_interlaced", .prepare = prepare_interlaced, .run = run_decode},
    {.name = "decode_webp", .prepare = prepare_webp, .run = run_decode},
    {.name = "decode_gif", .prepare = prepare_gif, .run = run_decode},
    {.name = "fetch", .prepare = prepare_pool, .run = run_fetch},
    {.name = "listing", .prepare = prepare_pool, .run = run_listing},
    {.name = NULL},
};
