/*
 * The front end: recursive descent over the text, into the graph of build.h. What bad
 * input can cost is capped: bytes of text, depth of nesting, members of a series, operations.
 *
 *   expression := sum [("<" | "<=" | ">" | ">=" | "==" | "!=") sum]
 *   sum        := product {("+" | "-") product}
 *   product    := unary {("*" | "/") unary}
 *   unary      := "-" unary | primary
 *   primary    := number | name | function "(" arguments ")" | "(" expression ")"
 *   arguments  := expression {"," expression}
 *               | source ["," number]                    of an index
 *               | number "," expression {"," expression} of a percentile
 *   name       := source "." band; one of the two may have a range: "t{1..12}.nir"
 */
#include "feature/feature.h"

#include "base/arena.h"
#include "base/check.h"
#include "feature/build.h"
#include "feature/functions.h"
#include "feature/scan.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FEATURE_MAX_TEXT  4096
#define FEATURE_MAX_DEPTH 64

struct parser {
    struct scan scan;
    unsigned depth;
    struct feature_builder *builder;
    struct arena *arena; /* of the members of series */
    feature_band_fn *band;
    void *udata;
};

/* What an expression stands for: one node, or a series of them. */
struct value {
    uint32_t count, one;
    const uint32_t *many; /* NULL when count is 1 */
};

static enum tl_code expression(struct parser *p, struct value *ret);

/* ---- values ---- */

/* A single value goes with every member of a series. */
static uint32_t member(const struct value *value, uint32_t i)
{
    return value->count == 1 ? value->one : value->many[i];
}

static struct value single(uint32_t node)
{
    return (struct value){.count = 1, .one = node};
}

static enum tl_code no_memory(struct parser *p)
{
    return tl_fail(p->scan.err, TL_NOMEM, "no memory to compile a feature");
}

/* Room for the members of a series. */
static enum tl_code open_series(struct parser *p, uint32_t count, uint32_t **ret_nodes)
{
    *ret_nodes = arena_alloc(p->arena, count, sizeof(**ret_nodes));
    return *ret_nodes ? TL_OK : no_memory(p);
}

static struct value close_series(const uint32_t *nodes, uint32_t count)
{
    return count == 1 ? single(nodes[0]) : (struct value){.count = count, .many = nodes};
}

/* Whether the graph took all that was built since. */
static enum tl_code built(struct parser *p, size_t at)
{
    if (p->builder->failed == TL_NOMEM)
        return no_memory(p);
    if (p->builder->failed)
        return SCAN_REFUSE(&p->scan, at, TL_LIMIT,
                           "the features take more than %d operations; use shorter series or fewer "
                           "statistics",
                           FEATURE_MAX_NODES);
    return TL_OK;
}

static uint32_t apply(struct feature_builder *b, const struct feature_function *function,
                      const uint32_t *in)
{
    if (function->formula)
        return function->formula(b, in);
    if (function->arguments == 1)
        return feature_op1(b, function->op, in[0]);
    if (function->arguments == 2)
        return feature_op2(b, function->op, in[0], in[1]);
    TL_CHECK(function->arguments == 3);
    return feature_where(b, in[0], in[1], in[2]);
}

/* Member by member; series are of one length. */
static enum tl_code map(struct parser *p, size_t at, const struct feature_function *function,
                        const struct value *in, struct value *ret)
{
    uint32_t count = 1, *nodes;

    for (unsigned k = 0; k < function->arguments; k++) {
        if (in[k].count != 1 && count != 1 && in[k].count != count)
            return SCAN_REFUSE(&p->scan, at, TL_INVALID,
                               "a series of %u values and one of %u do not go together", count,
                               in[k].count);
        count = TL_MAX(count, in[k].count);
    }
    TL_TRY(open_series(p, count, &nodes));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t members[FEATURE_MAX_ARGUMENTS];

        for (unsigned k = 0; k < function->arguments; k++)
            members[k] = member(&in[k], i);
        nodes[i] = apply(p->builder, function, members);
    }
    *ret = close_series(nodes, count);
    return built(p, at);
}

