/* oneDNN 2.x: operation descriptors, memory descriptors by value. See onednn.h. */
#include "kernels/cpu/onednn.h"

static dnnl_status_t describe_memory(dnnl_memory_desc_t *md, struct shape s, dnnl_data_type_t type,
                                     dnnl_format_tag_t tag)
{
    dnnl_dims_t dims = {1, s.c, s.h, s.w};
    return dnnl_memory_desc_init_by_tag(md, 4, dims, type, tag);
}

static dnnl_status_t make_attributes(const struct primitive_spec *spec, dnnl_primitive_attr_t *out)
{
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(out);

    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(*out, dnnl_scratchpad_mode_user);
    if (status == dnnl_success)
        status = dnnl_post_ops_create(&ops);
    if (status == dnnl_success && spec->residual)
        status = dnnl_post_ops_append_sum(ops, 1.0f);
    if (status == dnnl_success && spec->activation == ACTIVATION_RELU)
        status = dnnl_post_ops_append_eltwise(ops, 1.0f, dnnl_eltwise_relu, 0.0f, 0.0f);
    if (status == dnnl_success && spec->activation == ACTIVATION_RELU6)
        status = dnnl_post_ops_append_eltwise(ops, 1.0f, dnnl_eltwise_clip, 0.0f, 6.0f);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_post_ops(*out, ops);
    dnnl_post_ops_destroy(ops);
    return status;
}

static dnnl_status_t describe_convolution(const struct primitive_spec *spec, const dnnl_memory_desc_t *source,
                                          const dnnl_memory_desc_t *destination, dnnl_convolution_desc_t *out)
{
    dnnl_memory_desc_t weights, bias;
    dnnl_dims_t dims = {0}, bias_dims = {spec->out.c};
    dnnl_dims_t strides = {spec->stride, spec->stride}, pads = {spec->pad, spec->pad};
    int n_dims = onednn_weight_dims(spec, dims);
    dnnl_status_t status = dnnl_memory_desc_init_by_tag(
        &weights, n_dims, dims, onednn_data_type(spec->precision), dnnl_format_tag_any);

    if (status == dnnl_success)
        status = dnnl_memory_desc_init_by_tag(&bias, 1, bias_dims, dnnl_f32, dnnl_a);
    if (status == dnnl_success)
        status = dnnl_convolution_forward_desc_init(out, dnnl_forward_inference, dnnl_convolution_direct,
                                                    source, &weights, spec->bias ? &bias : NULL, destination,
                                                    strides, pads, pads);
    return status;
}

static dnnl_status_t describe_pooling(const struct primitive_spec *spec, const dnnl_memory_desc_t *source,
                                      const dnnl_memory_desc_t *destination, dnnl_pooling_desc_t *out)
{
    dnnl_dims_t strides = {spec->stride, spec->stride}, pads = {spec->pad, spec->pad};
    dnnl_dims_t kernel = {spec->kernel, spec->kernel};
    dnnl_alg_kind_t kind = spec->kind == OP_MAX_POOL ? dnnl_pooling_max : dnnl_pooling_avg_exclude_padding;

    return dnnl_pooling_forward_desc_init(out, dnnl_forward_inference, kind, source, destination, strides,
                                          kernel, pads, pads);
}

dnnl_status_t onednn_describe(dnnl_engine_t engine, const struct primitive_spec *spec,
                              dnnl_primitive_desc_t *out)
{
    dnnl_data_type_t type = onednn_data_type(spec->precision);
    dnnl_memory_desc_t source, destination;
    dnnl_convolution_desc_t convolution;
    dnnl_pooling_desc_t pooling;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_status_t status =
        describe_memory(&source, spec->in, type, onednn_activation_tag(spec->block, spec->planar_input));

    if (status == dnnl_success)
        status = describe_memory(&destination, spec->out, type, onednn_activation_tag(spec->block, false));
    if (status == dnnl_success)
        status = make_attributes(spec, &attributes);
    if (status == dnnl_success && spec->kind == OP_CONV)
        status = describe_convolution(spec, &source, &destination, &convolution);
    if (status == dnnl_success && spec->kind != OP_CONV)
        status = describe_pooling(spec, &source, &destination, &pooling);
    if (status == dnnl_success && spec->kind == OP_CONV)
        status = dnnl_primitive_desc_create(out, &convolution, attributes, engine, NULL);
    else if (status == dnnl_success)
        status = dnnl_primitive_desc_create(out, &pooling, attributes, engine, NULL);
    dnnl_primitive_attr_destroy(attributes);
    return status;
}

dnnl_status_t onednn_describe_packing(dnnl_engine_t engine, const struct primitive_spec *spec,
                                      const_dnnl_primitive_desc_t convolution, const float *weights,
                                      unsigned char *packed, struct packing *out)
{
    const dnnl_memory_desc_t *wanted = dnnl_primitive_desc_query_md(convolution, dnnl_query_weights_md, 0);
    dnnl_memory_desc_t plain;
    dnnl_dims_t dims = {0};
    int n_dims = onednn_weight_dims(spec, dims);
    dnnl_status_t status =
        dnnl_memory_desc_init_by_tag(&plain, n_dims, dims, dnnl_f32, n_dims == 5 ? dnnl_goihw : dnnl_oihw);

    if (status == dnnl_success)
        status = dnnl_memory_create(&out->from, &plain, engine, (void *)(uintptr_t)weights);
    if (status == dnnl_success)
        status = dnnl_memory_create(&out->to, wanted, engine, packed);
    if (status == dnnl_success)
        status = dnnl_reorder_primitive_desc_create(&out->reorder, &plain, engine, wanted, engine, NULL);
    return status;
}
