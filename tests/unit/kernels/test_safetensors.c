/* The weights reader against files from strangers: every one is read right or refused, none crashes. */
#include "kernels/weights.h"
#include "tests/unit/kernels/support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Write header size, header and n_data bytes of data (0, 1, 2, ...); -1: the header's own length. */
static const char *write_file(const char *name, int64_t header_bytes, const char *header, size_t n_data)
{
    const char *path = support_path(name);
    FILE *file = fopen(path, "wb");
    uint64_t size = header_bytes < 0 ? strlen(header) : (uint64_t)header_bytes;

    assert_non_null(file);
    fwrite(&size, sizeof(size), 1, file);
    fwrite(header, 1, strlen(header), file);
    for (size_t i = 0; i < n_data; i++)
        fputc((int)(i & 0xff), file);
    assert_int_equal(fclose(file), 0);
    return path;
}

static enum status open_quietly(const char *path, struct weights **weights, char *text, size_t size)
{
    *weights = NULL;
    support_capture();
    enum status rc = weights_open(path, weights);
    support_captured(text, size);
    return rc;
}

static void assert_refused(const char *header, size_t n_data, const char *says)
{
    char text[4096];
    struct weights *weights;

    if (open_quietly(write_file("refused", -1, header, n_data), &weights, text, sizeof(text)) != STATUS_INPUT)
        fail_msg("not refused: %s", header);
    assert_null(weights);
    if (strstr(text, says) == NULL)
        fail_msg("'%s' does not say '%s' (%s)", text, says, header);
}

#define ONE "\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]"

static void test_sound_file(void **state)
{
    char text[256];
    struct weights *weights;
    (void)state;

    assert_int_equal(
        open_quietly(write_file("sound", -1,
                                " {\"b\" : { \"shape\":[ ], \"dtype\":\"F32\", "
                                "\"data_offsets\":[ 8, 12 ] },\n\t\"__metadata__\":{\"a\":\"b\"},"
                                "\"a\":{" ONE "}}   ",
                                12),
                     &weights, text, sizeof(text)),
        STATUS_OK);
    assert_string_equal(text, "");
    assert_int_equal(weights->n_tensors, 2);
    assert_true(weights->trained);
    assert_int_equal(weights_find(weights, "b")->n_elements, 1);
    assert_int_equal(weights_find(weights, "b")->n_dims, 0);
    assert_int_equal(weights_find(weights, "a")->dim[0], 2);
    assert_int_equal(weights_find(weights, "a")->data[4], 4);
    assert_null(weights_find(weights, "c"));
    weights_close(weights);
}

static void test_untrained_mark(void **state)
{
    char text[256];
    struct weights *weights;
    (void)state;

    const char *path =
        write_file("mark", -1, "{\"__metadata__\":{\"eyesore.untrained\":\"x\"},\"a\":{" ONE "}}", 8);
    assert_int_equal(open_quietly(path, &weights, text, sizeof(text)), STATUS_OK);
    assert_false(weights->trained);
    weights_close(weights);
}

static void test_hostile_extents(void **state)
{
    (void)state;
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 7, "outside the file");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]}}", 8,
                   "outside the file");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, "outside the file");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", 8, "whole number");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, "whole number");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8, "3 elements");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}", 8, "dimension of 0");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", 8, "outside the file");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,8]}}", 8, "dimensions");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2147483648],\"data_offsets\":[0,8]}}", 8,
                   "dimension of");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2147483647,512,2147483647],\"data_offsets\":[0,8]}}",
                   8, "dimension of");
    /* 2^62 * 4 bytes is 0 in 64 bits. */
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2147483647,2147483647,2,2],\"data_offsets\":[0,8]}}",
                   8, "a");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[65536,65536,65536,65536],\"data_offsets\":[0,0]}}",
                   8, "a");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1099511627776,4194304],\"data_offsets\":[0,0]}}", 8,
                   "a");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,8]}}", 8,
                   "too large");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[18446744073709551608,8]}}", 8,
                   "too large");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[9223372036854775800,"
                   "9223372036854775807]}}",
                   8, "");
}

static void test_hostile_fields(void **state)
{
    (void)state;
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,2],\"data_offsets\":[0,8]}}", 8,
                   "4 dimensions");
    assert_refused("{\"a\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8, "type F64");
    assert_refused("{\"a\":{\"dtype\":\"F32F32F32F32F32F32F32\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8,
                   "too long");
    assert_refused("{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "lacks dtype");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, "lacks");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "lacks");
    assert_refused("{\"a\":{" ONE ",\"color\":\"red\"}}", 8, "unknown field color");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[NaN],\"data_offsets\":[0,8]}}", 8, "whole number");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}}", 8, "expected ']'");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2,],\"data_offsets\":[0,8]}}", 8, "whole number");
    assert_refused("{\"a\":{\"dtype\":null,\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "expected '\"'");
    assert_refused("{\"a\":{" ONE "},\"a\":{" ONE "}}", 8, "stands twice");
}

