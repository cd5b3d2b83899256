#include "job/suspects.h"

#include "job/attempts_read.h"

#include <stdlib.h>
#include <string.h>

/* A shard in a rank's hands in the attempt that is read. */
struct in_hand {
    struct claim_failure claim;
    int rank;
};

struct collector {
    struct attempt_visitor base;
    const struct ledger *ledger;
    struct claim_failure *failures; /* [n_failures] */
    size_t n_failures, failure_room;
    char attempt[sizeof(((struct attempt_event *)0)->attempt)]; /* the one that is read */
    bool committed, ended;                                      /* it: a part; a rank of it with last words */
    struct in_hand *in_hand;                                    /* [n_in_hand] */
    size_t n_in_hand, in_hand_room;
};

static bool make_room(void **items, size_t n, size_t *room, size_t item_size)
{
    if (n < *room)
        return true;
    size_t more = *room == 0 ? 64 : 2 * *room;
    void *grown = realloc(*items, more * item_size);
    if (grown == NULL)
        return false;
    *items = grown;
    *room = more;
    return true;
}

/* Only a missing shard can be suspect. */
static enum status add_failure(struct collector *c, struct claim_failure failure)
{
    enum status rc = STATUS_OK;
    void *items = c->failures;

    if (failure.shard >= c->ledger->n_shards || ledger_is_done(c->ledger, failure.shard))
        goto out;
    if (!make_room(&items, c->n_failures, &c->failure_room, sizeof(*c->failures)))
        FAIL(STATUS_MEMORY, "no memory");
    c->failures = items;
    c->failures[c->n_failures++] = failure;
out:
    return rc;
}

static enum status take_in_hand(struct collector *c, struct claim_failure claim, int rank)
{
    enum status rc = STATUS_OK;
    void *items = c->in_hand;

    if (!make_room(&items, c->n_in_hand, &c->in_hand_room, sizeof(*c->in_hand)))
        FAIL(STATUS_MEMORY, "no memory");
    c->in_hand = items;
    c->in_hand[c->n_in_hand++] = (struct in_hand){claim, rank};
out:
    return rc;
}

static void let_go(struct collector *c, uint64_t shard, int rank)
{
    for (size_t i = c->n_in_hand; i-- > 0;)
        if (c->in_hand[i].rank == rank && c->in_hand[i].claim.shard == shard)
            c->in_hand[i] = c->in_hand[--c->n_in_hand];
}

/* The attempt is read: did it die, without a word and without a part? */
static enum status conclude(struct collector *c)
{
    enum status rc = STATUS_OK;

    for (size_t i = 0; !c->committed && !c->ended && i < c->n_in_hand; i++)
        TRY(add_failure(c, c->in_hand[i].claim));
out:
    c->n_in_hand = 0;
    c->committed = c->ended = false;
    return rc;
}

static enum status collect(struct attempt_visitor *visitor, const struct attempt_event *event)
{
    enum status rc = STATUS_OK;
    struct collector *c = (struct collector *)visitor;
    struct claim_failure about = {.host = claim_host_id(event->host)};

    if (strcmp(event->attempt, c->attempt) != 0) {
        TRY(conclude(c));
        memcpy(c->attempt, event->attempt, sizeof(c->attempt));
    }
    c->committed |= strcmp(event->event, "part") == 0;
    /* Somebody spoke of the end, or of what ended it: silence accuses nobody then. */
    c->ended |= strcmp(event->event, "end") == 0 || strcmp(event->event, "stalled") == 0 ||
                strcmp(event->event, "shard_failed") == 0 || strcmp(event->event, "node_failed") == 0 ||
                strcmp(event->event, "device_failed") == 0 || strcmp(event->event, "crashed") == 0;
    if (!attempt_detail_number(event->detail, "shard", &about.shard))
        goto out;
    if (strcmp(event->event, "claimed") == 0)
        TRY(take_in_hand(c, about, event->rank));
    else
        let_go(c, about.shard, event->rank);
    if (strcmp(event->event, "shard_failed") == 0)
        TRY(add_failure(c, about));
out:
    return rc;
}

enum status suspects_find(const struct run *run, const struct ledger *ledger, struct claim_failure **failures,
                          size_t *n)
{
    enum status rc = STATUS_OK;
    struct collector c = {.base = {collect}, .ledger = ledger};

    TRY(attempts_walk(run->options->out, &c.base));
    TRY(conclude(&c));
    *failures = c.failures;
    *n = c.n_failures;
    c.failures = NULL;
out:
    free(c.failures);
    free(c.in_hand);
    return rc;
}
