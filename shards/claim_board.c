#include "shards/claim_board.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define NOBODY (-1)
#define STRAGGLER_MEANS 3      /* a shard is late when held for so many mean times ... */
#define FIRST_STRAGGLER_S 60.0 /* ... or, with no mean known, for so long */

struct entry {
    uint64_t shard;
    int holder[2]; /* ranks, or NOBODY */
    double since_s;
    bool done, failed; /* failed: somewhere, see failures */
};

struct failure {
    uint64_t shard, host;
};

struct drop {
    int rank;
    uint64_t shard;
};

struct claim_board {
    struct entry *entries; /* [n] ascending by shard */
    uint64_t n, n_done, n_held;
    uint64_t next;      /* the first entry that was never handed out, of those not failed */
    uint64_t *returned; /* [n_returned] entries that came back; room for each */
    uint64_t n_returned;
    uint64_t *suspects; /* [n_suspects] entries that failed and are free; room for each */
    uint64_t n_suspects;
    struct failure *failures; /* [n_failures] */
    size_t n_failures, failure_room;
    struct drop *drops; /* [n_drops] */
    size_t n_drops, drop_room;
    uint64_t *hosts; /* [n_ranks] */
    bool *left;      /* [n_ranks] */
    int n_ranks;
    uint64_t set_aside_after;
    double reissue_after_s, held_s; /* held_s: summed over the shards done */
};

static struct entry *find(struct claim_board *board, uint64_t shard)
{
    uint64_t low = 0, high = board->n;

    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (board->entries[middle].shard < shard)
            low = middle + 1;
        else
            high = middle;
    }
    return low < board->n && board->entries[low].shard == shard ? &board->entries[low] : NULL;
}

static bool holds(const struct entry *entry, int rank)
{
    return entry->holder[0] == rank || entry->holder[1] == rank;
}

static bool is_free(const struct entry *entry)
{
    return holds(entry, NOBODY) && entry->holder[0] == entry->holder[1];
}

static bool failed_on(const struct claim_board *board, uint64_t shard, uint64_t host)
{
    for (size_t i = 0; i < board->n_failures; i++)
        if (board->failures[i].shard == shard && board->failures[i].host == host)
            return true;
    return false;
}

static uint64_t count_failures(const struct claim_board *board, uint64_t shard)
{
    uint64_t n = 0;

    for (size_t i = 0; i < board->n_failures; i++)
        n += board->failures[i].shard == shard;
    return n;
}

/* Remember it, each host once. */
static enum status add_failure(struct claim_board *board, struct entry *entry, uint64_t host)
{
    enum status rc = STATUS_OK;

    if (failed_on(board, entry->shard, host))
        goto out;
    if (board->n_failures == board->failure_room) {
        size_t room = board->failure_room == 0 ? 16 : 2 * board->failure_room;
        struct failure *failures = realloc(board->failures, room * sizeof(*failures));
        if (failures == NULL)
            FAIL(STATUS_MEMORY, "no memory");
        board->failures = failures;
        board->failure_room = room;
    }
    board->failures[board->n_failures++] = (struct failure){entry->shard, host};
    entry->failed = true;
out:
    return rc;
}

static int compare_entries(const void *a, const void *b)
{
    uint64_t x = ((const struct entry *)a)->shard, y = ((const struct entry *)b)->shard;
    return (x > y) - (x < y);
}

static enum status fill(struct claim_board *board, const struct claim_options *options)
{
    enum status rc = STATUS_OK;

    for (uint64_t i = 0; i < board->n; i++)
        board->entries[i] = (struct entry){.shard = options->missing[i], .holder = {NOBODY, NOBODY}};
    if (board->n > 0)
        qsort(board->entries, board->n, sizeof(*board->entries), compare_entries);
    for (size_t i = 0; i < options->n_failures; i++) {
        struct entry *entry = find(board, options->failures[i].shard);
        if (entry != NULL)
            TRY(add_failure(board, entry, options->failures[i].host));
    }
    for (uint64_t i = 0; i < board->n; i++)
        if (board->entries[i].failed)
            board->suspects[board->n_suspects++] = i;
out:
    return rc;
}

