#include "raster/resample.h"

#include "base/check.h"

#include <math.h>
#include <string.h>

static const char *const names[RESAMPLE_COUNT] = {
    [RESAMPLE_NEAREST] = "nearest", [RESAMPLE_BILINEAR] = "bilinear", [RESAMPLE_CUBIC] = "cubic",
    [RESAMPLE_AVERAGE] = "average", [RESAMPLE_MODE] = "mode",
};

const char *resampling_name(enum resampling resampling)
{
    TL_CHECK(resampling < RESAMPLE_COUNT);
    return names[resampling];
}

enum tl_code resampling_find(const char *name, enum resampling *ret_resampling, struct tl_err *err)
{
    for (unsigned i = 0; i < RESAMPLE_COUNT; i++) {
        if (strcmp(name, names[i]) != 0)
            continue;
        *ret_resampling = (enum resampling)i;
        return TL_OK;
    }
    return tl_fail(err, TL_INVALID,
                   "resampling \"%.40s\" is not one of nearest, bilinear, cubic, average, mode",
                   name);
}

bool resampling_keeps_values(enum resampling resampling)
{
    return resampling == RESAMPLE_NEAREST || resampling == RESAMPLE_MODE;
}

/* Up to here the plain kernel is used (GDAL: scale >= 0.95). */
#define MAX_PLAIN_SCALE (1 / 0.95)
/* A ratio this close to a whole number is that number (GDAL: the same). */
#define WHOLE_SCALE 0.05

struct kernel_axis kernel_axis(enum resampling resampling, double scale)
{
    double radius = resampling == RESAMPLE_CUBIC ? 2 : 1, stretch = 1;

    if (isfinite(scale) && scale > MAX_PLAIN_SCALE)
        stretch = fabs(scale - round(scale)) < WHOLE_SCALE ? round(scale) : scale;
    /* Beyond this a kernel covers any raster there is. */
    return (struct kernel_axis){stretch, (uint32_t)fmin(ceil(radius * stretch), 1 << 24)};
}

#define WHERE_NOT_EQUAL(type)                                                              \
    static void where_not_##type(const type *s, size_t count, type nodata, uint8_t *valid) \
    {                                                                                      \
        for (size_t i = 0; i < count; i++)                                                 \
            valid[i] &= (uint8_t)(s[i] != nodata);                                         \
    }
WHERE_NOT_EQUAL(uint8_t)
WHERE_NOT_EQUAL(int8_t)
WHERE_NOT_EQUAL(uint16_t)
WHERE_NOT_EQUAL(int16_t)
WHERE_NOT_EQUAL(uint32_t)
WHERE_NOT_EQUAL(int32_t)

/* A nodata of NaN is unequal to everything, so that only the second test speaks. */
#define WHERE_NUMBER(type)                                                                    \
    static void where_number_##type(const type *s, size_t count, type nodata, uint8_t *valid) \
    {                                                                                         \
        for (size_t i = 0; i < count; i++)                                                    \
            valid[i] &= (uint8_t)((s[i] != nodata) & (s[i] == s[i]));                         \
    }
WHERE_NUMBER(float)
WHERE_NUMBER(double)

/* A nodata value that no sample of the type can have (-9999 of bytes) hides nothing. */
#define INTEGER_CASE(name, type, low, high)                                                        \
    case name:                                                                                     \
        if (pyramid->has_nodata && nodata >= (low) && nodata <= (high) && nodata == trunc(nodata)) \
            where_not_##type(samples, count, (type)nodata, valid);                                 \
        return

void valid_where_data(const struct pyramid *pyramid, const void *samples, size_t count,
                      uint8_t *valid)
{
    double nodata = pyramid->has_nodata ? pyramid->nodata : (double)NAN;

    switch (pyramid->dtype) {
        INTEGER_CASE(DTYPE_U8, uint8_t, 0, UINT8_MAX);
        INTEGER_CASE(DTYPE_I8, int8_t, INT8_MIN, INT8_MAX);
        INTEGER_CASE(DTYPE_U16, uint16_t, 0, UINT16_MAX);
        INTEGER_CASE(DTYPE_I16, int16_t, INT16_MIN, INT16_MAX);
        INTEGER_CASE(DTYPE_U32, uint32_t, 0, UINT32_MAX);
        INTEGER_CASE(DTYPE_I32, int32_t, INT32_MIN, INT32_MAX);
    case DTYPE_F32:
        /* As text in a file, -3.4e38 has more digits than a float: compare as floats. */
        where_number_float(samples, count, (float)nodata, valid);
        return;
    case DTYPE_F64:
        where_number_double(samples, count, nodata, valid);
        return;
    case DTYPE_COUNT:
    default:
        TL_CHECK(pyramid->dtype < DTYPE_COUNT);
    }
}
