/*
 * Simulated cuDNN (a test instrument): a graph executed, picture by picture, in float32. Every tensor holds
 * values of its declared type: stored and virtual ones declared half or bfloat16 are rounded.
 *
 * Where shapes do not fit, in the ways that the real library lets pass, indices wrap around: wrong numbers,
 * but no read beyond what a tensor's own descriptor says.
 */
#include "kernels/cpu/ops.h"
#include "tests/cuda/sim/cudnn/number.h"
#include "tests/cuda/sim/cudnn/parts.h"
#include "tests/cuda/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>

enum { COLUMN_STEP = 64, MOST_COLUMNS = 1024, CACHE_FLOATS = 1 << 18, CHANNELS_AT_ONCE = 16 };

/* One picture of a tensor, planar: [c][h][w]. */
struct value {
    const struct dnn_tensor *tensor;
    void *pointer; /* NULL: virtual */
    float *planes; /* NULL: a filter */
    size_t n_planes, plane;
    int64_t picture;  /* whose it is; -1: nobody's yet */
    bool is_computed; /* by this graph */
};

struct filter {
    size_t groups, rows, depth; /* rows of one group; depth = channels of a group * window */
    float *weights;             /* [groups * rows][depth], depth in the engine's order */
    size_t *order;              /* [depth]: (c * r + y) * s + x */
};

struct run {
    const struct work *work;
    const struct dnn_graph *graph;
    struct value values[MAX_TENSORS];
    struct filter filter;
    float *columns, *product;
};

static void *need(size_t count, size_t size)
{
    void *memory = calloc(count, size);

    if (memory == NULL) {
        fprintf(stderr, "simulated cuDNN: out of memory\n");
        abort();
    }
    return memory;
}

static float load(const void *pointer, cudnnDataType_t type, int64_t at)
{
    if (type == CUDNN_DATA_HALF)
        return number_of_half(((const uint16_t *)pointer)[at]);
    if (type == CUDNN_DATA_BFLOAT16)
        return number_of_bf16(((const uint16_t *)pointer)[at]);
    return ((const float *)pointer)[at];
}

static void store(void *pointer, cudnnDataType_t type, int64_t at, float value)
{
    if (type == CUDNN_DATA_HALF)
        ((uint16_t *)pointer)[at] = number_to_half(value);
    else if (type == CUDNN_DATA_BFLOAT16)
        ((uint16_t *)pointer)[at] = number_to_bf16(value);
    else
        ((float *)pointer)[at] = value;
}

static float round_to(cudnnDataType_t type, float value)
{
    if (type == CUDNN_DATA_HALF)
        return number_of_half(number_to_half(value));
    return type == CUDNN_DATA_BFLOAT16 ? number_of_bf16(number_to_bf16(value)) : value;
}

enum direction { FROM_DEVICE, TO_DEVICE, POISON };

/* A picture between the device's memory and planes, some channels at a time, which lie together there. */
static void copy_picture(const struct value *value, int64_t picture, enum direction direction)
{
    const struct dnn_tensor *tensor = value->tensor;
    const int64_t *dims = tensor->dims, *strides = tensor->strides;

    for (int64_t first = 0; first < dims[1]; first += CHANNELS_AT_ONCE) {
        int64_t last = first + CHANNELS_AT_ONCE < dims[1] ? first + CHANNELS_AT_ONCE : dims[1];
        for (int64_t p = 0; p < dims[2] * dims[3]; p++) {
            int64_t at = picture * strides[0] + p / dims[3] * strides[2] + p % dims[3] * strides[3];
            float *place = value->planes + (size_t)p;
            for (int64_t c = first; c < last; c++) {
                if (direction == FROM_DEVICE)
                    place[(size_t)c * value->plane] = load(value->pointer, tensor->type, at + c * strides[1]);
                else
                    store(value->pointer, tensor->type, at + c * strides[1],
                          direction == POISON ? NAN : place[(size_t)c * value->plane]);
            }
        }
    }
}

static const struct value *picture_of(struct run *run, int index, int64_t picture)
{
    struct value *value = &run->values[index];
    int64_t wanted = picture % value->tensor->dims[0];

    if (!value->is_computed && value->picture != wanted) {
        copy_picture(value, wanted, FROM_DEVICE);
        value->picture = wanted;
    }
    return value;
}

