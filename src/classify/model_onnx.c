/*
 * ONNX: a graph with one TreeEnsembleClassifier (ai.onnx.ml 1 to 4) between Identity, Cast
 * and ZipMap, as skl2onnx, onnxmltools and CatBoost write it. What counts is what
 * onnxruntime makes of it: float32 sums, its rules for two classes.
 *
 * The file is protobuf; of its messages only the fields that matter are read, with this
 * decoder's own bounds. Anything else in the graph is refused with its node and operator.
 */
#include "base/arena.h"
#include "base/check.h"
#include "classify/model_build.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Field numbers of onnx.proto. */
enum {
    MODEL_GRAPH = 7,
    MODEL_OPSET = 8,
    OPSET_DOMAIN = 1,
    OPSET_VERSION = 2,
    GRAPH_NODE = 1,
    GRAPH_INPUT = 11,
    NODE_INPUT = 1,
    NODE_OUTPUT = 2,
    NODE_NAME = 3,
    NODE_OP = 4,
    NODE_ATTRIBUTE = 5,
    NODE_DOMAIN = 7,
    ATTRIBUTE_NAME = 1,
    ATTRIBUTE_I = 3,
    ATTRIBUTE_S = 4,
    ATTRIBUTE_T = 5,
    ATTRIBUTE_FLOATS = 7,
    ATTRIBUTE_INTS = 8,
    ATTRIBUTE_STRINGS = 9,
    TENSOR_TYPE = 2,
    TENSOR_FLOATS = 4,
    TENSOR_RAW = 9,
    TYPE_FLOAT = 1 /* TensorProto.DataType */
};

enum wire { WIRE_VARINT = 0, WIRE_EIGHT = 1, WIRE_BYTES = 2, WIRE_FOUR = 5 };

enum mode { MODE_LEQ, MODE_LT, MODE_GTE, MODE_GT, MODE_LEAF, MODE_OTHER };

enum { MAX_GRAPH_NODES = 256 };

/* A message, or a part of one. */
struct bytes {
    const uint8_t *at;
    size_t size;
};

struct field {
    uint32_t number;
    enum wire wire;
    uint64_t value;     /* VARINT; FOUR: its bits */
    struct bytes bytes; /* BYTES */
};

/* The attributes of the ensemble, in columns. */
struct columns {
    struct buf tree, node, feature, yes, no, missing; /* int32 */
    struct buf values;                                /* float */
    struct buf modes;                                 /* uint8, enum mode */
    struct buf class_tree, class_node, class_id;      /* int32 */
    struct buf weights, base;                         /* float */
    struct bytes transform;
    struct bytes labels; /* the attribute with the classes */
    bool text_labels;
};

/* A node's number and where it stands; sorted by number within a tree. */
struct numbered {
    int32_t number;
    uint32_t at;
};

struct tree_range {
    int32_t id;
    uint32_t begin, end;
    int32_t only_class; /* of its leaves; -1 none yet, -2 several */
};

struct reader {
    struct model_build build;
    struct bytes graph, ensemble;
    struct columns columns;
    struct arena *scratch;
    struct numbered *numbers;  /* of all nodes, tree by tree */
    struct tree_range *trees;  /* as listed */
    struct numbered *tree_ids; /* tree id to position, sorted */
    uint32_t node_count, tree_count;
    double *rows; /* [node_count][width] */
    uint8_t *given;
    uint32_t width;
};

static enum tl_code corrupt(const struct reader *reader, const char *what, const char *why)
{
    return tl_fail(reader->build.err, TL_CORRUPT, "%s: ONNX: %s: %s; export the model again",
                   reader->build.name, what, why);
}

static enum tl_code refuse(const struct reader *reader, const char *what)
{
    return tl_fail(reader->build.err, TL_UNSUPPORTED, "%s: TreeEnsembleClassifier: %s",
                   reader->build.name, what);
}

/* ---- protobuf ---- */

static bool take_varint(struct bytes *rest, uint64_t *ret_value)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64 && rest->size; shift += 7) {
        uint8_t byte = *rest->at;

        rest->at++;
        rest->size--;
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *ret_value = value;
            return true;
        }
    }
    return false;
}

static bool take_bytes(struct bytes *rest, size_t size, struct bytes *ret_bytes)
{
    if (size > rest->size)
        return false;
    *ret_bytes = (struct bytes){rest->at, size};
    rest->at += size;
    rest->size -= size;
    return true;
}

