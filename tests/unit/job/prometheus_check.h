/*
 * Is this text what Prometheus's exposition format 0.0.4 says? Stricter where node_exporter's textfile
 * collector or promtool would complain: each family has HELP and TYPE before its samples, all in one place,
 * no series comes twice, no timestamps.
 */
#ifndef EYESORE_TESTS_PROMETHEUS_CHECK_H
#define EYESORE_TESTS_PROMETHEUS_CHECK_H

#include <stdbool.h>
#include <stddef.h>

/* False: OUT problem says what is wrong, with the line. */
bool prometheus_check(const char *text, char *problem, size_t size);

/* The value of a series, written as in the text ("a{b=\"c\"}"). False: it is not there. */
bool prometheus_value(const char *text, const char *series, double *value);

#endif
