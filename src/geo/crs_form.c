/*
 * The equal-area y is a q(sin(lat)) / (2 k0) with
 *
 *      q(s) = (1 - e^2) (s / (1 - e^2 s^2) + atanh(e s) / e)
 *
 * Its derivative is 2 (1 - e^2) / (1 - e^2 s^2)^2, which is positive and nearly constant
 * on [-1, 1], so Newton's method on s from q / q(1) is at full double precision after
 * three steps. The usual series for the authalic latitude stops near 1e-9 degrees.
 */
#include "geo/crs_form.h"

#include "base/check.h"

#include <math.h>

#define DEGREE (M_PI / 180)

/* WGS 84: a, f = 1 / 298.257223563, e^2 = f (2 - f). */
#define WGS84_A  6378137.0
#define WGS84_F  (1 / 298.257223563)
#define WGS84_E2 (WGS84_F * (2 - WGS84_F))

static double equal_area_q(double s)
{
    double e = sqrt(WGS84_E2);

    return (1 - WGS84_E2) * (s / (1 - WGS84_E2 * s * s) + atanh(e * s) / e);
}

static double equal_area_s(double q)
{
    double s = q / equal_area_q(1);

    for (int i = 0; i < 4; i++) {
        double w = 1 - WGS84_E2 * s * s;

        s += (q - equal_area_q(s)) * w * w / (2 * (1 - WGS84_E2));
    }
    return fmin(1, fmax(-1, s));
}

/* cos(30 deg) / sqrt(1 - e^2 sin^2(30 deg)): the scale along the standard parallel. */
static double equal_area_k0(void)
{
    return sqrt(0.75 / (1 - WGS84_E2 * 0.25));
}

static double metres_per_degree(enum crs_form form)
{
    TL_CHECK(form != FORM_NONE);
    if (form == FORM_LONLAT)
        return 1;
    return form == FORM_MERCATOR ? WGS84_A * DEGREE : WGS84_A * DEGREE * equal_area_k0();
}

void form_x_to_lon(enum crs_form form, double *x, size_t count)
{
    double unit = metres_per_degree(form);

    for (size_t i = 0; i < count; i++)
        x[i] = x[i] / unit;
}

void form_lon_to_x(enum crs_form form, double *lon, size_t count)
{
    double unit = metres_per_degree(form);

    for (size_t i = 0; i < count; i++)
        lon[i] = lon[i] * unit;
}

static void mercator_to_lat(double *y, size_t count)
{
    for (size_t i = 0; i < count; i++)
        y[i] = isfinite(y[i]) ? atan(sinh(y[i] / WGS84_A)) / DEGREE : HUGE_VAL;
}

static void equal_area_to_lat(double *y, size_t count)
{
    double unit = WGS84_A / (2 * equal_area_k0());
    /* The pole itself may round to just beyond. */
    double pole = unit * equal_area_q(1) * (1 + 1e-15);

    for (size_t i = 0; i < count; i++)
        y[i] = fabs(y[i]) <= pole ? asin(equal_area_s(y[i] / unit)) / DEGREE : HUGE_VAL;
}

void form_y_to_lat(enum crs_form form, double *y, size_t count)
{
    TL_CHECK(form != FORM_NONE);
    if (form == FORM_MERCATOR)
        mercator_to_lat(y, count);
    else if (form == FORM_EQUAL_AREA)
        equal_area_to_lat(y, count);
}

static void lat_to_mercator(double *lat, size_t count)
{
    for (size_t i = 0; i < count; i++)
        lat[i] = fabs(lat[i]) < 90 ? WGS84_A * asinh(tan(lat[i] * DEGREE)) : HUGE_VAL;
}

static void lat_to_equal_area(double *lat, size_t count)
{
    double unit = WGS84_A / (2 * equal_area_k0());

    for (size_t i = 0; i < count; i++)
        lat[i] = fabs(lat[i]) <= 90 ? unit * equal_area_q(sin(lat[i] * DEGREE)) : HUGE_VAL;
}

void form_lat_to_y(enum crs_form form, double *lat, size_t count)
{
    TL_CHECK(form != FORM_NONE);
    if (form == FORM_MERCATOR)
        lat_to_mercator(lat, count);
    else if (form == FORM_EQUAL_AREA)
        lat_to_equal_area(lat, count);
}
