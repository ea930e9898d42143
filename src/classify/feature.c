/*
 * The compiler: recursive descent over the text, one instruction per operator, registers
 * given out like a stack. What bad input can cost is capped: bytes of text, depth of nesting,
 * registers.
 *
 *   expression := sum [("<" | "<=" | ">" | ">=" | "==" | "!=") sum]
 *   sum        := product {("+" | "-") product}
 *   product    := unary {("*" | "/") unary}
 *   unary      := "-" unary | primary
 *   primary    := number | band | function "(" expression {"," expression} ")"
 *               | "(" expression ")"
 */
#include "classify/feature.h"

#include "base/check.h"
#include "classify/feature_program.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct parser {
    const char *text;
    size_t at;
    unsigned depth;
    struct feature *feature;
    feature_band_fn *band;
    void *udata;
    bool busy[FEATURE_MAX_REGISTERS];
    struct tl_err *err;
};

struct function {
    const char *name;
    unsigned arguments;
    enum feature_op op;
};

/* clamp() is two instructions and has no op of its own. */
static const struct function functions[] = {
    {"abs", 1, FEATURE_ABS},   {"min", 2, FEATURE_MIN},     {"max", 2, FEATURE_MAX},
    {"sqrt", 1, FEATURE_SQRT}, {"ln", 1, FEATURE_LN},       {"exp", 1, FEATURE_EXP},
    {"nd", 2, FEATURE_ND},     {"where", 3, FEATURE_WHERE}, {"clamp", 3, FEATURE_OP_COUNT},
};

static enum tl_code expression(struct parser *p, struct operand *ret);