/* The order in which an engine sums: each its own, so that the bits tell plans apart. */
static size_t order_at(int engine, size_t i, size_t depth, size_t turn)
{
    switch (engine) {
    case ENGINE_SECOND:
        return depth - 1 - i;
    case ENGINE_THIRD: /* even places, then odd ones */
        return i < (depth + 1) / 2 ? 2 * i : 2 * (i - (depth + 1) / 2) + 1;
    case ENGINE_ATOMIC:
        return (i + turn) % depth;
    case ENGINE_PLAIN: /* the second half first */
        return (i + depth / 2) % depth;
    default:
        return i;
    }
}

static void open_filter(struct run *run, const struct operation *operation)
{
    static atomic_uint turns;
    const struct dnn_tensor *tensor = &operation->b;
    const int64_t *strides = tensor->strides;
    const void *pointer = run->work->pointers[operation->b_index];
    size_t channels = (size_t)tensor->dims[1], height = (size_t)tensor->dims[2],
           width = (size_t)tensor->dims[3], rows = (size_t)tensor->dims[0], depth = channels * height * width,
           turn = run->work->engine == ENGINE_ATOMIC ? 1 + 7 * (size_t)atomic_fetch_add(&turns, 1) : 0;

    run->filter = (struct filter){.groups = (size_t)operation->x.dims[1] / channels,
                                  .depth = depth,
                                  .weights = need(rows * depth, sizeof(float)),
                                  .order = need(depth, sizeof(size_t))};
    run->filter.rows = rows / run->filter.groups;
    for (size_t i = 0; i < depth; i++) {
        size_t at = order_at(run->work->engine, i, depth, turn);
        int64_t offset = (int64_t)(at / (height * width)) * strides[1] +
                         (int64_t)(at / width % height) * strides[2] + (int64_t)(at % width) * strides[3];
        run->filter.order[i] = at;
        for (size_t k = 0; k < rows; k++)
            run->filter.weights[k * depth + i] =
                load(pointer, tensor->type, (int64_t)k * strides[0] + offset);
    }
    run->columns =
        need(depth * COLUMN_STEP > CACHE_FLOATS ? depth * COLUMN_STEP : CACHE_FLOATS, sizeof(float));
    run->product = need(run->filter.rows * MOST_COLUMNS, sizeof(float));
}

/* What one place of the window sees, at outputs [first, first + n): one row of the columns. */
static void fill_row(const struct operation *operation, const float *plane, size_t window_at, size_t first,
                     size_t n, float *row)
{
    const struct convolution *convolution = &operation->convolution;
    int64_t width = operation->b.dims[3], x_height = operation->x.dims[2], x_width = operation->x.dims[3],
            y_width = operation->y.dims[3];
    int64_t down = (int64_t)window_at / width * convolution->dilation[0] - convolution->before[0],
            right = (int64_t)window_at % width * convolution->dilation[1] - convolution->before[1];
    int64_t y = (int64_t)first / y_width, x = (int64_t)first % y_width;

    for (size_t i = 0; i < n; x = 0, y++) {
        int64_t from_y = y * convolution->stride[0] + down;
        bool is_inside = from_y >= 0 && from_y < x_height;
        for (; x < y_width && i < n; x++, i++) {
            int64_t from_x = x * convolution->stride[1] + right;
            row[i] = is_inside && from_x >= 0 && from_x < x_width ? plane[from_y * x_width + from_x] : 0;
        }
    }
}

/* How many output places go at once: so that their columns stay in the cache. */
static size_t columns_at_once(size_t depth)
{
    size_t n = CACHE_FLOATS / depth / COLUMN_STEP * COLUMN_STEP;

    return n < COLUMN_STEP ? COLUMN_STEP : n > MOST_COLUMNS ? MOST_COLUMNS : n;
}

