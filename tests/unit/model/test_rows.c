#include "model/rows.h"

#include "forest/bench.h"
#include "library_rows.h"
#include "model/model.h"

enum { SIDE = 80, PIXELS = SIDE * SIDE };

static struct forest *load(const char *name)
{
    AUTO(blob) file = library_file(name);
    struct forest *forest = NULL;
    struct tl_err err;

    assert_ok(forest_load(name, file, &forest, &err));
    return forest;
}

static float **make_tile(const struct forest *forest, enum model_tile tile, uint64_t seed,
                         struct arena *arena)
{
    uint32_t features = forest_info(forest)->feature_count;
    float **planes = arena_alloc(arena, features, sizeof(*planes));

    for (uint32_t f = 0; f < features; f++)
        planes[f] = arena_alloc(arena, PIXELS, sizeof(**planes));
    assert_true(forest_make_tile(forest, tile, seed, SIDE, SIDE, planes));
    return planes;
}

/* How often neighbours have the same class. */
static size_t alike(const struct forest *forest, enum model_tile tile, struct arena *arena)
{
    float **planes = make_tile(forest, tile, 1, arena);
    struct forest_pixels pixels = {(const float *const *)planes, PIXELS, NULL};
    uint8_t label[PIXELS];
    struct forest_output output = {.label = label};
    size_t same = 0;
    struct tl_err err;

    assert_ok(forest_run(forest, &pixels, NULL, arena, &output, &err));
    for (size_t i = 1; i < PIXELS; i++)
        same += label[i] == label[i - 1];
    return same;
}

TEST(a_seed_makes_the_same_tile_again_and_another_seed_another)
{
    AUTO(forest) forest = load("lightgbm_multiclass.txt");
    AUTO(arena) arena = arena_new();

    for (int tile = 0; tile < 3; tile++) {
        float **once = make_tile(forest, tile, 5, arena),
              **again = make_tile(forest, tile, 5, arena);
        float **other = make_tile(forest, tile, 6, arena);

        assert_memory_equal(once[2], again[2], PIXELS * sizeof(float));
        assert_memory_not_equal(once[2], other[2], PIXELS * sizeof(float));
        for (size_t i = 0; i < PIXELS; i++)
            assert_true(isfinite(once[0][i]));
    }
}

TEST(tiles_are_as_like_as_they_are_called)
{
    AUTO(forest) forest = load("lightgbm_multiclass.txt");
    AUTO(arena) arena = arena_new();
    size_t smooth = alike(forest, TILE_SMOOTH, arena), noisy = alike(forest, TILE_NOISY, arena);
    size_t none = alike(forest, TILE_STRUCTURELESS, arena);

    assert_true(smooth > noisy);
    assert_true(noisy > none);
}

TEST(rows_to_prove_with_lie_on_thresholds_and_beside_them)
{
    AUTO(blob) file = library_file("xgboost3_binary.json");
    AUTO(arena) arena = arena_new();
    struct model model;
    struct model_rows rows;
    size_t on = 0, off = 0, odd = 0;
    float row[LIBRARY_MAX_FEATURES];
    struct tl_err err;

    assert_ok(model_read("m.json", blob_bytes(file), blob_size(file), arena, &model, &err));
    assert_true(model_rows_open(&model, 1, arena, &rows));
    assert_true(rows.missing);
    for (int r = 0; r < 500; r++) {
        model_rows_probe(&rows, row);
        for (uint32_t f = 0; f < model.info.feature_count; f++) {
            const float *edges = rows.edges + (size_t)f * ROWS_EDGES;
            bool hit = false, near = false;

            for (uint32_t e = 0; e < rows.count[f]; e++) {
                hit |= row[f] == edges[e];
                near |= row[f] == nextafterf(edges[e], INFINITY) ||
                        row[f] == nextafterf(edges[e], -INFINITY);
            }
            on += hit;
            off += near;
            odd += isnan(row[f]) || isinf(row[f]);
        }
    }
    assert_true(on > 500);
    assert_true(off > 500);
    assert_true(odd > 0);
}

TEST(a_timed_run_gives_what_a_run_gives_with_every_kernel_and_says_what_it_took)
{
    static const char *const names[] = {"lightgbm_multiclass.txt", "tilth_stack.tilth",
                                        "tilth_vote_nets.tilth", "catboost_multi.json"};

    for (size_t n = 0; n < TL_COUNT(names); n++) {
        AUTO(forest) forest = load(names[n]);
        AUTO(arena) arena = arena_new();
        float **planes = make_tile(forest, TILE_NOISY, 1, arena);
        struct forest_pixels pixels = {(const float *const *)planes, PIXELS, NULL};
        uint8_t expected[PIXELS], label[PIXELS];
        struct forest_output output = {.label = expected};
        struct tl_err err;

        assert_ok(forest_run(forest, &pixels, NULL, arena, &output, &err));
        output.label = label;
        for (enum cpu_isa isa = ISA_SCALAR; isa <= cpu_isa(); isa++) {
            struct forest_times times = {.isa = isa};

            memset(label, 0xEE, sizeof(label));
            assert_ok(forest_run_timed(forest, &pixels, arena, &output, &times, &err));
            assert_memory_equal(label, expected, PIXELS);
            for (size_t s = 0; s < FOREST_STAGES; s++)
                assert_true(times.ns[s] > 0);
        }
        assert_true(forest_memory(forest) > 0);
    }
}

RUN(T(a_seed_makes_the_same_tile_again_and_another_seed_another),
    T(tiles_are_as_like_as_they_are_called),
    T(rows_to_prove_with_lie_on_thresholds_and_beside_them),
    T(a_timed_run_gives_what_a_run_gives_with_every_kernel_and_says_what_it_took))
