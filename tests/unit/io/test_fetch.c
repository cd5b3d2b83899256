/* Files, tar members, refused uris, and faults of the place as against faults of the picture. */
#include "base/file.h"
#include "io/fetch.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

static char folder[64];

static const char *in_folder(const char *name)
{
    static char path[4][512];
    static int turn;

    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof(path[turn]), "%s/%s", folder, name);
    return path[turn];
}

static void shell(const char *command)
{
    char line[2048];

    snprintf(line, sizeof(line), "cd %s && { %s; } >/dev/null", folder, command);
    assert_int_equal(system(line), 0);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/eyesore-fetch-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    log_set_level(LOG_ERROR + 1); /* what is expected to fail says so */
    shell(
        "mkdir -p pool/sub pool/empty && printf abc > pool/a.jpg && printf 'in sub' > pool/sub/b.jpg && "
        "printf hash > 'pool/a#b%20c.jpg' && mkfifo pool/fifo && head -c 5000 /dev/zero > pool/large.jpg && "
        "ln -s nowhere pool/dangling");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    shell("chmod -R u+rwx . && rm -rf pool pool_beside gone *.tar");
    return rmdir(folder);
}

/* Read a uri; the status, and where ok the bytes, are what is expected. */
static void expect(struct fetcher *fetcher, const char *uri, enum item_status status, const char *text)
{
    const uint8_t *bytes = NULL;
    size_t n = 0;
    struct picture_info info;

    assert_int_equal(fetcher_read(fetcher, uri, &bytes, &n, &info), STATUS_OK);
    if (info.status != status)
        print_message("%s: %s (%s)\n", uri, item_status_name(info.status), info.message);
    assert_int_equal(info.status, status);
    if (status != ITEM_OK) {
        assert_true(info.message[0] != '\0');
        return;
    }
    assert_int_equal(n, strlen(text));
    assert_memory_equal(bytes, text, n);
}

static struct fetcher *open_pool(uint64_t max_bytes)
{
    struct fetch_options options = {.root = in_folder("pool"), .max_bytes = max_bytes};
    struct fetcher *fetcher = NULL;

    assert_int_equal(fetcher_open(&options, &fetcher), STATUS_OK);
    return fetcher;
}

static void test_files(void **state)
{
    struct fetcher *fetcher = open_pool(4096);

    (void)state;
    expect(fetcher, "a.jpg", ITEM_OK, "abc");
    expect(fetcher, "sub/b.jpg", ITEM_OK, "in sub");
    expect(fetcher, "a#b%20c.jpg", ITEM_OK, "hash"); /* not percent-decoded, and # is a name's */
    expect(fetcher, "none.jpg", ITEM_MISSING, NULL);
    expect(fetcher, "dangling", ITEM_MISSING, NULL);
    expect(fetcher, "a.jpg/x", ITEM_MISSING, NULL);
    expect(fetcher, "sub", ITEM_UNREADABLE, NULL);
    expect(fetcher, "fifo", ITEM_UNREADABLE, NULL); /* and it does not hang */
    expect(fetcher, "large.jpg", ITEM_TOO_LARGE, NULL);
    expect(fetcher, "a.jpg", ITEM_OK, "abc");
    fetcher_close(fetcher);
}

static void test_permission(void **state)
{
    (void)state;
    if (geteuid() == 0) {
        print_message("skipped: root may read everything\n");
        skip();
    }
    struct fetcher *fetcher = open_pool(0);
    shell("chmod 0 pool/a.jpg");
    expect(fetcher, "a.jpg", ITEM_UNREADABLE, NULL);
    shell("chmod 644 pool/a.jpg");
    fetcher_close(fetcher);
}

static void test_refused(void **state)
{
    struct fetcher *fetcher = open_pool(0);

    (void)state;
    expect(fetcher, "/etc/hostname", ITEM_REFUSED, NULL);
    expect(fetcher, "../pool/a.jpg", ITEM_REFUSED, NULL);
    expect(fetcher, "sub/../a.jpg", ITEM_REFUSED, NULL);
    expect(fetcher, "sub/..", ITEM_REFUSED, NULL);
    expect(fetcher, "../x.tar#a", ITEM_REFUSED, NULL);
    expect(fetcher, "http://host/a.jpg", ITEM_REFUSED, NULL);
    expect(fetcher, "s3://bucket/a.tar#b", ITEM_REFUSED, NULL);
    expect(fetcher, "file:///etc/hostname", ITEM_REFUSED, NULL);
    expect(fetcher, "..a.jpg", ITEM_MISSING, NULL); /* a name, not a step up */
    fetcher_close(fetcher);
}

