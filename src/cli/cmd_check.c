#include "base/buf.h"
#include "base/errand.h"
#include "cli/check_document.h"
#include "cli/cli.h"
#include "geo/crs.h"
#include "raster/block.h"
#include "raster/cog.h"
#include "raster/raster.h"
#include "tiler/describe.h"
#include "tiler/style.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void print_reader(const struct raster_info *info)
{
    char size[32], header[32];

    cli_bytes((double)info->size_bytes, size);
    cli_bytes((double)info->header_bytes, header);
    printf("object       %s\nversion      %s\nsize         %s, header and index %s%s\n", info->href,
           info->version, size, header, info->ghost_area ? ", COG layout marker" : "");
    if (info->reason)
        printf("reader       gdal: %s\n", info->reason);
    else
        printf("reader       tilth (fast path)\n");
    printf("compression  %s\n", info->compression);
}

static void print_pixels(const struct pyramid *pyramid, const struct raster_info *info)
{
    printf("samples      %u band%s of %s, %s", pyramid->bands, pyramid->bands == 1 ? "" : "s",
           dtype_name(pyramid->dtype), pyramid->planar ? "band by band" : "pixel by pixel");
    if (pyramid->has_nodata)
        printf(", nodata %.17g", pyramid->nodata);
    if (info->has_mask)
        printf(", internal mask");
    if (info->alpha_band)
        printf(", alpha in band %u", info->alpha_band);
    printf("%s\n", info->has_palette ? ", palette" : "");
    for (uint16_t b = 0; b < pyramid->bands; b++)
        if (info->band_names[b] || info->scale[b] != 1 || info->offset[b] != 0)
            printf("  band %-3u %s, scale %g, offset %g\n", b + 1u,
                   info->band_names[b] ? info->band_names[b] : "", info->scale[b], info->offset[b]);
}

static void print_levels(const struct pyramid *pyramid, const struct raster_info *info)
{
    printf("grid         %s\n", crs_name(pyramid->crs));
    for (uint8_t i = 0; i < pyramid->level_count; i++) {
        const struct pyramid_level *level = &pyramid->levels[i];

        printf("  level %-2u  %u x %u, blocks of %u x %u, pixel %.9g x %.9g%s\n", i, level->width,
               level->height, level->block_width, level->block_height, level->affine.dx,
               level->affine.dy, level->usable ? "" : ", not used");
        if (info->tainted_levels >> i & 1u)
            printf("            tainted: holds classes that are not under them in level %u, so it\n"
                   "            was interpolated; build overviews with -r mode (or nearest)\n",
                   i - 1u);
    }
}

/*
 * A colour map in a TIFF always has 256 entries: those that nobody gave a colour are black. Only
 * value 0 is taken at its word, unless it is nodata. Returns how many entries are left.
 */
static unsigned keep_colours(const struct raster_info *info, int nodata,
                             uint8_t ret_palette[256][4])
{
    static const uint8_t black[3];
    unsigned kept = 0;

    memcpy(ret_palette, info->palette, sizeof(info->palette));
    for (int value = 0; value < 256; value++) {
        if (value == nodata || (value > 0 && memcmp(ret_palette[value], black, sizeof(black)) == 0))
            ret_palette[value][3] = 0;
        kept += ret_palette[value][3] != 0;
    }
    return kept;
}

/* A style document from the file's own palette, to be named and edited. */
static enum tl_code print_style(const struct pyramid *pyramid, const struct raster_info *info,
                                struct tl_err *err)
{
    static struct style style; /* 40 KB: too large for a stack frame */
    AUTO_BUF out = {0};
    uint8_t palette[256][4];
    int nodata = pyramid->has_nodata && pyramid->nodata >= 0 && pyramid->nodata <= 255
                     ? (int)pyramid->nodata
                     : -1;

    if (!info->has_palette)
        return tl_fail(err, TL_ABSENT, "%s has no palette to make a style from", info->href);
    if (!keep_colours(info, nodata, palette))
        return tl_fail(err, TL_ABSENT, "%s has a palette of black alone", info->href);
    style_from_palette("from-palette", palette, nodata, &style);
    TL_TRY(describe_style(&style, &out, err));
    printf("%.*s\n", (int)out.size, (const char *)out.bytes);
    return TL_OK;
}

