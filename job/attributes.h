/*
 * What a finished scan writes of itself into sweep.h5: see results/schema.h for where what goes.
 */
#ifndef EYESORE_JOB_ATTRIBUTES_H
#define EYESORE_JOB_ATTRIBUTES_H

#include "job/run.h"
#include "results/attribute.h"

/* A list that owns its strings. */
struct attribute_list {
    struct sweep_attribute *items;
    char **texts;
    size_t n, n_texts;
    bool failed; /* an add ran out of memory */
};

/* IN hosts: as comm_hosts gives them; may be NULL. OUT list: attributes_free. */
enum status attributes_collect(const struct run *run, const char *hosts, struct attribute_list *list);
void attributes_free(struct attribute_list *list);

#endif
