/*
 * What the CPU engine needs of oneDNN, over the C API of both 2.6 (Debian 12) and 3.x. All that differs
 * between the two is in onednn_v2.c and onednn_v3.c, of which CMake takes one; onednn.c holds what reads the
 * same in both.
 *
 * Everything is made for one picture and one thread: dense tensors in a channel-blocked layout (nChw16c or
 * nChw8c), in which channels [c, c + n) of a buffer are a dense tensor at an offset. Strided memory would
 * fall to reference code hundreds of times slower, so a primitive whose implementation is a reference one is
 * refused.
 */
#ifndef EYESORE_KERNELS_CPU_ONEDNN_H
#define EYESORE_KERNELS_CPU_ONEDNN_H

#include "kernels/cascade.h"
#include "kernels/graph.h"

#include <dnnl.h>

#define ONEDNN_MAX_ARGS 6

/* A convolution or pooling of one picture. */
struct primitive_spec {
    enum op_kind kind; /* OP_CONV, OP_MAX_POOL, OP_AVG_POOL */
    enum precision precision;
    struct shape in, out;
    int kernel, stride, pad, groups;
    bool bias, residual; /* residual: the destination holds it beforehand */
    enum activation activation;
    bool planar_input; /* nchw instead of channel-blocked: the stem reads the picture */
    int block;         /* channels a block: 16 or 8 */
};

/* A primitive with its packed weights, shared by all instances. */
struct primitive {
    dnnl_primitive_t handle;
    dnnl_engine_t engine;
    unsigned char *weights; /* packed; owned */
    float *bias;            /* owned */
    size_t weights_bytes, scratch_bytes;
    char implementation[64];
};

/* A primitive bound to the memory of one instance. */
struct primitive_call {
    dnnl_primitive_t handle;
    dnnl_exec_arg_t args[ONEDNN_MAX_ARGS];
    int n_args;
};

/* Log a failing call with what it was for. STATUS_INTERNAL, STATUS_MEMORY or STATUS_OK. */
enum status onednn_check(dnnl_status_t status, const char *what);

/*
 * Make a primitive. IN weights: f32 [out.c, in.c / groups, kernel, kernel], bias: [out.c] or NULL; both are
 * copied. `name` is for messages. STATUS_INTERNAL where oneDNN has only a reference implementation.
 */
enum status primitive_open(dnnl_engine_t engine, const struct primitive_spec *spec, const char *name,
                           const float *weights, const float *bias, struct primitive *out);
void primitive_close(struct primitive *primitive);

/* Bind to memory: all of it is the caller's, 64-byte aligned. call_close frees what oneDNN keeps. */
enum status call_open(const struct primitive *primitive, const unsigned char *source,
                      unsigned char *destination, unsigned char *scratch, struct primitive_call *out);
void call_close(struct primitive_call *call);
enum status call_execute(const struct primitive_call *call, dnnl_stream_t stream, const char *name);

/* "2.6.3" */
void onednn_format_version(char *text, size_t size);

/* What differs between the versions. */

/* The primitive descriptor of a spec, scratchpad managed by the caller. */
dnnl_status_t onednn_describe(dnnl_engine_t engine, const struct primitive_spec *spec,
                              dnnl_primitive_desc_t *out);

/* What it takes to reorder plain f32 weights into what the described convolution wants. The caller destroys.
 */
struct packing {
    dnnl_memory_t from, to;
    dnnl_primitive_desc_t reorder;
};
dnnl_status_t onednn_describe_packing(dnnl_engine_t engine, const struct primitive_spec *spec,
                                      const_dnnl_primitive_desc_t convolution, const float *weights,
                                      unsigned char *packed, struct packing *out);

/* Shared by both versions: [g,] o, i, h, w of the weights. Returns the number of dimensions. */
int onednn_weight_dims(const struct primitive_spec *spec, dnnl_dims_t dims);
dnnl_data_type_t onednn_data_type(enum precision precision);
dnnl_format_tag_t onednn_activation_tag(int block, bool planar);

#endif
