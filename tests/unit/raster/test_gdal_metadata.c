#include "raster/gdal_metadata.h"

#include "base/arena.h"
#include "tl_test.h"

#include <stdlib.h>
#include <string.h>

static struct raster_info *read(const char *xml, uint16_t bands, struct arena *arena)
{
    struct raster_info *info = calloc(1, sizeof(*info));

    for (int i = 0; i < PYRAMID_MAX_BANDS; i++)
        info->scale[i] = 1;
    gdal_metadata_read(xml, strlen(xml), bands, arena, info);
    return info;
}

TEST(scale_offset_and_names_belong_to_their_bands)
{
    struct arena *arena = arena_new();
    struct raster_info *info =
        read("<GDALMetadata>\n"
             "  <Item name=\"SCALE\" sample=\"0\" role=\"scale\">0.0001</Item>\n"
             "  <Item name=\"OFFSET\" sample=\"1\" role=\"offset\">-1000</Item>\n"
             "  <Item name=\"DESCRIPTION\" sample=\"0\" role=\"description\">red &amp; "
             "&lt;near&gt;</Item>\n"
             "  <Item name=\"DESCRIPTION\" sample=\"1\" role=\"description\">nir</Item>\n"
             "  <Item name=\"ZOOM_LEVEL\" domain=\"TILING_SCHEME\">13</Item>\n"
             "</GDALMetadata>\n",
             2, arena);

    assert_near(info->scale[0], 0.0001, 0);
    assert_near(info->scale[1], 1, 0);
    assert_near(info->offset[0], 0, 0);
    assert_near(info->offset[1], -1000, 0);
    assert_string_equal(info->band_names[0], "red & <near>");
    assert_string_equal(info->band_names[1], "nir");
    free(info);
    arena_free(arena);
}

TEST(items_for_no_band_and_values_that_are_not_numbers_are_passed_over)
{
    static const char *const documents[] = {
        "<Item sample=\"2\" role=\"scale\">5</Item>",
        "<Item sample=\"-1\" role=\"scale\">5</Item>",
        "<Item sample=\"nan\" role=\"scale\">5</Item>",
        "<Item sample=\"1e9\" role=\"scale\">5</Item>",
        "<Item sample=\"0\" role=\"scale\">five</Item>",
        "<Item sample=\"0\" role=\"scale\"></Item>",
        "<Item sample=\"0\" role=\"scale\">inf</Item>",
        "<Item sample=\"0\" role=\"scale\">5",
        "<Item sample=\"0\" role=\"scale",
        "<Item",
        "<Item sample=\"0\" role=\"description\"></Item>",
        "<Item role=\"scale\">5</Item>",
        "",
    };

    for (size_t i = 0; i < TL_COUNT(documents); i++) {
        struct arena *arena = arena_new();
        struct raster_info *info = read(documents[i], 2, arena);

        assert_near(info->scale[0], 1, 0);
        assert_near(info->scale[1], 1, 0);
        assert_null(info->band_names[0]);
        free(info);
        arena_free(arena);
    }
}

RUN(T(scale_offset_and_names_belong_to_their_bands),
    T(items_for_no_band_and_values_that_are_not_numbers_are_passed_over))
