#include "results/export.h"

#include "results/summary.h"
#include "results/sweep_file.h"
#include "results/utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#define ROWS_AT_A_TIME 4096

static void csv_text(FILE *out, struct part_text text)
{
    bool quote = false;

    for (size_t i = 0; i < text.size; i++)
        quote = quote || strchr("\",\r\n", text.bytes[i]) != NULL; /* a NUL too */
    if (!quote) {
        fwrite(text.bytes, 1, text.size, out);
        return;
    }
    fputc('"', out);
    for (size_t i = 0; i < text.size; i++) {
        if (text.bytes[i] == '"')
            fputc('"', out);
        fputc(text.bytes[i], out);
    }
    fputc('"', out);
}

static void json_text(FILE *out, struct part_text text)
{
    fputc('"', out);
    while (text.size > 0) {
        size_t size = utf8_character_size(text.bytes, text.size);
        unsigned char c = (unsigned char)text.bytes[0];
        if (size == 0)
            fputs("\\ufffd", out);
        else if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            fprintf(out, "\\u%04x", c);
        else
            fwrite(text.bytes, 1, size, out);
        size = size == 0 ? 1 : size;
        text.bytes += size;
        text.size -= size;
    }
    fputc('"', out);
}

static struct part_text text_of(const char *string)
{
    return (struct part_text){string, strlen(string)};
}

static void csv_header(FILE *out, const struct sweep_layout *layout)
{
    char name[SWEEP_STAGE_NAME_SIZE + 16];

    fputs("id,uri,status,verdict,width,height", out);
    for (uint32_t i = 0; i < layout->n_columns; i++) {
        fputc(',', out);
        csv_text(out, text_of(layout->columns[i].file));
    }
    for (uint32_t i = 0; i < layout->n_stages; i++) {
        snprintf(name, sizeof(name), "score_%s", layout->stages[i].name);
        fputc(',', out);
        csv_text(out, text_of(name));
    }
    fputs("\r\n", out);
}

static void csv_row(FILE *out, const struct sweep_file *file, const struct sweep_rows *rows, uint64_t i)
{
    csv_text(out, sweep_rows_id(file, rows, i));
    fputc(',', out);
    csv_text(out, sweep_rows_uri(rows, i));
    fprintf(out, ",%s,%s,%" PRId32 ",%" PRId32, item_status_name((enum item_status)rows->status[i]),
            sweep_verdict_name((enum sweep_verdict)rows->verdict[i]), rows->width[i], rows->height[i]);
    for (uint32_t j = 0; j < file->layout.n_columns; j++) {
        fputc(',', out);
        csv_text(out, sweep_rows_column(file, rows, j, i));
    }
    for (uint32_t j = 0; j < file->layout.n_stages; j++) {
        float score = rows->scores[j * rows->capacity + i];
        fputc(',', out);
        if (!isnan(score))
            fprintf(out, "%.9g", (double)score);
    }
    fputs("\r\n", out);
}

static void json_row(FILE *out, const struct sweep_file *file, const struct sweep_rows *rows, uint64_t i)
{
    fputs("{\"id\":", out);
    json_text(out, sweep_rows_id(file, rows, i));
    fputs(",\"uri\":", out);
    json_text(out, sweep_rows_uri(rows, i));
    fprintf(out,
            ",\"status\":\"%s\",\"verdict\":\"%s\",\"width\":%" PRId32 ",\"height\":%" PRId32
            ",\"columns\":{",
            item_status_name((enum item_status)rows->status[i]),
            sweep_verdict_name((enum sweep_verdict)rows->verdict[i]), rows->width[i], rows->height[i]);
    for (uint32_t j = 0; j < file->layout.n_columns; j++) {
        fputs(j == 0 ? "" : ",", out);
        json_text(out, text_of(file->layout.columns[j].name));
        fputc(':', out);
        json_text(out, sweep_rows_column(file, rows, j, i));
    }
    fputs("},\"scores\":{", out);
    for (uint32_t j = 0; j < file->layout.n_stages; j++) {
        float score = rows->scores[j * rows->capacity + i];
        fputs(j == 0 ? "" : ",", out);
        json_text(out, text_of(file->layout.stages[j].name));
        if (isfinite(score))
            fprintf(out, ":%.9g", (double)score);
        else
            fputs(":null", out);
    }
    fputs("}}\n", out);
}

static bool chosen(enum export_rows rows, uint8_t verdict)
{
    return rows == EXPORT_ALL || (rows == EXPORT_FLAGGED && verdict == SWEEP_FLAGGED) ||
           (rows == EXPORT_FAILED && verdict == SWEEP_FAILED);
}

static enum status check_stream(FILE *out)
{
    enum status rc = STATUS_OK;

    if (ferror(out))
        FAIL(status_is_place_errno(errno) ? STATUS_PLACE : STATUS_INPUT, "cannot write the export: %s",
             strerror(errno));
out:
    return rc;
}

static enum status export_file(FILE *out, const struct sweep_file *file, const struct export_options *options,
                               uint64_t *n)
{
    enum status rc = STATUS_OK;
    struct sweep_rows rows = {0};

    TRY(sweep_rows_make(file, ROWS_AT_A_TIME, &rows));
    for (uint64_t first = 0; first < file->counts.n_rows; first += rows.n) {
        TRY(sweep_rows_read(file, first, &rows));
        for (uint64_t i = 0; i < rows.n; i++) {
            if (!chosen(options->rows, rows.verdict[i]))
                continue;
            if (options->format == EXPORT_CSV)
                csv_row(out, file, &rows, i);
            else
                json_row(out, file, &rows, i);
            (*n)++;
        }
        TRY(check_stream(out));
    }
out:
    sweep_rows_free(file, &rows);
    return rc;
}

enum status export_write(FILE *out, const char *const *paths, size_t n_paths,
                         const struct export_options *options, uint64_t *n_written)
{
    enum status rc = STATUS_OK;
    struct sweep_file *first = NULL;
    struct sweep_file *next = NULL;
    char difference[256];
    uint64_t n = 0;

    if (n_paths == 0)
        FAIL(STATUS_INPUT, "nothing to export yet: no part is written");
    TRY(sweep_file_open(paths[0], &first));
    summary_warn_untrained(&first->layout);
    if (options->format == EXPORT_CSV)
        csv_header(out, &first->layout);
    TRY(export_file(out, first, options, &n));
    for (size_t i = 1; i < n_paths; i++) {
        TRY(sweep_file_open(paths[i], &next));
        if (strcmp(first->counts.run_fingerprint, next->counts.run_fingerprint) != 0)
            FAIL(STATUS_MISMATCH, "%s: is of another run than %s", paths[i], paths[0]);
        if (sweep_layout_difference(&first->layout, &next->layout, difference, sizeof(difference)))
            FAIL(STATUS_MISMATCH, "%s: is not like %s: %s", paths[i], paths[0], difference);
        TRY(export_file(out, next, options, &n));
        sweep_file_close(next);
        next = NULL;
    }
    fflush(out);
    TRY(check_stream(out));
    if (n_written != NULL)
        *n_written = n;
out:
    sweep_file_close(next);
    sweep_file_close(first);
    return rc;
}
