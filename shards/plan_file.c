/*
 * The plan on disk: OUT/plan/shards.tsv and OUT/plan/plan.json.
 */
#include "base/file.h"
#include "shards/lines.h"
#include "shards/plan.h"
#include "shards/split.h"

#include <assert.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_SIZE 4096
#define JSON_BYTES_MAX ((size_t)4 << 20)
#define EXACT_MAX 9007199254740992.0 /* 2^53: JSON numbers are doubles here */

static const char shards_header[] = "shard\tfirst_row\tn_rows\toffset_bytes\tline";

static enum status plan_path(const char *out_folder, const char *name, char path[PATH_SIZE])
{
    enum status rc = STATUS_OK;
    int n = snprintf(path, PATH_SIZE, "%s/plan%s%s", out_folder, name[0] != '\0' ? "/" : "", name);

    if (n < 0 || n >= PATH_SIZE)
        FAIL(STATUS_INPUT, "%s: the path is too long", out_folder);
out:
    return rc;
}

bool plan_exists(const char *out_folder)
{
    char path[PATH_SIZE];

    if (plan_path(out_folder, "plan.json", path) != STATUS_OK)
        return false;
    /* Where it cannot be looked at, it may be there: reading it then says why it cannot be read. */
    return access(path, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

static enum status write_shards(const struct plan *plan, const char *path)
{
    enum status rc = STATUS_OK;
    char temp[PATH_SIZE];
    FILE *file = NULL;
    bool made = false;

    TRY(file_temp_name(path, temp, sizeof(temp)));
    file = fopen(temp, "wxe");
    if (file == NULL)
        FAIL(status_is_place_errno(errno) ? STATUS_PLACE : STATUS_INPUT, "%s: cannot create: %s", temp,
             strerror(errno));
    made = true;
    fprintf(file, "%s\n", shards_header);
    for (uint64_t i = 0; i < plan->n_shards; i++) {
        struct shard shard = plan_shard(plan, i);
        fprintf(file, "%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\n", shard.index,
                shard.first_row, shard.n_rows, shard.offset_bytes, shard.line);
    }
    bool failed = ferror(file) != 0;
    failed |= fclose(file) != 0;
    file = NULL;
    if (failed)
        FAIL(STATUS_PLACE, "%s: cannot write: %s", temp, strerror(errno));
    made = false; /* file_commit removes it where it fails */
    TRY(file_commit(temp, path));
out:
    if (file != NULL)
        fclose(file);
    if (made)
        unlink(temp);
    return rc;
}

static cJSON *plan_to_json(const struct plan *plan, const char *shards_hash)
{
    cJSON *json = cJSON_CreateObject();
    cJSON *columns = cJSON_AddArrayToObject(json, "columns");
    bool good = columns != NULL;

    good = good && cJSON_AddNumberToObject(json, "version", PLAN_VERSION) != NULL &&
           cJSON_AddStringToObject(json, "format", manifest_format_name(plan->format)) != NULL &&
           cJSON_AddStringToObject(json, "manifest_hash", plan->manifest_hash) != NULL &&
           cJSON_AddNumberToObject(json, "manifest_bytes", (double)plan->manifest_bytes) != NULL &&
           cJSON_AddNumberToObject(json, "rows", (double)plan->n_rows) != NULL &&
           cJSON_AddNumberToObject(json, "limit", (double)plan->limit) != NULL &&
           cJSON_AddNumberToObject(json, "shard_rows", (double)plan->shard_rows) != NULL &&
           cJSON_AddNumberToObject(json, "n_shards", (double)plan->n_shards) != NULL &&
           cJSON_AddStringToObject(json, "shards_hash", shards_hash) != NULL;
    for (size_t i = 0; good && i < plan->n_columns; i++) {
        cJSON *column = cJSON_CreateObject();
        good =
            cJSON_AddItemToArray(columns, column) &&
            cJSON_AddStringToObject(column, "name", plan->columns[i].name) != NULL &&
            cJSON_AddNumberToObject(column, "longest_bytes", (double)plan->columns[i].longest_bytes) != NULL;
    }
    if (!good) {
        cJSON_Delete(json);
        json = NULL;
    }
    return json;
}

enum status plan_write(const struct plan *plan, const char *out_folder)
{
    enum status rc = STATUS_OK;
    char path[PATH_SIZE], hash[LINES_HASH_SIZE];
    uint64_t size;
    cJSON *json = NULL;
    char *text = NULL;

    TRY(plan_path(out_folder, "", path));
    TRY(file_make_folders(path));
    TRY(plan_path(out_folder, "shards.tsv", path));
    TRY(write_shards(plan, path));
    TRY(lines_hash_file(path, UINT64_MAX, hash, &size));
    json = plan_to_json(plan, hash);
    text = json != NULL ? cJSON_Print(json) : NULL;
    if (text == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    TRY(plan_path(out_folder, "plan.json", path));
    TRY(file_write(path, text, strlen(text)));
out:
    cJSON_free(text);
    cJSON_Delete(json);
    return rc;
}

static bool get_count(const cJSON *json, const char *key, uint64_t *value)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);

    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble < EXACT_MAX))
        return false;
    *value = (uint64_t)item->valuedouble;
    return (double)*value == item->valuedouble;
}