static enum tl_code operate(struct parser *p, size_t at, enum feature_op op,
                            const struct value in[2], struct value *ret)
{
    const struct feature_function elementary = {.arguments = feature_op_inputs(op), .op = op};

    return map(p, at, &elementary, in, ret);
}

/* ---- numbers ---- */

static enum tl_code number(struct parser *p, struct value *ret)
{
    double value;

    if (!scan_is_number(&p->scan))
        return scan_expected(&p->scan, "a number, a band or \"(\"");
    TL_TRY(scan_literal(&p->scan, &value));
    *ret = single(feature_number(p->builder, (float)value));
    return built(p, p->scan.at);
}

/* ---- names ---- */

/* A band's value: its samples, scaled as its source says. */
static uint32_t band_node(struct parser *p, const struct feature_band *band)
{
    uint32_t node = feature_plane(p->builder, band->plane);

    if (band->scale != 1)
        node = feature_op2(p->builder, FEATURE_MUL, node, feature_number(p->builder, band->scale));
    if (band->offset != 0)
        node = feature_op2(p->builder, FEATURE_ADD, node, feature_number(p->builder, band->offset));
    return node;
}

static enum tl_code bands(struct parser *p, const struct scan_name *name, struct value *ret)
{
    uint32_t count = scan_count(name), *nodes;
    size_t start = (size_t)(name->text - p->scan.text);
    char full[SCAN_MAX_NAME + 1];

    TL_TRY(open_series(p, count, &nodes));
    for (uint32_t i = 0; i < count; i++) {
        struct feature_band band;

        TL_TRY(scan_member(&p->scan, name, i, "", full));
        if (!p->band(p->udata, full, strlen(full), &band))
            return SCAN_REFUSE(&p->scan, start, TL_INVALID, "there is no band \"%.80s\"", full);
        nodes[i] = band_node(p, &band);
    }
    *ret = close_series(nodes, count);
    return built(p, start);
}

/* ---- indices of sources ---- */

/* The band of source number `i` that shows something, under one of its common names. */
static enum tl_code role_band(struct parser *p, const struct scan_name *source, uint32_t i,
                              enum feature_role role, uint32_t *ret_node)
{
    const char *const *names = feature_role_names(role);
    size_t start = (size_t)(source->text - p->scan.text);
    char full[SCAN_MAX_NAME + 1], list[80] = "";
    struct feature_band band;

    for (size_t n = 0; names[n]; n++) {
        char suffix[32];
        size_t at = strlen(list);

        snprintf(suffix, sizeof(suffix), ".%s", names[n]);
        TL_TRY(scan_member(&p->scan, source, i, suffix, full));
        if (p->band(p->udata, full, strlen(full), &band)) {
            *ret_node = band_node(p, &band);
            return TL_OK;
        }
        snprintf(list + at, sizeof(list) - at, "%s%s", n ? ", " : "", names[n]);
    }
    TL_TRY(scan_member(&p->scan, source, i, "", full));
    return SCAN_REFUSE(&p->scan, start, TL_INVALID,
                       "source \"%.63s\" has no band for %s: none of %s", full,
                       feature_role_title(role), list);
}

/* What 1 of reflectance is in the source, where the formula needs to know. */
static enum tl_code take_unit(struct parser *p, const struct feature_function *index,
                              const struct scan_name *source, double *ret_unit)
{
    *ret_unit = 1;
    if (!index->reflectance)
        return TL_OK;
    if (!scan_take(&p->scan, ","))
        return SCAN_REFUSE(
            &p->scan, p->scan.at, TL_INVALID,
            "%s() has constants for reflectances of 0 to 1; say what 1 is in the source: "
            "%s(%.*s, 10000) or %s(%.*s, 1)",
            index->name, index->name, (int)TL_MIN(source->size, (size_t)63), source->text,
            index->name, (int)TL_MIN(source->size, (size_t)63), source->text);
    scan_space(&p->scan);
    size_t at = p->scan.at;
    TL_TRY(scan_literal(&p->scan, ret_unit));
    if (!((float)*ret_unit > 0))
        return SCAN_REFUSE(&p->scan, at, TL_INVALID, "what 1 is in the source is above 0");
    return TL_OK;
}

