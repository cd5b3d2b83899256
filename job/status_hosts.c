#include "job/status_hosts.h"

#include <stdlib.h>

#define FAILURES_TO_LEAVE_OUT 2

const char *host_fault_name(enum host_fault fault)
{
    static const char *const names[HOST_FAULT_COUNT] = {
#define X(upper, name) [HOST_##upper] = name,
        HOST_FAULT_LIST(X)
#undef X
    };
    return names[fault];
}

bool host_is_left_out(const struct host_record *host)
{
    return host->n_faults[HOST_DEVICE_FAILED] > 0 || host->n_attempts_failed >= FAILURES_TO_LEAVE_OUT;
}

static enum status find_host(struct host_table *table, const char *name, uint32_t *number)
{
    enum status rc = STATUS_OK;
    size_t known = table->names.n;

    if (known == table->room) {
        size_t room = table->room == 0 ? 64 : 2 * table->room;
        struct host_record *records = realloc(table->records, room * sizeof(*records));
        if (records == NULL)
            FAIL(STATUS_MEMORY, "no memory");
        table->records = records;
        table->room = room;
    }
    TRY(names_number(&table->names, name, number));
    if (*number == known)
        table->records[known] = (struct host_record){.name = table->names.items[known]};
out:
    return rc;
}

static enum status add_mark(struct host_mark **marks, size_t *n, size_t *room, struct host_mark mark)
{
    enum status rc = STATUS_OK;

    if (*n == *room) {
        size_t more = *room == 0 ? 256 : 2 * *room;
        struct host_mark *grown = realloc(*marks, more * sizeof(*grown));
        if (grown == NULL)
            FAIL(STATUS_MEMORY, "no memory");
        *marks = grown;
        *room = more;
    }
    (*marks)[(*n)++] = mark;
out:
    return rc;
}

static enum status mark(struct host_table *table, const char *attempt, const char *host, enum host_part part,
                        uint32_t *number)
{
    enum status rc = STATUS_OK;
    struct host_mark made = {.part = part};

    TRY(names_number(&table->attempts, attempt, &made.attempt));
    TRY(find_host(table, host, &made.host));
    TRY(add_mark(&table->marks, &table->n_marks, &table->mark_room, made));
    *number = made.host;
out:
    return rc;
}

enum status host_table_begin(struct host_table *table, const char *attempt, const char *host)
{
    uint32_t number;
    return mark(table, attempt, host, HOST_BEGAN, &number);
}

enum status host_table_fault(struct host_table *table, const char *attempt, const char *host,
                             enum host_fault fault)
{
    enum status rc = STATUS_OK;
    uint32_t number;

    if (fault == HOST_DEVICE_FAILED) /* speaks for itself, in whichever attempt */
        TRY(find_host(table, host, &number));
    else
        TRY(mark(table, attempt, host, fault == HOST_SILENT ? HOST_WAS_SILENT : HOST_FAILED, &number));
    table->records[number].n_faults[fault]++;
out:
    return rc;
}

enum status host_table_leave_out(struct host_table *table, const char *attempt, const char *host)
{
    enum status rc = STATUS_OK;
    struct host_mark made = {.part = HOST_FAILED};

    TRY(names_number(&table->attempts, attempt, &made.attempt));
    TRY(find_host(table, host, &made.host));
    TRY(add_mark(&table->left_out, &table->n_left_out, &table->left_out_room, made));
out:
    return rc;
}

/* By attempt, by host, the worst first. */
static int compare_marks(const void *a, const void *b)
{
    const struct host_mark *x = a, *y = b;

    if (x->attempt != y->attempt)
        return x->attempt < y->attempt ? -1 : 1;
    if (x->host != y->host)
        return x->host < y->host ? -1 : 1;
    return (int)y->part - (int)x->part;
}

/* One attempt's marks, sorted: count it against the hosts that it failed on, unless those are the most. */
static void judge_attempt(struct host_table *table, const struct host_mark *marks, size_t n)
{
    size_t n_hosts = 0, n_failed = 0;
    enum host_part failed = HOST_WAS_SILENT;

    for (size_t i = 0; i < n; i++)
        if (marks[i].part == HOST_FAILED)
            failed = HOST_FAILED;
    for (size_t i = 0; i < n; i++) {
        n_failed += (i == 0 || marks[i].host != marks[i - 1].host) && marks[i].part >= failed;
        /* A host's last mark tells whether it took part: begins stand last. */
        n_hosts += (i + 1 == n || marks[i + 1].host != marks[i].host) && marks[i].part == HOST_BEGAN;
    }
    if (n_hosts > 0 && 2 * n_failed > n_hosts)
        return;
    for (size_t i = 0; i < n; i++)
        if ((i == 0 || marks[i].host != marks[i - 1].host) && marks[i].part >= failed)
            table->records[marks[i].host].n_attempts_failed++;
}

enum status host_table_judge(struct host_table *table, const char *running)
{
    enum status rc = STATUS_OK;
    uint32_t now = UINT32_MAX;
    size_t n = table->n_marks, end;

    if (running != NULL)
        TRY(names_number(&table->attempts, running, &now));
    for (size_t i = 0; i < table->n_left_out; i++)
        table->records[table->left_out[i].host].left_out_now |= table->left_out[i].attempt == now;
    if (n > 0)
        qsort(table->marks, n, sizeof(*table->marks), compare_marks);
    for (size_t i = 0; i < n; i = end) {
        for (end = i + 1; end < n && table->marks[end].attempt == table->marks[i].attempt;)
            end++;
        if (table->marks[i].attempt != now)
            judge_attempt(table, &table->marks[i], end - i);
    }
    for (size_t i = 0; i < table->names.n; i++)
        table->records[i].left_out = host_is_left_out(&table->records[i]);
out:
    return rc;
}

void host_table_free(struct host_table *table)
{
    names_free(&table->names);
    names_free(&table->attempts);
    free(table->records);
    free(table->marks);
    free(table->left_out);
    *table = (struct host_table){0};
}
