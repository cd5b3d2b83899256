#include "io/exif.h"
#include "io/format.h"
#include "io/grow.h"

#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

struct png_session {
    struct decoding *d;
    png_structp png;
    png_infop png_info;
    enum status rc; /* of what the callbacks do */
    jmp_buf on_error;
    bool begun;       /* the header is read and the resize planned */
    bool has_alpha;   /* rows are RGBA to lay over white */
    bool gray_16;     /* rows are 16-bit grey (+ alpha after the next byte pair) */
    bool interlaced;  /* rows come several times: the whole picture is kept */
    bool damaged;     /* a checksum is wrong */
    bool done;        /* the end chunk was reached */
    uint8_t blank[4]; /* a sample that never came, as it looks in the end: all bits 0, as in Pillow */
    size_t row_bytes;
    char reason[128];
};

static void handle_error(png_structp png, png_const_charp message)
{
    struct png_session *s = png_get_error_ptr(png);

    snprintf(s->reason, sizeof(s->reason), "%s", message);
    longjmp(s->on_error, 1);
}

static void handle_warning(png_structp png, png_const_charp message)
{
    struct png_session *s = png_get_error_ptr(png);

    s->damaged |= strstr(message, "CRC") != NULL;
}

static uint32_t big_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* XMP is in an iTXt chunk of this keyword; compressed ones are left alone. */
static int32_t xmp_chunk_orientation(const uint8_t *data, size_t n)
{
    static const char keyword[] = "XML:com.adobe.xmp";

    if (n < sizeof(keyword) + 2 || memcmp(data, keyword, sizeof(keyword)) != 0 || data[sizeof(keyword)] != 0)
        return -1;
    return exif_xmp_orientation(data + sizeof(keyword), n - sizeof(keyword));
}

/* Walk the chunks ourselves: EXIF may stand behind the pixels, and libpng is told to read no text chunks. */
static int32_t read_orientation(const struct decoding *d)
{
    int32_t exif = -1, xmp = -1;

    for (size_t at = 8; d->n - at >= 12;) {
        size_t length = big_u32(d->bytes + at);
        const uint8_t *type = d->bytes + at + 4, *data = d->bytes + at + 8;
        if (length > d->n - at - 12 || memcmp(type, "IEND", 4) == 0)
            break;
        if (memcmp(type, "eXIf", 4) == 0)
            exif = exif_orientation(data, length);
        else if (memcmp(type, "iTXt", 4) == 0 && xmp < 0)
            xmp = xmp_chunk_orientation(data, length);
        at += length + 12;
    }
    return exif_choose(exif, xmp);
}

/* Grey of 16 bits: all above 255 is white. It is what Pillow's convert("RGB") does, so networks saw it so. */
static void widen_gray_16(const struct png_session *s, uint8_t *row, size_t n)
{
    /* from the last to the first, in place: 2 or 4 bytes become 4 */
    size_t bytes = s->has_alpha ? 4 : 2;
    for (size_t i = n; i-- > 0;) {
        const uint8_t *p = row + bytes * i;
        uint8_t gray = p[0] != 0 ? 255 : p[1], alpha = s->has_alpha ? p[2] : 255;
        memset(row + 4 * i, gray, 3);
        row[4 * i + 3] = alpha;
    }
}

static void push_row(struct png_session *s, uint8_t *row)
{
    struct decoding *d = s->d;
    const struct axis *across = &d->resizer->across;

    if (s->gray_16)
        widen_gray_16(s, row, (size_t)d->info->width);
    uint8_t *first = row + 4 * (size_t)across->begin;
    if (s->has_alpha)
        decoding_over_white(first, (size_t)(across->end - across->begin));
    resizer_push(d->resizer, first);
}

