/*
 * Find the pictures of a folder tree or a tar file: what `eyesore manifest` writes.
 */
#ifndef EYESORE_IO_LISTING_H
#define EYESORE_IO_LISTING_H

#include "base/status.h"

#include <stdint.h>

/*
 * One picture. uri: for fetcher_read. category: the name of the folder it is in, "" at the top. Both last for
 * the call, are UTF-8, and have no tab, newline or other control character in them. Answer anything but
 * STATUS_OK to stop.
 */
typedef enum status listing_visit(void *context, const char *uri, const char *category);

struct listing_counts {
    uint64_t n_pictures; /* visited */
    uint64_t n_skipped;  /* pictures whose name cannot stand in a manifest; each was logged */
    uint64_t n_others;   /* files that are not named as pictures are */
};

/*
 * Visit every .jpg .jpeg .jpe .jfif .png .webp .gif (case ignored) below a folder or in a tar file, in the
 * byte order of their names, folder by folder. Hidden names (.x) are passed over; a link to a file counts as
 * a file, a link to a folder is not followed.
 *
 * prefix: what stands before the names in the uris: NULL for `path/` (or `path#` for a tar), else e.g. "" for
 * uris relative to a folder that will be the --root. OUT counts, also on errors.
 * STATUS_INPUT (logged): path is neither. STATUS_PLACE: it cannot be read. What visit answers is passed on.
 */
enum status listing_walk(const char *path, const char *prefix, listing_visit *visit, void *context,
                         struct listing_counts *counts);

#endif
