/*
 * What a seed gives is the same on every machine. The hashes were taken on x86-64; the arm64
 * build runs the same test (tools/test_arm64.sh), so both are held to the same bits: everything
 * that a run gives but scores and votes, of forests of our own and of models of the libraries.
 *
 * exp() and log() are the C library's, and those differ in the last bits of a double. What is
 * hashed was rounded to float32: 2^-28 of such differences show, of the 10^6 numbers here none is
 * likely to.
 */
#include "base/hash.h"
#include "forest/forest.h"
#include "forest/sweep.h"
#include "forest_fixture.h"
#include "library_rows.h"
#include "tl_test.h"

enum { PIXELS = 6000 };

/* No NaN is in what comes out: machines have different ones. */
static uint64_t hash_of_floats(const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_false(isnan(values[i]));
    return hash64(values, count * sizeof(*values));
}

static uint64_t hash_of_run(const struct forest *forest, float *values)
{
    static uint8_t label[PIXELS], confidence[PIXELS];
    static float margin[PIXELS], entropy[PIXELS], probability[PIXELS * FIXTURE_MAX_CLASSES];
    const struct forest_output output = {.label = label,
                                         .confidence = confidence,
                                         .probability = probability,
                                         .margin = margin,
                                         .entropy = entropy};
    const struct model_info *info = forest_info(forest);
    const float **planes = fixture_room(info->feature_count, sizeof(*planes));
    const struct forest_pixels pixels = {.planes = planes, .count = PIXELS};
    AUTO(arena) scratch = arena_new();
    struct tl_err err;

    assert_true(info->class_count <= FIXTURE_MAX_CLASSES);
    for (uint32_t f = 0; f < info->feature_count; f++)
        planes[f] = values + (size_t)f * PIXELS;
    assert_ok(forest_run(forest, &pixels, NULL, scratch, &output, &err));
    const uint64_t all[] = {hash64(label, sizeof(label)), hash64(confidence, sizeof(confidence)),
                            hash_of_floats(probability, (size_t)PIXELS * info->class_count),
                            hash_of_floats(margin, PIXELS), hash_of_floats(entropy, PIXELS)};
    free(planes);
    return hash64(all, sizeof(all));
}

static void check_hash(const char *what, uint64_t got, uint64_t expected)
{
    if (got != expected)
        fail_msg("%s: 0x%016jx here, 0x%016jx elsewhere", what, (uintmax_t)got,
                 (uintmax_t)expected);
}

TEST(a_machine_uses_the_best_instructions_that_it_has)
{
    assert_int_equal(sweep_kernel(cpu_isa())->isa, cpu_isa());
}

TEST(forests_of_every_flat_type_give_the_same_bits_everywhere)
{
    /* Ranks of one byte, of two, floats; and more trees than a byte counts. */
    static const struct {
        struct fixture_wish wish;
        uint64_t hash;
    } cases[] = {
        {{.seed = 1,
          .features = 6,
          .classes = 5,
          .trees = 30,
          .splits = 60,
          .thresholds = 200,
          .pure_percent = 60,
          .exact_percent = 10},
         0xfffb28db3f82a1c8},
        {{.seed = 2, .features = 4, .classes = 3, .trees = 40, .splits = 200, .pure_percent = 30},
         0x6d1007e7d93a387a},
        {{.seed = 3, .features = 1, .classes = 4, .trees = 8, .splits = 9000, .pure_percent = 50},
         0xee4a9b3271a3b3c4},
        {{.seed = 4, .features = 3, .classes = 7, .trees = 300, .splits = 12, .pure_percent = 90},
         0xf48afdbc465622d0},
        {{.seed = 5, .features = 3, .classes = 7, .trees = 300, .splits = 12, .pure_percent = 98},
         0xd8c5da7a773290b1},
    };

    for (size_t c = 0; c < TL_COUNT(cases); c++) {
        AUTO(fixture) f = fixture_new(&cases[c].wish);
        AUTO(blob) file = fixture_blob(f);
        AUTO(forest) forest = NULL;
        size_t count = (size_t)PIXELS * cases[c].wish.features;
        float *values = fixture_room(count, sizeof(*values));
        uint64_t random = cases[c].wish.seed;
        struct tl_err err;
        char what[32];

        assert_ok(forest_load("made up", file, &forest, &err));
        for (size_t i = 0; i < count; i++)
            values[i] = fixture_value(f, &random, true);
        snprintf(what, sizeof(what), "forest %zu", c);
        check_hash(what, hash_of_run(forest, values), cases[c].hash);
        free(values);
    }
}

/* Categories, missing values, ordinary numbers. */
static float library_value(uint64_t *random)
{
    uint32_t dice = fixture_below(random, 16);

    if (dice == 0)
        return NAN;
    if (dice < 6)
        return (float)fixture_below(random, 12);
    return fixture_uniform(random) * (dice < 12 ? 4.0F : 60.0F);
}

TEST(models_of_the_libraries_give_the_same_bits_everywhere)
{
    static const struct {
        const char *file;
        uint64_t hash;
    } cases[] = {
        {"lightgbm_multiclass.txt", 0x9cf54112c37f3eac},
        {"lightgbm_binary_nan.txt", 0xc03f09ee566856e0},
        {"lightgbm_categories.txt", 0x11af78bbfe82f798},
        {"lightgbm_linear_multi.txt", 0x164707498e4d43a6},
        {"xgboost1_softprob.json", 0xc3b838d987b08b59},
        {"xgboost3_dart_multi.ubj", 0xc21fb9ff2579ca55},
        {"xgboost3_categories.json", 0x08c5f7e242581d17},
        {"catboost_multi.json", 0x2ac793cfb89b096b},
        {"catboost_binary.json", 0xfa67e8bcb118cf4e},
        {"onnx_boosted.onnx", 0xc0d7fab3ff9ee88c},
        {"onnx_ensemble_double.onnx", 0xaac0c0e577d3b89b},
        {"tilth_histogram.tilth", 0x9e199ee0d32dca51},
        {"tilth_stack.tilth", 0x540d40ae60086ec8},
    };

    for (size_t c = 0; c < TL_COUNT(cases); c++) {
        AUTO(blob) file = library_file(cases[c].file);
        AUTO(forest) forest = NULL;
        uint64_t random = c + 1;
        struct tl_err err;

        assert_ok(forest_load(cases[c].file, file, &forest, &err));
        size_t count = (size_t)PIXELS * forest_info(forest)->feature_count;
        float *values = fixture_room(count, sizeof(*values));
        for (size_t i = 0; i < count; i++)
            values[i] = library_value(&random);
        check_hash(cases[c].file, hash_of_run(forest, values), cases[c].hash);
        free(values);
    }
}

RUN(T(a_machine_uses_the_best_instructions_that_it_has),
    T(forests_of_every_flat_type_give_the_same_bits_everywhere),
    T(models_of_the_libraries_give_the_same_bits_everywhere))
