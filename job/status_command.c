#include "base/file.h"
#include "job/commands.h"
#include "job/status_print.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* The textfile collector reads at any moment, so the file must be whole; it takes names ending in .prom
 * alone, so our temporary one does not disturb it. */
static enum status write_prometheus(const struct sweep_status *status, const char *out_folder,
                                    const char *path)
{
    enum status rc = STATUS_OK;
    char *text = NULL, *full = realpath(out_folder, NULL); /* the same label from wherever it is called */
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);

    if (file == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    TRY(sweep_status_print_prometheus(status, full == NULL ? out_folder : full, file));
    bool whole = ferror(file) == 0;
    whole = fclose(file) == 0 && whole;
    file = NULL;
    if (!whole)
        FAIL(STATUS_MEMORY, "no memory");
    TRY(file_write(path, text, size));
    if (chmod(path, 0644) != 0) /* node_exporter is another user */
        FAIL(STATUS_PLACE, "%s: cannot make it readable for node_exporter: %s", path, strerror(errno));
out:
    if (file != NULL)
        fclose(file);
    free(text);
    free(full);
    return rc;
}

enum status command_status(const struct options *options)
{
    enum status rc = STATUS_OK;
    const char *out_folder = options->operands[0];
    struct sweep_status status = {.n_shards = 0};

    TRY(sweep_status_collect(out_folder, (int64_t)time(NULL), &status));
    if (options->json)
        TRY(sweep_status_print_json(&status, stdout));
    else
        sweep_status_print(&status, out_folder, stdout);
    if (options->prometheus != NULL)
        TRY(write_prometheus(&status, out_folder, options->prometheus));
out:
    sweep_status_free(&status);
    return rc;
}
