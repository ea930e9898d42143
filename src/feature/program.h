/*
 * program: what expressions are compiled to. A register machine whose registers are
 * strips of FEATURE_STRIP float32: one instruction runs over a whole strip, so that the
 * decoding of the program costs next to nothing per pixel, and the dozens of live strips of a
 * year of dates stay in the L1 cache.
 *
 * Private to build.c (compiler's back end) and run.c (machine).
 */
#ifndef TILTH_FEATURE_PROGRAM_H
#define TILTH_FEATURE_PROGRAM_H

#include <stddef.h>
#include <stdint.h>

/* 1 KiB per register. */
#define FEATURE_STRIP 256

enum feature_op {
    FEATURE_ADD,
    FEATURE_SUB,
    FEATURE_MUL,
    FEATURE_DIV,
    FEATURE_MIN, /* NaN wins */
    FEATURE_MAX,
    FEATURE_FMIN, /* NaN loses */
    FEATURE_FMAX,
    FEATURE_LESSER, /* of two numbers that are not NaN */
    FEATURE_GREATER,
    FEATURE_NAN_OR, /* the first where it is NaN, else the second */
    FEATURE_ND,
    FEATURE_LT,
    FEATURE_LE,
    FEATURE_GT,
    FEATURE_GE,
    FEATURE_EQ,
    FEATURE_NE,
    FEATURE_FILL, /* the first where it is finite, else the second */
    FEATURE_NEG,
    FEATURE_ABS,
    FEATURE_SQRT,
    FEATURE_LN,
    FEATURE_EXP,
    FEATURE_WHERE,
    FEATURE_STORE, /* the first operand is output number `out` */
    FEATURE_OP_COUNT
};

enum operand_kind { OPERAND_REGISTER, OPERAND_BAND, OPERAND_NUMBER };

struct operand {
    uint16_t kind;
    uint16_t index; /* of a register, of features->bands, of features->numbers */
};

struct instruction {
    uint16_t op;
    uint16_t out; /* a register that is none of the inputs */
    struct operand in[3];
};

struct features {
    struct instruction *code;
    float *numbers;
    int *bands; /* distinct planes that are read, as feature_band_fn named them */
    uint32_t code_count, number_count, band_count, register_count;
};

/* How many operands an instruction has. */
static inline unsigned feature_op_inputs(enum feature_op op)
{
    if (op == FEATURE_WHERE)
        return 3;
    return op < FEATURE_NEG ? 2 : 1;
}

#endif
