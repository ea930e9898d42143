#include "http/app.h"

#include "tl_test.h"

#include <string.h>

static struct url url;
static struct route_args args;
static struct tl_err err;

static const struct route *find(const char *raw)
{
    assert_ok(url_parse(text_of(raw), &url, &err));
    return route_find(http_routes, http_route_count, &url, &args);
}

static void assert_route(const char *raw, route_fn *run, unsigned count)
{
    const struct route *route = find(raw);

    if (!route || route->run != run || args.count != count)
        fail_msg("%s went to %s with %u arguments", raw, route ? route->pattern : "nowhere",
                 args.count);
}

TEST(every_address_reaches_its_handler)
{
    assert_route("/", on_landing, 0);
    assert_route("/layers", on_layers, 0);
    assert_route("/layers/dw", on_layer, 1);
    assert_route("/layers/dw/tiles/WebMercatorQuad/1/2/3.png", on_tile, 5);
    assert_route("/tiles/dw/1/2/3@2x.png", on_tile, 4);
    assert_route("/layers/dw/tilejson.json", on_tilejson, 1);
    assert_route("/layers/dw/legend.json", on_legend_json, 1);
    assert_route("/layers/dw/legend.png", on_legend_png, 1);
    assert_route("/layers/dw/point/31.05,-17.83", on_point, 2);
    assert_true(text_is(args.args[1], "31.05,-17.83"));
    assert_route("/styles", on_styles, 0);
    assert_route("/styles/worldcover", on_style, 1);
    assert_route("/healthz", on_health, 0);
    assert_route("/readyz", on_ready, 0);
    assert_route("/metrics", on_metrics, 0);
    assert_route("/viewer", on_viewer_moved, 0);
    assert_route("/viewer/", on_viewer, 0);
    assert_route("/viewer/leaflet.js", on_viewer, 1);
    assert_route("/viewer/images/layers.png", on_viewer, 1);
}

TEST(other_addresses_reach_none)
{
    static const char *const none[] = {"/layers/",     "/layers/a/b",  "/healthz/x", "/tiles",
                                       "/tiles/a/1/2", "/favicon.ico", "/Layers"};

    for (unsigned i = 0; i < TL_COUNT(none); i++)
        if (find(none[i]))
            fail_msg("%s was routed", none[i]);
}

TEST(an_unknown_parameter_is_refused_with_the_known_ones)
{
    assert_ok(route_check_params(find("/tiles/a/1/2/3?style=x&classes=1"), &url, &err));
    assert_refused(
        route_check_params(find("/tiles/a/1/2/3?stlye=x"), &url, &err), TL_INVALID,
        "unknown query parameter \"stlye\", did you mean \"style\"?; known are: style, band, "
        "season, date, classes");
    assert_refused(route_check_params(find("/healthz?x"), &url, &err), TL_INVALID, "takes none");
}

RUN(T(every_address_reaches_its_handler), T(other_addresses_reach_none),
    T(an_unknown_parameter_is_refused_with_the_known_ones))
