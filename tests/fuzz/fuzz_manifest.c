/*
 * Any bytes as a manifest of each format (the first byte says which; the rest is the file): opened, read to
 * its end past its faults, and each row read once more by its offset.
 */
#include "target.h"

#include "base/log.h"
#include "shards/manifest.h"

#include <string.h>

#define REREAD_MOST 8

static const struct {
    enum manifest_format format;
    const char *carry;
} kinds[] = {{MANIFEST_TSV, NULL},           {MANIFEST_CSV, NULL},   {MANIFEST_JSONL, NULL},
             {MANIFEST_TSV, "partner"},      {MANIFEST_CSV, "none"}, {MANIFEST_JSONL, "partner,price"},
             {MANIFEST_CSV, "price,partner"}};

struct seen {
    uint64_t offset, line;
    size_t id_size;
    char id[MANIFEST_ID_BYTES_MAX];
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

static void touch(const struct manifest_field *field)
{
    MUST(field->size == 0 || memchr(field->bytes, '\0', field->size) == NULL);
}

static void check_row(const struct manifest *manifest, const struct manifest_row *row)
{
    MUST(row->id.size >= 1 && row->id.size <= MANIFEST_ID_BYTES_MAX && row->uri.size >= 1);
    touch(&row->id);
    touch(&row->uri);
    for (size_t i = 0; i < manifest_n_carried(manifest); i++)
        touch(&row->carried[i]);
}

/* OUT seen: the first rows. Answers how many are kept. */
static size_t read_all(struct manifest *manifest, struct seen *seen)
{
    struct manifest_row row;
    enum manifest_got got;
    uint64_t line = 0;
    size_t n = 0;

    for (;;) {
        if (manifest_get(manifest, &row, &got) != STATUS_OK || got == MANIFEST_END)
            return n;
        MUST(row.line > line); /* it goes on: no input is read for ever */
        line = row.line;
        if (got == MANIFEST_BAD) {
            MUST(manifest_problem(manifest)[0] != '\0');
            continue;
        }
        check_row(manifest, &row);
        if (n == REREAD_MOST)
            continue;
        seen[n] = (struct seen){row.offset_bytes, row.line, row.id.size, {0}};
        memcpy(seen[n++].id, row.id.bytes, row.id.size);
    }
}

static void read_again(struct manifest *manifest, const struct seen *seen, size_t n)
{
    struct manifest_row row;
    bool more;

    for (size_t i = n; i-- > 0;) {
        MUST(manifest_seek(manifest, seen[i].offset, seen[i].line) == STATUS_OK);
        MUST(manifest_next(manifest, &row, &more) == STATUS_OK && more);
        MUST(row.line == seen[i].line && row.id.size == seen[i].id_size &&
             memcmp(row.id.bytes, seen[i].id, row.id.size) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct seen seen[REREAD_MOST];
    struct manifest *manifest = NULL;
    char hex[33];

    if (n == 0)
        return 0;
    size_t kind = bytes[0] % (sizeof(kinds) / sizeof(kinds[0]));
    const char *path = bytes_file(bytes + 1, n - 1);
    if (manifest_open(path, kinds[kind].format, kinds[kind].carry, false, &manifest) != STATUS_OK)
        return 0;
    n_accepted++;
    read_again(manifest, seen, read_all(manifest, seen));
    manifest_close(manifest);
    MUST(manifest_open(path, kinds[kind].format, kinds[kind].carry, true, &manifest) == STATUS_OK);
    (void)read_all(manifest, seen);
    MUST(manifest_hash(manifest, hex) == STATUS_OK && strlen(hex) == 32);
    MUST(manifest_offset_bytes(manifest) == n - 1);
    manifest_close(manifest);
    return 0;
}
