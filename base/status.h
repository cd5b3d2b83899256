/*
 * What a function can answer, and how an answer becomes an exit code.
 *
 * Every function that can fail returns `enum status`, writes its outputs only on success, and cleans up
 * behind its single `out:` label. The message for the user is written once, where the fault is found (FAIL);
 * TRY only passes it on, leaving a trace at debug level.
 *
 *     enum status thing_load(const char *path, struct thing **out)
 *     {
 *         enum status rc = STATUS_OK;
 *         ...
 *         if (fd < 0)
 *             FAIL(STATUS_INPUT, "%s: %s", path, strerror(errno));
 *         TRY(thing_parse(...));
 *         *out = thing;
 *         thing = NULL;
 *     out:
 *         thing_free(thing);
 *         return rc;
 *     }
 */
#ifndef EYESORE_BASE_STATUS_H
#define EYESORE_BASE_STATUS_H

#include "base/log.h"

enum status {
    STATUS_OK = 0,
    STATUS_INTERNAL,        /* a bug, or a library failing where it should not */
    STATUS_MEMORY,          /* no memory left */
    STATUS_USAGE,           /* the command line or the config file */
    STATUS_INPUT,           /* a manifest, weights or result file that is not what it should be */
    STATUS_MISMATCH,        /* the output folder belongs to another run */
    STATUS_TOO_MANY_FAILED, /* more rows failed than --max-failed allows */
    STATUS_UNRECONCILED,    /* rows in differ from rows out */
    STATUS_PLACE,           /* the place, not the picture: EIO, ESTALE, EMFILE, disk full, root not mounted */
    STATUS_RESUME,          /* stopped on request: run again with the same command */
};

/* Exit codes of the program, promised in the README. */
enum exit_code {
    EXIT_DONE = 0,
    EXIT_INTERNAL = 1,
    EXIT_USAGE = 2,
    EXIT_TOO_MANY_FAILED = 3,
    EXIT_UNRECONCILED = 4,
    EXIT_RESUME = 75, /* EX_TEMPFAIL of sysexits.h */
};

/* "too_many_failed", ...; never NULL. */
const char *status_name(enum status status);

enum exit_code status_exit_code(enum status status);

/*
 * Is this errno the fault of the place (I/O error, stale handle, no descriptors, disk full, no memory) rather
 * than of one file? Such a fault is never a row's status: the shard is abandoned and the job resumed.
 */
bool status_is_place_errno(int error);

#define TRY(expr)                                                                                            \
    do {                                                                                                     \
        rc = (expr);                                                                                         \
        if (rc != STATUS_OK) {                                                                               \
            log_debug("at %s:%d: %s: %s", __FILE__, __LINE__, #expr, status_name(rc));                       \
            goto out;                                                                                        \
        }                                                                                                    \
    } while (0)

#define FAIL(status, ...)                                                                                    \
    do {                                                                                                     \
        rc = (status);                                                                                       \
        log_error(__VA_ARGS__);                                                                              \
        log_debug("at %s:%d: %s", __FILE__, __LINE__, status_name(rc));                                      \
        goto out;                                                                                            \
    } while (0)

#endif
