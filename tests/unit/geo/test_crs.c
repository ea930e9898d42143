#include "geo/crs.h"
#include "tl_test.h"

#include <proj.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MERCATOR_HALF  20037508.342789244
#define EQUAL_AREA_TOP 7342230.136498678 /* y of the pole in EPSG:6933 */

static struct crs *crs_of(const char *definition)
{
    struct tl_err err;
    struct crs *crs = NULL;

    assert_ok(crs_new(definition, &crs, &err));
    return crs;
}

static struct crs_map *map_of(const struct crs *from, const struct crs *to)
{
    struct tl_err err;
    struct crs_map *map = NULL;

    assert_ok(crs_map_get(from, to, &map, &err));
    return map;
}

/* PROJ itself, the oracle. */
static PJ *oracle(const char *from, const char *to)
{
    PJ *raw = proj_create_crs_to_crs(NULL, from, to, NULL);
    PJ *pj = proj_normalize_for_visualization(NULL, raw);

    proj_destroy(raw);
    assert_non_null(pj);
    return pj;
}

TEST(codes_are_recognised_however_they_are_spelled)
{
    static const struct {
        const char *definition;
        int epsg;
    } cases[] = {
        {"EPSG:4326", 4326},
        {"epsg:4326", 4326},
        {"OGC:CRS84", 4326},
        {"urn:ogc:def:crs:OGC:1.3:CRS84", 4326},
        {"http://www.opengis.net/def/crs/EPSG/0/3857", 3857},
        {"+proj=longlat +datum=WGS84 +no_defs", 4326},
        {"+proj=utm +zone=36 +south +datum=WGS84 +units=m +no_defs", 32736},
        {"EPSG:32736", 32736},
    };

    for (size_t i = 0; i < TL_COUNT(cases); i++) {
        AUTO(crs) crs = crs_of(cases[i].definition);

        if (crs_epsg(crs) != cases[i].epsg)
            fail_msg("%s became EPSG:%d", cases[i].definition, crs_epsg(crs));
        assert_string_equal(crs_name(crs), cases[i].definition);
    }
}

/* As GDAL, ESRI and PROJ write it, with and without the code. */
static void assert_wkt_is_recognised(const char *code, int epsg)
{
    static const PJ_WKT_TYPE types[] = {PJ_WKT2_2019, PJ_WKT2_2015, PJ_WKT1_GDAL, PJ_WKT1_ESRI};

    for (size_t i = 0; i < TL_COUNT(types); i++) {
        PJ *pj = proj_create(NULL, code);
        const char *wkt = proj_as_wkt(NULL, pj, types[i], NULL);

        assert_non_null(wkt);
        AUTO(crs) crs = crs_of(wkt);
        AUTO(crs) named = crs_of(code);
        if (crs_epsg(crs) != epsg)
            fail_msg("%s as WKT type %zu became %d", code, i, crs_epsg(crs));
        assert_true(crs_equal(crs, named));
        proj_destroy(pj);
    }
}

TEST(wkt_of_a_known_system_is_that_system)
{
    assert_wkt_is_recognised("EPSG:4326", 4326);
    assert_wkt_is_recognised("EPSG:3857", 3857);
    assert_wkt_is_recognised("EPSG:6933", 6933);
    assert_wkt_is_recognised("EPSG:32736", 32736);
}

TEST(a_wkt_whose_code_lies_is_not_taken_for_the_code)
{
    /* UTM zone 36S with the central meridian of zone 35, and still "EPSG:32736". */
    PJ *pj = proj_create(NULL, "EPSG:32736");
    char wkt[8192];

    snprintf(wkt, sizeof(wkt), "%s", proj_as_wkt(NULL, pj, PJ_WKT2_2019, NULL));
    proj_destroy(pj);
    char *meridian = strstr(wkt, "\"Longitude of natural origin\",33");
    assert_non_null(meridian);
    memcpy(meridian, "\"Longitude of natural origin\",27", 32);
    AUTO(crs) liar = crs_of(wkt);
    AUTO(crs) honest = crs_of("EPSG:32736");

    assert_int_not_equal(crs_epsg(liar), 32736);
    assert_false(crs_equal(liar, honest));
    AUTO(crs) lonlat = crs_of("EPSG:4326");
    double x = 500000, y = 8000000;
    crs_map_points(map_of(liar, lonlat), &x, &y, 1);
    assert_near(x, 27, 1e-9);
}

