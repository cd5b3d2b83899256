/*
 * Weights: a safetensors file, mapped and checked, or a set of tensors declared in memory (weights init).
 *
 * Format (huggingface/safetensors, README "Format"): 8 bytes little-endian header size, a JSON object
 * {"name": {"dtype": "F32", "shape": [..], "data_offsets": [begin, end]}, ..., "__metadata__": {"k": "v"}},
 * then the data; offsets count from the end of the header. Every offset, shape and size is checked against
 * the file before a byte is used: the file may come from a stranger.
 *
 * A network asks for its tensors by name and exact shape (weights_take); whatever nobody asked for is an
 * error in the end (weights_check_all_taken), so that a wrong file cannot pass for a right one.
 */
#ifndef EYESORE_KERNELS_WEIGHTS_H
#define EYESORE_KERNELS_WEIGHTS_H

#include "base/status.h"

#include <stddef.h>

#define TENSOR_MAX_DIMS 4
#define TENSOR_NAME_SIZE 128

enum dtype { DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_I64 };

struct tensor {
    char name[TENSOR_NAME_SIZE];
    enum dtype dtype;
    int n_dims;
    int64_t dim[TENSOR_MAX_DIMS]; /* outermost first, as PyTorch prints them */
    int64_t n_elements;
    const unsigned char *data; /* in the map, or owned by the weights; may be unaligned */
    float *own;                /* the same memory where it is owned: f32, writable; else NULL */
    bool taken;
};

struct weights {
    char path[512];
    struct tensor **tensors; /* in the order of their names (a file), or of their declaration */
    int n_tensors, capacity;
    bool declaring; /* weights_take makes what is not there, instead of failing */
    bool trained;   /* false where the file says of itself that its values are made up */
    unsigned char *map;
    size_t map_bytes;
};

/*
 * Map and check a file. STATUS_INPUT with a message naming file, tensor and field where it is not a sound
 * safetensors file of at most 4 dimensions of f32, f16, bf16 or i64. OUT: weights_close frees.
 */
enum status weights_open(const char *path, struct weights **out);

/*
 * The same of a file's content in memory. IN map: [n_bytes], from mmap; owned by the weights from now on,
 * also on failure. path: for messages.
 */
enum status weights_open_map(const char *path, unsigned char *map, size_t n_bytes, struct weights **out);

/* An empty set in which weights_take declares zero-filled f32 tensors. */
enum status weights_declare(struct weights **out);

void weights_close(struct weights *weights);

const struct tensor *weights_find(const struct weights *weights, const char *name);

/*
 * The tensor of this name and shape, marked as taken. A [k, c, 1, 1] tensor satisfies [k, c] and the other
 * way round (1x1 convolutions and linear layers are published either way). OUT out: owned by `weights`.
 * STATUS_INPUT where it is missing, is not floating point, or has another shape; the message says both.
 */
enum status weights_take(struct weights *weights, const char *name, const int64_t *dims, int n_dims,
                         struct tensor **out);

/* STATUS_INPUT naming the first tensor nobody took, with a guess at the cause. num_batches_tracked is
 * ignored. */
enum status weights_check_all_taken(const struct weights *weights, const char *arch);

/* Write all tensors as f32 to a file that appears whole or not at all. `note` goes into __metadata__. */
enum status weights_write(const struct weights *weights, const char *path, const char *note);

/* Convert to f32. OUT values: [n_elements]. */
void tensor_to_f32(const struct tensor *tensor, float *values);

/* A tensor of its own, zero-filled f32. tensor_free frees. NULL without memory. */
struct tensor *tensor_new(const char *name, const int64_t *dims, int n_dims);
void tensor_free(struct tensor *tensor);

/* "[96, 3, 7, 7]" */
void tensor_format_shape(const int64_t *dims, int n_dims, char *text, size_t size);

#endif
