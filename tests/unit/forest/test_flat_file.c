#include "forest/flat_file.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/hash.h"
#include "forest/bench.h"
#include "forest/convert.h"
#include "forest/load.h"
#include "forest/output.h"
#include "library_rows.h"
#include "model/section.h"

#include <dirent.h>

enum { SIDE = 40, PIXELS = SIDE * SIDE };

static const struct convert_wish plain = {.golden_rows = 24};

/* ---- files ---- */

static struct blob *compile(const char *name, const struct blob *file)
{
    AUTO_BUF made = {0};
    struct tl_err err;

    assert_ok(model_compile(name, file, &plain, &made, &err));
    struct blob *blob = buf_blob(&made);
    assert_non_null(blob);
    return blob;
}

static struct blob *compiled_fixture(const char *name)
{
    AUTO(blob) file = library_file(name);

    return compile(name, file);
}

static struct forest *load_as(const struct blob *file, enum forest_form form)
{
    struct forest *forest = NULL;
    struct tl_err err;

    assert_ok(forest_load_as("m.tilth", file, form, &forest, &err));
    return forest;
}

static struct model_section section_of(const struct blob *file, struct arena *arena)
{
    struct model_section section;
    struct model model;
    struct tl_err err;

    assert_ok(model_read_section("m.tilth", file, arena, &model, &section, &err));
    return section;
}

/* The file with another section in place of its own. */
static struct blob *with_section(const struct blob *file, const struct buf *section)
{
    AUTO_BUF made = {0};
    struct tl_err err;

    assert_ok(model_write_section("m.tilth", file, section, &made, &err));
    return buf_blob(&made);
}

/* ---- answers ---- */

struct answers {
    uint8_t label[PIXELS], confidence[PIXELS];
    float margin[PIXELS], entropy[PIXELS];
    float *probability;
    double *scores;
    uint32_t *votes;
};

static float **make_pixels(const struct forest *forest, struct arena *arena)
{
    uint32_t features = forest_info(forest)->feature_count;
    float **planes = arena_alloc(arena, features, sizeof(*planes));

    for (uint32_t f = 0; f < features; f++)
        planes[f] = arena_alloc(arena, PIXELS, sizeof(**planes));
    assert_true(forest_make_tile(forest, TILE_STRUCTURELESS, 5, SIDE, SIDE, planes));
    for (size_t i = 3; i < PIXELS; i += 7)
        planes[i % features][i] = i % 3 ? NAN : i % 2 ? INFINITY : -0.0F;
    return planes;
}

/* The first `count` pixels. */
static struct answers *ask(const struct forest *forest, float *const *planes, size_t count,
                           struct arena *arena)
{
    const struct model_info *info = forest_info(forest);
    struct forest_pixels pixels = {(const float *const *)planes, count, NULL};
    struct answers *a = arena_zalloc(arena, 1, sizeof(*a));
    struct tl_err err;

    a->probability = arena_zalloc(arena, info->class_count, PIXELS * sizeof(float));
    a->scores = arena_zalloc(arena, info->score_count, PIXELS * sizeof(double));
    a->votes = arena_zalloc(arena, info->class_count, PIXELS * sizeof(uint32_t));
    struct forest_output labels = {.label = a->label, .confidence = a->confidence};
    struct forest_output rest = {.margin = a->margin,
                                 .entropy = a->entropy,
                                 .probability = a->probability,
                                 .scores = a->scores,
                                 .votes = info->has_votes ? a->votes : NULL};
    assert_ok(forest_run(forest, &pixels, NULL, arena, &labels, &err));
    assert_ok(forest_run(forest, &pixels, NULL, arena, &rest, &err));
    return a;
}

static void check_equal(const char *name, const struct forest *x, const struct forest *y)
{
    AUTO(arena) arena = arena_new();
    const struct model_info *info = forest_info(x);
    float **planes = make_pixels(x, arena);

    for (size_t count = 2; count <= PIXELS; count += PIXELS - 2) {
        const struct answers *a = ask(x, planes, count, arena), *b = ask(y, planes, count, arena);
        size_t classes = info->class_count * count;

        if (memcmp(a->label, b->label, count) != 0 ||
            memcmp(a->confidence, b->confidence, count) != 0 ||
            memcmp(a->margin, b->margin, count * sizeof(float)) != 0 ||
            memcmp(a->entropy, b->entropy, count * sizeof(float)) != 0 ||
            memcmp(a->probability, b->probability, classes * sizeof(float)) != 0 ||
            memcmp(a->scores, b->scores, info->score_count * count * sizeof(double)) != 0 ||
            memcmp(a->votes, b->votes, classes * sizeof(uint32_t)) != 0)
            fail_msg("%s: compiled, %zu pixels come out otherwise", name, count);
    }
}

