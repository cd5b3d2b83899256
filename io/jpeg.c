#include "io/exif.h"
#include "io/format.h"
#include "io/grow.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>

/* Coefficients of a progressive picture are all in memory at once: 2 bytes for each sample of each component.
 */
#define JPEG_COEFFICIENT_BYTES ((long)400 << 20)

/* Encoders write about ten scans; each one is a pass over all coefficients, however few bytes it has. */
#define JPEG_SCANS_MOST 200
#define JPEG_SCANS_LEAST 20
#define JPEG_SCANNED_PIXELS 4000000000u

#define ROW_SHIFT 4 /* bytes, see read_rows */

struct jpeg_session {
    struct jpeg_decompress_struct cinfo;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf on_error;
    int scan_limit;
    bool too_many_scans;
    bool ended; /* the file ended before its end marker */
    bool rows_begun;
    int x_begin; /* the first stored sample that libjpeg hands out */
    char reason[JMSG_LENGTH_MAX];
};

static void handle_error(j_common_ptr cinfo)
{
    struct jpeg_session *s = cinfo->client_data;

    cinfo->err->format_message(cinfo, s->reason);
    longjmp(s->on_error, 1);
}

static void handle_message(j_common_ptr cinfo, int level)
{
    struct jpeg_session *s = cinfo->client_data;

    if (level >= 0)
        return;
    s->ended |= cinfo->err->msg_code == JWRN_JPEG_EOF;
}

static void handle_progress(j_common_ptr cinfo)
{
    struct jpeg_session *s = cinfo->client_data;

    if (s->cinfo.input_scan_number > s->scan_limit) {
        s->too_many_scans = true;
        longjmp(s->on_error, 1);
    }
}

static void session_open(struct jpeg_session *s, const struct decoding *d)
{
    s->cinfo.err = jpeg_std_error(&s->errors);
    s->errors.error_exit = handle_error;
    s->errors.emit_message = handle_message;
    s->cinfo.client_data = s; /* jpeg_create_decompress keeps it */
    jpeg_create_decompress(&s->cinfo);
    s->progress.progress_monitor = handle_progress;
    s->cinfo.progress = &s->progress;
    s->cinfo.mem->max_memory_to_use = JPEG_COEFFICIENT_BYTES;
    jpeg_save_markers(&s->cinfo, JPEG_APP0 + 1, 0xffff);
    jpeg_mem_src(&s->cinfo, d->bytes, (unsigned long)d->n);
}

static int32_t read_orientation(const struct jpeg_session *s)
{
    static const char xmp_prefix[] = "http://ns.adobe.com/xap/1.0/"; /* with its NUL */
    int32_t exif = -1, xmp = -1;
    bool seen = false;

    for (jpeg_saved_marker_ptr m = s->cinfo.marker_list; m != NULL; m = m->next) {
        if (!seen && m->data_length >= 6 && memcmp(m->data, "Exif\0", 6) == 0) {
            exif = exif_orientation(m->data, m->data_length);
            seen = true;
        } else if (m->data_length > sizeof(xmp_prefix) &&
                   memcmp(m->data, xmp_prefix, sizeof(xmp_prefix)) == 0) {
            xmp = exif_xmp_orientation(m->data + sizeof(xmp_prefix), m->data_length - sizeof(xmp_prefix));
        }
    }
    return exif_choose(exif, xmp);
}

/* False, with the fault told, where the header is of a picture that is not decoded. */
static bool check_header(struct jpeg_session *s, struct decoding *d)
{
    struct jpeg_decompress_struct *cinfo = &s->cinfo;

    if (!picture_bounds(d->info, d->options, cinfo->image_width, cinfo->image_height))
        return false;
    d->info->orientation = read_orientation(s);
    if (cinfo->num_components != 1 && cinfo->num_components != 3 && cinfo->num_components != 4) {
        picture_fault(d->info, ITEM_UNSUPPORTED, "a JPEG of %d components", cinfo->num_components);
        return false;
    }
    if (cinfo->src->bytes_in_buffer == 0) {
        picture_fault(d->info, ITEM_CORRUPT, "the JPEG ends before its first pixel");
        return false;
    }
    uint64_t pixels = (uint64_t)cinfo->image_width * cinfo->image_height;
    uint64_t scans = JPEG_SCANNED_PIXELS / pixels;
    s->scan_limit = scans < JPEG_SCANS_LEAST  ? JPEG_SCANS_LEAST
                    : scans > JPEG_SCANS_MOST ? JPEG_SCANS_MOST
                                              : (int)scans;
    return true;
}

