/*
 * crs_form: the three coordinate systems whose way to longitude and latitude is a closed
 * form with x depending on longitude alone and y on latitude alone.
 *
 * Threads  any
 * Units    degrees and metres
 * Source   EPSG guidance note 7-2: 3857 is method 1024 (spherical Mercator of geodetic
 *          latitude), 6933 is method 9835 (Lambert cylindrical equal area, ellipsoidal)
 *          on WGS 84 with the standard parallel 30
 */
#ifndef TILTH_GEO_CRS_FORM_H
#define TILTH_GEO_CRS_FORM_H

#include <stddef.h>

enum crs_form {
    FORM_NONE,      /* PROJ's business */
    FORM_LONLAT,    /* EPSG:4326, OGC:CRS84 */
    FORM_MERCATOR,  /* EPSG:3857 */
    FORM_EQUAL_AREA /* EPSG:6933 */
};

/* In place; HUGE_VAL where there is no image: beyond the poles, or a pole in Mercator. */
void form_x_to_lon(enum crs_form form, double *x, size_t count);
void form_lon_to_x(enum crs_form form, double *lon, size_t count);
void form_y_to_lat(enum crs_form form, double *y, size_t count);
void form_lat_to_y(enum crs_form form, double *lat, size_t count);

#endif
