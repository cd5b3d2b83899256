/*
 * eyesore manifest: the pictures of folders and tar files as a TSV manifest on stdout.
 */
#include "job/commands.h"

#include "io/listing.h"

#include <errno.h>
#include <string.h>

#define ID_BYTES_MAX MANIFEST_ID_BYTES_MAX

struct writing {
    uint64_t n_rows;
};

/*
 * The id is a running number: file names can be longer than an id may be, and one name can stand in several
 * folders, while the uri says where the picture is anyway.
 */
static enum status write_row(void *context, const char *uri, const char *category)
{
    enum status rc = STATUS_OK;
    struct writing *writing = context;

    if (printf("%08llu\t%s\t%s\n", (unsigned long long)++writing->n_rows, uri, category) < 0)
        FAIL(STATUS_INPUT, "standard output: cannot write: %s", strerror(errno));
out:
    return rc;
}

enum status command_manifest(const struct options *options)
{
    enum status rc = STATUS_OK;
    struct writing writing = {0};
    uint64_t n_skipped = 0;

    printf("id\turi\tcategory\n");
    for (size_t i = 0; i < options->n_operands; i++) {
        struct listing_counts counts = {0};
        TRY(listing_walk(options->operands[i], options->prefix, write_row, &writing, &counts));
        if (counts.n_pictures == 0)
            log_warn("%s: no pictures (.jpg .jpeg .jpe .jfif .png .webp .gif)", options->operands[i]);
        n_skipped += counts.n_skipped;
    }
    if (n_skipped > 0)
        log_warn("%llu pictures left out, whose names cannot stand in a manifest",
                 (unsigned long long)n_skipped);
    if (writing.n_rows == 0)
        FAIL(STATUS_INPUT, "there is no picture in what was named");
out:
    return rc;
}