/* Eighths at which libjpeg decodes: the smallest that has a fast inverse DCT and twice the pixels asked for.
 */
static unsigned int choose_eighths(const struct decoding *d)
{
    int shorter = d->info->width < d->info->height ? d->info->width : d->info->height;

    if (d->options->mode == DECODE_FAST)
        for (unsigned int eighths = 1; eighths < 8; eighths *= 2)
            if ((int64_t)shorter * eighths / 8 >= 2 * (int64_t)d->options->resize)
                return eighths;
    return 8;
}

/*
 * Leave out the columns and the first rows that the crop does not need. Upsampling and colour look a sample
 * to the side, so a margin of two blocks is kept; a picture in several scans is smoothed across blocks while
 * incomplete, so it is decoded in full.
 */
static void leave_out(struct jpeg_session *s, const struct axis *across, const struct axis *down)
{
    struct jpeg_decompress_struct *cinfo = &s->cinfo;
    JDIMENSION block = (JDIMENSION)(cinfo->max_h_samp_factor * DCTSIZE);
    JDIMENSION begin = (JDIMENSION)across->begin > 2 * block ? (JDIMENSION)across->begin - 2 * block : 0;
    JDIMENSION end = (JDIMENSION)across->end + 2 * block;

    s->x_begin = 0;
    if (jpeg_has_multiple_scans(cinfo))
        return;
    end = end < cinfo->output_width ? end : cinfo->output_width;
    if (begin >= block || cinfo->output_width - end >= block) {
        JDIMENSION width = end - begin;
        jpeg_crop_scanline(cinfo, &begin, &width);
        s->x_begin = (int)begin;
    }
    JDIMENSION rows = (JDIMENSION)(cinfo->max_v_samp_factor * DCTSIZE);
    if ((JDIMENSION)down->begin >= 3 * rows)
        (void)jpeg_skip_scanlines(cinfo, ((JDIMENSION)down->begin / rows - 2) * rows);
}

/* In place. Adobe's CMYK is stored inverted, and Pillow takes every CMYK JPEG to be Adobe's. */
static void cmyk_to_rgb(uint8_t *row, size_t n)
{
    for (size_t i = 0; i < n; i++, row += 4) {
        unsigned int white = row[3];
        for (int c = 0; c < 3; c++) {
            unsigned int product = (255u - row[c]) * white + 128;
            row[c] = (uint8_t)(white - ((product + (product >> 8)) >> 8));
        }
    }
}

static void read_rows(struct jpeg_session *s, struct decoding *d)
{
    struct jpeg_decompress_struct *cinfo = &s->cinfo;
    const struct axis *across = &d->resizer->across, *down = &d->resizer->down;
    /* Off alignment on purpose: to an aligned row libjpeg-turbo's colour conversion writes past the caches,
     * and the resize would wait for memory (measured: a third of the whole). */
    JSAMPROW row = *d->pixels + ROW_SHIFT;
    size_t samples = (size_t)(across->end - across->begin);
    uint8_t *first = row + 4 * (size_t)(across->begin - s->x_begin);

    s->rows_begun = true;
    while (cinfo->output_scanline < (JDIMENSION)down->end) {
        bool wanted = cinfo->output_scanline >= (JDIMENSION)down->begin;
        (void)jpeg_read_scanlines(cinfo, &row, 1);
        if (!wanted)
            continue;
        if (cinfo->out_color_space == JCS_CMYK)
            cmyk_to_rgb(first, samples);
        resizer_push(d->resizer, first);
    }
    /* Not needed, but only at the end is it known whether the file is whole. A skip right to the end would
     * not look at the data, so the last row is read. */
    if (cinfo->output_scanline + 1 < cinfo->output_height)
        (void)jpeg_skip_scanlines(cinfo, cinfo->output_height - cinfo->output_scanline - 1);
    if (cinfo->output_scanline < cinfo->output_height)
        (void)jpeg_read_scanlines(cinfo, &row, 1);
}