/* One group's outputs [first, first + n) into y: [rows][all places]. */
static void convolve_places(const struct run *run, const struct operation *operation, size_t group,
                            const float *planes, size_t first, size_t n, float *y)
{
    const struct filter *filter = &run->filter;
    size_t window = (size_t)(operation->b.dims[2] * operation->b.dims[3]),
           x_plane = (size_t)(operation->x.dims[2] * operation->x.dims[3]),
           y_plane = (size_t)(operation->y.dims[2] * operation->y.dims[3]),
           padded = (n + COLUMN_STEP - 1) / COLUMN_STEP * COLUMN_STEP; /* the multiplication likes it */

    for (size_t i = 0; i < filter->depth; i++) {
        size_t at = filter->order[i];
        float *row = run->columns + i * padded;
        fill_row(operation, planes + at / window * x_plane, at % window, first, n, row);
        memset(row + n, 0, (padded - n) * sizeof(*row));
    }
    ops_choose()->multiply(filter->weights + group * filter->rows * filter->depth, run->columns, filter->rows,
                           filter->depth, padded, run->product);
    for (size_t k = 0; k < filter->rows; k++)
        memcpy(y + k * y_plane + first, run->product + k * padded, n * sizeof(float));
}

static void convolve(struct run *run, const struct operation *operation, int64_t picture)
{
    const struct filter *filter = &run->filter;
    const struct value *x = picture_of(run, operation->x_index, picture);
    struct value *y = &run->values[operation->y_index];
    size_t channels = (size_t)operation->b.dims[1], step = columns_at_once(filter->depth);

    for (size_t group = 0; group < filter->groups; group++) {
        const float *from = x->planes + group * channels * x->plane;
        float *to = y->planes + group * filter->rows * y->plane;
        for (size_t first = 0; first < y->plane; first += step)
            convolve_places(run, operation, group, from, first,
                            y->plane - first < step ? y->plane - first : step, to);
    }
    for (size_t i = 0; i < y->n_planes * y->plane && operation->alpha1 != 1; i++)
        y->planes[i] *= (float)operation->alpha1;
    for (size_t i = 0; i < y->n_planes * y->plane && operation->convolution.compute == CUDNN_DATA_HALF; i++)
        y->planes[i] = round_to(CUDNN_DATA_HALF, y->planes[i]);
}

/* Row `h` of channel `c` of an operand as `width` values, wrapped where it is smaller. */
static const float *operand_row(const struct value *value, size_t c, size_t h, size_t width, double alpha,
                                float *scratch)
{
    size_t rows = (size_t)value->tensor->dims[2], columns = (size_t)value->tensor->dims[3];
    const float *row = value->planes + c % value->n_planes * value->plane + h % rows * columns;

    if (columns == width && alpha == 1)
        return row;
    for (size_t i = 0; i < width; i++)
        scratch[i] = row[columns == 1 ? 0 : i % columns] * (float)alpha;
    return scratch;
}

static float relu(const struct pointwise *pointwise, float x)
{
    float lower = (float)pointwise->lower, upper = (float)pointwise->upper;

    if (!(x <= lower)) /* a NaN passes, clipped or not: seen in the code that cuDNN 9.19 makes for sm_90 */
        return x > upper ? upper : x;
    return lower + (x - lower) * (float)pointwise->slope;
}

static float apply(const struct pointwise *pointwise, float x, float b)
{
    switch (pointwise->mode) {
    case CUDNN_POINTWISE_ADD:
        return x + b;
    case CUDNN_POINTWISE_SUB:
        return x - b;
    case CUDNN_POINTWISE_MUL:
        return x * b;
    case CUDNN_POINTWISE_DIV:
        return x / b;
    case CUDNN_POINTWISE_MAX:
        return x > b ? x : b;
    case CUDNN_POINTWISE_MIN:
        return x < b ? x : b;
    case CUDNN_POINTWISE_RELU_FWD:
        return relu(pointwise, x);
    case CUDNN_POINTWISE_SIGMOID_FWD:
        return 1 / (1 + expf(-x));
    case CUDNN_POINTWISE_TANH_FWD:
        return tanhf(x);
    default: /* CUDNN_POINTWISE_IDENTITY */
        return x;
    }
}

