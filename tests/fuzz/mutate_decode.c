/* libFuzzer's changes to pictures: half of them know what a picture file is made of. */
#include "mutate.h"
#include "target.h"

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t n, size_t capacity, unsigned int seed)
{
    struct mutation m = {.random = seed};

    if (seed % 2 == 0 || n == 0)
        return LLVMFuzzerMutate(bytes, n, capacity);
    return mutate(&m, bytes, n, capacity, NULL, 0);
}
