#include "geo/area.h"

#include "base/arena.h"
#include "geo/area_outline.h"
#include "geo/crs.h"
#include "geo/grid.h"
#include "tl_test.h"

#include <stdlib.h>
#include <string.h>

/* A grid in degrees, 64 pixels each: places on 1/16 of a pixel are exact, in binary, all the way.
 */
enum { WIDTH = 200, HEIGHT = 150, PIXELS = WIDTH * HEIGHT, FINE = 16, RINGS = 64, POINTS = 4096 };

static struct tl_err err;
static struct arena *scratch;
static struct crs *degrees, *utm;
static struct grid plain;

static struct area_ring rings[RINGS * 64];
static struct area_point points[POINTS * 16];
static struct area_outline outline = {.rings = rings, .points = points};
static uint32_t point_count;

static int before_all(void **state)
{
    (void)state;
    scratch = arena_new();
    if (crs_new("EPSG:4326", &degrees, &err) != TL_OK || crs_new("EPSG:32736", &utm, &err) != TL_OK)
        return 1;
    plain = (struct grid){degrees, {30, -15, 1 / 64.0, 1 / 64.0}, WIDTH, HEIGHT};
    return 0;
}

static int after_all(void **state)
{
    (void)state;
    arena_free(scratch);
    crs_unref(degrees);
    crs_unref(utm);
    return 0;
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* ---- writing outlines ---- */

static void begin(void)
{
    outline.ring_count = point_count = 0;
}

static void begin_ring(uint32_t polygon)
{
    rings[outline.ring_count++] = (struct area_ring){polygon, point_count, 0};
}

static void add_point(double lon, double lat)
{
    points[point_count++] = (struct area_point){lon, lat};
    rings[outline.ring_count - 1].count++;
}

static void end_ring(void)
{
    const struct area_point *first = &points[rings[outline.ring_count - 1].first];

    add_point(first->lon, first->lat);
}

/* In 1/16 of the plain grid's pixels. */
static void add_fine(int x, int y)
{
    add_point(30 + x / (64.0 * FINE), -15 - y / (64.0 * FINE));
}

static void add_box(uint32_t polygon, const int box[4])
{
    begin_ring(polygon);
    add_fine(box[0], box[1]);
    add_fine(box[2], box[1]);
    add_fine(box[2], box[3]);
    add_fine(box[0], box[3]);
    end_ring();
}

/* ---- the plain way: every pixel against every edge, in whole numbers ---- */

static int64_t fine_of(double value, double origin, double sign)
{
    return (int64_t)((value - origin) * sign * 64 * FINE);
}

/* Is the edge crossed on the way from the left to (x, y), or there? */
static bool is_crossed(struct area_point a, struct area_point b, int64_t x, int64_t y)
{
    int64_t ax = fine_of(a.lon, 30, 1), ay = fine_of(a.lat, -15, -1);
    int64_t bx = fine_of(b.lon, 30, 1), by = fine_of(b.lat, -15, -1);

    if ((ay <= y) == (by <= y))
        return false;
    int64_t side = (bx - ax) * (y - ay) - (x - ax) * (by - ay);
    return by > ay ? side <= 0 : side >= 0;
}

static bool oracle(int64_t x, int64_t y)
{
    bool inside = false, odd = false;

    for (uint32_t r = 0; r < outline.ring_count; r++) {
        if (r > 0 && rings[r].polygon != rings[r - 1].polygon)
            odd = false;
        for (uint32_t i = rings[r].first; i + 1 < rings[r].first + rings[r].count; i++)
            odd ^= is_crossed(points[i], points[i + 1], x, y);
        if (r + 1 == outline.ring_count || rings[r + 1].polygon != rings[r].polygon)
            inside |= odd;
    }
    return inside;
}

static struct area *open_area(const struct grid *grid)
{
    struct area *area = NULL;

    assert_ok(area_new(&outline, grid, &area, &err));
    return area;
}

static uint8_t *fill(const struct area *area, struct area_window window)
{
    uint8_t *inside = malloc((size_t)window.width * window.height);

    assert_ok(area_fill(area, &window, scratch, inside, &err));
    return inside;
}

/* A window's pixels are the oracle's; and where some are inside, the window is touched. */
static void assert_window(const struct area *area, struct area_window window)
{
    uint8_t *inside = fill(area, window);
    int64_t half = (int64_t)FINE << window.level;
    bool any = false;

    for (uint32_t y = 0; y < window.height; y++) {
        for (uint32_t x = 0; x < window.width; x++) {
            int64_t cx = (2 * (int64_t)(window.x + x) + 1) * half / 2;
            int64_t cy = (2 * (int64_t)(window.y + y) + 1) * half / 2;
            bool wanted = oracle(cx, cy);

            any |= wanted;
            if (inside[(size_t)y * window.width + x] != wanted)
                fail_msg("pixel %u,%u of level %u is %d", window.x + x, window.y + y, window.level,
                         !wanted);
        }
    }
    if (any)
        assert_true(area_touches(area, &window));
    free(inside);
}

static struct area_window random_window(uint32_t *seed)
{
    uint8_t level = (uint8_t)(next_random(seed) % 6);
    uint32_t width = (WIDTH + (1u << level) - 1) >> level;
    uint32_t height = (HEIGHT + (1u << level) - 1) >> level;
    uint32_t x = next_random(seed) % width, y = next_random(seed) % height;

    /* Half of them small: most of those meet no edge, and one pixel speaks for all. */
    uint32_t most = next_random(seed) % 2 ? 3 : WIDTH;
    return (struct area_window){level, x, y, 1 + next_random(seed) % TL_MIN(width - x, most),
                                1 + next_random(seed) % TL_MIN(height - y, most)};
}

/* Rings anywhere, on the grid and around it, crossing themselves and each other. Every eighth is
 * coarse: vertices and edges right on centres. */
static void random_outline(uint32_t *seed)
{
    uint32_t ring_count = 1 + next_random(seed) % 6;
    int step = next_random(seed) % 8 ? 1 : FINE / 2;

    begin();
    for (uint32_t r = 0; r < ring_count; r++) {
        uint32_t count = 3 + next_random(seed) % 9;
        int left = (int)(next_random(seed) % WIDTH), top = (int)(next_random(seed) % HEIGHT);
        int size = (int)(1u << (next_random(seed) % 9));

        begin_ring(r / (1 + next_random(seed) % 2));
        for (uint32_t i = 0; i < count; i++) {
            int x = left * FINE + (int)(next_random(seed) % (unsigned)(size * FINE)) - size * 8;
            int y = top * FINE + (int)(next_random(seed) % (unsigned)(size * FINE)) - size * 8;
            add_fine(x / step * step, y / step * step);
        }
        end_ring();
    }
    /* Rings of a polygon lie side by side. */
    for (uint32_t r = 1; r < ring_count; r++)
        rings[r].polygon = TL_MAX(rings[r].polygon, rings[r - 1].polygon);
}

TEST(every_pixel_is_where_whole_numbers_say_in_any_window_of_any_level)
{
    uint32_t seed = 1;
    unsigned near = 0;

    for (int round = 0; round < 400; round++) {
        struct area *area = NULL;

        random_outline(&seed);
        enum tl_code code = area_new(&outline, &plain, &area, &err);
        if (code != TL_OK) { /* all of it is beyond the grid: so says the oracle */
            for (int64_t i = 0; i < PIXELS; i++)
                assert_false(oracle(i % WIDTH * FINE + FINE / 2, i / WIDTH * FINE + FINE / 2));
            continue;
        }
        near++;
        for (int i = 0; i < 16; i++)
            assert_window(area, random_window(&seed));
        area_unref(area);
    }
    assert_true(near > 300);
}

TEST(a_ring_in_a_ring_is_a_hole_and_an_island_in_it_is_land)
{
    static const int boxes[][4] = {
        {160, 160, 1600, 1600}, {320, 320, 1280, 1280}, {480, 480, 640, 640}};

    begin();
    for (size_t i = 0; i < TL_COUNT(boxes); i++)
        add_box(0, boxes[i]);
    struct area *area = open_area(&plain);
    uint8_t *inside = fill(area, (struct area_window){0, 0, 0, WIDTH, HEIGHT});
    assert_int_equal(inside[15 * WIDTH + 15], 1);
    assert_int_equal(inside[25 * WIDTH + 25], 0);
    assert_int_equal(inside[35 * WIDTH + 35], 1);
    size_t sum = 0;
    for (size_t i = 0; i < PIXELS; i++)
        sum += inside[i];
    assert_int_equal(sum, 90 * 90 - 60 * 60 + 10 * 10);
    free(inside);
    area_unref(area);
}

TEST(what_overlaps_is_a_hole_in_one_polygon_and_a_union_of_two)
{
    static const int boxes[][4] = {{0, 0, 320, 320}, {160, 160, 480, 480}};

    for (uint32_t polygons = 1; polygons <= 2; polygons++) {
        begin();
        add_box(0, boxes[0]);
        add_box(polygons - 1, boxes[1]);
        struct area *area = open_area(&plain);
        uint8_t *inside = fill(area, (struct area_window){0, 0, 0, WIDTH, HEIGHT});
        assert_int_equal(inside[15 * WIDTH + 15], polygons == 2);
        assert_int_equal(inside[5 * WIDTH + 5], 1);
        assert_int_equal(inside[25 * WIDTH + 25], 1);
        free(inside);
        area_unref(area);
    }
}

TEST(an_edge_through_centres_gives_them_to_what_is_right_of_it_and_below)
{
    static const int box[4] = {5 * FINE + 8, 7 * FINE + 8, 9 * FINE + 8, 10 * FINE + 8};

    begin();
    add_box(0, box);
    struct area *area = open_area(&plain);
    uint8_t *inside = fill(area, (struct area_window){0, 0, 0, WIDTH, HEIGHT});
    for (uint32_t i = 0; i < PIXELS; i++) {
        uint32_t x = i % WIDTH, y = i / WIDTH;
        assert_int_equal(inside[i], x >= 5 && x < 9 && y >= 7 && y < 10);
    }
    free(inside);
    area_unref(area);
}

TEST(a_polygon_smaller_than_a_pixel_has_it_where_it_holds_the_centre)
{
    static const int with[4] = {5 * FINE + 7, 5 * FINE + 7, 5 * FINE + 9, 5 * FINE + 9};
    static const int without[4] = {5 * FINE + 9, 5 * FINE + 9, 6 * FINE + 7, 6 * FINE + 7};

    for (int held = 0; held < 2; held++) {
        begin();
        add_box(0, held ? with : without);
        struct area *area = open_area(&plain);
        uint8_t *inside = fill(area, (struct area_window){0, 0, 0, WIDTH, HEIGHT});
        for (uint32_t i = 0; i < PIXELS; i++)
            assert_int_equal(inside[i], held && i == 5 * WIDTH + 5);
        free(inside);
        area_unref(area);
    }
}

TEST(a_window_far_from_all_edges_is_not_touched_or_all_inside)
{
    static const int boxes[][4] = {{160, 160, 1600, 1600}, {480, 480, 1280, 1280}};
    const struct area_window outside = {0, 110, 0, 50, 140}, hole = {1, 16, 16, 20, 20};
    const struct area_window land = {0, 12, 12, 10, 10}, edge = {0, 90, 90, 20, 20};

    begin();
    add_box(0, boxes[0]);
    add_box(0, boxes[1]);
    struct area *area = open_area(&plain);
    assert_false(area_touches(area, &outside));
    assert_false(area_touches(area, &hole));
    assert_true(area_touches(area, &land));
    assert_true(area_touches(area, &edge));
    area_unref(area);
}

/* Edges between two columns of centres, and on one; a corner at the height of a row. */
TEST(each_pixel_inside_is_a_window_that_is_touched)
{
    static const int boxes[][4] = {{5 * FINE + 12, 80, 640, 640}, {800, 80, 1200, 648}};

    begin();
    add_box(0, boxes[0]);
    add_box(1, boxes[1]);
    begin_ring(2);
    add_fine(96, 1200);
    add_fine(0, 100 * FINE + 8);
    add_fine(96, 2000);
    add_fine(3000, 2000);
    add_fine(3000, 1200);
    end_ring();
    struct area *area = open_area(&plain);
    for (uint32_t i = 0; i < PIXELS; i++)
        assert_window(area, (struct area_window){0, i % WIDTH, i / WIDTH, 1, 1});
    area_unref(area);
}

/* Where a row's last crossing is too far to the right to be kept, it is missed, not another's. */
TEST(a_polygon_that_ends_far_to_the_right_goes_on_to_the_last_column)
{
    static const int boxes[][4] = {{1600, 160, 9 * WIDTH * FINE, 1600}, {320, 320, 640, 640}};

    begin();
    add_box(0, boxes[0]);
    add_box(1, boxes[1]);
    struct area *area = open_area(&plain);
    assert_window(area, (struct area_window){0, 0, 0, WIDTH, HEIGHT});
    begin();
    add_box(0, boxes[1]);
    add_box(1, boxes[0]);
    struct area *other = open_area(&plain);
    assert_window(other, (struct area_window){0, 0, 0, WIDTH, HEIGHT});
    area_unref(area);
    area_unref(other);
}

/* ---- polygons side by side ---- */

enum { CELLS = 6 };

/* A net of vertices over more than the grid, each somewhat off its place. */
static void make_net(struct area_point net[CELLS + 1][CELLS + 1], uint32_t *seed)
{
    for (int i = 0; i <= CELLS; i++)
        for (int k = 0; k <= CELLS; k++)
            net[i][k] = (struct area_point){29 + k * 1.0 + next_random(seed) % 1000 * 5e-4,
                                            -14 - i * 0.8 - next_random(seed) % 1000 * 5e-4};
}

/* Half of a cell, either way round. */
static void add_triangle(struct area_point net[CELLS + 1][CELLS + 1], int cell, bool turn)
{
    int i = cell / 2 / CELLS, k = cell / 2 % CELLS;
    struct area_point corner[3] = {net[i][k], cell % 2 ? net[i][k + 1] : net[i + 1][k],
                                   net[i + 1][k + 1]};

    begin();
    begin_ring(0);
    for (int p = 0; p < 3; p++)
        add_point(corner[turn ? 2 - p : p].lon, corner[turn ? 2 - p : p].lat);
    end_ring();
}

static void assert_a_net_parts_the_grid(const struct grid *grid, uint32_t seed)
{
    struct area_point net[CELLS + 1][CELLS + 1];
    size_t pixels = (size_t)grid->width * grid->height;
    uint8_t *owners = calloc(pixels, 1);
    size_t shared = 0, left = 0;

    make_net(net, &seed);
    for (int cell = 0; cell < 2 * CELLS * CELLS; cell++) {
        struct area *area = NULL;

        add_triangle(net, cell, next_random(&seed) % 2);
        if (area_new(&outline, grid, &area, &err) != TL_OK)
            continue;
        uint8_t *inside = fill(area, (struct area_window){0, 0, 0, grid->width, grid->height});
        for (size_t i = 0; i < pixels; i++)
            owners[i] = (uint8_t)(owners[i] + inside[i]);
        free(inside);
        area_unref(area);
    }
    for (size_t i = 0; i < pixels; i++) {
        shared += owners[i] > 1;
        left += owners[i] == 0;
    }
    assert_int_equal(shared, 0);
    assert_int_equal(left, 0);
    free(owners);
}

TEST(polygons_that_share_vertices_share_no_pixel_and_leave_none_out)
{
    const struct grid grid = {degrees, {30.6, -15.1, 0.003, 0.003}, 900, 700};
    const struct grid warped = {utm, {250000, 8320000, 300, 300}, 900, 900};

    for (uint32_t seed = 1; seed < 6; seed++) {
        assert_a_net_parts_the_grid(&grid, seed);
        assert_a_net_parts_the_grid(&warped, seed);
    }
}

/* ---- onto another projection, round the Earth, too much ---- */

TEST(a_parallel_is_followed_to_a_sixteenth_of_a_pixel)
{
    const struct grid grid = {utm, {200000, 8110000, 10, 10}, 60000, 3000};
    struct crs_map *map;

    begin();
    begin_ring(0);
    add_point(29, -17.3);
    add_point(36, -17.3);
    add_point(36, -19);
    add_point(29, -19);
    end_ring();
    struct area *area = open_area(&grid);
    assert_ok(crs_map_get(utm, degrees, &map, &err));
    unsigned found = 0;
    for (uint32_t x = 500; x < grid.width; x += 617) {
        uint8_t *inside = fill(area, (struct area_window){0, x, 0, 1, grid.height});
        for (uint32_t y = 1; y < grid.height; y++) {
            if (inside[y] == inside[y - 1])
                continue;
            /* The parallel is between the two centres, or 1/16 beyond. */
            double above[2] = {affine_x(grid.affine, x + 0.5), affine_y(grid.affine, y - 0.5625)};
            double below[2] = {affine_x(grid.affine, x + 0.5), affine_y(grid.affine, y + 0.5625)};
            crs_map_points(map, &above[0], &above[1], 1);
            crs_map_points(map, &below[0], &below[1], 1);
            assert_true(inside[y]);
            assert_true(above[1] > -17.3 && below[1] < -17.3);
            found++;
        }
        free(inside);
    }
    assert_true(found > 60);
    area_unref(area);
}

/* About the crossing of the equator and the central meridian the map is the same turned round: the
 * middle of an edge through it lies where a straight one has it, and its quarters do not. */
TEST(an_edge_that_bends_both_ways_is_what_its_hundred_pieces_are)
{
    const struct grid grid = {utm, {200000, 10330000, 100, 100}, 6000, 6600};
    uint8_t *inside[2];

    for (int cut = 0; cut < 2; cut++) {
        begin();
        begin_ring(0);
        for (int i = 0; i <= 100; i += cut ? 1 : 100)
            add_point(30.5 + 0.05 * i, -2.5 + 0.05 * i);
        add_point(30.5, 2.5);
        end_ring();
        struct area *area = open_area(&grid);
        inside[cut] = fill(area, (struct area_window){0, 0, 0, grid.width, grid.height});
        area_unref(area);
    }
    size_t pixels = (size_t)grid.width * grid.height, other = 0, both = 0;
    for (size_t i = 0; i < pixels; i++) {
        other += inside[0][i] != inside[1][i];
        both += inside[0][i] & inside[1][i];
    }
    free(inside[0]);
    free(inside[1]);
    assert_true(both > pixels / 4);
    assert_true(other < grid.width / 8); /* a sixteenth of a pixel on either side */
}

static void add_degrees(uint32_t polygon, double west, double east)
{
    begin_ring(polygon);
    add_point(west, 10);
    add_point(east, 10);
    add_point(east, -10);
    add_point(west, -10);
    end_ring();
}

TEST(a_grid_over_the_antimeridian_has_both_sides_of_a_cut_polygon)
{
    static const char *const names[] = {"EPSG:4326", "EPSG:3857"};

    for (size_t i = 0; i < TL_COUNT(names); i++) {
        struct crs *crs = NULL;
        assert_ok(crs_new(names[i], &crs, &err));
        double degree = crs_period_x(crs) / 360;
        const struct grid grid = {crs, {170 * degree, degree, degree / 4, degree / 4}, 80, 4};

        begin();
        add_degrees(0, 175, 180);
        add_degrees(1, -180, -178);
        struct area *area = open_area(&grid);
        uint8_t *inside = fill(area, (struct area_window){0, 0, 0, 80, 4});
        for (uint32_t x = 0; x < 80; x++)
            assert_int_equal(inside[x], x >= 20 && x < 48);
        free(inside);
        area_unref(area);
        crs_unref(crs);
    }
}

TEST(thousands_of_polygons_in_a_row_are_filled_a_few_rows_at_a_time)
{
    enum { BARS = 3500 };
    const struct grid grid = {degrees, {30, -15, 1 / 64.0, 1 / 64.0}, 2 * BARS, 300};

    begin();
    for (int i = 0; i < BARS; i++) {
        const int box[4] = {2 * i * FINE, -5 * FINE, (2 * i + 1) * FINE, 500 * FINE};
        add_box((uint32_t)i, box);
    }
    struct area *area = open_area(&grid);
    const struct area_window window = {0, 1000, 3, 4000, 290};
    uint8_t *inside = fill(area, window);
    for (size_t i = 0; i < (size_t)window.width * window.height; i++)
        assert_int_equal(inside[i], i % 2 == 0);
    free(inside);
    area_unref(area);
}

TEST(what_cannot_lie_on_the_grid_is_refused)
{
    const struct grid warped = {utm, {200000, 8110000, 10, 10}, 1000, 1000};
    const struct grid minute = {utm, {200000, 8110000, 1e-6, 1e-6}, 1000, 1000};
    struct area *area = NULL;

    begin();
    add_degrees(0, -17, -15);
    assert_refused(area_new(&outline, &plain, &area, &err), TL_INVALID, "longitude comes first");
    static const int west[4] = {-900, 100, -100, 800};
    begin();
    add_box(0, west);
    assert_refused(area_new(&outline, &plain, &area, &err), TL_INVALID, "longitude comes first");
    begin();
    add_degrees(0, -100, 100);
    assert_refused(area_new(&outline, &plain, &area, &err), TL_INVALID, "antimeridian");
    begin();
    begin_ring(0);
    add_point(30, -89);
    add_point(-57, 0);
    add_point(33, 0);
    end_ring();
    assert_refused(area_new(&outline, &warped, &area, &err), TL_UNSUPPORTED, "EPSG:32736");
    begin();
    add_degrees(0, 28, 36);
    assert_refused(area_new(&outline, &minute, &area, &err), TL_LIMIT, "simpler outline");
}

TEST(the_fingerprint_is_of_every_point_and_ring)
{
    static const int boxes[][4] = {{0, 0, 320, 320}, {160, 160, 480, 480}};
    struct hash128 seen[3];

    for (int i = 0; i < 3; i++) {
        begin();
        add_box(0, boxes[0]);
        add_box(i > 0, boxes[1]);
        points[2].lon += i == 2 ? 1e-9 : 0;
        struct area *area = open_area(&plain);
        seen[i] = area_fingerprint(area);
        area_unref(area);
    }
    assert_false(hash128_equal(seen[0], seen[1]));
    assert_false(hash128_equal(seen[1], seen[2]));
}

RUN_BETWEEN(before_all, after_all,
            T(every_pixel_is_where_whole_numbers_say_in_any_window_of_any_level),
            T(a_ring_in_a_ring_is_a_hole_and_an_island_in_it_is_land),
            T(what_overlaps_is_a_hole_in_one_polygon_and_a_union_of_two),
            T(an_edge_through_centres_gives_them_to_what_is_right_of_it_and_below),
            T(a_polygon_smaller_than_a_pixel_has_it_where_it_holds_the_centre),
            T(a_window_far_from_all_edges_is_not_touched_or_all_inside),
            T(each_pixel_inside_is_a_window_that_is_touched),
            T(a_polygon_that_ends_far_to_the_right_goes_on_to_the_last_column),
            T(polygons_that_share_vertices_share_no_pixel_and_leave_none_out),
            T(a_parallel_is_followed_to_a_sixteenth_of_a_pixel),
            T(an_edge_that_bends_both_ways_is_what_its_hundred_pieces_are),
            T(a_grid_over_the_antimeridian_has_both_sides_of_a_cut_polygon),
            T(thousands_of_polygons_in_a_row_are_filled_a_few_rows_at_a_time),
            T(what_cannot_lie_on_the_grid_is_refused),
            T(the_fingerprint_is_of_every_point_and_ring))
