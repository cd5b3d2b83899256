/*
 * Every odd file ends in the status that odd_expected.tsv says, with the size and orientation it says. A file
 * that the table does not list fails the test. Skipped where the files are not there.
 *
 *     test_odd ODD_EXPECTED_TSV SHARED_DATA
 */
#include "base/file.h"
#include "io/decode.h"
#include "io/fetch.h"
#include "test.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SKIPPED 77
#define SIZE 224

static char *table;
static char odd_folder[4096];

/* The table's line for a file: `name TAB status TAB width TAB height TAB orientation`, or NULL. */
static const char *find_line(const char *name)
{
    size_t n = strlen(name);

    for (const char *line = table; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, n) == 0 && line[n] == '\t')
            return line + n + 1;
    }
    return NULL;
}

/* True where the file ends as its line says. */
static bool check_file(struct fetcher *fetcher, struct decoder *decoder, const char *name, uint8_t *crop)
{
    struct picture_options options = picture_options_default();
    struct picture_info info;
    const uint8_t *bytes = NULL;
    size_t n = 0;
    char found[128];
    const char *line = find_line(name);

    if (line == NULL) {
        print_message("%s: not in odd_expected.tsv\n", name);
        return false;
    }
    assert_int_equal(fetcher_read(fetcher, name, &bytes, &n, &info), STATUS_OK);
    if (info.status == ITEM_OK)
        assert_int_equal(decoder_decode(decoder, bytes, n, &options, crop, &info), STATUS_OK);
    snprintf(found, sizeof(found), "%s\t%d\t%d\t%d", item_status_name(info.status), info.width, info.height,
             info.orientation);
    if (strncmp(line, found, strlen(found)) == 0 &&
        (line[strlen(found)] == '\n' || line[strlen(found)] == '\0'))
        return true;
    print_message("%s: found %s (%s), expected %.*s\n", name, found, info.message, (int)strcspn(line, "\n"),
                  line);
    return false;
}

static void test_odd_files(void **state)
{
    struct fetch_options options = {.root = odd_folder};
    struct fetcher *fetcher = NULL;
    struct decoder *decoder = NULL;
    uint8_t *crop = malloc(3 * SIZE * SIZE);
    DIR *folder = opendir(odd_folder);
    int n_files = 0, n_bad = 0;

    (void)state;
    assert_non_null(crop);
    assert_non_null(folder);
    assert_int_equal(fetcher_open(&options, &fetcher), STATUS_OK);
    assert_int_equal(decoder_open(&decoder), STATUS_OK);
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        n_files++;
        n_bad += !check_file(fetcher, decoder, entry->d_name, crop);
    }
    print_message("%d odd files\n", n_files);
    assert_true(n_files > 30);
    assert_int_equal(n_bad, 0);
    closedir(folder);
    decoder_close(decoder);
    fetcher_close(fetcher);
    free(crop);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_odd_files)};
    size_t n;

    if (argc != 3 || file_read(argv[1], 1 << 20, &table, &n) != STATUS_OK) {
        print_message("usage: test_odd ODD_EXPECTED_TSV SHARED_DATA\n");
        return EXIT_USAGE;
    }
    snprintf(odd_folder, sizeof(odd_folder), "%s/odd", argv[2]);
    DIR *folder = opendir(odd_folder);
    if (folder == NULL) {
        print_message("SKIPPED: %s is not here (EYESORE_SHARED_DATA)\n", odd_folder);
        free(table);
        return SKIPPED;
    }
    closedir(folder);
    int n_failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(table);
    return n_failed;
}
