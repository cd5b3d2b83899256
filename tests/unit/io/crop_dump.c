/*
 * Decode the pictures named on stdin, one path a line, and write their crops to stdout, for
 * compare_with_pillow.py. For each: int32 status, width, height, orientation (host order), then the crop
 * [size, size, 3] (zeros where there is none).
 *
 *     crop_dump exact|fast bilinear|bicubic RESIZE SIZE < paths > crops
 *     crop_dump exact|fast bilinear|bicubic RESIZE SIZE SECONDS < paths     (print pictures per second
 * instead)
 */
#include "io/decode.h"
#include "io/fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct file {
    uint8_t *bytes;
    size_t n;
};

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static enum status write_record(const struct picture_info *info, uint8_t *crop, size_t n)
{
    int32_t head[4] = {(int32_t)info->status, info->width, info->height, info->orientation};

    if (info->status != ITEM_OK && info->status != ITEM_TRUNCATED)
        memset(crop, 0, n);
    if (fwrite(head, sizeof(head), 1, stdout) != 1 || fwrite(crop, 1, n, stdout) != n) {
        log_error("crop_dump: cannot write");
        return STATUS_PLACE;
    }
    return STATUS_OK;
}

/* Decode the files over and over for a while. The reading is not timed: it is the disk's. */
static enum status time_files(struct decoder *decoder, const struct picture_options *options,
                              const struct file *files, size_t n, double seconds, uint8_t *crop)
{
    enum status rc = STATUS_OK;
    struct picture_info info;
    double begin = now_s(), best = 0;

    while (n > 0 && now_s() - begin < seconds) {
        double round = now_s();
        for (size_t i = 0; i < n; i++)
            TRY(decoder_decode(decoder, files[i].bytes, files[i].n, options, crop, &info));
        double rate = (double)n / (now_s() - round);
        best = rate > best ? rate : best;
    }
    printf("pictures=%zu img_per_s=%.0f\n", n, best);
out:
    return rc;
}

static enum status run(const struct picture_options *options, double seconds)
{
    enum status rc = STATUS_OK;
    struct fetch_options where = {.root = NULL};
    struct fetcher *fetcher = NULL;
    struct decoder *decoder = NULL;
    struct picture_info info;
    struct file *files = NULL;
    size_t n_files = 0, n_crop = 3 * (size_t)options->size * (size_t)options->size;
    uint8_t *crop = malloc(n_crop);
    char line[4096];

    if (crop == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    TRY(fetcher_open(&where, &fetcher));
    TRY(decoder_open(&decoder));
    while (fgets(line, sizeof(line), stdin) != NULL) {
        const uint8_t *bytes = NULL;
        size_t n = 0;
        line[strcspn(line, "\n")] = '\0';
        TRY(fetcher_read(fetcher, line, &bytes, &n, &info));
        if (seconds > 0 && info.status == ITEM_OK) {
            struct file *grown = realloc(files, (n_files + 1) * sizeof(*files));
            if (grown == NULL || (grown[n_files].bytes = malloc(n + 1)) == NULL)
                FAIL(STATUS_MEMORY, "no memory");
            files = grown;
            memcpy(files[n_files].bytes, bytes, n);
            files[n_files++].n = n;
            continue;
        }
        if (info.status == ITEM_OK)
            TRY(decoder_decode(decoder, bytes, n, options, crop, &info));
        TRY(write_record(&info, crop, n_crop));
    }
    if (seconds > 0)
        TRY(time_files(decoder, options, files, n_files, seconds, crop));
out:
    for (size_t i = 0; i < n_files; i++)
        free(files[i].bytes);
    free(files);
    free(crop);
    decoder_close(decoder);
    fetcher_close(fetcher);
    return rc;
}

int main(int argc, char **argv)
{
    struct picture_options options = picture_options_default();

    if (argc < 5 || argc > 6) {
        log_error("usage: crop_dump exact|fast bilinear|bicubic RESIZE SIZE [SECONDS] < paths");
        return EXIT_USAGE;
    }
    options.mode = strcmp(argv[1], "fast") == 0 ? DECODE_FAST : DECODE_EXACT;
    options.resample = strcmp(argv[2], "bicubic") == 0 ? RESAMPLE_BICUBIC : RESAMPLE_BILINEAR;
    options.resize = (int)strtol(argv[3], NULL, 10);
    options.size = (int)strtol(argv[4], NULL, 10);
    return (int)status_exit_code(run(&options, argc == 6 ? strtod(argv[5], NULL) : 0));
}
