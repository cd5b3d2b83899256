/* Small picture files for the tests, made in memory by the libraries' own encoders. */
#ifndef EYESORE_TESTS_IO_MAKE_PICTURE_H
#define EYESORE_TESTS_IO_MAKE_PICTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct file_bytes {
    uint8_t *bytes; /* malloc'ed; the caller frees */
    size_t n;
};

/* A smooth picture with edges, w x h. */
struct file_bytes make_jpeg(int w, int h, bool progressive);
struct file_bytes make_png(int w, int h);
struct file_bytes make_webp(int w, int h);

/* 2 x 2, two colours: top row red blue, bottom row blue red; the header claims w x h for screen and frame. */
struct file_bytes make_gif(int w, int h);

#endif
