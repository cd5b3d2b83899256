#include "tests/cuda/plans/described.h"

#include "base/file.h"

#include <stdlib.h>

#define MAX_BYTES 65536

enum status described_open(const char *path, struct conv_target *out)
{
    enum status rc = STATUS_OK;
    cudnnBackendDescriptor_t d = NULL;
    char *json = NULL;
    size_t size;

    TRY(file_read(path, MAX_BYTES, &json, &size));
    TRY_CUDNN(cudnnBackendCreateDescriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &d));
    TRY_CUDNN(cudnnBackendSetAttribute(d, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                                       (int64_t)size + 1, json));
    TRY_CUDNN(cudnnBackendFinalize(d));
    *out = (struct conv_target){.properties = d};
    d = NULL;
out:
    if (d != NULL)
        cudnnBackendDestroyDescriptor(d);
    free(json);
    return rc;
}

void described_close(struct conv_target *target)
{
    if (target->properties != NULL)
        cudnnBackendDestroyDescriptor(target->properties);
    *target = (struct conv_target){0};
}
