/* GET /: what this server has, for a browser (HTML) or a program (JSON). */
#include "base/buf.h"
#include "http/app.h"
#include "http/reply.h"
#include "tiler/catalog.h"
#include "tiler/layer.h"

/* True when the client says that it takes text/html; a program usually takes anything. */
static bool wants_html(const struct request *request, const struct url *url)
{
    struct text format = url_param(url, "f");
    struct text accept = request_header(request, "accept");

    if (format.size > 0)
        return text_is(format, "html");
    return accept.size > 0 && memmem(accept.at, accept.size, "text/html", 9) != NULL;
}

static void put_html(struct buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '<')
            buf_puts(out, "&lt;");
        else if (*text == '>')
            buf_puts(out, "&gt;");
        else if (*text == '&')
            buf_puts(out, "&amp;");
        else if (*text == '"')
            buf_puts(out, "&quot;");
        else
            buf_append(out, text, 1);
    }
}

static void put_layer(struct buf *out, const struct layer_info *info)
{
    buf_puts(out, "<li><b>");
    put_html(out, info->title);
    buf_puts(out, "</b> <small>");
    put_html(out, info->role);
    buf_puts(out, info->synthetic ? ", synthetic</small><br>" : "</small><br>");
    put_html(out, info->description ? info->description : "");
    buf_puts(out, "<br><a href=\"viewer/?layer=");
    put_html(out, info->id);
    buf_puts(out, "\">map</a> <a href=\"layers/");
    put_html(out, info->id);
    buf_puts(out, "\">about</a> <a href=\"layers/");
    put_html(out, info->id);
    buf_puts(out, "/tilejson.json\">TileJSON</a> <a href=\"layers/");
    put_html(out, info->id);
    buf_puts(out, "/legend.png\">legend</a></li>\n");
}

static void write_html(const struct http *http, struct buf *out)
{
    const struct catalog *catalog = http->options.catalog;

    buf_puts(out, "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\n"
                  "<meta name=\"viewport\" content=\"width=device-width\">\n"
                  "<title>tilth</title>\n"
                  "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:46em;margin:2em auto;"
                  "padding:0 1em}li{margin:0 0 1em}small{color:#666}</style>\n"
                  "<h1>tilth</h1>\n<p>Map tiles that are classified while you look. "
                  "<a href=\"viewer/\">Open the map</a>.</p>\n<ul>\n");
    for (size_t i = 0; i < catalog_layer_count(catalog); i++)
        put_layer(out, layer_info(catalog_layer_at(catalog, i)));
    buf_puts(out, "</ul>\n<p><a href=\"layers\">layers</a> <a href=\"styles\">styles</a> "
                  "<a href=\"metrics\">metrics</a> <small>tilth " TILTH_VERSION "</small></p>\n"
                  "</html>\n");
}

static void put_link(struct buf *out, const char *rel, const char *base_url, const char *path)
{
    char url[BASE_URL_MAX + 64];

    snprintf(url, sizeof(url), "%s%s", base_url, path);
    buf_printf(out, "%s{\"rel\":\"%s\",\"href\":", strcmp(rel, "self") == 0 ? "" : ",", rel);
    buf_json(out, url);
    buf_puts(out, "}");
}

static void write_json(const char *base_url, struct buf *out)
{
    buf_puts(out, "{\"title\":\"tilth\",\"version\":\"" TILTH_VERSION "\",\"links\":[");
    put_link(out, "self", base_url, "/");
    put_link(out, "data", base_url, "/layers");
    put_link(out, "styles", base_url, "/styles");
    put_link(out, "preview", base_url, "/viewer/");
    put_link(out, "monitor", base_url, "/metrics");
    buf_puts(out, "]}\n");
}

void on_landing(struct http *http, struct request *request, const struct route_args *args)
{
    char base_url[BASE_URL_MAX];
    AUTO_BUF out = {0};

    if (wants_html(request, args->url)) {
        write_html(http, &out);
        reply_buf(http, request, &out, "text/html; charset=utf-8", "no-cache");
        return;
    }
    request_base_url(http, request, base_url);
    write_json(base_url, &out);
    reply_buf(http, request, &out, "application/json", "no-cache");
}
