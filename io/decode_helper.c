/*
 * A decode helper: it shuts itself in, then decodes what comes through the shared memory.
 */
#include "io/isolation_internal.h"

#include "io/sandbox.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Map what is shared, drop everything else. OUT shared. */
static struct helper_hello shut_in(const struct isolation_setup *setup, int memory_fd, int fd,
                                   uint8_t **shared, struct decoder **decoder)
{
    size_t total = setup->layout.total;
    void *memory = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
    int error;

    if (memory == MAP_FAILED)
        return (struct helper_hello){errno, HELPER_MEMORY};
    *shared = memory;
    close(memory_fd);
    if (fd != ISOLATION_FD && dup2(fd, ISOLATION_FD) < 0)
        return (struct helper_hello){errno, HELPER_DESCRIPTORS};
    isolation_close_from(ISOLATION_FD + 1);
    if (decoder_open(decoder) != STATUS_OK)
        return (struct helper_hello){ENOMEM, HELPER_DECODER};
    if ((error = sandbox_limit(setup->options.memory_bytes)) != 0)
        return (struct helper_hello){error, HELPER_LIMITS};
    return (struct helper_hello){sandbox_load_filter(ISOLATION_FD), HELPER_FILTER};
}

static void decode_one(const struct isolation_setup *setup, uint8_t *shared, struct decoder *decoder)
{
    struct shared_head *head = (struct shared_head *)(void *)shared;

    assert(head != NULL); /* mapped by now */
    head->answer_status =
        (int32_t)setup->decode(decoder, shared + setup->layout.file_at, head->n, &head->options,
                               shared + setup->layout.crop_at, &head->answer);
}

static ssize_t receive(uint32_t *number)
{
    ssize_t n;

    do
        n = recv(ISOLATION_FD, number, sizeof(*number), 0); /* read(2) may be another's under LD_PRELOAD */
    while (n < 0 && errno == EINTR);
    return n;
}

_Noreturn void decode_helper_run(const struct isolation_setup *setup, int memory_fd, int fd, pid_t server)
{
    uint8_t *shared = NULL;
    struct decoder *decoder = NULL;
    uint32_t number;

    prctl(PR_SET_NAME, "eyesore-decode");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != server)
        _exit(0);
    struct helper_hello hello = shut_in(setup, memory_fd, fd, &shared, &decoder);
    if (send(hello.error != 0 && hello.step < HELPER_DECODER ? fd : ISOLATION_FD, &hello, sizeof(hello),
             MSG_NOSIGNAL) < 0 ||
        hello.error != 0)
        _exit(1);
    while (receive(&number) == (ssize_t)sizeof(number)) {
        decode_one(setup, shared, decoder);
        if (send(ISOLATION_FD, &number, sizeof(number), MSG_NOSIGNAL) < 0)
            break;
    }
    _exit(0);
}
