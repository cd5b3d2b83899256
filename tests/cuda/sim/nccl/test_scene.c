#include "tests/cuda/sim/nccl/test_scene.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

const struct sim_options scene_options = {.seed = 1, .n_devices = SCENE_MAX_RANKS, .memory_bytes = 64 * MIB};

static void *play_in_thread(void *argument)
{
    struct actor *actor = argument;

    actor->line = cudaSetDevice(actor->rank) == cudaSuccess ? actor->scene(actor) : __LINE__;
    return NULL;
}

static void check_unlinked(const ncclUniqueId *id)
{
    assert_true(shm_open(id->internal, O_RDWR, 0) < 0);
}

void scene_play_as_threads(int n_ranks, int (*scene)(const struct actor *actor))
{
    struct actor actors[SCENE_MAX_RANKS];
    pthread_t threads[SCENE_MAX_RANKS];
    ncclUniqueId id;

    sim_reset(&scene_options);
    assert_int_equal(ncclGetUniqueId(&id), ncclSuccess);
    for (int rank = 0; rank < n_ranks; rank++) {
        actors[rank] = (struct actor){.rank = rank, .n_ranks = n_ranks, .id = id, .scene = scene};
        assert_int_equal(pthread_create(&threads[rank], NULL, play_in_thread, &actors[rank]), 0);
    }
    for (int rank = 0; rank < n_ranks; rank++)
        pthread_join(threads[rank], NULL);
    for (int rank = 0; rank < n_ranks; rank++)
        assert_int_equal(actors[rank].line, 0);
    assert_int_equal(sim_count_leaks(), 0);
    check_unlinked(&id);
}

/* Exit statuses are bytes, so a file descriptor tells the line. */
void scene_play_as_processes(int n_ranks, int (*scene)(const struct actor *actor))
{
    ncclUniqueId id;
    int lines[2], line, status;

    assert_int_equal(ncclGetUniqueId(&id), ncclSuccess);
    assert_int_equal(pipe(lines), 0);
    for (int rank = 0; rank < n_ranks; rank++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child != 0)
            continue;
        struct actor actor = {.rank = rank, .n_ranks = n_ranks, .id = id, .scene = scene};
        sim_reset(&scene_options);
        play_in_thread(&actor);
        actor.line = actor.line == 0 && sim_count_leaks() != 0 ? __LINE__ : actor.line;
        _exit(write(lines[1], &actor.line, sizeof(actor.line)) != sizeof(actor.line));
    }
    for (int rank = 0; rank < n_ranks; rank++) {
        assert_int_equal(read(lines[0], &line, sizeof(line)), sizeof(line));
        assert_int_equal(line, 0);
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    close(lines[0]);
    close(lines[1]);
    check_unlinked(&id);
}

void scene_play(int n_ranks, int (*scene)(const struct actor *actor))
{
    scene_play_as_threads(n_ranks, scene);
    scene_play_as_processes(n_ranks, scene);
}
