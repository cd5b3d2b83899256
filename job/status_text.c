#include "job/status_text.h"

#include "shards/utf8.h"

#include <string.h>

/* How many bytes at p are a character that a terminal may obey rather than show; p is valid UTF-8. */
static size_t control_bytes(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;

    if (u[0] < ' ' || u[0] == 0x7F)
        return 1;
    if (u[0] == 0xC2 && u[1] < 0xA0) /* C1: U+0080 to U+009F */
        return 2;
    if (u[0] == 0xE2 && ((u[1] == 0x80 && u[2] >= 0xAA && u[2] <= 0xAE) ||
                         (u[1] == 0x81 && u[2] >= 0xA6 && u[2] <= 0xA9))) /* U+202A.., U+2066..: bidi */
        return 3;
    return 0;
}

void text_make_printable(char *text)
{
    size_t size = strlen(text);

    for (size_t at = 0; at < size;) {
        size_t end = at + utf8_valid_bytes(text + at, size - at);
        while (at < end) {
            size_t n = control_bytes(text + at);
            memset(text + at, '?', n);
            at += n > 0 ? n : 1;
        }
        if (at < size)
            text[at++] = '?';
    }
}
