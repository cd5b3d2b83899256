/* A clock for waiting and measuring. */
#ifndef EYESORE_BASE_CLOCK_H
#define EYESORE_BASE_CLOCK_H

/* Seconds since some moment in the past; never goes back (CLOCK_MONOTONIC). */
double clock_seconds(void);

#endif
