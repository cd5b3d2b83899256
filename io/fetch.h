/*
 * From a manifest's uri to the bytes of a picture file: a local file, or a member of a tar file (a.tar#name).
 */
#ifndef EYESORE_IO_FETCH_H
#define EYESORE_IO_FETCH_H

#include "io/picture.h"
#include "io/tar_cache.h"

struct fetch_options {
    const char *root;       /* uris are relative to this folder and stay in it; NULL or "": no root, uris are
                               paths as they are */
    uint64_t max_bytes;     /* a larger file is ITEM_TOO_LARGE, told before anything is allocated; 0: no limit
                               but 2 GiB */
    struct tar_cache *tars; /* shared by the fetchers of a process; NULL: this one has its own */
};

struct fetcher;

/*
 * One per thread. Keeps nothing of options but options->tars. STATUS_PLACE (logged) where root is not a
 * folder that can be read and has something in it: an empty one is a mount point without its mount.
 */
enum status fetcher_open(const struct fetch_options *options, struct fetcher **out);

void fetcher_close(struct fetcher *fetcher);

/*
 * Read the file behind a uri. The uri is taken as it is: nothing is percent-decoded. It names a tar member
 * where it contains ".tar#". With a root, an absolute uri, one with a ".." in it or one whose file lies
 * outside of the root by a symbolic link is ITEM_REFUSED, as is any scheme:// . What is no regular file (a
 * folder, a socket, a device) is ITEM_UNREADABLE.
 *
 * OUT info: reset, then the fault if there is one. OUT bytes: [n], belonging to the fetcher, valid until its
 * next read; written where info->status is ITEM_OK. A fault of the picture is STATUS_OK with info->status;
 * STATUS_PLACE (logged): the place is at fault, no picture should be blamed; STATUS_MEMORY.
 */
enum status fetcher_read(struct fetcher *fetcher, const char *uri, const uint8_t **bytes, size_t *n,
                         struct picture_info *info);

#endif
