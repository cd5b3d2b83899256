/* Tar headers made by hand: broken checksums, pax records that are right, and those that mean harm. */
#include "io/tar.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 512

struct image {
    char bytes[64 * BLOCK];
    size_t n;
};

/* Append a ustar header; the checksum is that of the bytes plus `lie`. */
static void add_header(struct image *image, const char *name, char type, unsigned int size, unsigned int lie)
{
    char *h = image->bytes + image->n;
    unsigned int sum = lie;

    memset(h, 0, BLOCK);
    snprintf(h, 100, "%s", name);
    snprintf(h + 124, 12, "%011o", size);
    memset(h + 148, ' ', 8);
    h[156] = type;
    memcpy(h + 257, "ustar\00000", 8);
    for (size_t i = 0; i < BLOCK; i++)
        sum += (unsigned char)h[i];
    snprintf(h + 148, 8, "%06o", sum);
    image->n += BLOCK;
}

static void add_data(struct image *image, const char *data, size_t n)
{
    size_t padded = (n + BLOCK - 1) / BLOCK * BLOCK;

    assert_true(image->n + padded <= sizeof(image->bytes));
    memset(image->bytes + image->n, 0, padded);
    memcpy(image->bytes + image->n, data, n);
    image->n += padded;
}

static void add_pax(struct image *image, const char *records, size_t n)
{
    add_header(image, "pax", 'x', (unsigned int)n, 0);
    add_data(image, records, n);
}

struct found {
    int n;
    char name[128]; /* of the last one */
    uint64_t offset, size;
};

static enum status remember(void *context, const struct tar_member *member)
{
    struct found *found = context;

    found->n++;
    snprintf(found->name, sizeof(found->name), "%s", member->name);
    found->offset = member->offset;
    found->size = member->size;
    return STATUS_OK;
}

static enum status walk(const struct image *image, struct found *found, char reason[128])
{
    char path[] = "/tmp/eyesore-tar-XXXXXX";
    bool ended_early;
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(write(fd, image->bytes, image->n), image->n);
    *found = (struct found){0};
    enum status rc = tar_walk(fd, "made.tar", remember, found, &ended_early, reason, 128);
    close(fd);
    return rc;
}

static void test_plain_member(void **state)
{
    struct image image = {.n = 0};
    struct found found;
    char reason[128];

    (void)state;
    add_header(&image, "a.jpg", '0', 3, 0);
    add_data(&image, "abc", 3);
    add_data(&image, "", 0);
    assert_int_equal(walk(&image, &found, reason), STATUS_OK);
    assert_int_equal(found.n, 1);
    assert_int_equal(found.offset, BLOCK);
    assert_int_equal(found.size, 3);
}

static void test_bad_checksum(void **state)
{
    struct image image = {.n = 0};
    struct found found;
    char reason[128];

    (void)state;
    add_header(&image, "a.jpg", '0', 3, 0);
    add_data(&image, "abc", 3);
    add_header(&image, "b.jpg", '0', 3, 1);
    add_data(&image, "abc", 3);
    assert_int_equal(walk(&image, &found, reason), STATUS_INPUT);
    assert_int_equal(found.n, 1);
    assert_string_equal(found.name, "a.jpg");
    assert_non_null(strstr(reason, "byte 1024"));
}

/* The size= of pax is the one that counts: the next header is looked for behind it. */
static void test_pax_size(void **state)
{
    static const char records[] = "13 size=1024\n17 path=long.jpg\n";
    struct image image = {.n = 0};
    struct found found;
    char reason[128];

    (void)state;
    add_pax(&image, records, strlen(records));
    add_header(&image, "short", '0', 0, 0);
    assert_int_equal(walk(&image, &found, reason), STATUS_OK);
    assert_string_equal(found.name, "long.jpg");
    assert_int_equal(found.offset, 3 * BLOCK);
    assert_int_equal(found.size, 1024);
    char data[1024];
    memset(data, 'x', sizeof(data));
    add_data(&image, data, sizeof(data));
    add_header(&image, "next.jpg", '0', 5, 0);
    add_data(&image, "12345", 5);
    assert_int_equal(walk(&image, &found, reason), STATUS_OK);
    assert_int_equal(found.n, 2); /* the size does not stick to the next one */
    assert_string_equal(found.name, "next.jpg");
    assert_int_equal(found.size, 5);
}

/* Records that are broken: the header's own fields stand, and nothing is read outside of them. */
static void test_broken_pax(void **state)
{
    static const char *const broken[] = {
        "12 size=+77\n",
        "12 size=-77\n",
        "12 size= 77\n",
        "12 size=77x\n",
        "8 size=\n",
        "29 size=18446744073709551617\n",
        "18446744073709551625 ab",
        "+13 size=777\n",
        " 13 size=777\n",
        "12size=7777\n",
        "5    =\n",
        "5 \n  \n",
        "12345678",
        "99 size=7\n",
        "\n\n11 size=77\n",
        "4 a\n",
        "5 =\n",
        "000000 size=7\n",
    };
    char blanks[209];

    (void)state;
    memcpy(blanks, "    \n     5 ", 12);
    memset(blanks + 12, 'A', sizeof(blanks) - 12);
    for (size_t i = 0; i <= sizeof(broken) / sizeof(broken[0]); i++) {
        bool last = i == sizeof(broken) / sizeof(broken[0]);
        struct image image = {.n = 0};
        struct found found;
        char reason[128];
        add_pax(&image, last ? blanks : broken[i], last ? sizeof(blanks) : strlen(broken[i]));
        add_header(&image, "a.jpg", '0', 3, 0);
        add_data(&image, "abc", 3);
        assert_int_equal(walk(&image, &found, reason), STATUS_OK);
        assert_int_equal(found.n, 1);
        assert_string_equal(found.name, "a.jpg");
        assert_int_equal(found.size, 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_member),
        cmocka_unit_test(test_bad_checksum),
        cmocka_unit_test(test_pax_size),
        cmocka_unit_test(test_broken_pax),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
