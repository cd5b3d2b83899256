#include "kernels/cpu/onednn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 64

enum status onednn_check(dnnl_status_t status, const char *what)
{
    if (status == dnnl_success)
        return STATUS_OK;
    if (status == dnnl_out_of_memory) {
        log_error("oneDNN: no memory for %s", what);
        return STATUS_MEMORY;
    }
    log_error("oneDNN: %s failed (status %d)", what, (int)status);
    return STATUS_INTERNAL;
}

void onednn_format_version(char *text, size_t size)
{
    const dnnl_version_t *v = dnnl_version();
    snprintf(text, size, "%d.%d.%d", v->major, v->minor, v->patch);
}

int onednn_weight_dims(const struct primitive_spec *spec, dnnl_dims_t dims)
{
    int n = 0;
    if (spec->groups > 1)
        dims[n++] = spec->groups;
    dims[n++] = spec->out.c / spec->groups;
    dims[n++] = spec->in.c / spec->groups;
    dims[n++] = spec->kernel;
    dims[n++] = spec->kernel;
    return n;
}

dnnl_data_type_t onednn_data_type(enum precision precision)
{
    return precision == PRECISION_BF16 ? dnnl_bf16 : dnnl_f32;
}

dnnl_format_tag_t onednn_activation_tag(int block, bool planar)
{
    if (planar)
        return dnnl_nchw;
    return block == 16 ? dnnl_nChw16c : dnnl_nChw8c;
}

static size_t arg_bytes(const_dnnl_primitive_desc_t desc, int arg)
{
    return dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(desc, dnnl_query_exec_arg_md, arg));
}

static enum status check_implementation(const_dnnl_primitive_desc_t desc, const char *name,
                                        struct primitive *p)
{
    enum status rc = STATUS_OK;
    const char *info = NULL;

    TRY(onednn_check(dnnl_primitive_desc_query(desc, dnnl_query_impl_info_str, 0, &info), name));
    snprintf(p->implementation, sizeof(p->implementation), "%s", info);
    if (strstr(info, "ref") == info)
        FAIL(STATUS_INTERNAL,
             "oneDNN has only reference code (%s) for %s: this CPU or build is not supported", info, name);
out:
    return rc;
}

static enum status reorder_weights(const struct primitive_spec *spec, const_dnnl_primitive_desc_t desc,
                                   const char *name, const float *weights, struct primitive *p)
{
    enum status rc = STATUS_OK;
    struct packing packing = {0};
    dnnl_primitive_t reorder = NULL;
    dnnl_stream_t stream = NULL;

    TRY(onednn_check(onednn_describe_packing(p->engine, spec, desc, weights, p->weights, &packing), name));
    TRY(onednn_check(dnnl_primitive_create(&reorder, packing.reorder), name));
    TRY(onednn_check(dnnl_stream_create(&stream, p->engine, dnnl_stream_default_flags), "a stream"));
    dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, packing.from}, {DNNL_ARG_TO, packing.to}};
    TRY(onednn_check(dnnl_primitive_execute(reorder, stream, 2, args), name));
    TRY(onednn_check(dnnl_stream_wait(stream), name));
out:
    if (reorder != NULL)
        dnnl_primitive_destroy(reorder);
    if (packing.reorder != NULL)
        dnnl_primitive_desc_destroy(packing.reorder);
    if (stream != NULL)
        dnnl_stream_destroy(stream);
    dnnl_memory_destroy(packing.from);
    dnnl_memory_destroy(packing.to);
    return rc;
}

