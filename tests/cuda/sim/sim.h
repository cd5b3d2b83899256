/*
 * A simulated CUDA device, for tests. It is a test instrument: it shows that the host code and the kernels
 * do the right thing in every legal order, and nothing about speed or a real GPU's rounding.
 *
 *   runtime/  the CUDA runtime: streams, events, graphs, memory; cuda_code.h, for .cu files on the CPU
 *   cudnn/    the cuDNN backend API: descriptors recorded, executed in float32
 *   nccl/     NCCL between threads or processes of one machine
 *
 * What tests say to it stands here; the rest it hears through the real headers' functions.
 */
#ifndef EYESORE_SIM_H
#define EYESORE_SIM_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * How the device behaves; sim_reset(NULL) gives the defaults: one device "Simulated GPU", seed 1, 256 MiB, no
 * faults. The environment overrides at start, so that whole programs can be told: SIM_SEED, SIM_DEVICES,
 * SIM_MEMORY_MIB, SIM_FAULT ("cudaMalloc:3:2" = the 3rd cudaMalloc returns error 2; "launch:5:700" = the 5th
 * kernel launch leaves sticky error 700, seen at the next synchronisation; "exec:7:700" = the 7th piece of
 * device work that runs).
 */
struct sim_options {
    unsigned seed; /* of the order in which queued work runs */
    int n_devices;
    size_t memory_bytes;
    const char *name;
};
void sim_reset(const struct sim_options *options);

/*
 * The n-th call (from 1, counted from now) of this API function fails with `error` (a cudaError_t,
 * cudnnStatus_t or ncclResult_t): "cudaMalloc", "cudnnBackendFinalize", "ncclBroadcast", ...; or of ANY of
 * them: "*" (each API gets its own generic error: CUDA 999, cuDNN 5000 (execution failed), NCCL 1), or
 * "launch" / "exec" as above. One fault at a time; n = 0 clears it.
 */
void sim_fault(const char *call, int n, int error);
int sim_count_calls(void); /* of all API functions since the reset: how far "*" faults can be counted */
bool sim_fault_happened(void);

/* What is still allocated or open (memory, pinned memory, streams, events, graphs, descriptors, handles,
 * communicators): 0 at the end of a clean test. Prints each kind to stderr where it is not. */
int sim_count_leaks(void);

/*
 * For cudnn/ and nccl/: queue `run(argument)` on a stream like a kernel, honouring capture (a captured item
 * may run many times); `release` frees the argument when nobody can run it any more. Device memory may be
 * touched inside `run` only.
 */
cudaError_t sim_enqueue(cudaStream_t stream, void (*run)(void *argument), void *argument,
                        void (*release)(void *argument));

/*
 * The same for work that waits for other work, of other ranks above all: `step` is called again and again
 * until it returns true, and must not wait itself. In between other work and other host threads go on, and
 * the host thread that called it is not bound to it. Not for work that captured graphs launched at the same
 * time share.
 */
cudaError_t sim_enqueue_steps(cudaStream_t stream, bool (*step)(void *argument), void *argument,
                              void (*release)(void *argument));

/*
 * Inside `run` only. Work that waits for other work (another rank's) calls sim_yield until it is there: other
 * streams' work and other host threads go on meanwhile, in this very call. So whoever comes last must do what
 * all of them wait for, and the others only look whether it is done. sim_spend_ns: this item takes so much
 * longer than 1000 ns by cudaEventElapsedTime.
 */
void sim_yield(void);
void sim_spend_ns(double time_ns);

/* For every simulated API function: counts the call; true where the fault strikes now, with its error. */
bool sim_call(const char *name, int *error);

/* Open things of other parts (descriptors, communicators): count +1 / -1 under this name. */
void sim_track(const char *kind, int change);

#ifdef __cplusplus
}
#endif

#endif
