#include "results/part.h"

#include "results/half.h"
#include "results/utf8.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* calloc that gives memory for zero rows too; the row arrays of a part have any type. */
#define TAKE(array, n) (((array) = calloc((n) == 0 ? 1 : (n), sizeof(*(array)))) != NULL)

static bool take_rows(struct part *part, const struct sweep_layout *layout)
{
    size_t n = (size_t)part->n_rows;

    if (!TAKE(part->id, n * layout->id_width) || !TAKE(part->columns, layout->n_columns) ||
        !TAKE(part->blob, n * layout->n_blobs) || !TAKE(part->status, n) || !TAKE(part->verdict, n) ||
        !TAKE(part->width, n) || !TAKE(part->height, n) || !TAKE(part->orientation, n) ||
        !TAKE(part->hash, n * SWEEP_HASH_SIZE) || !TAKE(part->probed, n) ||
        !TAKE(part->scores, n * layout->n_stages) || !TAKE(part->messages, n) || !TAKE(part->maps, n))
        return false;
    for (uint32_t i = 0; i < layout->n_columns; i++)
        if (layout->columns[i].width > 0 && !TAKE(part->columns[i], n * layout->columns[i].width))
            return false;
    memset(part->status, PART_NOT_DONE, n);
    for (size_t i = 0; i < n * layout->n_stages; i++)
        part->scores[i] = NAN;
    return true;
}

enum status part_create(const struct sweep_layout *layout, uint64_t shard, uint64_t first_row,
                        uint64_t n_rows, struct part **part)
{
    enum status rc = STATUS_OK;
    struct part *made = calloc(1, sizeof(*made));

    if (made == NULL || n_rows > SIZE_MAX / 65536)
        FAIL(STATUS_MEMORY, "no memory for a shard of %llu rows", (unsigned long long)n_rows);
    made->layout = layout;
    made->shard = shard;
    made->first_row = first_row;
    made->n_rows = n_rows;
    if (!take_rows(made, layout))
        FAIL(STATUS_MEMORY, "no memory for a shard of %llu rows: use a smaller --shard-rows",
             (unsigned long long)n_rows);
    *part = made;
    made = NULL;
out:
    part_free(made);
    return rc;
}

void part_free(struct part *part)
{
    if (part == NULL)
        return;
    for (uint64_t row = 0; row < part->n_rows; row++) {
        if (part->messages != NULL)
            free(part->messages[row]);
        if (part->maps != NULL)
            free(part->maps[row]);
    }
    if (part->blob != NULL)
        for (uint64_t i = 0; i < part->n_rows * part->layout->n_blobs; i++)
            free((char *)(uintptr_t)part->blob[i].bytes);
    if (part->columns != NULL)
        for (uint32_t i = 0; i < part->layout->n_columns; i++)
            free(part->columns[i]);
    free(part->id);
    free(part->columns);
    free(part->blob);
    free(part->status);
    free(part->verdict);
    free(part->width);
    free(part->height);
    free(part->orientation);
    free(part->hash);
    free(part->probed);
    free(part->scores);
    free(part->messages);
    free(part->maps);
    free(part);
}

static enum status copy_fixed(char *to, uint32_t width, struct part_text value, const char *what)
{
    enum status rc = STATUS_OK;

    if (value.size > width)
        FAIL(STATUS_MISMATCH,
             "%s of %zu bytes where the plan allows %u: the manifest changed after it was planned; sweep it "
             "into a new --out",
             what, value.size, width);
    memset(to, 0, width);
    if (value.size > 0)
        memcpy(to, value.bytes, value.size);
out:
    return rc;
}

static enum status copy_blob(struct part_text *to, struct part_text value)
{
    enum status rc = STATUS_OK;
    char *bytes = NULL;

    if (value.size > 0) {
        bytes = malloc(value.size);
        if (bytes == NULL)
            FAIL(STATUS_MEMORY, "no memory");
        memcpy(bytes, value.bytes, value.size);
    }
    free((char *)(uintptr_t)to->bytes);
    to->bytes = bytes;
    to->size = value.size;
out:
    return rc;
}

