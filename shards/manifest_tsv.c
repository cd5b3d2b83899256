#include "shards/manifest_format.h"

#include <string.h>

enum status manifest_tsv_get(struct manifest *manifest, enum manifest_got *got)
{
    enum status rc = STATUS_OK;
    struct line line;
    bool more;

    do {
        TRY(lines_next(manifest->lines, &line, &more));
        if (!more) {
            *got = MANIFEST_END;
            goto out;
        }
    } while (line.size == 0 && !line.too_long);
    manifest->line = line.number;
    manifest->offset_bytes = line.offset_bytes;
    if (!manifest_line_is_text(manifest, &line)) {
        *got = MANIFEST_BAD;
        goto out;
    }
    const char *at = line.bytes, *end = line.bytes + line.size;
    for (manifest->n_fields = 0;; manifest->n_fields++) {
        const char *tab = memchr(at, '\t', (size_t)(end - at));
        const char *stop = tab != NULL ? tab : end;

        if (manifest->n_fields < MANIFEST_COLUMNS_MAX)
            manifest->fields[manifest->n_fields] = (struct manifest_field){at, (size_t)(stop - at)};
        if (tab == NULL)
            break;
        at = tab + 1;
    }
    manifest->n_fields++;
    *got = MANIFEST_ROW;
out:
    return rc;
}
