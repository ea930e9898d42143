#include "raster/dtype.h"

#include "base/check.h"

#include <stdint.h>

static const struct {
    const char *name;
    size_t size;
} types[DTYPE_COUNT] = {
    [DTYPE_U8] = {"uint8", 1},    [DTYPE_I8] = {"int8", 1},     [DTYPE_U16] = {"uint16", 2},
    [DTYPE_I16] = {"int16", 2},   [DTYPE_U32] = {"uint32", 4},  [DTYPE_I32] = {"int32", 4},
    [DTYPE_F32] = {"float32", 4}, [DTYPE_F64] = {"float64", 8},
};

size_t dtype_size(enum dtype dtype)
{
    TL_CHECK(dtype < DTYPE_COUNT);
    return types[dtype].size;
}

const char *dtype_name(enum dtype dtype)
{
    TL_CHECK(dtype < DTYPE_COUNT);
    return types[dtype].name;
}

bool dtype_is_float(enum dtype dtype)
{
    return dtype == DTYPE_F32 || dtype == DTYPE_F64;
}

double dtype_get(enum dtype dtype, const void *samples, size_t i)
{
    switch (dtype) {
    case DTYPE_U8:
        return ((const uint8_t *)samples)[i];
    case DTYPE_I8:
        return ((const int8_t *)samples)[i];
    case DTYPE_U16:
        return ((const uint16_t *)samples)[i];
    case DTYPE_I16:
        return ((const int16_t *)samples)[i];
    case DTYPE_U32:
        return ((const uint32_t *)samples)[i];
    case DTYPE_I32:
        return ((const int32_t *)samples)[i];
    case DTYPE_F32:
        return (double)((const float *)samples)[i];
    case DTYPE_F64:
        return ((const double *)samples)[i];
    case DTYPE_COUNT:
    default:
        TL_CHECK(dtype < DTYPE_COUNT);
        return 0;
    }
}
