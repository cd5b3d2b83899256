#include "io/format.h"
#include "io/grow.h"

#include <gif_lib.h>
#include <string.h>

struct gif_bytes {
    const uint8_t *bytes;
    size_t n, at;
};

/* The first frame and what is needed to show it. */
struct gif_frame {
    int left, top, width, height;
    bool interlaced, broken;
    int transparent; /* index, or -1 */
    uint8_t colors[256][4];
};

static int read_bytes(GifFileType *gif, GifByteType *out, int n)
{
    struct gif_bytes *source = gif->UserData;
    size_t there = source->n - source->at;
    size_t taken = n < 0 ? 0 : ((size_t)n < there ? (size_t)n : there);

    memcpy(out, source->bytes + source->at, taken);
    source->at += taken;
    return (int)taken;
}

static bool read_extension(GifFileType *gif, struct gif_frame *frame)
{
    GifByteType *block;
    int code;

    if (DGifGetExtension(gif, &code, &block) != GIF_OK)
        return false;
    if (code == GRAPHICS_EXT_FUNC_CODE && block != NULL && block[0] >= 4)
        frame->transparent = (block[1] & 1) != 0 ? block[4] : frame->transparent;
    while (block != NULL)
        if (DGifGetExtensionNext(gif, &block) != GIF_OK)
            return false;
    return true;
}

/* Move to the first image and read its place; false where there is none. Its bits may be broken all the same.
 */
static bool find_frame(GifFileType *gif, struct gif_frame *frame)
{
    GifRecordType record;

    frame->transparent = -1;
    for (;;) {
        if (DGifGetRecordType(gif, &record) != GIF_OK || record == TERMINATE_RECORD_TYPE)
            return false;
        if (record == EXTENSION_RECORD_TYPE && !read_extension(gif, frame))
            return false;
        if (record == IMAGE_DESC_RECORD_TYPE)
            break;
    }
    frame->broken = DGifGetImageHeader(gif) != GIF_OK;
    frame->left = gif->Image.Left;
    frame->top = gif->Image.Top;
    frame->width = gif->Image.Width;
    frame->height = gif->Image.Height;
    frame->interlaced = gif->Image.Interlace;
    return frame->width > 0 && frame->height > 0;
}

/* Indices past the palette are greys, as in Pillow; the transparent one is white, the paper it lies on. */
static void set_colors(const GifFileType *gif, struct gif_frame *frame)
{
    const ColorMapObject *map = gif->Image.ColorMap != NULL ? gif->Image.ColorMap : gif->SColorMap;
    int n = map == NULL ? 0 : map->ColorCount;

    for (int i = 0; i < 256; i++) {
        uint8_t *color = frame->colors[i];
        memset(color, i == frame->transparent ? 255 : i, 4);
        if (i < n && i != frame->transparent) {
            color[0] = map->Colors[i].Red;
            color[1] = map->Colors[i].Green;
            color[2] = map->Colors[i].Blue;
        }
    }
}

/* Read the indices, row by row, into pixels [height, width] of the canvas; answers how many rows came. */
static int read_indices(GifFileType *gif, const struct gif_frame *frame, uint8_t *pixels, size_t stride)
{
    static const struct {
        int first, step;
    } passes[4] = {{0, 8}, {4, 8}, {2, 4}, {1, 2}};
    int n_read = 0;

    for (int pass = 0; pass < (frame->interlaced ? 4 : 1); pass++) {
        int step = frame->interlaced ? passes[pass].step : 1;
        for (int row = frame->interlaced ? passes[pass].first : 0; row < frame->height; row += step) {
            uint8_t *at = pixels + stride * (size_t)(frame->top + row) + frame->left;
            if (DGifGetLine(gif, at, frame->width) != GIF_OK)
                return n_read;
            n_read++;
        }
    }
    return n_read;
}

static enum status push_rows(struct decoding *d, const struct gif_frame *frame, const uint8_t *pixels,
                             size_t stride)
{
    enum status rc = STATUS_OK;
    const struct axis *across = &d->resizer->across, *down = &d->resizer->down;
    size_t n = (size_t)(across->end - across->begin);
    uint8_t *row = malloc(4 * n + PASS_PADDING);

    if (row == NULL)
        FAIL(STATUS_MEMORY, "no memory for a row of %zu pixels", n);
    for (int y = down->begin; y < down->end; y++) {
        const uint8_t *indices = pixels + stride * (size_t)y + (size_t)across->begin;
        for (size_t x = 0; x < n; x++)
            memcpy(row + 4 * x, frame->colors[indices[x]], 4);
        resizer_push(d->resizer, row);
    }
out:
    free(row);
    return rc;
}

static enum status decode_frame(struct decoding *d, GifFileType *gif, const struct gif_frame *frame)
{
    enum status rc = STATUS_OK;
    size_t stride = (size_t)d->info->width, n = stride * (size_t)d->info->height;

    GROW(*d->pixels, *d->pixels_capacity, n);
    memset(*d->pixels, frame->transparent < 0 ? 0 : frame->transparent, n);
    int n_read = read_indices(gif, frame, *d->pixels, stride);
    if (n_read == 0) {
        picture_fault(d->info, ITEM_CORRUPT, "GIF: no row of its first frame can be decoded");
        goto out;
    }
    if (n_read < frame->height)
        picture_fault(d->info, ITEM_TRUNCATED, "GIF: %s",
                      GifErrorString(gif->Error) != NULL ? GifErrorString(gif->Error)
                                                         : "the frame ends early");
    TRY(decoding_plan(d));
    TRY(push_rows(d, frame, *d->pixels, stride));
out:
    return rc;
}

enum status gif_decode(struct decoding *d)
{
    enum status rc = STATUS_OK;
    struct gif_bytes source = {d->bytes, d->n, 0};
    struct gif_frame frame = {0};
    int error = 0;
    GifFileType *gif = DGifOpen(&source, read_bytes, &error);

    if (gif == NULL && error == D_GIF_ERR_NOT_ENOUGH_MEM)
        FAIL(STATUS_MEMORY, "no memory for a GIF decoder");
    if (gif == NULL || !find_frame(gif, &frame)) {
        picture_fault(d->info, ITEM_CORRUPT, "GIF: no frame in it");
        goto out;
    }
    /* a frame may reach over the edge of the screen: the screen grows, as in Pillow */
    int right = frame.left + frame.width, bottom = frame.top + frame.height;
    if (!picture_bounds(d->info, d->options, right > gif->SWidth ? right : gif->SWidth,
                        bottom > gif->SHeight ? bottom : gif->SHeight))
        goto out;
    if (frame.broken) {
        picture_fault(d->info, ITEM_CORRUPT, "GIF: the header of its first frame is broken");
        goto out;
    }
    set_colors(gif, &frame);
    TRY(decode_frame(d, gif, &frame));
out:
    if (gif != NULL)
        (void)DGifCloseFile(gif, &error);
    return rc;
}
