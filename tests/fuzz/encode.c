#include "encode.h"

#include <gif_lib.h>
#include <png.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <webp/encode.h>

#include <jpeglib.h>

struct buffer {
    uint8_t *bytes;
    size_t n, capacity;
    bool failed;
};

static void append(struct buffer *out, const uint8_t *bytes, size_t n)
{
    if (n > out->capacity - out->n) {
        size_t capacity = 2 * (out->capacity + n);
        uint8_t *grown = realloc(out->bytes, capacity);
        if (grown == NULL) {
            out->failed = true;
            return;
        }
        out->bytes = grown;
        out->capacity = capacity;
    }
    memcpy(out->bytes + out->n, bytes, n);
    out->n += n;
}

const char *encoding_name(enum encoding encoding)
{
    static const char *const names[] = {
        "jpg",  "progressive.jpg", "gray.jpg", "cmyk.jpg",       "png", "interlaced.png",
        "webp", "lossless.webp",   "gif",      "interlaced.gif",
    };
    return names[encoding];
}

/* out: [side, 4], as Adobe writes CMYK: inverted. */
static void cmyk_row(const uint8_t *rgb, int side, uint8_t *out)
{
    for (int x = 0; x < side; x++, rgb += 3, out += 4) {
        memcpy(out, rgb, 3);
        out[3] = (uint8_t)(255 - x % 64);
    }
}

static void write_jpeg(struct jpeg_compress_struct *cinfo, enum encoding encoding, const uint8_t *rgb,
                       int side, uint8_t *cmyk)
{
    bool four = encoding == ENCODE_JPEG_CMYK;

    cinfo->image_width = cinfo->image_height = (JDIMENSION)side;
    cinfo->input_components = four ? 4 : 3;
    cinfo->in_color_space = four ? JCS_CMYK : JCS_RGB;
    jpeg_set_defaults(cinfo);
    if (encoding == ENCODE_JPEG_GRAY)
        jpeg_set_colorspace(cinfo, JCS_GRAYSCALE);
    if (four)
        jpeg_set_colorspace(cinfo, JCS_YCCK); /* with Adobe's marker */
    if (encoding == ENCODE_JPEG_PROGRESSIVE)
        jpeg_simple_progression(cinfo);
    else
        cinfo->restart_interval = 5;
    jpeg_start_compress(cinfo, TRUE);
    for (int y = 0; y < side; y++, rgb += 3 * (size_t)side) {
        JSAMPROW row = four ? cmyk : (JSAMPROW)(uintptr_t)rgb;
        if (four)
            cmyk_row(rgb, side, cmyk);
        (void)jpeg_write_scanlines(cinfo, &row, 1);
    }
    jpeg_finish_compress(cinfo);
}

static void encode_jpeg(enum encoding encoding, const uint8_t *rgb, int side, struct buffer *out)
{
    struct jpeg_compress_struct cinfo;
    struct jpeg_error_mgr errors;
    unsigned char *made = NULL;
    unsigned long n = 0;
    uint8_t *cmyk = malloc(4 * (size_t)side);

    out->failed = cmyk == NULL;
    if (cmyk == NULL)
        return;
    cinfo.err = jpeg_std_error(&errors); /* its fault ends the process: what is encoded is ours */
    jpeg_create_compress(&cinfo);
    jpeg_mem_dest(&cinfo, &made, &n);
    write_jpeg(&cinfo, encoding, rgb, side, cmyk);
    jpeg_destroy_compress(&cinfo);
    append(out, made, n);
    free(made);
    free(cmyk);
}

static void png_append(png_structp png, png_bytep bytes, size_t n)
{
    append(png_get_io_ptr(png), bytes, n);
}

static void png_flush_nothing(png_structp png)
{
    (void)png;
}

