/* What the simulator tells AddressSanitizer; without it, nothing. Part of the test instrument. */
#ifndef EYESORE_SIM_SANITIZER_H
#define EYESORE_SIM_SANITIZER_H

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define SIM_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIM_ASAN 1
#endif
#endif

#ifdef SIM_ASAN

#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>

namespace sim
{

constexpr bool asan = true;

inline void asan_poison(const void *begin, size_t bytes)
{
    __asan_poison_memory_region(begin, bytes);
}

inline void asan_unpoison(const void *begin, size_t bytes)
{
    __asan_unpoison_memory_region(begin, bytes);
}

inline void asan_leave_fiber(void **fake_stack, const void *to_stack, size_t to_bytes)
{
    __sanitizer_start_switch_fiber(fake_stack, to_stack, to_bytes);
}

inline void asan_enter_fiber(void *fake_stack, const void **from_stack, size_t *from_bytes)
{
    __sanitizer_finish_switch_fiber(fake_stack, from_stack, from_bytes);
}

} // namespace sim

#else

namespace sim
{

constexpr bool asan = false;

inline void asan_poison(const void *, size_t)
{
}

inline void asan_unpoison(const void *, size_t)
{
}

inline void asan_leave_fiber(void **, const void *, size_t)
{
}

inline void asan_enter_fiber(void *, const void **, size_t *)
{
}

} // namespace sim

#endif

#endif
