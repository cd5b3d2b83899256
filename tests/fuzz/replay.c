/*
 * A target without libFuzzer: run every file under the folders (or files) given, once. So seeds and
 * regressions are ordinary tests of any build.
 */
#include "target.h"

#include <errno.h>
#include <ftw.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static size_t n_run;
static bool failed;

static bool read_file(const char *path, size_t n, uint8_t **out)
{
    FILE *file = fopen(path, "rbe");
    uint8_t *bytes = malloc(n > 0 ? n : 1); /* of the exact size: a sanitizer sees a byte too far */

    if (file == NULL || bytes == NULL || fread(bytes, 1, n, file) != n) {
        fprintf(stderr, "%s: cannot be read: %s\n", path, strerror(errno));
        free(bytes);
        bytes = NULL;
    }
    if (file != NULL)
        fclose(file);
    *out = bytes;
    return bytes != NULL;
}

static int run_file(const char *path, const struct stat *st, int type, struct FTW *at)
{
    uint8_t *bytes;

    (void)at;
    if (type != FTW_F || path[0] == '\0')
        return 0;
    if (!read_file(path, (size_t)st->st_size, &bytes)) {
        failed = true;
        return 0;
    }
    printf("%s\n", path); /* before it runs: the last name is the culprit's */
    fflush(stdout);
    (void)LLVMFuzzerTestOneInput(bytes, (size_t)st->st_size);
    free(bytes);
    n_run++;
    return 0;
}

int main(int argc, char **argv)
{
    (void)LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++) {
        if (access(argv[i], F_OK) != 0)
            continue; /* a target without regressions yet */
        if (nftw(argv[i], run_file, 16, FTW_PHYS) != 0) {
            fprintf(stderr, "%s: %s\n", argv[i], strerror(errno));
            failed = true;
        }
    }
    printf("%zu inputs, %llu of them good ones\n", n_run, (unsigned long long)n_accepted);
    if (n_accepted == 0)
        fprintf(stderr, "no good input in the folders given: are the seeds there, and of this version?\n");
    return failed || n_accepted == 0 ? 1 : 0;
}