static void test_hostile_syntax(void **state)
{
    static char deep[200001], name[2000];
    (void)state;

    memset(deep, '[', sizeof(deep) - 1);
    assert_refused(deep, 8, "expected '{'");
    memset(deep, '{', sizeof(deep) - 1);
    assert_refused(deep, 8, "expected '\"'");
    memset(deep, ' ', sizeof(deep) - 1);
    assert_refused(deep, 8, "expected '{'");
    assert_refused("{}", 8, "no tensors");
    assert_refused("{\"__metadata__\":{}}", 8, "no tensors");
    assert_refused("{\"__metadata__\":{\"a\":1}}", 8, "expected");
    assert_refused("{\"__metadata__\":[[[[[[[]]]]]]]}", 8, "expected");
    assert_refused("{\"a\":{" ONE "}} x", 8, "behind its end");
    assert_refused("{\"a\":{" ONE "}", 8, "expected '}'");
    assert_refused("{\"a\\u0000\":{" ONE "}}", 8, "escape");
    assert_refused("{\"a\nb\":{" ONE "}}", 8, "not text");
    assert_refused("{\"a", 8, "expected '\"'");
    assert_refused("{\"a\\", 8, "escape");
    snprintf(name, sizeof(name), "{\"%0300d\":{" ONE "}}", 7);
    assert_refused(name, 8, "too long");
}

static void test_header_sizes(void **state)
{
    static const int64_t sizes[] = {INT64_MAX, 1000000, 61, (int64_t)1 << 33, (16 << 20) + 1};
    char text[1024];
    struct weights *weights;
    (void)state;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        const char *path = write_file("size", sizes[i], "{\"a\":{" ONE "}}", 1);
        assert_int_equal(open_quietly(path, &weights, text, sizeof(text)), STATUS_INPUT);
        assert_non_null(strstr(text, "safetensors"));
    }
    const char *path = support_path("minus");
    FILE *file = fopen(path, "wb");
    uint64_t size = UINT64_MAX - 7; /* 8 + size wraps around */
    assert_non_null(file);
    fwrite(&size, sizeof(size), 1, file);
    fputs("{\"a\":{" ONE "}}12345678", file);
    fclose(file);
    assert_int_equal(open_quietly(path, &weights, text, sizeof(text)), STATUS_INPUT);
}

static void test_places(void **state)
{
    char text[1024], longest[1000];
    struct weights *weights;
    (void)state;

    assert_int_equal(open_quietly(support_path("absent"), &weights, text, sizeof(text)), STATUS_INPUT);
    assert_non_null(strstr(text, "No such file"));
    assert_int_equal(open_quietly("/tmp", &weights, text, sizeof(text)), STATUS_INPUT);
    assert_int_equal(open_quietly("/dev/zero", &weights, text, sizeof(text)), STATUS_INPUT);
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(open_quietly(longest, &weights, text, sizeof(text)), STATUS_INPUT);
    /* A pickle of PyTorch, which is a zip file. */
    FILE *file = fopen(support_path("model.pth"), "wb");
    assert_non_null(file);
    fputs("PK\003\004........................", file);
    fclose(file);
    assert_int_equal(open_quietly(support_path("model.pth"), &weights, text, sizeof(text)), STATUS_INPUT);
    assert_non_null(strstr(text, ".pth"));
}

/* Cut at every byte, and with every byte of the header replaced: refused, or read without touching memory
 * outside the file (the sanitizers watch). */
static void test_every_cut_and_change(void **state)
{
    static const char header[] = "{\"__metadata__\":{\"k\":\"v\"},\"a\":{" ONE
                                 "},\"b\":{\"dtype\":\"F16\",\"shape\":[2,1],\"data_offsets\":[8,12]}}";
    static const char changes[] = "\"{}[],:0 9\\\xff";
    static char bytes[8 + sizeof(header) - 1 + 12], changed[sizeof(bytes)];
    char text[1024];
    struct weights *weights;
    uint64_t size = sizeof(header) - 1;
    (void)state;

    memcpy(bytes, &size, 8);
    memcpy(bytes + 8, header, size);
    for (size_t i = 0; i < sizeof(bytes) + (sizeof(changes) - 1) * (8 + size); i++) {
        bool cut = i < sizeof(bytes);
        size_t at = cut ? i : (i - sizeof(bytes)) / (sizeof(changes) - 1);
        memcpy(changed, bytes, sizeof(bytes));
        if (!cut)
            changed[at] = changes[(i - sizeof(bytes)) % (sizeof(changes) - 1)];
        const char *path = support_path("changed");
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        fwrite(changed, 1, cut ? at : sizeof(changed), file);
        fclose(file);
        enum status rc = open_quietly(path, &weights, text, sizeof(text));
        if (cut)
            assert_int_equal(rc, STATUS_INPUT);
        for (int t = 0; rc == STATUS_OK && t < weights->n_tensors; t++) {
            float values[16];
            assert_true(weights->tensors[t]->n_elements <= 12);
            if (weights->tensors[t]->dtype != DTYPE_I64)
                tensor_to_f32(weights->tensors[t], values);
        }
        weights_close(weights);
    }
}