TEST(a_system_without_a_code_still_maps)
{
    AUTO(crs) odd = crs_of("+proj=laea +lat_0=-18.5 +lon_0=29.25 +datum=WGS84 +units=m");
    AUTO(crs) lonlat = crs_of("EPSG:4326");
    double x = 0, y = 0;

    assert_int_equal(crs_epsg(odd), 0);
    crs_map_points(map_of(odd, lonlat), &x, &y, 1);
    assert_near(x, 29.25, 1e-9);
    assert_near(y, -18.5, 1e-9);
}

TEST(what_is_not_a_map_is_refused_with_a_reason)
{
    struct tl_err err;
    struct crs *crs = NULL;
    char *giant = malloc(70000);

    memset(giant, '[', 69999);
    giant[69999] = 0;
    assert_refused(crs_new("", &crs, &err), TL_INVALID, "EPSG:32736");
    assert_refused(crs_new("EPSG:1", &crs, &err), TL_INVALID, "EPSG:1");
    assert_refused(crs_new("nonsense", &crs, &err), TL_INVALID, "nonsense");
    assert_refused(crs_new("PROJCS[", &crs, &err), TL_INVALID, "PROJCS[");
    assert_refused(crs_new("EPSG:4978", &crs, &err), TL_UNSUPPORTED, "neither");
    assert_refused(crs_new("EPSG:5773", &crs, &err), TL_UNSUPPORTED, "neither");
    assert_refused(crs_new("LOCAL_CS[\"site\",UNIT[\"metre\",1]]", &crs, &err), TL_UNSUPPORTED,
                   "neither");
    assert_refused(crs_new("+proj=pipeline +step +proj=utm +zone=36", &crs, &err), TL_INVALID,
                   "pipeline");
    assert_refused(crs_new(giant, &crs, &err), TL_LIMIT, "65535");
    assert_null(crs);
    free(giant);
}

TEST(equal_is_the_same_system_not_the_same_pointer)
{
    AUTO(crs) a = crs_of("EPSG:32735");
    AUTO(crs) b = crs_of("urn:ogc:def:crs:EPSG::32735");
    AUTO(crs) c = crs_of("EPSG:32736");
    AUTO(crs) d = crs_of("OGC:CRS84");
    AUTO(crs) e = crs_of("EPSG:4326");

    assert_true(crs_equal(a, b));
    assert_false(crs_equal(a, c));
    assert_true(crs_equal(d, e));
    assert_false(crs_equal(a, e));
}

static void compare_forward(const char *code, double lat_max)
{
    AUTO(crs) lonlat = crs_of("EPSG:4326");
    AUTO(crs) planar = crs_of(code);
    struct crs_map *map = map_of(lonlat, planar);
    PJ *pj = oracle("EPSG:4326", code);

    assert_true(crs_map_separable(map));
    for (int i = -1000; i <= 1000; i++) {
        double x = 180 * (i / 1000.0) * (1 - 1e-12), y = lat_max * (i / 1000.0);
        PJ_COORD want = proj_trans(pj, PJ_FWD, proj_coord(x, y, 0, 0));

        crs_map_points(map, &x, &y, 1);
        assert_near(x, want.xy.x, 1e-6);
        assert_near(y, want.xy.y, 1e-6); /* a thousandth of a millimetre */
    }
    proj_destroy(pj);
}

TEST(closed_forms_forward_equal_proj_to_a_micrometre)
{
    compare_forward("EPSG:3857", 89.9);
    compare_forward("EPSG:6933", 90);
}

TEST(web_mercator_backward_equals_proj)
{
    AUTO(crs) lonlat = crs_of("EPSG:4326");
    AUTO(crs) mercator = crs_of("EPSG:3857");
    struct crs_map *map = map_of(mercator, lonlat);
    PJ *pj = oracle("EPSG:3857", "EPSG:4326");

    for (int i = -1000; i <= 1000; i++) {
        double x = MERCATOR_HALF * 0.999999 * (i / 1000.0), y = MERCATOR_HALF * (i / 1000.0);
        PJ_COORD want = proj_trans(pj, PJ_FWD, proj_coord(x, y, 0, 0));

        crs_map_points(map, &x, &y, 1);
        assert_near(x, want.xy.x, 1e-12);
        assert_near(y, want.xy.y, 1e-12);
    }
    proj_destroy(pj);
}

/* PROJ's own inverse is a series, good to 2e-8 degrees, two millimetres; its forward is exact. So
 * the inverse is held against the forward: what comes back is the y that went in. */
