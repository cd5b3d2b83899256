#include "job/inputs.h"

#include "base/file.h"
#include "job/run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define WEIGHTS_BYTES_MOST ((size_t)16 << 30)

enum status input_stamp_read(const char *path, struct input_stamp *stamp)
{
    enum status rc = STATUS_OK;
    struct stat st;

    if (stat(path, &st) != 0)
        FAIL(status_is_place_errno(errno) ? STATUS_PLACE : STATUS_INPUT, "%s: %s", path, strerror(errno));
    *stamp = (struct input_stamp){.device = st.st_dev,
                                  .inode = st.st_ino,
                                  .size_bytes = (uint64_t)st.st_size,
                                  .modified_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000u +
                                                 (uint64_t)st.st_mtim.tv_nsec};
out:
    return rc;
}

bool input_stamp_equal(const struct input_stamp *a, const struct input_stamp *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

enum status inputs_check_manifest(struct run *run)
{
    enum status rc = STATUS_OK;
    struct plan_options how = run_plan_options(run->options);
    struct input_stamp now;

    TRY(input_stamp_read(run->options->manifest, &now));
    if (input_stamp_equal(&now, &run->manifest_stamp))
        goto out;
    log_warn("%s was touched while the sweep runs: it is hashed again", run->options->manifest);
    TRY(plan_check(&run->plan, run->options->manifest, &how));
    run->manifest_stamp = now;
out:
    return rc;
}

static enum status hash_file(const char *path, char sha256[SHA256_HEX_SIZE])
{
    enum status rc = STATUS_OK;
    char *bytes = NULL;
    size_t size;

    TRY(file_read(path, WEIGHTS_BYTES_MOST, &bytes, &size));
    TRY(sha256_bytes(bytes, size, sha256));
out:
    free(bytes);
    return rc;
}

static enum status check_weights(const struct run *run, int stage)
{
    enum status rc = STATUS_OK;
    const struct stage *s = &run->cascade.stages[stage];
    struct input_stamp now;
    char sha256[SHA256_HEX_SIZE];

    TRY(input_stamp_read(s->weights_path, &now));
    if (input_stamp_equal(&now, &run->weights_stamps[stage]))
        goto out;
    TRY(hash_file(s->weights_path, sha256));
    if (strcmp(sha256, run->weights_sha256[stage]) != 0)
        FAIL(STATUS_MISMATCH,
             "stage %s: %s was replaced while the sweep ran: its SHA-256 was %s, it is %s. The finished "
             "parts are "
             "of the old file: put it back and run the same command again, or give another --out",
             s->name, s->weights_path, run->weights_sha256[stage], sha256);
out:
    return rc;
}

static enum status check(struct run *run)
{
    enum status rc = STATUS_OK;

    TRY(inputs_check_manifest(run));
    for (int i = 0; i < run->cascade.n_stages; i++)
        TRY(check_weights(run, i));
out:
    return rc;
}

enum status inputs_check(struct run *run)
{
    enum status rc = STATUS_OK;

    TRY_TOGETHER(&run->comm, run->comm.rank == 0 ? check(run) : STATUS_OK);
out:
    return rc;
}
