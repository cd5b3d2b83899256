/*
 * The program: find the sub-command, run it, turn its status into the exit code. MPI is command_scan's
 * business.
 */
#include "job/commands.h"
#include "results/h5.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static enum status print_help(const struct options *options)
{
    enum status rc = STATUS_OK;
    char name[64] = "";

    if (options->n_operands > 0) {
        snprintf(name, sizeof(name), "%s%s%s", options->operands[0], options->n_operands > 1 ? " " : "",
                 options->n_operands > 1 ? options->operands[1] : "");
        if (strcmp(name, "weights") == 0) {
            options_print_help(COMMAND_WEIGHTS_INIT, stdout);
            putchar('\n');
            options_print_help(COMMAND_WEIGHTS_CHECK, stdout);
            goto out;
        }
        if (command_find(name) == COMMAND_NONE)
            FAIL(STATUS_USAGE, "help: there is no sub-command '%s': `eyesore help` lists them", name);
    }
    options_print_help(command_find(name), stdout);
out:
    return rc;
}

static enum status run(const struct options *options)
{
    if (options->help) {
        options_print_help(options->command, stdout);
        return STATUS_OK;
    }
    switch (options->command) {
    case COMMAND_SCAN:
        return command_scan(options);
    case COMMAND_MANIFEST:
        return command_manifest(options);
    case COMMAND_WEIGHTS_INIT:
        return command_weights_init(options);
    case COMMAND_WEIGHTS_CHECK:
        return command_weights_check(options);
    case COMMAND_STATUS:
        return command_status(options);
    case COMMAND_EXPORT:
        return command_export(options);
    case COMMAND_VERDICT:
        return command_verdict(options);
    case COMMAND_BENCH:
        return command_bench(options);
    case COMMAND_HELP:
        return print_help(options);
    case COMMAND_VERSION:
        printf("eyesore %s\n", EYESORE_VERSION);
        return STATUS_OK;
    case COMMAND_NONE:
    case COMMAND_COUNT:
        break;
    }
    options_print_help(COMMAND_NONE, stderr);
    return STATUS_USAGE;
}

/* A full disk behind a redirected stdout is told at the last moment, or never. */
static enum status flush_stdout(void)
{
    enum status rc = STATUS_OK;

    if (fflush(stdout) != 0 || ferror(stdout))
        FAIL(STATUS_INPUT, "standard output: cannot write: %s", strerror(errno));
out:
    return rc;
}

int main(int argc, char *argv[])
{
    enum status rc = STATUS_OK;
    struct options options;

    h5_begin();
    TRY(options_parse(argc, argv, &options));
    log_set_level(options.log_level);
    TRY(run(&options));
    TRY(flush_stdout());
out:
    options_free(&options);
    return (int)status_exit_code(rc);
}
