/* oneDNN 3.x: no operation descriptors, memory descriptors by handle. See onednn.h. */
#include "kernels/cpu/onednn.h"

/* The memory descriptors of one call, freed together. */
struct descriptors {
    dnnl_memory_desc_t source, weights, bias, destination;
};

static void descriptors_free(struct descriptors *d)
{
    dnnl_memory_desc_destroy(d->source);
    dnnl_memory_desc_destroy(d->weights);
    dnnl_memory_desc_destroy(d->bias);
    dnnl_memory_desc_destroy(d->destination);
}

static dnnl_status_t descriptors_make(const struct primitive_spec *spec, struct descriptors *d)
{
    dnnl_data_type_t type = onednn_data_type(spec->precision);
    dnnl_dims_t in = {1, spec->in.c, spec->in.h, spec->in.w},
                out = {1, spec->out.c, spec->out.h, spec->out.w};
    dnnl_dims_t weights = {0}, bias = {spec->out.c};
    dnnl_status_t status = dnnl_memory_desc_create_with_tag(
        &d->source, 4, in, type, onednn_activation_tag(spec->block, spec->planar_input));

    if (status == dnnl_success)
        status = dnnl_memory_desc_create_with_tag(&d->destination, 4, out, type,
                                                  onednn_activation_tag(spec->block, false));
    if (status == dnnl_success && spec->kind == OP_CONV) {
        int n_dims = onednn_weight_dims(spec, weights);
        status = dnnl_memory_desc_create_with_tag(&d->weights, n_dims, weights, type, dnnl_format_tag_any);
    }
    if (status == dnnl_success && spec->bias)
        status = dnnl_memory_desc_create_with_tag(&d->bias, 1, bias, dnnl_f32, dnnl_a);
    return status;
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
        status = dnnl_post_ops_append_sum(ops, 1.0f, 0, dnnl_data_type_undef);
    if (status == dnnl_success && spec->activation == ACTIVATION_RELU)
        status = dnnl_post_ops_append_eltwise(ops, dnnl_eltwise_relu, 0.0f, 0.0f);
    if (status == dnnl_success && spec->activation == ACTIVATION_RELU6)
        status = dnnl_post_ops_append_eltwise(ops, dnnl_eltwise_clip, 0.0f, 6.0f);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_post_ops(*out, ops);
    dnnl_post_ops_destroy(ops);
    return status;
}

dnnl_status_t onednn_describe(dnnl_engine_t engine, const struct primitive_spec *spec,
                              dnnl_primitive_desc_t *out)
{
    struct descriptors d = {0};
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_dims_t strides = {spec->stride, spec->stride}, pads = {spec->pad, spec->pad}, dilation = {0, 0};
    dnnl_dims_t kernel = {spec->kernel, spec->kernel};
    dnnl_alg_kind_t pooling = spec->kind == OP_MAX_POOL ? dnnl_pooling_max : dnnl_pooling_avg_exclude_padding;
    dnnl_status_t status = descriptors_make(spec, &d);

    if (status == dnnl_success)
        status = make_attributes(spec, &attributes);
    if (status == dnnl_success && spec->kind == OP_CONV)
        status = dnnl_convolution_forward_primitive_desc_create(
            out, engine, dnnl_forward_inference, dnnl_convolution_direct, d.source, d.weights, d.bias,
            d.destination, strides, dilation, pads, pads, attributes);
    else if (status == dnnl_success)
        status = dnnl_pooling_forward_primitive_desc_create(out, engine, dnnl_forward_inference, pooling,
                                                            d.source, d.destination, strides, kernel,
                                                            dilation, pads, pads, attributes);
    dnnl_primitive_attr_destroy(attributes);
    descriptors_free(&d);
    return status;
}

dnnl_status_t onednn_describe_packing(dnnl_engine_t engine, const struct primitive_spec *spec,
                                      const_dnnl_primitive_desc_t convolution, const float *weights,
                                      unsigned char *packed, struct packing *out)
{
    const_dnnl_memory_desc_t wanted = dnnl_primitive_desc_query_md(convolution, dnnl_query_weights_md, 0);
    dnnl_memory_desc_t plain = NULL;
    dnnl_dims_t dims = {0};
    int n_dims = onednn_weight_dims(spec, dims);
    dnnl_status_t status = dnnl_memory_desc_create_with_tag(&plain, n_dims, dims, dnnl_f32,
                                                            n_dims == 5 ? dnnl_goihw : dnnl_oihw);

    if (status == dnnl_success)
        status = dnnl_memory_create(&out->from, plain, engine, (void *)(uintptr_t)weights);
    if (status == dnnl_success)
        status = dnnl_memory_create(&out->to, wanted, engine, packed);
    if (status == dnnl_success)
        status = dnnl_reorder_primitive_desc_create(&out->reorder, plain, engine, wanted, engine, NULL);
    dnnl_memory_desc_destroy(plain);
    return status;
}
