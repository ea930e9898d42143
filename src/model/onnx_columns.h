/*
 * onnx_columns: what an ensemble in an ONNX graph reads: columns, each a feature of the model
 * and what the graph does to it first (Scaler, Imputer, Mul, ..), in float32. Every step keeps
 * the order of values or turns it round, so a threshold of the column is one of the feature:
 * the largest float32 that the steps take to where the ensemble still says yes. Nothing is
 * left of the steps when pixels come.
 *
 * Threads  any
 */
#ifndef TILTH_MODEL_ONNX_COLUMNS_H
#define TILTH_MODEL_ONNX_COLUMNS_H

#include <stdbool.h>
#include <stdint.h>

enum { ONNX_MAX_STEPS = 8 };

enum onnx_step_kind {
    STEP_ADD,
    STEP_SUBTRACT,
    STEP_MULTIPLY, /* by what is neither 0 nor NaN nor infinite; so the divisor */
    STEP_DIVIDE,
    STEP_IMPUTE, /* in place of NaN */
    /* What needs the whole row; all columns have it in the same place, and only nets read them. */
    STEP_L1,
    STEP_L2,
    STEP_MAX
};

struct onnx_step {
    enum onnx_step_kind kind;
    float number;
};

struct onnx_column {
    uint16_t feature;
    uint8_t step_count;
    struct onnx_step steps[ONNX_MAX_STEPS];
};

/* The column of a pixel whose feature is x. */
float onnx_column_value(const struct onnx_column *column, float x);

/* Whether the greatest feature is the least column. */
bool onnx_column_falls(const struct onnx_column *column);

/*
 * The largest x (but NaN) whose column is not above t; where columns fall, whose column is above
 * t. False when there is none.
 */
bool onnx_column_upto(const struct onnx_column *column, double t, float *ret_x);

#endif