static void check_info(const struct model_info *a, const struct model_info *b)
{
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->tree_count, b->tree_count);
    assert_int_equal(a->node_count, b->node_count);
    assert_int_equal(a->max_depth, b->max_depth);
    assert_int_equal(a->takes_nan, b->takes_nan);
    assert_int_equal(a->has_votes, b->has_votes);
    assert_int_equal(a->golden_rows, b->golden_rows);
    assert_true(hash128_equal(a->fingerprint, b->fingerprint));
}

/* ---- what is compiled answers alike ---- */

static void check_file(const char *name, const struct blob *file)
{
    AUTO(blob) once = compile(name, file);
    AUTO(blob) twice = compile(name, once);
    AUTO(forest) model = load_as(once, FOREST_MODEL);
    AUTO(forest) served = load_as(once, FOREST_SERVED);

    assert_non_null(forest_section(served));
    assert_null(forest_section(served)->unused);
    assert_int_equal(blob_size(once), blob_size(twice));
    assert_memory_equal(blob_bytes(once), blob_bytes(twice), blob_size(once));
    check_info(forest_info(model), forest_info(served));
    check_equal(name, model, served);
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

TEST(every_model_of_every_reader_answers_the_same_bits_when_compiled)
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

TEST(a_large_forest_answers_the_same_bits_when_compiled)
{
    AUTO(blob) file = NULL;
    struct tl_err err;

    assert_ok(file_read(TILTH_ROOT "/models/crop-mask-south-eastern.tilth", 1 << 28, &file, &err));
    check_file("models/crop-mask-south-eastern.tilth", file);
}

/* ---- what is not right is not used ---- */

/* The section of a compiled fixture, changed by hand; the file is right about everything else. */
static void check_unused(void (*change)(struct buf *), const char *why)
{
    AUTO(arena) arena = arena_new();
    AUTO(blob) file = compiled_fixture("lightgbm_categories.txt");
    const struct model_section section = section_of(file, arena);
    AUTO_BUF changed = {0};

    buf_append(&changed, section.bytes, section.size);
    change(&changed);
    AUTO(blob) other = with_section(file, &changed);
    AUTO(forest) model = load_as(file, FOREST_MODEL);
    AUTO(forest) served = load_as(other, FOREST_SERVED);
    assert_non_null(forest_section(served));
    assert_string_equal(forest_section(served)->unused, why);
    check_equal("not used", model, served);
    AUTO(forest) none = NULL;
    struct tl_err err;
    assert_refused(forest_load_as("m", other, FOREST_SECTION, &none, &err), TL_CORRUPT, "section");
}

static void next_version(struct buf *section)
{
    ((struct flat_file_head *)(void *)section->bytes)->version++;
}

static void other_order(struct buf *section)
{
    ((struct flat_file_head *)(void *)section->bytes)->byte_order = 0x04030201;
}

static void other_model(struct buf *section)
{
    ((struct flat_file_head *)(void *)section->bytes)->tensors.lo ^= 1;
}

static void last_bit(struct buf *section)
{
    section->bytes[section->size - 1] ^= 1;
}

static void cut_short(struct buf *section)
{
    section->size = sizeof(struct flat_file_head) - 1;
}

static void cut_behind_head(struct buf *section)
{
    section->size = sizeof(struct flat_file_head);
    flat_file_seal(section->bytes, section->size);
}

/* All rankers lie where one does, the largest: arrays that share bytes are more than there are. */
static void one_ranker_for_all(struct buf *section)
{
    enum { PART = 128, RANKER_COUNT = 20, RANKERS = 72, RANKER = 48 };
    const uint8_t *part = section->bytes + PART;
    uint8_t largest[RANKER];
    uint32_t count, thresholds, most = 0;
    uint64_t at;

    memcpy(&count, part + RANKER_COUNT, sizeof(count));
    memcpy(&at, part + RANKERS, sizeof(at));
    assert_true(count > 1 && at + (uint64_t)count * RANKER <= section->size);
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *ranker = section->bytes + at + (size_t)i * RANKER;

        memcpy(&thresholds, ranker, sizeof(thresholds));
        if (thresholds > most)
            memcpy(largest, ranker, sizeof(largest));
        most = TL_MAX(most, thresholds);
    }
    assert_true(most > 0);
    for (uint32_t i = 0; i < count; i++)
        memcpy(section->bytes + at + (size_t)i * RANKER, largest, sizeof(largest));
    flat_file_seal(section->bytes, section->size);
}

TEST(a_section_whose_arrays_share_bytes_is_passed_over)
{
    check_unused(one_ranker_for_all, "it is not right");
}

