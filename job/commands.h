/*
 * The sub-commands. Each gets checked options and answers with a status, which main.c makes the exit code.
 * What the user asked for goes to stdout, everything else through the log.
 */
#ifndef EYESORE_JOB_COMMANDS_H
#define EYESORE_JOB_COMMANDS_H

#include "job/options.h"

/* The only one that starts MPI (and ends it). Collective over the ranks that mpirun started. */
enum status command_scan(const struct options *options);

enum status command_manifest(const struct options *options);
enum status command_weights_init(const struct options *options);
enum status command_weights_check(const struct options *options);
enum status command_status(const struct options *options);
enum status command_export(const struct options *options);
enum status command_verdict(const struct options *options);
enum status command_bench(const struct options *options);

#endif
