#include "model/onnx_columns.h"

#include <math.h>
#include <string.h>

static float take_step(const struct onnx_step *step, float x)
{
    switch (step->kind) {
    case STEP_ADD:
        return x + step->number;
    case STEP_SUBTRACT:
        return x - step->number;
    case STEP_MULTIPLY:
        return x * step->number;
    case STEP_DIVIDE:
        return x / step->number;
    case STEP_IMPUTE:
        return isnan(x) ? step->number : x;
    case STEP_L1:
    case STEP_L2:
    case STEP_MAX:
        break;
    }
    return x;
}

float onnx_column_value(const struct onnx_column *column, float x)
{
    for (uint32_t i = 0; i < column->step_count; i++)
        x = take_step(&column->steps[i], x);
    return x;
}

bool onnx_column_falls(const struct onnx_column *column)
{
    bool falls = false;

    for (uint32_t i = 0; i < column->step_count; i++) {
        const struct onnx_step *step = &column->steps[i];
        bool scales = step->kind == STEP_MULTIPLY || step->kind == STEP_DIVIDE;

        falls ^= scales && step->number < 0;
    }
    return falls;
}

/* The floats from -infinity to infinity, numbered in their order; -0 and 0 are two. */
static float nth_float(uint32_t n)
{
    static const uint32_t infinity = 0x7F800000;
    uint32_t bits = n > infinity ? n - infinity - 1 : 0x80000000 | (infinity - n);
    float x;

    memcpy(&x, &bits, sizeof(x));
    return x;
}

bool onnx_column_upto(const struct onnx_column *column, double t, float *ret_x)
{
    const uint32_t last = 2 * 0x7F800000U + 1;
    bool falls = onnx_column_falls(column);
    uint32_t low = 0, high = last + 1; /* all below `low` hold, none from `high` on does */

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (((double)onnx_column_value(column, nth_float(middle)) <= t) != falls)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return false;
    *ret_x = nth_float(low - 1);
    return true;
}
