/*
 * Any bytes as a request target: refused, or decoded into printable text that stays inside its
 * buffer, and then routed. Nothing that was let through may climb or hide a separator.
 */
#include "http/app.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_segment(struct text segment)
{
    if (segment.size == 0 || text_is(segment, ".") || text_is(segment, ".."))
        abort();
    for (size_t i = 0; i < segment.size; i++)
        if (segment.at[i] < 0x20 || segment.at[i] > 0x7e || segment.at[i] == '/' ||
            segment.at[i] == '\\' || segment.at[i] == '%')
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct route_args args;
    struct url url;
    struct tl_err err;

    if (url_parse((struct text){(const char *)data, size}, &url, &err) != TL_OK)
        return 0;
    for (unsigned i = 0; i < url.segment_count; i++)
        check_segment(url.segments[i]);
    const struct route *route = route_find(http_routes, http_route_count, &url, &args);
    if (route && route_check_params(route, &url, &err) == TL_OK && url.param_count > 5)
        abort(); /* no route takes so many, and none may be given twice */
    return 0;
}
