#include "job/suspects.h"

enum status suspects_find(const struct run *run, const struct ledger *ledger, struct claim_failure **failures,
                          size_t *n)
{
    (void)run;
    (void)ledger;
    *failures = NULL;
    *n = 0;
    return STATUS_OK;
}
