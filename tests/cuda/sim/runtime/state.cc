/* See state.h; and the part of sim.h about the whole device. */
#include "state.h"
#include "memory.h"
#include "parts.h"

#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <vector>

namespace sim
{

namespace
{

constexpr size_t MIB = 1 << 20;

std::mutex the_lock;
thread_local bool lock_held;
std::once_flag started;

struct options chosen;
std::vector<struct device> devices;
unsigned long n_resets;
uint64_t random_state;

struct host_thread {
    unsigned long reset; /* the reset that it belongs to */
    int device;
    cudaError_t last_error;
};
thread_local struct host_thread host_thread;

struct host_thread &this_thread()
{
    if (host_thread.reset != n_resets)
        host_thread = {n_resets, 0, cudaSuccess};
    return host_thread;
}

void reset(const struct options &wanted)
{
    parts_drop_all();
    chosen = wanted;
    devices.assign((size_t)wanted.n_devices, {cudaSuccess, 0});
    random_state = wanted.seed * 0x9e3779b97f4a7c15u + 0x2545f4914f6cdd1du;
    memory_reset((size_t)wanted.n_devices * wanted.memory_bytes);
    n_resets++;
}

const struct options defaults = {1, 1, 256 * MIB, "Simulated GPU"};

/* A number of the environment; `otherwise` where there is none. */
unsigned long environment(const char *name, unsigned long otherwise)
{
    const char *text = getenv(name);
    char *end = nullptr;

    if (text == nullptr || *text == '\0')
        return otherwise;
    unsigned long value = strtoul(text, &end, 10);
    if (*end != '\0')
        die("%s=%s is not a number", name, text);
    return value;
}

void start()
{
    struct options wanted = defaults;
    const char *fault = getenv("SIM_FAULT");
    char call[64];
    int n, error;

    wanted.seed = (unsigned)environment("SIM_SEED", wanted.seed);
    wanted.n_devices = (int)environment("SIM_DEVICES", (unsigned long)wanted.n_devices);
    wanted.memory_bytes = environment("SIM_MEMORY_MIB", wanted.memory_bytes / MIB) * MIB;
    reset(wanted);
    if (fault == nullptr || *fault == '\0')
        return;
    if (sscanf(fault, "%63[^:]:%d:%d", call, &n, &error) != 3)
        die("SIM_FAULT=%s is not CALL:N:ERROR", fault);
    fault_set(call, n, error);
}

} // namespace

void die(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    fputs("sim: ", stderr);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    abort();
}

void ensure_started()
{
    std::call_once(started, start);
}

device_lock::device_lock()
{
    ensure_started();
    if (lock_held)
        die("device work calls the CUDA runtime");
    the_lock.lock();
    lock_held = true;
}

device_lock::~device_lock()
{
    lock_held = false;
    the_lock.unlock();
}

void lock_pause()
{
    lock_held = false;
    the_lock.unlock();
    std::this_thread::sleep_for(std::chrono::microseconds(20));
    the_lock.lock();
    lock_held = true;
}

const struct options &the_options()
{
    return chosen;
}

struct device &the_device(int device)
{
    return devices.at((size_t)device);
}

int current_device()
{
    return this_thread().device;
}

void set_current_device(int device)
{
    this_thread().device = device;
}

unsigned long reset_count()
{
    return n_resets;
}

unsigned random_below(unsigned n)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (unsigned)((random_state * 0x2545f4914f6cdd1du) >> 33) % n;
}

bool is_sticky(cudaError_t error)
{
    switch ((int)error) {
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorContained:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorTensorMemoryLeak:
        return true;
    default:
        return false;
    }
}

void break_device(int device, cudaError_t error)
{
    if (the_device(device).broken == cudaSuccess)
        the_device(device).broken = error;
}

void note_error(cudaError_t error)
{
    this_thread().last_error = error;
}

cudaError_t take_last_error(bool clear)
{
    struct host_thread &mine = this_thread();
    cudaError_t error = mine.last_error;

    if (clear)
        mine.last_error = cudaSuccess;
    if (chosen.n_devices > 0 && the_device(mine.device).broken != cudaSuccess)
        return the_device(mine.device).broken;
    return error;
}

api_call::api_call(const char *name, enum kind what) : error_(cudaSuccess)
{
    int fault;

    if (sim_call(name, &fault)) {
        error_ = (cudaError_t)fault;
        if (is_sticky(error_) && chosen.n_devices > 0)
            break_device(current_device(), error_);
    } else if (chosen.n_devices == 0)
        error_ = what == QUERY ? cudaSuccess : cudaErrorNoDevice;
    else if (what == NORMAL)
        error_ = the_device(current_device()).broken;
}

cudaError_t api_call::end(cudaError_t status)
{
    if (status == cudaSuccess)
        status = error_;
    if (status != cudaSuccess)
        note_error(status);
    return status;
}

} // namespace sim

extern "C" void sim_reset(const struct sim_options *wanted)
{
    struct sim::options all = sim::defaults;

    sim::device_lock lock;
    if (wanted != nullptr)
        all = {wanted->seed, wanted->n_devices, wanted->memory_bytes,
               wanted->name == nullptr ? sim::defaults.name : wanted->name};
    sim::fault_reset();
    sim::reset(all);
}