/* The part that libjpeg may leave by longjmp: nothing here owns anything but through s and d. */
static enum status decode_guarded(struct jpeg_session *s, struct decoding *d)
{
    enum status rc = STATUS_OK;
    struct jpeg_decompress_struct *cinfo = &s->cinfo;

    (void)jpeg_read_header(cinfo, TRUE);
    if (!check_header(s, d))
        goto out;
    bool cmyk = cinfo->num_components == 4;
    cinfo->out_color_space = cmyk ? JCS_CMYK : JCS_EXT_RGBX;
    cinfo->scale_num = choose_eighths(d);
    cinfo->scale_denom = 8;
    double scale = cinfo->scale_num / 8.0;
    (void)jpeg_start_decompress(cinfo);
    struct resize_source source = {.width = (int)cinfo->output_width,
                                   .height = (int)cinfo->output_height,
                                   .extent_width = d->info->width * scale,
                                   .extent_height = d->info->height * scale,
                                   .full_width = d->info->width,
                                   .full_height = d->info->height,
                                   .orientation = d->info->orientation};
    TRY(resizer_plan(d->resizer, d->options, &source, d->crop));
    GROW(*d->pixels, *d->pixels_capacity, ROW_SHIFT + 4 * (size_t)cinfo->output_width + PASS_PADDING);
    leave_out(s, &d->resizer->across, &d->resizer->down);
    read_rows(s, d);
out:
    return rc;
}

/* What a jump out of libjpeg means. */
static enum status tell_error(struct jpeg_session *s, struct decoding *d)
{
    enum status rc = STATUS_OK;

    if (s->too_many_scans) {
        picture_fault(d->info, ITEM_UNSUPPORTED, "a progressive JPEG of more than %d scans", s->scan_limit);
        goto out;
    }
    switch (s->errors.msg_code) {
    case JERR_OUT_OF_MEMORY:
        FAIL(STATUS_MEMORY, "no memory to decode a JPEG of %d x %d pixels", d->info->width, d->info->height);
    case JERR_NO_BACKING_STORE:
        picture_fault(d->info, ITEM_TOO_LARGE,
                      "a progressive JPEG of %d x %d pixels: decoding needs over %ld MiB", d->info->width,
                      d->info->height, JPEG_COEFFICIENT_BYTES >> 20);
        break;
    case JERR_BAD_PRECISION:
    case JERR_SOF_UNSUPPORTED:
    case JERR_ARITH_NOTIMPL:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_COMPONENT_COUNT:
    case JERR_NOTIMPL:
    case JERR_CCIR601_NOTIMPL:
        picture_fault(d->info, ITEM_UNSUPPORTED, "JPEG: %s", s->reason);
        break;
    default:
        picture_fault(d->info, s->rows_begun ? ITEM_TRUNCATED : ITEM_CORRUPT, "JPEG: %s", s->reason);
        break;
    }
out:
    return rc;
}

/*
 * Apart from jpeg_decode, which owns the session: an automatic object of the function that calls setjmp that
 * changes before the jump is indeterminate behind it (C17 7.13.2.1p3).
 */
static enum status decode_or_tell(struct jpeg_session *s, struct decoding *d)
{
    if (setjmp(s->on_error) != 0)
        return tell_error(s, d);
    session_open(s, d);
    return decode_guarded(s, d);
}

enum status jpeg_decode(struct decoding *d)
{
    static const uint8_t white[4] = {255, 255, 255, 255}, black[4] = {0};
    struct jpeg_session s = {0};

    enum status rc = decode_or_tell(&s, d);
    if (rc == STATUS_OK && s.ended)
        picture_fault(d->info, ITEM_TRUNCATED, "JPEG: the file ends early");
    if (rc == STATUS_OK && s.rows_begun) /* rows that never came: 0, which is white in CMYK */
        rc = resizer_finish(d->resizer, s.cinfo.out_color_space == JCS_CMYK ? white : black);
    jpeg_destroy_decompress(&s.cinfo);
    return rc;
}
