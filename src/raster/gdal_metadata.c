#include "raster/gdal_metadata.h"

#include "base/arena.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A piece of the document; nothing in it is NUL-terminated. */
struct text {
    const char *at, *end;
};

static bool text_is(struct text text, const char *word)
{
    size_t size = strlen(word);

    return (size_t)(text.end - text.at) == size && memcmp(text.at, word, size) == 0;
}

/* Where `word` starts in `text`, or NULL. */
static const char *find(struct text text, const char *word)
{
    return text.at < text.end ? memmem(text.at, (size_t)(text.end - text.at), word, strlen(word))
                              : NULL;
}

/* The value of attribute `name` in the inside of an opening tag. */
static bool attribute(struct text tag, const char *name, struct text *ret_value)
{
    char opening[32];

    snprintf(opening, sizeof(opening), " %s=\"", name);
    const char *at = find(tag, opening);
    if (!at)
        return false;
    struct text rest = {at + strlen(opening), tag.end};
    const char *end = find(rest, "\"");
    if (!end)
        return false;
    *ret_value = (struct text){rest.at, end};
    return true;
}

/* A number with nothing after it. Numbers in these documents are short. */
static bool number(struct text text, double *ret)
{
    char digits[64], *end;
    size_t size = (size_t)(text.end - text.at);

    if (!size || size >= sizeof(digits))
        return false;
    memcpy(digits, text.at, size);
    digits[size] = '\0';
    double value = strtod(digits, &end);
    if (*end != '\0' || !isfinite(value))
        return false;
    *ret = value;
    return true;
}

/* "&lt;" and its four sisters back to characters; never longer than the text. */
static const char *unescape(struct text text, struct arena *arena)
{
    static const struct {
        const char *entity;
        char plain;
    } entities[] = {
        {"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'}, {"&quot;", '"'}, {"&apos;", '\''}};
    char *out = arena_alloc(arena, (size_t)(text.end - text.at) + 1, 1), *to = out;

    if (!out)
        return NULL;
    while (text.at < text.end) {
        size_t step = 1;

        *to = *text.at;
        for (size_t i = 0; i < TL_COUNT(entities) && *text.at == '&'; i++) {
            size_t size = strlen(entities[i].entity);

            if ((size_t)(text.end - text.at) >= size &&
                memcmp(text.at, entities[i].entity, size) == 0) {
                *to = entities[i].plain;
                step = size;
                break;
            }
        }
        to++;
        text.at += step;
    }
    *to = '\0';
    return out;
}

/* GDAL escapes what it writes before the XML writer does so again, and reads likewise. */
static const char *unescape_twice(struct text text, struct arena *arena)
{
    const char *once = unescape(text, arena);

    return once ? unescape((struct text){once, once + strlen(once)}, arena) : NULL;
}

static void read_item(struct text tag, struct text body, uint16_t bands, struct arena *arena,
                      struct raster_info *info)
{
    struct text sample, role, domain;
    double index, value;

    if (attribute(tag, "domain", &domain) || !attribute(tag, "sample", &sample) ||
        !attribute(tag, "role", &role) || !number(sample, &index) || index < 0 || index >= bands)
        return;
    uint16_t band = (uint16_t)index;
    if (text_is(role, "scale") && number(body, &value))
        info->scale[band] = value;
    else if (text_is(role, "offset") && number(body, &value))
        info->offset[band] = value;
    else if (text_is(role, "description") && body.at < body.end)
        info->band_names[band] = unescape_twice(body, arena);
}

void gdal_metadata_read(const char *xml, size_t size, uint16_t bands, struct arena *arena,
                        struct raster_info *info)
{
    struct text rest = {xml, xml + size};

    for (;;) {
        const char *item = find(rest, "<Item");
        if (!item)
            return;
        struct text tag = {item + strlen("<Item"), rest.end};
        const char *tag_end = find(tag, ">");
        if (!tag_end)
            return;
        tag.end = tag_end;
        struct text body = {tag_end + 1, rest.end};
        const char *body_end = find(body, "<");
        if (!body_end)
            return;
        body.end = body_end;
        read_item(tag, body, bands, arena, info);
        rest.at = body_end;
    }
}
