/*
 * What a signal asks of a running scan: SIGUSR1 to finish the shards in hand, SIGTERM or SIGINT to abandon
 * them. Both end in STATUS_RESUME.
 */
#ifndef EYESORE_JOB_SIGNALS_H
#define EYESORE_JOB_SIGNALS_H

#include "base/status.h"

enum signals_wish { SIGNALS_NONE, SIGNALS_FINISH, SIGNALS_ABANDON };

/*
 * Catch the three signals from now on, in every thread; SIGPIPE is ignored (a write then fails with EPIPE).
 * Blocking calls return EINTR (no SA_RESTART), so that nothing sleeps through a wish. A second SIGINT acts as
 * if it had never been caught: it ends the process at once. Call after MPI_Init, which may set handlers of
 * its own.
 */
enum status signals_install(void);

/* The strongest wish so far; cheap enough to ask for each picture. Never goes back to a weaker one. */
enum signals_wish signals_wanted(void);

/* The number of the signal behind that wish, or 0: for the log line. */
int signals_number(void);

#endif
