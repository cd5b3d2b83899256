/* Simulated cuDNN (a test instrument): a plan and a variant pack become work on the handle's stream. */
#include "tests/cuda/sim/cudnn/parts.h"
#include "tests/cuda/sim/sim.h"

#include <stdlib.h>
#include <string.h>

enum { WORKSPACE_ALIGNMENT = 16 };

static void *pack_find(const struct pack *pack, int64_t uid, bool *found)
{
    *found = false;
    for (int i = 0; i < pack->n; i++) {
        if (pack->uids[i] == uid) {
            *found = true;
            return pack->pointers[i];
        }
    }
    return NULL;
}

static cudnnStatus_t take_pointers(const struct dnn_graph *graph, const struct pack *pack, struct work *work)
{
    for (int i = 0; i < graph->n_tensors; i++) {
        const struct dnn_tensor *tensor = &graph->tensors[i];
        bool found;
        if (tensor->is_virtual)
            continue;
        void *pointer = pack_find(pack, tensor->uid, &found);
        if (!found)
            return dnnsim_fail(CUDNN_STATUS_BAD_PARAM, "execute: the variant pack lacks tensor %lld",
                               (long long)tensor->uid);
        if (pointer == NULL)
            return dnnsim_fail(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "execute: tensor %lld is at NULL",
                               (long long)tensor->uid);
        if ((uintptr_t)pointer % (uintptr_t)tensor->alignment != 0)
            return dnnsim_fail(CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER,
                               "execute: tensor %lld is declared %lld-byte aligned, and is not",
                               (long long)tensor->uid, (long long)tensor->alignment);
        work->pointers[i] = pointer;
    }
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t take_workspace(const struct part *plan, const struct pack *pack, struct work *work)
{
    work->workspace_bytes = dnnsim_engine_workspace(&plan->graph->as.graph, plan->engine);
    work->workspace = pack->workspace;
    if (work->workspace_bytes == 0)
        return CUDNN_STATUS_SUCCESS;
    if (work->workspace == NULL)
        return dnnsim_fail(CUDNN_STATUS_BAD_PARAM_NULL_POINTER,
                           "execute: the plan wants a workspace of %lld bytes",
                           (long long)work->workspace_bytes);
    if ((uintptr_t)work->workspace % WORKSPACE_ALIGNMENT != 0)
        return dnnsim_fail(CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER,
                           "execute: the workspace is not aligned");
    return CUDNN_STATUS_SUCCESS;
}

static void work_free(void *argument)
{
    struct work *work = argument;

    dnnsim_part_drop(work->graph);
    free(work);
}

static cudnnStatus_t enqueue(cudaStream_t stream, struct work *work)
{
    cudaError_t error =
        sim_enqueue(stream, dnnsim_compute_run, work, work_free); /* frees it also if it fails */

    if (error != cudaSuccess)
        return dnnsim_fail(CUDNN_STATUS_EXECUTION_FAILED_CUDART, "execute: %s", cudaGetErrorString(error));
    return CUDNN_STATUS_SUCCESS;
}

static struct part *finalised(cudnnBackendDescriptor_t handle, cudnnBackendDescriptorType_t kind)
{
    const struct descriptor *descriptor = handle;

    return descriptor == NULL || descriptor->kind != kind ? NULL : descriptor->part;
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan_handle,
                                  cudnnBackendDescriptor_t pack_handle)
{
    const struct part *plan = finalised(plan_handle, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR),
                      *pack = finalised(pack_handle, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    int error;

    if (sim_call("cudnnBackendExecute", &error))
        return dnnsim_fail((cudnnStatus_t)error, "injected");
    if (handle == NULL)
        return dnnsim_fail(CUDNN_STATUS_BAD_PARAM, "execute: the handle is NULL");
    if (plan == NULL || pack == NULL)
        return dnnsim_fail(CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED,
                           "execute: wants a finalised plan and variant pack");
    if (strcmp(plan->as.plan.device, handle->device) != 0)
        return dnnsim_fail(CUDNN_STATUS_NOT_SUPPORTED_ARCH_MISMATCH,
                           "execute: the plan is for %s, the handle for %s", plan->as.plan.device,
                           handle->device);
    struct work *work = calloc(1, sizeof(*work));
    if (work == NULL)
        return dnnsim_fail(CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED, "out of memory");
    work->graph = dnnsim_part_keep(plan->graph);
    work->engine = plan->engine;
    cudnnStatus_t status = take_pointers(&plan->graph->as.graph, &pack->as.pack, work);
    if (status == CUDNN_STATUS_SUCCESS)
        status = take_workspace(plan, &pack->as.pack, work);
    if (status != CUDNN_STATUS_SUCCESS) {
        work_free(work);
        return status;
    }
    return enqueue(handle->stream, work);
}
