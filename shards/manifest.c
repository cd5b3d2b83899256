#include "shards/manifest_format.h"
#include "shards/utf8.h"

#include <cjson/cJSON.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const format_names[] = {"auto", "tsv", "csv", "jsonl"};

const char *manifest_format_name(enum manifest_format format)
{
    return format_names[format];
}

enum status manifest_format_from_name(const char *name, enum manifest_format *format)
{
    enum status rc = STATUS_OK;

    for (size_t i = 0; i < sizeof(format_names) / sizeof(format_names[0]); i++) {
        if (strcmp(name, format_names[i]) == 0) {
            *format = (enum manifest_format)i;
            goto out;
        }
    }
    FAIL(STATUS_USAGE, "manifest format %s: expected auto, tsv, csv or jsonl", name);
out:
    return rc;
}

static enum status format_from_path(const char *path, enum manifest_format *format)
{
    static const struct {
        const char *extension;
        enum manifest_format format;
    } known[] = {{".tsv", MANIFEST_TSV},
                 {".txt", MANIFEST_TSV},
                 {".csv", MANIFEST_CSV},
                 {".jsonl", MANIFEST_JSONL},
                 {".ndjson", MANIFEST_JSONL}};
    enum status rc = STATUS_OK;
    const char *slash = strrchr(path, '/');
    const char *dot = strrchr(slash != NULL ? slash : path, '.');

    for (size_t i = 0; dot != NULL && i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcasecmp(dot, known[i].extension) == 0) {
            *format = known[i].format;
            goto out;
        }
    }
    FAIL(STATUS_USAGE,
         "%s: the format of a manifest is told by .tsv, .txt, .csv, .jsonl or .ndjson; rename it or "
         "name its format",
         path);
out:
    return rc;
}

void manifest_say(struct manifest *manifest, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(manifest->problem, sizeof(manifest->problem), format, args);
    va_end(args);
}

bool manifest_line_is_text(struct manifest *manifest, const struct line *line)
{
    if (line->too_long) {
        manifest_say(manifest, "the line is over 1 MiB: is this a manifest?");
        return false;
    }
    if (memchr(line->bytes, '\0', line->size) != NULL) {
        manifest_say(manifest, "a NUL byte: is this a text file in UTF-8?");
        return false;
    }
    size_t valid = utf8_valid_bytes(line->bytes, line->size);
    if (valid != line->size) {
        manifest_say(manifest, "bad UTF-8 at byte %zu of the line (0x%02x): convert the manifest to UTF-8",
                     valid + 1, (unsigned)(unsigned char)line->bytes[valid]);
        return false;
    }
    return true;
}

/* Names become names of data sets, so what those cannot hold is refused here, before any work. */
static bool column_name_is_good(const char *name, size_t size)
{
    if (size == 0 || size > MANIFEST_NAME_BYTES_MAX)
        return false;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)name[i] < ' ' || name[i] == 0x7f || name[i] == '/')
            return false;
    return !(size == 1 && name[0] == '.') && !(size == 2 && memcmp(name, "..", 2) == 0);
}

static bool find_column(const struct manifest *manifest, const char *name, size_t size, size_t *column)
{
    for (size_t i = 0; i < manifest->n_columns; i++) {
        if (strlen(manifest->columns[i]) == size && memcmp(manifest->columns[i], name, size) == 0) {
            *column = i;
            return true;
        }
    }
    return false;
}

enum status manifest_add_column(struct manifest *manifest, const char *name, size_t size)
{
    enum status rc = STATUS_OK;
    size_t found;

    if (!column_name_is_good(name, size))
        FAIL(STATUS_INPUT,
             "%s: column %zu is named \"%.*s\": a name has 1 to %d bytes, no / and no control characters",
             manifest->path, manifest->n_columns + 1, size > 200 ? 200 : (int)size, name,
             MANIFEST_NAME_BYTES_MAX);
    if (find_column(manifest, name, size, &found))
        FAIL(STATUS_INPUT, "%s: two columns are named %.*s", manifest->path, (int)size, name);
    if (manifest->n_columns == MANIFEST_COLUMNS_MAX)
        FAIL(STATUS_INPUT, "%s: more than %d columns", manifest->path, MANIFEST_COLUMNS_MAX);
    manifest->columns[manifest->n_columns] = strndup(name, size);
    if (manifest->columns[manifest->n_columns] == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    manifest->n_columns++;
out:
    return rc;
}

/* The columns for a message: "id, uri, partner", cut where it gets long. */
static void list_columns(const struct manifest *manifest, char *text, size_t size)
{
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; i < manifest->n_columns && used + 1 < size; i++) {
        int n = snprintf(text + used, size - used, "%s%s", i > 0 ? ", " : "", manifest->columns[i]);
        used += n > 0 ? (size_t)n : 0;
    }
    if (used >= size && size > 4)
        memcpy(text + size - 4, "...", 4);
}

