#include "tiler/layer_bands.h"

#include "base/arena.h"
#include "classify/prediction_band.h"
#include "model/info.h"
#include "tiler/layer_doc.h"
#include "tiler/style.h"
#include "tl_test.h"

#include <stdio.h>
#include <string.h>

enum { CLASSES = PREDICTION_MAX_MORE + 1 };

static struct tl_err err;
static struct arena *arena;
static struct model_class classes[CLASSES];
static char class_names[CLASSES][64];
static struct model_info model = {.classes = classes};
static struct layer_bands bands;

/* The first `class_count` classes of "class0", "class1", .. and "outputs", which NULL ends. */
static enum tl_code make(uint32_t class_count, const char *const *outputs)
{
    struct layer_doc doc = {.outputs = outputs};

    arena_free(arena);
    arena = arena_new();
    model.class_count = class_count;
    for (uint32_t c = 0; c < class_count; c++) {
        snprintf(class_names[c], sizeof(class_names[c]), "class%u", c);
        classes[c] = (struct model_class){.name = class_names[c], .value = (uint8_t)(c + 1)};
    }
    while (outputs[doc.output_count])
        doc.output_count++;
    return layer_bands_make(&doc, &model, arena, &bands, &err);
}

#define MAKE(class_count, ...) make(class_count, (const char *const[]){__VA_ARGS__, NULL})

static int after_all(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

TEST(label_and_confidence_are_always_there)
{
    assert_ok(MAKE(3, NULL));
    assert_int_equal(bands.count, 2);
    assert_string_equal(bands.names[0], "label");
    assert_string_equal(bands.names[1], "confidence");
    assert_string_equal(bands.styles[0].id, "confidence");
    assert_int_equal(bands.styles[0].bands[0], 2);
}

TEST(bands_come_in_the_documents_order_each_with_its_style)
{
    static const char *const names[] = {"label", "confidence", "entropy", "probability:class1",
                                        "margin"};

    assert_ok(MAKE(3, "entropy", "class1", "margin"));
    assert_int_equal(bands.count, TL_COUNT(names));
    for (uint32_t b = 0; b < bands.count; b++)
        assert_string_equal(bands.names[b], names[b]);
    for (uint32_t b = 1; b < bands.count; b++) {
        assert_string_equal(bands.styles[b - 1].id, names[b]);
        assert_int_equal(bands.styles[b - 1].bands[0], b + 1);
    }
    assert_int_equal(bands.bands[3].what, PREDICTION_PROBABILITY);
    assert_int_equal(bands.bands[3].class, 1);
}

TEST(probability_alone_is_one_band_for_each_class)
{
    assert_ok(MAKE(5, "margin", "probability"));
    assert_int_equal(bands.count, 3 + 5);
    for (uint16_t c = 0; c < 5; c++)
        assert_int_equal(bands.bands[3 + c].class, c);
    assert_string_equal(bands.names[7], "probability:class4");
}

TEST(a_band_twice_is_refused_by_its_full_name)
{
    assert_refused(MAKE(3, "label"), TL_INVALID, "label is there always, leave it out");
    assert_refused(MAKE(3, "margin", "confidence"), TL_INVALID,
                   "confidence is there always, leave it out");
    assert_refused(MAKE(3, "margin", "entropy", "margin"), TL_INVALID, "margin is there twice");
    assert_refused(MAKE(3, "class2", "probability"), TL_INVALID,
                   "probability:class2 is there twice");
    assert_ok(MAKE(3, "class2", "class1", "class0"));
}

TEST(what_the_model_has_not_is_refused)
{
    assert_refused(MAKE(3, "class3"), TL_INVALID, "\"outputs\": there is no band \"class3\"");
}

TEST(sixty_four_bands_more_are_the_most)
{
    assert_ok(MAKE(PREDICTION_MAX_MORE, "probability"));
    assert_int_equal(bands.count, PREDICTION_MAX_BANDS);
    assert_refused(MAKE(PREDICTION_MAX_MORE + 1, "probability"), TL_LIMIT,
                   "more than 64 bands; name the classes whose probability is wanted, "
                   "\"probability:class0\"");
    assert_refused(MAKE(PREDICTION_MAX_MORE, "probability", "margin"), TL_LIMIT, "64 bands");
}

TEST(classes_that_share_a_name_have_no_bands)
{
    struct layer_doc doc = {.outputs = (const char *const[]){"probability"}, .output_count = 1};

    assert_ok(MAKE(3, "probability"));
    memcpy(class_names[2], class_names[0], sizeof(class_names[2]));
    assert_refused(layer_bands_make(&doc, &model, arena, &bands, &err), TL_INVALID,
                   "class 3 has a name that is too long for a band, or that another class has");
    memset(class_names[2], 'x', 52);
    class_names[2][52] = '\0';
    assert_refused(layer_bands_make(&doc, &model, arena, &bands, &err), TL_INVALID,
                   "class 3 has a name that is too long");
}

RUN_BETWEEN(NULL, after_all, T(label_and_confidence_are_always_there),
            T(bands_come_in_the_documents_order_each_with_its_style),
            T(probability_alone_is_one_band_for_each_class),
            T(a_band_twice_is_refused_by_its_full_name), T(what_the_model_has_not_is_refused),
            T(sixty_four_bands_more_are_the_most), T(classes_that_share_a_name_have_no_bands))