/* The next field of a message. False at its end, and when it is damaged: then rest->at is NULL. */
static bool next_field(struct bytes *rest, struct field *ret_field)
{
    struct field field = {0};
    uint64_t key = 0, size;
    uint32_t four;

    if (rest->size == 0)
        return false;
    bool good = take_varint(rest, &key) && key >> 3 != 0 && key >> 3 <= UINT32_MAX;
    field.number = (uint32_t)(key >> 3);
    field.wire = (enum wire)(key & 7);
    if (good && field.wire == WIRE_VARINT)
        good = take_varint(rest, &field.value);
    else if (good && field.wire == WIRE_BYTES)
        good = take_varint(rest, &size) && size <= rest->size &&
               take_bytes(rest, (size_t)size, &field.bytes);
    else if (good && field.wire == WIRE_EIGHT)
        good = take_bytes(rest, 8, &field.bytes);
    else
        good = good && field.wire == WIRE_FOUR && take_bytes(rest, 4, &field.bytes);
    if (!good) {
        *rest = (struct bytes){NULL, 0};
        return false;
    }
    if (field.wire == WIRE_FOUR) {
        memcpy(&four, field.bytes.at, sizeof(four));
        field.value = four;
    }
    *ret_field = field;
    return true;
}

/* Whether all of a message can be read. */
static bool is_whole(struct bytes message)
{
    struct field field;

    while (next_field(&message, &field))
        ;
    return message.at != NULL;
}

/* The last field of that number that holds bytes. */
static struct bytes find_bytes(struct bytes message, uint32_t number)
{
    struct bytes found = {NULL, 0};
    struct field field;

    while (next_field(&message, &field))
        if (field.number == number && field.wire == WIRE_BYTES)
            found = field.bytes;
    return found;
}

static uint64_t find_varint(struct bytes message, uint32_t number, uint64_t fallback)
{
    struct field field;

    while (next_field(&message, &field))
        if (field.number == number && field.wire == WIRE_VARINT)
            fallback = field.value;
    return fallback;
}

static bool equals(struct bytes text, const char *word)
{
    return text.size == strlen(word) && memcmp(text.at, word, text.size) == 0;
}

static bool same(struct bytes a, struct bytes b)
{
    return a.size == b.size && a.size && memcmp(a.at, b.at, a.size) == 0;
}

static int shown(struct bytes text)
{
    return (int)TL_MIN(text.size, (size_t)64);
}

static const char *text_at(struct bytes text)
{
    return text.at ? (const char *)text.at : "";
}

/* ---- the graph ---- */

static enum tl_code refuse_node(const struct reader *reader, struct bytes node, const char *why)
{
    struct bytes name = find_bytes(node, NODE_NAME), op = find_bytes(node, NODE_OP);

    if (name.size == 0)
        name = find_bytes(node, NODE_OUTPUT);
    return tl_fail(reader->build.err, TL_UNSUPPORTED, "%s: node \"%.*s\", operator %.*s: %s",
                   reader->build.name, shown(name), text_at(name), shown(op), text_at(op), why);
}

/* The ensemble's operators are those of ai.onnx.ml 1 to 5; a file that was cut has none. */
static enum tl_code check_opset(const struct reader *reader, struct bytes model)
{
    struct field field;

    while (next_field(&model, &field)) {
        if (field.number != MODEL_OPSET || field.wire != WIRE_BYTES ||
            !equals(find_bytes(field.bytes, OPSET_DOMAIN), "ai.onnx.ml"))
            continue;
        uint64_t version = find_varint(field.bytes, OPSET_VERSION, 0);

        if (version >= 1 && version <= 5)
            return TL_OK;
        return tl_fail(reader->build.err, TL_UNSUPPORTED,
                       "%s: version %ju of ai.onnx.ml; 1 to 5 are read", reader->build.name,
                       (uintmax_t)version);
    }
    return corrupt(reader, "opset_import", "ai.onnx.ml is not there, or the file is cut short");
}

/* The whole file can be read down to the attributes; every operator is known. */
static enum tl_code read_nodes(struct reader *reader)
{
    struct bytes rest = reader->graph;
    struct field field;
    uint32_t count = 0;