/* Ask libpng for 4 bytes a sample, whatever is stored. */
static void set_transforms(struct png_session *s)
{
    png_structp png = s->png;
    int color = png_get_color_type(png, s->png_info), depth = png_get_bit_depth(png, s->png_info);
    bool has_trns = png_get_valid(png, s->png_info, PNG_INFO_tRNS) != 0;

    s->has_alpha = (color & PNG_COLOR_MASK_ALPHA) != 0 || has_trns;
    s->gray_16 = color == PNG_COLOR_TYPE_GRAY && depth == 16;
    png_set_expand(png); /* palette to RGB, 1/2/4 bits to 8, tRNS to alpha */
    if (!s->gray_16) {
        png_set_strip_16(png);
        png_set_gray_to_rgb(png);
        if (!s->has_alpha)
            png_set_filler(png, 0xff, PNG_FILLER_AFTER);
    }
    if (png_get_interlace_type(png, s->png_info) != PNG_INTERLACE_NONE) {
        (void)png_set_interlace_handling(png);
        s->interlaced = true;
    }
    png_read_update_info(png, s->png_info);
}

static void set_blank(struct png_session *s)
{
    int color = png_get_color_type(s->png, s->png_info);
    png_colorp palette = NULL;
    png_bytep alpha = NULL;
    int n = 0, n_alpha = 0;

    if (color == PNG_COLOR_TYPE_PALETTE && png_get_PLTE(s->png, s->png_info, &palette, &n) != 0 && n > 0) {
        memcpy(s->blank, (uint8_t[4]){palette[0].red, palette[0].green, palette[0].blue, 255}, 4);
        if (png_get_tRNS(s->png, s->png_info, &alpha, &n_alpha, NULL) != 0 && alpha != NULL && n_alpha > 0)
            s->blank[3] = alpha[0];
        decoding_over_white(s->blank, 1);
    } else if ((color & PNG_COLOR_MASK_ALPHA) != 0) {
        memset(s->blank, 255, 3); /* transparent, over white */
    }
    s->blank[3] = 255;
}

static enum status begin(struct png_session *s)
{
    enum status rc = STATUS_OK;
    struct decoding *d = s->d;
    size_t height = (size_t)d->info->height;

    set_blank(s);
    set_transforms(s);
    s->row_bytes = 4 * (size_t)d->info->width;
    TRY(decoding_plan(d));
    GROW(*d->pixels, *d->pixels_capacity, s->row_bytes * (s->interlaced ? height : 1) + PASS_PADDING);
    memset(*d->pixels, 0, s->row_bytes * (s->interlaced ? height : 1));
    for (size_t i = 0; s->interlaced && !s->gray_16 && i < s->row_bytes * height; i += 4)
        memcpy(*d->pixels + i, s->blank, 4);
    s->begun = true;
out:
    return rc;
}

static void on_header(png_structp png, png_infop info)
{
    struct png_session *s = png_get_progressive_ptr(png);

    (void)info;
    s->rc = begin(s);
    if (s->rc != STATUS_OK)
        longjmp(s->on_error, 1);
}

/*
 * Keep the samples that this pass brings, and not the blocks that libpng makes of them: where the file ends
 * early, the others stay blank, as in Pillow.
 */
static void keep_pass(struct png_session *s, const png_byte *row, png_uint_32 number, int pass)
{
    size_t bytes = png_get_rowbytes(s->png, s->png_info) / (size_t)s->d->info->width;
    uint8_t *kept = *s->d->pixels + s->row_bytes * number;
    size_t step = (size_t)1 << PNG_PASS_COL_SHIFT(pass);

    if (!PNG_ROW_IN_INTERLACE_PASS(number, pass))
        return;
    for (size_t x = PNG_PASS_START_COL(pass); x < (size_t)s->d->info->width; x += step)
        memcpy(kept + bytes * x, row + bytes * x, bytes);
}

static void on_row(png_structp png, png_bytep new_row, png_uint_32 number, int pass)
{
    struct png_session *s = png_get_progressive_ptr(png);
    const struct axis *down = &s->d->resizer->down;

    (void)pass;
    if (new_row == NULL)
        return;
    if (s->interlaced) {
        keep_pass(s, new_row, number, pass);
    } else if (number >= (png_uint_32)down->begin && number < (png_uint_32)down->end) {
        memcpy(*s->d->pixels, new_row, png_get_rowbytes(png, s->png_info));
        push_row(s, *s->d->pixels);
    }
}

