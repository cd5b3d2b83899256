#include "shards/problems.h"

#include "base/log.h"

#include <stdio.h>
#include <string.h>

void problems_add(struct problems *problems, uint64_t line, const char *text)
{
    size_t at = problems->n_shown;

    problems->n_total++;
    while (at > 0 && problems->shown[at - 1].line > line)
        at--;
    if (at == PROBLEMS_SHOWN)
        return;
    if (problems->n_shown < PROBLEMS_SHOWN)
        problems->n_shown++;
    memmove(&problems->shown[at + 1], &problems->shown[at],
            (problems->n_shown - 1 - at) * sizeof(problems->shown[0]));
    problems->shown[at].line = line;
    snprintf(problems->shown[at].text, sizeof(problems->shown[at].text), "%s", text);
}

void problems_count(struct problems *problems, uint64_t n)
{
    problems->n_total += n;
}

void problems_log(const struct problems *problems, const char *path)
{
    if (problems->n_total == 0)
        return;
    for (size_t i = 0; i < problems->n_shown; i++)
        log_error("%s:%llu: %s", path, (unsigned long long)problems->shown[i].line, problems->shown[i].text);
    if (problems->n_total > problems->n_shown)
        log_error("%s: ... and %llu more", path, (unsigned long long)(problems->n_total - problems->n_shown));
    log_error("%s: %llu bad row%s; nothing was done: correct the manifest and run again", path,
              (unsigned long long)problems->n_total, problems->n_total == 1 ? "" : "s");
}
