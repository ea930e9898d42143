#include "feature/build.h"

#include "base/check.h"
#include "feature/feature.h"

#include <stdlib.h>
#include <string.h>

/* Leaves; in[0] is a place in builder->bands, or the bits of a float. */
enum { LEAF_BAND = FEATURE_OP_COUNT, LEAF_NUMBER };

/* ---- the graph ---- */

void feature_builder_release(struct feature_builder *builder)
{
    free(builder->nodes);
    free(builder->table);
    free(builder->bands);
}

static uint32_t hash_node(const struct feature_node *node)
{
    uint64_t h = node->op;

    for (int i = 0; i < 3; i++)
        h = (h ^ node->in[i]) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(h >> 32);
}

/* Where the node is in the table, or the free place for it. The table is at most half full. */
static uint32_t *find_place(const struct feature_builder *b, const struct feature_node *node)
{
    uint32_t mask = 2 * b->room - 1, at = hash_node(node) & mask;

    while (b->table[at] && memcmp(&b->nodes[b->table[at] - 1], node, sizeof(*node)) != 0)
        at = (at + 1) & mask;
    return &b->table[at];
}

/* Twice the room; a plane is read by no more nodes than there are. */
static bool grow(struct feature_builder *b)
{
    uint32_t room = b->room ? b->room * 2 : 64;
    struct feature_node *nodes = realloc(b->nodes, room * sizeof(*nodes));
    b->nodes = nodes ? nodes : b->nodes;
    int *bands = realloc(b->bands, room * sizeof(*bands));
    b->bands = bands ? bands : b->bands;
    uint32_t *table = calloc((size_t)2 * room, sizeof(*table));

    if (!nodes || !bands || !table) {
        free(table);
        return false;
    }
    free(b->table);
    b->table = table;
    b->room = room;
    for (uint32_t i = 0; i < b->count; i++)
        *find_place(b, &b->nodes[i]) = i + 1;
    return true;
}

static uint32_t add_node(struct feature_builder *b, struct feature_node node)
{
    if (b->failed)
        return 0;
    if (b->count == FEATURE_MAX_NODES || b->built++ == FEATURE_MAX_NODES) {
        b->failed = TL_LIMIT;
        return 0;
    }
    if (b->count == b->room && !grow(b)) {
        b->failed = TL_NOMEM;
        return 0;
    }
    uint32_t *place = find_place(b, &node);
    if (*place)
        return *place - 1;
    b->nodes[b->count++] = node;
    *place = b->count;
    return b->count - 1;
}

uint32_t feature_number(struct feature_builder *b, float number)
{
    struct feature_node node = {.op = LEAF_NUMBER};

    memcpy(&node.in[0], &number, sizeof(number));
    return add_node(b, node);
}

uint32_t feature_plane(struct feature_builder *b, int plane)
{
    uint32_t i = 0;

    while (i < b->band_count && b->bands[i] != plane)
        i++;
    uint32_t node = add_node(b, (struct feature_node){.op = LEAF_BAND, .in = {i}});
    if (i == b->band_count && !b->failed)
        b->bands[b->band_count++] = plane;
    return node;
}

uint32_t feature_op1(struct feature_builder *b, enum feature_op op, uint32_t x)
{
    return add_node(b, (struct feature_node){.op = op, .in = {x}});
}

uint32_t feature_op2(struct feature_builder *b, enum feature_op op, uint32_t x, uint32_t y)
{
    return add_node(b, (struct feature_node){.op = op, .in = {x, y}});
}

uint32_t feature_where(struct feature_builder *b, uint32_t condition, uint32_t x, uint32_t y)
{
    return add_node(b, (struct feature_node){.op = FEATURE_WHERE, .in = {condition, x, y}});
}

void feature_store(struct feature_builder *b, uint32_t node, uint32_t output)
{
    add_node(b, (struct feature_node){.op = FEATURE_STORE, .in = {node, output}});
}

/* ---- the program ---- */

/* A graph on its way to a program. */
struct finishing {
    const struct feature_builder *b;
    struct features *features;
    uint32_t *last_use;       /* the last node that reads it; 0: nobody does */
    struct operand *operands; /* what a node is in the program */
    uint16_t *idle;           /* registers that are free again */
    uint32_t idle_count;
};

static bool is_leaf(const struct feature_node *node)
{
    return node->op >= LEAF_BAND;
}

/* Backwards from the outputs. A node reads only nodes before it. */
static void find_uses(struct finishing *f)
{
    for (uint32_t i = f->b->count; i-- > 0;) {
        const struct feature_node *node = &f->b->nodes[i];

        if (is_leaf(node) || (node->op != FEATURE_STORE && !f->last_use[i]))
            continue;
        for (unsigned k = 0; k < feature_op_inputs((enum feature_op)node->op); k++)
            f->last_use[node->in[k]] = TL_MAX(f->last_use[node->in[k]], i);
    }
}

