#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

void tl_check_failed(const char *expr, const char *file, int line)
{
    fprintf(stderr, "tilth: broken invariant at %s:%d: %s\n", file, line, expr);
    abort();
}
