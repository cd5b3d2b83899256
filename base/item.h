/*
 * What became of one manifest row. Every row of the manifest ends in sweep.h5 with one of these; a fault of
 * the place (see status_is_place_errno) is never one of them.
 *
 * The list stands once, here: io/ and kernels/ produce the values, results/schema.h makes the HDF5 enum of
 * it.
 */
#ifndef EYESORE_BASE_ITEM_H
#define EYESORE_BASE_ITEM_H

/*  value, name, scored?, what makes it */
#define ITEM_STATUS_LIST(X)                                                                                  \
    X(0, OK, "ok", true, "decoded whole and scored")                                                         \
    X(1, TRUNCATED, "truncated", true, "the file ends early; the part that is there was scored")             \
    X(2, MISSING, "missing", false, "no such file, or no such member of the tar file")                       \
    X(3, UNREADABLE, "unreadable", false, "permission denied, or not a regular file")                        \
    X(4, REFUSED, "refused", false, "the uri leaves --root, or is of a kind that is not supported")          \
    X(5, TOO_LARGE, "too_large", false, "more bytes than --max-bytes or more pixels than --max-pixels")      \
    X(6, UNSUPPORTED, "unsupported", false, "not a JPEG, PNG, WebP or GIF, or a kind of them not decoded")   \
    X(7, CORRUPT, "corrupt", false, "recognised, but broken before any pixel could be decoded")              \
    X(8, NUMERIC_ERROR, "numeric_error", false, "a score or heat map is not finite")                         \
    X(9, DECODER_CRASHED, "decoder_crashed", false,                                                          \
      "it crashed the decoder, or asked it for too much memory")                                             \
    X(10, DECODER_TIMEOUT, "decoder_timeout", false, "decoding took longer than --decode-timeout")           \
    X(11, SET_ASIDE, "set_aside", false, "its shard failed on --set-aside-after hosts and was given up")

enum item_status {
#define X(value, upper, name, scored, meaning) ITEM_##upper = value,
    ITEM_STATUS_LIST(X)
#undef X
        ITEM_STATUS_COUNT
};

/* "ok", "truncated", ...; "unknown" outside the enum. */
const char *item_status_name(enum item_status status);

/* One line: what makes this status. */
const char *item_status_meaning(enum item_status status);

#endif
