/*
 * A convolution of the CUDA engine, described so that nothing is left to believe: cuDNN accepts some graphs
 * that are wrong without a word (a bias or residual of another size, a filter with half the channels), so
 * shapes are checked here, before it sees them. Two convolutions with the same description share a plan.
 */
#ifndef EYESORE_KERNELS_CUDA_CONV_SPEC_H
#define EYESORE_KERNELS_CUDA_CONV_SPEC_H

#include "kernels/cuda/launch.h"
#include "kernels/cuda/steps.h"

#define CONV_KEY_SIZE 192

/* y = act(conv(prologue(x)) + bias [+ residual]); stride and padding the same on all sides. */
struct conv_spec {
    int n, c, h, w; /* of x */
    int k, out_h, out_w;
    int in_pitch, out_pitch, residual_pitch; /* elements from a place to the next; residual_pitch 0: none */
    int kernel, stride, pad;
    enum element element; /* of x, w, y and the residual; an fp8 or int8 engine would add their scales here */
    bool has_prologue;    /* scale and shift per channel of x, float32 */
    enum kernel_activation prologue_activation, activation;
    bool has_bias; /* float32 [k] */
};

/*
 * Describe and check step `index` for batches of n. STATUS_INTERNAL naming op and sizes where a weight, bias,
 * prologue, residual or slice does not fit the others.
 */
enum status conv_spec_make(const struct device_steps *steps, int index, int n, enum element element,
                           struct conv_spec *out);

/* The same description as text, fit for a file name: "f16-n64-c96-56x56-k192-1x1s1p0-..." */
void conv_spec_key(const struct conv_spec *spec, char key[CONV_KEY_SIZE]);

#endif
