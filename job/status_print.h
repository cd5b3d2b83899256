/*
 * What sweep_status_collect found, for people, for programs, for Prometheus. docs/STATUS.md shows all three.
 * Texts of strangers are printable (status_text.h) and escaped.
 */
#ifndef EYESORE_JOB_STATUS_PRINT_H
#define EYESORE_JOB_STATUS_PRINT_H

#include "job/status_collect.h"

#include <stdio.h>

/* IN out_folder: as the user gave it. */
void sweep_status_print(const struct sweep_status *status, const char *out_folder, FILE *file);

/* One JSON object and a newline; what is not known is null. STATUS_MEMORY. */
enum status sweep_status_print_json(const struct sweep_status *status, FILE *file);

/* Prometheus's text exposition format 0.0.4, for node_exporter's textfile collector; each sample has the
 * label `out`. What is not known has no sample. STATUS_MEMORY. */
enum status sweep_status_print_prometheus(const struct sweep_status *status, const char *out_folder,
                                          FILE *file);

/* "2026-11-25T07:13:42Z", or "-" where it is out of range. OUT text: 32 bytes. */
void sweep_status_format_time(int64_t time_s, char text[32]);

#endif
