#include "http/text.h"

#include <endian.h>
#include <strings.h>

bool text_is_nocase(struct text text, const char *string)
{
    size_t size = strlen(string);

    return text.size == size && strncasecmp(text.at, string, size) == 0;
}

bool text_copy(struct text text, char *to, size_t room)
{
    if (text.size >= room)
        return false;
    if (text.size > 0) /* an absent text has no address */
        memcpy(to, text.at, text.size);
    to[text.size] = '\0';
    return true;
}

struct text text_cut(struct text *rest, char separator)
{
    struct text part = *rest;

    if (rest->size == 0)
        return part;
    const char *found = memchr(rest->at, separator, rest->size);
    if (found)
        part.size = (size_t)(found - rest->at);
    size_t taken = part.size + (found != NULL);
    rest->at += taken;
    rest->size -= taken;
    return part;
}

bool text_uint(struct text text, uint64_t max, uint64_t *ret)
{
    uint64_t value = 0;

    if (text.size == 0)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        unsigned digit = (unsigned char)text.at[i] - (unsigned)'0';

        if (digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return false;
    }
    if (value > max)
        return false;
    *ret = value;
    return true;
}

/* The digits of eight nibbles, all at once: spread them over the bytes, add '0', and 39 more
 * where a letter is due. */
static uint64_t hex_digits(uint32_t value)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t x = value;

    x = (x | x << 16) & UINT64_C(0x0000ffff0000ffff);
    x = (x | x << 8) & UINT64_C(0x00ff00ff00ff00ff);
    x = (x | x << 4) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return x + '0' * ones + ((x + 6 * ones) >> 4 & ones) * ('a' - '0' - 10);
}

char *put_hex64(char *to, uint64_t value)
{
    uint64_t digits[2] = {htobe64(hex_digits((uint32_t)(value >> 32))),
                          htobe64(hex_digits((uint32_t)value))};

    memcpy(to, digits, sizeof(digits));
    return to + sizeof(digits);
}

char *put_uint(char *to, uint64_t value)
{
    char digits[20];
    unsigned n = 0;

    do
        digits[n++] = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    while (n > 0)
        *to++ = digits[--n];
    return to;
}

char *put_ms(char *to, int64_t ns)
{
    uint64_t us = ns > 0 ? (uint64_t)ns / 1000 : 0;

    to = put_uint(to, us / 1000);
    *to++ = '.';
    *to++ = (char)('0' + us / 100 % 10);
    *to++ = (char)('0' + us / 10 % 10);
    *to++ = (char)('0' + us % 10);
    return to;
}

const char *status_reason(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 204:
        return "No Content";
    case 301:
        return "Moved Permanently";
    case 304:
        return "Not Modified";
    case 400:
        return "Bad Request";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 415:
        return "Unsupported Media Type";
    case 499:
        return "Client Closed Request";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    case 507:
        return "Insufficient Storage";
    default:
        return status < 500 ? "Refused" : "Internal Server Error";
    }
}
