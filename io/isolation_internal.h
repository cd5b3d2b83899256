/*
 * What the two sides of io/isolation.h agree on. Private to io/ and its tests.
 */
#ifndef EYESORE_IO_ISOLATION_INTERNAL_H
#define EYESORE_IO_ISOLATION_INTERNAL_H

#include "io/decode.h"
#include "io/isolation.h"

#include <sys/types.h>

/* What a helper calls for each picture: decoder_decode, or a test's own that misbehaves. */
typedef enum status isolation_decode(struct decoder *decoder, const uint8_t *bytes, size_t n,
                                     const struct picture_options *options, uint8_t *crop,
                                     struct picture_info *info);

/* silence_s: how long a helper may stand still; 0: as isolation.h says. */
enum status isolation_start_with(const struct isolation_options *options, isolation_decode *decode,
                                 double silence_s, struct isolation **out);

/* The beginning of the shared memory. The answer is the helper's: hostile until checked. */
struct shared_head {
    uint64_t n; /* bytes of the file */
    struct picture_options options;
    int32_t answer_status; /* enum status */
    struct picture_info answer;
};

/* Where things are in the shared memory, in bytes. */
struct shared_layout {
    size_t crop_at, file_at, total;
};

struct shared_layout shared_layout_of(const struct isolation_options *options);

/* Everything a helper has to know; the fork server's copy is from before the fork. */
struct isolation_setup {
    struct isolation_options options;
    struct shared_layout layout;
    isolation_decode *decode;
    double silence_s;
};

/* To the fork server, one packet. SPAWN comes with two descriptors: the shared memory, the helper's socket.
 */
enum server_verb { SERVER_SPAWN, SERVER_END };
struct server_request {
    enum server_verb verb;
    pid_t pid; /* END: of the helper; it is killed where it still runs, and reaped */
};

struct server_answer {
    int error;       /* errno, or 0 */
    pid_t pid;       /* SPAWN */
    int wait_status; /* END; as of waitpid */
};

/*
 * On the helper's socket. It begins with a hello that says whether it could shut itself in; from then on a
 * request is a number and its answer the same number.
 */
struct helper_hello {
    int error; /* errno, or 0 */
    int step;  /* enum helper_step: at what */
};

#define HELPER_STEP_LIST(X)                                                                                  \
    X(MEMORY, "map the shared memory")                                                                       \
    X(DESCRIPTORS, "close its descriptors")                                                                  \
    X(DECODER, "open a decoder")                                                                             \
    X(LIMITS, "set its limits")                                                                              \
    X(FILTER, "load its seccomp filter")

enum helper_step {
#define X(upper, text) HELPER_##upper,
    HELPER_STEP_LIST(X)
#undef X
        HELPER_STEP_COUNT
};

/* The descriptor that server and helpers keep beside 0, 1, 2 (which are /dev/null). */
#define ISOLATION_FD 3

/* Close every descriptor from `first` on. */
void isolation_close_from(int first);

/* The bodies of the two processes. */
_Noreturn void fork_server_run(const struct isolation_setup *setup, int fd, pid_t rank);
_Noreturn void decode_helper_run(const struct isolation_setup *setup, int memory_fd, int fd, pid_t server);

/* Of the client's side: see isolation.c. */
const struct isolation_setup *isolation_setup_of(const struct isolation *isolation);
void isolation_count_replaced(struct isolation *isolation);

/* Ask the fork server; one thread at a time, others wait. IN fds: [2] for SPAWN. STATUS_PLACE where it is
 * gone or does not answer, and from then on. answer->error is the caller's to look at. */
enum status isolation_ask(struct isolation *isolation, const struct server_request *request, const int *fds,
                          struct server_answer *answer);

/* For tests. */
pid_t isolation_server_pid(const struct isolation *isolation);
pid_t isolated_decoder_pid(const struct isolated_decoder *decoder);

#endif
