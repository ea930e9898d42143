#include "http/route.h"

#include "base/nearest.h"

#include <stdio.h>

static bool segment_fits(struct text pattern, struct text segment, struct route_args *args)
{
    if (!text_is(pattern, "{}"))
        return pattern.size == segment.size && memcmp(pattern.at, segment.at, segment.size) == 0;
    if (args->count == ROUTE_ARGS)
        return false;
    args->args[args->count++] = segment;
    return true;
}

static bool fits(const char *pattern, const struct url *url, struct route_args *args)
{
    struct text rest = text_of(pattern);
    unsigned at = 0;

    args->count = 0;
    while (rest.size > 0 && at < url->segment_count)
        if (!segment_fits(text_cut(&rest, '/'), url->segments[at++], args))
            return false;
    bool wants_slash = *pattern == '\0' || pattern[strlen(pattern) - 1] == '/';
    return rest.size == 0 && at == url->segment_count && url->trailing_slash == wants_slash;
}

const struct route *route_find(const struct route *routes, unsigned count, const struct url *url,
                               struct route_args *ret_args)
{
    ret_args->url = url;
    for (unsigned i = 0; i < count; i++)
        if (fits(routes[i].pattern, url, ret_args))
            return &routes[i];
    return NULL;
}

static bool is_known(const struct route *route, struct text key)
{
    for (const char *const *known = route->params; *known; known++)
        if (text_is(key, *known))
            return true;
    return false;
}

static enum tl_code refuse_param(const struct route *route, struct text key, struct tl_err *err)
{
    char name[64], list[256] = "";
    size_t used = 0;

    if (!text_copy(key, name, sizeof(name)))
        snprintf(name, sizeof(name), "%.60s...", key.at);
    if (!route->params[0])
        return tl_fail(err, TL_INVALID, "unknown query parameter \"%s\": this address takes none",
                       name);
    for (const char *const *known = route->params; *known && used < sizeof(list); known++)
        used +=
            (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", used ? ", " : "", *known);
    const char *guess = nearest_word(name, route->params);
    return tl_fail(err, TL_INVALID, "unknown query parameter \"%s\"%s%s%s; known are: %s", name,
                   guess ? ", did you mean \"" : "", guess ? guess : "", guess ? "\"?" : "", list);
}

enum tl_code route_check_params(const struct route *route, const struct url *url,
                                struct tl_err *err)
{
    for (unsigned i = 0; i < url->param_count; i++)
        if (!is_known(route, url->params[i].key))
            return refuse_param(route, url->params[i].key, err);
    return TL_OK;
}
