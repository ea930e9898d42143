/*
 * feature_program: what an expression is compiled to. A register machine whose registers are
 * strips of FEATURE_STRIP float32: one instruction runs over a whole strip, so that the
 * decoding of the program costs nothing per pixel and all live strips stay in the L1 cache.
 *
 * Private to feature.c (compiler) and feature_run.c (machine).
 */
#ifndef TILTH_CLASSIFY_FEATURE_PROGRAM_H
#define TILTH_CLASSIFY_FEATURE_PROGRAM_H

#include <stdint.h>

/* 4 KiB per register: an expression rarely has more than four alive. */
#define FEATURE_STRIP         1024
#define FEATURE_MAX_TEXT      4096
#define FEATURE_MAX_DEPTH     64
#define FEATURE_MAX_REGISTERS 256

enum feature_op {
    FEATURE_ADD,
    FEATURE_SUB,
    FEATURE_MUL,
    FEATURE_DIV,
    FEATURE_MIN,
    FEATURE_MAX,
    FEATURE_ND,
    FEATURE_LT,
    FEATURE_LE,
    FEATURE_GT,
    FEATURE_GE,
    FEATURE_EQ,
    FEATURE_NE,
    FEATURE_NEG,
    FEATURE_ABS,
    FEATURE_SQRT,
    FEATURE_LN,
    FEATURE_EXP,
    FEATURE_WHERE,
    FEATURE_OP_COUNT
};

enum operand_kind { OPERAND_REGISTER, OPERAND_BAND, OPERAND_NUMBER };

struct operand {
    uint16_t kind;
    uint16_t index; /* of a register, of feature->bands, of feature->numbers */
};

struct instruction {
    uint16_t op;
    uint16_t out; /* a register that is none of the inputs */
    struct operand in[3];
};

struct feature {
    char *text;
    struct instruction *code;
    float *numbers;
    int *bands; /* distinct planes that are read, as feature_band_fn named them */
    uint16_t code_count, number_count, band_count, register_count;
    struct operand result;
};

#endif
