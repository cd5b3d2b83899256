/*
 * Open a file that a manifest names: a regular one, and where there is a root, one that lies beneath it.
 */
#ifndef EYESORE_IO_OPEN_H
#define EYESORE_IO_OPEN_H

#include <errno.h>
#include <stddef.h>
#include <sys/stat.h>

/* Errnos of open_regular with a meaning of their own; open(2) of a regular file gives neither. */
#define OPEN_LEAVES_ROOT EXDEV
#define OPEN_NOT_REGULAR ESPIPE

/*
 * Open `path` for reading, close-on-exec; a FIFO does not hold the caller. OUT st: of the opened file.
 *
 * path[0..n_root) is the folder that the file may not leave, through symbolic links or otherwise; a slash
 * stands behind it. 0: there is none. Links that stay beneath it are followed, absolute ones too.
 *
 * Answers a descriptor, the caller's to close, or -1 with errno: EISDIR for a folder, OPEN_NOT_REGULAR for a
 * socket, a FIFO or a device (ENXIO and ENODEV are left for the place), OPEN_LEAVES_ROOT, or that of open(2).
 */
int open_regular(const char *path, size_t n_root, struct stat *st);

/* strerror, and in words for the errnos above. */
const char *open_strerror(int error);

#endif
