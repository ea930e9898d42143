#include "raster/dtype.h"

#include "tl_test.h"

#include <string.h>

TEST(every_type_has_its_size_and_numpys_name)
{
    static const struct {
        enum dtype dtype;
        size_t size;
        const char *name;
    } types[] = {{DTYPE_U8, 1, "uint8"},    {DTYPE_I8, 1, "int8"},    {DTYPE_U16, 2, "uint16"},
                 {DTYPE_I16, 2, "int16"},   {DTYPE_U32, 4, "uint32"}, {DTYPE_I32, 4, "int32"},
                 {DTYPE_F32, 4, "float32"}, {DTYPE_F64, 8, "float64"}};

    assert_int_equal(TL_COUNT(types), DTYPE_COUNT);
    for (size_t i = 0; i < TL_COUNT(types); i++) {
        assert_int_equal(dtype_size(types[i].dtype), types[i].size);
        assert_string_equal(dtype_name(types[i].dtype), types[i].name);
        assert_int_equal(dtype_is_float(types[i].dtype), types[i].name[0] == 'f');
    }
}

TEST(samples_come_out_as_the_numbers_they_are)
{
    assert_near(dtype_get(DTYPE_U8, (uint8_t[]){1, 255}, 1), 255, 0);
    assert_near(dtype_get(DTYPE_I8, (int8_t[]){1, -128}, 1), -128, 0);
    assert_near(dtype_get(DTYPE_U16, (uint16_t[]){1, 65535}, 1), 65535, 0);
    assert_near(dtype_get(DTYPE_I16, (int16_t[]){1, -32768}, 1), -32768, 0);
    assert_near(dtype_get(DTYPE_U32, (uint32_t[]){1, UINT32_MAX}, 1), 4294967295.0, 0);
    assert_near(dtype_get(DTYPE_I32, (int32_t[]){1, INT32_MIN}, 1), -2147483648.0, 0);
    assert_near(dtype_get(DTYPE_F32, (float[]){1, -0.5f}, 1), -0.5, 0);
    assert_near(dtype_get(DTYPE_F64, (double[]){1, 0.1}, 1), 0.1, 0);
}

RUN(T(every_type_has_its_size_and_numpys_name), T(samples_come_out_as_the_numbers_they_are))