static enum tl_code index_of(struct parser *p, const struct feature_function *index,
                             const struct scan_name *source, struct value *ret)
{
    uint32_t count = scan_count(source), *nodes;
    double unit;

    TL_TRY(take_unit(p, index, source, &unit));
    TL_TRY(open_series(p, count, &nodes));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t in[FEATURE_MAX_ARGUMENTS];

        for (unsigned k = 0; k < index->arguments; k++) {
            TL_TRY(role_band(p, source, i, index->roles[k], &in[k]));
            if ((float)unit != 1)
                in[k] = feature_op2(p->builder, FEATURE_DIV, in[k],
                                    feature_number(p->builder, (float)unit));
        }
        nodes[i] = apply(p->builder, index, in);
    }
    *ret = close_series(nodes, count);
    return built(p, p->scan.at);
}

/* "s1" or "t{1..12}" alone as the first argument, and no band of that name: takes it. */
static enum tl_code take_source(struct parser *p, struct scan_name *ret_source, bool *ret_taken)
{
    struct feature_band band;
    struct scan_name name;

    *ret_taken = false;
    scan_space(&p->scan);
    size_t start = p->scan.at;
    TL_TRY(scan_name(&p->scan, &name));
    if (!name.size || name.dotted ||
        (name.head == name.size && p->band(p->udata, name.text, name.size, &band)))
        return TL_OK;
    p->scan.at += name.size;
    if (scan_peek(&p->scan) == ')' || scan_peek(&p->scan) == ',') {
        *ret_source = name;
        *ret_taken = true;
    } else {
        p->scan.at = start;
    }
    return TL_OK;
}

/* ---- functions ---- */

/* A function, and the percent that is in its name: p90. */
struct called {
    const struct feature_function *function;
    double percent;
    bool has_percent;
};

static struct called find_function(const char *name, size_t size)
{
    struct called called = {.function = feature_function_find(name, size)};
    size_t nan = size > 3 && strncasecmp(name, "nan", 3) == 0 ? 3 : 0;
    size_t digits = size - nan - 1;

    if (called.function || (name[nan] != 'p' && name[nan] != 'P') || digits < 1 || digits > 2 ||
        strspn(name + nan + 1, "0123456789") != digits)
        return called;
    called.percent = strtod(name + nan + 1, NULL);
    called.has_percent = true;
    if (called.percent >= 1)
        called.function = nan ? feature_function_find("nanpercentile", 13)
                              : feature_function_find("percentile", 10);
    return called;
}

static enum tl_code take_percent(struct parser *p, double *ret_percent)
{
    scan_space(&p->scan);
    size_t at = p->scan.at;

    TL_TRY(scan_literal(&p->scan, ret_percent));
    if (*ret_percent > 100)
        return SCAN_REFUSE(&p->scan, at, TL_INVALID, "a percentile is 0 to 100");
    return scan_take(&p->scan, ",")
               ? TL_OK
               : scan_expected(&p->scan, "\",\" and what the percentile is of");
}

/* All members of all arguments, in their order. */
static enum tl_code statistic(struct parser *p, size_t start, struct called called,
                              struct value *ret)
{
    const struct feature_function *function = called.function;
    uint32_t nodes[FEATURE_MAX_SERIES];
    struct feature_series series = {.nodes = nodes};