/* Every refusal has the same shape: the text, the column (from 1, in bytes), the reason. */
#define REFUSE(p, at, code, fmt, ...)                                                    \
    tl_fail((p)->err, code, "\"%.200s\", column %zu: " fmt, (p)->text, (size_t)(at) + 1, \
            ##__VA_ARGS__)

static void skip_space(struct parser *p)
{
    while (p->text[p->at] == ' ' || p->text[p->at] == '\t' || p->text[p->at] == '\n')
        p->at++;
}

static char peek(struct parser *p)
{
    skip_space(p);
    return p->text[p->at];
}

/* Takes `token` when it is next. */
static bool take(struct parser *p, const char *token)
{
    size_t size = strlen(token);

    skip_space(p);
    if (strncmp(p->text + p->at, token, size) != 0)
        return false;
    p->at += size;
    return true;
}

static enum tl_code expected(struct parser *p, const char *what)
{
    unsigned char c = (unsigned char)peek(p);

    if (!c)
        return REFUSE(p, p->at, TL_INVALID, "expected %s, but the expression ends", what);
    if (!isprint(c))
        return REFUSE(p, p->at, TL_INVALID, "expected %s, not byte 0x%02x", what, c);
    return REFUSE(p, p->at, TL_INVALID, "expected %s, not \"%c\"", what, c);
}

static enum tl_code take_register(struct parser *p, uint16_t *ret_register)
{
    for (unsigned i = 0; i < FEATURE_MAX_REGISTERS; i++) {
        if (p->busy[i])
            continue;
        p->busy[i] = true;
        p->feature->register_count = (uint16_t)TL_MAX(p->feature->register_count, i + 1);
        *ret_register = (uint16_t)i;
        return TL_OK;
    }
    return REFUSE(p, p->at, TL_LIMIT, "more than %d intermediate values; split the feature",
                  FEATURE_MAX_REGISTERS);
}

/* Appends an instruction; its inputs' registers are free afterwards. */
static enum tl_code emit(struct parser *p, enum feature_op op, const struct operand *in,
                         unsigned count, struct operand *ret)
{
    struct feature *feature = p->feature;
    struct instruction *instruction = &feature->code[feature->code_count];
    uint16_t out = 0;

    TL_TRY(take_register(p, &out));
    *instruction = (struct instruction){.op = (uint16_t)op, .out = out};
    for (unsigned i = 0; i < count; i++) {
        instruction->in[i] = in[i];
        if (in[i].kind == OPERAND_REGISTER)
            p->busy[in[i].index] = false;
    }
    feature->code_count++;
    *ret = (struct operand){OPERAND_REGISTER, out};
    return TL_OK;
}

/* Digits, at most one point, an exponent: what strtod() would take, without "inf" and hex. */
static size_t number_size(const char *text)
{
    size_t n = strspn(text, "0123456789");
    size_t digits = n;

    if (text[n] == '.') {
        size_t fraction = strspn(text + n + 1, "0123456789");
        n += 1 + fraction;
        digits += fraction;
    }
    if (!digits)
        return 0;
    if (text[n] == 'e' || text[n] == 'E') {
        size_t sign = text[n + 1] == '+' || text[n + 1] == '-';
        size_t exponent = strspn(text + n + 1 + sign, "0123456789");
        if (exponent)
            n += 1 + sign + exponent;
    }
    return n;
}

static enum tl_code number(struct parser *p, struct operand *ret)
{
    struct feature *feature = p->feature;
    size_t start = p->at, size = number_size(p->text + start);
    char digits[64];

    if (!size)
        return expected(p, "a number, a band or \"(\"");
    if (size >= sizeof(digits))
        return REFUSE(p, start, TL_LIMIT, "a number of %zu characters; the limit is %zu", size,
                      sizeof(digits) - 1);
    memcpy(digits, p->text + start, size);
    digits[size] = '\0';
    p->at += size;
    if (isalnum((unsigned char)p->text[p->at]) || p->text[p->at] == '_')
        return expected(p, "an operator after the number");
    /* As numpy.float32(0.1) does it: to double, then to float32. */
    double value = strtod(digits, NULL);
    if (!isfinite((float)value))
        return REFUSE(p, start, TL_INVALID, "%s is too large for float32", digits);
    feature->numbers[feature->number_count] = (float)value;
    *ret = (struct operand){OPERAND_NUMBER, feature->number_count++};
    return TL_OK;
}

/* "s1.red": words joined by points; the first does not begin with a digit. */
static size_t name_size(const char *text)
{
    size_t n = 0;

    if (!isalpha((unsigned char)text[0]) && text[0] != '_')
        return 0;
    while (isalnum((unsigned char)text[n]) || text[n] == '_' ||
           (text[n] == '.' && (isalnum((unsigned char)text[n + 1]) || text[n + 1] == '_')))
        n++;
    return n;
}

static enum tl_code band(struct parser *p, size_t start, size_t size, struct operand *ret)
{
    struct feature *feature = p->feature;
    int plane = p->band(p->udata, p->text + start, size);
    uint16_t i = 0;

    if (plane < 0)
        return REFUSE(p, start, TL_INVALID, "there is no band \"%.*s\"", (int)TL_MIN(size, 80),
                      p->text + start);
    while (i < feature->band_count && feature->bands[i] != plane)
        i++;
    if (i == feature->band_count)
        feature->bands[feature->band_count++] = plane;
    *ret = (struct operand){OPERAND_BAND, i};
    return TL_OK;
}

static const struct function *function_find(const char *name, size_t size)
{
    for (size_t i = 0; i < TL_COUNT(functions); i++)
        if (strlen(functions[i].name) == size && strncmp(functions[i].name, name, size) == 0)
            return &functions[i];
    return NULL;
}

/* numpy.clip: minimum(maximum(x, lo), hi). */
static enum tl_code emit_clamp(struct parser *p, const struct operand in[3], struct operand *ret)
{
    struct operand raised;

    TL_TRY(emit(p, FEATURE_MAX, in, 2, &raised));
    return emit(p, FEATURE_MIN, (struct operand[]){raised, in[2]}, 2, ret);
}

static enum tl_code call(struct parser *p, size_t start, size_t size, struct operand *ret)
{
    const struct function *function = function_find(p->text + start, size);
    struct operand in[3] = {0};

    if (!function)
        return REFUSE(p, start, TL_INVALID,
                      "there is no function \"%.*s\"; there are abs, min, max, sqrt, ln, exp, "
                      "clamp(x,lo,hi), nd(a,b), where(cond,a,b)",
                      (int)TL_MIN(size, 40), p->text + start);
    for (unsigned i = 0; i < function->arguments; i++) {
        if (i && !take(p, ","))
            return expected(p, "\",\" and one more argument");
        TL_TRY(expression(p, &in[i]));
    }
    if (peek(p) == ',')
        return REFUSE(p, p->at, TL_INVALID, "%s() takes %u argument%s", function->name,
                      function->arguments, function->arguments == 1 ? "" : "s");
    if (!take(p, ")"))
        return expected(p, "\")\"");
    if (function->op == FEATURE_OP_COUNT)
        return emit_clamp(p, in, ret);
    return emit(p, function->op, in, function->arguments, ret);
}

static enum tl_code primary(struct parser *p, struct operand *ret)
{
    skip_space(p);
    size_t start = p->at, size = name_size(p->text + start);

    if (take(p, "(")) {
        TL_TRY(expression(p, ret));
        return take(p, ")") ? TL_OK : expected(p, "\")\" or an operator");
    }
    if (!size)
        return number(p, ret);
    p->at += size;
    return take(p, "(") ? call(p, start, size, ret) : band(p, start, size, ret);
}

static enum tl_code unary(struct parser *p, struct operand *ret)
{
    struct operand in;

    if (!take(p, "-"))
        return primary(p, ret);
    if (++p->depth > FEATURE_MAX_DEPTH)
        return REFUSE(p, p->at, TL_LIMIT, "nested deeper than %d", FEATURE_MAX_DEPTH);
    TL_TRY(unary(p, &in));
    p->depth--;
    return emit(p, FEATURE_NEG, &in, 1, ret);
}

static enum tl_code product(struct parser *p, struct operand *ret)
{
    struct operand in[2];

    TL_TRY(unary(p, &in[0]));
    for (;;) {
        enum feature_op op = peek(p) == '*' ? FEATURE_MUL : FEATURE_DIV;
        if (!take(p, "*") && !take(p, "/"))
            break;
        TL_TRY(unary(p, &in[1]));
        TL_TRY(emit(p, op, in, 2, &in[0]));
    }
    *ret = in[0];
    return TL_OK;
}

static enum tl_code sum(struct parser *p, struct operand *ret)
{
    struct operand in[2];

    TL_TRY(product(p, &in[0]));
    for (;;) {
        enum feature_op op = peek(p) == '+' ? FEATURE_ADD : FEATURE_SUB;
        if (!take(p, "+") && !take(p, "-"))
            break;
        TL_TRY(product(p, &in[1]));
        TL_TRY(emit(p, op, in, 2, &in[0]));
    }
    *ret = in[0];
    return TL_OK;
}

/* The longer token first: "<=" is not "<" and "=". */
static bool comparison(struct parser *p, enum feature_op *ret_op)
{
    static const struct {
        const char *token;
        enum feature_op op;
    } tokens[] = {
        {"<=", FEATURE_LE}, {">=", FEATURE_GE}, {"==", FEATURE_EQ},
        {"!=", FEATURE_NE}, {"<", FEATURE_LT},  {">", FEATURE_GT},
    };

    for (size_t i = 0; i < TL_COUNT(tokens); i++) {
        if (take(p, tokens[i].token)) {
            *ret_op = tokens[i].op;
            return true;
        }
    }
    return false;
}

static enum tl_code expression(struct parser *p, struct operand *ret)
{
    struct operand in[2];
    enum feature_op op;

    if (++p->depth > FEATURE_MAX_DEPTH)
        return REFUSE(p, p->at, TL_LIMIT, "nested deeper than %d", FEATURE_MAX_DEPTH);
    TL_TRY(sum(p, &in[0]));
    if (comparison(p, &op)) {
        TL_TRY(sum(p, &in[1]));
        TL_TRY(emit(p, op, in, 2, &in[0]));
        size_t at = p->at;
        if (comparison(p, &op))
            return REFUSE(p, at, TL_INVALID,
                          "comparisons do not chain; multiply two of them for \"and\"");
    }
    p->depth--;
    *ret = in[0];
    return TL_OK;
}

/* A program has fewer instructions, numbers and bands than its text has characters. */
static struct feature *feature_alloc(const char *text, size_t size)
{
    struct feature *feature = calloc(1, sizeof(*feature));

    if (!feature)
        return NULL;
    feature->text = strdup(text);
    feature->code = calloc(size + 1, sizeof(*feature->code));
    feature->numbers = calloc(size + 1, sizeof(*feature->numbers));
    feature->bands = calloc(size + 1, sizeof(*feature->bands));
    if (feature->text && feature->code && feature->numbers && feature->bands)
        return feature;
    feature_free(feature);
    return NULL;
}

/* Gives back what the guess of feature_alloc() was too large by; failing to is harmless. */
static void *shrink(void *items, size_t count, size_t size)
{
    void *smaller = realloc(items, TL_MAX(count, 1) * size);

    return smaller ? smaller : items;
}

enum tl_code feature_compile(const char *text, feature_band_fn *band_fn, void *udata,
                             struct feature **ret_feature, struct tl_err *err)
{
    size_t size = strnlen(text, FEATURE_MAX_TEXT + 1);

    if (size > FEATURE_MAX_TEXT)
        return tl_fail(err, TL_LIMIT, "a feature of more than %d characters: \"%.40s...\"",
                       FEATURE_MAX_TEXT, text);
    AUTO(feature) feature = feature_alloc(text, size);
    if (!feature)
        return tl_fail(err, TL_NOMEM, "no memory to compile a feature");

    struct parser parser = {
        .text = text, .feature = feature, .band = band_fn, .udata = udata, .err = err};
    TL_TRY(expression(&parser, &feature->result));
    if (peek(&parser))
        return expected(&parser, "an operator");
    TL_CHECK(feature->code_count <= size && feature->number_count <= size);

    feature->code = shrink(feature->code, feature->code_count, sizeof(*feature->code));
    feature->numbers = shrink(feature->numbers, feature->number_count, sizeof(*feature->numbers));
    feature->bands = shrink(feature->bands, feature->band_count, sizeof(*feature->bands));
    *ret_feature = TL_TAKE(feature);
    return TL_OK;
}

void feature_free(struct feature *feature)
{
    if (!feature)
        return;
    free(feature->text);
    free(feature->code);
    free(feature->numbers);
    free(feature->bands);
    free(feature);
}

const int *feature_bands(const struct feature *feature, size_t *ret_count)
{
    *ret_count = feature->band_count;
    return feature->bands;
}
