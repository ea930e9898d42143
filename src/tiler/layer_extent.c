#include "tiler/layer_extent.h"

#include "geo/bbox.h"
#include "geo/crs.h"
#include "raster/block.h"
#include "tiler/layer.h"

#include <math.h>

/* Half the side of the square that EPSG:3857 maps the world to, metres. */
#define MERCATOR_HALF 20037508.342789244

/* A grid of points over level 0, its edges included. */
enum { STEPS = 32 };

static void widen(struct bbox *box, double x, double y)
{
    box->xmin = fmin(box->xmin, x);
    box->xmax = fmax(box->xmax, x);
    box->ymin = fmin(box->ymin, y);
    box->ymax = fmax(box->ymax, y);
}

/* Full turns that bring x within half a turn of `near`: a row of points is not torn at 180. */
static double unwind(double x, double near, double half)
{
    return x - 2 * half * round((x - near) / (2 * half));
}

static bool has_pole(const struct pyramid *pyramid, struct crs_map *from_lonlat, double latitude)
{
    const struct pyramid_level *full = &pyramid->levels[0];
    double x = 0, y = latitude;

    crs_map_points(from_lonlat, &x, &y, 1);
    double col = affine_col(full->affine, x), row = affine_row(full->affine, y);
    return col >= 0 && row >= 0 && col <= full->width && row <= full->height;
}

/*
 * The extent of level 0 in another CRS whose x comes round after 2 x `half`: of a grid of points,
 * a hundredth wider for what bulges between them. xmin..xmax may reach beyond +-half. Where
 * points have no image nobody knows better than the whole world. O(STEPS^2) points.
 */
static enum tl_code extent_in(const struct pyramid *pyramid, const char *definition, double half,
                              struct bbox *ret_box, struct tl_err *err)
{
    const struct pyramid_level *full = &pyramid->levels[0];
    const struct bbox world = {-half, -half, half, half};
    struct bbox box = {HUGE_VAL, HUGE_VAL, -HUGE_VAL, -HUGE_VAL};
    double first = 0, near = 0;
    AUTO(crs) crs = NULL;
    struct crs_map *map;

    TL_TRY(crs_new(definition, &crs, err));
    TL_TRY(crs_map_get(pyramid->crs, crs, &map, err));
    for (int i = 0; i < (STEPS + 1) * (STEPS + 1); i++) {
        int column = i % (STEPS + 1), row = i / (STEPS + 1);
        double x = affine_x(full->affine, (double)full->width * column / STEPS);
        double y = affine_y(full->affine, (double)full->height * row / STEPS);

        crs_map_points(map, &x, &y, 1);
        if (!isfinite(x) || !isfinite(y)) {
            *ret_box = world;
            return TL_OK;
        }
        if (i > 0 && !crs_map_separable(map))
            x = unwind(x, column ? near : first, half);
        near = x;
        first = column ? first : x;
        widen(&box, x, y);
    }
    double share = crs_map_separable(map) ? 0 : 0.01; /* straight edges do not bulge */
    double bulge_x = (box.xmax - box.xmin) * share, bulge_y = (box.ymax - box.ymin) * share;
    *ret_box = (struct bbox){box.xmin - bulge_x, box.ymin - bulge_y, box.xmax + bulge_x,
                             box.ymax + bulge_y};
    return TL_OK;
}

/* A pole is at every longitude, and infinitely far away in Mercator. */
static enum tl_code reach_poles(struct layer_view *view, struct tl_err *err)
{
    const struct pyramid *pyramid = view->source->pyramid;
    AUTO(crs) lonlat = NULL;
    struct crs_map *map;

    TL_TRY(crs_new("EPSG:4326", &lonlat, err));
    TL_TRY(crs_map_get(lonlat, pyramid->crs, &map, err));
    bool north = has_pole(pyramid, map, 90), south = has_pole(pyramid, map, -90);
    if (north || south) {
        view->lonlat.xmin = -180;
        view->lonlat.xmax = 180;
        view->mercator.xmin = -MERCATOR_HALF;
        view->mercator.xmax = MERCATOR_HALF;
    }
    view->lonlat.ymax = north ? 90 : fmin(view->lonlat.ymax, 90);
    view->lonlat.ymin = south ? -90 : fmax(view->lonlat.ymin, -90);
    view->mercator.ymax = north ? MERCATOR_HALF : fmin(view->mercator.ymax, MERCATOR_HALF);
    view->mercator.ymin = south ? -MERCATOR_HALF : fmax(view->mercator.ymin, -MERCATOR_HALF);
    return TL_OK;
}

/* The zoom whose pixels are nearest in size to the layer's at its middle. */
static enum tl_code find_native_zoom(struct layer_view *view, struct tl_err *err)
{
    const struct pyramid *pyramid = view->source->pyramid;
    const struct pyramid_level *full = &pyramid->levels[0];
    double col = full->width / 2.0, row = full->height / 2.0;
    double x[2] = {affine_x(full->affine, col), affine_x(full->affine, col + 1)};
    double y[2] = {affine_y(full->affine, row), affine_y(full->affine, row)};
    AUTO(crs) mercator = NULL;
    struct crs_map *map;

    TL_TRY(crs_new("EPSG:3857", &mercator, err));
    TL_TRY(crs_map_get(pyramid->crs, mercator, &map, err));
    crs_map_points(map, x, y, 2);
    double metres = hypot(unwind(x[1], x[0], MERCATOR_HALF) - x[0], y[1] - y[0]);
    double zoom = round(log2(2 * MERCATOR_HALF / 256 / metres));
    view->native_zoom = isfinite(zoom) ? (uint8_t)fmin(fmax(zoom, 0), 24) : 14;
    return TL_OK;
}

enum tl_code layer_extent_find(struct layer_view *view, int native_zoom, struct tl_err *err)
{
    const struct pyramid *pyramid = view->source->pyramid;

    TL_TRY(extent_in(pyramid, "EPSG:3857", MERCATOR_HALF, &view->mercator, err));
    TL_TRY(extent_in(pyramid, "EPSG:4326", 180, &view->lonlat, err));
    TL_TRY(reach_poles(view, err));
    if (native_zoom < 0)
        return find_native_zoom(view, err);
    view->native_zoom = (uint8_t)native_zoom;
    return TL_OK;
}

enum tl_code layer_extent_lonlat(const struct pyramid *pyramid, struct bbox *ret_box,
                                 struct tl_err *err)
{
    return extent_in(pyramid, "EPSG:4326", 180, ret_box, err);
}

bool layer_extents_meet(struct bbox a, struct bbox b)
{
    for (int turns = -2; turns <= 2; turns++) {
        const struct bbox turned = {b.xmin + 360 * turns, b.ymin, b.xmax + 360 * turns, b.ymax};

        if (bbox_intersects(a, turned))
            return true;
    }
    return false;
}