    if (function->takes_percent && !called.has_percent)
        TL_TRY(take_percent(p, &called.percent));
    do {
        struct value value;

        TL_TRY(expression(p, &value));
        if (value.count > FEATURE_MAX_SERIES - series.count)
            return SCAN_REFUSE(&p->scan, start, TL_LIMIT, "%s() of more than %d values",
                               function->name, FEATURE_MAX_SERIES);
        for (uint32_t i = 0; i < value.count; i++)
            nodes[series.count++] = member(&value, i);
    } while (scan_take(&p->scan, ","));
    if (series.count < function->least)
        return SCAN_REFUSE(&p->scan, start, TL_INVALID, "%s() is of at least %u values",
                           function->name, function->least);
    *ret = single(function->statistic(p->builder, &series, called.percent));
    return built(p, start);
}

static enum tl_code arguments(struct parser *p, size_t start,
                              const struct feature_function *function, struct value *ret)
{
    struct value in[FEATURE_MAX_ARGUMENTS] = {{0}};
    struct scan_name source;
    bool taken = false;

    if (function->roles[0])
        TL_TRY(take_source(p, &source, &taken));
    if (taken)
        return index_of(p, function, &source, ret);
    for (unsigned i = 0; i < function->arguments; i++) {
        if (i && !scan_take(&p->scan, ","))
            return scan_expected(&p->scan, "\",\" and one more argument");
        TL_TRY(expression(p, &in[i]));
    }
    return map(p, start, function, in, ret);
}

static enum tl_code call(struct parser *p, size_t start, size_t size, struct value *ret)
{
    const char *name = p->scan.text + start;
    struct called called = find_function(name, size);

    if (!called.function)
        return SCAN_REFUSE(&p->scan, start, TL_INVALID,
                           "there is no function \"%.*s\"; there are %s",
                           (int)TL_MIN(size, (size_t)40), name, feature_function_names());
    TL_TRY(called.function->statistic ? statistic(p, start, called, ret)
                                      : arguments(p, start, called.function, ret));
    if (scan_peek(&p->scan) == ',')
        return SCAN_REFUSE(&p->scan, p->scan.at, TL_INVALID, "%s() takes %u argument%s",
                           called.function->name, called.function->arguments,
                           called.function->arguments == 1 ? "" : "s");
    return scan_take(&p->scan, ")") ? TL_OK : scan_expected(&p->scan, "\")\"");
}

/* ---- the grammar ---- */

static enum tl_code primary(struct parser *p, struct value *ret)
{
    struct scan_name name;

    scan_space(&p->scan);
    size_t start = p->scan.at;
    if (scan_take(&p->scan, "(")) {
        TL_TRY(expression(p, ret));
        return scan_take(&p->scan, ")") ? TL_OK : scan_expected(&p->scan, "\")\" or an operator");
    }
    TL_TRY(scan_name(&p->scan, &name));
    if (!name.size)
        return number(p, ret);
    p->scan.at += name.size;
    return scan_take(&p->scan, "(") ? call(p, start, name.size, ret) : bands(p, &name, ret);
}

static enum tl_code unary(struct parser *p, struct value *ret)
{
    struct value in[2] = {{0}};
    size_t at = p->scan.at;

    if (!scan_take(&p->scan, "-"))
        return primary(p, ret);
    if (++p->depth > FEATURE_MAX_DEPTH)
        return SCAN_REFUSE(&p->scan, p->scan.at, TL_LIMIT, "nested deeper than %d",
                           FEATURE_MAX_DEPTH);
    TL_TRY(unary(p, &in[0]));
    p->depth--;
    return operate(p, at, FEATURE_NEG, in, ret);
}

static enum tl_code product(struct parser *p, struct value *ret)
{
    struct value in[2];

    TL_TRY(unary(p, &in[0]));
    for (;;) {
        enum feature_op op = scan_peek(&p->scan) == '*' ? FEATURE_MUL : FEATURE_DIV;
        size_t at = p->scan.at;
        if (!scan_take(&p->scan, "*") && !scan_take(&p->scan, "/"))
            break;
        TL_TRY(unary(p, &in[1]));
        TL_TRY(operate(p, at, op, in, &in[0]));
    }
    *ret = in[0];
    return TL_OK;
}

