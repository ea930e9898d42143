/*
 * XGBoost's own model, as Booster.save_model() writes it in JSON or UBJSON (versions 1.x to
 * 3.x): gbtree and dart, objectives that classify. A split is x < t in float32, here
 * x <= the float32 before t; one by categories sends those of its set right. A category is what is
 * left of a value without its fraction, unless the file says which values of a table were numbered
 * 0, 1, ..: then it is that value.
 *
 * Refused by name: gblinear, categories that are words, objectives that do not classify.
 */
#include "base/arena.h"
#include "model/xgboost_private.h"

#include <math.h>
#include <string.h>

/* ---- the head ---- */

static enum tl_code find_trees(struct xgboost_reader *reader)
{
    struct doc_value inner;
    struct doc_text name;

    reader->booster = doc_find(reader->learner, "gradient_booster");
    if (!doc_string(doc_find(reader->booster, "name"), &name))
        return build_corrupt(reader->build, "learner.gradient_booster.name", "it is missing");
    if (!doc_equals(name, "gbtree") && !doc_equals(name, "dart"))
        return tl_fail(reader->build->err, TL_UNSUPPORTED,
                       "%s: the booster \"%.*s\" has no trees; train with booster=gbtree or dart",
                       reader->build->name, (int)TL_MIN(name.size, (size_t)64), name.at);
    /* dart of older versions wraps a gbtree. */
    inner = doc_find(reader->booster, "gbtree");
    reader->model = doc_find(inner.kind == DOC_OBJECT ? inner : reader->booster, "model");
    if (reader->model.kind != DOC_OBJECT)
        return build_corrupt(reader->build, "learner.gradient_booster.model", "it is missing");
    reader->weight_drop = doc_find(reader->booster, "weight_drop");
    if (reader->weight_drop.kind == DOC_NONE)
        reader->weight_drop = doc_find(reader->model, "weight_drop");
    return TL_OK;
}

static enum tl_code read_objective(struct xgboost_reader *reader, uint64_t *ret_classes)
{
    static const struct {
        const char *name;
        enum model_output output;
        bool by_score;
    } known[] = {{"binary:logistic", OUTPUT_BINARY, false},
                 {"multi:softprob", OUTPUT_SOFTMAX, false},
                 {"multi:softmax", OUTPUT_SOFTMAX, true}};
    struct doc_value param = doc_find(reader->learner, "learner_model_param");
    struct doc_text name = {"(none)", 6};
    int64_t classes = 0, targets = 1;

    (void)doc_string(doc_find(doc_find(reader->learner, "objective"), "name"), &name);
    if (!doc_int(doc_find(param, "num_class"), 0, INT32_MAX, &classes))
        return build_corrupt(reader->build, "learner_model_param.num_class", "it is not a number");
    (void)doc_int(doc_find(param, "num_target"), 0, INT32_MAX, &targets);
    if (targets > 1)
        return tl_fail(reader->build->err, TL_UNSUPPORTED,
                       "%s: it predicts %jd targets at once; train one model per target",
                       reader->build->name, (intmax_t)targets);
    for (size_t i = 0; i < TL_COUNT(known); i++) {
        if (!doc_equals(name, known[i].name))
            continue;
        bool binary = known[i].output == OUTPUT_BINARY;

        if (binary ? classes > 1 : classes < 2)
            return build_corrupt(reader->build, "learner_model_param.num_class",
                                 "it does not go with the objective");
        reader->build->model->output = known[i].output;
        reader->build->model->winner_by_score = known[i].by_score;
        *ret_classes = binary ? 2 : (uint64_t)classes;
        reader->groups = binary ? 1 : (uint32_t)classes;
        return TL_OK;
    }
    return tl_fail(reader->build->err, TL_UNSUPPORTED,
                   "%s: the objective \"%.*s\" does not give class probabilities; "
                   "binary:logistic, multi:softprob and multi:softmax do",
                   reader->build->name, (int)TL_MIN(name.size, (size_t)64), name.at);
}

static enum tl_code read_features(struct xgboost_reader *reader)
{
    struct doc_value param = doc_find(reader->learner, "learner_model_param"), value;
    struct doc_items names = doc_items(doc_find(reader->learner, "feature_names"));
    const char **made = NULL;
    struct doc_text key;
    int64_t count;
    uint64_t named = 0;

