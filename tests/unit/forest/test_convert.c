#include "forest/convert.h"

#include "base/buf.h"
#include "base/hash.h"
#include "base/json.h"
#include "library_rows.h"
#include "model/rows.h"

#include <dirent.h>

enum { SIDE = 48, PROBES = 700, PIXELS = SIDE * SIDE + PROBES };

static const struct convert_wish plain = {.golden_rows = 64};

/* What a model says of rows on its thresholds, beside them, between and beyond them. */
struct answers {
    uint8_t label[2][PIXELS], confidence[2][PIXELS]; /* of the oracle, of the kernel */
    float *probability[2];
    double *scores[2];
};

static float **make_pixels(const struct model *model, struct arena *arena)
{
    uint32_t features = model->info.feature_count;
    float **planes = arena_alloc(arena, features, sizeof(*planes));
    float *row = arena_alloc(arena, features, sizeof(*row));
    struct model_rows rows;

    assert_true(model_rows_open(model, 7, arena, &rows));
    for (uint32_t f = 0; f < features; f++)
        planes[f] = arena_alloc(arena, PIXELS, sizeof(**planes));
    model_rows_tile(&rows, TILE_STRUCTURELESS, SIDE, SIDE, planes);
    for (size_t r = 0; r < PROBES; r++) {
        model_rows_probe(&rows, row);
        for (uint32_t f = 0; f < features; f++)
            planes[f][SIDE * SIDE + r] = r % 7 == 3 && f == r % features ? NAN : row[f];
    }
    return planes;
}

static struct answers *ask(const struct forest *forest, float *const *planes, struct arena *arena)
{
    struct forest_pixels pixels = {(const float *const *)planes, PIXELS, NULL};
    struct answers *answers = arena_alloc(arena, 1, sizeof(*answers));
    uint32_t classes = forest_info(forest)->class_count;
    struct tl_err err;

    for (int way = 0; way < 2; way++) {
        answers->probability[way] = arena_alloc(arena, classes, PIXELS * sizeof(float));
        answers->scores[way] =
            arena_alloc(arena, forest_info(forest)->score_count, PIXELS * sizeof(double));
        struct forest_output output = {.label = answers->label[way],
                                       .confidence = answers->confidence[way],
                                       .probability = answers->probability[way],
                                       .scores = answers->scores[way]};

        if (way == 0)
            forest_run_scalar(forest, &pixels, &output);
        else
            assert_ok(forest_run(forest, &pixels, NULL, arena, &output, &err));
    }
    return answers;
}

static struct forest *load_bytes(const char *name, const struct buf *bytes)
{
    AUTO(blob) blob = buf_blob(bytes);
    struct forest *forest = NULL;
    struct tl_err err;

    assert_ok(forest_load(name, blob, &forest, &err));
    return forest;
}

static void check_equal(const char *name, const struct forest *a, const struct forest *b,
                        float *const *planes, struct arena *arena)
{
    uint32_t classes = forest_info(a)->class_count;
    const struct answers *x = ask(a, planes, arena), *y = ask(b, planes, arena);

    for (int way = 0; way < 2; way++)
        if (memcmp(x->label[way], y->label[way], PIXELS) != 0 ||
            memcmp(x->confidence[way], y->confidence[way], PIXELS) != 0 ||
            memcmp(x->probability[way], y->probability[way], classes * PIXELS * sizeof(float)) != 0)
            fail_msg("%s: its conversion answers otherwise (%s)", name, way ? "kernel" : "oracle");
}

static void check_info(const struct model_info *a, const struct model_info *b)
{
    assert_string_equal(a->kind, b->kind);
    assert_int_equal(a->tree_count, b->tree_count);
    assert_int_equal(a->node_count, b->node_count);
    assert_int_equal(a->max_depth, b->max_depth);
    assert_int_equal(a->class_count, b->class_count);
    assert_int_equal(a->feature_count, b->feature_count);
    assert_true(b->golden_rows > 0);
    for (uint32_t f = 0; f < a->feature_count; f++)
        assert_string_equal(a->features[f], b->features[f]);
    for (uint32_t c = 0; c < a->class_count; c++) {
        assert_string_equal(a->classes[c].name, b->classes[c].name);
        assert_int_equal(a->classes[c].value, b->classes[c].value);
        assert_int_equal(a->classes[c].color, b->classes[c].color);
    }
}

