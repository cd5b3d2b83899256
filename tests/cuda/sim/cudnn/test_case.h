/*
 * For the simulator's tests: a fused convolution as the engine asks cuDNN for it, as one struct, with fields
 * to make it wrong in one place. Talks to cuDNN through its real header only, so that the same cases can be
 * given to the real library and the answers compared.
 */
#ifndef EYESORE_SIM_CUDNN_TEST_CASE_H
#define EYESORE_SIM_CUDNN_TEST_CASE_H

#include <cudnn.h>
#include <stdbool.h>

enum case_uid { UID_X = 1, UID_W, UID_Y, UID_SCALE, UID_SHIFT, UID_BIAS, UID_RESIDUAL, UID_VIRTUAL = 100 };

/* Zero means "as it should be" wherever a field overrides something. */
struct conv_case {
    int n, c, h, w, k, window, stride, pad, groups;
    int x_pitch, y_pitch, residual_pitch; /* channels from a place to the next; 0: as many as there are */
    cudnnDataType_t type;
    bool prologue, bias, residual, relu;
    double upper_clip; /* 0: none */
    int alignment;     /* of x, w, y and the residual, bytes; 0: 16 */

    /* Things to get wrong. */
    int y_h, y_w, bias_size, residual_h, residual_c, filter_c;
    cudnnDataType_t w_type, compute_type, virtual_type, pointwise_type; /* 0 is CUDNN_DATA_FLOAT */
    bool other_w_type, other_compute_type, other_pointwise_type;        /* the fields above count */
    bool nchw, overlapping, two_convolutions, no_mode, no_x, no_uid, no_strides, unfinalised_x,
        unmade_virtual;
    bool duplicate_uid;
};

struct case_graph {
    cudnnBackendDescriptor_t made[64]; /* all of them, to be destroyed */
    int n_made;
    cudnnBackendDescriptor_t operations[16], graph;
    int n_operations;
    cudnnStatus_t status; /* the first that was not success, */
    const char *where;    /* and what was being made then */
};

int case_out_h(const struct conv_case *conv);
int case_out_w(const struct conv_case *conv);

/* OUT made: case_free, whatever its status. handle may be NULL. */
void case_make(const struct conv_case *conv, cudnnHandle_t handle, struct case_graph *made);
void case_free(struct case_graph *made);

/* A descriptor of `made`, which destroys it. NULL once something failed. */
cudnnBackendDescriptor_t case_descriptor(struct case_graph *made, cudnnBackendDescriptorType_t type);
void case_set(struct case_graph *made, cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
              cudnnBackendAttributeType_t type, int64_t count, const void *values);
void case_finalize(struct case_graph *made, cudnnBackendDescriptor_t descriptor, const char *where);

/* Engine configurations of a heuristic mode. OUT configs: up to `most`, owned by made. Returns how many. */
int case_configs(struct case_graph *made, cudnnBackendHeurMode_t mode, cudnnBackendDescriptor_t device,
                 cudnnBackendDescriptor_t *configs, int most);

#endif
