#include "results/sweep_messages.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGES_AT_A_TIME ((uint64_t)1024)

enum status sweep_messages_make(const struct sweep_file *file, struct sweep_messages *messages)
{
    enum status rc = STATUS_OK;

    *messages = (struct sweep_messages){.file = file, .floor = file->counts.first_row};
    messages->rows = calloc(MESSAGES_AT_A_TIME, sizeof(*messages->rows));
    messages->texts = calloc(MESSAGES_AT_A_TIME, SWEEP_MESSAGE_WIDTH);
    if (messages->rows == NULL || messages->texts == NULL)
        FAIL(STATUS_MEMORY, "no memory for messages");
out:
    return rc;
}

void sweep_messages_free(struct sweep_messages *messages)
{
    free(messages->rows);
    free(messages->texts);
    *messages = (struct sweep_messages){0};
}

/* Hold the next entries, checked. */
static enum status read_more(struct sweep_messages *messages)
{
    enum status rc = STATUS_OK;
    const struct sweep_file *file = messages->file;
    uint64_t left = file->n_failures - messages->next;
    uint64_t n = left < MESSAGES_AT_A_TIME ? left : MESSAGES_AT_A_TIME;

    messages->n = 0;
    messages->i = 0;
    TRY(sweep_file_read(file, FIELD_FAILURE_ROW, 0, messages->next, n, messages->rows));
    TRY(sweep_file_read(file, FIELD_FAILURE_MESSAGE, 0, messages->next, n, messages->texts));
    for (uint64_t i = 0; i < n; i++) {
        uint64_t row = messages->rows[i];
        if (row < messages->floor || row - file->counts.first_row >= file->counts.n_rows)
            FAIL(STATUS_INPUT, "%s: /failures/row: entry %" PRIu64 " is %" PRIu64 ", out of order or range",
                 file->path, messages->next + i, row);
        messages->floor = row + 1;
    }
    messages->next += n;
    messages->n = n;
out:
    return rc;
}

enum status sweep_messages_next(struct sweep_messages *messages, uint64_t row, struct part_text *text)
{
    enum status rc = STATUS_OK;
    const char *bytes;
    size_t size = SWEEP_MESSAGE_WIDTH;

    *text = (struct part_text){NULL, 0};
    if (messages->i == messages->n && messages->next < messages->file->n_failures)
        TRY(read_more(messages));
    if (messages->i == messages->n || messages->rows[messages->i] - messages->file->counts.first_row != row)
        goto out;
    bytes = messages->texts + messages->i * SWEEP_MESSAGE_WIDTH;
    while (size > 0 && bytes[size - 1] == '\0')
        size--;
    *text = (struct part_text){bytes, size};
    messages->i++;
out:
    return rc;
}
