/*
 * What decoding in helper processes costs: the same files decoded here and in a helper, in one run, turn and
 * turn about, so that whatever else the host does hits both.
 *
 *     bench/isolation [-r ROUNDS] [-t THREADS] FOLDER...
 *
 * Either way the crop is copied to where an engine would want it, as a sweep does.
 *
 * A round is each file once here and once in the helper, the order changing from file to file. Two clocks:
 * processor time, of this thread and of the helper together, which is what limits a host whose cores are all
 * at work; and the wall's, which is what one thread sees. Of each file, way and clock the least of all rounds
 * counts, summed over the files: the rest is what others on the host took. The plain means are printed too.
 */
#include "base/clock.h"
#include "base/file.h"
#include "io/decode.h"
#include "io/isolation_internal.h"

#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
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

enum way { HERE, IN_HELPER, N_WAYS };
enum clock { WALL, PROCESSOR, N_CLOCKS };

struct seconds {
    double of[N_CLOCKS];
};

/* One thread's. */
struct bench {
    struct isolation *isolation;
    int n_rounds;
    struct seconds *best[N_WAYS]; /* [n_files] */
    struct seconds sum[N_WAYS];
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

static double read_clock(clockid_t clock)
{
    struct timespec t;

    return clock_gettime(clock, &t) == 0 ? (double)t.tv_sec + 1e-9 * (double)t.tv_nsec : 0;
}

static double processor_seconds(const struct isolated_decoder *there)
{
    clockid_t helper;

    return read_clock(CLOCK_THREAD_CPUTIME_ID) +
           (clock_getcpuclockid(isolated_decoder_pid(there), &helper) == 0 ? read_clock(helper) : 0);
}

static void count(struct bench *b, int way, int f, const struct seconds *took)
{
    for (int c = 0; c < N_CLOCKS; c++) {
        double *best = &b->best[way][f].of[c];
        if (*best == 0 || took->of[c] < *best)
            *best = took->of[c];
        b->sum[way].of[c] += took->of[c];
    }
}

static enum status run(struct bench *b, struct decoder *here, struct isolated_decoder *there)
{
    enum status rc = STATUS_OK;
    struct picture_options options = picture_options_default();
    struct picture_info info;
    static _Thread_local uint8_t crop[3 * SIDE * SIDE], slot[3 * SIDE * SIDE];
    const uint8_t *const crops[N_WAYS] = {crop, isolated_decoder_crop(there)};

    for (int i = 0; i < 2 * n_files * b->n_rounds; i++) {
        int f = i / 2 % n_files, way = (i + f + i / (2 * n_files)) % 2;
        const uint8_t *bytes = (const uint8_t *)files[f].bytes;
        double processor = processor_seconds(there), start = clock_seconds();
        if (way == HERE)
            TRY(decoder_decode(here, bytes, files[f].n, &options, crop, &info));
        else
            TRY(isolated_decoder_decode(there, bytes, files[f].n, &options, isolated_decoder_crop(there),
                                        &info));
        memcpy(slot, crops[way], sizeof(slot));
        __asm__ volatile("" ::"r"(slot) : "memory"); /* it is wanted */
        double wall = clock_seconds() - start;
        count(b, way, f, &(struct seconds){{wall, processor_seconds(there) - processor}});
        b->n_unscored += way == HERE && info.status != ITEM_OK && info.status != ITEM_TRUNCATED;
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

    for (int way = 0; way < N_WAYS; way++)
        if ((b->best[way] = calloc((size_t)n_files, sizeof(struct seconds))) == NULL)
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

static void print_line(const char *name, double here, double in_helper)
{
    printf("%-24s %9.1f us %9.1f us %10.2f %%\n", name, 1e6 * here, 1e6 * in_helper,
           100 * (in_helper / here - 1));
}

static void print(const struct bench *benches, int n_threads, int n_rounds)
{
    static const char *const least[] = {"wall, least", "processor, least"};
    static const char *const mean[] = {"wall, mean", "processor, mean"};
    struct seconds best[N_WAYS] = {0}, sum[N_WAYS] = {0};
    uint64_t n_unscored = 0;
    double n = (double)n_files * n_threads;

    for (int t = 0; t < n_threads; t++) {
        n_unscored += benches[t].n_unscored;
        for (int i = 0; i < N_WAYS * N_CLOCKS; i++) {
            int way = i / N_CLOCKS, c = i % N_CLOCKS;
            sum[way].of[c] += benches[t].sum[way].of[c];
            for (int f = 0; f < n_files; f++)
                best[way].of[c] += benches[t].best[way][f].of[c];
        }
    }
    printf("%d files, %d threads, %d rounds, %d not decodable\n", n_files, n_threads, n_rounds,
           (int)(n_unscored / (uint64_t)n_rounds / (uint64_t)n_threads));
    printf("%-24s %12s %12s %12s\n", "a file", "here", "in a helper", "overhead");
    for (int c = N_CLOCKS - 1; c >= 0; c--)
        print_line(least[c], best[HERE].of[c] / n, best[IN_HELPER].of[c] / n);
    for (int c = N_CLOCKS - 1; c >= 0; c--)
        print_line(mean[c], sum[HERE].of[c] / n / n_rounds, sum[IN_HELPER].of[c] / n / n_rounds);
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
        for (int way = 0; way < N_WAYS; way++)
            free(benches[t].best[way]);
    isolation_stop(isolation);
    for (int f = 0; f < n_files; f++)
        free(files[f].bytes);
    return (int)status_exit_code(rc);
}