    if (!doc_int(doc_find(param, "num_feature"), 1, INT32_MAX, &count))
        return build_corrupt(reader->build, "learner_model_param.num_feature",
                             "it is not a number");
    for (; doc_next(&names, &key, &value); named++) {
        if (named >= MODEL_MAX_FEATURES || named >= (uint64_t)count)
            return build_corrupt(reader->build, "feature_names", "there are more than num_feature");
        if (!made)
            made = arena_alloc(reader->build->arena, (size_t)TL_MIN(count, MODEL_MAX_FEATURES),
                               sizeof(*made));
        if (!made)
            return build_no_memory(reader->build);
        made[named] = doc_copy(value, reader->build->arena);
        if (!made[named])
            return build_corrupt(reader->build, "feature_names", "a name is no text");
    }
    if (made && named != (uint64_t)count && count <= MODEL_MAX_FEATURES)
        return build_corrupt(reader->build, "feature_names", "there are fewer than num_feature");
    return build_features(reader->build, made, (uint64_t)count);
}

/* What the trees are added to. The file keeps a probability; a binary margin is its logit. */
static enum tl_code set_base(struct xgboost_reader *reader, double *base, uint32_t group,
                             float score)
{
    if (reader->build->model->output == OUTPUT_BINARY) {
        if (!(score > 0 && score < 1))
            return build_corrupt(reader->build, "base_score", "it is not a probability");
        score = -logf(1.0F / score - 1.0F);
    }
    if (!(fabsf(score) <= (float)BUILD_MAX_FLOAT_LEAF))
        return build_corrupt(reader->build, "base_score", "it is not a number");
    base[group] = (double)(score + 0.0F); /* no sum starts at -0 */
    return TL_OK;
}

/* "5E-1", or from 3.1 on "[5E-1,..]": one for all, or one per group. */
static enum tl_code read_base(struct xgboost_reader *reader)
{
    struct doc_value param = doc_find(reader->learner, "learner_model_param");
    struct model *model = reader->build->model;
    double *base = arena_zalloc(reader->build->arena, reader->groups, sizeof(*base));
    struct doc_text text;
    uint32_t count = 0;

    if (!base)
        return build_no_memory(reader->build);
    if (!doc_string(doc_find(param, "base_score"), &text))
        return build_corrupt(reader->build, "learner_model_param.base_score", "it is missing");
    if (text.size >= 2 && *text.at == '[' && text.at[text.size - 1] == ']')
        text = (struct doc_text){text.at + 1, text.size - 2};
    for (bool more = true; more; count++) {
        const char *comma = memchr(text.at, ',', text.size);
        struct doc_text one = {text.at, comma ? (size_t)(comma - text.at) : text.size};
        float score;

        if (count >= reader->groups || !doc_text_float(reader->learner.doc, one, &score))
            return build_corrupt(reader->build, "learner_model_param.base_score",
                                 "it is not one number, nor one per class");
        TL_TRY(set_base(reader, base, count, score));
        more = comma != NULL;
        text.at += one.size + more;
        text.size -= one.size + more;
    }
    if (count != 1 && count != reader->groups)
        return build_corrupt(reader->build, "learner_model_param.base_score",
                             "it is not one number, nor one per class");
    for (uint32_t g = count; g < reader->groups; g++)
        base[g] = base[0];
    model->base = base;
    return TL_OK;
}

static enum tl_code read_tree_info(struct xgboost_reader *reader)
{
    struct doc_value trees = doc_find(reader->model, "trees");

    reader->tree_count = doc_count(trees);
    if (trees.kind != DOC_ARRAY || reader->tree_count == 0)
        return build_corrupt(reader->build, "trees", "there is no tree");
    if (reader->tree_count > MODEL_MAX_TREES)
        return tl_fail(reader->build->err, TL_LIMIT, "%s: %ju trees, at most %d",
                       reader->build->name, (uintmax_t)reader->tree_count, MODEL_MAX_TREES);
    reader->tree_info =
        arena_alloc(reader->build->arena, reader->tree_count, sizeof(*reader->tree_info));
    if (!reader->tree_info)
        return build_no_memory(reader->build);
    if (!doc_ints(doc_find(reader->model, "tree_info"), reader->tree_count,
                  (int64_t)reader->groups - 1, reader->tree_info))
        return build_corrupt(reader->build, "tree_info", "it does not give each tree a class");
    return TL_OK;
}

/* dart: a leaf counts weight_drop times. A gbtree of 3.x carries an empty one. */
static enum tl_code read_weights(struct xgboost_reader *reader)
{
    if (doc_count(reader->weight_drop) == 0)
        return TL_OK;
    reader->weights =
        arena_alloc(reader->build->arena, reader->tree_count, sizeof(*reader->weights));
    if (!reader->weights)
        return build_no_memory(reader->build);
    return doc_floats(reader->weight_drop, reader->tree_count, reader->weights)
               ? TL_OK
               : build_corrupt(reader->build, "weight_drop", "it does not give each tree a number");
}

