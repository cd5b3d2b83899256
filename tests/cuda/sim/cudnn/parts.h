/*
 * What the simulated cuDNN's descriptors mean once they are finalised, and who does what with them. A test
 * instrument: only what the engine's convolution graphs need, and of everything else a clear refusal.
 *
 *   handle.c      handles, versions, messages
 *   descriptor.c  descriptors as the caller sees them: attributes set and got
 *   finalize.c    attributes -> parts, with the checks that the real library makes
 *   graph.c       operations -> a graph in order; which graphs have engines
 *   engine.c      heuristics: which engines a graph has, and what they say of themselves
 *   plan.c        plans as JSON and back
 *   execute.c     a plan and a variant pack -> work on the handle's stream
 *   compute.c     that work
 */
#ifndef EYESORE_SIM_CUDNN_PARTS_H
#define EYESORE_SIM_CUDNN_PARTS_H

#include <cudnn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MAX_OPERATIONS = 16,
    MAX_TENSORS = 3 * MAX_OPERATIONS,
    MAX_PACK = 64,
    MAX_CANDIDATES = 8,
    DEVICE_NAME_SIZE = 256,
};

struct cudnnContext {
    cudaStream_t stream;
    char device[DEVICE_NAME_SIZE];
};

/* Dimensions and strides are in the order n, c, h, w (filters: k, c, r, s). */
struct dnn_tensor {
    int64_t uid, dims[4], strides[4], alignment;
    cudnnDataType_t type;
    bool is_virtual;
};

struct convolution {
    cudnnDataType_t compute;
    int64_t before[2], after[2], stride[2], dilation[2];
};

struct pointwise {
    cudnnPointwiseMode_t mode;
    cudnnDataType_t compute;
    double lower, upper, slope; /* of RELU_FWD; upper may be infinite */
};

/* An operation on tensors, by descriptor; in a graph the indices say which of its tensors they are. */
struct operation {
    bool is_convolution, has_b; /* b is the filter of a convolution */
    struct convolution convolution;
    struct pointwise pointwise;
    double alpha1, alpha2; /* of x and b; a convolution's alpha and beta */
    struct dnn_tensor x, b, y;
    int x_index, b_index, y_index;
};

/* In an order in which each operation comes behind those that make what it reads. */
struct dnn_graph {
    int n_operations, n_tensors;
    struct operation operations[MAX_OPERATIONS];
    struct dnn_tensor tensors[MAX_TENSORS];
    bool has_device;
    char device[DEVICE_NAME_SIZE];
    uint64_t hash;
};

struct pack {
    int n;
    int64_t uids[MAX_PACK];
    void *pointers[MAX_PACK];
    void *workspace;
};

struct knob {
    cudnnBackendKnobType_t type;
    int64_t value;
};

/* What a finalised descriptor stands for: never changes, shared by reference. */
struct part {
    atomic_int references;
    cudnnBackendDescriptorType_t kind;
    struct part *graph; /* of heuristics, engine, configuration and plan: a reference */
    int engine;         /* of engine, configuration and plan */
    union {
        struct dnn_tensor tensor;
        struct convolution convolution;
        struct pointwise pointwise;
        struct operation operation;
        struct dnn_graph graph;
        cudnnBackendHeurMode_t mode;
        struct pack pack;
        struct knob knob;
        struct {
            char *json;
            char device[DEVICE_NAME_SIZE];
        } plan;
        char device[DEVICE_NAME_SIZE];
    } as;
};

/* An attribute as it was set. Descriptors: `parts` holds references, NULL for one that was not finalised. */
struct attribute {
    cudnnBackendAttributeName_t name;
    cudnnBackendAttributeType_t type;
    int64_t count;
    void *values;
    struct part **parts;
};

struct descriptor {
    cudnnBackendDescriptorType_t kind;
    int n_attributes;
    struct attribute attributes[16];
    struct part *part; /* NULL: not finalised */
};

/* ---- handle.c */

/* Keeps a message for cudnnGetLastErrorString of this thread; returns status. */
cudnnStatus_t dnnsim_fail(cudnnStatus_t status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- descriptor.c */

/* NULL where it was not set. */
const struct attribute *dnnsim_descriptor_find(const struct descriptor *descriptor,
                                               cudnnBackendAttributeName_t name);
struct part *dnnsim_part_make(cudnnBackendDescriptorType_t kind); /* zeroed, one reference; NULL: no memory */
struct part *dnnsim_part_keep(struct part *part);                 /* one reference more; NULL passes */
void dnnsim_part_drop(struct part *part);

/* ---- finalize.c: OUT descriptor->part, on success only. */
cudnnStatus_t dnnsim_finalize(struct descriptor *descriptor);
/* Does the operation fit its tensors, as far as the real library looks? */
cudnnStatus_t dnnsim_operation_check(const struct operation *operation);
int dnnsim_type_size(cudnnDataType_t type); /* 0: one that is not simulated */

/* ---- graph.c */

/* IN graph->operations as given. OUT: sorted, tensors gathered, hash. */
cudnnStatus_t dnnsim_graph_sort(struct dnn_graph *graph);
/* Has it engines at all? The real library answers an empty list, not an error; `reason` is for messages. */
bool dnnsim_graph_supported(const struct dnn_graph *graph, const char **reason);
/* Can what the engines generate for it be compiled? */
bool dnnsim_graph_compiles(const struct dnn_graph *graph);
bool dnnsim_graph_is_depthwise(const struct dnn_graph *graph);

/* ---- engine.c */
enum engine {
    ENGINE_PLAIN = 0,   /* no tensor cores; takes everything */
    ENGINE_FIRST = 7,   /* these three are good, and differ in speed, workspace and order of summation */
    ENGINE_SECOND = 13, /* ... */
    ENGINE_THIRD = 21,  /* ... */
    ENGINE_ATOMIC = 30, /* fastest, but sums in another order each time */
    ENGINE_BROKEN = 44, /* always offered, but its plans cannot be made */
};
int dnnsim_engine_list(const struct dnn_graph *graph, cudnnBackendHeurMode_t mode,
                       int *engines); /* [MAX_CANDIDATES] */
bool dnnsim_engine_fits(const struct dnn_graph *graph, int engine);
bool dnnsim_engine_has_tensor_cores(const struct dnn_graph *graph, int engine);
int64_t dnnsim_engine_workspace(const struct dnn_graph *graph, int engine); /* bytes */
double dnnsim_engine_cost_ns(const struct dnn_graph *graph, int engine);    /* beside what any work takes */
/* A computed attribute of heuristics, engine, configuration, knob or plan. */
cudnnStatus_t dnnsim_engine_get(const struct part *part, cudnnBackendAttributeName_t name, int64_t wanted,
                                int64_t *count, void *values);

/* ---- plan.c */
cudnnStatus_t dnnsim_plan_make(struct part *graph, int engine, const char *device, struct part **plan);
/* From the text of a plan that was got; refuses anything else, and plans of other versions and devices. */
cudnnStatus_t dnnsim_plan_parse(const char *text, size_t length, const char *device, struct part **plan);
uint64_t dnnsim_plan_hash(const struct dnn_graph *graph);

/* ---- compute.c */
struct work {
    struct part *graph; /* a reference */
    int engine;
    void *pointers[MAX_TENSORS]; /* of the graph's tensors; NULL: virtual */
    unsigned char *workspace;
    int64_t workspace_bytes;
};
void dnnsim_compute_run(void *work); /* struct work */

#endif