    while (next_field(&rest, &field)) {
        if (field.number != GRAPH_NODE || field.wire != WIRE_BYTES)
            continue;
        struct bytes op = find_bytes(field.bytes, NODE_OP);
        if (!is_whole(field.bytes))
            return corrupt(reader, "graph", "a node is damaged");
        if (count++ == MAX_GRAPH_NODES)
            return tl_fail(reader->build.err, TL_LIMIT, "%s: more than %d nodes in its graph",
                           reader->build.name, MAX_GRAPH_NODES);
        if (equals(op, "TreeEnsembleClassifier")) {
            if (reader->ensemble.at)
                return refuse_node(reader, field.bytes, "a second ensemble; export one model");
            if (!equals(find_bytes(field.bytes, NODE_DOMAIN), "ai.onnx.ml"))
                return refuse_node(reader, field.bytes, "it is not the one of ai.onnx.ml");
            reader->ensemble = field.bytes;
        } else if (!equals(op, "Identity") && !equals(op, "Cast") && !equals(op, "ZipMap")) {
            return refuse_node(reader, field.bytes,
                               "only TreeEnsembleClassifier, Identity, Cast and ZipMap are "
                               "served; export the classifier alone");
        }
    }
    if (!rest.at)
        return corrupt(reader, "graph", "it is damaged");
    if (!reader->ensemble.at)
        return corrupt(reader, "graph", "there is no TreeEnsembleClassifier in it");
    return TL_OK;
}

/* The node one of whose outputs is `name`. */
static struct bytes producer(const struct reader *reader, struct bytes name)
{
    struct bytes rest = reader->graph, outputs;
    struct field node, field;

    while (next_field(&rest, &node)) {
        outputs = node.bytes;
        while (node.number == GRAPH_NODE && node.wire == WIRE_BYTES && next_field(&outputs, &field))
            if (field.number == NODE_OUTPUT && field.wire == WIRE_BYTES && same(field.bytes, name))
                return node.bytes;
    }
    return (struct bytes){NULL, 0};
}

static struct bytes find_attribute(struct bytes node, const char *name)
{
    struct field field;

    while (next_field(&node, &field))
        if (field.number == NODE_ATTRIBUTE && field.wire == WIRE_BYTES &&
            equals(find_bytes(field.bytes, ATTRIBUTE_NAME), name))
            return field.bytes;
    return (struct bytes){NULL, 0};
}

/* The graph's input that the ensemble reads, through Identity and Cast to float32. */
static enum tl_code find_input(struct reader *reader, struct bytes *ret_type)
{
    struct bytes name = find_bytes(reader->ensemble, NODE_INPUT), rest = reader->graph;
    struct field field;

    for (uint32_t steps = 0; steps <= MAX_GRAPH_NODES; steps++) {
        struct bytes node = producer(reader, name);

        if (!node.at)
            break;
        if (equals(find_bytes(node, NODE_OP), "Cast") &&
            find_varint(find_attribute(node, "to"), ATTRIBUTE_I, 0) != TYPE_FLOAT)
            return refuse_node(reader, node, "the features are cast to another type than float32");
        if (steps == MAX_GRAPH_NODES)
            return corrupt(reader, "graph", "the ensemble's input comes from itself");
        name = find_bytes(node, NODE_INPUT);
    }
    while (next_field(&rest, &field))
        if (field.number == GRAPH_INPUT && field.wire == WIRE_BYTES &&
            same(find_bytes(field.bytes, 1), name)) {
            *ret_type = find_bytes(find_bytes(field.bytes, 2), 1);
            return TL_OK;
        }
    return corrupt(reader, "graph", "the ensemble does not read an input of the graph");
}

/* The second dimension of the input; 0 when it is not given. */
static uint64_t input_width(struct bytes type)
{
    struct bytes shape = find_bytes(type, 2);
    struct field field;
    uint64_t width = 0;

    for (uint32_t i = 0; next_field(&shape, &field);)
        if (field.number == 1 && field.wire == WIRE_BYTES && i++ == 1)
            width = find_varint(field.bytes, 1, 0);
    return width;
}

/* ---- attributes ---- */

static bool put_int(struct buf *to, uint64_t value)
{
    int64_t whole = (int64_t)value;
    int32_t kept = (int32_t)whole;

    buf_append(to, &kept, sizeof(kept));
    return whole == kept;
}

/* Numbers of a list, packed or not. */
static bool read_ints(struct bytes attribute, struct buf *to)
{
    struct field field;
    uint64_t value;
    bool good = true;

    while (good && next_field(&attribute, &field)) {
        if (field.number != ATTRIBUTE_INTS)
            continue;
        if (field.wire == WIRE_VARINT)
            good = put_int(to, field.value);
        while (good && field.wire == WIRE_BYTES && field.bytes.size)
            good = take_varint(&field.bytes, &value) && put_int(to, value);
    }
    return good && attribute.at;
}