static void test_without_root(void **state)
{
    struct fetch_options options = {.root = NULL};
    struct fetcher *fetcher = NULL;

    (void)state;
    assert_int_equal(fetcher_open(&options, &fetcher), STATUS_OK);
    expect(fetcher, in_folder("pool/a.jpg"), ITEM_OK, "abc");
    expect(fetcher, in_folder("pool/sub/../a.jpg"), ITEM_OK, "abc");
    expect(fetcher, in_folder("none/a.jpg"), ITEM_MISSING, NULL);
    fetcher_close(fetcher);
}

static void test_no_root_at_open(void **state)
{
    struct fetch_options options = {.root = in_folder("gone")};
    struct fetcher *fetcher = NULL;

    (void)state;
    assert_int_equal(fetcher_open(&options, &fetcher), STATUS_PLACE);
    options.root = in_folder("pool/empty"); /* a mount point without its mount */
    assert_int_equal(fetcher_open(&options, &fetcher), STATUS_PLACE);
    options.root = in_folder("pool/a.jpg");
    assert_int_equal(fetcher_open(&options, &fetcher), STATUS_PLACE);
    assert_null(fetcher);
}

static void test_root_goes_away(void **state)
{
    struct fetcher *fetcher = open_pool(0);
    const uint8_t *bytes;
    size_t n;
    struct picture_info info;

    (void)state;
    shell("mv pool gone");
    assert_int_equal(fetcher_read(fetcher, "a.jpg", &bytes, &n, &info), STATUS_PLACE);
    assert_int_equal(fetcher_read(fetcher, "a.tar#x", &bytes, &n, &info), STATUS_PLACE);
    shell("mkdir pool"); /* the mount point is still there, the pool is not */
    assert_int_equal(fetcher_read(fetcher, "a.jpg", &bytes, &n, &info), STATUS_PLACE);
    shell("rmdir pool && mv gone pool");
    expect(fetcher, "a.jpg", ITEM_OK, "abc");
    fetcher_close(fetcher);
}

#define LONG                                                                                                 \
    "pool/long/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/"                       \
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb" \
    "bbbbb.jpg"

static void test_tar_formats(void **state)
{
    static const char *const formats[] = {"gnu", "pax", "ustar", "v7", "oldgnu"};

    (void)state;
    shell("mkdir -p $(dirname " LONG ") && printf long > " LONG);
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        char command[512], uri[512];
        bool has_long = strcmp(formats[i], "ustar") != 0 && strcmp(formats[i], "v7") != 0;
        snprintf(command, sizeof(command), "tar -C pool --format=%s -cf pool/%s.tar ./a.jpg sub %s",
                 formats[i], formats[i], has_long ? "long" : "");
        shell(command);
        struct fetcher *fetcher = open_pool(4096);
        snprintf(uri, sizeof(uri), "%s.tar#sub/b.jpg", formats[i]);
        expect(fetcher, uri, ITEM_OK, "in sub");
        snprintf(uri, sizeof(uri), "%s.tar#a.jpg", formats[i]);
        expect(fetcher, uri, ITEM_OK, "abc");
        snprintf(uri, sizeof(uri), "%s.tar#./a.jpg", formats[i]);
        expect(fetcher, uri, ITEM_OK, "abc");
        snprintf(uri, sizeof(uri), "%s.tar#sub", formats[i]); /* a folder is no picture */
        expect(fetcher, uri, ITEM_MISSING, NULL);
        snprintf(uri, sizeof(uri), "%s.tar#%s", formats[i], LONG + strlen("pool/"));
        expect(fetcher, uri, has_long ? ITEM_OK : ITEM_MISSING, "long");
        fetcher_close(fetcher);
    }
    shell("rm -r pool/long pool/*.tar");
}

