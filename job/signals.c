#include "job/signals.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

/* A handler can reach nothing but the process's own flags. */
static volatile sig_atomic_t finish_by, abandon_by;

static void on_finish(int number)
{
    finish_by = number;
}

static void on_abandon(int number)
{
    abandon_by = number;
}

static enum status catch_signal(int number, void (*handler)(int), int flags)
{
    enum status rc = STATUS_OK;
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

    sigemptyset(&action.sa_mask);
    if (sigaction(number, &action, NULL) != 0)
        FAIL(STATUS_INTERNAL, "cannot catch signal %d: %s", number, strerror(errno));
out:
    return rc;
}

enum status signals_install(void)
{
    enum status rc = STATUS_OK;

    finish_by = 0;
    abandon_by = 0;
    TRY(catch_signal(SIGUSR1, on_finish, 0));
    TRY(catch_signal(SIGTERM, on_abandon, 0)); /* launchers forward it more than once */
    TRY(catch_signal(SIGINT, on_abandon, (int)SA_RESETHAND));
    TRY(catch_signal(SIGPIPE, SIG_IGN, 0));
out:
    return rc;
}

enum signals_wish signals_wanted(void)
{
    if (abandon_by != 0)
        return SIGNALS_ABANDON;
    return finish_by != 0 ? SIGNALS_FINISH : SIGNALS_NONE;
}

int signals_number(void)
{
    return abandon_by != 0 ? abandon_by : finish_by;
}
