#include "base/err.h"

#include "base/check.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    int http;
    const char *key;
    const char *text;
} codes[] = {
#define X(code, http, key, text) [code] = {http, key, text},
    TL_CODES(X)
#undef X
};

void tl_err_set(struct tl_err *err, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
    va_end(ap);
}

void tl_err_prefix(struct tl_err *err, const char *fmt, ...)
{
    struct tl_err inner = *err;
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof(err->msg))
        snprintf(err->msg + n, sizeof(err->msg) - (size_t)n, "%s", inner.msg);
}

int tl_code_http(enum tl_code code)
{
    TL_CHECK(code < TL_CODE_COUNT);
    return codes[code].http;
}

const char *tl_code_key(enum tl_code code)
{
    TL_CHECK(code < TL_CODE_COUNT);
    return codes[code].key;
}

const char *tl_code_text(enum tl_code code)
{
    TL_CHECK(code < TL_CODE_COUNT);
    return codes[code].text;
}
