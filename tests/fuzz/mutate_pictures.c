/*
 * mutate_pictures [--seed S] [--count N] [--first M] [--write FILE] FOLDER...: decode N damaged pictures.
 *
 * The pictures are those under the folders (that exist), and small ones encoded from some of them, so that
 * each format is there. Picture M of seed S is always the same damage to the same file, as long as the
 * folders hold the same: what is told of a failure, `--seed S --first M --count 1`, does it again, and
 * --write keeps the bytes.
 *
 * Fails where a picture crashes the decoder, takes over TIME_LIMIT_S of processor time, asks for more memory
 * than a process of MEMORY_LIMIT may have, or is answered with something that decode.h does not allow.
 */
#include "encode.h"
#include "io/decode.h"
#include "mutate.h"

#include <errno.h>
#include <ftw.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define FILE_BYTES_MOST ((size_t)1 << 20)
#define MEMORY_LIMIT ((rlim_t)1200 << 20)
#define MAX_PIXELS 20000000 /* WebP: 160 MB; a JPEG's coefficients are bounded by themselves, at 400 MiB */
#define TIME_LIMIT_S 10
#define SIDE 96         /* of encoded pictures */
#define ENCODE_EVERY 16 /* of the files found, one is encoded */
#define SIZE 224

struct file {
    char *path;
    uint8_t *bytes;
    size_t n;
};

struct files {
    struct file *list;
    size_t n, capacity;
};

struct run {
    uint64_t seed, first, count;
    const char *write_to;
    struct files files;
    struct decoder *decoder;
    uint64_t by_status[ITEM_STATUS_COUNT];
    double slowest_s;
    uint64_t slowest;
};

static struct files found;   /* by nftw, which takes no context */
static volatile uint64_t at; /* the picture at hand, for the handler */
static uint64_t seed_of_run;

/* Async-signal-safe: digits by hand, write, and the signal's own end. */
static void tell_and_die(int number)
{
    char line[128] = "mutate_pictures: a crash or a hang: again with --count 1 --seed ", digits[24];
    size_t used = strlen(line);
    uint64_t values[] = {seed_of_run, at};

    for (int i = 0; i < 2; i++) {
        size_t n = 0;
        do
            digits[n++] = (char)('0' + values[i] % 10);
        while ((values[i] /= 10) != 0);
        while (n > 0)
            line[used++] = digits[--n];
        memcpy(line + used, i == 0 ? " --first " : "\n", i == 0 ? 9 : 1);
        used += i == 0 ? 9 : 1;
    }
    ssize_t written = write(STDERR_FILENO, line, used);
    (void)written;
    signal(number, SIG_DFL);
    raise(number);
}

static bool add_file(struct files *files, const char *path, uint8_t *bytes, size_t n)
{
    if (files->n == files->capacity) {
        size_t capacity = files->capacity == 0 ? 1024 : 2 * files->capacity;
        struct file *grown = realloc(files->list, capacity * sizeof(*grown));
        if (grown == NULL)
            return false;
        files->list = grown;
        files->capacity = capacity;
    }
    struct file *file = &files->list[files->n];
    *file = (struct file){strdup(path), bytes, n};
    files->n += file->path != NULL;
    return file->path != NULL;
}

static int visit(const char *path, const struct stat *st, int type, struct FTW *place)
{
    (void)place;
    const char *dot = strrchr(path, '.');
    if (type != FTW_F || st->st_size < 1 || (size_t)st->st_size > FILE_BYTES_MOST || dot == NULL ||
        (strcmp(dot, ".png") != 0 && strcmp(dot, ".jpg") != 0 && strcmp(dot, ".webp") != 0 &&
         strcmp(dot, ".gif") != 0))
        return 0;
    uint8_t *bytes = malloc((size_t)st->st_size);
    FILE *file = fopen(path, "rbe");
    bool good = bytes != NULL && file != NULL &&
                fread(bytes, 1, (size_t)st->st_size, file) == (size_t)st->st_size &&
                add_file(&found, path, bytes, (size_t)st->st_size);
    if (file != NULL)
        fclose(file);
    if (!good)
        free(bytes);
    return good ? 0 : -1;
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(((const struct file *)a)->path, ((const struct file *)b)->path);
}