/* From 3.1 on: what the numbers of a feature's categories stand for. */
static enum tl_code read_values(struct xgboost_reader *reader, struct doc_value encoding,
                                struct build_values *values)
{
    TL_TRY(build_values(reader->build, doc_find(encoding, "values"), values));
    values->words |= doc_count(doc_find(encoding, "offsets")) > 0;
    return TL_OK;
}

static enum tl_code read_all_values(struct xgboost_reader *reader)
{
    uint32_t count = reader->build->model->info.feature_count;
    struct doc_items items = doc_items(doc_find(doc_find(reader->model, "cats"), "enc"));
    struct doc_value encoding;
    struct doc_text key;

    reader->values = arena_zalloc(reader->build->arena, count, sizeof(*reader->values));
    if (!reader->values)
        return build_no_memory(reader->build);
    for (uint32_t f = 0; f < count && doc_next(&items, &key, &encoding); f++)
        TL_TRY(read_values(reader, encoding, &reader->values[f]));
    return TL_OK;
}

/* How many numbers the leaves of the first tree have is what those of all have. */
static void read_width(struct xgboost_reader *reader)
{
    struct doc_items trees = doc_items(doc_find(reader->model, "trees"));
    struct doc_value tree;
    struct doc_text key;
    int64_t size = 0;

    if (doc_next(&trees, &key, &tree))
        (void)doc_int(doc_find(doc_find(tree, "tree_param"), "size_leaf_vector"), 0, INT32_MAX,
                      &size);
    reader->build->model->leaf_width = size > 1 ? reader->groups : 1;
}

/* Trees after the best iteration are not used, as scikit-learn's wrapper has it. */
static enum tl_code read_best(struct xgboost_reader *reader)
{
    struct doc_value attributes = doc_find(reader->learner, "attributes");
    struct doc_value param = doc_find(reader->model, "gbtree_model_param");
    struct doc_items ends = doc_items(doc_find(reader->model, "iteration_indptr"));
    struct doc_value best = doc_find(attributes, "best_iteration"), value;
    struct doc_text key;
    int64_t iteration, parallel = 1, end;

    reader->used = reader->tree_count;
    if (best.kind == DOC_NONE)
        return TL_OK;
    if (!doc_int(best, 0, MODEL_MAX_TREES, &iteration))
        return build_corrupt(reader->build, "attributes.best_iteration", "it is not a number");
    (void)doc_int(doc_find(param, "num_parallel_tree"), 1, MODEL_MAX_TREES, &parallel);
    uint64_t per_tree = reader->build->model->leaf_width > 1 ? 1 : reader->groups;
    uint64_t used = (uint64_t)(iteration + 1) * (uint64_t)parallel * per_tree;
    for (int64_t i = 0; doc_next(&ends, &key, &value); i++) {
        if (!doc_int(value, 0, (int64_t)reader->tree_count, &end))
            return build_corrupt(reader->build, "iteration_indptr",
                                 "it counts trees that are not there");
        if (i == iteration + 1)
            used = (uint64_t)end;
    }
    if (used == 0 || used > reader->tree_count)
        return build_corrupt(reader->build, "attributes.best_iteration", "there are fewer trees");
    reader->used = used;
    return TL_OK;
}

/* What is predicted, and from what. */
static enum tl_code read_head(struct xgboost_reader *reader)
{
    uint64_t classes = 0;

    TL_TRY(find_trees(reader));
    TL_TRY(read_objective(reader, &classes));
    TL_TRY(build_classes(reader->build, NULL, classes));
    TL_TRY(read_features(reader));
    return read_base(reader);
}

static enum tl_code read_all(struct xgboost_reader *reader)
{
    struct model *model = reader->build->model;

    TL_TRY(read_head(reader));
    TL_TRY(read_tree_info(reader));
    read_width(reader);
    TL_TRY(read_all_values(reader));
    TL_TRY(read_weights(reader));
    TL_TRY(read_best(reader));
    TL_TRY(xgboost_read_trees(reader));
    model->info.kind = "xgboost";
    model->arithmetic = ARITHMETIC_XGBOOST;
    model->sigmoid = model->divisor = 1;
    model->score_count = reader->groups;
    return build_finish(reader->build);
}

enum tl_code model_read_xgboost(const char *name, const uint8_t *bytes, size_t size,
                                struct arena *arena, struct model *ret_model, struct tl_err *err)
{
    struct model model = {0};
    AUTO_BUILD build = {.name = name, .arena = arena, .model = &model, .err = err};
    AUTO_DOC doc = {0};

    TL_TRY(doc_open(name, bytes, size, &doc, err));
    struct xgboost_reader reader = {.build = &build,
                                    .learner = doc_find(doc_root(&doc), "learner")};
    TL_TRY(read_all(&reader));
    *ret_model = model;
    return TL_OK;
}