enum status claim_board_open(const struct claim_options *options, const uint64_t *hosts, int n_ranks,
                             struct claim_board **out)
{
    enum status rc = STATUS_OK;
    struct claim_board *board = calloc(1, sizeof(*board));
    size_t n = (size_t)options->n_missing + 1;

    if (board == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    board->n = options->n_missing;
    board->n_ranks = n_ranks;
    board->set_aside_after = options->set_aside_after;
    board->reissue_after_s = options->reissue_after_s;
    board->entries = calloc(n, sizeof(*board->entries));
    board->returned = calloc(n, sizeof(*board->returned));
    board->suspects = calloc(n, sizeof(*board->suspects));
    board->hosts = calloc((size_t)n_ranks, sizeof(*board->hosts));
    board->left = calloc((size_t)n_ranks, sizeof(*board->left));
    if (board->entries == NULL || board->returned == NULL || board->suspects == NULL ||
        board->hosts == NULL || board->left == NULL)
        FAIL(STATUS_MEMORY, "no memory for the missing shards");
    memcpy(board->hosts, hosts, (size_t)n_ranks * sizeof(*hosts));
    TRY(fill(board, options));
    *out = board;
    board = NULL;
out:
    claim_board_close(board);
    return rc;
}

void claim_board_close(struct claim_board *board)
{
    if (board == NULL)
        return;
    free(board->entries);
    free(board->returned);
    free(board->suspects);
    free(board->failures);
    free(board->drops);
    free(board->hosts);
    free(board->left);
    free(board);
}

static void hand_out(struct claim_board *board, struct entry *entry, int rank, double now_s,
                     struct claim_answer *answer)
{
    if (is_free(entry)) {
        board->n_held++;
        entry->since_s = now_s;
    }
    entry->holder[entry->holder[0] == NOBODY ? 0 : 1] = rank;
    bool give_up = entry->failed && count_failures(board, entry->shard) >= board->set_aside_after;
    answer->kind = give_up ? CLAIM_SET_ASIDE : CLAIM_SHARD;
    answer->shard = entry->shard;
}

/* Is there a rank that may still ask, on a host where the shard has not failed? */
static bool another_host_may(const struct claim_board *board, uint64_t shard)
{
    for (int rank = 0; rank < board->n_ranks; rank++)
        if (!board->left[rank] && !failed_on(board, shard, board->hosts[rank]))
            return true;
    return false;
}

/* A shard that has failed: to be given up by anyone, to be tried elsewhere, or here again for want of others.
 */
static bool may_take_suspect(const struct claim_board *board, const struct entry *entry, int rank)
{
    return count_failures(board, entry->shard) >= board->set_aside_after ||
           !failed_on(board, entry->shard, board->hosts[rank]) || !another_host_may(board, entry->shard);
}

static bool pick_suspect(struct claim_board *board, int rank, double now_s, struct claim_answer *answer)
{
    for (uint64_t i = 0; i < board->n_suspects; i++) {
        struct entry *entry = &board->entries[board->suspects[i]];
        if (!may_take_suspect(board, entry, rank))
            continue;
        board->suspects[i] = board->suspects[--board->n_suspects];
        hand_out(board, entry, rank, now_s, answer);
        return true;
    }
    return false;
}

static double late_after_s(const struct claim_board *board)
{
    double mean_s = board->n_done > 0 ? board->held_s / (double)board->n_done : FIRST_STRAGGLER_S;
    double late_s = STRAGGLER_MEANS * mean_s;

    return late_s > board->reissue_after_s ? late_s : board->reissue_after_s;
}

/* The shard that one other rank holds for the longest, where that is too long. */
static bool pick_straggler(struct claim_board *board, int rank, double now_s, struct claim_answer *answer)
{
    struct entry *oldest = NULL;
    double late_s = late_after_s(board);

    for (uint64_t i = 0, seen = 0; i < board->n && seen < board->n_held; i++) {
        struct entry *entry = &board->entries[i];
        if (entry->done || is_free(entry))
            continue;
        seen++;
        bool alone = holds(entry, NOBODY);
        if (alone && !holds(entry, rank) && now_s - entry->since_s >= late_s &&
            !failed_on(board, entry->shard, board->hosts[rank]) &&
            (oldest == NULL || entry->since_s < oldest->since_s))
            oldest = entry;
    }
    if (oldest == NULL)
        return false;
    log_info("shard %" PRIu64 " is held for %.0f s: rank %d does it as well, the first to finish wins",
             oldest->shard, now_s - oldest->since_s, rank);
    hand_out(board, oldest, rank, now_s, answer);
    return true;
}

void claim_board_pick(struct claim_board *board, int rank, double now_s, struct claim_answer *answer)
{
    if (board->n_returned > 0) {
        hand_out(board, &board->entries[board->returned[--board->n_returned]], rank, now_s, answer);
        return;
    }
    while (board->next < board->n && board->entries[board->next].failed)
        board->next++; /* a suspect: later */
    if (board->next < board->n) {
        hand_out(board, &board->entries[board->next++], rank, now_s, answer);
        return;
    }
    if (pick_suspect(board, rank, now_s, answer) || pick_straggler(board, rank, now_s, answer))
        return;
    answer->kind = board->n_done == board->n ? CLAIM_NONE : CLAIM_WAIT;
}

static enum status add_drop(struct claim_board *board, int rank, uint64_t shard)
{
    enum status rc = STATUS_OK;