/* f16 by the rules of IEEE 754, in double. */
static double half_value(uint16_t raw)
{
    int exponent = raw >> 10 & 31, mantissa = raw & 1023;
    double sign = raw & 0x8000 ? -1 : 1;

    if (exponent == 31)
        return mantissa != 0 ? NAN : sign * INFINITY;
    return sign * (exponent == 0 ? ldexp(mantissa, -24) : ldexp(1024 + mantissa, exponent - 25));
}

/* Every f16 and bf16 there is, at an odd address. */
static void test_half_precision(void **state)
{
    static unsigned char raw[2 * 65536 + 1];
    static float values[65536];
    struct tensor t = {.dtype = DTYPE_F16, .n_elements = 65536, .data = raw + 1};
    (void)state;

    for (uint32_t i = 0; i < 65536; i++) {
        uint16_t half = (uint16_t)i;
        memcpy(raw + 1 + 2 * i, &half, 2);
    }
    tensor_to_f32(&t, values);
    for (uint32_t i = 0; i < 65536; i++) {
        double wanted = half_value((uint16_t)i);
        assert_true(isnan(wanted) ? isnan(values[i]) : values[i] == wanted);
        assert_int_equal(signbit(values[i]) != 0, i >> 15);
    }
    t.dtype = DTYPE_BF16;
    tensor_to_f32(&t, values);
    for (uint32_t i = 0; i < 65536; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof(bits));
        assert_int_equal(bits, i << 16);
    }
}

/* Data that starts at an odd byte of the file. */
static void test_unaligned_f32(void **state)
{
    struct weights *weights;
    char text[256];
    float values[2];
    (void)state;

    for (int blanks = 0; blanks < 4; blanks++) {
        char header[256];
        snprintf(header, sizeof(header), "{\"a\":{" ONE "}}%*s", blanks, "");
        assert_int_equal(open_quietly(write_file("odd", -1, header, 8), &weights, text, sizeof(text)),
                         STATUS_OK);
        tensor_to_f32(weights_find(weights, "a"), values);
        assert_memory_equal(values, ((const unsigned char[]){0, 1, 2, 3, 4, 5, 6, 7}), 8);
        weights_close(weights);
    }
}

static void test_written_is_read(void **state)
{
    const int64_t dims[] = {3, 2, 1, 1};
    struct weights *weights;
    struct tensor *t;
    char text[256];
    float values[6];
    (void)state;

    const char *path = support_path("written");
    assert_int_equal(weights_declare(&weights), STATUS_OK);
    assert_int_equal(weights_take(weights, "layer.weight", dims, 4, &t), STATUS_OK);
    support_fill(1, -1, 1, t->own, 6);
    assert_int_equal(weights_write(weights, path, "a test"), STATUS_OK);
    memcpy(values, t->own, sizeof(values));
    weights_close(weights);
    assert_int_equal(open_quietly(path, &weights, text, sizeof(text)), STATUS_OK);
    assert_false(weights->trained);
    assert_memory_equal(weights_find(weights, "layer.weight")->data, values, sizeof(values));
    assert_int_equal(weights_take(weights, "layer.weight", dims, 2, &t), STATUS_OK); /* [3,2] is as good */
    weights_close(weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound_file),      cmocka_unit_test(test_untrained_mark),
        cmocka_unit_test(test_hostile_extents), cmocka_unit_test(test_hostile_fields),
        cmocka_unit_test(test_hostile_syntax),  cmocka_unit_test(test_header_sizes),
        cmocka_unit_test(test_places),          cmocka_unit_test(test_every_cut_and_change),
        cmocka_unit_test(test_half_precision),  cmocka_unit_test(test_unaligned_f32),
        cmocka_unit_test(test_written_is_read),
    };
    return cmocka_run_group_tests_name("safetensors", tests, NULL, support_teardown);
}
