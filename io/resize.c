#include "io/resize.h"

#include "io/grow.h"

#include <string.h>

/* EXIF orientation: is the stored row axis mirrored, the stored column axis, are they swapped (after that)?
 */
struct turn {
    bool mirror_across, mirror_down, swap;
};

static struct turn turn_of(int orientation)
{
    static const struct turn turns[9] = {
        [2] = {true, false, false}, [3] = {true, true, false}, [4] = {false, true, false},
        [5] = {false, false, true}, [6] = {false, true, true}, [7] = {true, true, true},
        [8] = {true, false, true},
    };
    return turns[orientation >= 1 && orientation <= 8 ? orientation : 1];
}

enum status resizer_plan(struct resizer *resizer, const struct picture_options *options,
                         const struct resize_source *source, uint8_t *crop)
{
    enum status rc = STATUS_OK;
    struct turn turn = turn_of(source->orientation);
    int64_t across, down;

    axis_resized_sides(source->full_width, source->full_height, options->resize, &across, &down);
    TRY(axis_plan(&resizer->across, options->resample, source->width, source->extent_width, across,
                  options->size, turn.mirror_across));
    TRY(axis_plan(&resizer->down, options->resample, source->height, source->extent_height, down,
                  options->size, turn.mirror_down));
    TRY(axis_pair_weights(&resizer->across));
    size_t samples =
        turn.swap ? (size_t)(resizer->across.end - resizer->across.begin) : (size_t)options->size;
    resizer->row_bytes = 4 * samples;
    resizer->ring_rows = resizer->down.max_count;
    GROW(resizer->rows, resizer->rows_capacity, resizer->row_bytes * (size_t)resizer->ring_rows);
    GROW(resizer->line, resizer->line_capacity,
         4 * (size_t)(options->size + resizer->across.end - resizer->across.begin) + PASS_PADDING);
    resizer->orientation = source->orientation;
    resizer->size = options->size;
    resizer->crop = crop;
    resizer->next_row = resizer->down.begin;
    resizer->next_out = resizer->down.valid_begin;
    memset(crop, 0, (size_t)options->size * (size_t)options->size * 3);
out:
    return rc;
}

/* Put a finished stored row of the crop (4 bytes a sample) where the orientation wants it. */
static void place_row(struct resizer *resizer, int out, const uint8_t *rgbx)
{
    struct turn turn = turn_of(resizer->orientation);
    size_t size = (size_t)resizer->size;
    size_t row = turn.mirror_down ? size - 1 - (size_t)out : (size_t)out;
    size_t first = (size_t)resizer->across.valid_begin, end = (size_t)resizer->across.valid_end;

    for (size_t i = first; i < end; i++) {
        size_t column = turn.mirror_across ? size - 1 - i : i;
        uint8_t *p = resizer->crop + 3 * (turn.swap ? column * size + row : row * size + column);
        memcpy(p, rgbx + 4 * i, 3);
    }
}

/* Make every output row whose last source row has been pushed. */
static void make_rows(struct resizer *resizer)
{
    const struct axis *down = &resizer->down;
    bool swap = turn_of(resizer->orientation).swap;

    for (; resizer->next_out < down->valid_end; resizer->next_out++) {
        const struct axis_tap *tap = &down->taps[resizer->next_out];
        if (tap->first + tap->count > resizer->next_row)
            return;
        struct pass_ring ring = {resizer->rows, resizer->row_bytes, resizer->ring_rows,
                                 (tap->first - down->begin) % resizer->ring_rows};
        if (!swap) {
            pass_down(&ring, down->weights + tap->weights, tap->count, resizer->line);
            place_row(resizer, resizer->next_out, resizer->line);
        } else {
            uint8_t *squeezed = resizer->line + 4 * (size_t)resizer->size;
            pass_down(&ring, down->weights + tap->weights, tap->count, squeezed);
            pass_across(&resizer->across, squeezed, resizer->line);
            place_row(resizer, resizer->next_out, resizer->line);
        }
    }
}

void resizer_push(struct resizer *resizer, const uint8_t *rgbx)
{
    const struct axis *down = &resizer->down;

    if (resizer->next_row >= down->end)
        return;
    uint8_t *row =
        resizer->rows + resizer->row_bytes * (size_t)((resizer->next_row - down->begin) % resizer->ring_rows);
    if (turn_of(resizer->orientation).swap)
        memcpy(row, rgbx, resizer->row_bytes);
    else
        pass_across(&resizer->across, rgbx, row);
    resizer->next_row++;
    make_rows(resizer);
}

enum status resizer_finish(struct resizer *resizer, const uint8_t fill[4])
{
    enum status rc = STATUS_OK;
    uint8_t *blank = NULL;
    size_t n = 4 * (size_t)(resizer->across.end - resizer->across.begin);

    if (resizer->next_row >= resizer->down.end)
        goto out;
    blank = malloc(n + PASS_PADDING);
    if (blank == NULL)
        FAIL(STATUS_MEMORY, "no memory for a row of %zu bytes", n);
    for (size_t i = 0; i < n + PASS_PADDING; i += 4)
        memcpy(blank + i, fill, 4);
    while (resizer->next_row < resizer->down.end)
        resizer_push(resizer, blank);
out:
    free(blank);
    return rc;
}

void resizer_free(struct resizer *resizer)
{
    axis_free(&resizer->across);
    axis_free(&resizer->down);
    free(resizer->rows);
    free(resizer->line);
    *resizer = (struct resizer){0};
}