/* The crop of a file in all encodings, added to the files. */
static bool add_encoded(struct run *run, const struct file *file)
{
    uint8_t crop[SIDE * SIDE * 3];
    struct picture_info info;
    struct picture_options options = picture_options_default();
    char name[PATH_MAX];

    options.resize = options.size = SIDE;
    options.max_pixels = MAX_PIXELS;
    if (decoder_decode(run->decoder, file->bytes, file->n, &options, crop, &info) != STATUS_OK)
        return false;
    if (info.status != ITEM_OK)
        return true;
    for (int e = 0; e < ENCODING_COUNT; e++) {
        size_t n = 0;
        uint8_t *bytes = encode((enum encoding)e, crop, SIDE, &n);
        snprintf(name, sizeof(name), "%.3000s as %s", file->path, encoding_name((enum encoding)e));
        if (bytes == NULL || !add_file(&run->files, name, bytes, n)) {
            fprintf(stderr, "%s: cannot be encoded\n", name);
            free(bytes);
            return false;
        }
    }
    return true;
}

static bool find_files(struct run *run, char *const folders[])
{
    for (; *folders != NULL; folders++)
        if (access(*folders, F_OK) == 0 && nftw(*folders, visit, 16, FTW_PHYS) != 0) {
            fprintf(stderr, "%s: cannot be read: %s\n", *folders, strerror(errno));
            return false;
        }
    if (found.n == 0) {
        fprintf(stderr, "mutate_pictures: no pictures in the folders given\n");
        return false;
    }
    qsort(found.list, found.n, sizeof(*found.list), compare_paths);
    run->files = found;
    size_t n = run->files.n;
    for (size_t i = 0; i < n; i += ENCODE_EVERY) {
        struct file file = run->files.list[i]; /* the list may move */
        if (!add_encoded(run, &file))
            return false;
    }
    return true;
}

static double processor_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* OUT bytes: [FILE_BYTES_MOST * 2]. */
static size_t make_picture(const struct run *run, uint64_t number, uint8_t *bytes, const char **path)
{
    struct mutation m = {.random = run->seed * UINT64_C(0x9e3779b97f4a7c15) ^
                                   number * UINT64_C(0xd1342543de82ef95)};
    const struct file *file = &run->files.list[mutation_below(&m, run->files.n)];
    const struct file *other = &run->files.list[mutation_below(&m, run->files.n)];

    memcpy(bytes, file->bytes, file->n);
    *path = file->path;
    return mutate(&m, bytes, file->n, 2 * FILE_BYTES_MOST, other->bytes, other->n);
}

static bool answer_is_allowed(enum status status, const struct picture_info *info)
{
    return status == STATUS_OK && (unsigned int)info->status < ITEM_STATUS_COUNT &&
           memchr(info->message, '\0', sizeof(info->message)) != NULL &&
           (info->status == ITEM_OK) == (info->message[0] == '\0') && info->orientation >= 1 &&
           info->orientation <= 8 &&
           (info->status > ITEM_TRUNCATED || (int64_t)info->width * info->height <= MAX_PIXELS);
}