static bool read_float_list(struct bytes message, uint32_t number, struct buf *to)
{
    struct field field;

    while (next_field(&message, &field)) {
        if (field.number != number || (field.wire != WIRE_FOUR && field.wire != WIRE_BYTES))
            continue;
        if (field.bytes.size % sizeof(float) != 0)
            return false;
        if (field.bytes.size)
            buf_append(to, field.bytes.at, field.bytes.size);
    }
    return message.at != NULL;
}

static bool read_modes(struct bytes attribute, struct buf *to)
{
    static const char *const known[] = {"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT",
                                        "LEAF"};
    struct field field;

    while (next_field(&attribute, &field)) {
        uint8_t mode = 0;

        if (field.number != ATTRIBUTE_STRINGS || field.wire != WIRE_BYTES)
            continue;
        while (mode < MODE_OTHER && !equals(field.bytes, known[mode]))
            mode++;
        buf_append(to, &mode, 1);
    }
    return attribute.at != NULL;
}

/* A tensor of float32, in one of the two ways it may lie in the file. */
static bool read_tensor(struct bytes attribute, struct buf *to)
{
    struct bytes tensor = find_bytes(attribute, ATTRIBUTE_T);
    struct bytes raw = find_bytes(tensor, TENSOR_RAW);

    if (find_varint(tensor, TENSOR_TYPE, 0) != TYPE_FLOAT || raw.size % sizeof(float) != 0)
        return false;
    if (raw.size)
        buf_append(to, raw.at, raw.size);
    else if (tensor.at)
        return read_float_list(tensor, TENSOR_FLOATS, to);
    return true;
}

static enum tl_code read_attribute(struct reader *reader, struct bytes attribute)
{
    struct columns *c = &reader->columns;
    const struct {
        const char *name;
        struct buf *ints, *floats, *tensor;
    } known[] = {{"nodes_treeids", &c->tree, NULL, NULL},
                 {"nodes_nodeids", &c->node, NULL, NULL},
                 {"nodes_featureids", &c->feature, NULL, NULL},
                 {"nodes_truenodeids", &c->yes, NULL, NULL},
                 {"nodes_falsenodeids", &c->no, NULL, NULL},
                 {"nodes_missing_value_tracks_true", &c->missing, NULL, NULL},
                 {"class_treeids", &c->class_tree, NULL, NULL},
                 {"class_nodeids", &c->class_node, NULL, NULL},
                 {"class_ids", &c->class_id, NULL, NULL},
                 {"nodes_values", NULL, &c->values, NULL},
                 {"class_weights", NULL, &c->weights, NULL},
                 {"base_values", NULL, &c->base, NULL},
                 {"nodes_values_as_tensor", NULL, NULL, &c->values},
                 {"class_weights_as_tensor", NULL, NULL, &c->weights},
                 {"base_values_as_tensor", NULL, NULL, &c->base}};
    struct bytes name = find_bytes(attribute, ATTRIBUTE_NAME);

    for (size_t i = 0; i < TL_COUNT(known); i++) {
        struct buf *to = known[i].ints ? known[i].ints : known[i].floats;

        if (!equals(name, known[i].name))
            continue;
        if ((to ? to : known[i].tensor)->size)
            return corrupt(reader, known[i].name, "it is there twice");
        if (known[i].tensor && !read_tensor(attribute, known[i].tensor))
            return refuse(reader, "tensors of doubles are not served; export float32");
        if ((known[i].ints && !read_ints(attribute, to)) ||
            (known[i].floats && !read_float_list(attribute, ATTRIBUTE_FLOATS, to)))
            return corrupt(reader, known[i].name, "it is no list of numbers");
        return TL_OK;
    }
    if (equals(name, "nodes_modes") && !read_modes(attribute, &c->modes))
        return corrupt(reader, "nodes_modes", "it is no list of words");
    if (equals(name, "post_transform"))
        c->transform = find_bytes(attribute, ATTRIBUTE_S);
    if (equals(name, "classlabels_strings") || equals(name, "classlabels_int64s")) {
        c->labels = attribute;
        c->text_labels = equals(name, "classlabels_strings");
    }
    return TL_OK;
}

static enum tl_code read_attributes(struct reader *reader)
{
    struct columns *c = &reader->columns;
    struct bytes rest = reader->ensemble;
    struct field field;

