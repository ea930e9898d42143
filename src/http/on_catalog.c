/* Documents that only read the catalog: written on the loop. */
#include "base/buf.h"
#include "http/app.h"
#include "http/reply.h"
#include "http/tile_args.h"
#include "tiler/catalog.h"
#include "tiler/describe.h"

static void finish(struct http *http, struct request *request, enum tl_code code,
                   const struct buf *out, const struct tl_err *err)
{
    if (code == TL_OK)
        reply_buf(http, request, out, DOCUMENT_TYPE, DOCUMENT_CACHE);
    else
        reply_error(http, request, code, err);
}

void on_layers(struct http *http, struct request *request, const struct route_args *args)
{
    char base_url[BASE_URL_MAX];
    AUTO_BUF out = {0};
    struct tl_err err;

    (void)args;
    request_base_url(http, request, base_url);
    enum tl_code code = describe_layers(http->options.catalog, base_url, &out, &err);
    finish(http, request, code, &out, &err);
}

void on_layer(struct http *http, struct request *request, const struct route_args *args)
{
    char base_url[BASE_URL_MAX];
    struct layer *layer;
    AUTO_BUF out = {0};
    struct tl_err err;

    request_base_url(http, request, base_url);
    enum tl_code code = args_layer(http->options.catalog, args->args[0], &layer, &err);
    if (code == TL_OK)
        code = describe_layer(layer, base_url, &out, &err);
    finish(http, request, code, &out, &err);
}

void on_legend_json(struct http *http, struct request *request, const struct route_args *args)
{
    const struct style *style = NULL;
    struct layer *layer;
    AUTO_BUF out = {0};
    struct tl_err err;

    enum tl_code code = args_layer(http->options.catalog, args->args[0], &layer, &err);
    if (code == TL_OK)
        code = args_style(layer, args->url, &style, &err);
    if (code == TL_OK)
        code = describe_style(style, &out, &err);
    finish(http, request, code, &out, &err);
}

void on_styles(struct http *http, struct request *request, const struct route_args *args)
{
    AUTO_BUF out = {0};
    struct tl_err err;

    (void)args;
    enum tl_code code = describe_styles(http->options.catalog, &out, &err);
    finish(http, request, code, &out, &err);
}

void on_style(struct http *http, struct request *request, const struct route_args *args)
{
    const struct style *style;
    AUTO_BUF out = {0};
    struct tl_err err;
    char id[64];

    enum tl_code code = TL_OK;
    if (!text_copy(args->args[0], id, sizeof(id)))
        code = tl_fail(&err, TL_ABSENT, "no style has an id of %zu bytes", args->args[0].size);
    if (code == TL_OK)
        code = catalog_style(http->options.catalog, id, &style, &err);
    if (code == TL_OK)
        code = describe_style(style, &out, &err);
    finish(http, request, code, &out, &err);
}