static enum status get_fields(struct manifest *manifest, enum manifest_got *got)
{
    switch (manifest->format) {
    case MANIFEST_CSV:
        return manifest_csv_get(manifest, got);
    case MANIFEST_JSONL:
        return manifest_json_get(manifest, got);
    default:
        return manifest_tsv_get(manifest, got);
    }
}

static enum status read_header(struct manifest *manifest)
{
    enum status rc = STATUS_OK;
    enum manifest_got got;
    char names[400];

    TRY(get_fields(manifest, &got));
    if (got == MANIFEST_END)
        FAIL(STATUS_INPUT, "%s: the manifest is empty: its first line names the columns id, uri, ...",
             manifest->path);
    if (got == MANIFEST_BAD)
        FAIL(STATUS_INPUT, "%s:%llu: in the header: %s", manifest->path, (unsigned long long)manifest->line,
             manifest->problem);
    if (manifest->n_fields > MANIFEST_COLUMNS_MAX)
        FAIL(STATUS_INPUT, "%s: more than %d columns", manifest->path, MANIFEST_COLUMNS_MAX);
    for (size_t i = 0; i < manifest->n_fields; i++)
        TRY(manifest_add_column(manifest, manifest->fields[i].bytes, manifest->fields[i].size));
    list_columns(manifest, names, sizeof(names));
    if (!find_column(manifest, "id", 2, &manifest->id_column))
        FAIL(STATUS_INPUT,
             "%s:%llu: no column id; the columns are: %s. Is the first line a header, and the format %s "
             "right?",
             manifest->path, (unsigned long long)manifest->line, names,
             manifest_format_name(manifest->format));
    if (!find_column(manifest, "uri", 3, &manifest->uri_column))
        FAIL(STATUS_INPUT, "%s:%llu: no column uri; the columns are: %s", manifest->path,
             (unsigned long long)manifest->line, names);
out:
    return rc;
}

static enum status carry_all(struct manifest *manifest)
{
    for (size_t i = 0; i < manifest->n_columns; i++)
        if (i != manifest->id_column && i != manifest->uri_column)
            manifest->carried[manifest->n_carried++] = i;
    return STATUS_OK;
}

/* One name of --carry. */
static enum status carry_name(struct manifest *manifest, const char *name, size_t size)
{
    enum status rc = STATUS_OK;
    char names[400];
    size_t column;

    if (!find_column(manifest, name, size, &column) && manifest->format == MANIFEST_JSONL && size > 0) {
        TRY(manifest_add_column(manifest, name, size)); /* a key that the first object happens to lack */
        column = manifest->n_columns - 1;
    } else if (!find_column(manifest, name, size, &column)) {
        list_columns(manifest, names, sizeof(names));
        FAIL(STATUS_USAGE, "carry: there is no column \"%.*s\" in %s; the columns are: %s",
             size > 200 ? 200 : (int)size, name, manifest->path, names);
    }
    if (column == manifest->id_column || column == manifest->uri_column)
        goto out; /* always there */
    for (size_t i = 0; i < manifest->n_carried; i++)
        if (manifest->carried[i] == column)
            FAIL(STATUS_USAGE, "carry: %.*s is named twice", (int)size, name);
    manifest->carried[manifest->n_carried++] = column;
out:
    return rc;
}

static enum status choose_carried(struct manifest *manifest, const char *carry)
{
    enum status rc = STATUS_OK;

    manifest->carried = calloc(MANIFEST_COLUMNS_MAX, sizeof(*manifest->carried));
    manifest->carried_fields = calloc(MANIFEST_COLUMNS_MAX, sizeof(*manifest->carried_fields));
    if (manifest->carried == NULL || manifest->carried_fields == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    if (carry == NULL) {
        TRY(carry_all(manifest));
    } else if (strcmp(carry, "none") != 0) {
        for (const char *at = carry;;) {
            size_t size = strcspn(at, ",");
            TRY(carry_name(manifest, at, size));
            if (at[size] == '\0')
                break;
            at += size + 1;
        }
    }
out:
    return rc;
}

enum status manifest_open(const char *path, enum manifest_format format, const char *carry, bool hashing,
                          struct manifest **out)
{
    enum status rc = STATUS_OK;
    struct manifest *manifest = calloc(1, sizeof(*manifest));

