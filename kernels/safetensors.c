#include "kernels/safetensors.h"

#include <stdlib.h>
#include <string.h>

#define ELEMENTS_LIMIT (INT64_C(1) << 40) /* of a tensor: more than any file holds */

struct cursor {
    const char *path;
    const char *at, *end;
};

static void skip_space(struct cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\n' || *c->at == '\r'))
        c->at++;
}

static bool accept(struct cursor *c, char wanted)
{
    skip_space(c);
    if (c->at >= c->end || *c->at != wanted)
        return false;
    c->at++;
    return true;
}

static enum status expect(struct cursor *c, char wanted)
{
    enum status rc = STATUS_OK;
    if (!accept(c, wanted))
        FAIL(STATUS_INPUT, "%s: the safetensors header is broken: expected '%c'", c->path, wanted);
out:
    return rc;
}

/* A JSON string. Tensor names are plain ASCII; escapes other than \" \\ \/ are refused rather than guessed.
 */
static enum status parse_string(struct cursor *c, char *text, size_t size)
{
    enum status rc = STATUS_OK;
    size_t used = 0;

    TRY(expect(c, '"'));
    while (c->at < c->end && *c->at != '"') {
        char ch = *c->at++;
        if (ch == '\\') {
            if (c->at >= c->end || strchr("\"\\/", *c->at) == NULL)
                FAIL(STATUS_INPUT, "%s: the safetensors header has an escape in a name", c->path);
            ch = *c->at++;
        }
        if ((unsigned char)ch < 0x20 || used + 1 >= size)
            FAIL(STATUS_INPUT, "%s: the safetensors header has a name that is too long or not text", c->path);
        text[used++] = ch;
    }
    TRY(expect(c, '"'));
    text[used] = '\0';
out:
    return rc;
}

static enum status parse_integer(struct cursor *c, int64_t *value)
{
    enum status rc = STATUS_OK;
    int64_t n = 0;
    int digits = 0;

    skip_space(c);
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++, digits++) {
        if (n > (INT64_MAX - 9) / 10)
            FAIL(STATUS_INPUT, "%s: the safetensors header has a number that is too large", c->path);
        n = n * 10 + (*c->at - '0');
    }
    if (digits == 0)
        FAIL(STATUS_INPUT, "%s: the safetensors header is broken: expected a whole number", c->path);
    *value = n;
out:
    return rc;
}

/* `[1, 2, 3]`, at most `limit` numbers. */
static enum status parse_integers(struct cursor *c, const char *name, int64_t *values, int limit, int *n)
{
    enum status rc = STATUS_OK;

    *n = 0;
    TRY(expect(c, '['));
    if (accept(c, ']'))
        goto out;
    do {
        if (*n == limit)
            FAIL(STATUS_INPUT, "%s: tensor %s has more than %d dimensions: not one of our networks", c->path,
                 name, limit);
        TRY(parse_integer(c, &values[(*n)++]));
    } while (accept(c, ','));
    TRY(expect(c, ']'));
out:
    return rc;
}

static enum status parse_dtype(struct cursor *c, const char *name, enum dtype *dtype, size_t *element_bytes)
{
    static const struct {
        const char *name;
        enum dtype dtype;
        size_t bytes;
    } known[] = {
        {"F32", DTYPE_F32, 4}, {"F16", DTYPE_F16, 2}, {"BF16", DTYPE_BF16, 2}, {"I64", DTYPE_I64, 8}};
    enum status rc = STATUS_OK;
    char text[16];

    TRY(parse_string(c, text, sizeof(text)));
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(text, known[i].name) == 0) {
            *dtype = known[i].dtype;
            *element_bytes = known[i].bytes;
            goto out;
        }
    }
    FAIL(STATUS_INPUT, "%s: tensor %s is of type %s; f32, f16 and bf16 are read: convert it", c->path, name,
         text);
out:
    return rc;
}

