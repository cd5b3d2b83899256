#include "tests/cuda/sim/cudnn/test_case_run.h"

#include "tests/cuda/sim/cudnn/number.h"
#include "tests/cuda/sim/cudnn/parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static float rounded(cudnnDataType_t type, float value)
{
    if (type == CUDNN_DATA_HALF)
        return number_of_half(number_to_half(value));
    return type == CUDNN_DATA_BFLOAT16 ? number_of_bf16(number_to_bf16(value)) : value;
}

static size_t element_bytes(cudnnDataType_t type)
{
    return type == CUDNN_DATA_FLOAT ? 4 : 2;
}

static void upload(struct case_value *value)
{
    size_t bytes = value->n * element_bytes(value->type);
    unsigned char *stored = malloc(bytes);

    assert_non_null(stored);
    for (size_t i = 0; i < value->n; i++) {
        uint16_t half =
            value->type == CUDNN_DATA_HALF ? number_to_half(value->host[i]) : number_to_bf16(value->host[i]);
        if (value->type == CUDNN_DATA_FLOAT)
            memcpy(stored + 4 * i, &value->host[i], 4);
        else
            memcpy(stored + 2 * i, &half, 2);
    }
    assert_int_equal(cudaMemcpy(value->device, stored, bytes, cudaMemcpyHostToDevice), cudaSuccess);
    free(stored);
}

static void download(struct case_value *value)
{
    size_t bytes = value->n * element_bytes(value->type);
    unsigned char *stored = malloc(bytes);

    assert_non_null(stored);
    assert_int_equal(cudaMemcpy(stored, value->device, bytes, cudaMemcpyDeviceToHost), cudaSuccess);
    for (size_t i = 0; i < value->n; i++) {
        uint16_t half;
        memcpy(&half, stored + 2 * i, 2);
        if (value->type == CUDNN_DATA_FLOAT)
            memcpy(&value->host[i], stored + 4 * i, 4);
        else
            value->host[i] = value->type == CUDNN_DATA_HALF ? number_of_half(half) : number_of_bf16(half);
    }
    free(stored);
}

static int or_else(int value, int otherwise)
{
    return value == 0 ? otherwise : value;
}

static int filter_channels(const struct conv_case *conv)
{
    return or_else(conv->filter_c, conv->c / or_else(conv->groups, 1));
}

static int residual_h(const struct conv_case *conv)
{
    return or_else(conv->residual_h, case_out_h(conv));
}

static int residual_pitch(const struct conv_case *conv)
{
    return or_else(conv->residual_pitch, or_else(conv->residual_c, conv->k));
}

void case_values_make(const struct conv_case *conv, unsigned seed, struct case_values *values)
{
    size_t sizes[N_CASE_VALUES] = {
        (size_t)(conv->n * conv->h * conv->w * or_else(conv->x_pitch, conv->c)),
        (size_t)(conv->k * conv->window * conv->window * filter_channels(conv)),
        (size_t)(conv->n * case_out_h(conv) * case_out_w(conv) * or_else(conv->y_pitch, conv->k)),
        (size_t)conv->c,
        (size_t)conv->c,
        (size_t)or_else(conv->bias_size, conv->k),
        (size_t)(conv->n * residual_h(conv) * case_out_w(conv) * residual_pitch(conv)),
    };

    *values = (struct case_values){0};
    for (int i = 0; i < N_CASE_VALUES; i++) {
        struct case_value *value = &values->items[i];
        bool is_float = i + 1 == UID_SCALE || i + 1 == UID_SHIFT || i + 1 == UID_BIAS;
        value->n = sizes[i];
        value->type = is_float ? CUDNN_DATA_FLOAT : conv->type;
        value->host = malloc(value->n * sizeof(float));
        assert_non_null(value->host);
        for (size_t j = 0; j < value->n; j++) {
            seed = seed * 1664525U + 1013904223U;
            float number = (float)(seed >> 8) / (float)(1 << 23) - 1;
            value->host[j] = i + 1 == UID_Y ? CASE_UNTOUCHED : rounded(value->type, number);
        }
        assert_int_equal(cudaMalloc(&value->device, value->n * element_bytes(value->type)), cudaSuccess);
        upload(value);
    }
    assert_int_equal(cudaMalloc(&values->workspace, 1 << 20), cudaSuccess);
}

void case_values_free(struct case_values *values)
{
    for (int i = 0; i < N_CASE_VALUES; i++) {
        free(values->items[i].host);
        cudaFree(values->items[i].device);
    }
    cudaFree(values->workspace);
}