    while (next_field(&rest, &field))
        if (field.number == NODE_ATTRIBUTE && field.wire == WIRE_BYTES)
            TL_TRY(read_attribute(reader, field.bytes));
    size_t nodes = c->tree.size, entries = c->class_tree.size;
    if (nodes == 0 || c->node.size != nodes || c->feature.size != nodes || c->yes.size != nodes ||
        c->no.size != nodes || c->values.size != nodes ||
        c->modes.size != nodes / sizeof(int32_t) || (c->missing.size && c->missing.size != nodes))
        return corrupt(reader, "nodes_*", "the lists are not equally long, or empty");
    if (entries == 0 || c->class_node.size != entries || c->class_id.size != entries ||
        c->weights.size != entries)
        return corrupt(reader, "class_*", "the lists are not equally long, or empty");
    if (nodes / sizeof(int32_t) > MODEL_MAX_NODES)
        return tl_fail(reader->build.err, TL_LIMIT, "%s: more than %ju nodes", reader->build.name,
                       (uintmax_t)MODEL_MAX_NODES);
    reader->node_count = (uint32_t)(nodes / sizeof(int32_t));
    return TL_OK;
}

static int32_t int_at(const struct buf *buf, size_t i)
{
    int32_t value;

    memcpy(&value, buf->bytes + i * sizeof(value), sizeof(value));
    return value;
}

static float float_at(const struct buf *buf, size_t i)
{
    float value;

    memcpy(&value, buf->bytes + i * sizeof(value), sizeof(value));
    return value;
}

/* ---- classes and the rule for two of them ---- */

static enum tl_code read_classes(struct reader *reader)
{
    const char *names[FOREST_MAX_CLASSES];
    struct bytes rest = reader->columns.labels;
    uint64_t count = 0, value;
    struct field field;

    while (next_field(&rest, &field)) {
        bool text = reader->columns.text_labels;
        bool packed = !text && field.wire == WIRE_BYTES;

        if (field.number != (text ? ATTRIBUTE_STRINGS : ATTRIBUTE_INTS) ||
            (text && field.wire != WIRE_BYTES))
            continue;
        do {
            if (count == FOREST_MAX_CLASSES)
                return corrupt(reader, "classlabels", "there are more than 256");
            value = field.value;
            if (packed && !take_varint(&field.bytes, &value))
                return corrupt(reader, "classlabels", "they are damaged");
            names[count] = text ? arena_printf(reader->build.arena, "%.*s", shown(field.bytes),
                                               text_at(field.bytes))
                                : arena_printf(reader->build.arena, "%jd", (intmax_t)value);
            if (!names[count++])
                return build_no_memory(&reader->build);
        } while (packed && field.bytes.size);
    }
    return build_classes(&reader->build, names, count);
}

/* One column for two classes, as onnxruntime reads it. */
static enum tl_code choose_one_column(struct reader *reader, bool none, bool logistic)
{
    const struct columns *c = &reader->columns;
    bool positive = true;

    for (size_t i = 0; i < c->weights.size / sizeof(float); i++)
        positive &= !(float_at(&c->weights, i) < 0);
    if (c->base.size > sizeof(float))
        return refuse(reader, "two base values for one column of weights");
    if (int_at(&c->class_id, 0) != 0)
        return refuse(reader, "two classes, and only the second has weights");
    /* With no weight below zero the sum is taken for the share of the second class. */
    if (!logistic && !(positive && none))
        return refuse(reader, "two classes, one column of scores and no LOGISTIC: that gives no "
                              "probabilities");
    reader->build.model->output = logistic ? OUTPUT_BINARY : OUTPUT_SHARE;
    reader->build.model->winner_above = positive ? 0.5 : 0;
    reader->build.model->score_count = 1;
    return TL_OK;
}

static enum tl_code choose_output(struct reader *reader)
{
    struct model *model = reader->build.model;
    const struct columns *c = &reader->columns;
    uint32_t classes = model->info.class_count;
    bool none = c->transform.size == 0 || equals(c->transform, "NONE"), one_column = classes == 2;
    bool logistic = equals(c->transform, "LOGISTIC"), softmax = equals(c->transform, "SOFTMAX");