    if (board->n_drops == board->drop_room) {
        size_t room = board->drop_room == 0 ? 16 : 2 * board->drop_room;
        struct drop *drops = realloc(board->drops, room * sizeof(*drops));
        if (drops == NULL)
            FAIL(STATUS_MEMORY, "no memory");
        board->drops = drops;
        board->drop_room = room;
    }
    board->drops[board->n_drops++] = (struct drop){rank, shard};
out:
    return rc;
}

void claim_board_done(struct claim_board *board, int rank, uint64_t shard, double now_s)
{
    struct entry *entry = find(board, shard);

    if (entry == NULL || entry->done)
        return; /* the second of two that did it */
    for (int i = 0; i < 2; i++) {
        int other = entry->holder[i];
        if (other != NOBODY && other != rank)
            (void)add_drop(board, other, shard); /* without it the other finishes for nothing: no harm */
    }
    if (!is_free(entry)) {
        board->n_held--;
        board->held_s += now_s - entry->since_s;
    }
    entry->done = true;
    board->n_done++;
}

/* OUT freed: nobody holds it any more. */
static struct entry *release(struct claim_board *board, int rank, uint64_t shard, bool *freed)
{
    struct entry *entry = find(board, shard);

    *freed = false;
    if (entry == NULL || entry->done || !holds(entry, rank))
        return NULL;
    entry->holder[entry->holder[0] == rank ? 0 : 1] = NOBODY;
    *freed = is_free(entry);
    board->n_held -= *freed;
    return entry;
}

static void put_back(struct claim_board *board, const struct entry *entry)
{
    uint64_t index = (uint64_t)(entry - board->entries);

    if (entry->failed)
        board->suspects[board->n_suspects++] = index;
    else
        board->returned[board->n_returned++] = index;
}

void claim_board_hand_back(struct claim_board *board, int rank, uint64_t shard)
{
    bool freed;
    const struct entry *entry = release(board, rank, shard, &freed);

    if (freed)
        put_back(board, entry);
}

enum status claim_board_failed(struct claim_board *board, int rank, uint64_t shard)
{
    enum status rc = STATUS_OK;
    bool freed;
    struct entry *entry = release(board, rank, shard, &freed);

    if (entry != NULL)
        rc = add_failure(board, entry, board->hosts[rank]);
    if (freed)
        put_back(board, entry);
    return rc;
}

void claim_board_leave(struct claim_board *board, int rank)
{
    board->left[rank] = true;
    for (uint64_t i = 0, n = board->n_held, seen = 0; i < board->n && seen < n; i++) {
        struct entry *entry = &board->entries[i];
        if (entry->done || is_free(entry))
            continue;
        seen++;
        if (holds(entry, rank))
            claim_board_hand_back(board, rank, entry->shard);
    }
}

bool claim_board_drop(struct claim_board *board, int rank, uint64_t *shard)
{
    for (size_t i = 0; i < board->n_drops; i++) {
        if (board->drops[i].rank != rank)
            continue;
        *shard = board->drops[i].shard;
        board->drops[i] = board->drops[--board->n_drops];
        return true;
    }
    return false;
}

uint64_t claim_board_unclaimed(const struct claim_board *board)
{
    return board->n - board->n_done - board->n_held;
}
