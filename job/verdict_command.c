/*
 * eyesore verdict: other thresholds for a finished sweep.
 */
#include "job/commands.h"

#include "results/verdict.h"

enum status command_verdict(const struct options *options)
{
    enum status rc = STATUS_OK;
    struct verdict_threshold thresholds[STAGES_MAX];
    struct verdict_report report;
    const struct stage_list *list = &options->thresholds;

    for (size_t i = 0; i < list->n; i++)
        thresholds[i] = (struct verdict_threshold){list->items[i].name, list->items[i].threshold};
    TRY(verdict_recompute(options->operands[0], thresholds, list->n, options->output, &report));
    verdict_print(stdout, &report);
    if (options->output != NULL)
        log_info("%s: written", options->output);
    else
        log_info("%s is as it was: --output FILE writes the new verdicts", options->operands[0]);
out:
    return rc;
}
