#include "http/document.h"

#include "base/blob.h"
#include "base/buf.h"
#include "base/errand.h"
#include "tiler/describe.h"
#include "tiler/layer.h"
#include "tiler/point.h"

#include <string.h>

static enum tl_code whole(const struct buf *buf, struct blob **ret_body, struct tl_err *err)
{
    struct blob *body = buf_blob(buf);

    if (!body)
        return tl_fail(err, TL_NOMEM, "no memory for the document");
    *ret_body = body;
    return TL_OK;
}

enum tl_code document_tilejson(const struct document_query *query, struct errand *errand,
                               struct arena *arena, struct blob **ret_body, struct tl_err *err)
{
    AUTO(layer_view) view = NULL;
    AUTO_BUF out = {0};

    (void)arena;
    TL_TRY(layer_view_get(query->layer, query->season, errand, &view, err));
    TL_TRY(describe_tilejson(view, query->base_url, query->query_string, &out, err));
    return whole(&out, ret_body, err);
}

enum tl_code document_legend(const struct document_query *query, struct errand *errand,
                             struct arena *arena, struct blob **ret_body, struct tl_err *err)
{
    (void)errand;
    return describe_legend_png(query->style, arena, ret_body, err);
}

enum tl_code document_point(const struct document_query *query, struct errand *errand,
                            struct arena *arena, struct blob **ret_body, struct tl_err *err)
{
    struct point_query point = {.layer = query->layer, .lon = query->lon, .lat = query->lat};
    AUTO_BUF out = {0};

    memcpy(point.season, query->season, sizeof(point.season));
    TL_TRY(point_describe(&point, errand, arena, &out, err));
    return whole(&out, ret_body, err);
}