    if (!none && !logistic && !softmax)
        return tl_fail(reader->build.err, TL_UNSUPPORTED,
                       "%s: TreeEnsembleClassifier: post_transform %.*s; NONE, LOGISTIC and "
                       "SOFTMAX are served",
                       reader->build.name, shown(c->transform), text_at(c->transform));
    for (size_t i = 0; i < c->class_id.size / sizeof(int32_t); i++) {
        int32_t id = int_at(&c->class_id, i);

        if (id < 0 || (uint32_t)id >= classes)
            return corrupt(reader, "class_ids", "one is no class");
        one_column &= id == int_at(&c->class_id, 0);
    }
    model->arithmetic = ARITHMETIC_ONNX;
    model->winner_by_score = true;
    model->sigmoid = model->divisor = 1;
    if (one_column)
        return choose_one_column(reader, none, logistic);
    if (c->base.size && (classes == 2 || c->base.size / sizeof(float) != classes))
        return refuse(reader, "base_values are served with one column of weights, or one value "
                              "for each of three classes or more");
    model->output = softmax ? OUTPUT_SOFTMAX : logistic ? OUTPUT_SIGMOIDS : OUTPUT_SCORES;
    model->score_count = classes;
    return TL_OK;
}

static enum tl_code read_base(struct reader *reader)
{
    uint32_t count = (uint32_t)(reader->columns.base.size / sizeof(float));
    double *base =
        arena_zalloc(reader->build.arena, reader->build.model->score_count, sizeof(*base));

    if (!base)
        return build_no_memory(&reader->build);
    for (uint32_t i = 0; i < count; i++) {
        base[i] = (double)float_at(&reader->columns.base, i);
        if (!(fabs(base[i]) <= BUILD_MAX_FLOAT_LEAF))
            return corrupt(reader, "base_values", "one is not a number");
    }
    if (count)
        reader->build.model->base = base;
    return TL_OK;
}

/* ---- trees ---- */

static int compare_numbers(const void *a, const void *b)
{
    const struct numbered *x = a, *y = b;

    return (x->number > y->number) - (x->number < y->number);
}

/* Where a number stands; UINT32_MAX for nowhere. */
static uint32_t look_up(const struct numbered *numbers, uint32_t count, int32_t number)
{
    struct numbered key = {number, 0};
    const struct numbered *found =
        count ? bsearch(&key, numbers, count, sizeof(key), compare_numbers) : NULL;

    return found ? found->at : UINT32_MAX;
}

static bool sort_numbers(struct numbered *numbers, uint32_t count)
{
    qsort(numbers, count, sizeof(*numbers), compare_numbers);
    for (uint32_t i = 1; i < count; i++)
        if (numbers[i].number == numbers[i - 1].number)
            return false;
    return true;
}

/* Runs of nodes with one tree id are the trees, in the order in which they are added up. */
static enum tl_code index_trees(struct reader *reader)
{
    const struct columns *c = &reader->columns;
    uint32_t count = 1;

    for (uint32_t i = 1; i < reader->node_count; i++)
        count += int_at(&c->tree, i) != int_at(&c->tree, i - 1);
    if (count > MODEL_MAX_TREES)
        return tl_fail(reader->build.err, TL_LIMIT, "%s: more than %d trees", reader->build.name,
                       MODEL_MAX_TREES);
    reader->trees = arena_alloc(reader->scratch, count, sizeof(*reader->trees));
    reader->tree_ids = arena_alloc(reader->scratch, count, sizeof(*reader->tree_ids));
    reader->numbers = arena_alloc(reader->scratch, reader->node_count, sizeof(*reader->numbers));
    if (!reader->trees || !reader->tree_ids || !reader->numbers)
        return build_no_memory(&reader->build);
    reader->tree_count = count;
    for (uint32_t i = 0, t = 0; i < reader->node_count; t++) {
        struct tree_range *tree = &reader->trees[t];

        *tree = (struct tree_range){int_at(&c->tree, i), i, i, -1};
        for (; tree->end < reader->node_count && int_at(&c->tree, tree->end) == tree->id;
             tree->end++)
            reader->numbers[tree->end] =
                (struct numbered){int_at(&c->node, tree->end), tree->end - i};
        if (!sort_numbers(reader->numbers + i, tree->end - i))
            return corrupt(reader, "nodes_nodeids", "a tree has a node twice");
        reader->tree_ids[t] = (struct numbered){tree->id, t};
        i = tree->end;
    }
    if (!sort_numbers(reader->tree_ids, count))
        return corrupt(reader, "nodes_treeids", "the nodes of a tree do not stand together");
    return TL_OK;
}

