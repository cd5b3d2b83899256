/*
 * The table of check.sh: reads its summary (budgets, launch bounds, then what ptxas says of each kernel on
 * each architecture), computes the occupancy by cuda_occupancy.h, which needs no device, and compares.
 */
#include <cuda_occupancy.h>

#include <cstdio>
#include <iostream>
#include <map>
#include <sstream>
#include <string>

namespace
{

/* Compute capability, then shared memory of a block by opt-in and of an SM: CUDA C++ Programming Guide, table
 * "Technical Specifications per Compute Capability". */
struct device {
    const char *architecture, *name;
    int major;
    size_t shared_optin, shared_sm;
    int n_sms;
};
const struct device devices[] = {{"sm_80", "A100", 8, 166912, 167936, 108},
                                 {"sm_90a", "H100", 9, 232448, 233472, 132},
                                 {"sm_100", "B200", 10, 232448, 233472, 148}};

struct budget {
    int registers, occupancy; /* at most; at least, in percent of an SM's warps */
    size_t dynamic_shared;    /* bytes, in the largest launch */
    unsigned seen;            /* a bit for each device */
};

struct kernel {
    std::string architecture, name;
    int registers, barriers, stack, spilled;
    size_t shared;
};

std::map<std::string, struct budget> budgets; /* by kernel, without template arguments */
std::map<std::string, int> bounds;            /* by kernel, with them: threads of a block */
int n_failures;

std::string base_name(const std::string &name)
{
    return name.substr(0, name.find('<'));
}

void fail(const struct kernel &kernel, const char *why)
{
    printf("    FAILED: %s on %s %s\n", kernel.name.c_str(), kernel.architecture.c_str(), why);
    n_failures++;
}

cudaOccDeviceProp properties_of(const struct device &device)
{
    cudaOccDeviceProp p;

    p.computeMajor = device.major;
    p.computeMinor = 0;
    p.maxThreadsPerBlock = 1024;
    p.maxThreadsPerMultiprocessor = 2048;
    p.regsPerBlock = p.regsPerMultiprocessor = 65536;
    p.warpSize = 32;
    p.sharedMemPerBlock = 49152;
    p.sharedMemPerBlockOptin = device.shared_optin;
    p.sharedMemPerMultiprocessor = device.shared_sm;
    p.reservedSharedMemPerBlock = 1024;
    p.numSms = device.n_sms;
    return p;
}

/* Percent of an SM's warps that the kernel's blocks fill; 0 where it cannot run. */
int occupancy(const struct device &device, const struct kernel &kernel, int threads, size_t dynamic_shared)
{
    cudaOccDeviceProp properties = properties_of(device);
    cudaOccDeviceState state;
    cudaOccFuncAttributes attributes;
    cudaOccResult result;

    attributes.maxThreadsPerBlock = threads;
    attributes.numRegs = kernel.registers;
    attributes.sharedSizeBytes = kernel.shared;
    attributes.partitionedGCConfig = PARTITIONED_GC_OFF;
    attributes.shmemLimitConfig = FUNC_SHMEM_LIMIT_DEFAULT;
    attributes.maxDynamicSharedSizeBytes = dynamic_shared;
    attributes.numBlockBarriers = kernel.barriers;
    if (cudaOccMaxActiveBlocksPerMultiprocessor(&result, &properties, &attributes, &state, threads,
                                                dynamic_shared) != CUDA_OCC_SUCCESS)
        return 0;
    return 100 * result.activeBlocksPerMultiprocessor * threads / properties.maxThreadsPerMultiprocessor;
}

void check_kernel(const struct kernel &kernel)
{
    auto budget = budgets.find(base_name(kernel.name));
    auto bound = bounds.find(kernel.name);
    size_t at = 0;

    while (at < std::size(devices) && kernel.architecture != devices[at].architecture)
        at++;
    if (at == std::size(devices))
        return fail(kernel, "is of an unknown architecture");
    if (bound == bounds.end())
        return fail(kernel, "has no launch bounds");
    if (budget == budgets.end())
        return fail(kernel, "has no budget");
    budget->second.seen |= 1u << at;
    int percent = occupancy(devices[at], kernel, bound->second, budget->second.dynamic_shared);
    printf("%-32s %s %-6s %7d %9d %6zu +%5zu %6d %9d%%\n", kernel.name.c_str(), devices[at].name,
           kernel.architecture.c_str(), bound->second, kernel.registers, kernel.shared,
           budget->second.dynamic_shared, kernel.spilled, percent);
    if (kernel.spilled > 0)
        fail(kernel, "spills");
    if (kernel.stack > 0)
        fail(kernel, "keeps an array in local memory");
    if (kernel.registers > budget->second.registers)
        fail(kernel, "uses more registers than its budget");
    if (percent < budget->second.occupancy)
        fail(kernel, "has less occupancy than its budget");
}

} // namespace

int main()
{
    std::string line, kind, name;
    int n_kernels = 0;

    printf("%-32s %-11s %7s %9s %6s +%5s %6s %10s\n", "kernel", "device", "threads", "registers", "shared",
           "dyn.", "spills", "occupancy");
    while (std::getline(std::cin, line)) {
        std::istringstream fields(line);
        fields >> kind;
        if (kind == "budget") {
            struct budget budget = {};
            fields >> name >> budget.registers >> budget.occupancy >> budget.dynamic_shared;
            budgets[name] = budget;
        } else if (kind == "bounds") {
            int threads = 0;
            fields >> threads >> name;
            bounds[name] = threads;
        } else {
            struct kernel kernel = {};
            fields >> kernel.architecture >> kernel.registers >> kernel.barriers >> kernel.shared >>
                kernel.stack >> kernel.spilled >> kernel.name;
            check_kernel(kernel);
            n_kernels++;
        }
        if (!fields) {
            printf("    FAILED: not understood: %s\n", line.c_str());
            n_failures++;
        }
    }
    for (const auto &[kernel, budget] : budgets) {
        if (budget.seen != (1u << std::size(devices)) - 1) {
            printf("    FAILED: %s has a budget, but was not compiled for every device\n", kernel.c_str());
            n_failures++;
        }
    }
    printf("%d kernels, %d failures\n", n_kernels, n_failures);
    return n_kernels == 0 || n_failures > 0;
}
