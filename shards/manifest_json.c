/*
 * JSON Lines through cJSON. cJSON turns numbers into doubles; to carry them as written, the raw extents of
 * the object's members are found beside it, in the same order.
 */
#include "shards/manifest_format.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <string.h>

static const char *skip_space(const char *at, const char *end)
{
    while (at < end && (unsigned char)*at <= ' ')
        at++;
    return at;
}

/* Behind the text that begins at `at`, a quote. */
static const char *skip_text(const char *at, const char *end)
{
    for (at++; at < end && *at != '"'; at++)
        if (*at == '\\')
            at++;
    return at < end ? at + 1 : end;
}

/* Behind any value. The line is known to parse, so counting brackets is enough. */
static const char *skip_value(const char *at, const char *end)
{
    size_t depth = 0;

    while (at < end) {
        if (*at == '"') {
            at = skip_text(at, end);
            if (depth == 0)
                break;
            continue;
        }
        if (depth == 0 && (*at == ',' || *at == '}' || (unsigned char)*at <= ' '))
            break;
        if (*at == '{' || *at == '[') {
            depth++;
        } else if (*at == '}' || *at == ']') {
            depth--;
            if (depth == 0)
                return at + 1;
        }
        at++;
    }
    return at;
}

/* The raw text of the next member's value; `at` begins behind '{' and is moved behind the value and its
 * comma. */
static struct manifest_field next_raw(const char **at, const char *end)
{
    const char *p = skip_space(*at, end);

    p = skip_space(skip_text(p, end), end); /* the key */
    if (p < end)
        p++; /* ':' */
    p = skip_space(p, end);
    const char *stop = skip_value(p, end);
    struct manifest_field raw = {p, (size_t)(stop - p)};
    stop = skip_space(stop, end);
    *at = stop < end ? stop + 1 : end; /* ',' */
    return raw;
}

/* cJSON would cut a text at an escaped NUL, so it is refused before. */
static bool has_escaped_nul(const char *bytes, size_t size)
{
    const char *at = bytes, *end = bytes + size;

    while ((at = memchr(at, '\\', (size_t)(end - at))) != NULL) {
        if (end - at >= 6 && memcmp(at, "\\u0000", 6) == 0)
            return true;
        if (end - at < 2)
            break;
        at += 2;
    }
    return false;
}

/* Parse the next line that is not blank into manifest->object. */
static enum status next_object(struct manifest *manifest, struct line *line, enum manifest_got *got)
{
    enum status rc = STATUS_OK;
    const char *stop = NULL;
    bool more;

    cJSON_Delete(manifest->object);
    manifest->object = NULL;
    do {
        TRY(lines_next(manifest->lines, line, &more));
        if (!more) {
            *got = MANIFEST_END;
            goto out;
        }
    } while (line->size == 0 && !line->too_long);
    manifest->line = line->number;
    manifest->offset_bytes = line->offset_bytes;
    *got = MANIFEST_BAD;
    if (!manifest_line_is_text(manifest, line))
        goto out;
    if (has_escaped_nul(line->bytes, line->size)) {
        manifest_say(manifest, "\\u0000 in a text");
        goto out;
    }
    errno = 0; /* the parser answers the same for bad text and for no memory; malloc leaves its word */
    manifest->object = cJSON_ParseWithLengthOpts(line->bytes, line->size, &stop, false);
    if (manifest->object == NULL && errno == ENOMEM)
        FAIL(STATUS_MEMORY, "%s: no memory for a row", manifest->path);
    if (manifest->object == NULL) {
        manifest_say(manifest, "not JSON, at byte %zu of the line",
                     stop == NULL ? (size_t)1 : (size_t)(stop - line->bytes) + 1);
        goto out;
    }
    if (!cJSON_IsObject(manifest->object)) {
        manifest_say(manifest, "not a JSON object: each line is one {\"id\": ..., \"uri\": ...}");
        goto out;
    }
    if (skip_space(stop, line->bytes + line->size) != line->bytes + line->size) {
        manifest_say(manifest, "text behind the object, at byte %zu: one object a line",
                     (size_t)(stop - line->bytes) + 1);
        goto out;
    }
    *got = MANIFEST_ROW;
out:
    return rc;
}

static struct manifest_field member_text(const cJSON *member, struct manifest_field raw)
{
    if (cJSON_IsString(member))
        return (struct manifest_field){member->valuestring, strlen(member->valuestring)};
    if (cJSON_IsNull(member))
        return (struct manifest_field){"", 0};
    return raw;
}

enum status manifest_json_get(struct manifest *manifest, enum manifest_got *got)
{
    enum status rc = STATUS_OK;
    struct line line;

    TRY(next_object(manifest, &line, got));
    if (*got != MANIFEST_ROW)
        goto out;
    for (size_t i = 0; i < manifest->n_columns; i++)
        manifest->fields[i] = (struct manifest_field){NULL, 0};
    const char *end = line.bytes + line.size;
    const char *at = (const char *)memchr(line.bytes, '{', line.size) + 1;
    for (const cJSON *member = manifest->object->child; member != NULL; member = member->next) {
        struct manifest_field raw = next_raw(&at, end);

        for (size_t i = 0; i < manifest->n_columns; i++) {
            if (strcmp(member->string, manifest->columns[i]) != 0)
                continue;
            if (manifest->fields[i].bytes != NULL) {
                manifest_say(manifest, "the key %.100s is there twice", member->string);
                *got = MANIFEST_BAD;
                goto out;
            }
            if (i < 2 && !cJSON_IsString(member) && !cJSON_IsNumber(member) && !cJSON_IsNull(member)) {
                manifest_say(manifest, "%s is neither a text nor a number", manifest->columns[i]);
                *got = MANIFEST_BAD;
                goto out;
            }
            manifest->fields[i] = member_text(member, raw);
            break;
        }
    }
    for (size_t i = 0; i < manifest->n_columns; i++) {
        if (manifest->fields[i].bytes != NULL)
            continue;
        if (i < 2) {
            manifest_say(manifest, "no key %s", manifest->columns[i]);
            *got = MANIFEST_BAD;
            goto out;
        }
        manifest->fields[i] = (struct manifest_field){"", 0};
    }
    manifest->n_fields = manifest->n_columns;
out:
    return rc;
}

enum status manifest_json_columns(struct manifest *manifest)
{
    enum status rc = STATUS_OK;
    struct line line;
    enum manifest_got got;

    TRY(next_object(manifest, &line, &got));
    if (got == MANIFEST_END)
        FAIL(STATUS_INPUT, "%s: the manifest is empty", manifest->path);
    if (got == MANIFEST_BAD)
        FAIL(STATUS_INPUT, "%s:%llu: %s", manifest->path, (unsigned long long)line.number, manifest->problem);
    TRY(manifest_add_column(manifest, "id", 2));
    TRY(manifest_add_column(manifest, "uri", 3));
    for (const cJSON *member = manifest->object->child; member != NULL; member = member->next)
        if (strcmp(member->string, "id") != 0 && strcmp(member->string, "uri") != 0)
            TRY(manifest_add_column(manifest, member->string, strlen(member->string)));
out:
    return rc;
}
