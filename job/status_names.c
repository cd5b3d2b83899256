#include "job/status_names.h"

#include <stdlib.h>
#include <string.h>

static uint64_t hash(const char *name) /* FNV-1a */
{
    uint64_t h = UINT64_C(14695981039346656037);

    for (; *name != '\0'; name++)
        h = (h ^ (unsigned char)*name) * UINT64_C(1099511628211);
    return h;
}

/* The slot of the name, or the free one where it belongs. */
static uint32_t *find_slot(const struct names *names, const char *name)
{
    size_t at = hash(name) & (names->n_slots - 1);

    while (names->slots[at] != 0 && strcmp(names->items[names->slots[at] - 1], name) != 0)
        at = (at + 1) & (names->n_slots - 1);
    return &names->slots[at];
}

static enum status grow(struct names *names)
{
    enum status rc = STATUS_OK;
    size_t room = names->room == 0 ? 64 : 2 * names->room;
    char **items = realloc(names->items, room * sizeof(*items));

    if (items == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    names->items = items;
    uint32_t *slots = calloc(2 * room, sizeof(*slots)); /* at most half full; a power of two */
    if (slots == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    free(names->slots);
    names->slots = slots;
    names->n_slots = 2 * room;
    names->room = room;
    for (size_t i = 0; i < names->n; i++)
        *find_slot(names, names->items[i]) = (uint32_t)i + 1;
out:
    return rc;
}

enum status names_number(struct names *names, const char *name, uint32_t *number)
{
    enum status rc = STATUS_OK;

    if (names->n == names->room)
        TRY(grow(names));
    uint32_t *slot = find_slot(names, name);
    if (*slot == 0) {
        char *copy = strdup(name);
        if (copy == NULL)
            FAIL(STATUS_MEMORY, "no memory");
        names->items[names->n++] = copy;
        *slot = (uint32_t)names->n;
    }
    *number = *slot - 1;
out:
    return rc;
}

void names_free(struct names *names)
{
    for (size_t i = 0; i < names->n; i++)
        free(names->items[i]);
    free(names->items);
    free(names->slots);
    *names = (struct names){0};
}