/* Converts, and converts what came out: the tensors of both are the same bytes. */
static void check_file(const char *name, const struct blob *file)
{
    AUTO(arena) arena = arena_new();
    AUTO(forest) source = NULL;
    AUTO_BUF once = {0}, twice = {0};
    struct model model;
    struct tl_err err;

    assert_ok(forest_load(name, file, &source, &err));
    assert_ok(model_read(name, blob_bytes(file), blob_size(file), arena, &model, &err));
    assert_ok(model_convert(name, file, &plain, &once, &err));
    AUTO(forest) converted = load_bytes(name, &once);
    AUTO(blob) first = buf_blob(&once);
    assert_ok(model_convert(name, first, &plain, &twice, &err));
    uint64_t header[2];
    memcpy(&header[0], once.bytes, sizeof(header[0]));
    memcpy(&header[1], twice.bytes, sizeof(header[1]));
    assert_int_equal(once.size - header[0], twice.size - header[1]);
    assert_memory_equal(once.bytes + 8 + header[0], twice.bytes + 8 + header[1],
                        once.size - 8 - header[0]);
    check_info(forest_info(source), forest_info(converted));
    check_equal(name, source, converted, make_pixels(&model, arena), arena);
}

static bool is_model(const char *name)
{
    static const char *const ends[] = {".txt", ".json", ".ubj", ".onnx", ".tilth"};
    const char *dot = strrchr(name, '.');

    for (size_t i = 0; dot && i < TL_COUNT(ends); i++)
        if (strcmp(dot, ends[i]) == 0)
            return true;
    return false;
}

TEST(every_model_of_every_reader_answers_the_same_bits_when_converted)
{
    DIR *folder = opendir(LIBRARY_DATA);
    struct dirent *entry;
    size_t count = 0;

    assert_non_null(folder);
    while ((entry = readdir(folder)) != NULL) {
        if (!is_model(entry->d_name))
            continue;
        AUTO(blob) file = library_file(entry->d_name);
        check_file(entry->d_name, file);
        count++;
    }
    closedir(folder);
    assert_true(count > 60);
}

static struct blob *golden_model(void)
{
    struct blob *file = NULL;
    struct tl_err err;

    assert_ok(file_read(TILTH_ROOT "/models/crop-mask-south-eastern.tilth", 1 << 28, &file, &err));
    return file;
}

TEST(a_large_forest_is_converted_with_its_golden_rows)
{
    AUTO(blob) file = golden_model();

    check_file("models/crop-mask-south-eastern.tilth", file);
}

/* ---- names and provenance ---- */

static struct forest *convert_with(const char *name, const struct convert_wish *wish)
{
    AUTO(blob) file = library_file(name);
    AUTO_BUF made = {0};
    struct tl_err err;

    assert_ok(model_convert(name, file, wish, &made, &err));
    return load_bytes("made.tilth", &made);
}

static enum tl_code refuse_with(const struct convert_wish *wish, struct tl_err *err)
{
    AUTO(blob) file = library_file("lightgbm_multiclass.txt");
    AUTO_BUF made = {0};

    return model_convert("m.txt", file, wish, &made, err);
}

TEST(a_trainer_names_features_and_classes_and_keeps_where_the_model_came_from)
{
    struct convert_wish wish = {
        .name = "crops of 2026",
        .classes = "[{\"value\": 10, \"name\": \"maize\"}, {\"value\": 20, \"name\": \"soya\","
                   " \"color\": \"00ff00\"}, {\"value\": 30, \"name\": \"rest\"}]",
        .class_names = "10=millet:#FFCC00,rest=other",
        .features = "red\r\nnir\nswir\ngreen\n\n",
        .golden_rows = 10};
    AUTO(forest) plain_forest = convert_with("lightgbm_multiclass.txt", &plain);
    uint32_t features = forest_info(plain_forest)->feature_count;

    if (features != 4)
        fail_msg("the test knows a model of 4 features, this one has %u", features);
    AUTO(forest) forest = convert_with("lightgbm_multiclass.txt", &wish);
    const struct model_info *info = forest_info(forest);

    assert_string_equal(info->name, "crops of 2026");
    assert_string_equal(info->features[0], "red");
    assert_string_equal(info->features[3], "green");
    assert_string_equal(info->classes[0].name, "millet");
    assert_int_equal(info->classes[0].color, 0xFFCC00);
    assert_int_equal(info->classes[0].value, 10);
    assert_int_equal(info->classes[1].color, 0x00FF00);
    assert_string_equal(info->classes[2].name, "other");
    assert_int_equal(info->classes[2].color, MODEL_NO_COLOR);
    assert_non_null(strstr(info->provenance, "\"file\":\"lightgbm_multiclass.txt\""));
    assert_non_null(strstr(info->provenance, "\"format\":\"LightGBM text\""));
    assert_true(info->golden_own);
    assert_int_equal(info->golden_rows, 10);
    assert_string_equal(forest_info(plain_forest)->name, "lightgbm_multiclass");
}

