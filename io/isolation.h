/*
 * Decoding in helper processes: the part of the program that reads strangers' bytes, kept where it can do
 * nothing but compute.
 *
 *     rank --fork--> fork server --fork--> helper, helper, ...        one helper for each isolated_decoder
 *
 * The fork server is forked before MPI, CUDA and the first thread, so that what it forks (replacements too)
 * is a small process with none of their state. A helper has one socket, the memory that it shares with its
 * isolated_decoder, and a seccomp filter that kills it at any call but those that get memory, read and write
 * that socket, and exit (io/sandbox.h): no file, no network, no other process.
 *
 *     shared memory: | request, answer | crop, uint8 [side, side, 3] | file, uint8 [max_bytes] |
 *
 * What a helper answers is not trusted: but for pixels it is copied once and checked, and the content hash is
 * computed by the caller. What became of a helper decides what becomes of the picture:
 *
 *     it crashed, left its memory bound, answered nonsense    the picture again in a fresh helper; when that
 *                                                             ends so too, ITEM_DECODER_CRASHED
 *     its processor time for the picture ran out              ITEM_DECODER_TIMEOUT
 *     somebody killed it (SIGKILL: an OOM killer, a person)   the picture again, up to three times; then
 *                                                             STATUS_PLACE, for that is no fault of a picture
 *     it used no processor time at all for ten times the      once again; then STATUS_PLACE: a loaded host
 *     limit, at least two minutes, and gave no answer         never makes a row fail
 *
 * Server and helpers ignore the signals that a terminal or a launcher sends to the whole process group, and
 * end with the rank, however it ends (their socket's end of file, and PR_SET_PDEATHSIG).
 */
#ifndef EYESORE_IO_ISOLATION_H
#define EYESORE_IO_ISOLATION_H

#include "io/picture.h"

struct isolation_options {
    uint64_t max_bytes;     /* of a file; above 0. Address space only: pages are taken as files need them */
    int crop_side;          /* the largest picture_options.size to come; 1..PICTURE_SIDE_LIMIT */
    uint64_t memory_bytes;  /* that a helper may map beyond what it starts with; 0: isolation_memory_bytes */
    unsigned cpu_timeout_s; /* processor time of one picture; above 0 */
    uint64_t max_pixels;    /* the largest picture_options.max_pixels to come */
};

/*
 * What decoding needs at most: the larger of 10 bytes a pixel (a WebP holds 8, see decode.h, and grows its
 * buffers) and the 400 MiB of a progressive JPEG, and 256 MiB for the rest.
 */
uint64_t isolation_memory_bytes(uint64_t max_pixels);

/* The fork server; one in a process. */
struct isolation;

/*
 * Before MPI_Init, CUDA, any thread and any signal handler. STATUS_PLACE where the system has no more
 * processes, descriptors or memory to give. OUT: isolation_stop.
 */
enum status isolation_start(const struct isolation_options *options, struct isolation **out);

/* All isolated_decoders are closed. NULL is fine. */
void isolation_stop(struct isolation *isolation);

/* How many helpers had to be replaced so far; for the log. NULL: none. Any thread. */
uint64_t isolation_replaced(const struct isolation *isolation);

struct isolated_decoder;

/*
 * Start a helper. One for each thread; any thread. STATUS_PLACE where it cannot be started or cannot shut
 * itself in (a kernel without seccomp): --decode-isolation off does without.
 */
enum status isolated_decoder_open(struct isolation *isolation, struct isolated_decoder **out);

void isolated_decoder_close(struct isolated_decoder *decoder);

/*
 * Where the helper writes the crop: given as `crop` to isolated_decoder_decode it saves a copy, most of what
 * isolation costs. Good for one copying from it, before the next picture: the helper may write there at any
 * time, and any bytes are pixels.
 */
uint8_t *isolated_decoder_crop(const struct isolated_decoder *decoder);

/*
 * decoder_decode of io/decode.h in the helper: the same crop and info for the same arguments, to the bit.
 * Beside its faults: info->status ITEM_DECODER_CRASHED or ITEM_DECODER_TIMEOUT; STATUS_PLACE as above, and
 * where the fork server is gone; STATUS_INPUT where n, size or max_pixels exceed what isolation_start was
 * given. After any of them the next picture can be decoded, unless the fork server is gone.
 */
enum status isolated_decoder_decode(struct isolated_decoder *decoder, const uint8_t *bytes, size_t n,
                                    const struct picture_options *options, uint8_t *crop,
                                    struct picture_info *info);

#endif
