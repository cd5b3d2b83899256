/*
 * What decoding in helper processes costs: the same files decoded here and in a helper, in one run, turn and
 * turn about, so that whatever else the host does hits both.
 *
 *     bench/isolation [-r ROUNDS] [-t THREADS] FOLDER...
 *
 * A round is each file once here and once in the helper, the order changing from file to file. Of each file
 * and way the fastest of all rounds counts, summed over the files: the rest is what others on the host took.
 * The plain sums are printed beside it.
 */
#include "io/isolation.h"
#include "base/clock.h"
#include "base/file.h"
#include "io/decode.h"

#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_FILES 20000
#define MOST_BYTES (16u << 20)
#define MOST_THREADS 256
#define SIDE 224

struct file {
    char *bytes;
    size_t n;
};

static struct file files[MOST_FILES]; /* nftw has no argument for its callback */
static int n_files;

/* One thread's. */
struct bench {
    struct isolation *isolation;
    int n_rounds;
    double *best[2]; /* [n_files] seconds; here, in a helper */
    double sum[2];
    uint64_t n_unscored;
    enum status status;
};

static int add_file(const char *path, const struct stat *stat, int type, struct FTW *at)
{
    (void)at;
    if (type != FTW_F || stat->st_size > (off_t)MOST_BYTES || n_files == MOST_FILES)
        return 0;
    return file_read(path, MOST_BYTES, &files[n_files].bytes, &files[n_files].n) == STATUS_OK ? (n_files++, 0)
                                                                                              : -1;
}

static enum status run(struct bench *b, struct decoder *here, struct isolated_decoder *there)
{
    enum status rc = STATUS_OK;
    struct picture_options options = picture_options_default();
    struct picture_info info;
    static _Thread_local uint8_t crop[3 * SIDE * SIDE];

    for (int i = 0; i < 2 * n_files * b->n_rounds; i++) {
        int f = i / 2 % n_files, way = (i + f + i / (2 * n_files)) % 2;
        const uint8_t *bytes = (const uint8_t *)files[f].bytes;
        double start = clock_seconds();
        if (way == 0)
            TRY(decoder_decode(here, bytes, files[f].n, &options, crop, &info));
        else
            TRY(isolated_decoder_decode(there, bytes, files[f].n, &options, crop, &info));
        double seconds = clock_seconds() - start;
        b->sum[way] += seconds;
        if (b->best[way][f] == 0 || seconds < b->best[way][f])
            b->best[way][f] = seconds;
        b->n_unscored += way == 0 && info.status != ITEM_OK && info.status != ITEM_TRUNCATED;
    }
out:
    return rc;
}

static void *thread_main(void *argument)
{
    enum status rc = STATUS_OK;
    struct bench *b = argument;
    struct decoder *here = NULL;
    struct isolated_decoder *there = NULL;

    for (int way = 0; way < 2; way++)
        if ((b->best[way] = calloc((size_t)n_files, sizeof(double))) == NULL)
            FAIL(STATUS_MEMORY, "no memory");
    TRY(decoder_open(&here));
    TRY(isolated_decoder_open(b->isolation, &there));
    TRY(run(b, here, there));
out:
    b->status = rc;
    isolated_decoder_close(there);
    decoder_close(here);
    return NULL;
}

static enum status read_arguments(int argc, char *argv[], int *n_rounds, int *n_threads)
{
    enum status rc = STATUS_OK;

    for (int option; (option = getopt(argc, argv, "r:t:")) != -1;) {
        if (option != 'r' && option != 't')
            FAIL(STATUS_USAGE, "usage: %s [-r ROUNDS] [-t THREADS] FOLDER...", argv[0]);
        *(option == 'r' ? n_rounds : n_threads) = (int)strtol(optarg, NULL, 10);
    }
    if (*n_rounds < 1 || *n_threads < 1 || *n_threads > MOST_THREADS || optind == argc)
        FAIL(STATUS_USAGE, "usage: %s [-r ROUNDS] [-t THREADS] FOLDER...", argv[0]);
    for (int i = optind; i < argc; i++)
        if (nftw(argv[i], add_file, 16, FTW_PHYS) != 0)
            FAIL(STATUS_INPUT, "%s: cannot read it", argv[i]);
    if (n_files == 0)
        FAIL(STATUS_INPUT, "no files there");
out:
    return rc;
}

static void print(const struct bench *benches, int n_threads, int n_rounds)
{
    double best[2] = {0}, sum[2] = {0};
    uint64_t n_unscored = 0;
    double n = (double)n_files * n_threads;

    for (int t = 0; t < n_threads; t++) {
        n_unscored += benches[t].n_unscored;
        for (int way = 0; way < 2; way++) {
            sum[way] += benches[t].sum[way];
            for (int f = 0; f < n_files; f++)
                best[way] += benches[t].best[way][f];
        }
    }
    printf("%d files, %d threads, %d rounds, %d not decodable\n", n_files, n_threads, n_rounds,
           (int)(n_unscored / (uint64_t)n_rounds / (uint64_t)n_threads));
    printf("%-22s %12s %12s %12s\n", "", "here", "in a helper", "overhead");
    printf("%-22s %9.1f us %9.1f us %10.2f %%\n", "a file, fastest", 1e6 * best[0] / n, 1e6 * best[1] / n,
           100 * (best[1] / best[0] - 1));
    printf("%-22s %9.1f us %9.1f us %10.2f %%\n", "a file, mean", 1e6 * sum[0] / n / n_rounds,
           1e6 * sum[1] / n / n_rounds, 100 * (sum[1] / sum[0] - 1));
}

int main(int argc, char *argv[])
{
    enum status rc = STATUS_OK;
    int n_rounds = 20, n_threads = 1, n_started = 0;
    static struct bench benches[MOST_THREADS];
    static pthread_t threads[MOST_THREADS];
    struct isolation *isolation = NULL;
    struct isolation_options options = {.max_bytes = MOST_BYTES,
                                        .crop_side = SIDE,
                                        .cpu_timeout_s = 30,
                                        .max_pixels = picture_options_default().max_pixels};

    TRY(isolation_start(&options, &isolation));
    TRY(read_arguments(argc, argv, &n_rounds, &n_threads));
    for (; n_started < n_threads; n_started++) {
        benches[n_started] = (struct bench){.isolation = isolation, .n_rounds = n_rounds};
        if (pthread_create(&threads[n_started], NULL, thread_main, &benches[n_started]) != 0)
            FAIL(STATUS_PLACE, "cannot start a thread");
    }
out:
    for (int t = 0; t < n_started; t++) {
        pthread_join(threads[t], NULL);
        rc = rc == STATUS_OK ? benches[t].status : rc;
    }
    if (rc == STATUS_OK)
        print(benches, n_threads, n_rounds);
    for (int t = 0; t < n_started; t++)
        for (int way = 0; way < 2; way++)
            free(benches[t].best[way]);
    isolation_stop(isolation);
    for (int f = 0; f < n_files; f++)
        free(files[f].bytes);
    return (int)status_exit_code(rc);
}
