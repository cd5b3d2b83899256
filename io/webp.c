#include "io/exif.h"
#include "io/format.h"
#include "io/grow.h"

#include <string.h>
#include <webp/decode.h>
#include <webp/demux.h>

static int32_t read_orientation(const WebPDemuxer *demuxer)
{
    WebPChunkIterator chunk;
    int32_t exif = -1, xmp = -1;

    if (WebPDemuxGetChunk(demuxer, "EXIF", 1, &chunk)) {
        exif = exif_orientation(chunk.chunk.bytes, chunk.chunk.size);
        WebPDemuxReleaseChunkIterator(&chunk);
    }
    if (WebPDemuxGetChunk(demuxer, "XMP ", 1, &chunk)) {
        xmp = exif_xmp_orientation(chunk.chunk.bytes, chunk.chunk.size);
        WebPDemuxReleaseChunkIterator(&chunk);
    }
    return exif_choose(exif, xmp);
}

/*
 * Decode the first frame's bits into the canvas at its offset, as far as they go; the canvas around it stays
 * as it is. The first frame of an animation is thus what WebPAnimDecoder shows, at half its memory.
 */
static enum status decode_frame(struct decoding *d, const WebPIterator *frame)
{
    enum status rc = STATUS_OK;
    size_t stride = 4 * (size_t)d->info->width;
    uint8_t *at = *d->pixels + stride * (size_t)frame->y_offset + 4 * (size_t)frame->x_offset;
    size_t room = stride * (size_t)(frame->height - 1) + 4 * (size_t)frame->width;
    WebPIDecoder *incremental = WebPINewRGB(MODE_RGBA, at, room, (int)stride);

    if (incremental == NULL)
        FAIL(STATUS_MEMORY, "no memory to decode a WebP of %d x %d pixels", d->info->width, d->info->height);
    VP8StatusCode code = WebPIAppend(incremental, frame->fragment.bytes, frame->fragment.size);
    if (code == VP8_STATUS_OUT_OF_MEMORY)
        FAIL(STATUS_MEMORY, "no memory to decode a WebP of %d x %d pixels", d->info->width, d->info->height);
    if (code != VP8_STATUS_OK) {
        int last_row = 0;
        bool some = WebPIDecGetRGB(incremental, &last_row, NULL, NULL, NULL) != NULL && last_row > 0;
        picture_fault(d->info, some ? ITEM_TRUNCATED : ITEM_CORRUPT, "WebP: %s",
                      code == VP8_STATUS_SUSPENDED ? "the file ends early" : "the bitstream is broken");
    }
out:
    WebPIDelete(incremental);
    return rc;
}

static enum status decode_canvas(struct decoding *d, const WebPIterator *frame, bool has_alpha)
{
    enum status rc = STATUS_OK;
    size_t stride = 4 * (size_t)d->info->width, n = stride * (size_t)d->info->height;

    if ((int64_t)frame->x_offset + frame->width > d->info->width ||
        (int64_t)frame->y_offset + frame->height > d->info->height || frame->width < 1 || frame->height < 1) {
        picture_fault(d->info, ITEM_CORRUPT, "WebP: a frame outside its canvas");
        goto out;
    }
    TRY(decoding_plan(d));
    GROW(*d->pixels, *d->pixels_capacity, n + PASS_PADDING);
    memset(*d->pixels, 0, n);
    TRY(decode_frame(d, frame));
    if (d->info->status == ITEM_CORRUPT)
        goto out;
    const struct axis *across = &d->resizer->across, *down = &d->resizer->down;
    for (int row = down->begin; row < down->end; row++) {
        uint8_t *first = *d->pixels + stride * (size_t)row + 4 * (size_t)across->begin;
        if (has_alpha)
            decoding_over_white(first, (size_t)(across->end - across->begin));
        resizer_push(d->resizer, first);
    }
out:
    return rc;
}

enum status webp_decode(struct decoding *d)
{
    enum status rc = STATUS_OK;
    WebPData data = {d->bytes, d->n};
    WebPDemuxState state;
    WebPIterator frame;
    WebPDemuxer *demuxer = WebPDemuxPartial(&data, &state);

    if (demuxer == NULL || state < WEBP_DEMUX_PARSED_HEADER) {
        picture_fault(d->info, ITEM_CORRUPT, "WebP: no header that can be read");
        goto out;
    }
    if (!picture_bounds(d->info, d->options, WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_WIDTH),
                        WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_HEIGHT)))
        goto out;
    bool has_alpha = (WebPDemuxGetI(demuxer, WEBP_FF_FORMAT_FLAGS) & ALPHA_FLAG) != 0;
    d->info->orientation = read_orientation(demuxer);
    if (!WebPDemuxGetFrame(demuxer, 1, &frame)) {
        picture_fault(d->info, ITEM_CORRUPT, "WebP: no frame in it");
        goto out;
    }
    rc = decode_canvas(d, &frame, has_alpha);
    WebPDemuxReleaseIterator(&frame);
out:
    WebPDemuxDelete(demuxer);
    return rc;
}