static struct operand leaf(struct finishing *f, const struct feature_node *node)
{
    struct features *features = f->features;

    if (node->op == LEAF_BAND)
        return (struct operand){OPERAND_BAND, (uint16_t)node->in[0]};
    memcpy(&features->numbers[features->number_count], &node->in[0], sizeof(float));
    return (struct operand){OPERAND_NUMBER, (uint16_t)features->number_count++};
}

static bool take_register(struct finishing *f, uint16_t *ret_register)
{
    if (f->idle_count) {
        *ret_register = f->idle[--f->idle_count];
        return true;
    }
    *ret_register = (uint16_t)f->features->register_count;
    return f->features->register_count++ < FEATURE_MAX_REGISTERS;
}

static void give_back_inputs(struct finishing *f, uint32_t i)
{
    const struct feature_node *node = &f->b->nodes[i];

    for (unsigned k = 0; k < feature_op_inputs((enum feature_op)node->op); k++) {
        uint32_t input = node->in[k];

        if (f->last_use[input] != i || f->operands[input].kind != OPERAND_REGISTER)
            continue;
        f->idle[f->idle_count++] = f->operands[input].index;
        f->last_use[input] = 0; /* twice an operand, given back once */
    }
}

/* One instruction; its inputs' registers are free afterwards, not before. */
static bool translate(struct finishing *f, uint32_t i)
{
    const struct feature_node *node = &f->b->nodes[i];
    struct instruction *to = &f->features->code[f->features->code_count++];

    *to = (struct instruction){.op = (uint16_t)node->op};
    for (unsigned k = 0; k < feature_op_inputs((enum feature_op)node->op); k++)
        to->in[k] = f->operands[node->in[k]];
    if (node->op == FEATURE_STORE)
        to->out = (uint16_t)node->in[1];
    else if (!take_register(f, &to->out))
        return false;
    f->operands[i] = (struct operand){OPERAND_REGISTER, to->out};
    give_back_inputs(f, i);
    return true;
}

static bool finishing_alloc(struct finishing *f)
{
    uint32_t count = f->b->count;
    struct features *features = f->features;

    f->last_use = calloc(count, sizeof(*f->last_use));
    f->operands = calloc(count, sizeof(*f->operands));
    f->idle = calloc(FEATURE_MAX_REGISTERS, sizeof(*f->idle));
    features->code = calloc(count, sizeof(*features->code));
    features->numbers = calloc(count, sizeof(*features->numbers));
    features->bands = calloc(f->b->band_count + 1u, sizeof(*features->bands));
    return f->last_use && f->operands && f->idle && features->code && features->numbers &&
           features->bands;
}

static enum tl_code finish(struct finishing *f, struct tl_err *err)
{
    const struct feature_builder *b = f->b;

    if (!finishing_alloc(f))
        return tl_fail(err, TL_NOMEM, "no memory to compile %u operations", b->count);
    find_uses(f);
    for (uint32_t i = 0; i < b->count; i++) {
        const struct feature_node *node = &b->nodes[i];

        if (node->op != FEATURE_STORE && !f->last_use[i])
            continue;
        if (is_leaf(node))
            f->operands[i] = leaf(f, node);
        else if (!translate(f, i))
            return tl_fail(
                err, TL_LIMIT,
                "more than %d intermediate values at a time; use fewer or shorter series",
                FEATURE_MAX_REGISTERS);
    }
    if (b->band_count)
        memcpy(f->features->bands, b->bands, b->band_count * sizeof(*b->bands));
    f->features->band_count = b->band_count;
    return TL_OK;
}

/* Gives back what a guess was too large by; failing to is harmless. */
static void *shrink(void *items, size_t count, size_t size)
{
    void *smaller = realloc(items, TL_MAX(count, (size_t)1) * size);

    return smaller ? smaller : items;
}

enum tl_code feature_finish(const struct feature_builder *b, struct features **ret_features,
                            struct tl_err *err)
{
    AUTO(features) features = TL_OWNED(calloc(1, sizeof(*features)));
    struct finishing f = {.b = b, .features = features};

    TL_CHECK(b->count && !b->failed);
    enum tl_code code =
        features ? finish(&f, err) : tl_fail(err, TL_NOMEM, "no memory to compile features");
    free(f.last_use);
    free(f.operands);
    free(f.idle);
    TL_TRY(code);
    features->code = shrink(features->code, features->code_count, sizeof(*features->code));
    features->numbers =
        shrink(features->numbers, features->number_count, sizeof(*features->numbers));
    *ret_features = TL_TAKE(features);
    return TL_OK;
}

void features_free(struct features *features)
{
    if (!features)
        return;
    free(features->code);
    free(features->numbers);
    free(features->bands);
    free(features);
}

const int *features_bands(const struct features *features, size_t *ret_count)
{
    *ret_count = features->band_count;
    return features->bands;
}