TEST(a_section_for_another_tilth_or_model_is_passed_over)
{
    check_unused(next_version, "it is for another version of tilth");
    check_unused(other_order, "it is for another version of tilth");
    check_unused(other_model, "it was made of another model");
}

TEST(a_section_that_is_damaged_or_cut_short_is_passed_over)
{
    check_unused(last_bit, "it is damaged");
    check_unused(cut_short, "it is none");
    check_unused(cut_behind_head, "it is not right");
}

/* Every number of a section may be a lie: it is refused, or what it says is inside of it. */
static void forge(const char *name, unsigned rounds)
{
    AUTO(arena) arena = arena_new();
    AUTO(blob) file = compiled_fixture(name);
    const struct model_section section = section_of(file, arena);
    AUTO(forest) model = load_as(file, FOREST_MODEL);
    float **planes = make_pixels(model, arena);
    uint64_t random = 1;
    unsigned used = 0;

    for (unsigned i = 0; i < rounds; i++) {
        struct arena_mark mark = arena_mark(arena);
        AUTO_BUF changed = {0};
        uint32_t word;

        buf_append(&changed, section.bytes, section.size);
        random = random * 6364136223846793005 + 1442695040888963407;
        /* Half of them where sizes and offsets are. */
        size_t words = (i % 2 ? section.size : TL_MIN(section.size, (size_t)512)) / sizeof(word);
        size_t at = sizeof(word) * (size_t)((random >> 33) % words);
        memcpy(&word, changed.bytes + at, sizeof(word));
        word = random % 3 == 0 ? word ^ 1U << (random >> 20) % 32
                               : word + (uint32_t)(random >> 30) % 5 - 2;
        memcpy(changed.bytes + at, &word, sizeof(word));
        flat_file_seal(changed.bytes, changed.size);
        AUTO(blob) forged = with_section(file, &changed);
        AUTO(forest) served = load_as(forged, FOREST_SERVED);
        used += !forest_section(served)->unused;
        ask(served, planes, i % 4 ? 2 : PIXELS, arena);
        arena_rewind(arena, mark);
    }
    assert_true(used > 0 && used < rounds);
}

TEST(a_forged_section_is_refused_or_stays_inside_of_itself)
{
    forge("lightgbm_categories.txt", 1500);
    forge("tilth_histogram.tilth", 500);
    forge("tilth_stack_forest.tilth", 1500);
    forge("catboost_binary.json", 500);
}

TEST(a_compiled_file_that_is_cut_short_anywhere_is_refused)
{
    AUTO(blob) file = compiled_fixture("tilth_adaptive.tilth");

    for (size_t size = 0; size < blob_size(file); size++) {
        AUTO(blob) cut = blob_copy(blob_bytes(file), size);
        AUTO(forest) forest = NULL;
        struct tl_err err;

        if (forest_load("m.tilth", cut, &forest, &err) == TL_OK)
            fail_msg("%zu bytes of %zu are taken for a model", size, blob_size(file));
    }
}

/* Behind the header, which is text without a checksum. */
TEST(a_flipped_bit_anywhere_in_a_compiled_file_is_found)
{
    AUTO(blob) file = compiled_fixture("tilth_adaptive.tilth");
    AUTO(arena) arena = arena_new();
    const struct model_section section = section_of(file, arena);
    uint64_t header;

    memcpy(&header, blob_bytes(file), sizeof(header));
    for (size_t at = 8 + header; at < blob_size(file); at++) {
        AUTO(blob) flipped = blob_copy(blob_bytes(file), blob_size(file));
        AUTO(forest) forest = NULL;
        struct tl_err err;

        blob_writable(flipped)[at] ^= (uint8_t)(1U << at % 8);
        enum tl_code code = forest_load("m.tilth", flipped, &forest, &err);
        /* Between the tensors and the section there are zeros that nobody reads. */
        bool padding = at < (size_t)(section.bytes - blob_bytes(file)) &&
                       at >= (size_t)(section.bytes - blob_bytes(file)) - SECTION_ALIGN;
        if (code == TL_OK && !padding)
            fail_msg("byte %zu of %zu may be anything", at, blob_size(file));
    }
}

RUN(T(every_model_of_every_reader_answers_the_same_bits_when_compiled),
    T(a_large_forest_answers_the_same_bits_when_compiled),
    T(a_section_for_another_tilth_or_model_is_passed_over),
    T(a_section_whose_arrays_share_bytes_is_passed_over),
    T(a_section_that_is_damaged_or_cut_short_is_passed_over),
    T(a_forged_section_is_refused_or_stays_inside_of_itself),
    T(a_compiled_file_that_is_cut_short_anywhere_is_refused),
    T(a_flipped_bit_anywhere_in_a_compiled_file_is_found))
