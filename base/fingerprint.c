#include "base/fingerprint.h"

#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fingerprint_add(struct fingerprint *fp, const char *key, const char *format, ...)
{
    char *value = NULL;
    va_list args;

    va_start(args, format);
    int n = vasprintf(&value, format, args);
    va_end(args);
    char *grown = n < 0 ? NULL : realloc(fp->text, fp->used + strlen(key) + (size_t)n + 3);
    if (grown == NULL) {
        fp->failed = true;
        if (n >= 0)
            free(value);
        return;
    }
    for (char *p = value; *p != '\0'; p++)
        if (*p == '\n')
            *p = ' ';
    fp->text = grown;
    fp->used += (size_t)sprintf(fp->text + fp->used, "%s=%s\n", key, value);
    free(value);
}

enum status sha256_bytes(const void *bytes, size_t size, char hex[SHA256_HEX_SIZE])
{
    enum status rc = STATUS_OK;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int n = 0;

    if (EVP_Digest(bytes, size, digest, &n, EVP_sha256(), NULL) != 1 || n != 32)
        FAIL(STATUS_INTERNAL, "OpenSSL cannot compute SHA-256");
    for (unsigned int i = 0; i < n; i++)
        sprintf(hex + 2 * i, "%02x", digest[i]);
out:
    return rc;
}

enum status fingerprint_close(struct fingerprint *fp)
{
    enum status rc = STATUS_OK;

    if (fp->failed)
        FAIL(STATUS_MEMORY, "no memory");
    TRY(sha256_bytes(fp->text == NULL ? "" : fp->text, fp->used, fp->hex));
out:
    return rc;
}

void fingerprint_free(struct fingerprint *fp)
{
    if (fp == NULL)
        return;
    free(fp->text);
    *fp = (struct fingerprint){0};
}

static size_t line_length(const char *line)
{
    return strcspn(line, "\n");
}

bool fingerprint_difference(const char *was, const char *is, char *difference, size_t size)
{
    while (*was != '\0' || *is != '\0') {
        size_t n_was = line_length(was), n_is = line_length(is);
        if (n_was != n_is || memcmp(was, is, n_was) != 0) {
            size_t key_was = strcspn(was, "=\n"), key_is = strcspn(is, "=\n");
            if (key_was == key_is && memcmp(was, is, key_was) == 0 && was[key_was] == '=')
                snprintf(difference, size, "%.*s: was %.*s, is %.*s", (int)key_was, was,
                         (int)(n_was - key_was - 1), was + key_was + 1, (int)(n_is - key_is - 1),
                         is + key_is + 1);
            else
                snprintf(difference, size, "was %.*s, is %.*s", (int)n_was, n_was ? was : "", (int)n_is,
                         n_is ? is : "");
            return true;
        }
        was += n_was + (was[n_was] == '\n');
        is += n_is + (is[n_is] == '\n');
    }
    return false;
}