static void test_tar_faults(void **state)
{
    (void)state;
    shell("tar -C pool -cf pool/t.tar a.jpg large.jpg && printf new > pool/a.jpg && tar -C pool -rf "
          "pool/t.tar a.jpg"
          " && printf abc > pool/a.jpg && head -c 3000 pool/t.tar > pool/cut.tar && printf junk > "
          "pool/junk.tar &&"
          " head -c 4096 /dev/urandom > pool/noise.tar && gzip -c pool/t.tar > pool/gz.tar");
    struct fetcher *fetcher = open_pool(4096);
    expect(fetcher, "t.tar#a.jpg", ITEM_OK, "new"); /* appended later: it counts */
    expect(fetcher, "t.tar#large.jpg", ITEM_TOO_LARGE, NULL);
    expect(fetcher, "cut.tar#a.jpg", ITEM_OK, "abc");
    expect(fetcher, "junk.tar#a.jpg", ITEM_UNREADABLE, NULL);
    expect(fetcher, "noise.tar#a.jpg", ITEM_UNREADABLE, NULL);
    expect(fetcher, "gz.tar#a.jpg", ITEM_UNREADABLE, NULL);
    expect(fetcher, "none.tar#a.jpg", ITEM_MISSING, NULL);
    expect(fetcher, "t.tar#", ITEM_MISSING, NULL);
    fetcher_close(fetcher);
    shell("rm pool/*.tar");
}

/* Bytes this process has asked read() and pread() for; 0 where the kernel does not tell. */
static unsigned long long bytes_read(void)
{
    unsigned long long n = 0;
    FILE *io = fopen("/proc/self/io", "r");

    if (io != NULL && fscanf(io, "rchar: %llu", &n) != 1)
        n = 0;
    if (io != NULL)
        fclose(io);
    return n;
}

/* Garbage behind thousands of folders: walked once, until the file changes. */
static void test_broken_tar_is_remembered(void **state)
{
    (void)state;
    shell("tar -cf one.tar --no-recursion pool/sub && head -c 512 one.tar > x1.tar && "
          "for i in 1 2 3 4; do cat x1.tar x1.tar x1.tar x1.tar x1.tar x1.tar x1.tar x1.tar > x8.tar && "
          "mv x8.tar x1.tar; done && cat x1.tar > pool/broken.tar && "
          "head -c 4096 /dev/urandom >> pool/broken.tar && rm one.tar x1.tar");
    struct fetcher *fetcher = open_pool(4096);
    unsigned long long start = bytes_read();
    expect(fetcher, "broken.tar#a.jpg", ITEM_UNREADABLE, NULL);
    unsigned long long first = bytes_read() - start;
    for (int i = 0; i < 10; i++)
        expect(fetcher, "broken.tar#a.jpg", ITEM_UNREADABLE, NULL);
    if (start > 0) {
        assert_true(first > 2000000);
        assert_true(bytes_read() - start - first < 100000);
    } else {
        print_message("not looked at: how much was read (no /proc/self/io)\n");
    }
    shell("tar -C pool -cf pool/good.tar a.jpg && mv pool/good.tar pool/broken.tar");
    expect(fetcher, "broken.tar#a.jpg", ITEM_OK, "abc");
    fetcher_close(fetcher);
    shell("rm pool/*.tar");
}

/* What is no regular file is the row's fault, not the place's, under any name. */
static void test_sockets_and_devices(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct fetch_options options = {.root = NULL};
    struct fetcher *fetcher = open_pool(0), *rootless = NULL;
    int s = socket(AF_UNIX, SOCK_STREAM, 0);

    (void)state;
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/pool/socket.tar", folder);
    assert_int_equal(bind(s, (const struct sockaddr *)&address, sizeof(address)), 0);
    close(s);
    expect(fetcher, "socket.tar", ITEM_UNREADABLE, NULL);
    expect(fetcher, "socket.tar#a.jpg", ITEM_UNREADABLE, NULL);
    shell("mkfifo pool/fifo.tar");
    expect(fetcher, "fifo.tar#a.jpg", ITEM_UNREADABLE, NULL);
    if (mknod(in_folder("pool/node.tar"), S_IFCHR | 0600, makedev(120, 77)) == 0) { /* no driver has it */
        expect(fetcher, "node.tar", ITEM_UNREADABLE, NULL);
        expect(fetcher, "node.tar#a.jpg", ITEM_UNREADABLE, NULL);
    } else {
        print_message("not tried: a device node, which only root may make\n");
    }
    assert_int_equal(fetcher_open(&options, &rootless), STATUS_OK);
    expect(rootless, in_folder("pool/socket.tar"), ITEM_UNREADABLE, NULL);
    expect(rootless, "/dev/null", ITEM_UNREADABLE, NULL);
    fetcher_close(rootless);
    fetcher_close(fetcher);
    shell("rm pool/*.tar");
}

