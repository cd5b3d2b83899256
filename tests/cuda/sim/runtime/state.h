/*
 * What all parts of the simulated runtime share: the one lock, the options, errors, faults and chance. Part
 * of the test instrument.
 */
#ifndef EYESORE_SIM_STATE_H
#define EYESORE_SIM_STATE_H

#include "tests/cuda/sim/sim.h"

#include <cstdint>
#include <string>

namespace sim
{

[[noreturn]] void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

struct device {
    cudaError_t broken; /* a sticky error; cudaSuccess: none */
    size_t used_bytes;
};

struct options {
    unsigned seed;
    int n_devices;
    size_t memory_bytes; /* of each device */
    std::string name;
};

/* ---- The lock, which every call holds and device work runs under. */

class device_lock
{
  public:
    device_lock();
    ~device_lock();
    device_lock(const device_lock &) = delete;
    device_lock &operator=(const device_lock &) = delete;
};

/* Lets other host threads in for a moment. The lock is held, also afterwards. */
void lock_pause();

/* ---- Under the lock. */

const struct options &the_options();
struct device &the_device(int device); /* of [0, n_devices) */
int current_device();                  /* of this host thread */
void set_current_device(int device);
unsigned long reset_count(); /* changes at each reset */

unsigned random_below(unsigned n); /* [0, n); n > 0 */

bool is_sticky(cudaError_t error);
/* Breaks the device: sticky from now on. Its queued work is dropped by whoever runs it. */
void break_device(int device, cudaError_t error);

void note_error(cudaError_t error); /* for cudaGetLastError of this host thread */
cudaError_t take_last_error(bool clear);

/* ---- Faults. */

bool fault_launch(cudaError_t *error); /* counts a kernel launch */
bool fault_exec(cudaError_t *error);   /* counts a piece of device work */

/*
 * One call of a runtime function: takes the lock, counts the call, and knows the error that it must return at
 * once: a fault or a broken device. RELEASE: what frees something does so nevertheless, also on a broken
 * device, and then returns a fault's error: nobody could free it again. QUERY: works on a broken device.
 */
class api_call
{
  public:
    enum kind { NORMAL, RELEASE, QUERY };
    api_call(const char *name, enum kind what);

    cudaError_t error() const
    {
        return error_;
    }

    cudaError_t end(cudaError_t status); /* what the function returns */

  private:
    class device_lock lock_;
    cudaError_t error_;
};

/* At the start of a runtime function. */
#define SIM_CALL() SIM_CALL_OF(::sim::api_call::NORMAL)
#define SIM_QUERY_CALL() SIM_CALL_OF(::sim::api_call::QUERY)
#define SIM_RELEASE_CALL() ::sim::api_call call(__func__, ::sim::api_call::RELEASE)

#define SIM_CALL_OF(what)                                                                                    \
    ::sim::api_call call(__func__, what);                                                                    \
    if (call.error() != cudaSuccess)                                                                         \
    return call.end(call.error())

} // namespace sim

#endif
