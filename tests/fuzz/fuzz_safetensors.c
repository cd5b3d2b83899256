/* Any bytes as a file of weights: opened both ways, each tensor taken, converted and described. */
#include "target.h"

#include "kernels/safetensors.h"
#include "kernels/weights.h"

#include <string.h>
#include <sys/mman.h>

#define ELEMENTS_MOST 65536 /* of a tensor that is converted: no input is larger */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

static void check_tensor(struct weights *weights, const struct tensor *tensor)
{
    static float values[ELEMENTS_MOST];
    struct tensor *taken = NULL;
    char shape[96];
    int64_t dims[TENSOR_MAX_DIMS], other[1] = {INT32_MAX};
    int n_dims = tensor->n_dims;
    size_t bytes = tensor->dtype == DTYPE_F32 ? 4 : tensor->dtype == DTYPE_I64 ? 8 : 2;

    MUST(n_dims >= 0 && n_dims <= TENSOR_MAX_DIMS && tensor->n_elements >= 1);
    MUST(memchr(tensor->name, '\0', sizeof(tensor->name)) != NULL);
    MUST(tensor->data >= weights->map &&
         (size_t)tensor->n_elements * bytes <= weights->map_bytes - (size_t)(tensor->data - weights->map));
    MUST(weights_find(weights, tensor->name) == tensor);
    tensor_format_shape(tensor->dim, n_dims, shape, sizeof(shape));
    memcpy(dims, tensor->dim, sizeof(dims));
    MUST(weights_take(weights, tensor->name, other, 1, &taken) == STATUS_INPUT || n_dims <= 1 ||
         tensor->n_elements == INT32_MAX);
    if (weights_take(weights, tensor->name, dims, n_dims, &taken) != STATUS_OK) {
        MUST(tensor->dtype == DTYPE_I64);
        return;
    }
    MUST(taken == tensor);
    if (tensor->n_elements <= ELEMENTS_MOST)
        tensor_to_f32(tensor, values);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct weights *weights = NULL, *mapped = NULL;
    enum status status = weights_open(bytes_file(bytes, n), &weights);

    if (n == 0) {
        MUST(status == STATUS_INPUT);
        return 0;
    }
    unsigned char *map = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(map != MAP_FAILED);
    memcpy(map, bytes, n);
    MUST(weights_open_map("input", map, n, &mapped) == status); /* it owns the map, also on failure */
    if (status == STATUS_OK) {
        n_accepted++;
        (void)weights_check_all_taken(weights, "resnet50");
        for (int i = 0; i < weights->n_tensors; i++)
            check_tensor(weights, weights->tensors[i]);
        (void)weights_check_all_taken(weights, "resnet50");
    }
    weights_close(mapped);
    weights_close(weights);
    return 0;
}