TEST(equal_area_backward_undoes_proj_forward)
{
    AUTO(crs) lonlat = crs_of("EPSG:4326");
    AUTO(crs) planar = crs_of("EPSG:6933");
    struct crs_map *map = map_of(planar, lonlat);
    PJ *forward = oracle("EPSG:4326", "EPSG:6933"), *inverse = oracle("EPSG:6933", "EPSG:4326");

    for (int i = -1000; i <= 1000; i++) {
        double y = EQUAL_AREA_TOP * (i / 1000.0), x = 1e4 * i, lat = y, lon = x;

        crs_map_points(map, &lon, &lat, 1);
        PJ_COORD back = proj_trans(forward, PJ_FWD, proj_coord(lon, lat, 0, 0));
        assert_near(back.xy.x, x, 1e-8);
        assert_near(back.xy.y, y, 1e-8);
        PJ_COORD series = proj_trans(inverse, PJ_FWD, proj_coord(x, y, 0, 0));
        assert_near(lon, series.xy.x, 1e-12);
        if (abs(i) < 999) /* at the pole d lat / d y is infinite */
            assert_near(lat, series.xy.y, 2e-8);
    }
    proj_destroy(forward);
    proj_destroy(inverse);
}

TEST(any_two_closed_forms_compose)
{
    static const char *const codes[] = {"EPSG:4326", "EPSG:3857", "EPSG:6933"};

    for (int i = 0; i < 9; i++) {
        AUTO(crs) from = crs_of(codes[i / 3]);
        AUTO(crs) to = crs_of(codes[i % 3]);
        AUTO(crs) lonlat = crs_of("EPSG:4326");
        double lon[] = {-179, -30, 0, 31.05, 180}, lat[] = {-84, -17.8, 0, 45, 85};
        double x[5], y[5];

        memcpy(x, lon, sizeof(x));
        memcpy(y, lat, sizeof(y));
        crs_map_points(map_of(lonlat, from), x, y, 5);
        crs_map_points(map_of(from, to), x, y, 5);
        crs_map_points(map_of(to, lonlat), x, y, 5);
        for (int k = 0; k < 5; k++) {
            assert_near(x[k], lon[k], 1e-12);
            assert_near(y[k], lat[k], 1e-12);
        }
    }
}

TEST(xs_and_ys_are_what_points_says)
{
    AUTO(crs) mercator = crs_of("EPSG:3857");
    AUTO(crs) planar = crs_of("EPSG:6933");
    struct crs_map *map = map_of(mercator, planar);
    double x[] = {-2e7, 1, 3e6}, y[] = {-1e7, 2, 7e6}, xs[3], ys[3];

    memcpy(xs, x, sizeof(x));
    memcpy(ys, y, sizeof(y));
    crs_map_points(map, x, y, 3);
    crs_map_xs(map, xs, 3);
    crs_map_ys(map, ys, 3);
    assert_memory_equal(x, xs, sizeof(x));
    assert_memory_equal(y, ys, sizeof(y));
}

TEST(a_point_without_an_image_is_huge_and_spoils_no_other)
{
    AUTO(crs) lonlat = crs_of("EPSG:4326");
    AUTO(crs) mercator = crs_of("EPSG:3857");
    AUTO(crs) planar = crs_of("EPSG:6933");
    AUTO(crs) utm = crs_of("EPSG:32736");
    double x[] = {10, 33, 33}, y[] = {90, -20, 95};

    crs_map_points(map_of(lonlat, mercator), x, y, 3);
    assert_true(x[0] == HUGE_VAL && y[0] == HUGE_VAL);
    assert_true(isfinite(x[1]) && isfinite(y[1]));
    assert_true(x[2] == HUGE_VAL && y[2] == HUGE_VAL);

    double px[] = {0, 0}, py[] = {EQUAL_AREA_TOP * 1.001, 0};
    crs_map_points(map_of(planar, lonlat), px, py, 2);
    assert_true(py[0] == HUGE_VAL && px[0] == HUGE_VAL);
    assert_near(py[1], 0, 1e-15);

    double ux[] = {33, 33, -57}, uy[] = {-20, 95, 0};
    crs_map_points(map_of(lonlat, utm), ux, uy, 2);
    assert_near(ux[0], 500000, 1e-6);
    assert_true(ux[1] == HUGE_VAL && uy[1] == HUGE_VAL);
}

