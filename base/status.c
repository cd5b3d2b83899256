#include "base/status.h"

#include <errno.h>

const char *status_name(enum status status)
{
    switch (status) {
    case STATUS_OK:
        return "ok";
    case STATUS_INTERNAL:
        return "internal";
    case STATUS_MEMORY:
        return "memory";
    case STATUS_USAGE:
        return "usage";
    case STATUS_INPUT:
        return "input";
    case STATUS_MISMATCH:
        return "mismatch";
    case STATUS_TOO_MANY_FAILED:
        return "too_many_failed";
    case STATUS_UNRECONCILED:
        return "unreconciled";
    case STATUS_PLACE:
        return "place";
    case STATUS_RESUME:
        return "resume";
    }
    return "unknown";
}

enum exit_code status_exit_code(enum status status)
{
    switch (status) {
    case STATUS_OK:
        return EXIT_DONE;
    case STATUS_USAGE:
    case STATUS_INPUT:
    case STATUS_MISMATCH:
        return EXIT_USAGE;
    case STATUS_TOO_MANY_FAILED:
        return EXIT_TOO_MANY_FAILED;
    case STATUS_UNRECONCILED:
        return EXIT_UNRECONCILED;
    case STATUS_PLACE:
    case STATUS_RESUME:
        return EXIT_RESUME;
    case STATUS_INTERNAL:
    case STATUS_MEMORY:
        break;
    }
    return EXIT_INTERNAL;
}

bool status_is_place_errno(int error)
{
    switch (error) {
    case EAGAIN: /* of an open: somebody holds a lease, or renames folders on the path all the time */
    case EINTR:  /* of an open on FUSE or NFS, by one of our own signals too */
    case EIO:
    case ESTALE:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOSPC:
    case EDQUOT:
    case EROFS:
    case ENODEV:
    case ENXIO:
    case ENOTCONN:
    case EREMOTEIO:
    case ETIMEDOUT:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENETDOWN:
    case ENETUNREACH:
        return true;
    default:
        return false;
    }
}
