#include "shards/claim.h"

#include "shards/claim_counter.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#define TAG_REQUEST 1
#define TAG_ANSWER 2

/* Words of a request: what, the shard, stop_asked, n_flagged, n_shards, rows by status. Of an answer: status,
 * kind, shard, stop, has_drop, drop. */
#define REQUEST_WORDS (5 + ITEM_STATUS_COUNT)
#define ANSWER_WORDS 6

struct claimant {
    MPI_Comm comm; /* a duplicate: its messages meet no others */
    int rank, n_ranks;
    pthread_mutex_t lock; /* one exchange of this rank at a time */
    bool left;
    struct claim_report last; /* for claim_close */

    struct claim_counter *counter; /* rank 0 */
    pthread_t server;
    bool serving; /* the thread runs (rank 0 of several) */
};

static void sleep_1ms(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static enum status mpi_status(int error, const char *what)
{
    enum status rc = STATUS_OK;
    char text[MPI_MAX_ERROR_STRING] = "";
    int size;

    if (error != MPI_SUCCESS) {
        MPI_Error_string(error, text, &size);
        FAIL(STATUS_INTERNAL, "%s: %s", what, text);
    }
out:
    return rc;
}

/* Wait for a request without burning the core. */
static enum status finish(MPI_Request *request, const char *what)
{
    enum status rc = STATUS_OK;

    for (;;) {
        int done;
        TRY(mpi_status(MPI_Test(request, &done, MPI_STATUS_IGNORE), what));
        if (done)
            break;
        sleep_1ms();
    }
out:
    return rc;
}

static void pack_request(enum claim_request what, uint64_t shard, const struct claim_report *report,
                         uint64_t words[REQUEST_WORDS])
{
    words[0] = what;
    words[1] = shard;
    words[2] = report->stop_asked;
    words[3] = report->n_flagged;
    words[4] = report->n_shards;
    memcpy(words + 5, report->rows_by_status, sizeof(report->rows_by_status));
}

static struct claim_report unpack_report(const uint64_t words[REQUEST_WORDS])
{
    struct claim_report report = {.stop_asked = words[2] != 0, .n_flagged = words[3], .n_shards = words[4]};

    memcpy(report.rows_by_status, words + 5, sizeof(report.rows_by_status));
    return report;
}

/* One request, if one is there. */
static enum status serve_one(struct claimant *claimant, bool *served)
{
    enum status rc = STATUS_OK;
    uint64_t request[REQUEST_WORDS], words[ANSWER_WORDS];
    struct claim_answer answer = {.kind = CLAIM_NONE};
    MPI_Status from;
    MPI_Request sending;
    int there;

    *served = false;
    TRY(mpi_status(MPI_Iprobe(MPI_ANY_SOURCE, TAG_REQUEST, claimant->comm, &there, &from), "MPI_Iprobe"));
    if (!there)
        goto out;
    TRY(mpi_status(MPI_Recv(request, REQUEST_WORDS, MPI_UINT64_T, from.MPI_SOURCE, TAG_REQUEST,
                            claimant->comm, MPI_STATUS_IGNORE),
                   "MPI_Recv"));
    struct claim_report report = unpack_report(request);
    words[0] = claim_counter_serve(claimant->counter, from.MPI_SOURCE, (enum claim_request)request[0],
                                   &report, request[1], &answer);
    words[1] = answer.kind;
    words[2] = answer.shard;
    words[3] = answer.stop;
    words[4] = answer.has_drop;
    words[5] = answer.drop;
    TRY(mpi_status(
        MPI_Isend(words, ANSWER_WORDS, MPI_UINT64_T, from.MPI_SOURCE, TAG_ANSWER, claimant->comm, &sending),
        "MPI_Isend"));
    TRY(finish(&sending, "MPI_Isend"));
    *served = true;
out:
    return rc;
}

/* The thread of rank 0. Its type is that of pthread_create. Faults of MPI end the job anyway. */
static void *serve(void *data)
{
    struct claimant *claimant = data;

    log_debug("the claim server begins");
    while (!claim_counter_others_left(claimant->counter)) {
        bool served;
        if (serve_one(claimant, &served) != STATUS_OK)
            MPI_Abort(claimant->comm, EXIT_INTERNAL); /* else every other rank would wait for ever */
        if (!served)
            sleep_1ms();
    }
    log_debug("the claim server ends");
    return NULL;
}

/* Ask rank 0 and wait for its answer. The caller holds the lock. */
static enum status exchange(const struct claimant *claimant, enum claim_request what,
                            const struct claim_report *report, uint64_t shard, struct claim_answer *answer)
{
    enum status rc = STATUS_OK;
    uint64_t request[REQUEST_WORDS], words[ANSWER_WORDS];
    MPI_Request sending, receiving;

    if (claimant->rank == 0) {
        TRY(claim_counter_serve(claimant->counter, 0, what, report, shard, answer));
        goto out;
    }
    pack_request(what, shard, report, request);
    TRY(mpi_status(MPI_Irecv(words, ANSWER_WORDS, MPI_UINT64_T, 0, TAG_ANSWER, claimant->comm, &receiving),
                   "MPI_Irecv"));
    TRY(mpi_status(MPI_Isend(request, REQUEST_WORDS, MPI_UINT64_T, 0, TAG_REQUEST, claimant->comm, &sending),
                   "MPI_Isend"));
    TRY(finish(&sending, "MPI_Isend"));
    TRY(finish(&receiving, "MPI_Irecv"));
    TRY((enum status)words[0]);
    *answer = (struct claim_answer){(enum claim_kind)words[1], words[2], (enum claim_stop)words[3],
                                    words[4] != 0, words[5]};
out:
    return rc;
}

static enum status locked_exchange(struct claimant *claimant, enum claim_request what,
                                   const struct claim_report *report, uint64_t shard,
                                   struct claim_answer *answer)
{
    enum status rc = STATUS_OK;

    pthread_mutex_lock(&claimant->lock);
    claimant->last = *report;
    if (claimant->left)
        FAIL(STATUS_INTERNAL, "a rank that has left claims no more");
    TRY(exchange(claimant, what, report, shard, answer));
out:
    pthread_mutex_unlock(&claimant->lock);
    return rc;
}

uint64_t claim_host_id(const char *name)
{
    return XXH3_64bits(name, strlen(name));
}

static enum status open_rank_0(struct claimant *claimant, const struct claim_options *options,
                               const uint64_t *hosts)
{
    enum status rc = STATUS_OK;
    int error;

    TRY(claim_counter_open(options, hosts, claimant->n_ranks, &claimant->counter));
    if (claimant->n_ranks == 1)
        goto out;
    error = pthread_create(&claimant->server, NULL, serve, claimant);
    if (error != 0)
        FAIL(STATUS_PLACE, "cannot start the thread that hands out shards: %s", strerror(error));
    claimant->serving = true;
out:
    return rc;
}

static enum status check_threads(const struct claimant *claimant)
{
    enum status rc = STATUS_OK;
    int provided;

    TRY(mpi_status(MPI_Query_thread(&provided), "MPI_Query_thread"));
    if (claimant->n_ranks > 1 && provided != MPI_THREAD_MULTIPLE)
        FAIL(STATUS_INTERNAL,
             "this MPI was started without MPI_THREAD_MULTIPLE: use an MPI built with thread support");
out:
    return rc;
}

/* All ranks agree: the worst status of any. */
static enum status agree(MPI_Comm comm, enum status mine)
{
    int worst = (int)mine;

    if (MPI_Allreduce(MPI_IN_PLACE, &worst, 1, MPI_INT, MPI_MAX, comm) != MPI_SUCCESS)
        return STATUS_INTERNAL;
    return (enum status)worst;
}

/* Collective. OUT hosts: [n_ranks], allocated by the caller. */
static enum status gather_hosts(MPI_Comm comm, uint64_t *hosts)
{
    char name[256] = "";

    gethostname(name, sizeof(name) - 1);
    uint64_t own = claim_host_id(name);
    return mpi_status(MPI_Allgather(&own, 1, MPI_UINT64_T, hosts, 1, MPI_UINT64_T, comm), "MPI_Allgather");
}

enum status claim_open(MPI_Comm comm, const struct claim_options *options, struct claimant **out)
{
    enum status rc = STATUS_OK;
    struct claimant *claimant = calloc(1, sizeof(*claimant));
    uint64_t *hosts = NULL;
    int n_ranks = 1;

    MPI_Comm_size(comm, &n_ranks);
    hosts = calloc((size_t)n_ranks, sizeof(*hosts));

    if (claimant != NULL) {
        pthread_mutex_init(&claimant->lock, NULL);
        claimant->comm = MPI_COMM_NULL;
    }
    TRY(agree(comm, claimant == NULL || hosts == NULL ? STATUS_MEMORY : STATUS_OK));
    assert(claimant != NULL && hosts != NULL); /* all agree, this rank too */
    TRY(gather_hosts(comm, hosts));
    TRY(mpi_status(MPI_Comm_dup(comm, &claimant->comm), "MPI_Comm_dup"));
    MPI_Comm_rank(claimant->comm, &claimant->rank);
    MPI_Comm_size(claimant->comm, &claimant->n_ranks);
    rc = agree(comm, check_threads(claimant));
    if (rc == STATUS_OK)
        rc = agree(comm, claimant->rank == 0 ? open_rank_0(claimant, options, hosts) : STATUS_OK);
    if (rc != STATUS_OK)
        goto out;
    *out = claimant;
    claimant = NULL;
out:
    if (claimant != NULL) {
        if (claimant->comm != MPI_COMM_NULL)
            MPI_Comm_free(&claimant->comm);
        claim_counter_close(claimant->counter);
        pthread_mutex_destroy(&claimant->lock);
        free(claimant);
    }
    free(hosts);
    return rc;
}

enum status claim_next(struct claimant *claimant, const struct claim_report *report,
                       struct claim_answer *answer)
{
    return locked_exchange(claimant, CLAIM_ASK, report, 0, answer);
}

enum status claim_tell(struct claimant *claimant, const struct claim_report *report,
                       struct claim_answer *news)
{
    return locked_exchange(claimant, CLAIM_TELL, report, 0, news);
}

static enum status say(struct claimant *claimant, enum claim_request what, const struct claim_report *report,
                       uint64_t shard)
{
    struct claim_answer answer;

    return locked_exchange(claimant, what, report, shard, &answer);
}

enum status claim_done(struct claimant *claimant, const struct claim_report *report, uint64_t shard)
{
    return say(claimant, CLAIM_DONE, report, shard);
}

enum status claim_hand_back(struct claimant *claimant, const struct claim_report *report, uint64_t shard)
{
    return say(claimant, CLAIM_HAND_BACK, report, shard);
}

enum status claim_failed(struct claimant *claimant, const struct claim_report *report, uint64_t shard)
{
    return say(claimant, CLAIM_FAILED, report, shard);
}

enum status claim_leave(struct claimant *claimant, const struct claim_report *report)
{
    enum status rc = STATUS_OK;
    struct claim_answer answer;

    pthread_mutex_lock(&claimant->lock);
    if (claimant->left)
        goto out;
    TRY(exchange(claimant, CLAIM_LEAVE, report, 0, &answer));
    claimant->left = true;
out:
    pthread_mutex_unlock(&claimant->lock);
    return rc;
}

enum status claim_totals(struct claimant *claimant, struct claim_totals *totals)
{
    enum status rc = STATUS_OK;

    if (claimant->rank != 0)
        FAIL(STATUS_INTERNAL, "only rank 0 knows the job's totals");
    claim_counter_totals(claimant->counter, totals);
out:
    return rc;
}

enum status claim_close(struct claimant *claimant)
{
    enum status rc = STATUS_OK;
    MPI_Request all_here;

    TRY(claim_leave(claimant, &claimant->last));
    if (claimant->serving)
        pthread_join(claimant->server, NULL); /* sleeps; ends when all have left */
    /* MPI_Comm_free may wait for the others, spinning: let it find them here. */
    TRY(mpi_status(MPI_Ibarrier(claimant->comm, &all_here), "MPI_Ibarrier"));
    TRY(finish(&all_here, "MPI_Ibarrier"));
    TRY(mpi_status(MPI_Comm_free(&claimant->comm), "MPI_Comm_free"));
    claim_counter_close(claimant->counter);
    pthread_mutex_destroy(&claimant->lock);
    free(claimant);
out:
    return rc;
}