TEST(two_classes_can_change_names)
{
    AUTO(forest) before = convert_with("tilth_vote.tilth", &plain);
    const struct model_class *had = forest_info(before)->classes;
    char swap[128];

    snprintf(swap, sizeof(swap), "%s=%s,%s=%s", had[0].name, had[1].name, had[1].name, had[0].name);
    AUTO(forest)
    forest = convert_with("tilth_vote.tilth", &(struct convert_wish){.class_names = swap});
    assert_string_equal(forest_info(forest)->classes[0].name, had[1].name);
    assert_string_equal(forest_info(forest)->classes[1].name, had[0].name);
    assert_int_equal(forest_info(forest)->classes[0].value, had[0].value);
}

TEST(what_the_source_says_of_its_origin_is_kept)
{
    AUTO(forest) before = convert_with("tilth_vote.tilth", &plain);
    struct convert_wish wish = {.class_names = "maize=Mais: Korn:#102030", .golden_rows = 1};
    AUTO(forest) forest = convert_with("tilth_vote.tilth", &wish);

    assert_true(forest_info(forest)->golden_rows > 1);
    assert_int_equal(forest_info(forest)->golden_rows, forest_info(before)->golden_rows);
    assert_false(forest_info(forest)->golden_own);
    assert_non_null(strstr(forest_info(forest)->provenance, "scikit-learn"));
    assert_string_equal(forest_info(forest)->classes[1].name, "Mais: Korn");
    assert_int_equal(forest_info(forest)->classes[1].color, 0x102030);
}

TEST(names_that_do_not_fit_the_model_are_refused)
{
    struct tl_err err;

    assert_refused(refuse_with(&(struct convert_wish){.class_names = "0=maize,1=maize"}, &err),
                   TL_INVALID, "classes 0 and 1 would both be \"maize\"");
    assert_refused(refuse_with(&(struct convert_wish){.classes = "[\"a\", \"b\", \"a\"]"}, &err),
                   TL_INVALID, "classes 0 and 2 would both be \"a\"");

    assert_refused(refuse_with(&(struct convert_wish){.features = "a\nb\n"}, &err), TL_INVALID,
                   "the list of features has 2 names, m.txt has 4 features");
    assert_refused(refuse_with(&(struct convert_wish){.features = "a\nb\nc\nd\ne"}, &err),
                   TL_INVALID, "the list of features has 5 names, m.txt has 4 features");
    assert_refused(refuse_with(&(struct convert_wish){.features = "a\nb\na\nc\n"}, &err),
                   TL_INVALID, "the name a is there twice");
    assert_refused(refuse_with(&(struct convert_wish){.classes = "[\"a\"]"}, &err), TL_INVALID,
                   "the list of classes has 1 entries, m.txt has 3 classes");
    assert_refused(refuse_with(&(struct convert_wish){.classes = "[\"a\", 1, \"b\"]"}, &err),
                   TL_INVALID, "classes[1]");
    assert_refused(refuse_with(&(struct convert_wish){.classes = "[{\"value\": 1, \"name\": "
                                                                 "\"a\"}, {\"value\": 1, "
                                                                 "\"name\": \"b\"}, 3]"},
                               &err),
                   TL_INVALID, "the value 1 is there twice");
    assert_refused(refuse_with(&(struct convert_wish){.class_names = "maize"}, &err), TL_INVALID,
                   "\"maize\" names no class of m.txt");
    assert_refused(refuse_with(&(struct convert_wish){.class_names = "7=maize"}, &err), TL_INVALID,
                   "names no class");
    assert_refused(refuse_with(&(struct convert_wish){.class_names = "0=maize:#FFCC0"}, &err),
                   TL_INVALID, "six hex digits");
    assert_refused(refuse_with(&(struct convert_wish){.class_names = "0=maize:#FFCC000"}, &err),
                   TL_INVALID, "a colour is six hex digits");
    assert_refused(refuse_with(&(struct convert_wish){.features = "a\nb\nc\n\xff\n"}, &err),
                   TL_UNSUPPORTED, "the name of feature 3 is not UTF-8");
}

/* ---- a damaged file of format 3 ---- */