TEST(proj_maps_equal_proj)
{
    static const char *const codes[] = {"EPSG:32735", "EPSG:32736", "EPSG:32633", "EPSG:2193"};

    for (size_t i = 0; i < TL_COUNT(codes); i++) {
        AUTO(crs) mercator = crs_of("EPSG:3857");
        AUTO(crs) planar = crs_of(codes[i]);
        struct crs_map *map = map_of(mercator, planar);
        PJ *pj = oracle("EPSG:3857", codes[i]);
        double x = 3.4e6, y = -2.0e6;
        PJ_COORD want = proj_trans(pj, PJ_FWD, proj_coord(x, y, 0, 0));

        assert_false(crs_map_separable(map));
        crs_map_points(map, &x, &y, 1);
        assert_near(x, want.xy.x, 1e-9);
        assert_near(y, want.xy.y, 1e-9);
        proj_destroy(pj);
    }
}

TEST(the_map_of_a_pair_is_made_once_and_a_thousand_pairs_fit)
{
    AUTO(crs) mercator = crs_of("EPSG:3857");
    AUTO(crs) utm = crs_of("EPSG:32736");

    assert_ptr_equal(map_of(mercator, utm), map_of(mercator, utm));
    for (int i = 0; i < CRS_MAPS_PER_THREAD + 10; i++) {
        char definition[80];

        snprintf(definition, sizeof(definition), "+proj=laea +lat_0=%d +lon_0=20 +datum=WGS84", i);
        AUTO(crs) odd = crs_of(definition);
        AUTO(crs) lonlat = crs_of("EPSG:4326");
        double x = 0, y = 0;
        crs_map_points(map_of(odd, lonlat), &x, &y, 1);
        assert_near(y, i, 1e-9);
    }
    double x = 3.4e6, y = -2.0e6;
    crs_map_points(map_of(mercator, utm), &x, &y, 1);
    assert_true(x > 2e5 && x < 8e5);
}

struct job {
    struct crs *from, *to;
    double worst;
};

static void *map_on_a_thread(void *arg)
{
    struct job *job = arg;
    struct tl_err err;

    for (int i = 0; i < 200; i++) {
        struct crs_map *there, *back;
        double x = 3.4e6 + i, y = -2e6 - i;

        if (crs_map_get(job->from, job->to, &there, &err) != TL_OK ||
            crs_map_get(job->to, job->from, &back, &err) != TL_OK) {
            job->worst = HUGE_VAL;
            break;
        }
        crs_map_points(there, &x, &y, 1);
        crs_map_points(back, &x, &y, 1);
        job->worst = fmax(job->worst, fabs(x - 3.4e6 - i) + fabs(y + 2e6 + i));
    }
    return NULL;
}

TEST(threads_share_systems_and_have_maps_of_their_own)
{
    AUTO(crs) from = crs_of("EPSG:3857");
    AUTO(crs) to = crs_of("EPSG:32736");
    struct job jobs[4];
    pthread_t threads[4];

    for (int i = 0; i < 4; i++) {
        jobs[i] = (struct job){.from = crs_ref(from), .to = crs_ref(to)};
        assert_int_equal(pthread_create(&threads[i], NULL, map_on_a_thread, &jobs[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        crs_unref(jobs[i].from);
        crs_unref(jobs[i].to);
    }
    for (int i = 0; i < 4; i++)
        assert_near(jobs[i].worst, 0, 1e-5);
}

TEST(x_comes_round_after_a_world)
{
    AUTO(crs) lonlat = crs_of("EPSG:4326");
    AUTO(crs) mercator = crs_of("EPSG:3857");
    AUTO(crs) cape = crs_of("EPSG:4222");
    AUTO(crs) utm = crs_of("EPSG:32736");

    assert_near(crs_period_x(lonlat), 360, 0);
    assert_near(crs_period_x(mercator), 2 * MERCATOR_HALF, 1e-7);
    assert_near(crs_period_x(cape), 360, 0);
    assert_near(crs_period_x(utm), 0, 0);
}

RUN(T(codes_are_recognised_however_they_are_spelled), T(wkt_of_a_known_system_is_that_system),
    T(a_wkt_whose_code_lies_is_not_taken_for_the_code), T(a_system_without_a_code_still_maps),
    T(what_is_not_a_map_is_refused_with_a_reason), T(equal_is_the_same_system_not_the_same_pointer),
    T(closed_forms_forward_equal_proj_to_a_micrometre), T(web_mercator_backward_equals_proj),
    T(equal_area_backward_undoes_proj_forward), T(any_two_closed_forms_compose),
    T(xs_and_ys_are_what_points_says), T(a_point_without_an_image_is_huge_and_spoils_no_other),
    T(proj_maps_equal_proj), T(the_map_of_a_pair_is_made_once_and_a_thousand_pairs_fit),
    T(threads_share_systems_and_have_maps_of_their_own), T(x_comes_round_after_a_world))
