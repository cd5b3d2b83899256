/* Any bytes to decoder_decode: it answers a status and, where that says so, a whole crop. */
#include "target.h"

#include "io/decode.h"

#include <string.h>

#define SIZE 56
#define PIXELS_MOST (1 << 18) /* with more, an input takes seconds under sanitizers */
#define CROP_BYTES ((size_t)SIZE * SIZE * 3)

static struct decoder *decoder;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    MUST(decoder_open(&decoder) == STATUS_OK);
    return 0;
}

/* The choices follow from the input, so that pictures serve as seeds as they are. */
static struct picture_options options_for(size_t n)
{
    return (struct picture_options){.mode = n & 1 ? DECODE_FAST : DECODE_EXACT,
                                    .resample = n & 2 ? RESAMPLE_BICUBIC : RESAMPLE_BILINEAR,
                                    .resize = n & 4 ? 64 : SIZE,
                                    .size = SIZE,
                                    .max_pixels = PIXELS_MOST};
}

static void decode(const uint8_t *bytes, size_t n, int paint, uint8_t *crop, struct picture_info *info)
{
    struct picture_options options = options_for(n);

    memset(crop, paint, CROP_BYTES);
    MUST(decoder_decode(decoder, bytes, n, &options, crop, info) == STATUS_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static uint8_t crop[CROP_BYTES], again[CROP_BYTES];
    struct picture_info info, info_again;

    decode(bytes, n, 0xa5, crop, &info);
    MUST((unsigned int)info.status < ITEM_STATUS_COUNT);
    MUST(memchr(info.message, '\0', sizeof(info.message)) != NULL);
    MUST((info.status == ITEM_OK) == (info.message[0] == '\0'));
    MUST(info.orientation >= 1 && info.orientation <= 8);
    if (info.status != ITEM_OK && info.status != ITEM_TRUNCATED)
        return 0;
    n_accepted++;
    MUST(info.width > 0 && info.height > 0);
    MUST((int64_t)info.width * info.height <= PIXELS_MOST);
    /* A sample that is not written, or comes from memory nobody wrote, differs from one time to the other. */
    decode(bytes, n, 0x5a, again, &info_again);
    MUST(info_again.status == info.status && memcmp(crop, again, CROP_BYTES) == 0);
    return 0;
}