static bool decode_one(struct run *run, uint64_t number, uint8_t *work)
{
    static uint8_t crop[SIZE * SIZE * 3];
    struct picture_options options = picture_options_default();
    struct picture_info info;
    const char *path = NULL;
    size_t n = make_picture(run, number, work, &path);
    uint8_t *bytes = malloc(n); /* of its exact size, for a sanitizer */

    if (bytes == NULL)
        return false;
    memcpy(bytes, work, n);
    if (run->write_to != NULL) {
        FILE *file = fopen(run->write_to, "wbe");
        if (file == NULL || fwrite(bytes, 1, n, file) != n)
            fprintf(stderr, "%s: %s\n", run->write_to, strerror(errno));
        if (file != NULL)
            fclose(file);
    }
    options.max_pixels = MAX_PIXELS;
    options.mode = number % 2 == 0 ? DECODE_EXACT : DECODE_FAST;
    struct itimerval limit = {.it_value.tv_sec = TIME_LIMIT_S};
    setitimer(ITIMER_PROF, &limit, NULL);
    double begin = processor_s();
    enum status status = decoder_decode(run->decoder, bytes, n, &options, crop, &info);
    double took = processor_s() - begin;
    free(bytes);
    if (took > run->slowest_s) {
        run->slowest_s = took;
        run->slowest = number;
    }
    if (!answer_is_allowed(status, &info)) {
        fprintf(
            stderr,
            "mutate_pictures: %s: answered %d, status %d, %d x %d, \"%s\": again with --count 1 --seed %llu "
            "--first %llu\n",
            path, status, info.status, info.width, info.height, info.message, (unsigned long long)run->seed,
            (unsigned long long)number);
        return false;
    }
    run->by_status[info.status]++;
    return true;
}

static bool parse_number(const char *text, uint64_t *number)
{
    char *end;

    errno = 0;
    *number = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == '\0';
}

static bool parse_arguments(int argc, char **argv, struct run *run)
{
    static const struct option known[] = {{"seed", required_argument, NULL, 's'},
                                          {"count", required_argument, NULL, 'n'},
                                          {"first", required_argument, NULL, 'f'},
                                          {"write", required_argument, NULL, 'w'},
                                          {0}};
    bool good = true;

    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (c) {
        case 's':
            good &= parse_number(optarg, &run->seed);
            break;
        case 'n':
            good &= parse_number(optarg, &run->count);
            break;
        case 'f':
            good &= parse_number(optarg, &run->first);
            break;
        case 'w':
            run->write_to = optarg;
            break;
        default:
            good = false;
            break;
        }
    }
    return good && optind < argc && run->count > 0;
}

/* A sanitizer needs terabytes of addresses and has handlers of its own. */
static void set_limits(void)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    const int deadly[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    struct rlimit limit = {MEMORY_LIMIT, MEMORY_LIMIT};

    for (size_t i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++)
        signal(deadly[i], tell_and_die);
    if (setrlimit(RLIMIT_AS, &limit) != 0)
        fprintf(stderr, "mutate_pictures: no limit on memory: %s\n", strerror(errno));
#endif
    signal(SIGPROF, tell_and_die);
}

static void print_result(const struct run *run)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    printf("seed %llu, pictures %llu to %llu of %zu files:", (unsigned long long)run->seed,
           (unsigned long long)run->first, (unsigned long long)(run->first + run->count - 1), run->files.n);
    for (int i = 0; i < ITEM_STATUS_COUNT; i++)
        if (run->by_status[i] > 0)
            printf(" %s %llu", item_status_name((enum item_status)i), (unsigned long long)run->by_status[i]);
    printf("\nslowest: picture %llu, %.2f s of processor time; memory at most %ld MiB\n",
           (unsigned long long)run->slowest, run->slowest_s, usage.ru_maxrss / 1024);
}

int main(int argc, char **argv)
{
    struct run run = {.seed = 1, .count = 1000};
    uint8_t *work = malloc(2 * FILE_BYTES_MOST);
    int result = 1;

    if (!parse_arguments(argc, argv, &run)) {
        fprintf(stderr,
                "usage: mutate_pictures [--seed S] [--count N] [--first M] [--write FILE] FOLDER...\n");
        goto out;
    }
    if (work == NULL || decoder_open(&run.decoder) != STATUS_OK || !find_files(&run, argv + optind))
        goto out;
    set_limits();
    seed_of_run = run.seed;
    for (at = run.first; at < run.first + run.count; at++)
        if (!decode_one(&run, at, work))
            goto out;
    print_result(&run);
    result = 0;
out:
    for (size_t i = 0; i < run.files.n; i++) {
        free(run.files.list[i].path);
        free(run.files.list[i].bytes);
    }
    free(run.files.list);
    decoder_close(run.decoder);
    free(work);
    return result;
}
