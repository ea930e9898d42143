/*
 * affine: north-up pixel grid <-> world. Pixel (0,0) has its upper left corner at
 * (x, y); columns grow east by `dx`, rows grow south by `dy`; both are positive.
 * A plain value; rotated grids are never here, they take the GDAL path.
 */
#ifndef TILTH_GEO_AFFINE_H
#define TILTH_GEO_AFFINE_H

struct affine {
    double x, y;   /* world position of the grid's upper left corner */
    double dx, dy; /* world size of one pixel, > 0 */
};

static inline double affine_col(struct affine a, double x)
{
    return (x - a.x) / a.dx;
}

static inline double affine_row(struct affine a, double y)
{
    return (a.y - y) / a.dy;
}

static inline double affine_x(struct affine a, double col)
{
    return a.x + col * a.dx;
}

static inline double affine_y(struct affine a, double row)
{
    return a.y - row * a.dy;
}

#endif
