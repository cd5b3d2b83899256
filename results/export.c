#include "results/export.h"

#include "results/summary.h"
#include "results/sweep_file.h"
#include "results/sweep_messages.h"
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
    fputs(",message\r\n", out);
}

static void csv_row(FILE *out, const struct sweep_file *file, const struct sweep_rows *rows, uint64_t i,
                    struct part_text message)
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
    fputc(',', out);
    if (message.size > 0)
        csv_text(out, message);
    fputs("\r\n", out);
}

static void json_row(FILE *out, const struct sweep_file *file, const struct sweep_rows *rows, uint64_t i,
                     struct part_text message)
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
    fputs("},\"message\":", out);
    if (message.bytes == NULL)
        fputs("null", out);
    else
        json_text(out, message);
    fputs("}\n", out);
}

static bool chosen(enum export_rows rows, uint8_t verdict)
{
    return rows == EXPORT_ALL || (rows == EXPORT_FLAGGED && verdict == SWEEP_FLAGGED) ||
           (rows == EXPORT_FAILED && verdict == SWEEP_FAILED);
}

/* Always the user's to mend: an export is not resumed, so "run again" alone would not help. */
static enum status check_stream(FILE *out)
{
    enum status rc = STATUS_OK;

    if (ferror(out))
        FAIL(STATUS_INPUT, "cannot write the export: %s: make room or write it elsewhere, and export again",
             strerror(errno));
out:
    return rc;
}

/* An export under way. */
struct export
{
    FILE *out;
    const struct export_options *options;
    struct sweep_file *first; /* that could be read: the others have its columns and stages */
    struct export_counts counts;
};

static enum status export_rows(struct export *export, const struct sweep_file *file)
{
    enum status rc = STATUS_OK;
    FILE *out = export->out;
    struct sweep_rows rows = {0};
    struct sweep_messages messages = {0};
    struct part_text message;

    TRY(sweep_rows_make(file, ROWS_AT_A_TIME, &rows));
    TRY(sweep_messages_make(file, &messages));
    for (uint64_t first = 0; first < file->counts.n_rows; first += rows.n) {
        TRY(sweep_rows_read(file, first, &rows));
        for (uint64_t i = 0; i < rows.n; i++) {
            TRY(sweep_messages_next(&messages, first + i, &message));
            if (!chosen(export->options->rows, rows.verdict[i]))
                continue;
            if (export->options->format == EXPORT_CSV)
                csv_row(out, file, &rows, i, message);
            else
                json_row(out, file, &rows, i, message);
            export->counts.n_rows++;
        }
        TRY(check_stream(out));
    }
out:
    sweep_messages_free(&messages);
    sweep_rows_free(file, &rows);
    return rc;
}

static enum status check_alike(const struct sweep_file *first, const struct sweep_file *file)
{
    enum status rc = STATUS_OK;
    char difference[256];

    if (strcmp(first->counts.run_fingerprint, file->counts.run_fingerprint) != 0)
        FAIL(STATUS_MISMATCH, "%s: is of another run than %s", file->path, first->path);
    if (sweep_layout_difference(&first->layout, &file->layout, difference, sizeof(difference)))
        FAIL(STATUS_MISMATCH, "%s: is not like %s: %s", file->path, first->path, difference);
out:
    return rc;
}

static enum status export_file(struct export *export, const char *path)
{
    enum status rc = STATUS_OK;
    struct sweep_file *file = NULL;

    TRY(sweep_file_open_stranger(path, &file));
    if (export->first == NULL) {
        export->first = file;
        summary_warn_untrained(&file->layout);
        if (export->options->format == EXPORT_CSV)
            csv_header(export->out, &file->layout);
    } else {
        TRY(check_alike(export->first, file));
    }
    TRY(export_rows(export, file));
out:
    if (file != export->first)
        sweep_file_close(file);
    return rc;
}

enum status export_write(FILE *out, const char *const *paths, size_t n_paths,
                         const struct export_options *options, struct export_counts *counts)
{
    enum status rc = STATUS_OK;
    struct export export = {.out = out, .options = options};

    if (n_paths == 0)
        FAIL(STATUS_INPUT, "nothing to export yet: no part is written");
    for (size_t i = 0; i < n_paths; i++) {
        uint64_t n_before = export.counts.n_rows;
        rc = export_file(&export, paths[i]);
        if (rc == STATUS_OK)
            continue;
        if (!options->leave_out_unreadable || rc != STATUS_INPUT || ferror(out))
            goto out;
        export.counts.n_left_out++;
        log_warn("%s: cannot be read and is left out (%" PRIu64 " of its rows are written): remove this file "
                 "and run the scan again with the same command, which makes it anew",
                 paths[i], export.counts.n_rows - n_before);
    }
    if (export.counts.n_left_out == n_paths)
        FAIL(STATUS_INPUT, "nothing to export: none of the %zu parts can be read", n_paths);
    fflush(out);
    TRY(check_stream(out));
    if (counts != NULL)
        *counts = export.counts;
out:
    sweep_file_close(export.first);
    return rc;
}