/* The node (of all) that entry `i` of the class lists is about; UINT32_MAX for none. */
static uint32_t entry_node(const struct reader *reader, size_t i, struct tree_range **ret_tree)
{
    const struct columns *c = &reader->columns;
    uint32_t t = look_up(reader->tree_ids, reader->tree_count, int_at(&c->class_tree, i));

    if (t == UINT32_MAX)
        return t;
    struct tree_range *tree = &reader->trees[t];
    uint32_t at =
        look_up(reader->numbers + tree->begin, tree->end - tree->begin, int_at(&c->class_node, i));
    *ret_tree = tree;
    return at == UINT32_MAX ? at : tree->begin + at;
}

/* Whether each tree's leaves are about one class, so that a leaf is one number. */
static enum tl_code choose_width(struct reader *reader)
{
    struct model *model = reader->build.model;
    size_t entries = reader->columns.class_id.size / sizeof(int32_t);
    bool narrow = true;

    for (size_t i = 0; i < entries; i++) {
        int32_t id = int_at(&reader->columns.class_id, i);
        struct tree_range *tree;

        if (entry_node(reader, i, &tree) == UINT32_MAX)
            return corrupt(reader, "class_nodeids", "one is no node of its tree");
        narrow &= tree->only_class == -1 || tree->only_class == id;
        tree->only_class = id;
    }
    reader->width = model->leaf_width = narrow ? 1 : model->score_count;
    /* Wide rows are for leaves that fill them: no file costs much more than its size. */
    if ((uint64_t)reader->node_count * reader->width > 16 * ((uint64_t)entries + 4096))
        return tl_fail(reader->build.err, TL_LIMIT,
                       "%s: leaves of %u classes with weights for a few of them",
                       reader->build.name, reader->width);
    reader->rows = arena_zalloc(reader->scratch, (size_t)reader->node_count * reader->width,
                                sizeof(*reader->rows));
    reader->given = arena_zalloc(reader->scratch, (size_t)reader->node_count * reader->width, 1);
    return reader->rows && reader->given ? TL_OK : build_no_memory(&reader->build);
}

static enum tl_code fill_rows(struct reader *reader)
{
    const struct columns *c = &reader->columns;

    for (size_t i = 0; i < c->class_id.size / sizeof(int32_t); i++) {
        struct tree_range *tree;
        uint32_t node = entry_node(reader, i, &tree);
        uint32_t column = reader->width == 1 ? 0 : (uint32_t)int_at(&c->class_id, i);
        size_t at = (size_t)node * reader->width + column;
        double weight = (double)float_at(&c->weights, i);

        if (!(fabs(weight) <= BUILD_MAX_FLOAT_LEAF))
            return corrupt(reader, "class_weights", "one is not a number");
        if (reader->given[at])
            return corrupt(reader, "class_nodeids", "a leaf weighs a class twice");
        reader->given[at] = 1;
        reader->rows[at] = weight;
    }
    return TL_OK;
}

/* x <= t, x < t as x <= the float32 before t, and the other two with their sides changed. */
static enum tl_code make_split(struct reader *reader, const struct tree_range *tree, uint32_t i,
                               struct model_node *node)
{
    const struct columns *c = &reader->columns;
    uint32_t count = tree->end - tree->begin;
    enum mode mode = (enum mode)c->modes.bytes[i];
    uint32_t yes = look_up(reader->numbers + tree->begin, count, int_at(&c->yes, i));
    uint32_t no = look_up(reader->numbers + tree->begin, count, int_at(&c->no, i));
    bool tracks = c->missing.size && int_at(&c->missing, i) == 1;
    bool swapped = mode == MODE_GT || mode == MODE_GTE;
    float value = float_at(&c->values, i);
    int32_t feature = int_at(&c->feature, i);

    if (mode == MODE_OTHER)
        return tl_fail(reader->build.err, TL_UNSUPPORTED,
                       "%s: tree %d, node %d: its mode is not BRANCH_LEQ, LT, GTE or GT",
                       reader->build.name, tree->id, int_at(&c->node, i));
    if (yes == UINT32_MAX || no == UINT32_MAX || feature < 0 || feature >= FOREST_MAX_FEATURES)
        return tl_fail(reader->build.err, TL_CORRUPT,
                       "%s: tree %d, node %d: a child or its feature does not exist",
                       reader->build.name, tree->id, int_at(&c->node, i));
    if (isnan(value) || (value == -INFINITY && (mode == MODE_LT || mode == MODE_GTE)))
        return tl_fail(reader->build.err, TL_UNSUPPORTED, "%s: tree %d, node %d: its value is %g",
                       reader->build.name, tree->id, int_at(&c->node, i), (double)value);
    if (mode == MODE_LT || mode == MODE_GTE)
        value = nextafterf(value, -INFINITY);
    *node = (struct model_node){.threshold = (double)value,
                                .left = (int32_t)(swapped ? no : yes),
                                .right = (int32_t)(swapped ? yes : no),
                                .feature = (uint16_t)feature,
                                .missing = MISSING_SIDED,
                                .default_left = tracks != swapped};
    return TL_OK;
}

