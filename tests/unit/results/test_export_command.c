/* eyesore export as a command: parts that cannot be read, and outputs that cannot be written. */
#include "base/file.h"
#include "job/commands.h"
#include "sample.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define N_PARTS 3
#define PART_ROWS 40

/* OUT/parts/0/shard-0000000<i>-<16 hex digits>.h5; the caller frees. */
static char *part_path(const char *out, uint64_t i)
{
    char name[128];

    snprintf(name, sizeof(name), "parts/0/shard-%08d-0123456789abcdef.h5", (int)i);
    return sample_path(out, name);
}

static void make_parts(const char *out)
{
    struct sweep_layout layout;
    char *folder = sample_path(out, "parts/0");

    assert_int_equal(file_make_folders(folder), STATUS_OK);
    assert_int_equal(sample_layout(&layout), STATUS_OK);
    for (uint64_t i = 0; i < N_PARTS; i++) {
        struct part *part;
        char *path = part_path(out, i);
        assert_int_equal(sample_part(&layout, SAMPLE_MIXED, i, i * PART_ROWS, PART_ROWS, &part), STATUS_OK);
        assert_int_equal(part_write(part, path, SAMPLE_FINGERPRINT, &(bool){false}), STATUS_OK);
        part_free(part);
        free(path);
    }
    sweep_layout_free(&layout);
    free(folder);
}

static void remove_parts(char *out)
{
    char *parts = sample_path(out, "parts");

    sample_remove_folder(sample_path(out, "parts/0"));
    sample_remove_folder(parts);
    sample_remove_folder(out);
}

/* What the command writes to a descriptor that `to` stands in for meanwhile. */
static enum status run_with(const struct options *options, int descriptor, int to)
{
    int was = dup(descriptor);

    assert_true(was >= 0);
    fflush(stdout);
    dup2(to, descriptor);
    enum status rc = command_export(options);
    fflush(stdout);
    clearerr(stdout);
    dup2(was, descriptor);
    close(was);
    return rc;
}

static void an_unreadable_part(void **state)
{
    char *out = sample_make_folder();
    char *csv = sample_path(out, "rows.jsonl");
    char *log = sample_path(out, "log");
    char *broken = part_path(out, 1);
    char *operands[] = {out};
    struct options options = {.operands = operands,
                              .n_operands = 1,
                              .partial = true,
                              .all = true,
                              .format = EXPORT_JSONL,
                              .output = csv};
    char *text;
    size_t size;
    size_t n_lines = 0;

    (void)state;
    make_parts(out);
    assert_int_equal(truncate(broken, 500), 0);
    int fd = open(log, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    assert_true(fd >= 0);
    assert_int_equal(run_with(&options, STDERR_FILENO, fd), STATUS_OK);
    close(fd);
    assert_int_equal(file_read(csv, 1 << 20, &text, &size), STATUS_OK);
    for (size_t i = 0; i < size; i++)
        n_lines += text[i] == '\n';
    assert_int_equal(n_lines, (N_PARTS - 1) * PART_ROWS);
    free(text);
    assert_int_equal(file_read(log, 1 << 20, &text, &size), STATUS_OK);
    char *warning = strstr(text, "is left out");
    assert_non_null(warning);
    assert_non_null(strstr(text, broken));
    assert_non_null(strstr(warning, "run the scan again with the same command"));
    assert_non_null(strstr(warning, "80 rows, of the 2 shards"));
    free(text);
    free(broken);
    free(log);
    free(csv);
    remove_parts(out);
}

/* Exit code 2, which is the user's, and not 75, "run again". */
static void a_full_disk(void **state)
{
    char *out = sample_make_folder();
    char *part = part_path(out, 0);
    char *operands[] = {part};
    struct options options = {.operands = operands, .n_operands = 1, .all = true, .format = EXPORT_CSV};
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

    (void)state;
    make_parts(out);
    log_set_level(LOG_ERROR + 1);
    if (full < 0)
        print_message("no /dev/full here: a full disk behind stdout is not tested\n");
    else
        assert_int_equal(status_exit_code(run_with(&options, STDOUT_FILENO, full)), EXIT_USAGE);
    options.output = "no such folder/rows.csv";
    assert_int_equal(status_exit_code(command_export(&options)), EXIT_USAGE);
    log_set_level(LOG_INFO);
    if (full >= 0)
        close(full);
    free(part);
    remove_parts(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unreadable_part),
        cmocka_unit_test(a_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