static bool get_hash(const cJSON *json, const char *key, char hash[PLAN_HASH_SIZE])
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);

    if (!cJSON_IsString(item) || strlen(item->valuestring) != PLAN_HASH_SIZE - 1)
        return false;
    memcpy(hash, item->valuestring, PLAN_HASH_SIZE);
    return true;
}

static bool get_format(const cJSON *json, enum manifest_format *format)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, "format");

    for (int i = MANIFEST_TSV; cJSON_IsString(item) && i <= MANIFEST_JSONL; i++) {
        *format = (enum manifest_format)i;
        if (strcmp(item->valuestring, manifest_format_name(*format)) == 0)
            return true;
    }
    return false;
}

static bool get_columns(const cJSON *json, struct plan *plan, bool *no_memory)
{
    const cJSON *columns = cJSON_GetObjectItemCaseSensitive(json, "columns");
    int n = cJSON_IsArray(columns) ? cJSON_GetArraySize(columns) : 0;
    const cJSON *column;

    if (n < 2 || n > MANIFEST_COLUMNS_MAX)
        return false;
    plan->columns = calloc((size_t)n, sizeof(*plan->columns));
    if (plan->columns == NULL) {
        *no_memory = true;
        return false;
    }
    plan->n_columns = 0;
    cJSON_ArrayForEach(column, columns)
    {
        const cJSON *name = cJSON_GetObjectItemCaseSensitive(column, "name");
        struct plan_column *to = &plan->columns[plan->n_columns];

        if (!cJSON_IsString(name) || !get_count(column, "longest_bytes", &to->longest_bytes))
            return false;
        to->name = strdup(name->valuestring);
        if (to->name == NULL) {
            *no_memory = true;
            return false;
        }
        plan->n_columns++;
    }
    assert(plan->n_columns >= 2); /* n */
    return strcmp(plan->columns[0].name, "id") == 0 && strcmp(plan->columns[1].name, "uri") == 0;
}

static enum status load_json(const char *path, struct plan *plan, char shards_hash[PLAN_HASH_SIZE])
{
    enum status rc = STATUS_OK;
    char *text = NULL;
    size_t size;
    cJSON *json = NULL;
    uint64_t version;
    bool no_memory = false;

