#include "tiler/plain_tile.h"

#include "base/arena.h"
#include "base/blob.h"
#include "base/check.h"
#include "geo/curve.h"
#include "image/indexed_png.h"
#include "tiler/style.h"

#include <string.h>

/* cache_value.tag of a tile: bit 0 says empty, the others are of its palette's hash. */
enum { TAG_EMPTY = 1 };

static const struct style *style_of(const struct tile_query *query)
{
    return query->style ? query->style : layer_info(query->layer)->styles[0];
}

static uint32_t style_index(const struct layer_view *view, const struct style *style)
{
    const struct layer_info *info = layer_info(view->layer);

    for (uint32_t i = 0; i < info->style_count; i++)
        if (info->styles[i] == style)
            return i;
    TL_CHECK(false); /* a query holds a style of its layer */
    return 0;
}

struct cache_key plain_tile_key(const struct layer_view *view, const struct tile_query *query)
{
    bool indexed = render_is_indexed(style_of(query), query->format);

    return (struct cache_key){.ns = indexed ? view->tiles_ns
                                            : view->style_ns[style_index(view, style_of(query))],
                              .variant = (uint8_t)(query->format | query->scale << 4),
                              .id = curve_id(query->id.z, query->id.x, query->id.y)};
}

static struct render_request request_of(const struct layer_view *view,
                                        const struct tile_query *query)
{
    return (struct render_request){.view = view,
                                   .style = style_of(query),
                                   .id = query->id,
                                   .scale = query->scale,
                                   .format = query->format};
}

/* The part of a view's palette hash that fits a tag. */
static uint64_t palette_bits(const struct layer_view *view)
{
    return view->palette_hash & ~(uint64_t)TAG_EMPTY;
}

static struct plain_tile plain_of(const struct layer_view *view, const struct rendered *rendered)
{
    return (struct plain_tile){.blob = rendered->blob,
                               .hash =
                                   hash64(blob_bytes(rendered->blob), blob_size(rendered->blob)),
                               .palette = palette_bits(view),
                               .inexact = rendered->inexact,
                               .empty = rendered->empty};
}

enum tl_code plain_tile_render(const struct layer_view *view, const struct tile_query *query,
                               struct errand *errand, struct arena *arena,
                               struct plain_tile *ret_plain, struct tl_err *err)
{
    const struct render_request request = request_of(view, query);
    struct rendered rendered;

    TL_TRY(render_tile(&request, errand, arena, &rendered, err));
    *ret_plain = plain_of(view, &rendered);
    return TL_OK;
}

bool plain_tile_find(struct cache *cache, const struct cache_key *key, struct plain_tile *ret_plain,
                     enum tile_source *ret_from)
{
    struct cache_value value;
    enum cache_tier tier = cache ? cache_get(cache, key, &value) : CACHE_MISS;

    if (tier == CACHE_MISS)
        return false;
    *ret_plain = (struct plain_tile){.blob = value.blob,
                                     .hash = value.hash,
                                     .palette = value.tag & ~(uint64_t)TAG_EMPTY,
                                     .empty = value.tag & TAG_EMPTY};
    *ret_from = tier == CACHE_RAM ? TILE_HIT_RAM : TILE_HIT_DISK;
    return true;
}

void plain_tile_keep(struct cache *cache, const struct cache_key *key,
                     const struct plain_tile *plain)
{
    if (cache && !plain->inexact)
        cache_put(cache, key, plain->blob, plain->palette | (plain->empty ? TAG_EMPTY : 0));
}

bool plain_tile_empty(struct cache *cache, const struct layer_view *view,
                      const struct tile_query *query, struct plain_tile *ret_plain,
                      enum tile_source *ret_from)
{
    const struct render_request request = request_of(view, query);
    struct cache_key key = plain_tile_key(view, query);
    struct rendered rendered = {.empty = true};
    AUTO(arena) arena = NULL;
    struct tl_err err;

    key.id = UINT64_MAX; /* no tile has it */
    if (plain_tile_find(cache, &key, ret_plain, ret_from))
        return true;
    arena = arena_new();
    if (!arena || render_empty(&request, arena, &rendered.blob, &err) != TL_OK)
        return false;
    *ret_plain = plain_of(view, &rendered);
    plain_tile_keep(cache, &key, ret_plain);
    *ret_from = TILE_RENDERED;
    return true;
}

/* Everything the answer depends on besides the bytes of the plain tile. */
static uint64_t look_hash(const struct layer_view *view, const struct tile_query *query)
{
    struct {
        struct hash128 pixels, style;
        uint64_t filter;
    } look = {view->fingerprint, style_of(query)->fingerprint,
              query->filter_classes ? hash64(query->show, sizeof(query->show)) : 0};

    return hash64(&look, sizeof(look));
}

/* One reference goes to the caller. */
static enum tl_code restyle(const struct plain_tile *plain, const struct layer_view *view,
                            const struct tile_query *query, struct blob **ret_blob,
                            struct tl_err *err)
{
    const struct style *style = style_of(query);
    struct palette palette;

    /* A tile of an earlier run may be in the colours that the default style had then. */
    if (!render_is_indexed(style, query->format) ||
        (style == layer_info(view->layer)->styles[0] && !query->filter_classes &&
         plain->palette == palette_bits(view))) {
        *ret_blob = blob_ref(plain->blob);
        return TL_OK;
    }
    render_palette(view, style, query->filter_classes ? query->show : NULL, &palette);
    return indexed_png_restyle(plain->blob, &palette, ret_blob, err);
}

enum tl_code plain_tile_dress(const struct plain_tile *plain, const struct layer_view *view,
                              const struct tile_query *query, struct tile *ret_tile,
                              struct tl_err *err)
{
    struct tile tile = {.etag = {look_hash(view, query), plain->hash},
                        .inexact = plain->inexact,
                        .empty = plain->empty};

    TL_TRY(restyle(plain, view, query, &tile.blob, err));
    memcpy(tile.spent_ns, plain->spent_ns, sizeof(tile.spent_ns));
    *ret_tile = tile;
    return TL_OK;
}