TEST(a_converted_file_cut_short_or_changed_anywhere_is_refused)
{
    AUTO(blob) file = library_file("lightgbm_linear_multi.txt");
    AUTO_BUF made = {0};
    struct tl_err err;
    uint64_t header;

    assert_ok(model_convert("m.txt", file, &plain, &made, &err));
    memcpy(&header, made.bytes, sizeof(header));
    assert_non_null(memmem(made.bytes, header, "\\\"format\\\":3", 12));
    for (size_t size = 0; size < made.size; size += 1 + size / 256) {
        AUTO(blob) cut = blob_copy(made.bytes, size);
        struct forest *forest = NULL;

        if (forest_load("m.tilth", cut, &forest, &err) == TL_OK)
            fail_msg("%zu of %zu bytes were taken for a model", size, made.size);
    }
    for (size_t at = 8 + header; at < made.size; at += 41) {
        made.bytes[at] ^= 4;
        AUTO(blob) changed = buf_blob(&made);
        struct forest *forest = NULL;

        assert_refused(forest_load("m.tilth", changed, &forest, &err), TL_CORRUPT, "checksum");
        made.bytes[at] ^= 4;
    }
}

/* The converted file, its checksum left out, with one number of a tensor replaced. */
static enum tl_code load_with_number(const char *name, const char *tensor, size_t number,
                                     uint32_t value, struct tl_err *ret_err)
{
    AUTO(blob) file = library_file(name);
    AUTO_BUF made = {0};
    AUTO_JSON root = NULL;
    struct tl_err err;
    uint64_t header;

    assert_ok(model_convert("m.txt", file, &plain, &made, &err));
    memcpy(&header, made.bytes, sizeof(header));
    assert_ok(json_parse("header", made.bytes + 8, header, &root, &err));
    const json_t *offsets = json_object_get(json_object_get(root, tensor), "data_offsets");
    assert_non_null(offsets);
    size_t at = (size_t)json_integer_value(json_array_get(offsets, 0));
    memcpy(made.bytes + 8 + header + at + 4 * number, &value, sizeof(value));
    uint8_t *crc = memmem(made.bytes, header + 8, "crc32\\\":\\\"", 10);
    char digits[9];
    assert_non_null(crc);
    snprintf(digits, sizeof(digits), "%08x",
             hash_crc32(made.bytes + 8 + header, made.size - 8 - header));
    memcpy(crc + 10, digits, 8);
    AUTO(blob) changed = buf_blob(&made);
    struct forest *forest = NULL;
    enum tl_code code = forest_load("m.tilth", changed, &forest, ret_err);
    forest_unref(forest);
    return code;
}

TEST(tensors_of_format_3_that_make_no_sense_are_refused_with_their_name)
{
    static const char lines[] = "lightgbm_linear_multi.txt", turns[] = "xgboost3_softprob.json";
    struct tl_err err;

    assert_refused(load_with_number(lines, "p0.line_offsets", 0, 1, &err), TL_CORRUPT,
                   "tensor p0.line_offsets: they do not go from 0");
    assert_refused(load_with_number(lines, "p0.line_offsets", 1, 1 << 30, &err), TL_CORRUPT,
                   "p0.line_offsets: they do not rise");
    assert_refused(load_with_number(lines, "p0.term_feature", 0, 99, &err), TL_CORRUPT,
                   "p0.term_feature: it names a feature that is not there");
    assert_refused(load_with_number(lines, "p0.line_constant", 1, 0x7FF00000, &err), TL_CORRUPT,
                   "p0.line_constant: it holds what is no number");
    assert_refused(load_with_number(lines, "p0.term_coefficient", 1, 0x7FF80000, &err), TL_CORRUPT,
                   "p0.term_coefficient: it holds what is no number");
    assert_refused(load_with_number(turns, "p0.tree_scores", 0, 200, &err), TL_CORRUPT,
                   "p0.tree_scores: a tree adds to a score that is not there");
}

RUN(T(every_model_of_every_reader_answers_the_same_bits_when_converted),
    T(a_large_forest_is_converted_with_its_golden_rows),
    T(a_trainer_names_features_and_classes_and_keeps_where_the_model_came_from),
    T(two_classes_can_change_names), T(what_the_source_says_of_its_origin_is_kept),
    T(names_that_do_not_fit_the_model_are_refused),
    T(a_converted_file_cut_short_or_changed_anywhere_is_refused),
    T(tensors_of_format_3_that_make_no_sense_are_refused_with_their_name))
