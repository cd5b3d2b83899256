#include "io/picture.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct picture_options picture_options_default(void)
{
    return (struct picture_options){.mode = DECODE_EXACT,
                                    .resample = RESAMPLE_BILINEAR,
                                    .resize = 256,
                                    .size = 224,
                                    .max_pixels = 178956970};
}

void picture_info_reset(struct picture_info *info)
{
    memset(info, 0, sizeof(*info));
    info->status = ITEM_OK;
    info->orientation = 1;
}

void picture_fault(struct picture_info *info, enum item_status status, const char *format, ...)
{
    va_list args;

    if (info->status != ITEM_OK)
        return;
    info->status = status;
    va_start(args, format);
    vsnprintf(info->message, sizeof(info->message), format, args);
    va_end(args);
}

bool picture_bounds(struct picture_info *info, const struct picture_options *options, int64_t width,
                    int64_t height)
{
    if (width <= 0 || height <= 0 || width > INT32_MAX / 8 || height > INT32_MAX / 8) {
        picture_fault(info, ITEM_CORRUPT, "the header says %lld x %lld pixels", (long long)width,
                      (long long)height);
        return false;
    }
    info->width = (int32_t)width;
    info->height = (int32_t)height;
    if ((uint64_t)width * (uint64_t)height > options->max_pixels) {
        picture_fault(info, ITEM_TOO_LARGE, "%lld x %lld pixels, more than the %llu of --max-pixels",
                      (long long)width, (long long)height, (unsigned long long)options->max_pixels);
        return false;
    }
    return true;
}