static void pointwise(struct run *run, const struct operation *operation, int64_t picture)
{
    const struct value *x = picture_of(run, operation->x_index, picture),
                       *b = operation->has_b ? picture_of(run, operation->b_index, picture) : x;
    struct value *y = &run->values[operation->y_index];
    size_t width = (size_t)y->tensor->dims[3];
    float *scratch = need(2 * width, sizeof(float));

    for (size_t c = 0; c < y->n_planes; c++) {
        for (size_t h = 0; h < (size_t)y->tensor->dims[2]; h++) {
            const float *xs = operand_row(x, c, h, width, operation->alpha1, scratch),
                        *bs = operand_row(b, c, h, width, operation->alpha2, scratch + width);
            float *ys = y->planes + c * y->plane + h * width;
            for (size_t i = 0; i < width; i++)
                ys[i] = apply(&operation->pointwise, xs[i], bs[i]);
        }
    }
    free(scratch);
}

static void run_picture(struct run *run, int64_t picture)
{
    for (int i = 0; i < run->graph->n_operations; i++) {
        const struct operation *operation = &run->graph->operations[i];
        struct value *y = &run->values[operation->y_index];
        if (picture >= y->tensor->dims[0])
            continue;
        if (operation->is_convolution)
            convolve(run, operation, picture);
        else
            pointwise(run, operation, picture);
        for (size_t j = 0; j < y->n_planes * y->plane && y->tensor->type != CUDNN_DATA_FLOAT; j++)
            y->planes[j] = round_to(y->tensor->type, y->planes[j]);
        if (y->pointer != NULL)
            copy_picture(y, picture, TO_DEVICE);
    }
}

/* In place is right for what a pointwise operation reads, and nothing else. */
static bool is_in_place(const struct run *run, const void *pointer)
{
    for (int i = 0; i < run->graph->n_operations; i++) {
        const struct operation *operation = &run->graph->operations[i];
        if (!operation->is_convolution &&
            (run->values[operation->x_index].pointer == pointer ||
             (operation->has_b && run->values[operation->b_index].pointer == pointer)))
            return true;
    }
    return false;
}

/*
 * A GPU may write any place of y before it has read the last of x, and its workspace at any time: so what is
 * written is lost first. Where y reaches into x or the filter, or the workspace into anything, it shows.
 */
static void poison(const struct run *run)
{
    if (run->work->workspace_bytes > 0)
        memset(run->work->workspace, 0xff, (size_t)run->work->workspace_bytes);
    for (int i = 0; i < run->graph->n_tensors; i++) {
        const struct value *value = &run->values[i];
        if (!value->is_computed || value->pointer == NULL || is_in_place(run, value->pointer))
            continue;
        for (int64_t picture = 0; picture < value->tensor->dims[0]; picture++)
            copy_picture(value, picture, POISON);
    }
}

static void open_values(struct run *run)
{
    for (int i = 0; i < run->graph->n_tensors; i++) {
        const struct dnn_tensor *tensor = &run->graph->tensors[i];
        struct value *value = &run->values[i];
        value->tensor = tensor;
        value->pointer = run->work->pointers[i];
        value->n_planes = (size_t)tensor->dims[1];
        value->plane = (size_t)(tensor->dims[2] * tensor->dims[3]);
        value->picture = -1;
        value->planes = need(value->n_planes * value->plane, sizeof(float));
    }
    for (int i = 0; i < run->graph->n_operations; i++)
        run->values[run->graph->operations[i].y_index].is_computed = true;
}

void dnnsim_compute_run(void *argument)
{
    const struct work *work = argument;
    struct run run = {.work = work, .graph = &work->graph->as.graph};
    int64_t n_pictures = 0;

    open_values(&run);
    poison(&run);
    for (int i = 0; i < run.graph->n_operations; i++) {
        const struct operation *operation = &run.graph->operations[i];
        if (operation->is_convolution)
            open_filter(&run, operation);
        if (operation->y.dims[0] > n_pictures)
            n_pictures = operation->y.dims[0];
    }
    for (int64_t picture = 0; picture < n_pictures; picture++)
        run_picture(&run, picture);

    for (int i = 0; i < run.graph->n_tensors; i++)
        free(run.values[i].planes);
    free(run.filter.weights);
    free(run.filter.order);
    free(run.columns);
    free(run.product);
    sim_spend_ns(dnnsim_engine_cost_ns(run.graph, work->engine));
}