static enum tl_code check_index(const struct block_source *source, const struct raster_info *info,
                                struct tl_err *err)
{
    enum tl_code code = cog_check_index(source, err);

    return code == TL_OK ? TL_OK : tl_context(err, code, "%s: ", info->href);
}

static enum tl_code check(const struct app *app, const struct args *args, struct tl_err *err)
{
    const struct raster_env env = app_raster(app);
    struct raster_options options = {.classes = args_value(args, "classes") != NULL,
                                     .force_gdal = args_value(args, "gdal") != NULL};
    struct errand errand = errand_unbounded();
    AUTO(block_source) source = NULL;

    TL_TRY(raster_open(&env, args->positional[0], &options, &errand, &source, err));
    const struct raster_info *info = raster_info(source);
    if (args_value(args, "style"))
        return print_style(source->pyramid, info, err);
    print_reader(info);
    print_pixels(source->pyramid, info);
    print_levels(source->pyramid, info);
    printf("opened with  %u request%s, %llu bytes\n", errand.fetches,
           errand.fetches == 1 ? "" : "s", (unsigned long long)errand.fetched_bytes);
    return cog_is(source) ? check_index(source, info, err) : TL_OK;
}

static bool is_document(const char *href)
{
    size_t size = strlen(href);

    return size > 5 && strcasecmp(href + size - 5, ".json") == 0;
}

static int run(int argc, char **argv)
{
    struct args args = {.own = (const char *const[]){"classes", "gdal", "style", "open", NULL}};
    struct app app = {0};
    struct tl_err err;

    enum tl_code code = args_read(&args, &cmd_check, argc, argv, &err);
    if (code != TL_OK)
        return cli_fail(&cmd_check, code, &err);
    if (args.positional_count != 1)
        return cli_usage(&cmd_check, "one file or URL is needed");
    bool document = is_document(args.positional[0]), open = args_value(&args, "open") != NULL;
    for (int i = 0; i < 3; i++)
        if (document && args_value(&args, args.own[i]))
            return cli_usage(&cmd_check, "a document takes --open and --styles-dir alone");
    if (!document && open)
        return cli_usage(&cmd_check, "--open is for the document of a layer");
    code = app_open(&app, &args.config, APP_NO_CATALOG, &err);
    if (code == TL_OK)
        code = document ? check_document(&app, args.positional[0], open, &err)
                        : check(&app, &args, &err);
    app_close(&app);
    return code == TL_OK ? EXIT_SUCCESS : cli_fail_file(&cmd_check, &err);
}

const struct command cmd_check = {
    .name = "check",
    .summary = "say what is wrong with a raster, or with a layer's document and all it reads",
    .help =
        "usage: tilth check FILE|URL [--classes] [--gdal] [--style]\n"
        "       tilth check LAYER.json [--open] [--styles-dir DIR]\n"
        "\n"
        "Opens a raster as a layer would: /path, http(s)://... or s3://bucket/key (with "
        "--s3-endpoint,\n"
        "--s3-access-key ... or the environment). Says whether it takes the fast path or GDAL and\n"
        "why, and lists its levels. A file that was cut off, so that blocks of its index lie "
        "behind\n"
        "its end, is status 1 (fast path only: GDAL says so when it reads such a block).\n"
        "\n"
        "  --classes   the samples are class values: look for overviews that invented classes\n"
        "  --gdal      read it through GDAL whatever it is\n"
        "  --style     print a style document made from the file's palette; black entries are "
        "left\n"
        "              out, for a TIFF has black where nobody gave a colour, but not value 0\n"
        "              (unless it is nodata)\n"
        "\n"
        "Of a layer's document (docs/layers.md) it says what `serve` would say: of the document, "
        "its\n"
        "styles and its model when it starts, of its sources when somebody looks. Files are "
        "opened, in\n"
        "every season, and have to have the bands that are asked of them.\n"
        "\n"
        "  --open      the sources that a store has, too\n"
        "  --styles-dir DIR   where its styles are\n"
        "\n"
        "  tilth check layers/crops.json --styles-dir styles --open\n",
    .run = run,
};