static enum tl_code sum(struct parser *p, struct value *ret)
{
    struct value in[2];

    TL_TRY(product(p, &in[0]));
    for (;;) {
        enum feature_op op = scan_peek(&p->scan) == '+' ? FEATURE_ADD : FEATURE_SUB;
        size_t at = p->scan.at;
        if (!scan_take(&p->scan, "+") && !scan_take(&p->scan, "-"))
            break;
        TL_TRY(product(p, &in[1]));
        TL_TRY(operate(p, at, op, in, &in[0]));
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
        if (scan_take(&p->scan, tokens[i].token)) {
            *ret_op = tokens[i].op;
            return true;
        }
    }
    return false;
}

static enum tl_code expression(struct parser *p, struct value *ret)
{
    struct value in[2];
    enum feature_op op;

    if (++p->depth > FEATURE_MAX_DEPTH)
        return SCAN_REFUSE(&p->scan, p->scan.at, TL_LIMIT, "nested deeper than %d",
                           FEATURE_MAX_DEPTH);
    TL_TRY(sum(p, &in[0]));
    size_t at = p->scan.at;
    if (comparison(p, &op)) {
        TL_TRY(sum(p, &in[1]));
        TL_TRY(operate(p, at, op, in, &in[0]));
        at = p->scan.at;
        if (comparison(p, &op))
            return SCAN_REFUSE(&p->scan, at, TL_INVALID,
                               "comparisons do not chain; multiply two of them for \"and\"");
    }
    p->depth--;
    *ret = in[0];
    return TL_OK;
}

static enum tl_code whole(struct parser *p, uint32_t *ret_node)
{
    struct value value;

    if (strnlen(p->scan.text, FEATURE_MAX_TEXT + 1) > FEATURE_MAX_TEXT)
        return tl_fail(p->scan.err, TL_LIMIT, "a feature of more than %d characters: \"%.40s...\"",
                       FEATURE_MAX_TEXT, p->scan.text);
    TL_TRY(expression(p, &value));
    if (scan_peek(&p->scan))
        return scan_expected(&p->scan, "an operator");
    if (value.count != 1)
        return SCAN_REFUSE(
            &p->scan, 0, TL_INVALID,
            "a series of %u values; a statistic (median, mean, p90, ...) makes one of it",
            value.count);
    *ret_node = value.one;
    return TL_OK;
}

static enum tl_code compile(struct parser *p, const struct feature_text *from, uint32_t output)
{
    uint32_t node = 0;

    p->scan.text = from->text;
    p->scan.at = 0;
    p->depth = 0;
    p->builder->built = 0;
    arena_reset(p->arena);
    enum tl_code code = whole(p, &node);
    if (code == TL_OK) {
        if (from->fill.fills)
            node = feature_op2(p->builder, FEATURE_FILL, node,
                               feature_number(p->builder, from->fill.value));
        feature_store(p->builder, node, output);
        code = built(p, 0);
    }
    if (code == TL_OK || !from->name)
        return code;
    return tl_context(p->scan.err, code, "feature \"%.100s\": ", from->name);
}

enum tl_code features_compile(const struct feature_text *texts, size_t count, feature_band_fn *band,
                              void *udata, struct features **ret_features, struct tl_err *err)
{
    AUTO(arena) arena = arena_new();
    struct feature_builder builder = {0};
    struct parser parser = {
        .builder = &builder, .arena = arena, .band = band, .udata = udata, .scan.err = err};
    enum tl_code code = arena ? TL_OK : no_memory(&parser);

    TL_CHECK(count > 0 && count <= UINT16_MAX);
    for (size_t i = 0; i < count && code == TL_OK; i++)
        code = compile(&parser, &texts[i], (uint32_t)i);
    if (code == TL_OK)
        code = feature_finish(&builder, ret_features, err);
    feature_builder_release(&builder);
    return code;
}
