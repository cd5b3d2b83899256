/*
 * For the simulator's tests: a case (test_case.h) given numbers, executed on the device, and computed once
 * more by plain loops.
 */
#ifndef EYESORE_SIM_CUDNN_TEST_CASE_RUN_H
#define EYESORE_SIM_CUDNN_TEST_CASE_RUN_H

#include "tests/cuda/sim/cudnn/test_case.h"

#include <stddef.h>

enum { N_CASE_VALUES = 7 }; /* x, w, y, scale, shift, bias, residual: the place is the unique id - 1 */

struct case_value {
    size_t n; /* elements, with what lies between slices */
    cudnnDataType_t type;
    float *host; /* rounded to the type */
    void *device;
};

struct case_values {
    struct case_value items[N_CASE_VALUES];
    void *workspace;
};

/* Seeded numbers; y, and what lies between slices, is CASE_UNTOUCHED. */
#define CASE_UNTOUCHED 99.0F
void case_values_make(const struct conv_case *conv, unsigned seed, struct case_values *values);
void case_values_free(struct case_values *values);

/* A finalised variant pack of all of them but `without` (a unique id; 0: none). Owned by made. */
cudnnBackendDescriptor_t case_pack(struct case_graph *made, const struct conv_case *conv,
                                   const struct case_values *values, int without, void *workspace);
/* A finalised plan of this engine, owned by made; NULL: made->status says why. */
cudnnBackendDescriptor_t case_plan(struct case_graph *made, cudnnHandle_t handle, int engine);

/* Waits for the device and fetches y into values. */
void case_fetch(struct case_values *values);
/* Everything: graph, plan, execution, y fetched. */
void case_run(const struct conv_case *conv, cudnnHandle_t handle, int engine, struct case_values *values);

/* What y should be by plain loops in double: the largest difference, relative to 1 + |y|; infinite where an
 * element outside the slice was touched. */
double case_difference(const struct conv_case *conv, const struct case_values *values);

#endif