static void encode_png(enum encoding encoding, const uint8_t *rgb, int side, struct buffer *out)
{
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png == NULL ? NULL : png_create_info_struct(png);
    png_bytepp rows = calloc((size_t)side, sizeof(*rows));

    out->failed = info == NULL || rows == NULL || setjmp(png_jmpbuf(png)) != 0;
    if (!out->failed) {
        for (int y = 0; y < side; y++)
            rows[y] = (png_bytep)(uintptr_t)(rgb + 3 * (size_t)side * (size_t)y);
        png_set_write_fn(png, out, png_append, png_flush_nothing);
        png_set_IHDR(png, info, (png_uint_32)side, (png_uint_32)side, 8, PNG_COLOR_TYPE_RGB,
                     encoding == ENCODE_PNG_INTERLACED ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE,
                     PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
        png_set_rows(png, info, rows);
        png_write_png(png, info, PNG_TRANSFORM_IDENTITY, NULL);
    }
    png_destroy_write_struct(&png, &info);
    free(rows);
}

static void encode_webp(enum encoding encoding, const uint8_t *rgb, int side, struct buffer *out)
{
    uint8_t *made = NULL;
    size_t n = encoding == ENCODE_WEBP_LOSSLESS ? WebPEncodeLosslessRGB(rgb, side, side, 3 * side, &made)
                                                : WebPEncodeRGB(rgb, side, side, 3 * side, 70, &made);

    append(out, made, n);
    WebPFree(made);
}

static int gif_append(GifFileType *gif, const GifByteType *bytes, int n)
{
    append(gif->UserData, bytes, (size_t)n);
    return n;
}

/* 6 levels a channel: the classic palette of 216 colours. */
static void gif_row(const uint8_t *rgb, int side, GifByteType *out)
{
    for (int x = 0; x < side; x++, rgb += 3)
        out[x] = (GifByteType)(rgb[0] / 43 * 36 + rgb[1] / 43 * 6 + rgb[2] / 43);
}

static bool write_gif(GifFileType *gif, const ColorMapObject *map, bool interlaced, const uint8_t *rgb,
                      int side)
{
    static const int first[] = {0, 4, 2, 1}, step[] = {8, 8, 4, 2};
    GifByteType row[4096];

    if (side > (int)sizeof(row) || EGifPutScreenDesc(gif, side, side, 8, 0, map) != GIF_OK ||
        EGifPutImageDesc(gif, 0, 0, side, side, interlaced, NULL) != GIF_OK)
        return false;
    for (int pass = 0; pass < (interlaced ? 4 : 1); pass++)
        for (int y = interlaced ? first[pass] : 0; y < side; y += interlaced ? step[pass] : 1) {
            gif_row(rgb + 3 * (size_t)side * (size_t)y, side, row);
            if (EGifPutLine(gif, row, side) != GIF_OK)
                return false;
        }
    return true;
}

static void encode_gif(enum encoding encoding, const uint8_t *rgb, int side, struct buffer *out)
{
    int error = 0;
    GifFileType *gif = EGifOpen(out, gif_append, &error);
    ColorMapObject *map = GifMakeMapObject(256, NULL);

    for (int i = 0; map != NULL && i < 216; i++)
        map->Colors[i] = (GifColorType){(GifByteType)(i / 36 * 51), (GifByteType)(i / 6 % 6 * 51),
                                        (GifByteType)(i % 6 * 51)};
    out->failed =
        gif == NULL || map == NULL || !write_gif(gif, map, encoding == ENCODE_GIF_INTERLACED, rgb, side);
    if (gif != NULL)
        out->failed |= EGifCloseFile(gif, &error) != GIF_OK;
    GifFreeMapObject(map);
}

uint8_t *encode(enum encoding encoding, const uint8_t *rgb, int side, size_t *n)
{
    struct buffer out = {0};

    switch (encoding) {
    case ENCODE_PNG:
    case ENCODE_PNG_INTERLACED:
        encode_png(encoding, rgb, side, &out);
        break;
    case ENCODE_WEBP:
    case ENCODE_WEBP_LOSSLESS:
        encode_webp(encoding, rgb, side, &out);
        break;
    case ENCODE_GIF:
    case ENCODE_GIF_INTERLACED:
        encode_gif(encoding, rgb, side, &out);
        break;
    default:
        encode_jpeg(encoding, rgb, side, &out);
        break;
    }
    if (out.failed || out.n == 0) {
        free(out.bytes);
        return NULL;
    }
    *n = out.n;
    return out.bytes;
}
