#include "job/signals.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static void test_wishes(void **state)
{
    (void)state;
    assert_int_equal(signals_install(), STATUS_OK);
    assert_int_equal(signals_wanted(), SIGNALS_NONE);
    assert_int_equal(signals_number(), 0);
    raise(SIGUSR1);
    assert_int_equal(signals_wanted(), SIGNALS_FINISH);
    assert_int_equal(signals_number(), SIGUSR1);
    raise(SIGUSR1);
    assert_int_equal(signals_wanted(), SIGNALS_FINISH);
    raise(SIGTERM);
    assert_int_equal(signals_wanted(), SIGNALS_ABANDON);
    assert_int_equal(signals_number(), SIGTERM);
    raise(SIGUSR1); /* no way back to the weaker one */
    raise(SIGTERM); /* launchers forward it twice */
    assert_int_equal(signals_wanted(), SIGNALS_ABANDON);
    assert_int_equal(signals_install(), STATUS_OK);
    assert_int_equal(signals_wanted(), SIGNALS_NONE);
    raise(SIGINT);
    assert_int_equal(signals_wanted(), SIGNALS_ABANDON);
    assert_int_equal(signals_number(), SIGINT);
}

/* A sleep must end at a signal: SA_RESTART would let a blocked read sleep on. */
static void test_calls_are_interrupted(void **state)
{
    int ends[2];
    char byte;
    (void)state;

    assert_int_equal(signals_install(), STATUS_OK);
    assert_int_equal(pipe(ends), 0);
    pid_t parent = getpid(), child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct timespec pause = {.tv_nsec = 50000000};
        for (int i = 0; i < 100; i++) { /* the first may come before the read */
            nanosleep(&pause, NULL);
            kill(parent, SIGUSR1);
        }
        _exit(0);
    }
    ssize_t n = read(ends[0], &byte, 1);
    int error = errno;
    kill(child, SIGKILL);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    assert_int_equal(n, -1);
    assert_int_equal(error, EINTR);
    assert_int_equal(signals_wanted(), SIGNALS_FINISH);
    close(ends[0]);
    /* SIGPIPE is ignored: a write without a reader fails, it does not kill. */
    assert_int_equal(write(ends[1], "x", 1), -1);
    assert_int_equal(errno, EPIPE);
    close(ends[1]);
}

static void test_second_interrupt_kills(void **state)
{
    int status;
    (void)state;

    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (signals_install() != STATUS_OK)
            _exit(1);
        raise(SIGINT);
        if (signals_wanted() != SIGNALS_ABANDON)
            _exit(2);
        raise(SIGINT);
        _exit(3);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGINT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wishes),
        cmocka_unit_test(test_calls_are_interrupted),
        cmocka_unit_test(test_second_interrupt_kills),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
