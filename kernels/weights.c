#include "kernels/weights.h"

#include "base/file.h"
#include "kernels/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER_LIMIT_BYTES (16u << 20) /* DenseNet161's header is 90 KB */

struct tensor *tensor_new(const char *name, const int64_t *dims, int n_dims)
{
    struct tensor *t = calloc(1, sizeof(*t));

    if (t == NULL)
        return NULL;
    snprintf(t->name, sizeof(t->name), "%s", name);
    t->n_dims = n_dims;
    t->n_elements = 1;
    for (int i = 0; i < n_dims; i++) {
        t->dim[i] = dims[i];
        t->n_elements *= dims[i];
    }
    t->own = calloc((size_t)t->n_elements, sizeof(float));
    t->data = (const unsigned char *)t->own;
    if (t->own == NULL) {
        free(t);
        return NULL;
    }
    return t;
}

void tensor_free(struct tensor *tensor)
{
    if (tensor == NULL)
        return;
    free(tensor->own);
    free(tensor);
}

static float half_to_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = (h >> 10) & 31, mantissa = h & 1023, bits;
    float value;

    if (exponent == 0) { /* zero and subnormals: the mantissa counts units of 2^-24 */
        value = (float)mantissa * 0x1p-24f;
        return sign != 0 ? -value : value;
    }
    if (exponent == 31)
        bits = sign | 0x7f800000u | mantissa << 13;
    else
        bits = sign | (exponent + 112) << 23 | mantissa << 13;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

void tensor_to_f32(const struct tensor *tensor, float *values)
{
    if (tensor->dtype == DTYPE_F32) {
        memcpy(values, tensor->data, (size_t)tensor->n_elements * sizeof(float));
        return;
    }
    for (int64_t i = 0; i < tensor->n_elements; i++) {
        uint16_t raw;
        memcpy(&raw, tensor->data + 2 * i, sizeof(raw));
        if (tensor->dtype == DTYPE_F16) {
            values[i] = half_to_float(raw);
        } else {
            uint32_t bits = (uint32_t)raw << 16;
            memcpy(&values[i], &bits, sizeof(bits));
        }
    }
}

void tensor_format_shape(const int64_t *dims, int n_dims, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "[");
    for (int i = 0; i < n_dims && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%lld", i == 0 ? "" : ",", (long long)dims[i]);
    if (used < size)
        snprintf(text + used, size - used, "]");
}

enum status weights_add(struct weights *weights, struct tensor *tensor)
{
    enum status rc = STATUS_OK;

    if (weights->n_tensors == weights->capacity) {
        int capacity = weights->capacity == 0 ? 256 : 2 * weights->capacity;
        struct tensor **grown = realloc(weights->tensors, (size_t)capacity * sizeof(*grown));
        if (grown == NULL)
            FAIL(STATUS_MEMORY, "no memory");
        weights->tensors = grown;
        weights->capacity = capacity;
    }
    weights->tensors[weights->n_tensors++] = tensor;
    tensor = NULL;
out:
    tensor_free(tensor);
    return rc;
}