static enum status pack(const struct primitive_spec *spec, const_dnnl_primitive_desc_t desc, const char *name,
                        const float *weights, const float *bias, struct primitive *p)
{
    enum status rc = STATUS_OK;

    p->weights_bytes = arg_bytes(desc, DNNL_ARG_WEIGHTS);
    p->weights = aligned_alloc(ALIGNMENT, (p->weights_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
    if (p->weights == NULL)
        FAIL(STATUS_MEMORY, "no memory for the weights of %s", name);
    TRY(reorder_weights(spec, desc, name, weights, p));
    if (spec->bias) {
        p->bias = malloc((size_t)spec->out.c * sizeof(float));
        if (p->bias == NULL)
            FAIL(STATUS_MEMORY, "no memory for the bias of %s", name);
        memcpy(p->bias, bias, (size_t)spec->out.c * sizeof(float));
    }
out:
    return rc;
}

enum status primitive_open(dnnl_engine_t engine, const struct primitive_spec *spec, const char *name,
                           const float *weights, const float *bias, struct primitive *out)
{
    enum status rc = STATUS_OK;
    struct primitive p = {.engine = engine};
    dnnl_primitive_desc_t desc = NULL;

    TRY(onednn_check(onednn_describe(engine, spec, &desc), name));
    TRY(check_implementation(desc, name, &p));
    p.scratch_bytes = arg_bytes(desc, DNNL_ARG_SCRATCHPAD);
    if (spec->kind == OP_CONV)
        TRY(pack(spec, desc, name, weights, bias, &p));
    TRY(onednn_check(dnnl_primitive_create(&p.handle, desc), name));
    *out = p;
    p = (struct primitive){0};
out:
    primitive_close(&p);
    dnnl_primitive_desc_destroy(desc);
    return rc;
}

void primitive_close(struct primitive *primitive)
{
    if (primitive == NULL)
        return;
    if (primitive->handle != NULL)
        dnnl_primitive_destroy(primitive->handle);
    free(primitive->weights);
    free(primitive->bias);
    *primitive = (struct primitive){0};
}

static enum status bind(const struct primitive *p, struct primitive_call *call, int arg, const void *memory)
{
    enum status rc = STATUS_OK;
    const_dnnl_primitive_desc_t desc;
    dnnl_memory_t bound;
    void *handle;

    memcpy(&handle, &memory, sizeof(handle)); /* oneDNN's memory is never const, even where it is only read */
    TRY(onednn_check(dnnl_primitive_get_primitive_desc(p->handle, &desc), "a primitive's descriptor"));
    TRY(onednn_check(dnnl_memory_create(&bound,
                                        dnnl_primitive_desc_query_md(desc, dnnl_query_exec_arg_md, arg),
                                        p->engine, handle),
                     "a memory object"));
    call->args[call->n_args].arg = arg;
    call->args[call->n_args++].memory = bound;
out:
    return rc;
}

enum status call_open(const struct primitive *primitive, const unsigned char *source,
                      unsigned char *destination, unsigned char *scratch, struct primitive_call *out)
{
    enum status rc = STATUS_OK;
    struct primitive_call call = {.handle = primitive->handle};

    TRY(bind(primitive, &call, DNNL_ARG_SRC, source));
    TRY(bind(primitive, &call, DNNL_ARG_DST, destination));
    if (primitive->weights != NULL)
        TRY(bind(primitive, &call, DNNL_ARG_WEIGHTS, primitive->weights));
    if (primitive->bias != NULL)
        TRY(bind(primitive, &call, DNNL_ARG_BIAS, primitive->bias));
    if (primitive->scratch_bytes > 0)
        TRY(bind(primitive, &call, DNNL_ARG_SCRATCHPAD, scratch));
    *out = call;
    call = (struct primitive_call){0};
out:
    call_close(&call);
    return rc;
}

void call_close(struct primitive_call *call)
{
    if (call == NULL)
        return;
    for (int i = 0; i < call->n_args; i++)
        dnnl_memory_destroy(call->args[i].memory);
    *call = (struct primitive_call){0};
}

enum status call_execute(const struct primitive_call *call, dnnl_stream_t stream, const char *name)
{
    return onednn_check(dnnl_primitive_execute(call->handle, stream, call->n_args, call->args), name);
}
