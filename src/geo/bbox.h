/* bbox: an upright rectangle in the units of its CRS. A plain value. */
#ifndef TILTH_GEO_BBOX_H
#define TILTH_GEO_BBOX_H

#include <stdbool.h>

struct bbox {
    double xmin, ymin, xmax, ymax;
};

static inline bool bbox_intersects(struct bbox a, struct bbox b)
{
    return a.xmin < b.xmax && b.xmin < a.xmax && a.ymin < b.ymax && b.ymin < a.ymax;
}

#endif
