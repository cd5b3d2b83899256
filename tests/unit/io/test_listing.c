/* Folder trees and tars, in order, with categories; names that cannot stand in a manifest. */
#include "io/listing.h"
#include "test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

static int set_up(void **state)
{
    char line[1024];

    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/eyesore-list-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    log_set_level(LOG_ERROR + 1);
    snprintf(line, sizeof(line),
             "cd %s && mkdir -p p/b/deep p/a .hidden && touch p/z.JPG p/a/2.png p/a/10.webp p/b/deep/x.gif "
             "p/b/note.txt p/a/.hid.jpg \"p/b/t$(printf '\\t')ab.jpg\" && ln -s ../b p/a/link && "
             "ln -s ../z.JPG p/a/same.jpg && tar -cf t.tar -C p z.JPG b a",
             folder);
    return system(line);
}

static int tear_down(void **state)
{
    char line[128];

    (void)state;
    snprintf(line, sizeof(line), "rm -rf %s", folder);
    return system(line);
}

struct text {
    char lines[1024];
    int n_left; /* stop after so many; negative: never */
};

static enum status append(void *context, const char *uri, const char *category)
{
    struct text *text = context;
    size_t used = strlen(text->lines);

    snprintf(text->lines + used, sizeof(text->lines) - used, "%s=%s\n", uri, category);
    return text->n_left >= 0 && --text->n_left == 0 ? STATUS_RESUME : STATUS_OK;
}

static void test_folder(void **state)
{
    struct text text = {.n_left = -1};
    struct listing_counts counts;
    char path[128];

    (void)state;
    snprintf(path, sizeof(path), "%s/p//", folder);
    assert_int_equal(listing_walk(path, "", append, &text, &counts), STATUS_OK);
    assert_string_equal(text.lines, "a/10.webp=a\na/2.png=a\na/same.jpg=a\nb/deep/x.gif=deep\nz.JPG=\n");
    assert_int_equal(counts.n_pictures, 5);
    assert_int_equal(counts.n_skipped, 1);
    assert_int_equal(counts.n_others, 2); /* the note, and the link to a folder */
}

static void test_prefixes(void **state)
{
    struct text text = {.n_left = 1};
    struct listing_counts counts;
    char path[128], expected[256];

    (void)state;
    snprintf(path, sizeof(path), "%s/p", folder);
    assert_int_equal(listing_walk(path, NULL, append, &text, &counts), STATUS_RESUME); /* passed on */
    snprintf(expected, sizeof(expected), "%s/p/a/10.webp=a\n", folder);
    assert_string_equal(text.lines, expected);
}

static void test_tar(void **state)
{
    struct text text = {.n_left = -1};
    struct listing_counts counts;
    char path[128];

    (void)state;
    snprintf(path, sizeof(path), "%s/t.tar", folder);
    assert_int_equal(listing_walk(path, "t.tar#", append, &text, &counts), STATUS_OK);
    assert_string_equal(text.lines,
                        "t.tar#a/10.webp=a\nt.tar#a/2.png=a\nt.tar#b/deep/x.gif=deep\nt.tar#z.JPG=\n");
    assert_int_equal(counts.n_skipped, 1);
}

static void test_neither(void **state)
{
    struct text text = {.n_left = -1};
    struct listing_counts counts;
    char path[128];

    (void)state;
    snprintf(path, sizeof(path), "%s/none", folder);
    assert_int_equal(listing_walk(path, NULL, append, &text, &counts), STATUS_INPUT);
    snprintf(path, sizeof(path), "%s/fifo.tar", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(listing_walk(path, NULL, append, &text, &counts), STATUS_INPUT); /* and does not hang */
    snprintf(path, sizeof(path), "%s/p/z.JPG", folder);
    assert_int_equal(listing_walk(path, NULL, append, &text, &counts), STATUS_INPUT);
}

/* As deep as a path can name: two bytes a level. */
static void test_deep(void **state)
{
    struct text text = {.n_left = -1};
    struct listing_counts counts;
    char path[128];
    int at;

    (void)state;
    snprintf(path, sizeof(path), "%s/deep", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    at = open(path, O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < 2000; i++) {
        assert_int_equal(mkdirat(at, "d", 0700), 0);
        int below = openat(at, "d", O_RDONLY | O_DIRECTORY);
        assert_true(below >= 0);
        close(at);
        at = below;
    }
    close(openat(at, "x.png", O_WRONLY | O_CREAT, 0600));
    close(at);
    assert_int_equal(listing_walk(path, "", append, &text, &counts), STATUS_OK);
    assert_int_equal(counts.n_pictures, 1);
    assert_int_equal(strlen(text.lines), sizeof(text.lines) - 1); /* cut: it is longer than that */
}

/* Latin-1, overlong, a surrogate, above U+10FFFF, cut short: skipped and counted. What is UTF-8 stays. */
static void test_names_in_utf8(void **state)
{
    static const char *const bad[] = {"\xe9.jpg",
                                      "\xc0\xaf.jpg",
                                      "\xe0\x9f\xbf.jpg",
                                      "\xed\xa0\x80.jpg",
                                      "\xf0\x8f\xbf\xbf.jpg",
                                      "\xf4\x90\x80\x80.jpg",
                                      "\xf5\x80\x80\x80.jpg",
                                      "\x80.jpg",
                                      "\xe2\x82.jpg"};
    static const char *const good[] = {"\xc3\xa9.jpg", "\xed\x9f\xbf.jpg", "\xee\x80\x80.jpg",
                                       "\xf0\x90\x80\x80.jpg", "\xf4\x8f\xbf\xbf.jpg"};
    struct text text = {.n_left = -1};
    struct listing_counts counts;
    char path[256], expected[256] = "";
    size_t n_bad = 0;

    (void)state;
    snprintf(path, sizeof(path), "%s/utf8", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(path, sizeof(path), "%s/utf8/%s", folder, bad[i]);
        int fd = open(path, O_WRONLY | O_CREAT, 0600);
        if (fd < 0)
            continue; /* a file system that takes no such names */
        close(fd);
        n_bad++;
    }
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        snprintf(path, sizeof(path), "%s/utf8/%s", folder, good[i]);
        close(open(path, O_WRONLY | O_CREAT, 0600));
        snprintf(expected + strlen(expected), sizeof(expected) - strlen(expected), "%s=\n", good[i]);
    }
    snprintf(path, sizeof(path), "%s/utf8", folder);
    assert_int_equal(listing_walk(path, "", append, &text, &counts), STATUS_OK);
    assert_int_equal(counts.n_skipped, n_bad);
    assert_string_equal(text.lines, expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folder),  cmocka_unit_test(test_prefixes), cmocka_unit_test(test_tar),
        cmocka_unit_test(test_neither), cmocka_unit_test(test_deep),     cmocka_unit_test(test_names_in_utf8),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