enum status part_set_item(struct part *part, uint64_t row, struct part_text id, struct part_text uri,
                          const struct part_text *columns)
{
    enum status rc = STATUS_OK;
    const struct sweep_layout *layout = part->layout;

    assert(row < part->n_rows);
    struct part_text *blobs = &part->blob[row * layout->n_blobs];
    TRY(copy_fixed(part->id + row * layout->id_width, layout->id_width, id, "an id"));
    TRY(copy_blob(&blobs[0], uri));
    for (uint32_t i = 0; i < layout->n_columns; i++) {
        const struct sweep_column *column = &layout->columns[i];
        if (column->width == 0)
            TRY(copy_blob(&blobs[column->blob], columns[i]));
        else
            TRY(copy_fixed(part->columns[i] + row * column->width, column->width, columns[i], column->name));
    }
out:
    return rc;
}

void part_set_picture(struct part *part, uint64_t row, int32_t width, int32_t height, uint8_t orientation,
                      const uint8_t hash[SWEEP_HASH_SIZE])
{
    assert(row < part->n_rows);
    part->width[row] = width;
    part->height[row] = height;
    part->orientation[row] = orientation;
    memcpy(part->hash + row * SWEEP_HASH_SIZE, hash, SWEEP_HASH_SIZE);
}

void part_set_score(struct part *part, uint64_t row, uint32_t stage, float score)
{
    assert(row < part->n_rows && stage < part->layout->n_stages);
    part->scores[stage * part->n_rows + row] = score;
}

void part_set_probed(struct part *part, uint64_t row)
{
    assert(row < part->n_rows);
    part->probed[row] = 1;
}

enum status part_set_map(struct part *part, uint64_t row, uint32_t stage, const float *map)
{
    enum status rc = STATUS_OK;
    const struct sweep_layout *layout = part->layout;
    size_t total = 0;
    size_t before = 0;

    assert(row < part->n_rows && stage < layout->n_stages);
    for (uint32_t i = 0; i < layout->n_stages; i++) {
        size_t cells = (size_t)layout->stages[i].map_height * layout->stages[i].map_width;
        before += i < stage ? cells : 0;
        total += cells;
    }
    size_t n = (size_t)layout->stages[stage].map_height * layout->stages[stage].map_width;
    for (size_t i = 0; i < n; i++)
        if (!half_is_finite(half_from_float(map[i])))
            return STATUS_INPUT;
    if (part->maps[row] == NULL) {
        part->maps[row] = malloc((total == 0 ? 1 : total) * sizeof(uint16_t));
        if (part->maps[row] == NULL)
            FAIL(STATUS_MEMORY, "no memory");
        for (size_t i = 0; i < total; i++)
            part->maps[row][i] = HALF_NAN;
    }
    for (size_t i = 0; i < n; i++)
        part->maps[row][before + i] = half_from_float(map[i]);
out:
    return rc;
}

static enum status copy_message(const char *message, char **copy)
{
    enum status rc = STATUS_OK;
    char *made = calloc(1, SWEEP_MESSAGE_WIDTH + 1);
    size_t used = 0;

    if (made == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    while (*message != '\0' && used < SWEEP_MESSAGE_WIDTH) {
        size_t size = utf8_character_size(message, strnlen(message, 4));
        if (size == 0) {
            made[used++] = '?';
            message++;
            continue;
        }
        if (used + size > SWEEP_MESSAGE_WIDTH)
            break;
        memcpy(made + used, message, size);
        used += size;
        message += size;
    }
    *copy = made;
out:
    return rc;
}

enum status part_set_outcome(struct part *part, uint64_t row, enum item_status status,
                             enum sweep_verdict verdict, const char *message)
{
    enum status rc = STATUS_OK;
    char *copy = NULL;

    assert(row < part->n_rows);
    if (status >= ITEM_STATUS_COUNT || verdict >= SWEEP_VERDICT_COUNT)
        FAIL(STATUS_INTERNAL, "row %llu: status %d, verdict %d", (unsigned long long)(part->first_row + row),
             (int)status, (int)verdict);
    if (message == NULL && verdict == SWEEP_FAILED)
        message = item_status_meaning(status);
    if (message != NULL)
        TRY(copy_message(message, &copy));
    free(part->messages[row]);
    part->messages[row] = copy;
    if (verdict == SWEEP_FAILED) {
        free(part->maps[row]);
        part->maps[row] = NULL;
        for (uint32_t i = 0; i < part->layout->n_stages; i++)
            if (!isfinite(part->scores[i * part->n_rows + row]))
                part_set_score(part, row, i, NAN);
    }
    part->verdict[row] = (uint8_t)verdict;
    part->status[row] = (uint8_t)status;
out:
    return rc;
}