/* Links may lead about in the root, by whatever way, but not out of it. */
static void expect_links_kept_in(void)
{
    struct fetcher *fetcher = open_pool(0);

    expect(fetcher, "links/near.jpg", ITEM_OK, "abc");
    expect(fetcher, "links/absolute.jpg", ITEM_OK, "abc");
    expect(fetcher, "links/folder/b.jpg", ITEM_OK, "in sub");
    expect(fetcher, "links/near.tar#a.jpg", ITEM_OK, "abc");
    expect(fetcher, "links/far.jpg", ITEM_REFUSED, NULL);
    expect(fetcher, "links/far_absolute.jpg", ITEM_REFUSED, NULL);
    expect(fetcher, "links/beside.jpg", ITEM_REFUSED, NULL);
    expect(fetcher, "links/far_folder/secret.jpg", ITEM_REFUSED, NULL);
    expect(fetcher, "links/far.tar#a.jpg", ITEM_REFUSED, NULL);
    expect(fetcher, "links/far.tar#a.jpg", ITEM_REFUSED, NULL); /* no cache forgets it */
    expect(fetcher, "links/loop.jpg", ITEM_UNREADABLE, NULL);
    expect(fetcher, "none.jpg", ITEM_MISSING, NULL);
    fetcher_close(fetcher);
}

/* From now on this process runs on a kernel without openat2. */
static bool forbid_openat2(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 437, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* The last test: what is forbidden stays so. */
static void test_links(void **state)
{
    (void)state;
    shell("mkdir pool/links pool_beside && printf secret > pool_beside/secret.jpg && cd pool/links && "
          "tar -C .. -cf ../in.tar a.jpg && cp ../in.tar ../../pool_beside/out.tar && "
          "ln -s ../a.jpg near.jpg && ln -s \"$PWD/../a.jpg\" absolute.jpg && ln -s ../sub folder && "
          "ln -s ../in.tar near.tar && ln -s ../../pool_beside/secret.jpg far.jpg && "
          "ln -s /proc/self/status far_absolute.jpg && "
          "ln -s \"$(realpath ../..)/pool_beside/secret.jpg\" beside.jpg && "
          "ln -s ../../pool_beside far_folder && ln -s ../../pool_beside/out.tar far.tar && "
          "ln -s loop.jpg loop.jpg");
    expect_links_kept_in();
    if (forbid_openat2())
        expect_links_kept_in();
    else
        print_message("not tried: a kernel without openat2 (no seccomp here)\n");
    shell("rm -r pool_beside pool/links pool/in.tar");
}

struct crowd {
    struct tar_cache *tars;
    const char *root;
    int n_bad;
};

static void *read_many(void *argument)
{
    struct crowd *crowd = argument;
    struct fetch_options options = {.root = crowd->root, .tars = crowd->tars};
    struct fetcher *fetcher = NULL;
    const uint8_t *bytes;
    size_t n;
    struct picture_info info;
    char uri[64];

    if (fetcher_open(&options, &fetcher) != STATUS_OK)
        return crowd;
    for (int i = 0; i < 200; i++) {
        snprintf(uri, sizeof(uri), "%d.tar#a.jpg", i % 5);
        if (fetcher_read(fetcher, uri, &bytes, &n, &info) != STATUS_OK || info.status != ITEM_OK || n != 3)
            __atomic_add_fetch(&crowd->n_bad, 1, __ATOMIC_RELAXED);
    }
    fetcher_close(fetcher);
    return NULL;
}

/* Five tars, a cache for two, four threads: every read is right, and the cache stays bounded. */
static void test_shared_cache(void **state)
{
    struct crowd crowd = {.root = in_folder("pool")};
    pthread_t threads[4];
    size_t n_tars, n_bytes;
    void *failed;

    (void)state;
    shell("for i in 0 1 2 3 4; do tar -C pool -cf pool/$i.tar a.jpg sub; done");
    assert_int_equal(tar_cache_open(2, 1 << 20, &crowd.tars), STATUS_OK);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_many, &crowd), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    assert_int_equal(crowd.n_bad, 0);
    tar_cache_usage(crowd.tars, &n_tars, &n_bytes);
    assert_in_range(n_tars, 1, 2);
    assert_in_range(n_bytes, 1, 1 << 20);
    tar_cache_close(crowd.tars);
    shell("rm pool/*.tar");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_permission),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_without_root),
        cmocka_unit_test(test_no_root_at_open),
        cmocka_unit_test(test_root_goes_away),
        cmocka_unit_test(test_tar_formats),
        cmocka_unit_test(test_tar_faults),
        cmocka_unit_test(test_shared_cache),
        cmocka_unit_test(test_broken_tar_is_remembered),
        cmocka_unit_test(test_sockets_and_devices),
        cmocka_unit_test(test_links),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