cudnnBackendDescriptor_t case_pack(struct case_graph *made, const struct conv_case *conv,
                                   const struct case_values *values, int without, void *workspace)
{
    bool wanted[N_CASE_VALUES] = {true,           true,       true,          conv->prologue,
                                  conv->prologue, conv->bias, conv->residual};
    int64_t uids[N_CASE_VALUES];
    void *pointers[N_CASE_VALUES];
    int n = 0;

    for (int i = 0; i < N_CASE_VALUES; i++) {
        if (!wanted[i] || i + 1 == without)
            continue;
        uids[n] = i + 1;
        pointers[n++] = values->items[i].device;
    }
    cudnnBackendDescriptor_t pack = case_descriptor(made, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    case_set(made, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n, uids);
    case_set(made, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, n, pointers);
    case_set(made, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    case_finalize(made, pack, "variant pack");
    return pack;
}

cudnnBackendDescriptor_t case_plan(struct case_graph *made, cudnnHandle_t handle, int engine)
{
    int64_t index = engine;
    cudnnBackendDescriptor_t chosen = case_descriptor(made, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    case_set(made, chosen, CUDNN_ATTR_ENGINE_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &made->graph);
    case_set(made, chosen, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &index);
    case_finalize(made, chosen, "engine");
    cudnnBackendDescriptor_t config = case_descriptor(made, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    case_set(made, config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &chosen);
    case_finalize(made, config, "engine configuration");
    cudnnBackendDescriptor_t plan = case_descriptor(made, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    case_set(made, plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &config);
    case_set(made, plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
    case_finalize(made, plan, "plan");
    return made->status == CUDNN_STATUS_SUCCESS ? plan : NULL;
}

void case_fetch(struct case_values *values)
{
    assert_int_equal(cudaDeviceSynchronize(), cudaSuccess);
    download(&values->items[UID_Y - 1]);
}

void case_run(const struct conv_case *conv, cudnnHandle_t handle, int engine, struct case_values *values)
{
    struct case_graph made;

    case_make(conv, handle, &made);
    assert_int_equal(made.status, CUDNN_STATUS_SUCCESS);
    cudnnBackendDescriptor_t plan = case_plan(&made, handle, engine);
    cudnnBackendDescriptor_t pack = case_pack(&made, conv, values, 0, values->workspace);
    assert_int_equal(made.status, CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudnnBackendExecute(handle, plan, pack), CUDNN_STATUS_SUCCESS);
    case_free(&made); /* what was enqueued needs none of it */
    case_fetch(values);
}

/* x as the convolution sees it. */
static double input(const struct conv_case *conv, const struct case_values *values, int n, int c, int h,
                    int w)
{
    const struct case_value *items = values->items;

    if (h < 0 || h >= conv->h || w < 0 || w >= conv->w)
        return 0;
    float x = items[UID_X - 1].host[((n * conv->h + h) * conv->w + w) * or_else(conv->x_pitch, conv->c) + c];
    if (!conv->prologue)
        return (double)x;
    x = x * items[UID_SCALE - 1].host[c] + items[UID_SHIFT - 1].host[c];
    return (double)rounded(conv->type, x > 0 ? x : 0);
}

static double output(const struct conv_case *conv, const struct case_values *values, int n, int k, int h,
                     int w)
{
    const struct case_value *items = values->items;
    int channels = filter_channels(conv), window = conv->window;
    int first = k / (conv->k / (conv->c / channels)) * channels;
    double sum = 0;

    for (int r = 0; r < window; r++)
        for (int s = 0; s < window; s++)
            for (int c = 0; c < channels; c++)
                sum += input(conv, values, n, first + c, h * conv->stride + r - conv->pad,
                             w * conv->stride + s - conv->pad) *
                       (double)items[UID_W - 1].host[((k * window + r) * window + s) * channels + c];
    if (conv->bias)
        sum += (double)items[UID_BIAS - 1].host[k % or_else(conv->bias_size, conv->k)];
    if (conv->residual) {
        int row = n * residual_h(conv) + h % residual_h(conv);
        sum += (double)items[UID_RESIDUAL - 1].host[(row * case_out_w(conv) + w) * residual_pitch(conv) + k];
    }
    if (conv->relu && sum < 0)
        sum = 0;
    return conv->relu && conv->upper_clip > 0 && sum > conv->upper_clip ? conv->upper_clip : sum;
}

double case_difference(const struct conv_case *conv, const struct case_values *values)
{
    const float *y = values->items[UID_Y - 1].host;
    int pitch = or_else(conv->y_pitch, conv->k), height = case_out_h(conv), width = case_out_w(conv);
    double largest = 0;

    for (int at = 0; at < conv->n * height * width * pitch; at++) {
        int k = at % pitch, place = at / pitch;
        if (k >= conv->k) {
            if (y[at] != CASE_UNTOUCHED)
                return INFINITY;
            continue;
        }
        double wanted =
            output(conv, values, place / width / height, k, place / width % height, place % width);
        double difference = fabs((double)y[at] - wanted) / (1 + fabs(wanted));
        largest = difference <= largest ? largest : difference; /* a NaN stays */
    }
    return largest;
}
