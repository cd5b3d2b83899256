/*
 * What a decode helper may do: compute, get memory, talk on one descriptor, exit.
 */
#ifndef EYESORE_IO_SANDBOX_H
#define EYESORE_IO_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Limits of the calling process from now on: memory_bytes of address space beyond what it has mapped (where
 * sandbox_limits_memory), no core dump, no new descriptor, no file growing, not to be traced or read by
 * others of this user, and the first to go when the host has no memory left. 0, or an errno.
 */
int sandbox_limit(uint64_t memory_bytes);

/*
 * Load the seccomp filter: any system call but the few that decoding needs ends the process with SIGSYS.
 * Allowed on fd alone: recvfrom, sendto. Memory cannot be made executable. 0, or an errno.
 */
int sandbox_load_filter(int fd);

/* Of the kind of build (sandbox_plain.c, sandbox_sanitized.c). A sanitizer maps terabytes of shadow memory,
 * reports on stderr, and makes calls of its own. */
extern const bool sandbox_limits_memory;
extern const bool sandbox_keeps_stderr;
extern const int sandbox_further_calls[]; /* ends with -1 */

#endif
