/*
 * A network as a list of ops: engine-neutral, in the order of execution, each op making one value.
 *
 * The network files (densenet161.c, resnet50.c, mobilenet_v2.c) write the list plainly, as in the papers:
 * conv, batch_norm, relu, concat, ... That list is what training will differentiate. lower.h turns it into a
 * second list of the same kind for inference: folded, fused, with a place in memory for every value. The
 * parameters of an op are tensors of the weights (plain list) or of the graph itself (lowered list).
 */
#ifndef EYESORE_KERNELS_GRAPH_H
#define EYESORE_KERNELS_GRAPH_H

#include "base/status.h"
#include "kernels/weights.h"

#define OP_MAX_PARAMS 9
#define GRAPH_NONE (-1)

enum op_kind {
    OP_INPUT,      /* the picture: [3, size, size], normalised by the stage's mean and std */
    OP_CONV,       /* square kernel, zero padding, groups 1 or channels (depthwise) */
    OP_BATCH_NORM, /* plain lists only: per channel, eps 1e-5 */
    OP_RELU,       /* plain lists only */
    OP_RELU6,      /* plain lists only */
    OP_MAX_POOL,   /* square window; padding never wins */
    OP_AVG_POOL,   /* square window, no padding */
    OP_ADD,        /* plain lists only: input[0] + input[1] */
    OP_CONCAT,     /* input[0] followed by input[1], along channels; lowered: a view, nothing to execute */
    OP_CBAM,       /* channel, then spatial attention (Woo et al. 2018, arXiv:1807.06521) */
    OP_SCALE,      /* lowered lists only: scale * x + shift per channel, then the activation */
    OP_HEAD,       /* global average pool + linear: [n_classes, 1, 1]; its input is Grad-CAM's feature map */
};

enum activation { ACTIVATION_NONE, ACTIVATION_RELU, ACTIVATION_RELU6 };

/* Which parameter stands where in op.param, by kind. [k, c, ...]: outputs first, as PyTorch has them. */
enum { CONV_WEIGHT, CONV_BIAS /* [k], or NULL */ };
enum { BN_WEIGHT, BN_BIAS, BN_MEAN, BN_VAR };
enum { SCALE_SCALE, SCALE_SHIFT };
enum { HEAD_WEIGHT, HEAD_BIAS };
enum {
    CBAM_FC1_WEIGHT, /* [r, c] */
    CBAM_FC1_BIAS,   /* [r], or NULL */
    CBAM_FC2_WEIGHT, /* [c, r] */
    CBAM_FC2_BIAS,   /* [c], or NULL */
    CBAM_CONV,       /* [1, 2, k, k]; lowered: pooled channels in the order mean, max */
    CBAM_BN_WEIGHT,  /* [1], or NULL: no batch norm; lowered: the bias of the convolution */
    CBAM_BN_BIAS,
    CBAM_BN_MEAN,
    CBAM_BN_VAR,
};
#define CBAM_CONV_BIAS CBAM_BN_WEIGHT

struct shape {
    int c, h, w; /* of one picture */
};

struct op {
    enum op_kind kind;
    char name[TENSOR_NAME_SIZE]; /* as the weights spell it: "layer1.0.conv1" */
    int input[2];       /* ops whose values are read, or GRAPH_NONE; lowered: input[1] is a residual */
    struct shape shape; /* of the value made */
    struct tensor *param[OP_MAX_PARAMS];
    int kernel, stride, pad, groups;
    bool cbam_max_first;        /* plain lists: order of the pooled channels is max, mean */
    enum activation activation; /* lowered lists: after the residual was added */
    /* Lowered lists: where the value lives. */
    int buffer;
    int first_channel; /* channels [first_channel, first_channel + shape.c) of the buffer */
};

/* Memory for one or several values: a dense block's layers are slices of one buffer. */
struct buffer {
    struct shape shape;
    int first_op, last_op;     /* alive from the op that writes it first to the one that reads it last */
    size_t offset, n_elements; /* in the arena, in elements of the engine's type, for one picture */
};

struct graph {
    char arch[32];
    char attention[16]; /* "none", "jongchan", "timm", "luuuyi" */
    struct op *ops;
    int n_ops, capacity;
    int n_classes;
    /* Lowered lists only. */
    struct buffer *buffers;
    int n_buffers;
    size_t arena_elements;
    struct tensor **own; /* folded parameters */
    int n_own, own_capacity;
};

void graph_free(struct graph *graph);

/*
 * Builders: each appends one op and returns its index through `value`. Shapes are computed; the caller binds
 * parameters. STATUS_INPUT where shapes do not fit (an input too small for the network).
 */
enum status graph_append(struct graph *graph, const struct op *op, int *value);
enum status graph_input(struct graph *graph, int size, int *value);

/* Binds NAME.weight [k, c / groups, kernel, kernel]; published networks have no bias in their convolutions.
 */
enum status graph_conv(struct graph *graph, struct weights *weights, const char *name, int *value, int k,
                       int kernel, int stride, int pad, int groups);
/* Binds NAME.{weight,bias,running_mean,running_var} [c]. */
enum status graph_batch_norm(struct graph *graph, struct weights *weights, const char *name, int *value);
enum status graph_activation(struct graph *graph, enum op_kind kind, int *value);
enum status graph_pool(struct graph *graph, enum op_kind kind, const char *name, int *value, int kernel,
                       int stride, int pad);
enum status graph_join(struct graph *graph, enum op_kind kind, const char *name, int first, int second,
                       int *value);
/* Binds NAME.{weight [n_classes, c], bias [n_classes]}. */
enum status graph_head(struct graph *graph, struct weights *weights, const char *name, int n_classes,
                       int *value);

/* Multiply-adds of the convolutions and the head for one picture. */
uint64_t graph_count_macs(const struct graph *graph);

/* How many ops read the value of each op. OUT n_uses: [n_ops]. */
void graph_count_uses(const struct graph *graph, int *n_uses);

#endif
