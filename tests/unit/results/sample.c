#include "sample.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* splitmix64's mixing step: numbers without a pattern (Steele, Lea, Flood 2014). */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static void fill_strings(struct sample_row *made, uint64_t row)
{
    unsigned long long n = row;

    snprintf(made->id, sizeof(made->id), row % 7 == 0 ? "商品-%llu" : "sku-%llu", n);
    snprintf(made->uri, sizeof(made->uri), "d/%0*llu.jpg", (int)(n % 40), n);
    if (row % 11 == 0)
        snprintf(made->uri, sizeof(made->uri), "a,\"b\"\r\n=cmd|'%llu'", n);
    snprintf(made->columns[0], 256, row % 5 == 0 ? "" : "partner-%llu", n % 3);
    memset(made->columns[1], 'a' + (int)(n % 26), n % 200);
    snprintf(made->columns[2], 256, "+%llu\t\\", n % 10);
    snprintf(made->columns[3], 256, "é%llu", n % 100);
}

struct sample_row sample_row(enum sample_kind kind, uint64_t row)
{
    struct sample_row made = {.status = ITEM_OK, .orientation = (uint8_t)(1 + row % 8)};
    bool mixed = kind == SAMPLE_MIXED;

    fill_strings(&made, row);
    made.width = (int32_t)(100 + row);
    made.height = (int32_t)(7 + row % 1000);
    for (uint32_t i = 0; i < SWEEP_HASH_SIZE; i++)
        made.hash[i] = (uint8_t)mix(row * 16 + i);
    made.scores[0] = (float)(mix(row) >> 40) * 0x1p-24f * (mixed ? 1.0f : 0.5f);
    made.scores[1] = made.scores[0] < 0.5f ? NAN : (float)(mix(~row) >> 40) * 0x1p-24f;
    made.verdict = made.scores[0] >= 0.5f && made.scores[1] >= 0.5f ? SWEEP_FLAGGED : SWEEP_PASS;
    if (row % 17 == 3) {
        made.status = ITEM_TRUNCATED;
        made.message = "ends after 12,345 bytes";
    }
    if (mixed && row % 13 == 5) {
        made.status = row % 2 == 0 ? ITEM_MISSING : ITEM_CORRUPT;
        made.verdict = SWEEP_FAILED;
        made.scores[0] = made.scores[1] = NAN;
        made.message = row % 3 == 0 ? NULL : "broken \xff header: größe";
    }
    return made;
}

enum status sample_layout(struct sweep_layout *layout)
{
    enum status rc = STATUS_OK;

    TRY(sweep_layout_init(layout, 20, HEATMAPS_FLAGGED, 0.125));
    TRY(sweep_layout_add_column(layout, "partner", 9));
    TRY(sweep_layout_add_column(layout, "title", 199));
    TRY(sweep_layout_add_column(layout, "status", 5));
    TRY(sweep_layout_add_column(layout, "a/b", 64));
    TRY(sweep_layout_add_stage(layout, "resnet50", 3, 2, true));
    TRY(sweep_layout_add_stage(layout, "densenet161", 2, 2, true));
out:
    return rc;
}

float sample_map_cell(uint64_t row, uint32_t stage, uint32_t cell)
{
    return (float)(row % 1000) * 0.125f + (float)stage * 0.5f + (float)cell;
}

static enum status fill_row(struct part *part, enum sample_kind kind, uint64_t i)
{
    enum status rc = STATUS_OK;
    struct sample_row row = sample_row(kind, part->first_row + i);
    struct part_text columns[SAMPLE_COLUMNS];
    float map[16];

    for (uint32_t j = 0; j < SAMPLE_COLUMNS; j++)
        columns[j] = (struct part_text){row.columns[j], strlen(row.columns[j])};
    TRY(part_set_item(part, i, (struct part_text){row.id, strlen(row.id)},
                      (struct part_text){row.uri, strlen(row.uri)}, columns));
    part_set_picture(part, i, row.width, row.height, row.orientation, row.hash);
    if ((part->first_row + i) % 8 == 0)
        part_set_probed(part, i);
    for (uint32_t stage = 0; stage < SAMPLE_STAGES; stage++) {
        part_set_score(part, i, stage, row.scores[stage]);
        if (row.verdict != SWEEP_FLAGGED)
            continue;
        for (uint32_t cell = 0; cell < 6; cell++)
            map[cell] = sample_map_cell(part->first_row + i, stage, cell);
        TRY(part_set_map(part, i, stage, map));
    }
    TRY(part_set_outcome(part, i, row.status, row.verdict, row.message));
out:
    return rc;
}

enum status sample_part(const struct sweep_layout *layout, enum sample_kind kind, uint64_t shard,
                        uint64_t first_row, uint64_t n_rows, struct part **part)
{
    enum status rc = STATUS_OK;
    struct part *made = NULL;

    TRY(part_create(layout, shard, first_row, n_rows, &made));
    for (uint64_t i = 0; i < n_rows; i++)
        TRY(fill_row(made, kind, i));
    *part = made;
    made = NULL;
out:
    part_free(made);
    return rc;
}

char *sample_make_folder(void)
{
    const char *base = getenv("TMPDIR");
    char *name = NULL;

    if (asprintf(&name, "%s/eyesore-results-XXXXXX", base == NULL ? "/tmp" : base) < 0 ||
        mkdtemp(name) == NULL) {
        free(name);
        return NULL;
    }
    return name;
}

char *sample_path(const char *folder, const char *name)
{
    char *path = NULL;

    return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

void sample_remove_folder(char *folder)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char *path = sample_path(folder, entry->d_name);
        if (entry->d_name[0] != '.')
            unlink(path);
        free(path);
    }
    if (dir != NULL)
        closedir(dir);
    rmdir(folder);
    free(folder);
}

bool sample_has_temporary(const char *folder)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    bool found = false;

    while (dir != NULL && (entry = readdir(dir)) != NULL)
        found = found || strstr(entry->d_name, ".tmp-") != NULL;
    if (dir != NULL)
        closedir(dir);
    return found;
}