static enum status check_extent(struct cursor *c, struct tensor *t, const int64_t offsets[2], int n_offsets,
                                size_t element_bytes, size_t data_bytes)
{
    enum status rc = STATUS_OK;

    t->n_elements = 1;
    for (int i = 0; i < t->n_dims; i++)
        if (t->dim[i] < 1 || t->dim[i] > INT32_MAX ||
            __builtin_mul_overflow(t->n_elements, t->dim[i], &t->n_elements) ||
            t->n_elements > ELEMENTS_LIMIT)
            FAIL(STATUS_INPUT, "%s: tensor %s has a dimension of %lld", c->path, t->name,
                 (long long)t->dim[i]);
    if (n_offsets != 2 || offsets[0] > offsets[1] || (uint64_t)offsets[1] > data_bytes)
        FAIL(STATUS_INPUT, "%s: tensor %s lies outside the file: the file is cut short or not safetensors",
             c->path, t->name);
    if ((uint64_t)(offsets[1] - offsets[0]) != (uint64_t)t->n_elements * element_bytes)
        FAIL(STATUS_INPUT, "%s: tensor %s has %lld bytes, its shape asks for %lld elements of %zu", c->path,
             t->name, (long long)(offsets[1] - offsets[0]), (long long)t->n_elements, element_bytes);
out:
    return rc;
}

static enum status parse_tensor(struct cursor *c, const char *name, const unsigned char *data,
                                size_t data_bytes, struct tensor **out)
{
    enum status rc = STATUS_OK;
    struct tensor *t = calloc(1, sizeof(*t));
    int64_t offsets[2] = {0, 0};
    int n_offsets = 0, seen = 0;
    size_t element_bytes = 0;
    char key[32];

    if (t == NULL)
        FAIL(STATUS_MEMORY, "no memory");
    memcpy(t->name, name, strlen(name) + 1);
    TRY(expect(c, '{'));
    do {
        TRY(parse_string(c, key, sizeof(key)));
        TRY(expect(c, ':'));
        if (strcmp(key, "dtype") == 0) {
            TRY(parse_dtype(c, name, &t->dtype, &element_bytes));
            seen |= 1;
        } else if (strcmp(key, "shape") == 0) {
            TRY(parse_integers(c, name, t->dim, TENSOR_MAX_DIMS, &t->n_dims));
            seen |= 2;
        } else if (strcmp(key, "data_offsets") == 0) {
            TRY(parse_integers(c, name, offsets, 2, &n_offsets));
            seen |= 4;
        } else {
            FAIL(STATUS_INPUT, "%s: tensor %s has an unknown field %s", c->path, name, key);
        }
    } while (accept(c, ','));
    TRY(expect(c, '}'));
    if (seen != 7)
        FAIL(STATUS_INPUT, "%s: tensor %s lacks dtype, shape or data_offsets", c->path, name);
    TRY(check_extent(c, t, offsets, n_offsets, element_bytes, data_bytes));
    t->data = data + offsets[0];
    *out = t;
    t = NULL;
out:
    free(t);
    return rc;
}

static enum status parse_metadata(struct cursor *c, struct weights *weights)
{
    enum status rc = STATUS_OK;
    char key[128], value[4096];

    TRY(expect(c, '{'));
    if (accept(c, '}'))
        goto out;
    do {
        TRY(parse_string(c, key, sizeof(key)));
        TRY(expect(c, ':'));
        TRY(parse_string(c, value, sizeof(value)));
        if (strcmp(key, "eyesore.untrained") == 0)
            weights->trained = false;
    } while (accept(c, ','));
    TRY(expect(c, '}'));
out:
    return rc;
}

enum status safetensors_parse(struct weights *weights, const char *text, size_t size,
                              const unsigned char *data, size_t data_bytes)
{
    enum status rc = STATUS_OK;
    struct cursor c = {weights->path, text, text + size};
    char name[TENSOR_NAME_SIZE];

    TRY(expect(&c, '{'));
    if (accept(&c, '}'))
        goto out;
    do {
        struct tensor *tensor;
        TRY(parse_string(&c, name, sizeof(name)));
        TRY(expect(&c, ':'));
        if (strcmp(name, "__metadata__") == 0) {
            TRY(parse_metadata(&c, weights));
            continue;
        }
        TRY(parse_tensor(&c, name, data, data_bytes, &tensor));
        TRY(weights_add(weights, tensor));
    } while (accept(&c, ','));
    TRY(expect(&c, '}'));
    skip_space(&c);
    if (c.at != c.end)
        FAIL(STATUS_INPUT, "%s: the safetensors header has something behind its end", weights->path);
out:
    return rc;
}
