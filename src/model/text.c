#include "model/text.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_TOKEN = 64 };

bool text_line(struct text *rest, struct text *ret_line)
{
    if (rest->size == 0)
        return false;
    const char *end = memchr(rest->at, '\n', rest->size);
    size_t size = end ? (size_t)(end - rest->at) : rest->size;
    size_t used = end ? size + 1 : size;

    *ret_line = (struct text){rest->at, size};
    if (size && rest->at[size - 1] == '\r')
        ret_line->size--;
    rest->at += used;
    rest->size -= used;
    return true;
}

bool text_starts(struct text text, const char *prefix)
{
    size_t size = strlen(prefix);

    return text.size >= size && memcmp(text.at, prefix, size) == 0;
}

bool text_equals(struct text text, const char *word)
{
    return text.size == strlen(word) && text_starts(text, word);
}

bool text_value(struct text line, const char *key, struct text *ret_value)
{
    size_t size = strlen(key);

    if (!text_starts(line, key) || line.size == size || line.at[size] != '=')
        return false;
    *ret_value = (struct text){line.at + size + 1, line.size - size - 1};
    return true;
}

bool text_word(struct text *rest, struct text *ret_word)
{
    while (rest->size && *rest->at == ' ') {
        rest->at++;
        rest->size--;
    }
    if (rest->size == 0)
        return false;
    const char *end = memchr(rest->at, ' ', rest->size);
    size_t size = end ? (size_t)(end - rest->at) : rest->size;

    *ret_word = (struct text){rest->at, size};
    rest->at += size;
    rest->size -= size;
    return true;
}

bool text_double(locale_t plain, struct text word, double *ret_value)
{
    char token[MAX_TOKEN], *end;

    if (word.size == 0 || word.size >= sizeof(token))
        return false;
    memcpy(token, word.at, word.size);
    token[word.size] = '\0';
    *ret_value = strtod_l(token, &end, plain);
    return end == token + word.size && *token != ' ';
}

bool text_int(struct text word, int64_t min, int64_t max, int64_t *ret_value)
{
    int64_t value = 0;
    bool minus = word.size && *word.at == '-';
    size_t digits = word.size - minus;

    if (digits == 0 || digits > 12)
        return false;
    for (size_t i = minus; i < word.size; i++) {
        if (word.at[i] < '0' || word.at[i] > '9')
            return false;
        value = value * 10 + (word.at[i] - '0');
    }
    *ret_value = minus ? -value : value;
    return *ret_value >= min && *ret_value <= max;
}

bool text_next_int(struct text *rest, int64_t min, int64_t max, int64_t *ret_value)
{
    struct text word;

    return text_word(rest, &word) && text_int(word, min, max, ret_value);
}

bool text_next_double(locale_t plain, struct text *rest, double *ret_value)
{
    struct text word;

    return text_word(rest, &word) && text_double(plain, word, ret_value);
}

bool text_at_end(struct text rest)
{
    struct text word;

    return !text_word(&rest, &word);
}