static void on_end(png_structp png, png_infop info)
{
    struct png_session *s = png_get_progressive_ptr(png);

    (void)info;
    s->done = true;
}

/* Chunks that pixels do not depend on are not read at all: they are where decompression bombs hide. */
static void ignore_chunks(png_structp png)
{
    static const png_byte names[] = "bKGD\0cHRM\0cICP\0eXIf\0gAMA\0hIST\0iCCP\0iTXt\0oFFs\0pCAL\0pHYs\0"
                                    "sBIT\0sCAL\0sPLT\0sRGB\0sTER\0tEXt\0tIME\0zTXt";

    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, names, sizeof(names) / 5);
}

static enum status session_open(struct png_session *s)
{
    enum status rc = STATUS_OK;

    s->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, s, handle_error, handle_warning);
    s->png_info = s->png == NULL ? NULL : png_create_info_struct(s->png);
    if (s->png_info == NULL)
        FAIL(STATUS_MEMORY, "no memory for a PNG decoder");
    ignore_chunks(s->png);
    png_set_crc_action(s->png, PNG_CRC_WARN_USE, PNG_CRC_WARN_DISCARD);
    png_set_user_limits(s->png, 0x7fffffff, 0x7fffffff); /* picture_bounds has the say */
    png_set_progressive_read_fn(s->png, s, on_header, on_row, on_end);
out:
    return rc;
}

/* Hand the rows of an interlaced picture on. */
static void push_interlaced(struct png_session *s)
{
    const struct axis *down = &s->d->resizer->down;

    for (int row = down->begin; row < down->end; row++)
        push_row(s, *s->d->pixels + s->row_bytes * (size_t)row);
}

static enum status finish(struct png_session *s)
{
    enum status rc = STATUS_OK;
    struct picture_info *info = s->d->info;

    TRY(s->rc);
    if (!s->begun) {
        picture_fault(info, ITEM_CORRUPT, "PNG: %s", s->reason[0] != '\0' ? s->reason : "no pixels in it");
        goto out;
    }
    if (s->reason[0] != '\0')
        picture_fault(info, ITEM_TRUNCATED, "PNG: %s", s->reason);
    else if (!s->done)
        picture_fault(info, ITEM_TRUNCATED, "PNG: the file ends early");
    else if (s->damaged)
        picture_fault(info, ITEM_TRUNCATED, "PNG: a chunk's checksum is wrong");
    if (s->interlaced)
        push_interlaced(s);
    TRY(resizer_finish(s->d->resizer, s->blank));
out:
    return rc;
}

/*
 * Apart from png_decode, which owns the session: an automatic object of the function that calls setjmp that
 * changes before the jump is indeterminate behind it (C17 7.13.2.1p3).
 */
static enum status read_guarded(struct png_session *s)
{
    if (setjmp(s->on_error) != 0) /* told by s->rc and s->reason */
        return STATUS_OK;
    enum status rc = session_open(s);
    if (rc == STATUS_OK)
        png_process_data(s->png, s->png_info, (png_bytep)(uintptr_t)s->d->bytes, s->d->n);
    return rc;
}

enum status png_decode(struct decoding *d)
{
    enum status rc = STATUS_OK;
    struct png_session s = {.d = d};

    if (d->n < 33 || memcmp(d->bytes + 12, "IHDR", 4) != 0) {
        picture_fault(d->info, ITEM_CORRUPT, "PNG: no header chunk");
        goto out;
    }
    if (!picture_bounds(d->info, d->options, big_u32(d->bytes + 16), big_u32(d->bytes + 20)))
        goto out;
    d->info->orientation = read_orientation(d);
    TRY(read_guarded(&s));
    TRY(finish(&s));
out:
    png_destroy_read_struct(&s.png, &s.png_info, NULL);
    return rc;
}