static enum tl_code read_tree(struct reader *reader, const struct tree_range *tree,
                              struct model_node *nodes)
{
    for (uint32_t i = tree->begin; i < tree->end; i++) {
        struct model_node *node = &nodes[i - tree->begin];

        if (reader->columns.modes.bytes[i] != MODE_LEAF)
            TL_TRY(make_split(reader, tree, i, node));
        else
            *node = (struct model_node){
                .left = -1,
                .right = build_leaf(&reader->build, reader->rows + (size_t)i * reader->width,
                                    reader->width)};
    }
    struct build_source source = {nodes, tree->end - tree->begin, 0, true};
    uint32_t score = reader->build.model->score_count > 1 && tree->only_class > 0
                         ? (uint32_t)tree->only_class
                         : 0;
    return build_tree(&reader->build, &source, score);
}

static enum tl_code read_trees(struct reader *reader)
{
    struct model_node *nodes = NULL;
    uint32_t largest = 0;

    TL_TRY(index_trees(reader));
    TL_TRY(choose_width(reader));
    TL_TRY(fill_rows(reader));
    for (uint32_t t = 0; t < reader->tree_count; t++)
        largest = TL_MAX(largest, reader->trees[t].end - reader->trees[t].begin);
    nodes = arena_alloc(reader->scratch, largest, sizeof(*nodes));
    if (!nodes)
        return build_no_memory(&reader->build);
    for (uint32_t t = 0; t < reader->tree_count; t++)
        TL_TRY(read_tree(reader, &reader->trees[t], nodes));
    return TL_OK;
}

/* ---- the whole ---- */

static enum tl_code read_features(struct reader *reader)
{
    struct bytes type = {NULL, 0};
    int32_t most = 0;

    TL_TRY(find_input(reader, &type));
    for (uint32_t i = 0; i < reader->node_count; i++)
        most = TL_MAX(most, int_at(&reader->columns.feature, i));
    uint64_t width = input_width(type);
    if (find_varint(type, 1, 0) != TYPE_FLOAT)
        return refuse(reader, "its input is not float32; export with float inputs");
    return build_features(&reader->build, NULL, width ? width : (uint64_t)most + 1);
}

static enum tl_code read_all(struct reader *reader)
{
    TL_TRY(read_nodes(reader));
    TL_TRY(read_attributes(reader));
    TL_TRY(read_features(reader));
    TL_TRY(read_classes(reader));
    TL_TRY(choose_output(reader));
    TL_TRY(read_base(reader));
    TL_TRY(read_trees(reader));
    reader->build.model->info.kind = "onnx";
    return build_finish(&reader->build);
}

static void release(struct reader *reader)
{
    struct columns *c = &reader->columns;
    struct buf *all[] = {&c->tree,     &c->node,    &c->feature, &c->yes,        &c->no,
                         &c->missing,  &c->values,  &c->modes,   &c->class_tree, &c->class_node,
                         &c->class_id, &c->weights, &c->base};

    for (size_t i = 0; i < TL_COUNT(all); i++)
        buf_release(all[i]);
    build_release(&reader->build);
}

enum tl_code model_read_onnx(const char *name, const uint8_t *bytes, size_t size,
                             struct arena *arena, struct model *ret_model, struct tl_err *err)
{
    struct model model = {0};
    struct reader reader = {.build = {.name = name, .arena = arena, .model = &model, .err = err}};
    AUTO(arena) scratch = arena_new();

    reader.scratch = scratch;
    if (!scratch)
        return build_no_memory(&reader.build);
    if (!is_whole((struct bytes){bytes, size}))
        return tl_fail(err, TL_CORRUPT,
                       "%s: neither a tilth model file, LightGBM text, JSON, UBJSON nor ONNX, or "
                       "cut short",
                       name);
    reader.graph = find_bytes((struct bytes){bytes, size}, MODEL_GRAPH);
    enum tl_code code = check_opset(&reader, (struct bytes){bytes, size});
    if (code == TL_OK)
        code = read_all(&reader);
    release(&reader);
    if (code == TL_OK)
        *ret_model = model;
    return code;
}
