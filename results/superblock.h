/*
 * A repair of images of HDF5 files. Of the superblocks since HDF5 1.8, H5Fget_file_image (1.10.8) clears the
 * flag "open for writing" and leaves the checksum that it had with it, so that nobody can open the image.
 */
#ifndef EYESORE_RESULTS_SUPERBLOCK_H
#define EYESORE_RESULTS_SUPERBLOCK_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/*
 * Write the right checksum into the superblock at the start of an image: Jenkins' lookup3 over all that is
 * before it (HDF5 File Format Specification 3.0, II.A). An image that has it right already stays as it is.
 * STATUS_INTERNAL where the superblock is not one of version 2 with addresses of 8 bytes.
 */
enum status superblock_repair(char *image, size_t size);

#endif
