#include "make_picture.h"

#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <webp/encode.h>

#include <jpeglib.h>

static uint8_t *make_pixels(int w, int h)
{
    uint8_t *rgb = malloc(3 * (size_t)w * (size_t)h);

    for (int y = 0; rgb != NULL && y < h; y++)
        for (int x = 0; x < w; x++) {
            uint8_t *p = rgb + 3 * ((size_t)y * (size_t)w + (size_t)x);
            p[0] = (uint8_t)(255 * x / w);
            p[1] = (uint8_t)(255 * y / h);
            p[2] = (x / 9 + y / 7) % 2 == 0 ? 250 : 20;
        }
    return rgb;
}

struct file_bytes make_jpeg(int w, int h, bool progressive)
{
    struct jpeg_compress_struct cinfo;
    struct jpeg_error_mgr errors;
    struct file_bytes file = {0};
    unsigned long n = 0;
    uint8_t *rgb = make_pixels(w, h);

    cinfo.err = jpeg_std_error(&errors);
    jpeg_create_compress(&cinfo);
    jpeg_mem_dest(&cinfo, &file.bytes, &n);
    cinfo.image_width = (JDIMENSION)w;
    cinfo.image_height = (JDIMENSION)h;
    cinfo.input_components = 3;
    cinfo.in_color_space = JCS_RGB;
    jpeg_set_defaults(&cinfo);
    if (progressive)
        jpeg_simple_progression(&cinfo);
    jpeg_start_compress(&cinfo, TRUE);
    for (int y = 0; y < h; y++) {
        JSAMPROW row = rgb + 3 * (size_t)w * (size_t)y;
        (void)jpeg_write_scanlines(&cinfo, &row, 1);
    }
    jpeg_finish_compress(&cinfo);
    jpeg_destroy_compress(&cinfo);
    free(rgb);
    file.n = n;
    return file;
}

struct file_bytes make_png(int w, int h)
{
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = (png_uint_32)w,
                       .height = (png_uint_32)h,
                       .format = PNG_FORMAT_RGB};
    struct file_bytes file = {0};
    uint8_t *rgb = make_pixels(w, h);
    png_alloc_size_t n = PNG_IMAGE_PNG_SIZE_MAX(image);

    file.bytes = malloc(n);
    if (file.bytes != NULL && png_image_write_to_memory(&image, file.bytes, &n, 0, rgb, 0, NULL))
        file.n = n;
    free(rgb);
    return file;
}

struct file_bytes make_webp(int w, int h)
{
    struct file_bytes file = {0};
    uint8_t *rgb = make_pixels(w, h), *made = NULL;
    size_t n = WebPEncodeRGB(rgb, w, h, 3 * w, 80, &made);

    file.bytes = malloc(n + 1); /* WebP's own is not to be freed by free() */
    if (file.bytes != NULL && n > 0) {
        memcpy(file.bytes, made, n);
        file.n = n;
    }
    WebPFree(made);
    free(rgb);
    return file;
}

struct file_bytes make_gif(int w, int h)
{
    const uint8_t a = (uint8_t)w, b = (uint8_t)(w >> 8), c = (uint8_t)h, d = (uint8_t)(h >> 8);
    /* codes of 3 bits: clear 4, 0, 1, 1, 0, end 5; the code size grows to 4 bits after the fourth */
    const uint8_t bytes[] = {'G', 'I', 'F', '8', '9', 'a', a,   b,    c,    d,    0x80, 0,
                             0,   255, 0,   0,   0,   0,   255, 0x2c, 0,    0,    0,    0,
                             a,   b,   c,   d,   0,   2,   3,   0x44, 0x02, 0x05, 0,    0x3b};
    struct file_bytes file = {malloc(sizeof(bytes)), sizeof(bytes)};

    if (file.bytes != NULL)
        memcpy(file.bytes, bytes, sizeof(bytes));
    return file;
}
