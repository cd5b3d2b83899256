#include "capture.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int kept = -1;
static FILE *sink;

void capture_begin(void)
{
    sink = tmpfile();
    kept = dup(STDERR_FILENO);
    if (sink == NULL || kept < 0 || dup2(fileno(sink), STDERR_FILENO) < 0)
        abort();
}

void capture_end(char *text, size_t size)
{
    if (dup2(kept, STDERR_FILENO) < 0)
        abort();
    close(kept);
    rewind(sink);
    text[fread(text, 1, size - 1, sink)] = '\0';
    fclose(sink);
}
