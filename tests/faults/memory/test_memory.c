/*
 * Each allocation of the start-up, decode and part paths fails in turn, once alone and once with all behind
 * it. Each time the work must end with an error that is said, or give what it gives undisturbed; nothing may
 * be left allocated.
 *
 *     test_memory [SCENE...]     ; STRIDE=k: every k-th allocation only
 *     AT=n test_memory SCENE     replays one, with what it says
 */
#include "memory_fault.h"
#include "scene.h"

#include <dlfcn.h>
#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define POINTS_MOST 200000 /* more than any scene has */

static int said_fd = -1; /* what the work says on stderr, the last time */

static void forget_said(void)
{
    fflush(stderr);
    if (ftruncate(said_fd, 0) != 0 || lseek(said_fd, 0, SEEK_SET) != 0)
        scene_fail("the memory for what is said");
}

static size_t said_bytes(void)
{
    struct stat st;

    fflush(stderr);
    return fstat(said_fd, &st) == 0 ? (size_t)st.st_size : 0;
}

static void print_said(void)
{
    char text[2048];
    ssize_t n = pread(said_fd, text, sizeof(text) - 1, 0);

    text[n < 0 ? 0 : n] = '\0';
    printf("%s", text);
}

static void print_address(const char *what, const void *address)
{
    Dl_info info;

    if (address == NULL || dladdr(address, &info) == 0)
        return;
    printf("    %s: %s+0x%tx %s\n", what, info.dli_fname,
           (const char *)address - (const char *)info.dli_fbase,
           info.dli_sname == NULL ? "" : info.dli_sname);
}

struct attempt {
    enum status rc;
    struct outcome outcome;
    struct memory_account account;
};

static struct attempt try_once(const struct scene *scene, const char *folder, long at, bool lasting)
{
    struct attempt a = {0};
    struct memory_fault fault = {at, lasting, scene->own_only};

    forget_said();
    memory_fault_begin(&fault);
    a.rc = scene->run(folder, &a.outcome);
    a.account = memory_fault_end();
    return a;
}

static bool complain(const struct scene *scene, const struct attempt *a, long at, bool lasting,
                     const char *what)
{
    printf("FAILED: %s, allocation %ld%s: %s (replay: AT=%ld test_memory %s)\n", scene->name, at,
           lasting ? " and all behind it" : "", what, at, scene->name);
    print_address("the allocation that failed was called from", a->account.failed_caller);
    if (a->account.n_left > 0)
        print_address("what is left was allocated from", a->account.left_from);
    print_said();
    return false;
}

/* One point. OUT failed: an allocation did fail; else the work has no more of them. */
static bool check_point(const struct scene *scene, const char *folder, const struct attempt *whole, long at,
                        bool lasting, bool *failed)
{
    struct attempt a = try_once(scene, folder, at, lasting);

    *failed = a.account.failed;
    if (getenv("AT") != NULL) {
        printf("%s, allocation %ld%s: %s\n", scene->name, at, lasting ? " and all behind it" : "",
               status_name(a.rc));
        print_address("called from", a.account.failed_caller);
        print_said();
    }
    if (a.rc == STATUS_OK && a.outcome.hash != whole->outcome.hash)
        return complain(scene, &a, at, lasting, "it went on as if nothing were, with another outcome");
    if (a.rc != STATUS_OK && a.rc != STATUS_MEMORY && a.rc != STATUS_PLACE)
        return complain(scene, &a, at, lasting, status_name(a.rc));
    if (a.rc != STATUS_OK && said_bytes() == 0)
        return complain(scene, &a, at, lasting, "an error and no word of it");
    if (a.account.n_left > whole->account.n_left) {
        /* A library may keep what it makes once, and have made it only now. */
        struct attempt again = try_once(scene, folder, at, lasting);
        if (again.account.n_left > whole->account.n_left)
            return complain(scene, &again, at, lasting, "memory is left behind");
    }
    return true;
}

static long number_of(const char *name, long fallback)
{
    const char *text = getenv(name);
    return text == NULL ? fallback : strtol(text, NULL, 10);
}

/* Nothing fails: what comes out, how many allocations there are, and what is left. Ends the test on an error.
 */
static struct attempt run_whole(const struct scene *scene, const char *folder)
{
    struct attempt first = try_once(scene, folder, 0, false), second = try_once(scene, folder, 0, false);

    if (second.rc != STATUS_OK || first.outcome.hash != second.outcome.hash) {
        print_said();
        scene_fail(scene->name);
    }
    if (second.account.n_left > 0 && !scene->own_only &&
        try_once(scene, folder, 0, false).account.n_left > 0) {
        printf("undisturbed, %s leaves %ld blocks\n", scene->name, second.account.n_left);
        print_address("allocated from", second.account.left_from);
    }
    return second;
}

static bool check_scene(const struct scene *scene, const char *folder)
{
    const long stride = number_of("STRIDE", 1), only = number_of("AT", 0);
    long n_failed = 0, n_points = 0;
    bool fine = true;

    scene->prepare(folder);
    struct attempt whole = run_whole(scene, folder);
    if (whole.account.n_left > 0)
        return complain(scene, &whole, 0, false, "undisturbed, memory is left behind");
    for (int lasting = 0; lasting < 2; lasting++) {
        bool failed = true;
        for (long at = only > 0 ? only : 1; failed && at < POINTS_MOST; at += stride) {
            if (!check_point(scene, folder, &whole, at, lasting == 1, &failed) && ++n_failed == 5)
                return false;
            fine = fine && n_failed == 0;
            n_points += failed ? 1 : 0;
            if (only > 0)
                break;
        }
    }
    printf("%s: %ld allocations, %ld points: %s\n", scene->name, whole.account.n_calls, n_points,
           fine ? "an error that is said, or the same outcome; nothing left" : "FAILED");
    return fine && n_points > 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st;
    (void)type;
    (void)where;
    return remove(path);
}

static bool is_wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return argc == 1;
}

/* What is looked at is this process: the one that meets a stranger's file first does the same calls,
 * unharmed. */
static void let_child_be(void)
{
    (void)memory_fault_end();
}

int main(int argc, char **argv)
{
    const struct scene *const lists[] = {scenes_of_io, scenes_of_inputs, scenes_of_results};
    char folder[] = "/tmp/eyesore-memory-XXXXXX";
    int n_scenes = 0, n_failed = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    pthread_atfork(NULL, NULL, let_child_be);
    said_fd = memfd_create("said", MFD_CLOEXEC);
    if (mkdtemp(folder) == NULL || said_fd < 0 || dup2(said_fd, STDERR_FILENO) < 0)
        scene_fail(strerror(errno));
    for (size_t list = 0; list < sizeof(lists) / sizeof(lists[0]); list++)
        for (const struct scene *scene = lists[list]; scene->name != NULL; scene++)
            if (is_wanted(scene->name, argc, argv)) {
                n_scenes++;
                n_failed += check_scene(scene, folder) ? 0 : 1;
            }
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    printf("%d scenes, %d failed; libraries' allocations %s\n", n_scenes, n_failed,
           memory_fault_sees_libraries() ? "fail as well" : "do not fail");
    return n_scenes > 0 && n_failed == 0 ? 0 : 1;
}