    TRY(file_read(path, JSON_BYTES_MAX, &text, &size));
    errno = 0; /* the parser answers the same for bad text and for no memory; malloc leaves its word */
    json = cJSON_ParseWithLength(text, size);
    if (json == NULL && errno == ENOMEM)
        FAIL(STATUS_MEMORY, "%s: no memory to read it", path);
    if (json == NULL || !get_count(json, "version", &version))
        FAIL(STATUS_INPUT,
             "%s: not a plan: remove the plan folder and run the same command: it is made anew, and finished "
             "parts are kept",
             path);
    if (version != PLAN_VERSION)
        FAIL(STATUS_INPUT,
             "%s: a plan of version %" PRIu64
             ", this program knows %d: finish the sweep with the program that began it",
             path, version, PLAN_VERSION);
    bool good = get_format(json, &plan->format) && get_hash(json, "manifest_hash", plan->manifest_hash) &&
                get_count(json, "manifest_bytes", &plan->manifest_bytes) &&
                get_count(json, "rows", &plan->n_rows) && get_count(json, "limit", &plan->limit) &&
                get_count(json, "shard_rows", &plan->shard_rows) &&
                get_count(json, "n_shards", &plan->n_shards) && get_hash(json, "shards_hash", shards_hash) &&
                get_columns(json, plan, &no_memory);
    if (no_memory)
        FAIL(STATUS_MEMORY, "%s: no memory to read it", path);
    if (!good || plan->shard_rows == 0 || plan->n_shards == 0 || plan->n_shards > plan->n_rows ||
        plan->n_shards > (uint64_t)2 * SPLIT_SHARDS_MAX)
        FAIL(STATUS_INPUT,
             "%s: damaged: remove the plan folder and run the same command: it is made anew, and finished "
             "parts are kept",
             path);
out:
    cJSON_Delete(json);
    free(text);
    return rc;
}

/* Five numbers with tabs between, and nothing else. */
static bool parse_shard(const char *text, struct shard *shard)
{
    uint64_t *const numbers[] = {&shard->index, &shard->first_row, &shard->n_rows, &shard->offset_bytes,
                                 &shard->line};

    for (size_t i = 0; i < 5; i++) {
        char *end;

        if (*text < '0' || *text > '9')
            return false;
        errno = 0;
        *numbers[i] = strtoull(text, &end, 10);
        if (errno != 0 || *end != (i < 4 ? '\t' : '\0'))
            return false;
        text = end + 1;
    }
    return true;
}

static enum status load_shards(const char *path, const char *expected_hash, struct plan *plan)
{
    enum status rc = STATUS_OK;
    struct lines *lines = NULL;
    struct line line;
    char hash[LINES_HASH_SIZE];
    uint64_t n = 0, next_row = 0;
    bool more;

    plan->starts = malloc(plan->n_shards * sizeof(*plan->starts));
    if (plan->starts == NULL)
        FAIL(STATUS_MEMORY, "no memory for the plan");
    TRY(lines_open(path, true, &lines));
    TRY(lines_next(lines, &line, &more));
    bool good =
        more && line.size == strlen(shards_header) && memcmp(line.bytes, shards_header, line.size) == 0;
    while (good) {
        struct shard shard;
        char text[128];

        TRY(lines_next(lines, &line, &more));
        if (!more)
            break;
        good = n < plan->n_shards && line.size < sizeof(text) && !line.too_long;
        if (!good)
            break;
        memcpy(text, line.bytes, line.size);
        text[line.size] = '\0';
        good = parse_shard(text, &shard) && shard.index == n && shard.first_row == next_row &&
               shard.n_rows > 0 && shard.n_rows <= plan->n_rows - next_row;
        if (!good)
            break;
        next_row += shard.n_rows;
        plan->starts[n++] = (struct split_start){shard.first_row, shard.offset_bytes, shard.line};
    }
    TRY(lines_hash(lines, hash));
    if (!good || n != plan->n_shards || next_row != plan->n_rows || strcmp(hash, expected_hash) != 0)
        FAIL(STATUS_INPUT,
             "%s: damaged (near line %" PRIu64 "): remove the plan folder and run the same command: it is "
             "made anew, and finished parts are kept",
             path, n + 2);
out:
    lines_close(lines);
    return rc;
}

enum status plan_load(const char *out_folder, struct plan *plan)
{
    enum status rc = STATUS_OK;
    struct plan loaded = {0};
    char path[PATH_SIZE], shards_hash[PLAN_HASH_SIZE];

    TRY(plan_path(out_folder, "plan.json", path));
    TRY(load_json(path, &loaded, shards_hash));
    TRY(plan_path(out_folder, "shards.tsv", path));
    TRY(load_shards(path, shards_hash, &loaded));
    *plan = loaded;
    loaded = (struct plan){0};
out:
    plan_free(&loaded);
    return rc;
}
