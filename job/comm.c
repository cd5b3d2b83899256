#include "job/comm.h"

#include "job/watch.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define POLL_NS 1000000

static enum status check(int code, const char *what)
{
    enum status rc = STATUS_OK;
    char text[MPI_MAX_ERROR_STRING];
    int n = 0;

    if (code != MPI_SUCCESS) {
        MPI_Error_string(code, text, &n);
        FAIL(STATUS_INTERNAL, "MPI: %s: %.*s", what, n, text);
    }
out:
    return rc;
}

static enum status wait_for(MPI_Request *request, const char *what)
{
    enum status rc = STATUS_OK;
    const struct timespec pause = {0, POLL_NS};

    watch_begin(WATCH_COLLECTIVE, -1, what);
    for (int done = 0;;) {
        TRY(check(MPI_Test(request, &done, MPI_STATUS_IGNORE), what));
        if (done)
            break;
        nanosleep(&pause, NULL);
    }
out:
    watch_end();
    return rc;
}

/* Which of the ranks of this host is this one? */
static enum status find_local_rank(struct comm *comm)
{
    enum status rc = STATUS_OK;
    MPI_Comm host;

    TRY(check(MPI_Comm_split_type(comm->world, MPI_COMM_TYPE_SHARED, comm->rank, MPI_INFO_NULL, &host),
              "finding the ranks of this host"));
    MPI_Comm_rank(host, &comm->local_rank);
    MPI_Comm_size(host, &comm->n_local);
    MPI_Comm_free(&host);
out:
    return rc;
}

enum status comm_open(struct comm *comm)
{
    enum status rc = STATUS_OK;
    int provided = MPI_THREAD_SINGLE;

    TRY(check(MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread"));
    comm->world = MPI_COMM_WORLD;
    MPI_Comm_set_errhandler(comm->world, MPI_ERRORS_RETURN);
    MPI_Comm_rank(comm->world, &comm->rank);
    MPI_Comm_size(comm->world, &comm->n_ranks);
    log_set_rank(comm->rank);
    if (provided < MPI_THREAD_MULTIPLE && comm->n_ranks > 1)
        FAIL(STATUS_USAGE, "this MPI library was built without MPI_THREAD_MULTIPLE: use another");
    TRY(find_local_rank(comm));
out:
    return rc;
}

void comm_close(struct comm *comm)
{
    MPI_Finalize();
    comm->world = MPI_COMM_NULL;
}

/* From harmless to grave: what all ranks answer when some differ. */
static int severity(enum status status)
{
    static const enum status order[] = {
        STATUS_OK,       STATUS_RESUME, STATUS_PLACE, STATUS_TOO_MANY_FAILED, STATUS_UNRECONCILED,
        STATUS_MISMATCH, STATUS_INPUT,  STATUS_USAGE, STATUS_MEMORY,          STATUS_INTERNAL};
    for (int i = 0; i < (int)(sizeof(order) / sizeof(order[0])); i++)
        if (order[i] == status)
            return i * 256 + (int)status;
    return INT32_MAX;
}

enum status comm_agree(const struct comm *comm, enum status status)
{
    enum status rc = STATUS_OK;
    MPI_Request request;
    int own = severity(status), worst = own;

    TRY(check(MPI_Iallreduce(&own, &worst, 1, MPI_INT, MPI_MAX, comm->world, &request), "agreeing"));
    TRY(wait_for(&request, "agreeing"));
    rc = (enum status)(worst % 256);
out:
    return rc;
}

enum status comm_sum(const struct comm *comm, uint64_t *values, int n)
{
    enum status rc = STATUS_OK;
    MPI_Request request;

    TRY(check(MPI_Iallreduce(MPI_IN_PLACE, values, n, MPI_UINT64_T, MPI_SUM, comm->world, &request),
              "summing"));
    TRY(wait_for(&request, "summing"));
out:
    return rc;
}

enum status comm_all(const struct comm *comm, bool *value)
{
    enum status rc = STATUS_OK;
    uint64_t n = *value ? 1 : 0;

    TRY(comm_sum(comm, &n, 1));
    *value = n == (uint64_t)comm->n_ranks;
out:
    return rc;
}

enum status comm_broadcast(const struct comm *comm, void *bytes, size_t n_bytes)
{
    enum status rc = STATUS_OK;
    MPI_Request request;

    TRY(check(MPI_Ibcast(bytes, (int)n_bytes, MPI_BYTE, 0, comm->world, &request), "broadcasting"));
    TRY(wait_for(&request, "broadcasting"));
out:
    return rc;
}

enum status comm_least(const struct comm *comm, int *value)
{
    enum status rc = STATUS_OK;
    MPI_Request request;

    TRY(check(MPI_Iallreduce(MPI_IN_PLACE, value, 1, MPI_INT, MPI_MIN, comm->world, &request), "comparing"));
    TRY(wait_for(&request, "comparing"));
out:
    return rc;
}

enum status comm_gather_all(const struct comm *comm, const void *bytes, size_t n_bytes, void *all)
{
    enum status rc = STATUS_OK;
    MPI_Request request;

    TRY(check(
        MPI_Iallgather(bytes, (int)n_bytes, MPI_BYTE, all, (int)n_bytes, MPI_BYTE, comm->world, &request),
        "gathering"));
    TRY(wait_for(&request, "gathering"));
out:
    return rc;
}

/* The names behind each other, each once. */
static char *join_names(const char *names, int n_names)
{
    char *text = calloc((size_t)n_names + 1, MPI_MAX_PROCESSOR_NAME + 1);

    for (int i = 0; text != NULL && i < n_names; i++) {
        const char *name = names + (size_t)i * MPI_MAX_PROCESSOR_NAME;
        bool seen = false;
        for (int j = 0; j < i && !seen; j++)
            seen = strcmp(name, names + (size_t)j * MPI_MAX_PROCESSOR_NAME) == 0;
        if (!seen) {
            strcat(text, *text == '\0' ? "" : " ");
            strncat(text, name, MPI_MAX_PROCESSOR_NAME - 1);
        }
    }
    return text;
}

enum status comm_hosts(const struct comm *comm, char **hosts)
{
    enum status rc = STATUS_OK;
    char own[MPI_MAX_PROCESSOR_NAME] = "";
    char *all = calloc((size_t)comm->n_ranks, MPI_MAX_PROCESSOR_NAME);
    int n = 0;
    MPI_Request request;

    *hosts = NULL;
    TRY_TOGETHER(comm, all == NULL ? STATUS_MEMORY : STATUS_OK);
    MPI_Get_processor_name(own, &n);
    TRY(check(MPI_Igather(own, sizeof(own), MPI_CHAR, all, sizeof(own), MPI_CHAR, 0, comm->world, &request),
              "asking for the hosts"));
    TRY(wait_for(&request, "asking for the hosts"));
    if (comm->rank == 0)
        *hosts = join_names(all, comm->n_ranks);
out:
    free(all);
    return rc;
}