static int compare_names(const void *a, const void *b)
{
    const struct tensor *const *left = a, *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

static enum status map_file(struct weights *w)
{
    enum status rc = STATUS_OK;
    struct stat st;
    int fd = open(w->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hang us */

    if (fd < 0 || fstat(fd, &st) != 0)
        FAIL(status_is_place_errno(errno) ? STATUS_PLACE : STATUS_INPUT, "weights %s: %s", w->path,
             strerror(errno));
    if (!S_ISREG(st.st_mode) || st.st_size < 10)
        FAIL(STATUS_INPUT, "weights %s: not a safetensors file", w->path);
    w->map_bytes = (size_t)st.st_size;
    w->map = mmap(NULL, w->map_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (w->map == MAP_FAILED) {
        w->map = NULL;
        FAIL(STATUS_PLACE, "weights %s: cannot map: %s", w->path, strerror(errno));
    }
out:
    if (fd >= 0)
        close(fd);
    return rc;
}

/* Check what is mapped and list its tensors. */
static enum status read_map(struct weights *w)
{
    enum status rc = STATUS_OK;
    const char *path = w->path;
    uint64_t header_bytes;

    memcpy(&header_bytes, w->map, sizeof(header_bytes));
    if (header_bytes > HEADER_LIMIT_BYTES || header_bytes > w->map_bytes - 8)
        FAIL(STATUS_INPUT,
             "weights %s: not a safetensors file (a .pth? see the README for the three-line export)", path);
    TRY(safetensors_parse(w, (const char *)w->map + 8, (size_t)header_bytes, w->map + 8 + header_bytes,
                          w->map_bytes - 8 - (size_t)header_bytes));
    if (w->n_tensors == 0)
        FAIL(STATUS_INPUT, "weights %s: no tensors in it", path);
    qsort(w->tensors, (size_t)w->n_tensors, sizeof(*w->tensors), compare_names);
    for (int i = 1; i < w->n_tensors; i++)
        if (strcmp(w->tensors[i]->name, w->tensors[i - 1]->name) == 0)
            FAIL(STATUS_INPUT, "weights %s: tensor %s stands twice", path, w->tensors[i]->name);
out:
    return rc;
}

static enum status new_weights(const char *path, struct weights **out)
{
    enum status rc = STATUS_OK;
    struct weights *w = calloc(1, sizeof(*w));

    if (w == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    w->trained = true;
    if (strlen(path) >= sizeof(w->path))
        FAIL(STATUS_INPUT, "weights %s: the path is too long", path);
    memcpy(w->path, path, strlen(path) + 1);
    *out = w;
    w = NULL;
out:
    free(w);
    return rc;
}

enum status weights_open(const char *path, struct weights **out)
{
    enum status rc = STATUS_OK;
    struct weights *w = NULL;

    TRY(new_weights(path, &w));
    TRY(map_file(w));
    TRY(read_map(w));
    *out = w;
    w = NULL;
out:
    weights_close(w);
    return rc;
}

enum status weights_open_map(const char *path, unsigned char *map, size_t n_bytes, struct weights **out)
{
    enum status rc = STATUS_OK;
    struct weights *w = NULL;

    TRY(new_weights(path, &w));
    w->map = map;
    w->map_bytes = n_bytes;
    map = NULL;
    if (n_bytes < 10)
        FAIL(STATUS_INPUT, "weights %s: not a safetensors file", path);
    TRY(read_map(w));
    *out = w;
    w = NULL;
out:
    if (map != NULL)
        munmap(map, n_bytes);
    weights_close(w);
    return rc;
}

enum status weights_declare(struct weights **out)
{
    enum status rc = STATUS_OK;
    struct weights *w = calloc(1, sizeof(*w));

    if (w == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    w->declaring = true;
    *out = w;
out:
    return rc;
}

void weights_close(struct weights *weights)
{
    if (weights == NULL)
        return;
    for (int i = 0; i < weights->n_tensors; i++)
        tensor_free(weights->tensors[i]);
    free(weights->tensors);
    if (weights->map != NULL)
        munmap(weights->map, weights->map_bytes);
    free(weights);
}

static struct tensor *find(const struct weights *weights, const char *name)
{
    if (weights->declaring) { /* unsorted, and only looked at while a network is made */
        for (int i = 0; i < weights->n_tensors; i++)
            if (strcmp(weights->tensors[i]->name, name) == 0)
                return weights->tensors[i];
        return NULL;
    }
    for (int low = 0, high = weights->n_tensors - 1; low <= high;) {
        int middle = low + (high - low) / 2;
        int order = strcmp(name, weights->tensors[middle]->name);
        if (order == 0)
            return weights->tensors[middle];
        if (order < 0)
            high = middle - 1;
        else
            low = middle + 1;
    }
    return NULL;
}

const struct tensor *weights_find(const struct weights *weights, const char *name)
{
    return find(weights, name);
}

/* Equal but for ones at the end. */
static bool shapes_agree(const int64_t *a, int n_a, const int64_t *b, int n_b)
{
    for (int i = 0; i < n_a || i < n_b; i++)
        if ((i < n_a ? a[i] : 1) != (i < n_b ? b[i] : 1))
            return false;
    return true;
}

enum status weights_take(struct weights *weights, const char *name, const int64_t *dims, int n_dims,
                         struct tensor **out)
{
    enum status rc = STATUS_OK;
    char has[96], wants[96];
    struct tensor *t = find(weights, name);

    tensor_format_shape(dims, n_dims, wants, sizeof(wants));
    if (t == NULL && weights->declaring) {
        t = tensor_new(name, dims, n_dims);
        if (t == NULL)
            FAIL(STATUS_MEMORY, "no memory for tensor %s", name);
        TRY(weights_add(weights, t));
    }
    if (t == NULL)
        FAIL(STATUS_INPUT, "weights %s: tensor %s (%s) is missing: is the file cut, or of another network?",
             weights->path, name, wants);
    tensor_format_shape(t->dim, t->n_dims, has, sizeof(has));
    if (t->dtype == DTYPE_I64)
        FAIL(STATUS_INPUT, "weights %s: tensor %s holds integers, expected f32, f16 or bf16", weights->path,
             name);
    if (!shapes_agree(t->dim, t->n_dims, dims, n_dims))
        FAIL(STATUS_INPUT,
             "weights %s: tensor %s is %s, expected %s: is this another variant of the network?",
             weights->path, name, has, wants);
    memcpy(t->dim, dims,
           (size_t)n_dims * sizeof(*dims)); /* the reader's view: [k, c] and [k, c, 1, 1] are one */
    t->n_dims = n_dims;
    t->taken = true;
    *out = t;
out:
    return rc;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static const char *guess_left_over(const char *name)
{
    if (strstr(name, "module.") == name)
        return "saved from DataParallel: strip the prefix module.";
    if (strstr(name, "cbam") || strstr(name, ".se.") || strstr(name, ".ca.") || strstr(name, ".sa."))
        return "an attention module of a layout or in a place that is not known";
    if (strstr(name, "AuxLogits") || strstr(name, "aux"))
        return "an auxiliary head: export the network in eval form";
    if (ends_with(name, ".bias"))
        return "a bias where the published network has none";
    return "is this another network, or a larger variant?";
}

enum status weights_check_all_taken(const struct weights *weights, const char *arch)
{
    enum status rc = STATUS_OK;
    char shape[96];

    for (int i = 0; i < weights->n_tensors; i++) {
        const struct tensor *t = weights->tensors[i];
        if (t->taken || ends_with(t->name, "num_batches_tracked"))
            continue;
        tensor_format_shape(t->dim, t->n_dims, shape, sizeof(shape));
        FAIL(STATUS_INPUT, "weights %s: tensor %s %s is left over: no part of %s (%s)", weights->path,
             t->name, shape, arch, guess_left_over(t->name));
    }
out:
    return rc;
}

/* The header, padded with blanks so that the data starts at a multiple of 64. OUT: the caller frees. */
static enum status format_header(const struct weights *weights, const char *note, char **out, size_t *size)
{
    enum status rc = STATUS_OK;
    size_t bytes = 0, offset = 0;
    char *text = NULL;
    FILE *stream = open_memstream(&text, &bytes);

    if (stream == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    /* A stream in memory that finds none says so in its answers alone: glibc does not mark it as failed. */
    bool failed = fprintf(stream, "{\"__metadata__\":{\"eyesore.untrained\":\"%s\"}", note) < 0;
    for (int i = 0; i < weights->n_tensors; i++) {
        const struct tensor *t = weights->tensors[i];
        char shape[96];
        size_t end = offset + (size_t)t->n_elements * sizeof(float);
        tensor_format_shape(t->dim, t->n_dims, shape, sizeof(shape));
        failed |= fprintf(stream, ",\"%s\":{\"dtype\":\"F32\",\"shape\":%s,\"data_offsets\":[%zu,%zu]}",
                          t->name, shape, offset, end) < 0;
        offset = end;
    }
    failed |= fputc('}', stream) == EOF;
    failed |= fflush(stream) != 0; /* which moves `bytes` on */
    while (!failed && (8 + bytes) % 64 != 0) {
        failed |= fputc(' ', stream) == EOF;
        failed |= fflush(stream) != 0;
    }
    /* Closing may move the text, so nobody gets it before. */
    failed |= fclose(stream) != 0 || text == NULL;
    stream = NULL;
    if (failed)
        FAIL(STATUS_MEMORY, "no memory");
    *out = text;
    *size = bytes;
    text = NULL;
out:
    if (stream != NULL)
        fclose(stream);
    free(text);
    return rc;
}

enum status weights_write(const struct weights *weights, const char *path, const char *note)
{
    enum status rc = STATUS_OK;
    char temp[4096];
    char *header = NULL;
    size_t header_bytes = 0;
    uint64_t prefix;
    FILE *file = NULL;
    int fd = -1;
    bool made = false;

    TRY(format_header(weights, note, &header, &header_bytes));
    TRY(file_temp_name(path, temp, sizeof(temp)));
    fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    made = fd >= 0;
    file = fd < 0 ? NULL : fdopen(fd, "wb");
    if (file == NULL)
        FAIL(status_is_place_errno(errno) ? STATUS_PLACE : STATUS_INPUT, "%s: cannot create: %s", path,
             strerror(errno));
    fd = -1;
    prefix = header_bytes;
    fwrite(&prefix, sizeof(prefix), 1, file);
    fwrite(header, 1, header_bytes, file);
    for (int i = 0; i < weights->n_tensors; i++)
        fwrite(weights->tensors[i]->data, sizeof(float), (size_t)weights->tensors[i]->n_elements, file);
    bool failed = ferror(file) != 0;
    failed |= fclose(file) != 0;
    file = NULL;
    if (failed)
        FAIL(STATUS_PLACE, "%s: cannot write: %s", path, strerror(errno));
    TRY(file_commit(temp, path));
    made = false;
out:
    if (file != NULL)
        fclose(file);
    if (fd >= 0)
        close(fd);
    if (made)
        unlink(temp);
    free(header);
    return rc;
}
