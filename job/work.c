#include "job/work.h"

#include <stdlib.h>

enum status work_create(const struct sweep_layout *layout, uint64_t shard, uint64_t first_row,
                        uint64_t n_rows, struct work **out)
{
    enum status rc = STATUS_OK;
    struct work *work = calloc(1, sizeof(*work));

    if (work == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    work->shard = shard;
    work->n_rows = n_rows;
    work->stages = UINT32_MAX;
    work->uris = calloc(n_rows, sizeof(*work->uris));
    work->exhaustive = calloc(n_rows, sizeof(*work->exhaustive));
    if (work->uris == NULL || work->exhaustive == NULL)
        FAIL(STATUS_MEMORY, "no memory for a shard of %llu rows", (unsigned long long)n_rows);
    TRY(part_create(layout, shard, first_row, n_rows, &work->part));
    *out = work;
    work = NULL;
out:
    work_free(work);
    return rc;
}

void work_free(struct work *work)
{
    if (work == NULL)
        return;
    for (uint64_t i = 0; work->uris != NULL && i < work->n_rows; i++)
        free(work->uris[i]);
    free(work->uris);
    free(work->exhaustive);
    part_free(work->part);
    free(work);
}

void work_list_append(struct work_list *list, struct work *work)
{
    work->next = NULL;
    if (list->last == NULL)
        list->first = work;
    else
        list->last->next = work;
    list->last = work;
}

void work_list_remove(struct work_list *list, struct work *work)
{
    struct work *before = NULL;

    for (struct work *w = list->first; w != work; w = w->next)
        before = w;
    if (before == NULL)
        list->first = work->next;
    else
        before->next = work->next;
    if (list->last == work)
        list->last = before;
}

void work_list_free(struct work_list *list)
{
    while (list->first != NULL) {
        struct work *work = list->first;
        list->first = work->next;
        work_free(work);
    }
}