    if (manifest == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    manifest->format = format;
    if (format == MANIFEST_AUTO)
        TRY(format_from_path(path, &manifest->format));
    manifest->path = strdup(path);
    manifest->columns = calloc(MANIFEST_COLUMNS_MAX, sizeof(*manifest->columns));
    if (manifest->path == NULL || manifest->columns == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    if (manifest->format == MANIFEST_CSV)
        TRY(manifest_csv_open(manifest));
    if (manifest->format == MANIFEST_JSONL) {
        manifest->uri_column = 1;
        TRY(lines_open(path, false, &manifest->lines));
        TRY(manifest_json_columns(manifest));
        lines_close(manifest->lines); /* it begins again: the first line is a row too */
        manifest->lines = NULL;
        TRY(lines_open(path, hashing, &manifest->lines));
    } else {
        TRY(lines_open(path, hashing, &manifest->lines));
        TRY(read_header(manifest));
    }
    TRY(choose_carried(manifest, carry));
    *out = manifest;
    manifest = NULL;
out:
    manifest_close(manifest);
    return rc;
}

void manifest_close(struct manifest *manifest)
{
    if (manifest == NULL)
        return;
    cJSON_Delete(manifest->object);
    manifest_csv_close(manifest);
    lines_close(manifest->lines);
    free(manifest->carried_fields);
    free(manifest->carried);
    for (size_t i = 0; i < manifest->n_columns; i++)
        free(manifest->columns[i]);
    free(manifest->columns);
    free(manifest->path);
    free(manifest);
}

enum manifest_format manifest_format_of(const struct manifest *manifest)
{
    return manifest->format;
}

size_t manifest_n_carried(const struct manifest *manifest)
{
    return manifest->n_carried;
}

const char *manifest_carried_name(const struct manifest *manifest, size_t i)
{
    return manifest->columns[manifest->carried[i]];
}

enum status manifest_seek(struct manifest *manifest, uint64_t offset_bytes, uint64_t line)
{
    enum status rc = STATUS_OK;

    TRY(lines_seek(manifest->lines, offset_bytes, line));
    if (manifest->format == MANIFEST_CSV)
        TRY(manifest_csv_forget(manifest));
out:
    return rc;
}

/* A control character could forge a line of a log or a report that shows the id. */
static bool id_is_good(struct manifest *manifest, const struct manifest_field *id)
{
    if (id->size == 0) {
        manifest_say(manifest, "the id is empty");
        return false;
    }
    if (id->size > MANIFEST_ID_BYTES_MAX) {
        manifest_say(manifest, "the id has %zu bytes; at most %d", id->size, MANIFEST_ID_BYTES_MAX);
        return false;
    }
    for (size_t i = 0; i < id->size; i++) {
        unsigned char c = (unsigned char)id->bytes[i];
        /* U+0080 to U+009F are controls too: 0xC2 and this byte. */
        bool c1 = c == 0xC2 && i + 1 < id->size && (unsigned char)id->bytes[i + 1] < 0xA0;
        if (c < ' ' || c == 0x7f || c1) {
            manifest_say(manifest, "a control character in the id, at its byte %zu", i + 1);
            return false;
        }
    }
    return true;
}

enum status manifest_get(struct manifest *manifest, struct manifest_row *row, enum manifest_got *got)
{
    enum status rc = STATUS_OK;

    TRY(get_fields(manifest, got));
    if (*got == MANIFEST_END)
        goto out;
    *row = (struct manifest_row){.line = manifest->line, .offset_bytes = manifest->offset_bytes};
    if (*got == MANIFEST_BAD)
        goto out;
    *got = MANIFEST_BAD;
    if (manifest->n_fields != manifest->n_columns) {
        manifest_say(manifest, "%zu fields; the header has %zu", manifest->n_fields, manifest->n_columns);
        goto out;
    }
    row->id = manifest->fields[manifest->id_column];
    row->uri = manifest->fields[manifest->uri_column];
    if (!id_is_good(manifest, &row->id))
        goto out;
    if (row->uri.size == 0) {
        manifest_say(manifest, "the uri is empty");
        goto out;
    }
    for (size_t i = 0; i < manifest->n_carried; i++)
        manifest->carried_fields[i] = manifest->fields[manifest->carried[i]];
    row->carried = manifest->carried_fields;
    *got = MANIFEST_ROW;
out:
    return rc;
}

const char *manifest_problem(const struct manifest *manifest)
{
    return manifest->problem;
}

enum status manifest_next(struct manifest *manifest, struct manifest_row *row, bool *more)
{
    enum status rc = STATUS_OK;
    struct manifest_row read;
    enum manifest_got got;

    TRY(manifest_get(manifest, &read, &got));
    if (got == MANIFEST_BAD)
        FAIL(STATUS_INPUT, "%s:%llu: %s", manifest->path, (unsigned long long)read.line, manifest->problem);
    if (got == MANIFEST_ROW)
        *row = read;
    *more = got == MANIFEST_ROW;
out:
    return rc;
}

uint64_t manifest_offset_bytes(const struct manifest *manifest)
{
    return lines_offset_bytes(manifest->lines);
}

enum status manifest_hash(struct manifest *manifest, char hex[33])
{
    return lines_hash(manifest->lines, hex);
}
